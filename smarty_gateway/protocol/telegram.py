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

from fastcrc.crc16 import arc

# A port of DSMR 2.2 and 3.0 speaks with seven bits and even parity. Read with eight bits, half of its
# characters have bit 7 set: a slash is AF, a CR 8D; a line feed and an exclamation mark are as usual.
_DIGIT: Final = rb"[0-9A-Fa-f\xb1\xb2\xb4\xb7\xb8\xc3\xc5\xc6\xe1\xe2\xe4]"
#: The last line of a telegram. A NUL or blank may hang on it (seen behind some adapters).
END_LINE: Final = re.compile(rb"\n!(" + _DIGIT + rb"{0,4})[ \x00]{0,8}[\r\x8d]?\n")
#: The same where the input ends, or falls silent, before the line does.
END_LINE_AT_END: Final = re.compile(rb"\n!(" + _DIGIT + rb"{0,4})[ \x00]{0,8}[\r\x8d]?\Z")
#: The longest that one can be.
END_LINE_MAX: Final = 16
#: What stands around the digits.
_AROUND_DIGITS: Final = b" \x00\r\n"
#: What may still become one.
END_LINE_BEGUN: Final = END_LINE_AT_END
#: A slash with its parity bit.
SLASH_WITH_PARITY: Final = b"\xaf"
_WITHOUT_PARITY: Final = bytes(byte & 0x7F for byte in range(256))
#: What a text with parity bits is written with.
EVEN_BYTES: Final = bytes(byte for byte in range(256) if byte.bit_count() % 2 == 0)
#: What telegrams are written with. A NUL is none of it, but some adapters insert them.
TEXT_BYTES: Final = bytes([0x00, 0x09, 0x0A, 0x0D, *range(0x20, 0x7F)])
#: Marks of DSMR 4 and newer, of e-MUCS and of Luxembourg: all of these send a CRC.
_CRC_IS_DUE: Final = re.compile(
    rb"\n(?:1-[13][:.]0[.:]2[.:]8|0-0[:.]96[.:]1[.:]4|0-0[:.]1[.:]0[.:]0)(?:[.*:]255)?[^0-9.:]"
)
#: What an object line begins with; a text without any such line may be noise.
OBJECT_LINE: Final = re.compile(rb"\n[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}[.:]")


class Checksum(Enum):
    """What the CRC at the end of a telegram says."""

    RIGHT = "right"
    WRONG = "wrong"
    MISSING = "missing"


def checksum_of(text: bytes, body_size: int) -> Checksum:
    """Check the CRC of a telegram.

    A telegram copied by way of a text file has lost its CRs while its CRC still speaks of them, and
    some adapters put NULs between the characters. A second look mends both; the CRC proves the text
    all the same.

    Args:
        text: from the slash to the end of the end line.
        body_size: how much of it the CRC covers, which is up to the exclamation mark and with it.
    """
    digits = text[body_size:].strip(_AROUND_DIGITS)
    if not digits:
        return Checksum.MISSING
    if not digits.isascii():
        return Checksum.WRONG  # digits with a parity bit, in a text without
    body = text[:body_size]
    stated = int(digits, 16)
    if arc(body) == stated:
        return Checksum.RIGHT
    as_written = repaired(body)
    return Checksum.RIGHT if as_written != body and arc(as_written) == stated else Checksum.WRONG


def stated_crc(text: bytes, body_size: int) -> int | None:
    """Return the CRC in the end line, None if it has none, or one with parity bits in a text without."""
    digits = text[body_size:].strip(_AROUND_DIGITS)
    return int(digits, 16) if digits and digits.isascii() else None


def repaired(body: bytes) -> bytes:
    """Return a text without NULs and with the line ends that meters write."""
    return with_crlf(body.replace(b"\x00", b""))


def text_from(text: bytes, slash: int) -> bytes:
    """Return the text from a slash on, without parity bits if the slash has one."""
    part = text[slash:]
    return part.translate(_WITHOUT_PARITY) if part.startswith(SLASH_WITH_PARITY) else part


def last_other(data: bytes | bytearray, alphabet: bytes) -> int:
    """Return the offset of the last byte that is not in the alphabet, -1 if all are."""
    others = data.translate(None, alphabet)
    return data.rfind(others[-1:]) if others else -1


def without_parity(text: bytes) -> bytes | None:
    """Take the parity bits off; None if they are not those of even parity."""
    return None if text.translate(None, EVEN_BYTES) else text.translate(_WITHOUT_PARITY)


def with_crlf(text: bytes) -> bytes:
    """Give a text the line ends that meters write."""
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def is_text(data: bytes) -> bool:
    """Tell whether data holds nothing but what telegrams are written with."""
    return not data.translate(None, TEXT_BYTES)


def crc_is_due(text: bytes) -> bool:
    """Tell whether the objects of a telegram say that its meter is of a kind that sends a CRC."""
    return _CRC_IS_DUE.search(text.replace(b"\x00", b"").replace(b"\r", b"")) is not None


class ParsedTelegram(NamedTuple):
    """One telegram as the meter wrote it.

    Attributes:
        raw: byte for byte, from the slash to the end of its last line.
        body_size: how much of it the CRC covers, which is up to the exclamation mark and with it.
    """

    raw: bytes
    body_size: int
    checksum: Checksum

    @property
    def body(self) -> bytes:
        """What the CRC covers."""
        return self.raw[: self.body_size]

    def split(self) -> tuple[str, list[str]]:
        """Give the header without its slash, and the lines between it and the end that are not empty.

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
    """Cut a text into a telegram; None if it does not begin with a slash or never ends.

    Line breaks before the slash are skipped (some senders write one), and so is whatever follows
    the last line.
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
        end = END_LINE.match(text, at - 1) or END_LINE_AT_END.match(text, at - 1)
    raw = text[: end.end()]
    return ParsedTelegram(raw, at + 1, checksum_of(raw, at + 1))
