r"""A DSMR telegram: where it begins and ends, its CRC, its lines.

    /Lux5\253663629_D CR LF     the header: a slash, three letters of the maker, a baud rate, a name
    CR LF
    1-3:0.2.8(42) CR LF         one object a line: OBIS code, then values in brackets
    ...
    !CFDE CR LF                 the end: CRC-16/ARC over everything from / to ! with both, in hex

Nothing here judges what a wrong or missing CRC means; that depends on how the telegram came (see
`meter`). Sources: DSMR 5.0.2 P1 clause 6.2, Luxmetering P1 specification 1.1.3 clause 3.2.2.
"""

import re
from enum import Enum
from typing import Final, NamedTuple

from smarty_gateway.protocol.checksum import arc

#: The last line of a telegram; its own line end may not have come. Some adapters append NULs or blanks.
END_LINE: Final = re.compile(rb"\n!([0-9A-Fa-f]{0,4})[ \x00]{0,8}\r?(?:\n|\Z)")
#: What stands around the digits.
_AROUND_DIGITS: Final = b" \x00\r\n"
#: The characters of a telegram, and NUL, which some adapters insert.
TEXT_BYTES: Final = bytes([0x00, 0x09, 0x0A, 0x0D, *range(0x20, 0x7F)])
#: Objects of DSMR 4 and newer, of e-MUCS and of Luxembourg: meters that send one of these send a CRC.
_CRC_IS_DUE: Final = re.compile(
    rb"\n(?:1-[13][:.]0[.:]2[.:]8|0-0[:.]96[.:]1[.:]4|0-0[:.]1[.:]0[.:]0)(?:[.*:]255)?[^0-9.:]"
)
#: The beginning of an object line; a text without one may be noise.
OBJECT_LINE: Final = re.compile(rb"\n[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}[.:]")


class Checksum(Enum):
    """The result of checking the CRC at the end of a telegram."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


def checksum_of(text: bytes, body_size: int) -> Checksum:
    """Check the CRC of a telegram.

    A telegram that was copied by way of a text file has lost its CRs while its CRC still covers them,
    and some adapters put NULs between the characters. So a CRC that does not fit is checked again for
    the text as the meter wrote it; if it fits that, it proves the text all the same.

    Args:
        text: from the slash to the end of the end line.
        body_size: how much of it the CRC covers, up to and including the exclamation mark.
    """
    stated = stated_crc(text, body_size)
    if stated is None:
        return Checksum.MISSING
    body = text[:body_size]
    if arc(body) == stated:
        return Checksum.RIGHT
    as_written = repaired(body)
    return Checksum.RIGHT if as_written != body and arc(as_written) == stated else Checksum.WRONG


def stated_crc(text: bytes, body_size: int) -> int | None:
    """Return the CRC in the end line, None if it has none."""
    digits = text[body_size:].strip(_AROUND_DIGITS)
    return int(digits, 16) if digits else None


def repaired(body: bytes) -> bytes:
    """Return a text without NULs and with the line ends that meters write."""
    return with_crlf(body.replace(b"\x00", b""))


def with_crlf(text: bytes) -> bytes:
    """Return a text with the line ends that meters write."""
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def is_text(data: bytes) -> bool:
    """True if data holds nothing but the characters of a telegram."""
    return not data.translate(None, TEXT_BYTES)


def crc_is_due(text: bytes) -> bool:
    """True if the objects of a telegram show that its meter is of a kind that sends a CRC."""
    return _CRC_IS_DUE.search(text.replace(b"\x00", b"").replace(b"\r", b"")) is not None


class ParsedTelegram(NamedTuple):
    """One telegram as the meter wrote it.

    Attributes:
        raw: byte for byte, from the slash to the end of its last line.
        body_size: how much of it the CRC covers, up to and including the exclamation mark.
    """

    raw: bytes
    body_size: int
    checksum: Checksum

    @property
    def body(self) -> bytes:
        """The bytes that the CRC covers."""
        return self.raw[: self.body_size]

    def split(self) -> tuple[str, list[str]]:
        """Return the header without its slash, and the lines between it and the end that are not empty.

        A byte beyond ASCII is one character (Latin-1).
        """
        content = self.raw[: self.body_size - 2].removesuffix(b"\r").decode("latin-1")
        if "\x00" in content:
            content = content.replace("\x00", "")
        lines = content.split("\r\n")
        if "\r" in lines[-1] or len(lines) <= content.count("\n"):  # some line ends otherwise
            lines = content.replace("\r", "").split("\n")
        return lines[0][1:], list(filter(None, lines[1:]))


def parse_telegram(text: bytes) -> ParsedTelegram | None:
    """Return the telegram in a text, None if the text does not begin with a slash or has no end line.

    Line breaks before the slash are skipped (some senders write one), and so is everything behind the
    end line.
    """
    if text[:1] != b"/":
        text = text.lstrip(b"\r\n \x00")
    if text[:1] != b"/":
        return None
    end, at = None, -1
    while end is None:
        at = text.find(b"!", at + 1)
        if at < 0:
            return None
        end = END_LINE.match(text, at - 1)
    raw = text[: end.end()]
    return ParsedTelegram(raw, at + 1, checksum_of(raw, at + 1))
