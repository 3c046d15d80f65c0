"""What comes in from the readers: a bounded queue between their threads and the one of an output.

Anyone who can write to a source can invent meters and send without pause. They must not push aside the meters
that the configuration names, nor fill memory.
"""

import logging
import threading
from collections import deque
from operator import itemgetter
from typing import Final

from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.output import Reading

_log = logging.getLogger(__name__)

#: A few seconds of a thousand meters, or half a day of one.
READINGS_MAX: Final = 5000

#: A reading, and its place in the order of arrival.
_Numbered = tuple[int, Reading]


class Arrivals:
    """Readings on their way from the threads of the readers to the one of an output.

    Args:
        label: what log messages call the output.
        most: readings that may wait; those of configured meters are dropped last.
        named_first: those of configured meters come out before all others, instead of in order of arrival.

    Attributes:
        dropped: readings that found no room since the start.
    """

    def __init__(self, label: str, most: int = READINGS_MAX, *, named_first: bool = False) -> None:
        self._label = label
        self._most = most
        self._named_first = named_first
        self._lock = threading.Lock()
        self._number = 0  # of the newest reading
        self._named: deque[_Numbered] = deque()
        self._others: deque[_Numbered] = deque()
        self._dropped = 0
        self.dropped = 0
        self._fault = Condition(_log.warning)

    def __len__(self) -> int:
        return len(self._named) + len(self._others)

    def put(self, reading: Reading) -> None:
        """Add a reading; where there is no room, drop the oldest, of the unnamed meters if any wait."""
        with self._lock:
            self._number += 1
            self._queue_of(reading).append((self._number, reading))
            if len(self) <= self._most:
                return
            (self._others or self._named).popleft()
            self._dropped += 1
            self.dropped += 1
            self._fault.begin(
                f"{self._label} is too slow, or was stopped; the oldest readings for it are dropped, those "
                "of meters that the configuration does not name before all others"
            )

    def take(self) -> Reading | None:
        """Remove and return the next reading."""
        with self._lock:
            queue = self._next_queue()
            reading = queue.popleft()[1] if queue else None
            if not self._named and not self._others:
                self._fault.end(f"{self._label} takes readings again; {self._dropped} were dropped")
                self._dropped = 0
            return reading

    def put_back(self, reading: Reading) -> None:
        """Add a reading that could not be written before all others."""
        with self._lock:
            self._queue_of(reading).appendleft((0, reading))

    def keep_newest(self) -> int:
        """Keep the newest reading of each meter, as many as leave room; return the number of the others."""
        with self._lock:
            before = len(self)
            for queue in (self._named, self._others):
                newest = {reading.meter: (number, reading) for number, reading in queue}
                queue.clear()
                queue.extend(sorted(newest.values(), key=itemgetter(0)))
            while not self.has_room:
                (self._others or self._named).popleft()
            return before - len(self)

    def take_newest(self) -> list[Reading]:
        """Remove all readings, and return the newest of each meter."""
        with self._lock:
            readings = [reading for _, reading in (*self._named, *self._others)]
            self._named.clear()
            self._others.clear()
        return list({reading.meter: reading for reading in readings}.values())

    def _queue_of(self, reading: Reading) -> deque[_Numbered]:
        return self._named if reading.is_configured else self._others

    def _next_queue(self) -> deque[_Numbered]:
        if not self._others or not self._named:
            return self._named or self._others
        is_named = self._named_first or self._named[0][0] < self._others[0][0]
        return self._named if is_named else self._others

    @property
    def is_dropping(self) -> bool:
        """True if readings were dropped since the queue was last empty."""
        return self._dropped > 0

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait: long before anything is dropped."""
        return len(self) < self._most // 2
