"""Which of many slashes begins a telegram is found in one pass, and is the same as trying each of them."""

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.telegram import Checksum, checksum_of, with_crlf
from smarty_gateway.protocol.telegram_start import last_header_starts, right_starts
from vectors.building_blocks import crc16

#: Their CRC is 0. So if the CRC is right from behind them, it is right from their slash, too.
WITHOUT_EFFECT = b"/" + crc16(b"/").to_bytes(2, "little")
#: What texts are made of here; much that differs by a NUL or a line end only.
PIECES = (
    b"/", b"/A", b"/ABC5", b"/(A)B", b"//", WITHOUT_EFFECT, b"A", b"x" * 123, b"(1)", b"1-0:", b" ", b"!",
    b"\n1-0:1.8.0(1)", b"\x00", b"\r", b"\n", b"\r\n", b"\r\x00\n", b"\n\n\n", b"\xe9",
)  # fmt: skip
#: What `last_header_starts` looks for, from left to right.
HEADER_AND_OBJECT = re.compile(rb"/[!-.0-~][!-~]{2}[^\n()]{0,124}(?:\r?\n){1,3}[0-9]{1,3}-[0-9]{1,3}:")
END_LINES = (b"%04X\r\n", b"%X \x00\r\n", b"%04X\n", b"%04x")


@st.composite
def _texts(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw a text and how much of it the CRC covers. From some slash on the CRC is often right."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    body = b"".join(rng.choices(PIECES, k=rng.randrange(60))) + b"\n!"
    covered = body[rng.choice(_slashes(body) or [0]) :]
    if rng.random() < 0.5:
        covered = with_crlf(covered.replace(b"\x00", b""))
    end_line = rng.choice(END_LINES) % rng.choice([crc16(covered), crc16(covered), 0x1234])
    return body + rng.choice([end_line, end_line, end_line, b"\r\n"]), len(body)


def _slashes(text: bytes) -> list[int]:
    return [at for at, byte in enumerate(text) if byte == ord("/")]


@settings(max_examples=500, deadline=None)
@given(_texts())
def test_the_starts_that_are_found_are_those_whose_crc_is_right(drawn: tuple[bytes, int]) -> None:
    text, body_size = drawn
    slashes = _slashes(text[:body_size])
    right = [at for at in slashes if checksum_of(text[at:], body_size - at) is Checksum.RIGHT]
    assert right_starts(text, body_size) == right


def test_a_start_behind_thousands_of_slashes_is_found() -> None:
    body = b"/A" * 8000 + b"/ABC5\n\x00\n1-0:1.8.0(1)\n!"
    first = body.index(b"/ABC5")
    for covered in (body[first:], with_crlf(body[first:].replace(b"\x00", b""))):
        text = body + b"%04X\r\n" % crc16(covered)
        assert right_starts(text, len(body)) == [first]


def test_without_a_crc_in_the_end_line_no_start_is_right() -> None:
    text = b"/ABC5\r\n" * 6 + b"!\r\n"
    assert right_starts(text, text.index(b"!") + 1) == []


def test_all_starts_whose_crc_is_right_are_found_in_order() -> None:
    body = b"/A" * 10 + WITHOUT_EFFECT + WITHOUT_EFFECT + b"/ABC5\r\n!"
    text = body + b"%04X\r\n" % crc16(b"/ABC5\r\n!")
    assert right_starts(text, len(body)) == [20, 23, 26]


@settings(max_examples=300, deadline=None)
@given(_texts())
def test_the_starts_of_the_last_header_line_with_an_object_behind_it_are_found(
    drawn: tuple[bytes, int],
) -> None:
    text, _ = drawn
    starts = [at for at in _slashes(text) if HEADER_AND_OBJECT.match(text, at)]
    in_last_line = [at for at in starts if b"\n" not in text[at : starts[-1]]]
    assert last_header_starts(text) == in_last_line


def test_a_header_line_with_more_than_128_characters_is_not_found() -> None:
    for length, found in ((128, [0]), (129, [])):
        text = b"/".ljust(length, b"x") + b"\r\n1-0:1.8.0(1)\r\n!\r\n"
        assert last_header_starts(text) == found
