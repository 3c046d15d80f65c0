"""A frame counter must rise; what it leaves out is counted as missed."""

import pytest

from smarty_gateway.protocol.counters import FrameCounters

TITLE = b"SAG12345"


@pytest.mark.parametrize(("counter", "is_replay"), [(9, True), (10, True), (11, False)])
def test_a_counter_that_is_not_above_the_last_is_a_replay(counter: int, *, is_replay: bool) -> None:
    counters = FrameCounters({(TITLE, "key"): 10})
    assert counters.is_replay(TITLE, "key", counter) is is_replay
    assert not counters.is_replay(TITLE, "another key", counter)
    assert not counters.is_replay(b"another!", "key", counter)


@pytest.mark.parametrize(("counter", "missed"), [(11, 0), (12, 1), (13, 2)])
def test_frames_between_two_counters_are_missed(counter: int, missed: int) -> None:
    counters = FrameCounters()
    counters.advance(TITLE, "key", 10)
    counters.advance(TITLE, "key", counter)
    assert counters.gaps == missed
    counters.advance(TITLE, "key", counter + 3)
    assert counters.gaps == missed + 2


@pytest.mark.parametrize("counter", [0, 1, 500])
def test_before_the_first_frame_and_after_a_reset_none_was_missed(counter: int) -> None:
    counters = FrameCounters()
    counters.advance(TITLE, "key", counter)
    counters.reset(TITLE)
    assert not counters.is_replay(TITLE, "key", 0)
    counters.advance(TITLE, "key", counter)
    assert counters.gaps == 0


def test_a_counter_of_zero_is_followed_by_one() -> None:
    counters = FrameCounters({(TITLE, "key"): 0})
    assert counters.is_replay(TITLE, "key", 0)
    counters.advance(TITLE, "key", 1)
    counters.advance(TITLE, "key", 3)
    assert counters.gaps == 1


def test_frames_that_passed_while_nobody_listened_are_not_missed() -> None:
    counters = FrameCounters({(TITLE, "key"): 10})
    counters.advance(TITLE, "key", 400)
    assert counters.gaps == 0
