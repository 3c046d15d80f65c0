"""An output that writes each reading as it comes: nothing is lost at a clean end, and nothing holds it up."""

import threading
import time

import pytest

from tests.support.queued_runs import AWAY, LONG, Listed, numbered


def test_what_arrived_before_a_stop_is_written_in_its_order() -> None:
    output = Listed()
    output.may_write.clear()
    output.start()
    for number in range(50):
        output.publish(numbered(number))
    output.wait_for_attempt()
    output.stopping.by = time.monotonic() + LONG
    output.may_write.set()
    output.stop(LONG)
    assert output.written == list(range(50))


def test_it_is_busy_until_the_last_reading_is_written() -> None:
    output = Listed()
    output.may_write.clear()
    assert not output.is_busy
    output.publish(numbered(1))
    assert output.is_busy
    output.start()
    output.wait_for_attempt()
    assert not output.arrivals
    assert output.is_busy
    output.may_write.set()
    output.stop(LONG)
    assert not output.is_busy


def test_while_the_consumer_is_away_the_newest_of_each_meter_is_kept_and_comes_in_order() -> None:
    output = Listed(pause=0.05)
    output.fault = AWAY
    for number in range(10):
        output.publish(numbered(number, "house" if number % 2 else "barn"))
    output.start()
    output.wait_for_attempt()
    output.wait_for_attempt()  # after a pause
    assert output.state == "offline"
    assert not output.is_busy  # the end of a recording waits for no consumer that is away
    output.fault = None
    output.publish(numbered(10, "house"))
    output.wait_until_written(10)
    output.stop(LONG)
    assert output.written[-1] == 10
    assert output.written == sorted(output.written)
    assert set(output.written) <= {8, 9, 10}
    assert output.state == "ok"


def test_a_reading_that_could_not_be_written_is_written_once_the_consumer_is_back() -> None:
    output = Listed(pause=0.01)
    output.fault = AWAY
    output.publish(numbered(0))
    output.start()
    output.wait_for_attempt()
    output.fault = None
    output.wait_until_written(0)
    output.stop(LONG)
    assert output.written == [0]


def test_when_the_time_of_a_stop_is_over_nothing_more_is_written() -> None:
    output = Listed()
    output.may_write.clear()
    output.start()
    for number in range(50):
        output.publish(numbered(number))
    output.wait_for_attempt()
    output.stopping.by = time.monotonic()
    output.may_write.set()
    output._thread.join(LONG)
    assert output.written == [0]


def test_a_stop_does_not_wait_for_a_consumer_that_is_away() -> None:
    output = Listed()
    output.fault = AWAY
    output.start()
    output.publish(numbered(0))
    output.wait_for_attempt()
    for number in range(1, 20):
        output.publish(numbered(number))
    output.stop(LONG)
    assert output.stopping.by > time.monotonic()
    assert not output.tried.acquire(blocking=False)  # not one attempt for each of them


def test_invented_meters_do_not_fill_memory_while_the_consumer_is_away() -> None:
    output = Listed(most=20)
    output.fault = AWAY
    output.start()
    output.publish(numbered(0))
    output.wait_for_attempt()
    for number in range(1, 500):  # waits for room, which only dropping makes
        output.publish(numbered(number, f"invented {number}", named=False, live=False))
    assert len(output.arrivals) <= 20
    output.stop(LONG)


def test_an_output_that_nobody_reads_any_more_is_over_without_a_failure() -> None:
    output = Listed()
    output.fault = BrokenPipeError()
    output.start()
    output.publish(numbered(1))
    output._thread.join(LONG)
    assert output.is_over
    assert output.failure is None
    output.publish(numbered(2))
    assert not output.is_busy


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_recording_that_waits_for_room_goes_on_when_the_output_ends(*, is_stopped: bool) -> None:
    output = Listed(most=2)
    output.may_write.clear()
    output.start()
    output.publish(numbered(0))
    output.wait_for_attempt()
    output.publish(numbered(1))
    if is_stopped:
        output.stopping.by = time.monotonic() + LONG
    else:
        output.fault = ValueError("a fault of the program")
        output.may_write.set()
    output.publish(numbered(2, live=False))
    output.may_write.set()
    output.stop(LONG)
    assert (output.failure is None) is is_stopped


def test_a_recording_that_waits_for_room_goes_on_at_a_stop_though_the_consumer_stalls() -> None:
    output = Listed(most=2)
    output.may_write.clear()
    output.start()
    output.publish(numbered(0))
    output.wait_for_attempt()
    output.publish(numbered(1))
    recording = threading.Thread(target=output.publish, args=(numbered(2, live=False),))
    recording.start()
    recording.join(0.05)  # likely it waits then; if not, it need not be freed
    output.stop(0.01)
    recording.join(LONG / 3)  # the stall ends after LONG
    assert not recording.is_alive()
    output.may_write.set()
    output._thread.join(LONG)
