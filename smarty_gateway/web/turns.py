"""Who is answered next: no client keeps the others waiting, however many requests it sends.

A year of quarter hours takes a second or more of a small computer. A client that asks for it without end
waits for itself; everybody else finds a free thread. Such long tables are made one at a time, because behind
a proxy all clients are one.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from waitress.task import ThreadedTaskDispatcher

from smarty_gateway.web.connections import Connection

#: A page takes tens of milliseconds of a processor; more threads would only share it.
THREADS: Final = 4
#: At the same time for one client: one thread is always left for the others.
_OF_ONE_CLIENT: Final = THREADS - 1
#: How the paths of answers end that take a hundred times as long as others: long tables for programs.
_LONG: Final = "/history"
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
        #: By client, and the long ones of all clients together.
        self._running = Counter[object]()

    def append(self, connection: Connection) -> None:
        client = _WATCHDOG if connection.path == _WATCHDOG else connection.owner
        # A client that comes and goes leaves nothing behind.
        self._waiting = [one for one in self._waiting if one[1].connected]
        self._waiting.append((client, connection))

    def popleft(self) -> "_Turn":
        turn = min(filter(self._may_run, self._waiting), key=lambda one: self._running[one[0]])
        self._waiting.remove(turn)
        counted = _counted(*turn)
        self._running.update(counted)
        return _Turn(self, counted, turn[1])

    def end(self, counted: Sequence[object]) -> None:
        """Make room for the next request."""
        with self._lock:
            self._running.subtract(counted)
            self._running += Counter()  # keeps what is above 0

    def __len__(self) -> int:
        return len(self._waiting)

    def __bool__(self) -> bool:
        return any(map(self._may_run, self._waiting))

    def _may_run(self, waiting: tuple[object, Connection]) -> bool:
        client, *long = _counted(*waiting)
        return self._running[client] < _OF_ONE_CLIENT and not any(self._running[name] for name in long)


def _counted(client: object, connection: Connection) -> tuple[object, ...]:
    """Return what a request counts as while it is answered."""
    return (client, _LONG) if connection.path.endswith(_LONG) else (client,)


@dataclass(frozen=True, slots=True)
class _Turn:
    """A request that a thread answers."""

    turns: _Turns
    counted: Sequence[object]
    connection: Connection

    def service(self) -> None:
        try:
            self.connection.service()
        finally:
            self.turns.end(self.counted)

    def cancel(self) -> None:
        self.connection.cancel()
