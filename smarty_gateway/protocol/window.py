"""The last bytes of the input, for callers who need the bytes of an event as they arrived."""

from typing import Final

from smarty_gateway.protocol.frame import HEADER_MAX, MAX_LENGTH, Frame, Header, cut_frame, read_header

#: No event begins further back than this many bytes before the end of the input.
EVENT_REACH: Final = 4 * MAX_LENGTH


class Window:
    """As many of the last bytes as an event can reach, found by their offset in the input."""

    def __init__(self) -> None:
        self._base = 0
        self._bytes = bytearray()

    def add(self, data: bytes) -> None:
        """Append input, and drop what no event can reach any more."""
        dropped = max(0, len(self._bytes) - EVENT_REACH)
        del self._bytes[:dropped]
        self._base += dropped
        self._bytes += data

    def cut(self, begin: int, end: int) -> bytes:
        """Return the bytes between two offsets, as far as they are still there."""
        return bytes(self._bytes[max(0, begin - self._base) : max(0, end - self._base)])

    def frame(self, offset: int, size: int) -> Frame | None:
        """Return the frame of an event, None if it is not a whole one."""
        data = self.cut(offset, offset + size)
        header = read_header(data[:HEADER_MAX])
        return cut_frame(offset, data, header) if isinstance(header, Header) and len(data) == size else None
