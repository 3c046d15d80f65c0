"""Where a telegram begins if several slashes stand before its end line.

There may be thousands of them. So no text is cut out for each slash and no CRC is computed for each:
every function here looks at each byte a fixed number of times, whatever the text holds.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from smarty_gateway.protocol.checksum import arc
from smarty_gateway.protocol.telegram import (
    OBJECT_LINE,
    TEXT_BYTES,
    Checksum,
    checksum_of,
    crc_is_due,
    repaired,
    stated_crc,
)

#: A slash and the three letters of the manufacturer (IEC 62056-21).
HEADER_LINE: Final = re.compile(rb"/(?=[!-.0-~][!-~]{2})")
#: Where a telegram begins, some bytes may be none of its characters (a Latin-1 name in the header line). Of
#: this many bytes of ciphertext 160 are.
HEAD_SIZE: Final = 256
_ODD_BYTES_MAX: Final = 64
_SLASH: Final = ord("/")
# A step of CRC-16/ARC is: after = STEP[(before ^ byte) & 0xFF] ^ before >> 8. No two entries of STEP have
# the same high byte, so the high byte of `after` tells the entry, and the step can be undone:
# before = (after & 0xFF) << 8 ^ _UNDO[after >> 8] ^ byte.
_UNDO: Final = [0] * 256
for _index in range(256):
    _step = arc(bytes([_index]))
    _UNDO[_step >> 8] = (_step & 0xFF) << 8 ^ _index
#: An object line and the header line before it, from right to left. So each header line is looked at once,
#: from its end, and not again from every slash in it.
_OBJECT_AND_HEADER_REVERSED: Final = re.compile(
    rb":[0-9]{1,3}-[0-9]{1,3}(?:\n\r?){1,3}[^\n()]{0,124}[!-~]{2}[!-.0-~]/"
)


def is_ciphertext(head: bytes) -> bool:
    """True if the bytes from a slash on are the beginning of no telegram; no end line is worth waiting for.

    Args:
        head: as many of the bytes as there are, up to `HEAD_SIZE`. More of them never make it False.
    """
    return len(head.translate(None, TEXT_BYTES)) > _ODD_BYTES_MAX


class EndLine(NamedTuple):
    """Where an end line is: from the line feed before its exclamation mark to behind its own."""

    start: int
    end: int


class Ending(NamedTuple):
    """Where the telegram that ends with a line may start.

    Attributes:
        right: the starts from which the CRC is right.
        doubtful: the first of these is to be judged where the CRC is right from none; the others only
            where a frame took the bytes of those before. Without any all may be noise.
        checksum: of the text from any other start.
    """

    line: EndLine
    right: Sequence[int] = ()
    doubtful: Sequence[int] = ()
    checksum: Checksum = Checksum.MISSING

    def start_from(self, slash: int, *, is_due: bool) -> int | None:
        """Return the start that is to be judged, of this slash and those behind it."""
        for start in (*self.right, *self.doubtful):
            if start >= slash:
                return start
        return slash if is_due and self.checksum is Checksum.WRONG else None

    def checksum_from(self, start: int) -> Checksum:
        """Return the checksum of the text from a start."""
        return Checksum.RIGHT if start in self.right else self.checksum


def read_ending(slash: int, text: bytes, line: EndLine) -> Ending:
    """Find where the telegram starts that ends with a line.

    Args:
        slash: the offset of the first possible start.
        text: from there to the end of the line.
        line: the first end line behind the slash.
    """
    body_size = line.start + 2 - slash
    checksum = checksum_of(text, body_size)
    if checksum is Checksum.RIGHT:
        return Ending(line, [slash], [], checksum)
    right = [slash + at for at in right_starts(text, body_size) if HEADER_LINE.match(text, at)]
    headers = last_header_starts(text)
    if not headers and OBJECT_LINE.search(text) and (checksum is Checksum.WRONG or crc_is_due(text)):
        headers = [0]  # the header line itself is damaged
    return Ending(line, right, [slash + at for at in headers], checksum)


def right_starts(text: bytes, body_size: int) -> list[int]:
    """Return the offsets of the slashes from which the CRC is right, in order.

    The answer is the same as that of `checksum_of` for the text from each slash.

    Args:
        text: up to the end of an end line.
        body_size: how much of the text the CRC covers, up to and including the exclamation mark.
    """
    crc = stated_crc(text, body_size)
    if crc is None:
        return []
    body = text[:body_size]
    right = set(_slashes_with_crc(body, crc))
    as_written = repaired(body)
    if as_written != body and (found := _slashes_with_crc(as_written, crc)):
        # A repair neither adds nor removes slashes.
        offset_of = dict(zip(_slashes(as_written), _slashes(body), strict=True))
        right.update(offset_of[at] for at in found)
    return sorted(right)


def last_header_starts(text: bytes) -> list[int]:
    """Return the slashes at which the last header line with an object line behind it may start, in order."""
    match = _OBJECT_AND_HEADER_REVERSED.search(text[::-1])
    if match is None:
        return []
    first = len(text) - match.end()
    return [slash.start() for slash in HEADER_LINE.finditer(text, first, text.index(b"\n", first))]


def _slashes_with_crc(body: bytes, crc: int) -> list[int]:
    """Return the offsets of the slashes from which the body has this CRC.

    The CRC starts from 0 and nothing is done to it at the end. So it is computed backwards from `crc`:
    where 0 is left before a slash, the body has this CRC from that slash.
    """
    undo = _UNDO
    found = []
    at = len(body)
    for byte in reversed(body):
        at -= 1
        crc = (crc & 0xFF) << 8 ^ undo[crc >> 8] ^ byte
        if crc == 0 and byte == _SLASH:
            found.append(at)
    return found


def _slashes(text: bytes) -> list[int]:
    return [at for at, byte in enumerate(text) if byte == _SLASH]
