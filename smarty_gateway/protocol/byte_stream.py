"""A byte stream as it comes from a source: in chunks of any size, with silences that end what is open."""

from abc import ABC, abstractmethod
from collections import deque
from typing import Final, Generic, TypeVar

#: Luxembourg's frames are sent every 10 s and last 0.1 s, so what is open after this time is false.
SILENCE: Final = 2.0

#: What is found in the stream.
E = TypeVar("E")


class ByteStream(ABC, Generic[E]):
    """Takes bytes and returns events; a subclass decides what they are.

    Attributes:
        last_data: when bytes last arrived, by the clock of `receive_data`.
    """

    def __init__(self) -> None:
        self.last_data: float | None = None
        self._events: deque[E] = deque()
        # All positions are offsets from the start of the input; the buffer begins at `_base`.
        self._buffer = bytearray()
        self._base = 0
        self._needed = 0  # with fewer bytes in the buffer there is no event …
        self._ends_with_line = False  # … unless an exclamation mark ends a text

    def receive_data(self, data: bytes, now: float | None = None) -> None:
        """Store bytes that arrived.

        Args:
            data: any number of them; none ends the input, or, with a time, makes a silence take effect.
            now: seconds of any clock that does not run backwards; without it no silence is seen.

        Raises:
            TypeError: not bytes.
        """
        if now is not None:
            if self.last_data is not None and now - self.last_data >= SILENCE:
                self.receive_silence()
                self.last_data = now if data else None
            elif data:
                self.last_data = now
        elif not data:
            self.receive_silence()
        try:
            self._buffer += data
        except TypeError:  # costs nothing where a source sends every byte by itself; `isinstance` does
            raise TypeError(f"data are bytes, not {type(data).__name__}") from None
        if self._ends_with_line and 0x21 in data:  # an exclamation mark
            self._needed = 0

    @abstractmethod
    def receive_silence(self) -> None:
        """End what is open: nothing came for a while, or never will."""

    def next_event(self) -> E | None:
        """Return the next event, None if more data is needed."""
        if len(self._buffer) < self._needed:  # asked for every byte by some sources, so it comes first
            return None
        while not self._events:
            if not self._advance(is_over=False):
                return None
        return self._events.popleft()

    @property
    def _end(self) -> int:
        return self._base + len(self._buffer)

    @abstractmethod
    def _advance(self, *, is_over: bool) -> bool:
        """Make one step; False if more data is needed."""
