"""The window keeps the bytes of recent events, and no more."""

from smarty_gateway.protocol.window import EVENT_REACH, Window
from vectors.building_blocks import HOUSE_TITLE, frame, luxembourg

FRAME = frame(luxembourg(1), counter=7)


def window(*chunks: bytes) -> Window:
    found = Window()
    for chunk in chunks:
        found.add(chunk)
    return found


def test_an_event_is_cut_out_by_its_offset() -> None:
    assert window(b"noise", FRAME[:100], FRAME[100:]).cut(5, 5 + len(FRAME)) == FRAME


def test_what_no_event_can_reach_any_more_is_dropped() -> None:
    found = window(FRAME, bytes(EVENT_REACH), b"new")
    assert found.cut(0, len(FRAME)) == b""
    assert found.cut(len(FRAME) + EVENT_REACH, len(FRAME) + EVENT_REACH + 3) == b"new"


def test_the_frame_of_an_event_is_read_from_its_bytes() -> None:
    found = window(b"noise", FRAME).frame(5, len(FRAME))
    assert found is not None
    assert (found.system_title, found.frame_counter) == (HOUSE_TITLE, 7)


def test_what_is_no_whole_frame_gives_none() -> None:
    found = window(FRAME)
    assert found.frame(1, len(FRAME) - 1) is None
    assert found.frame(0, len(FRAME) + 1) is None
