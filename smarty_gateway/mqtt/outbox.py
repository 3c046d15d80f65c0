"""Telegrams on their way to the broker: in order, at least once, and on disk only in an outage.

What is acknowledged within 10 s is never written. Once the oldest has waited for so long, all that
wait go to the store in one transaction, so a crash costs 10 s of them at most. `durability: each`
writes first. What is stored is read back in order, a page at a time, so memory does not grow with
the outage. Not for more than one thread.
"""

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from smarty_gateway.config import StoreLimits
from smarty_gateway.store import Store, StoredCounter

_log = logging.getLogger(__name__)

#: Seconds that the broker has to acknowledge before the disk is used, and between two writes.
PATIENCE: Final = 10.0
_PAGE: Final = 200
_DELETE_AT: Final = 500
_LIMITS_EVERY: Final = 600.0
#: What is kept in memory where the disk is full: half an hour of a thousand meters, a day of one.
_MEMORY_MAX: Final = 20_000


@dataclass(slots=True, eq=False)
class Waiting:
    """One telegram that the broker has not acknowledged.

    Attributes:
        since: when it came, by the monotonic clock.
        id: of its row, None as long as it is only here.
    """

    topic: str
    payload: bytes
    since: float
    id: int | None = None
    is_in_flight: bool = False
    is_done: bool = False


class Outbox:
    """Holds telegrams until they are acknowledged.

    Args:
        counters: gives the frame counters, which are written with each transaction.
    """

    def __init__(
        self,
        store: Store,
        limits: StoreLimits,
        counters: Callable[[], Sequence[StoredCounter]],
        *,
        write_first: bool = False,
    ) -> None:
        self._store = store
        self._limits = limits
        self._counters = counters
        self._write_first = write_first
        self._fresh: deque[Waiting] = deque()  # not stored, in order
        self._page: deque[Waiting] = deque()  # stored and loaded, older than all fresh ones
        self._last_loaded = 0
        self._has_more = store.count_undelivered() > 0
        self._done: list[int] = []
        self._next_write = 0.0
        self._next_limits = 0.0
        self._fault: str | None = None
        self.dropped = 0

    def add(self, topic: str, payload: bytes, now: float) -> None:
        """Take a telegram."""
        waiting = Waiting(topic, payload, now)
        self._fresh.append(waiting)
        if self._write_first:
            self._write(now)
        if len(self._fresh) > _MEMORY_MAX:
            self._fresh.popleft()
            self._count_dropped(1, "the disk cannot be written and memory is full")

    def next_to_send(self) -> Waiting | None:
        """Give the oldest telegram that is not in flight, and count it as in flight."""
        if not self._page and self._has_more:
            self._load()
        for queue in (self._page, self._fresh):
            for waiting in queue:
                if not waiting.is_in_flight and not waiting.is_done:
                    waiting.is_in_flight = True
                    return waiting
            if queue is self._page and self._has_more:
                return None  # more that is older than the fresh ones comes when this page is done
        return None

    def acknowledge(self, waiting: Waiting) -> None:
        """Note that the broker has it."""
        waiting.is_done = True
        if waiting.id is not None:
            self._done.append(waiting.id)
        for queue in (self._page, self._fresh):
            while queue and queue[0].is_done:
                queue.popleft()
        if self._write_first or len(self._done) >= _DELETE_AT:
            self._delete()

    def send_again(self) -> None:
        """Take note that the connection is gone: what was in flight may have arrived or not."""
        for queue in (self._page, self._fresh):
            for waiting in queue:
                waiting.is_in_flight = False

    def tick(self, now: float) -> None:
        """Write what has waited too long, and forget what is done; called about once a second."""
        oldest = next((waiting for waiting in self._fresh if not waiting.is_done), None)
        if oldest is not None and now - oldest.since >= PATIENCE and now >= self._next_write:
            self._write(now)
        if now >= self._next_limits:
            self._next_limits = now + _LIMITS_EVERY
            self._keep_limits()
        if self._done and not self._fresh and not self._page:
            self._delete()

    def close(self, now: float) -> int:
        """Write all that still waits, and count it."""
        self._write(now)
        self._delete()
        try:
            return self._store.count_undelivered()
        except sqlite3.Error as error:
            self._complain(error)
            return 0

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing waits, neither here nor on disk."""
        return not (self._fresh or self._page or self._has_more)

    @property
    def in_memory(self) -> int:
        """Count those that are held in memory; may be asked by any thread."""
        return len(self._page) + len(self._fresh)

    # The store

    def _write(self, now: float) -> None:
        self._next_write = now + PATIENCE
        chosen = [waiting for waiting in self._fresh if not waiting.is_done]
        if not chosen:
            return
        try:
            ids = self._store.write(self._counters(), [(w.topic, w.payload) for w in chosen])
        except sqlite3.Error as error:
            self._complain(error)
            return
        self._relieve()
        for waiting, row_id in zip(chosen, ids, strict=True):
            waiting.id = row_id
        self._fresh.clear()
        # What finds no place in the page comes back from the store when it is its turn; until then an
        # acknowledgement that is on its way still finds its row.
        room = 0 if self._has_more else _PAGE - len(self._page)
        if room > 0:
            self._page.extend(chosen[:room])
            self._last_loaded = self._page[-1].id or 0
        self._has_more = self._has_more or len(chosen) > max(0, room)

    def _load(self) -> None:
        self._delete()
        try:
            rows = self._store.undelivered_after(self._last_loaded, _PAGE)
        except sqlite3.Error as error:
            self._complain(error)
            return
        self._page.extend(Waiting(row.topic, row.payload, 0.0, row.id) for row in rows)
        self._has_more = len(rows) == _PAGE
        if rows:
            self._last_loaded = rows[-1].id

    def _delete(self) -> None:
        if not self._done:
            return
        try:
            self._store.delete(self._done)
        except sqlite3.Error as error:
            self._complain(error)
        else:
            self._done.clear()

    def _keep_limits(self) -> None:
        try:
            dropped = self._store.drop_beyond(self._limits)
        except sqlite3.Error as error:
            self._complain(error)
            return
        if dropped:
            self._count_dropped(dropped, "they are too many or too old")

    def _count_dropped(self, number: int, why: str) -> None:
        if not self.dropped or number > 1:
            _log.error("telegrams for the broker are dropped, the oldest first: %s", why)
        self.dropped += number

    def _complain(self, error: Exception) -> None:
        if self._fault is None:
            self._fault = str(error)
            _log.error(
                "telegrams that wait for the broker cannot be stored in %s: %s; newest states still go out",
                self._store.path,
                error,
            )

    def _relieve(self) -> None:
        if self._fault is not None:
            self._fault = None
            _log.warning("telegrams that wait for the broker are stored again")
