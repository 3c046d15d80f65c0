"""What bytes that hold no telegram look like: an inverted line, wrong line settings, another protocol.

Pure: bytes in, a verdict out. `diagnosis` asks only where no frame and no telegram came through.

**An inverted line.** A character goes out as a start bit 0, eight bits with the lowest first, and a
stop bit 1; between characters the line is 1. Inverted, it rests at 0 (a break), and the receiver takes
the first fall from 1 to 0 as a start bit, which lies somewhere inside a character. Wherever that is, a
0 will sooner or later stand where it wants its stop bit, and it moves on to another fall. For text one
place is stable: the inverted eighth bit is always 1 and the inverted stop bit behind it always 0. Once
a receiver takes that for a start bit it stays there, and a character d arrives as `~(d << 1)`, with its
lowest bit set. UARTs differ in what they do after a missing stop bit, so the text is looked for at each
of the ten places where it can begin. Ciphertext has no stable place. But a frame comes after a rest, so
the bytes in which its beginning (`DB 08` and the letters of the maker) arrives are always the same;
they are computed here for the makers of P1 meters. Neither works where the sender pauses between the
characters, which meters do not.

**Wrong settings.** Seven bits and even parity, read as eight bits, give bytes with an even number of
ones that are text without the highest bit. A sender that is eight times slower or more changes the line
at most once within a byte that is read.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final

from smarty_gateway.protocol.frame import FRAME_PREFIX
from smarty_gateway.protocol.telegram import TEXT_BYTES
from smarty_gateway.sources.address import DSMR2_LINE, LineSettings

#: More bytes make no verdict surer, only slower.
_EXAMINED: Final = 16384
#: Fewer bytes than this are no ground for a verdict by counting.
_ENOUGH: Final = 40
_MOST: Final = 0.9
#: Random bytes and sound telegrams give less than a thousandth.
_TEXT_SHARE: Final = 0.1
#: So many bytes in a row are looked at for inverted text; a receiver that goes astray spoils one piece.
_PIECE: Final = 5
_MAKERS: Final = (b"SAG", b"LGZ", b"ISK", b"KFM", b"ITR", b"ELS", b"KAM", b"EST")
#: A receiver that sees a line at the wrong level reads NULs, so here they are no text.
_TEXT: Final = TEXT_BYTES.replace(b"\x00", b"")
_MASK: Final = bytes(byte & 0x7F for byte in range(256))
_COMPLEMENT: Final = bytes(byte ^ 0xFF for byte in range(256))
#: What telegrams are mostly made of; much less than all printable characters, so chance seldom hits it.
_TELEGRAM_CHARACTERS: Final = frozenset(b"0123456789.:-()*\r\n/!kWVAhmvarSL")
_OBIS_LINE: Final = re.compile(rb"\d-\d:\d{1,2}\.\d{1,2}\.\d")
_FRAME_BEGINNING: Final = re.compile(rb"\xdb\x08[A-Z]{3}")
#: What frames and P1 telegrams begin with (the 5 stands for mode D of IEC 62056-21).
BEGINNING: Final = re.compile(_FRAME_BEGINNING.pattern + rb"|/[A-Za-z]{3}5")


class Kind(StrEnum):
    """What the bytes are."""

    INVERTED = "inverted"
    LINE_SETTINGS = "line-settings"
    OTHER_PROTOCOL = "not-p1"


@dataclass(frozen=True, slots=True)
class Signal:
    """A verdict on bytes.

    Attributes:
        name: of the protocol, or how the settings were recognised.
        line: the right settings, where they can be told.
    """

    kind: Kind
    name: str
    line: LineSettings | None = None


#: Names of protocols, and what finds each.
_Protocols = Sequence[tuple[str, Callable[[bytes], bool]]]


def examine(data: bytes) -> Signal | None:
    """Say what bytes are that hold no telegram, None if they look like nothing that is known here."""
    data = data[:_EXAMINED]
    return _protocol(data) or _wrong_parity(data) or _inverted(data) or _slow(data) or _text(data)


# Protocols that are not P1


def wrapping(data: bytes) -> Signal | None:
    """Find another protocol that proves itself by its checksums, so that it may hold sound frames."""
    return _first_found(data[:_EXAMINED], _WRAPPINGS)


def _protocol(data: bytes) -> Signal | None:
    return _first_found(data, _PROTOCOLS)


def _first_found(data: bytes, protocols: _Protocols) -> Signal | None:
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
            if data[end : end + 1] == b"\x7e" and _crc_x25(data[at + 1 : end - 2]) == data[end - 2 : end]:
                return True
        at = data.find(b"\x7e", at + 1)
    return False


def _crc_x25(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x8408 if crc & 1 else crc >> 1
    return (crc ^ 0xFFFF).to_bytes(2, "little")


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
    """Find nothing but short frames that each end in Modbus's CRC: they would be answers to somebody."""
    if not 8 <= len(data) <= 256 or len(data) % 8:
        return False
    return all(_crc_modbus(data[i : i + 6]) == data[i + 6 : i + 8] for i in range(0, len(data), 8))


def _crc_modbus(data: bytes) -> bytes:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc.to_bytes(2, "little")


_WRAPPINGS: Final[_Protocols] = (
    ("DLMS in HDLC frames (7E A0 …)", _has_hdlc),
    ("M-Bus frames (68 L L 68 …), in which some Austrian meters wrap DLMS", _has_mbus),
)
_PROTOCOLS: Final[_Protocols] = (
    *_WRAPPINGS,
    ("SML, the protocol of German meters (1B 1B 1B 1B …)", _has_sml),
    ("the S1 port of a Flemish meter (7E 80 2B …), which is the socket beside P1", _has_s1),
    ("Modbus, or another protocol that waits for questions", _has_modbus),
)


def _text(data: bytes) -> Signal | None:
    """Text that is no telegram: the log of a device, a web page."""
    if len(data) < _ENOUGH or _text_share(data) < _MOST or _OBIS_LINE.search(data):
        return None
    return Signal(Kind.OTHER_PROTOCOL, "text that is no telegram, such as the log of a device or a web page")


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
    """Find that the line changes at most once within nearly every byte."""
    if len(data) < _ENOUGH or sum(_changes(byte) <= 1 for byte in data) < _MOST * len(data):
        return None
    return Signal(
        Kind.LINE_SETTINGS, "the bytes look like those of a sender much slower than the port", DSMR2_LINE
    )


def _changes(byte: int) -> int:
    return (byte ^ byte >> 1).bit_count() - (byte >> 7)


def looks_like_text(data: bytes) -> bool:
    """Tell whether nearly all of it is text, so that speed and framing are right."""
    return bool(data) and _text_share(data) >= _MOST


def _text_share(data: bytes) -> float:
    return 1 - len(data.translate(None, _TEXT)) / len(data)


# An inverted line


def _inverted(data: bytes) -> Signal | None:
    complement = data.translate(_COMPLEMENT)
    if _FRAME_BEGINNING.search(complement) or (len(data) >= _ENOUGH and _text_share(complement) >= _MOST):
        return Signal(Kind.INVERTED, "every byte is the complement of a telegram's")
    if any(beginning in data for beginning in _INVERTED_BEGINNINGS):
        return Signal(Kind.INVERTED, "the beginning of an encrypted frame, inverted bit by bit")
    if len(data) >= _ENOUGH and _inverted_text_share(data) >= _TEXT_SHARE:
        return Signal(Kind.INVERTED, "the text of a telegram, inverted bit by bit")
    return None


def _inverted_text_share(data: bytes) -> float:
    """Give how much of the data is inverted text at the best of the ten places it can begin at.

    The place may change where the receiver went astray, so the data is looked at in small pieces.
    """
    pieces = [data[at : at + _PIECE] for at in range(0, len(data) - _PIECE, _PIECE - 1)]
    return sum(_is_inverted_text(piece) for piece in pieces) / max(1, len(pieces))


def _is_inverted_text(piece: bytes) -> bool:
    bits: list[int | None] = []
    for byte in piece:
        # What was sent: the start bit that the receiver saw was a 1, its stop bit may have been either.
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


def received_inverted(data: bytes, idle_bits: int = 0) -> bytes:
    """Give what a receiver that waits for a fall reads of data on an inverted line, after a rest.

    Args:
        data: what is sent.
        idle_bits: how long the line rests between two characters.
    """
    line = [0] * 20
    for byte in data:
        line += [1, *(1 - (byte >> bit & 1) for bit in range(8)), 0, *[0] * idle_bits]
    falls = [at + 1 for at, pair in enumerate(pairwise(line)) if pair == (1, 0)]
    found = bytearray()
    ready = 0
    for fall in falls:
        if fall >= ready and fall + 10 <= len(line):
            found.append(_byte_of(line[fall + 1 : fall + 9]))
            ready = fall + 10
    return bytes(found)


def _byte_of(bits: Iterable[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))


#: The first five bytes are the same in every kind of receiver; with gaps some four are.
_INVERTED_BEGINNINGS: Final = tuple(
    received_inverted(FRAME_PREFIX + maker + b"\x67", idle_bits)[:5]
    for maker in _MAKERS
    for idle_bits in (0, 1, 2)
)
