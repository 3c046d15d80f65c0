"""The replay rule of a pool: never the same counter twice, and none far behind the highest."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.protocol.replay_window import WINDOW, ReplayWindow

TITLE = b"SAG12345"
METER = (TITLE, "key")
HIGHEST = 5000
TOP = 2**32 - 1


def accepts(window: ReplayWindow, counter: int) -> bool:
    """Take a frame, and return whether it was accepted."""
    if window.is_replay(*METER, counter):
        assert str(counter) in window.why_replay(*METER, counter)
        return False
    window.advance(*METER, counter)
    return True


@pytest.mark.parametrize(
    ("counter", "is_accepted"),
    [
        (HIGHEST + 1, True),
        (HIGHEST, False),
        (HIGHEST - 1, True),
        (HIGHEST - 1023, True),
        (HIGHEST - 1024, False),
        (HIGHEST - 1025, False),
        (0, False),
        (TOP, True),
    ],
)
def test_a_counter_is_accepted_within_the_window_and_above_it(counter: int, *, is_accepted: bool) -> None:
    window = ReplayWindow({METER: HIGHEST})
    assert accepts(window, counter) is is_accepted
    assert not accepts(window, counter)
    assert window.last_accepted(*METER) == max(HIGHEST, counter if is_accepted else 0)


@pytest.mark.parametrize(
    ("counter", "message"),
    [
        (HIGHEST, "frame counter 5000 was accepted before"),
        (HIGHEST - 1024, "frame counter 3976 is 1024 or more behind 5000, the highest one accepted"),
    ],
)
def test_the_message_says_whether_a_counter_was_seen_or_is_too_old(counter: int, message: str) -> None:
    assert ReplayWindow({METER: HIGHEST}).why_replay(*METER, counter) == message


@pytest.mark.parametrize("gap", [1, 2, 1022, 1023, 1024, 1025, 3000, TOP - HIGHEST])
def test_a_gap_of_any_length_leaves_the_window_right(gap: int) -> None:
    window = ReplayWindow({METER: HIGHEST - 1})
    assert accepts(window, HIGHEST)
    assert accepts(window, HIGHEST + gap)
    assert not accepts(window, HIGHEST)
    assert accepts(window, HIGHEST + gap - 1) is (gap > 1)
    # The oldest within the window, if it is none of the two that were seen.
    assert accepts(window, HIGHEST + gap - 1023) is (gap not in (1022, 1023))


@pytest.mark.parametrize("first", [0, 1, 1023, 1024, TOP])
def test_the_first_counter_of_a_meter_may_be_any(first: int) -> None:
    window = ReplayWindow({})
    assert not window.has_title(TITLE)
    assert window.last_accepted(*METER) is None
    assert accepts(window, first)
    assert window.has_title(TITLE)
    assert not accepts(window, first)


def test_each_title_and_each_key_has_a_window_of_its_own() -> None:
    window = ReplayWindow({METER: HIGHEST})
    assert window.has_title(TITLE)
    assert not window.is_replay(TITLE, "another key", HIGHEST)
    assert not window.is_replay(b"another!", "key", HIGHEST)
    assert window.last_accepted(TITLE, "another key") is None


# At both ends of what 32 bits hold, and behind gaps of about the length of the window.
COUNTERS = st.one_of(
    st.integers(0, 40),
    st.integers(1000, 1060),
    st.integers(2030, 2100),
    st.integers(TOP - 1100, TOP),
    st.integers(0, TOP),
)


@given(st.none() | COUNTERS, st.lists(COUNTERS, max_size=60))
@example(None, [0, 1023, 0, 1024, 1, 0])
@example(0, [1024, 1, 0])
def test_a_counter_is_accepted_if_a_list_of_everything_seen_says_so(
    loaded: int | None, counters: list[int]
) -> None:
    window = ReplayWindow({} if loaded is None else {METER: loaded})
    seen = [] if loaded is None else [loaded]
    for counter in counters:
        is_new = counter not in seen and (not seen or counter > max(seen) - WINDOW)
        assert accepts(window, counter) is is_new
        if is_new:
            seen.append(counter)
        assert window.last_accepted(*METER) == max(seen)


@given(st.permutations(range(40)), st.integers(0, 3))
def test_frames_in_any_order_and_any_number_of_times_are_each_accepted_once(
    order: list[int], repeats: int
) -> None:
    window = ReplayWindow({})
    accepted = [counter for counter in order * (1 + repeats) if accepts(window, counter)]
    assert accepted == order
