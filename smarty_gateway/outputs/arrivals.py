"""What comes in from the readers: a bounded queue between their threads and the one of an output.

Anyone who can write to a source can invent meters and send without pause. They must not push aside the meters
that the configuration names, nor fill memory.
"""

import logging
import threading
from collections import deque
from typing import Final

from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.output import Reading

_log = logging.getLogger(__name__)

#: A few seconds of a thousand meters, or half a day of one.
READINGS_MAX: Final = 5000


class Arrivals:
    """Readings on their way from the threads of the readers to the one of an output.

    Args:
        label: what log messages call the output.
        most: readings that may wait; those of configured meters are served first and dropped last.
    """

    def __init__(self, label: str, most: int = READINGS_MAX) -> None:
        self._label = label
        self._most = most
        self._lock = threading.Lock()
        self._first: deque[Reading] = deque()
        self._others: deque[Reading] = deque()
        self._dropped = 0
        self._fault = Condition(_log.warning)

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def put(self, reading: Reading) -> None:
        """Add a reading; where there is no room, drop the oldest, of the unnamed meters if any wait."""
        with self._lock:
            (self._first if reading.is_configured else self._others).append(reading)
            if len(self) <= self._most:
                return
            (self._others or self._first).popleft()
            self._dropped += 1
            self._fault.begin(
                f"{self._label} is too slow, or was stopped; the oldest readings for it are dropped, those "
                "of meters that the configuration does not name before all others"
            )

    def take(self) -> Reading | None:
        """Remove and return the next reading."""
        with self._lock:
            queue = self._first or self._others
            if queue:
                return queue.popleft()
            self._fault.end(f"{self._label} takes readings again; {self._dropped} were dropped")
            self._dropped = 0
        return None

    def put_back(self, reading: Reading) -> None:
        """Add a reading that could not be written before all others."""
        with self._lock:
            (self._first if reading.is_configured else self._others).appendleft(reading)

    def keep_newest(self) -> int:
        """Keep the newest reading of each meter, as many as leave room; return the number of the others."""
        with self._lock:
            before = len(self)
            for queue in (self._first, self._others):
                newest = {reading.meter: reading for reading in queue}
                queue.clear()
                queue.extend(newest.values())
            while not self.has_room:
                (self._others or self._first).popleft()
            return before - len(self)

    def take_newest(self) -> list[Reading]:
        """Remove all readings, and return the newest of each meter, the meter with the oldest first."""
        with self._lock:
            readings = [*self._first, *self._others]
            self._first.clear()
            self._others.clear()
        return list({reading.meter: reading for reading in readings}.values())

    @property
    def is_dropping(self) -> bool:
        """True if readings were dropped since the queue was last empty."""
        return self._dropped > 0

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait: long before anything is dropped."""
        return len(self) < self._most // 2
