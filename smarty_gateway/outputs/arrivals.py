"""What comes in from the readers: a bounded queue between their threads and the one of an output.

Anyone who can write to a source can invent meters and send without pause. They must not push aside the meters
that the configuration names, nor fill memory.
"""

import logging
import threading
from collections import deque
from typing import Final

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
            is_first = self._dropped == 1
        if is_first:
            _log.warning(
                "%s is too slow, or was stopped; the oldest readings for it are dropped, those of meters "
                "that the configuration does not name before all others",
                self._label,
            )

    def take(self) -> Reading | None:
        """Remove and return the next reading."""
        with self._lock:
            queue = self._first or self._others
            if queue:
                return queue.popleft()
            dropped, self._dropped = self._dropped, 0
        if dropped:
            _log.warning("%s takes readings again; %d were dropped", self._label, dropped)
        return None

    def take_all(self) -> list[Reading]:
        """Remove and return all readings."""
        with self._lock:
            readings = [*self._first, *self._others]
            self._first.clear()
            self._others.clear()
        return readings

    @property
    def is_dropping(self) -> bool:
        """True if readings were dropped since the queue was last empty."""
        return self._dropped > 0

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait: long before anything is dropped."""
        return len(self) < self._most // 2
