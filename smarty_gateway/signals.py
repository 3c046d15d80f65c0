"""Signals: an event that a handler may set, and handlers that last as long as a block.

A signal handler runs in the main thread, between any two of its steps, so it must take no lock.
`threading.Event.set` takes one: if the main thread is inside `wait` or `clear`, it holds that lock itself,
and the process hangs.
"""

import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

#: Seconds. The kernel may hand a signal to another thread. That does not interrupt the wait of the main
#: thread, which runs the handlers once it is back.
_LOOK_EVERY: Final = 1.0


class SignalEvent:
    """A `threading.Event` for one waiting thread that is safe to set in a signal handler."""

    __slots__ = ("_is_set", "_wake")

    def __init__(self) -> None:
        self._is_set = False
        # Its `put` may interrupt its `get` in the same thread, which the standard library promises.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()

    def is_set(self) -> bool:
        """True if it was set since it was last cleared."""
        return self._is_set

    def set(self) -> None:
        """Set it, and wake the thread that waits."""
        self._is_set = True
        self._wake.put(None)

    def clear(self) -> None:
        """Clear it. A `set` meanwhile may be lost: clear first, then look at what was signalled."""
        self._is_set = False
        with suppress(queue.Empty):
            while True:
                self._wake.get_nowait()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, at most this long; return True if it is set."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._is_set:
            left = _LOOK_EVERY if until is None else until - time.monotonic()
            if left <= 0:
                break
            with suppress(queue.Empty):
                self._wake.get(timeout=min(left, _LOOK_EVERY))
        return self._is_set


@contextmanager
def handling(handlers: dict[signal.Signals, Callable[[], None]]) -> Iterator[None]:
    """Call these on these signals until the block ends."""
    before = {
        number: signal.signal(number, lambda *_, handle=handle: handle())
        for number, handle in handlers.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
