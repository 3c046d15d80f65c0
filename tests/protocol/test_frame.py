"""A header is read as soon as it is complete, and its length is legal from 18 to 16384 bytes."""

import pytest

from smarty_gateway.protocol.frame import FaultyHeader, Header, read_header

TITLE = bytes.fromhex("DB085341476770003039")


@pytest.mark.parametrize(
    ("length", "size"),
    [
        (b"\x12", 11), (b"\x7f", 11),
        (b"\x81\x12", 12), (b"\x81\x80", 12), (b"\x81\xff", 12),
        (b"\x82\x00\x12", 13), (b"\x82\x01\x00", 13), (b"\x82\x40\x00", 13),
    ],
)  # fmt: skip
def test_a_header_is_complete_with_its_security_byte_and_not_a_byte_before(length: bytes, size: int) -> None:
    head = TITLE + length + b"\x30"
    for end in range(1, len(head)):
        assert read_header(head[:end]) is None
    stated = int.from_bytes(length[-2:] if len(length) > 1 else length, "big") & (
        0xFF if len(length) < 3 else 0xFFFF
    )
    assert read_header(head) == Header(size, stated, 0x30)
    assert read_header(head + b"\xff") == Header(size, stated, 0x30)


@pytest.mark.parametrize("length", [b"\x11", b"\x81\x11", b"\x82\x00\x11", b"\x82\x40\x01", b"\x00"])
def test_a_length_beyond_the_limits_is_faulty_as_soon_as_it_is_known(length: bytes) -> None:
    head = TITLE + length + b"\x30"
    assert read_header(head[:-1]) is None
    faulty = read_header(head)
    assert isinstance(faulty, FaultyHeader)
    assert faulty.size == len(head) - 1


@pytest.mark.parametrize("form", [0x80, 0x83, 0x84, 0xFF])
def test_another_form_of_the_length_is_faulty(form: int) -> None:
    faulty = read_header(TITLE + bytes([form]))
    assert isinstance(faulty, FaultyHeader)
    assert faulty.size == 11


@pytest.mark.parametrize("title_size", [0, 7, 9, 255])
def test_a_title_of_another_length_is_faulty_after_two_bytes(title_size: int) -> None:
    faulty = read_header(bytes([0xDB, title_size]))
    assert isinstance(faulty, FaultyHeader)
    assert faulty.size == 2
