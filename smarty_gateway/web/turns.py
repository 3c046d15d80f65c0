"""Who is answered next: no client keeps the others waiting, however many requests it sends.

A year of quarter hours takes a second or more of a small computer. Whoever asks for it without end waits for
itself; everybody else finds a free thread.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final

from waitress.task import ThreadedTaskDispatcher

from smarty_gateway.web.connections import Connection

#: A page takes tens of milliseconds of a processor; more threads would only share it.
THREADS: Final = 4
#: At the same time for one client: one thread is always left for the others.
_OF_ONE_CLIENT: Final = THREADS - 1
#: A client of its own: a watchdog may share its address with a proxy, and restarts what does not answer.
_WATCHDOG: Final = "/livez"


class FairDispatcher(ThreadedTaskDispatcher):
    """Hands requests to threads, those of the client with the fewest running ones first."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = _Turns(self.lock)  # type: ignore[assignment] # it uses what _Turns has of a deque


class _Turns:
    """The requests that wait for a thread; the lock of the dispatcher is held.

    It is false while nobody who waits may have a further thread.
    """

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._waiting: list[tuple[object, Connection]] = []
        self._running = Counter[object]()

    def append(self, connection: Connection) -> None:
        client = _WATCHDOG if connection.path == _WATCHDOG else connection.owner
        # A client that comes and goes leaves nothing behind.
        self._waiting = [one for one in self._waiting if one[1].connected]
        self._waiting.append((client, connection))

    def popleft(self) -> "_Turn":
        turn = min(self._waiting, key=lambda one: self._running[one[0]])
        self._waiting.remove(turn)
        self._running[turn[0]] += 1
        return _Turn(self, *turn)

    def end(self, client: object) -> None:
        """Make room for the next request of a client."""
        with self._lock:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return any(self._running[client] < _OF_ONE_CLIENT for client, _ in self._waiting)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request that a thread answers."""

    turns: _Turns
    client: object
    connection: Connection

    def service(self) -> None:
        try:
            self.connection.service()
        finally:
            self.turns.end(self.client)

    def cancel(self) -> None:
        self.connection.cancel()
