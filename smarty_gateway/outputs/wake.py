"""Wakes the thread of an output, whatever it waits for."""

import contextlib
import os
import select
import threading


class WakePipe:
    """A pipe for the life of its owner; waking after its end does nothing.

    With a pipe for each connection, a late `wake` could write into whatever got its descriptor next.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_set = False
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """Return the descriptor that is readable after a call of `wake`."""
        return self._read

    def wake(self) -> None:
        """End a `wait`, or the next one; any thread may call it."""
        if self._is_set:
            return
        with self._lock:
            if not self._is_closed and not self._is_set:
                self._is_set = True
                os.write(self._write, b"x")

    def wait(self, seconds: float) -> None:
        """Sleep until `wake` is called or the time is over."""
        poll = select.poll()  # select() ends at descriptor 1023
        poll.register(self._read, select.POLLIN)
        if poll.poll(max(0.0, seconds) * 1000):
            self.drain()

    def drain(self) -> None:
        """Clear the calls of `wake` so far."""
        with self._lock, contextlib.suppress(BlockingIOError):
            self._is_set = False
            os.read(self._read, 4096)

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._is_closed = True
            os.close(self._read)
            os.close(self._write)
