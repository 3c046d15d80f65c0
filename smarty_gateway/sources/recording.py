"""Recordings and standard input: sources that end."""

import os
import select
import sys
from typing import Final

from smarty_gateway.hexdump import InputDecoder
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.sources.source import SourceEnded, SourceLost

_CHUNK: Final = 65536
_WAIT_SECONDS: Final = 1.0


class RecordingSource:
    """A file of raw bytes or a hex dump, or the same on standard input."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._descriptor: int | None = None
        self._decoder = InputDecoder()
        self._at_end = False

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

    def read(self) -> bytes:
        """Give the next chunk, and at the end what the decoder of hex dumps held back."""
        if self._descriptor is None or self._at_end:
            raise SourceEnded(f"{self._address} is at its end")
        try:
            # A pipe may be silent for long, and who reads must be able to stop.
            if not select.select([self._descriptor], [], [], _WAIT_SECONDS)[0]:
                return b""
            chunk = os.read(self._descriptor, _CHUNK)
        except OSError as error:
            raise SourceLost(f"{self._address}: reading failed: {error.strerror}") from None
        if chunk:
            return self._decoder.feed(chunk)
        self._at_end = True
        return self._decoder.finish()

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def interrupt(self) -> None:
        """Do nothing: a read comes back within a second."""
