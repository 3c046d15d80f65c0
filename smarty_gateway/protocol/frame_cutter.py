r"""The frame cutter of an edge: every frame and plaintext telegram in a byte stream, without any key.

    ~~[=== frame ====)~~[== false [=== frame ====) false ==)~~/telegram CR LF ! 1 2 3 4 CR LF
                     ^ given                     ^         ^ given                            ^

`MeterStream` finds out with a key which of overlapping frames is true, and goes on behind it. An edge has no
key. So a frame changes nothing here for what lies inside or around it: whatever has a legal header is given
as soon as it is complete, and so is each telegram whose CRC is right, or which may come without one. What a
`MeterStream` with the keys would accept is among them.

Two bounds keep a flood of headers from growing on its way. A true frame holds ciphertext, which looks like a
header once in 40 million bytes, and a true telegram holds no second slash from which its CRC is right. So of
those that overlap, a true one is among the last to begin:

* Of the frames that cover a byte the last 8 to begin are followed. So each byte is given in 8 frames at most.
* Of the telegrams that end with a line the last 8 to begin are given, so each byte is in 8 of them at most.

No byte is searched twice. The buffer holds as many bytes as the longest frame has, and the last chunk.
"""

import re
from typing import Final, NamedTuple

from smarty_gateway.protocol.byte_stream import ByteStream
from smarty_gateway.protocol.decoder import decode
from smarty_gateway.protocol.frame import (
    AUTHENTICATED_AND_ENCRYPTED,
    HEADER_MAX,
    MAX_LENGTH,
    Header,
    read_header,
)
from smarty_gateway.protocol.telegram import (
    END_LINE,
    Checksum,
    ParsedTelegram,
    crc_is_due,
    is_text,
    stated_crc,
)
from smarty_gateway.protocol.telegram_start import last_header_starts, right_starts

#: How many frames, or telegrams with one end, may overlap.
OVERLAPPING: Final = 8
#: The first bytes of a frame and of an end line; two other pairs match as well and turn out to be neither.
_MARK: Final = re.compile(rb"[\xdb\n][\x08!]")
_FIRST_OF_FRAME: Final = 0xDB


class CutFrame(NamedTuple):
    """A frame with a legal header; nothing of it is verified.

    Attributes:
        offset: where it begins, in bytes from the start of the input.
        data: the whole frame, as it came.
    """

    offset: int
    data: bytes
    system_title: bytes


class CutTelegram(NamedTuple):
    """A plaintext telegram whose CRC is right, or is missing where it may be.

    Attributes:
        offset: where it begins, in bytes from the start of the input.
        data: from the slash to the end of its last line, as it came.
        meter_id: the identity in it, else its header line.
    """

    offset: int
    data: bytes
    meter_id: str


class _Open(NamedTuple):
    """A frame that has begun."""

    start: int
    end: int


class FrameCutter(ByteStream[CutFrame | CutTelegram]):
    """Cuts the stream of one source; events come in the order in which they end."""

    def __init__(self) -> None:
        super().__init__()
        self._at = 0  # everything before is searched
        self._open: list[_Open] = []  # in the order in which they begin
        self._text_from = 0  # behind the last end line; a telegram holds only one
        self._settled = 0  # up to here everything was given or is noise
        self._noise = 0

    def receive_silence(self) -> None:
        """End what is open: nothing came for a while, or never will."""
        while self._advance(is_over=True):
            pass
        self._open.clear()
        self._settle(self._end)
        self._base = self._at = self._text_from = self._end
        self._buffer.clear()
        self._needed = 0

    @property
    def is_waiting(self) -> bool:
        """True if bytes are here that a silence would settle."""
        return self._settled < self._end

    @property
    def noise_bytes(self) -> int:
        """The number of bytes that belong to no event, as far as that is known."""
        return self._noise

    def _advance(self, *, is_over: bool) -> bool:
        match = _MARK.search(self._buffer, self._at - self._base)
        if match is None:
            self._at = max(self._at, self._end - 1)
            return self._wait()
        self._at = self._base + match.start()
        is_frame = self._buffer[match.start()] == _FIRST_OF_FRAME
        is_known = self._read_header(is_over=is_over) if is_frame else self._read_line(is_over=is_over)
        if not is_known:
            return self._wait()
        self._at += 1
        return True

    def _wait(self) -> bool:
        """Emit what is complete, then forget what no event can reach any more; False as in `_advance`."""
        if self._emit_frames(self._end):
            return True
        reach = max(self._text_from, self._at - MAX_LENGTH)
        keep = min([reach, *(frame.start for frame in self._open)])
        self._settle(keep)
        del self._buffer[: keep - self._base]
        self._base = keep
        self._needed = len(self._buffer) + 1
        return False

    def _settle(self, limit: int) -> None:
        self._noise += max(0, limit - self._settled)
        self._settled = max(limit, self._settled)

    def _copy(self, start: int, end: int) -> bytes:
        return bytes(memoryview(self._buffer)[start - self._base : end - self._base])

    # Frames

    def _read_header(self, *, is_over: bool) -> bool:
        """Follow the frame that begins here, if its header is legal; False if more data is needed."""
        start = self._at
        head = self._copy(start, start + HEADER_MAX)
        if len(head) < HEADER_MAX and not is_over:
            return False
        self._emit_frames(start + len(head))
        header = read_header(head)
        if isinstance(header, Header) and header.security == AUTHENTICATED_AND_ENCRYPTED:
            self._open.append(_Open(start, start + header.size + header.length))
            del self._open[:-OVERLAPPING]
        return True

    def _emit_frames(self, limit: int) -> bool:
        """Emit the frames that end up to a limit; False if there are none."""
        ready = [frame for frame in self._open if frame.end <= limit]
        if not ready:
            return False
        self._open = [frame for frame in self._open if frame.end > limit]
        for start, end in sorted(ready, key=lambda frame: frame.end):
            data = self._copy(start, end)
            self._events.append(CutFrame(start, data, data[2:10]))
            self._settle_event(start, end)
        return True

    # Telegrams

    def _read_line(self, *, is_over: bool) -> bool:
        """Emit the telegrams that end with the line here, if it is an end line; False as above."""
        match = END_LINE.match(self._buffer, self._at - self._base)
        if match is None:
            return True
        if not is_over and not match[0].endswith(b"\n"):
            return False
        end = self._base + match.end()
        self._emit_frames(end)
        start = max(self._text_from, end - MAX_LENGTH)
        text, body_size = self._copy(start, end), self._at + 2 - start
        self._text_from = end
        for first in _telegram_starts(text, body_size):
            data = text[first:]
            decoded = decode(ParsedTelegram(data, body_size - first, Checksum.RIGHT))
            meter_id = decoded.identity or decoded.header
            self._events.append(CutTelegram(start + first, data, meter_id))
            self._settle_event(start + first, end)
        return True

    def _settle_event(self, start: int, end: int) -> None:
        self._settle(start)
        self._settled = max(end, self._settled)


def _telegram_starts(text: bytes, body_size: int) -> list[int]:
    """Return where the telegrams begin that end with a text, in order.

    Args:
        text: up to the end of an end line.
        body_size: how much of it a CRC covers.
    """
    if stated_crc(text, body_size) is not None:
        return right_starts(text, body_size)[-OVERLAPPING:]
    starts = last_header_starts(text)[-OVERLAPPING:]
    return [start for start in starts if is_text(text[start:]) and not crc_is_due(text[start:])]
