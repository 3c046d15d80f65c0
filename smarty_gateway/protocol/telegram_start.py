"""Where a telegram begins, if several slashes stand before its end line.

There may be thousands of them. So no text is cut for each slash and no CRC is computed for each: every
function here looks at each byte a fixed number of times, whatever the text holds.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from fastcrc.crc16 import arc

from smarty_gateway.protocol.telegram import (
    EVEN_BYTES,
    SLASH_WITH_PARITY,
    Checksum,
    checksum_of,
    last_other,
    repaired,
    stated_crc,
    text_from,
)

_SLASH: Final = ord("/")
#: This many starts are tried one by one. Usually there are no more, and arc is hundreds of times as fast as
#: a loop in Python.
_FEW: Final = 4
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
    rb":[0-9]{1,3}-[0-9]{1,3}(?:\n\r?){1,3}[^\n()]{0,124}[!-~]{3}/"
)


def possible_starts(text: bytes, starts: Sequence[int]) -> Sequence[int]:
    """Return those of the starts at which a telegram may begin.

    Behind a slash with a parity bit all bytes must have even parity.
    """
    if SLASH_WITH_PARITY not in text:
        return starts
    odd = last_other(text, EVEN_BYTES)
    return [start for start in starts if text[start] == _SLASH or start > odd]


def first_right_start(text: bytes, starts: Sequence[int], body_size: int) -> int | None:
    """Return the first start from which the CRC is right, None if there is none.

    The answer is the same as that of `checksum_of` for the text from each start.

    Args:
        text: up to the end of an end line.
        starts: offsets of slashes in the text, in order, as `possible_starts` returns them.
        body_size: how much of the text the CRC covers, up to and including the exclamation mark.
    """
    for start in starts[:_FEW]:
        if checksum_of(text_from(text, start), body_size - start) is Checksum.RIGHT:
            return start
    if len(starts) <= _FEW:
        return None
    right: set[int] = set()
    for first, plain in _by_parity(text, starts[_FEW:]):
        right.update(first + at for at in _right_slashes(plain, body_size - first))
    return min(right.intersection(starts), default=None)


def last_header_start(text: bytes, starts: Sequence[int]) -> int | None:
    """Return the last start of a header line with an object line behind it, None if there is none.

    Args:
        text: up to the end of an end line.
        starts: offsets of slashes in the text, in order, as `possible_starts` returns them.
    """
    wanted = set(starts)
    for _, plain in _by_parity(text, starts):
        for match in _OBJECT_AND_HEADER_REVERSED.finditer(plain[::-1]):
            start = len(text) - match.end()
            if start in wanted:
                return start
    return None


def _by_parity(text: bytes, starts: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Yield the first start with a parity bit and the first without, and the text from there.

    Those with a parity bit come last in a text, so they come first here.
    """
    for slash in (SLASH_WITH_PARITY, b"/"):
        if slash in text:
            first = next((start for start in starts if text.startswith(slash, start)), None)
            if first is not None:
                yield first, text_from(text, first)


def _right_slashes(text: bytes, body_size: int) -> list[int]:
    """Return the offsets of the slashes from which the CRC is right, of the text as it is or repaired."""
    crc = stated_crc(text, body_size)
    if crc is None:
        return []
    body = text[:body_size]
    right = _slashes_with_crc(body, crc)
    as_written = repaired(body)
    if as_written != body and (found := _slashes_with_crc(as_written, crc)):
        # A repair neither adds nor removes slashes.
        offset_of = dict(zip(_slashes(as_written), _slashes(body), strict=True))
        right += [offset_of[at] for at in found]
    return right


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
