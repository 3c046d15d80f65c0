"""Recordings and standard input: sources that end.

A capture holds the times at which its bytes arrived. It is replayed at full speed, or at its recorded pace,
so that a program behind it behaves as on the day of the capture.
"""

import os
import select
import sys
import time
from collections import deque
from datetime import datetime
from typing import Final

from smarty_gateway.signals import SignalEvent
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.sources.hexdump import InputDecoder, TimedBytes
from smarty_gateway.sources.source import READ_SECONDS, SourceEnded, SourceLost

_CHUNK: Final = 65536
_WAIT_SECONDS: Final = 1.0


class RecordingSource:
    """A file of raw bytes, a hex dump or a capture, or one of these on standard input.

    Args:
        address: of the file.
        recorded_pace: wait between the chunks of a capture as long as they lay apart.

    Attributes:
        arrived: when the bytes of the last `read` came, in seconds since the capture began; None
            where that is not known.
    """

    def __init__(self, address: Address, *, recorded_pace: bool = False) -> None:
        self.arrived: float | None = None
        self._address = address
        self._recorded_pace = recorded_pace
        self._descriptor: int | None = None
        self._decoder = InputDecoder()
        self._at_end = False
        self._waiting: deque[TimedBytes] = deque()
        self._interrupted = SignalEvent()
        self._zero = 0.0  # the moment from which the times of the capture count
        self._last_due: float | None = None

    @property
    def began(self) -> datetime | None:
        """When the capture began; None for other recordings, and before its first line is read."""
        return self._decoder.capture.began if self._decoder.capture is not None else None

    @property
    def unreadable_lines(self) -> int:
        """The number of lines of a capture or hex dump that could not be read and were skipped so far."""
        return self._decoder.unreadable_lines

    def open(self) -> None:
        """Open the file."""
        if self._address.kind is Kind.STDIN:
            if sys.stdin is None or sys.stdin.closed:
                raise SourceLost("standard input is closed; name a file")
            self._descriptor = os.dup(sys.stdin.fileno())
            return
        try:
            self._descriptor = os.open(self._address.path, os.O_RDONLY)
        except OSError as error:
            raise SourceLost(f"{self._address}: {error.strerror}") from None

    def read(self, seconds: float = READ_SECONDS) -> bytes:  # noqa: ARG002 - a second is short enough
        """Return the next chunk; of a capture, as it arrived."""
        if not self._waiting:
            self._fetch()
        if not self._waiting or not self._wait_until_due(self._waiting[0][0]):
            return b""
        self.arrived, data = self._waiting.popleft()
        return data

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def interrupt(self) -> None:
        """End a pause of a replay; any other read comes back within a second."""
        self._interrupted.set()

    def _fetch(self) -> None:
        """Read the next bytes; at the end of the file, what the decoder held back."""
        if self._descriptor is None or self._at_end:
            raise SourceEnded(f"{self._address} is at its end")
        try:
            # A pipe may be silent for long, and the reader must be able to stop.
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            if not poll.poll(_WAIT_SECONDS * 1000):
                return
            chunk = os.read(self._descriptor, _CHUNK)
        except OSError as error:
            raise SourceLost(f"{self._address}: reading failed: {error.strerror}") from None
        if chunk:
            self._waiting.extend(self._decoder.feed_timed(chunk))
            return
        self._at_end = True
        self._waiting.extend(self._decoder.finish_timed())

    def _wait_until_due(self, seconds: float | None) -> bool:
        """Wait for a while; False if the chunk of this arrival time is not due yet.

        The first chunk is due at once, and so is one whose time is earlier than that of the one before: there
        another capture was appended to this one.
        """
        if not self._recorded_pace or seconds is None:
            return True
        now = time.monotonic()
        if self._last_due is None or seconds < self._last_due:
            self._zero = now - seconds
        self._last_due = seconds
        pause = self._zero + seconds - now
        if pause <= 0:
            return True
        if self._interrupted.wait(min(pause, _WAIT_SECONDS)):
            self._interrupted.clear()
            return False
        return pause <= _WAIT_SECONDS
