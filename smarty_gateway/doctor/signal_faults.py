"""Classifies bytes that hold no telegram: an inverted line, wrong line settings, another protocol.

No I/O: bytes in, a verdict out. `diagnosis` asks only if no frame and no telegram came.

**An inverted line.** A character is sent as a start bit 0, eight bits with the lowest first, and a stop bit
1; between characters the line is 1. An inverted line rests at 0 (a break), and the receiver takes the first
fall from 1 to 0 as a start bit, which lies somewhere inside a character. Sooner or later it finds a 0 where
it expects a stop bit, and waits for another fall. For text one position is stable: the inverted eighth bit
is always 1 and the inverted stop bit after it always 0. Once a receiver takes that for a start bit it stays
there, and a character d arrives as `~(d << 1)`, with its lowest bit set. UARTs differ in what they do after
a missing stop bit, so the text is searched at each of the ten positions where it can begin. Ciphertext has
no stable position. But a frame comes after a pause, so the bytes in which its beginning (`DB 08` and the
letters of the maker) arrives are always the same, and are listed here for the makers of P1 meters. Neither
works if the sender pauses between the characters, which meters do not.

**Wrong settings.** Seven bits and even parity, read as eight bits, give bytes with an even number of
ones that are text without the highest bit. If the sender is eight times slower or more, the line changes at
most once within a byte that is read.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smarty_gateway.protocol.checksum import ibm_sdlc, modbus
from smarty_gateway.protocol.telegram import TEXT_BYTES
from smarty_gateway.sources.address import DSMR2_LINE, LineSettings

#: More bytes make a verdict slower, not safer.
_EXAMINED: Final = 16384
#: A verdict that rests on shares needs this many bytes.
_ENOUGH: Final = 40
_MOST: Final = 0.9
#: Random bytes and good telegrams have a share of inverted text below a thousandth.
_TEXT_SHARE: Final = 0.1
#: Inverted text is searched in pieces of this size; where the receiver loses its position, one is lost.
_PIECE: Final = 5
#: Without NUL, which a receiver reads from a line at the wrong level.
_TEXT: Final = TEXT_BYTES.replace(b"\x00", b"")
_MASK: Final = bytes(byte & 0x7F for byte in range(256))
_COMPLEMENT: Final = bytes(byte ^ 0xFF for byte in range(256))
#: Most characters of a telegram; far fewer than all printable ones, so random bytes seldom hit them.
_TELEGRAM_CHARACTERS: Final = frozenset(b"0123456789.:-()*\r\n/!kWVAhmvarSL")
_OBIS_LINE: Final = re.compile(rb"\d-\d:\d{1,2}\.\d{1,2}\.\d")
_FRAME_BEGINNING: Final = re.compile(rb"\xdb\x08[A-Z]{3}")
#: The beginning of a frame or a P1 telegram (the 5 stands for mode D of IEC 62056-21).
BEGINNING: Final = re.compile(_FRAME_BEGINNING.pattern + rb"|/[A-Za-z]{3}5")
#: What a receiver reads of `DB 08`, a maker and 67 on an inverted line, after a pause, if the sender
#: leaves 0, 1 or 2 bits between two characters. Without such bits all kinds of receivers read the same.
_INVERTED_BEGINNINGS: Final = tuple(
    map(
        bytes.fromhex,
        (
            "122FD5C5C5", "124FA58989", "128F451111",  # SAG
            "12EFC52DC5", "12CF965989", "128F165C29",  # LGZ
            "12AF2B95C5", "124F4B254B", "128F8B458B",  # ISK
            "122F6B95C5", "124FCB2989", "128F8B2E59",  # KFM
            "12AFEBB515", "124FCB952B", "128F8B152B",  # ITR
            "12AF9D65C5", "124F979625", "128F171656",  # ELS
            "122FAB95C5", "124F4B2989", "128F8B5111",  # KAM
            "12AF655DC5", "124F97E525", "128F175615",  # EST
        ),
    )
)  # fmt: skip


class Kind(StrEnum):
    """What the bytes are."""

    INVERTED = "inverted"
    LINE_SETTINGS = "line-settings"
    OTHER_PROTOCOL = "not-p1"


@dataclass(frozen=True, slots=True)
class Signal:
    """A verdict on bytes.

    Attributes:
        name: of the protocol, or by what the settings were recognised.
        line: the right settings, if they can be told.
    """

    kind: Kind
    name: str
    line: LineSettings | None = None


#: Names of protocols, and what finds each.
_Protocols = Sequence[tuple[str, Callable[[bytes], bool]]]


def examine(data: bytes) -> Signal | None:
    """Classify bytes that hold no telegram; None if nothing known here explains them."""
    data = data[:_EXAMINED]
    return _find(data, _PROTOCOLS) or _wrong_parity(data) or _inverted(data) or _slow(data) or _text(data)


# Protocols that are not P1


def wrapping(data: bytes) -> Signal | None:
    """Find another protocol by its checksums, which is proof even if there are good frames inside."""
    return _find(data[:_EXAMINED], _WRAPPINGS)


def _find(data: bytes, protocols: _Protocols) -> Signal | None:
    for name, finds in protocols:
        if finds(data):
            return Signal(Kind.OTHER_PROTOCOL, name)
    return None


def _has_hdlc(data: bytes) -> bool:
    """Find a flag, frame format type 3 with a length, and a flag where that says (ISO 13239, 4.9.3)."""
    at = data.find(b"\x7e")
    while 0 <= at < len(data) - 3:
        if data[at + 1] & 0xF0 == 0xA0:
            end = at + 1 + ((data[at + 1] & 0x07) << 8 | data[at + 2])
            frame, flag = data[at + 1 : end], data[end : end + 1]
            if flag == b"\x7e" and ibm_sdlc(frame[:-2]).to_bytes(2, "little") == frame[-2:]:
                return True
        at = data.find(b"\x7e", at + 1)
    return False


def _has_mbus(data: bytes) -> bool:
    """Find a long frame with its sum and its stop byte (EN 13757-2)."""
    for match in re.finditer(rb"\x68([\x03-\xff])\1\x68", data):
        begin = match.end()
        end = begin + match[1][0]
        if data[end + 1 : end + 2] == b"\x16" and sum(data[begin:end]) & 0xFF == data[end]:
            return True
    return False


def _has_sml(data: bytes) -> bool:
    return b"\x1b\x1b\x1b\x1b\x01\x01\x01\x01" in data


def _has_s1(data: bytes) -> bool:
    """Find two frames of the 45 bytes that the S1 port sends (e-MUCS H 1.3, chapter 4)."""
    head = b"\x7e\x80\x2b"
    at = data.find(head)
    return at >= 0 and data[at + 44 : at + 45] == b"\x7e"


def _has_modbus(data: bytes) -> bool:
    """Find nothing but short frames that each end in the CRC of Modbus."""
    if not 8 <= len(data) <= 256 or len(data) % 8:
        return False
    return all(
        modbus(data[at : at + 6]).to_bytes(2, "little") == data[at + 6 : at + 8]
        for at in range(0, len(data), 8)
    )


_WRAPPINGS: Final[_Protocols] = (
    ("DLMS in HDLC frames (7E A0 …)", _has_hdlc),
    ("M-Bus frames (68 L L 68 …), in which some Austrian meters wrap DLMS", _has_mbus),
)
_PROTOCOLS: Final[_Protocols] = (
    *_WRAPPINGS,
    ("SML, the protocol of German meters (1B 1B 1B 1B …)", _has_sml),
    ("the S1 port of a Flemish meter (7E 80 2B …), which is the socket beside P1", _has_s1),
    ("Modbus, or another protocol in which a device only answers requests", _has_modbus),
)


def _text(data: bytes) -> Signal | None:
    if len(data) < _ENOUGH or _text_share(data) < _MOST or _OBIS_LINE.search(data):
        return None
    return Signal(Kind.OTHER_PROTOCOL, "text without a telegram, such as the log of a device or a web page")


# Wrong settings


def parity_of(data: bytes) -> LineSettings | None:
    """Tell the framing of text that was sent with seven bits and a parity bit, and read with eight."""
    data = data[:_EXAMINED]
    with_bit = sum(byte >> 7 for byte in data)
    if len(data) < _ENOUGH or not 0.15 <= with_bit / len(data) <= 0.85:
        return None
    if _text_share(data.translate(_MASK)) < _MOST:
        return None
    even = sum(byte.bit_count() % 2 == 0 for byte in data) / len(data)
    if even >= _MOST:
        return LineSettings(DSMR2_LINE.speed, "7E1")
    return LineSettings(DSMR2_LINE.speed, "7O1") if even <= 1 - _MOST else None


def _wrong_parity(data: bytes) -> Signal | None:
    line = parity_of(data)
    if line is None:
        return None
    return Signal(Kind.LINE_SETTINGS, "every character carries a parity bit in its highest place", line)


def _slow(data: bytes) -> Signal | None:
    """Recognise that the line changes at most once within nearly every byte."""
    if len(data) < _ENOUGH or sum(_changes(byte) <= 1 for byte in data) < _MOST * len(data):
        return None
    return Signal(Kind.LINE_SETTINGS, "the sender seems to be much slower than the port", DSMR2_LINE)


def _changes(byte: int) -> int:
    return (byte ^ byte >> 1).bit_count() - (byte >> 7)


def looks_like_text(data: bytes) -> bool:
    """True if nearly all of it is text, so speed and framing are right."""
    return bool(data) and _text_share(data) >= _MOST


def _text_share(data: bytes) -> float:
    return 1 - len(data.translate(None, _TEXT)) / len(data)


# An inverted line


def _inverted(data: bytes) -> Signal | None:
    complement = data.translate(_COMPLEMENT)
    if _FRAME_BEGINNING.search(complement) or (len(data) >= _ENOUGH and _text_share(complement) >= _MOST):
        return Signal(Kind.INVERTED, "the complement of a telegram")
    if any(beginning in data for beginning in _INVERTED_BEGINNINGS):
        return Signal(Kind.INVERTED, "the beginning of an encrypted frame, inverted bit by bit")
    if len(data) >= _ENOUGH and _inverted_text_share(data) >= _TEXT_SHARE:
        return Signal(Kind.INVERTED, "the text of a telegram, inverted bit by bit")
    return None


def _inverted_text_share(data: bytes) -> float:
    """Return the share of the data that is inverted text, at any of the ten positions.

    The position changes wherever the receiver loses it, so the data is examined in small pieces.
    """
    pieces = [data[at : at + _PIECE] for at in range(0, len(data) - _PIECE, _PIECE - 1)]
    return sum(_is_inverted_text(piece) for piece in pieces) / max(1, len(pieces))


def _is_inverted_text(piece: bytes) -> bool:
    bits: list[int | None] = []
    for byte in piece:
        # The bits as sent: the start bit that the receiver saw was a 1, its stop bit may have been either.
        bits += [1, *(1 - (byte >> bit & 1) for bit in range(8)), None]
    return any(
        all(_is_character(bits[at : at + 10]) for at in range(place, len(bits) - 9, 10))
        for place in range(10)
    )


def _is_character(bits: Sequence[int | None]) -> bool:
    if bits[0] == 1 or bits[9] == 0 or bits[8] == 1:
        return False
    value = unknown = 0
    for place, bit in enumerate(bits[1:8]):
        if bit is None:
            unknown = 1 << place
        else:
            value |= bit << place
    return value in _TELEGRAM_CHARACTERS or (value | unknown) in _TELEGRAM_CHARACTERS
