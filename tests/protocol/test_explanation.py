"""A frame field by field: offsets, bytes and meaning are right, and nothing secret is among them."""

import pytest

from smarty_gateway.protocol.explanation import Explained, explain
from smarty_gateway.protocol.key_ring import KeyRing, Verification
from tests.support.streams import OTHER_KEY, meter_key, read, sample_keys
from vectors.building_blocks import HOUSE_KEY, HOUSE_TITLE, belgium, frame, luxembourg


def explained(data: bytes, keys: KeyRing | None = None) -> list[Explained]:
    keys = sample_keys() if keys is None else keys
    (event,) = read(data, keys)
    return list(explain(event, data[event.offset : event.offset + event.size], keys))


def meaning(rows: list[Explained], field: str) -> str:
    (found,) = [row.meaning for row in rows if row.field == field]
    return found


def test_the_fields_of_a_frame_cover_all_its_bytes_in_order() -> None:
    data = frame(luxembourg(1), counter=4711)
    rows = explained(data)
    placed = [row for row in rows if row.offset is not None]
    sizes = [1, 1, 8, 3, 1, 4, len(data) - 18 - 12, 12]
    assert [row.offset for row in placed] == [sum(sizes[:number]) for number in range(len(sizes))]
    assert meaning(rows, "frame counter") == "4711"
    assert meaning(rows, "system title") == "stands for serial number SAG1030700012345"
    assert meaning(rows, "check, key 1") == "the tag verifies; the policy is required"
    assert "Luxembourg constant" in meaning(rows, "AAD, key 1")
    assert meaning(rows, "outcome").startswith("accepted, authenticated")


def test_each_key_is_tried_and_its_policy_told() -> None:
    keys = [meter_key(OTHER_KEY), meter_key(authentication_key=OTHER_KEY, verification=Verification.CRC_ONLY)]
    rows = explained(frame(luxembourg(1)), KeyRing({HOUSE_TITLE: keys}))
    assert meaning(rows, "check, key 1") == "the tag does not verify; the policy is required"
    assert meaning(rows, "check, key 2") == "the tag does not verify; the policy is crc-only"
    assert "your own" in meaning(rows, "AAD, key 2")


def test_no_key_and_no_refused_text_is_shown() -> None:
    damaged = belgium(1).replace(b"000531", b"000532")
    for data in (frame(luxembourg(1)), frame(luxembourg(1), key=OTHER_KEY), damaged):
        shown = repr(explained(data)).lower().replace(" ", "")
        assert HOUSE_KEY.hex()[:10] not in shown
        assert "00112233" not in shown
    assert damaged[:6].hex(" ").upper() not in repr(explained(damaged))


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        (b"\xdb\x07" + bytes(40), "fault", "this header states 7"),
        (frame(luxembourg(1))[:9], "fault", "cut short"),
        (frame(luxembourg(1)).replace(b"\x82", b"\x84", 1), "fault", "form 84"),
        (frame(luxembourg(1))[:-1], "fault", "1 of 1301 bytes are missing"),
        (
            frame(luxembourg(1), security=0xE1),
            "security byte",
            "suite 1, encrypted, broadcast key, compressed",
        ),
        (frame(luxembourg(1), title=b"12345678"), "system title", "another scheme"),
        (frame(luxembourg(1), title=b"12345678"), "keys", "none for this system title"),
        (belgium(1), "CRC-16/ARC", "over 875 bytes: right"),
        (belgium(1).replace(b"000531", b"000532"), "CRC-16/ARC", "wrong"),
        (b"/FLU5\r\n1-3:0.2.8(42)\r\n!\r\n", "CRC-16/ARC", "none is there"),
        (b"/FLU5\r\n1-3:0.2.8(42)\r\n!", "lines", "1 between"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(data: bytes, field: str, words: str) -> None:
    assert words in meaning(explained(data), field)
