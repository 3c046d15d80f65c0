"""Which of many slashes begins a telegram is found in one pass, and is the same as trying each of them."""

import random
import re

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from smarty_gateway.protocol.telegram import Checksum, checksum_of, text_from, with_crlf
from smarty_gateway.protocol.telegram_start import first_right_start, last_header_start, possible_starts
from vectors.building_blocks import crc16, with_parity

#: Their CRC is 0. So if the CRC is right from behind them, it is right from their slash, too.
WITHOUT_EFFECT = b"/" + crc16(b"/").to_bytes(2, "little")
#: What texts are made of here; much that differs by a NUL, by a line end or by parity only.
PIECES = (
    b"/", b"/A", b"/ABC5", b"/(A)B", b"//", WITHOUT_EFFECT, b"A", b"x" * 123, b"(1)", b"1-0:", b" ", b"!",
    b"\n1-0:1.8.0(1)", b"\x00", b"\r", b"\n", b"\r\n", b"\r\x00\n", b"\n\n\n",
    b"\xaf", b"\xafA", b"\xafABC5", b"\xb1-0:", b"\xe9",
)  # fmt: skip
#: What `last_header_start` looks for, from left to right.
HEADER_AND_OBJECT = re.compile(rb"/[!-~]{3}[^\n()]{0,124}(?:\r?\n){1,3}[0-9]{1,3}-[0-9]{1,3}:")
END_LINES = (b"%04X\r\n", b"%X \x00\r\n", b"%04X\n", b"%04x")


@st.composite
def _texts(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw a text and how much of it the CRC covers. From some slash on the CRC is often right."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    body = b"".join(rng.choices(PIECES, k=rng.randrange(60))) + b"\n!"
    if rng.random() < 0.3:
        body = with_parity(bytes(byte & 0x7F for byte in body))
    covered = text_from(body, rng.choice(_slashes(body) or [0]))
    if rng.random() < 0.5:
        covered = with_crlf(covered.replace(b"\x00", b""))
    end_line = rng.choice(END_LINES) % rng.choice([crc16(covered), crc16(covered), 0x1234])
    if rng.random() < 0.3:
        end_line = rng.choice([with_parity(end_line), b"\r\n", b"\x8d\n"])
    return body + end_line, len(body)


def _slashes(text: bytes) -> list[int]:
    return [at for at, byte in enumerate(text) if byte & 0x7F == ord("/")]


def _has_even_parity(text: bytes) -> bool:
    return all(byte.bit_count() % 2 == 0 for byte in text)


@given(_texts())
def test_behind_a_slash_with_parity_all_bytes_have_even_parity(drawn: tuple[bytes, int]) -> None:
    text, _ = drawn
    slashes = _slashes(text)
    expected = [at for at in slashes if text[at] == ord("/") or _has_even_parity(text[at:])]
    assert list(possible_starts(text, slashes)) == expected


@settings(max_examples=500, deadline=None)
@given(_texts(), st.integers(0, 20))
def test_the_start_that_is_found_is_the_first_one_whose_crc_is_right(
    drawn: tuple[bytes, int], left_out: int
) -> None:
    text, body_size = drawn
    slashes = [at for at in _slashes(text[:body_size]) if at % 11 != left_out]
    starts = possible_starts(text, slashes)
    right = (at for at in starts if checksum_of(text_from(text, at), body_size - at) is Checksum.RIGHT)
    assert first_right_start(text, starts, body_size) == next(right, None)


def test_a_start_behind_thousands_of_slashes_is_found() -> None:
    body = b"/A" * 8000 + b"/ABC5\n\x00\n1-0:1.8.0(1)\n!"
    first = body.index(b"/ABC5")
    for covered in (body[first:], with_crlf(body[first:].replace(b"\x00", b""))):
        text = body + b"%04X\r\n" % crc16(covered)
        for written in (text, with_parity(text)):
            assert first_right_start(written, _slashes(written), len(body)) == first


def test_without_a_crc_in_the_end_line_no_start_is_right() -> None:
    for end_line in (b"\r\n", b"\xb1\xb2\x8d\n"):
        text = b"/ABC5\r\n" * 6 + b"!" + end_line
        assert first_right_start(text, _slashes(text), text.index(b"!") + 1) is None


def test_a_byte_that_looks_like_a_slash_with_parity_does_not_hide_the_slashes_without() -> None:
    body = b"\xaf/A" * 10 + b"/ABC5\r\n!"
    text = body + b"%04X\r\n" % crc16(b"/ABC5\r\n!")
    assert first_right_start(text, possible_starts(text, _slashes(text)), len(body)) == 30


def test_of_several_starts_whose_crc_is_right_the_first_counts() -> None:
    body = b"/A" * 10 + WITHOUT_EFFECT + WITHOUT_EFFECT + b"/ABC5\r\n!"
    text = body + b"%04X\r\n" % crc16(b"/ABC5\r\n!")
    assert first_right_start(text, _slashes(text), len(body)) == 20


@settings(max_examples=300, deadline=None)
@given(_texts(), st.integers(0, 20))
def test_the_header_that_is_found_is_the_last_one_with_an_object_behind_it(
    drawn: tuple[bytes, int], left_out: int
) -> None:
    text = bytes(byte & 0x7F for byte in drawn[0])
    starts = [at for at in _slashes(text) if at % 11 != left_out]
    assume(starts)
    headers = [match.start() for match in HEADER_AND_OBJECT.finditer(text, starts[0])]
    expected = [at for at in headers if at in starts]
    for written in (text, with_parity(text)):
        assert last_header_start(written, starts) == (expected[-1] if expected else None)


def test_a_header_line_with_more_than_128_characters_is_not_found() -> None:
    for length, found in ((128, 0), (129, None)):
        text = b"/".ljust(length, b"x") + b"\r\n1-0:1.8.0(1)\r\n!\r\n"
        assert last_header_start(text, [0]) == found


def test_a_header_line_that_begins_at_no_start_is_not_found() -> None:
    text = b"/ABC5\r\n//XYZ5\r\n1-0:1.8.0(1)\r\n!\r\n"
    assert last_header_start(text, [0, 8]) is None


def test_a_header_with_parity_is_found_behind_slashes_without() -> None:
    noise = b"/ABC\r\n1-0:1.8.0(1)\r\n/xyz "
    text = noise + with_parity(b"/ABC5\r\n\r\n1-0:1.8.0(1)\r\n!\r\n")
    assert last_header_start(text, possible_starts(text, _slashes(text))) == len(noise)
