"""The queue in front of each output is bounded, and invented meters push aside nothing that has a name."""

import logging

import pytest

from smarty_gateway.outputs.arrivals import Arrivals
from tests.support.queued_runs import number_of, numbered


def taken(arrivals: Arrivals) -> list[int]:
    found = []
    while (reading := arrivals.take()) is not None:
        found.append(number_of(reading))
    return found


@pytest.mark.parametrize(("named_first", "order"), [(False, [0, 1, 2, 3, 4, 5]), (True, [0, 2, 4, 1, 3, 5])])
def test_readings_come_out_in_their_order_or_those_of_named_meters_first(
    named_first: bool,  # noqa: FBT001 - of the cases above
    order: list[int],
) -> None:
    arrivals = Arrivals("the output", 10, named_first=named_first)
    for number in range(6):
        arrivals.put(numbered(number, named=number % 2 == 0))
    assert taken(arrivals) == order


def test_a_flood_of_invented_meters_drops_no_reading_of_a_named_one() -> None:
    arrivals = Arrivals("the output", 10)
    for number in range(5):
        arrivals.put(numbered(number))
    for number in range(100, 1000):
        arrivals.put(numbered(number, f"invented {number}", named=False))
    assert len(arrivals) == 10
    assert taken(arrivals) == [0, 1, 2, 3, 4, 995, 996, 997, 998, 999]


def test_dropping_is_said_once_and_its_end_with_the_number(caplog: pytest.LogCaptureFixture) -> None:
    arrivals = Arrivals("the output", 2)
    for number in range(7):
        arrivals.put(numbered(number))
    assert arrivals.is_dropping
    taken(arrivals)
    assert not arrivals.is_dropping
    assert len(caplog.records) == 2
    assert caplog.messages[1] == "the output takes readings again; 5 were dropped"


def test_an_output_that_is_too_slow_again_and_again_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrivals = Arrivals("the output", 1)
    with caplog.at_level(logging.WARNING):
        for _ in range(200):
            for number in range(3):
                arrivals.put(numbered(number))
            taken(arrivals)
    assert len(caplog.records) == 40


def test_only_the_newest_of_each_meter_is_kept_and_a_recording_has_room_then() -> None:
    arrivals = Arrivals("the output", 10)
    for number in range(4):
        arrivals.put(numbered(number, "house"))
        arrivals.put(numbered(10 + number, f"invented {number}", named=False))
    arrivals.put_back(numbered(99, "house"))
    assert not arrivals.has_room
    arrivals.keep_newest()
    assert arrivals.has_room
    assert taken(arrivals) == [11, 12, 3, 13]


def test_a_reading_that_is_put_back_comes_before_those_that_arrived_later() -> None:
    arrivals = Arrivals("the output", 10)
    arrivals.put(numbered(2))
    arrivals.put_back(numbered(1))
    assert taken(arrivals) == [1, 2]
