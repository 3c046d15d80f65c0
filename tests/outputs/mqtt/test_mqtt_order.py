"""What goes out first: named meters before others, states before announcements, and nothing without bound."""

from pathlib import Path

import pytest

from smarty_gateway.outputs.arrivals import Arrivals
from smarty_gateway.outputs.mqtt.send_queue import NAMED, OTHERS, Message, Rank, SendQueue
from tests.support.brokers import Broker, Subscriber
from tests.support.mqtt_runs import is_number, mqtt_output, reading_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium


def message(topic: str, rank: Rank, payload: bytes = b"x") -> Message:
    return Message(topic, payload, rank)


def drain(line: SendQueue) -> list[str]:
    found = []
    while (taken := line.take(NAMED + OTHERS)) is not None:
        found.append(taken.topic)
    return found


def test_a_line_goes_by_rank_and_then_by_age() -> None:
    line = SendQueue()
    for rank in reversed(Rank):
        line.put(message(f"{rank.name} one", rank))
        line.put(message(f"{rank.name} two", rank))
    assert drain(line) == [f"{rank.name} {number}" for rank in Rank for number in ("one", "two")]


def test_a_newer_message_takes_the_place_of_an_older_one_and_keeps_it() -> None:
    line = SendQueue()
    line.put(message("a", Rank.STATE, b"old"))
    line.put(message("b", Rank.STATE))
    line.put(message("a", Rank.STATE, b"new"))
    taken = line.take(NAMED)
    assert taken is not None
    assert (taken.topic, taken.payload) == ("a", b"new")
    line.put(message("b", Rank.FIRST))
    assert drain(line) == ["b"]


def test_everything_of_named_meters_comes_before_anything_of_others() -> None:
    assert all(rank < other for rank in NAMED for other in OTHERS)
    assert [rank.of_others for rank in NAMED] == list(OTHERS)
    assert [rank.of_others for rank in OTHERS] == list(OTHERS)


def test_readings_of_named_meters_are_taken_first_and_kept_longest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    arrivals = Arrivals("the output", most=10, named_first=True)
    for number in range(20):
        arrivals.put(reading_of(belgium(number), "invented", is_configured=False))
    for number in range(10):
        arrivals.put(reading_of(belgium(number), "house"))
    assert len(arrivals) == 10
    assert arrivals.is_dropping
    for number in range(10, 15):
        arrivals.put(reading_of(belgium(number), "invented", is_configured=False))
    taken = [arrivals.take() for _ in range(10)]
    assert [reading.meter for reading in taken if reading] == ["house"] * 10
    assert arrivals.take() is None
    assert "those of meters that the configuration does not name before all others" in caplog.messages[0]
    assert caplog.messages[1:] == ["the output takes readings again; 25 were dropped"]


def test_where_all_are_named_the_oldest_reading_goes() -> None:
    arrivals = Arrivals("the output", most=3, named_first=True)
    readings = [reading_of(belgium(number), "house") for number in range(5)]
    for reading in readings:
        arrivals.put(reading)
    assert [arrivals.take() for _ in range(3)] == readings[2:]


@pytest.mark.slow
@pytest.mark.usefixtures("each_broker")
def test_a_flood_of_meters_that_nobody_named_delays_no_named_one(tmp_path: Path) -> None:
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker, "smarty/house/#") as listener,
        mqtt_output(tmp_path, broker.url, more="interval: 0, telegrams: true, values: true") as output,
    ):
        output.publish(reading_of(belgium(0), "house"))
        listener.wait_for("smarty/house/telegram")
        wait_until(lambda: not output.is_busy, "an idle output")
        place = len(broker.log())
        broker.freeze()
        for number in range(300):
            output.publish(reading_of(belgium(0), f"invented{number}", is_configured=False))
        wait_until(lambda: not output.arrivals, "an output that has taken them all")
        output.publish(reading_of(belgium(1), "house"))
        broker.resume()
        listener.wait_for("smarty/house/telegram", is_number(1))
        listener.wait_for("smarty/house/state", is_number(1))
        wait_until(lambda: not output.is_busy, "an idle output")
        topics = broker.received(place)
    # What was on its way already could not be overtaken.
    assert max(topics.index("smarty/house/state"), topics.index("smarty/house/telegram")) < 250
    assert len(topics) > 1500
