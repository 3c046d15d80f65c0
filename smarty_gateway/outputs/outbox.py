"""What a consumer has not acknowledged: in order, at least once, and on disk only in an outage.

The consumer is a broker, to which telegrams go one by one, or a server that takes several at once. What it
acknowledges within 10 s is never written. Once the oldest has waited for 10 s, all that wait are written in
one transaction, so a crash costs 10 s of them at most. `durability: each` writes before it sends. What is
stored is read back in order, a page at a time, so memory does not grow with the outage.

    add -> _fresh --10 s without acknowledgement--> store --a page at a time--> _page

Both queues and the store are in the order of arrival, `_fresh` behind the store behind `_page`. A topic whose
telegrams must wait is passed over; `_passed` remembers from which row it must be read again.
Not for more than one thread.
"""

import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.fault_log import Condition
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

TopicTest = Callable[[str], bool]

#: Seconds for an acknowledgement before the disk is used, and between two writes.
PATIENCE: Final = 10.0
_PAGE: Final = 200
_DELETE_AT: Final = 500
_LIMITS_EVERY: Final = 600.0
#: What is kept in memory where the disk is full: half an hour of a thousand meters, a day of one.
_MEMORY_MAX: Final = 20_000


@dataclass(slots=True, eq=False)
class Waiting:
    """One telegram that the consumer has not acknowledged.

    Attributes:
        since: when it arrived, by the monotonic clock.
        id: of its row; None until it is stored.
    """

    topic: str
    payload: bytes
    since: float
    id: int | None = None
    is_in_flight: bool = False


def _first(
    queue: Iterable[Waiting], is_held: TopicTest, is_wanted: TopicTest = lambda _: True
) -> Waiting | None:
    return next(
        (w for w in queue if not w.is_in_flight and is_wanted(w.topic) and not is_held(w.topic)), None
    )


class Outbox:
    """Holds telegrams until they are acknowledged.

    Args:
        store: the state file.
        limits: of what may wait on disk.
        output: its name in the configuration, and in the state file.
        consumer: what log messages call the receiver, such as `the broker`.
        write_first: write each telegram before it is sent.

    Attributes:
        dropped: how many telegrams were given up.
    """

    def __init__(
        self, store: Store, limits: StoreLimits, output: str, consumer: str, *, write_first: bool = False
    ) -> None:
        self._store = store
        store.limit(output, limits)
        self._output = output
        self._telegrams = f"telegrams for {consumer}"
        self._write_first = write_first
        self._fresh: deque[Waiting] = deque()  # not stored, in order
        self._page: deque[Waiting] = deque()  # stored and loaded, older than all fresh ones
        self._last_loaded = 0
        self._passed: dict[str, int] = {}  # topics that were not loaded, from which row on
        self._has_more = store.count_undelivered(output) > 0
        self._done: list[int] = []
        self._next_write = 0.0
        self._next_limits = 0.0
        self._has_written = False  # so the file may have grown
        self._fault = Condition(_log.error, cleared=_log.info)
        self.dropped = 0

    def add(self, topic: str, payload: bytes, now: float) -> None:
        """Add a telegram."""
        waiting = Waiting(topic, payload, now)
        self._fresh.append(waiting)
        is_full = len(self._fresh) > _MEMORY_MAX and not self._fault.is_on
        if self._write_first or is_full:
            self._write(now)
        if len(self._fresh) > _MEMORY_MAX:
            self._fresh.popleft()
            self._count_dropped(1, "the disk cannot be written and memory is full")

    def next_to_send(
        self, is_held: TopicTest = lambda _: False, is_wanted: TopicTest = lambda _: True
    ) -> Waiting | None:
        """Return the oldest telegram that is not in flight, and mark it as in flight.

        Args:
            is_held: true for a topic whose telegrams must wait; others do not wait for them.
            is_wanted: true for a topic whose turn it is.
        """
        self._go_back_to(topic for topic in self._passed if not is_held(topic))
        while self._has_more and _first(self._page, is_held) is None and self._load(is_held):
            pass
        found = _first(self._page, is_held, is_wanted)
        if found is None and not self._has_more:  # else what is on disk is older
            found = _first(self._fresh, is_held, is_wanted)
        if found is not None:
            found.is_in_flight = True
        return found

    def next_batch(self, most: int, most_bytes: int) -> list[Waiting]:
        """Return the oldest telegrams that are not in flight, in order, and mark them as in flight.

        One that is larger than this many bytes comes alone.
        """
        batch: list[Waiting] = []
        size = 0
        while len(batch) < most and (waiting := self.next_to_send()) is not None:
            size += len(waiting.payload)
            if batch and size > most_bytes:
                self.put_back(waiting)
                break
            batch.append(waiting)
        return batch

    def remove(self, waiting: Waiting) -> None:
        """Remove a telegram that the consumer has, or will never accept."""
        if waiting.id is not None:
            self._done.append(waiting.id)
        for queue in (self._page, self._fresh):
            with contextlib.suppress(ValueError):
                queue.remove(waiting)
        if self._write_first or len(self._done) >= _DELETE_AT:
            self._delete()

    def put_back(self, waiting: Waiting) -> None:
        """Send a telegram again: the consumer has not accepted it."""
        waiting.is_in_flight = False

    def send_again(self) -> None:
        """Send everything again: the connection is gone, and what was in flight may have arrived or not."""
        for queue in (self._page, self._fresh):
            for waiting in queue:
                waiting.is_in_flight = False

    def tick(self, now: float) -> None:
        """Write what has waited too long, and delete what is done; called about once a second."""
        if self._fresh and now - self._fresh[0].since >= PATIENCE and now >= self._next_write:
            self._write(now)
        if now >= self._next_limits or self._has_written:
            self._next_limits, self._has_written = now + _LIMITS_EVERY, False
            self._keep_limits()
        if self._done and not self._fresh and not self._page:
            self._delete()

    def close(self, now: float) -> int:
        """Write all that waits, and return how many telegrams there are."""
        self._write(now)
        self._delete()
        try:
            return self._store.count_undelivered(self._output)
        except sqlite3.Error as error:
            self._complain(error)
            return 0

    @property
    def is_empty(self) -> bool:
        """True if nothing waits, neither in memory nor on disk."""
        return not (self._fresh or self._page or self._has_more or self._passed)

    @property
    def in_memory(self) -> int:
        """The number of telegrams in memory; any thread may ask."""
        return len(self._page) + len(self._fresh)

    # The store

    def _write(self, now: float) -> None:
        self._next_write = now + PATIENCE
        chosen = list(self._fresh)
        if not chosen:
            return
        try:
            ids = self._store.add_undelivered(
                self._output, [(w.topic, w.payload) for w in chosen], self._store.unsaved_counters()
            )
        except sqlite3.Error as error:
            self._complain(error)
            return
        self._fault.end(f"{self._telegrams} that wait are stored again")
        self._has_written = True
        for waiting, row_id in zip(chosen, ids, strict=True):
            waiting.id = row_id
        self._fresh.clear()
        # What finds no room in the page is read from the store when its turn comes; until then an
        # acknowledgement still finds its row by the id.
        room = 0 if self._has_more or self._passed else _PAGE - len(self._page)
        if room > 0:
            self._page.extend(chosen[:room])
            self._last_loaded = self._page[-1].id or 0
        self._has_more = self._has_more or len(chosen) > max(0, room)

    def _load(self, is_held: TopicTest) -> bool:
        """Read the next page from disk, without the topics that are held; False if that fails."""
        self._delete()
        try:
            rows = self._store.undelivered_after(self._output, self._last_loaded, _PAGE)
        except sqlite3.Error as error:
            self._complain(error)
            return False
        self._has_more = len(rows) == _PAGE
        if rows:
            self._last_loaded = rows[-1].id
        here = {waiting.id for waiting in self._page}
        self._page.extend(Waiting(r.topic, r.payload, 0.0, r.id) for r in rows if r.id not in here)
        # What is held makes room, or a thousand telegrams of one topic would hold up all others.
        held = [waiting for waiting in self._page if not waiting.is_in_flight and is_held(waiting.topic)]
        for waiting in held:
            self._page.remove(waiting)
            row = waiting.id or 0
            self._passed[waiting.topic] = min(row, self._passed.get(waiting.topic, row))
        return True

    def _go_back_to(self, topics: Iterable[str]) -> None:
        """Go back to the first row of these topics that was passed over."""
        rows = [self._passed.pop(topic) for topic in list(topics)]
        if rows:
            self._last_loaded = min(self._last_loaded, min(rows) - 1)
            self._has_more = True

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
            dropped = self._store.drop_beyond(self._output)
        except sqlite3.Error as error:
            self._complain(error)
            return
        if dropped:
            self._count_dropped(dropped, "they are too many or too old")

    def _count_dropped(self, number: int, why: str) -> None:
        if not self.dropped or number > 1:
            _log.error("%s are dropped, the oldest first: %s", self._telegrams, why)
        self.dropped += number

    def _complain(self, error: Exception) -> None:
        self._fault.begin(
            f"{self._telegrams} that wait cannot be stored in {self._store.path}: {error}; until they can, "
            "they wait in memory"
        )
