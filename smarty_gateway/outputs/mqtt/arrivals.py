"""Readings on their way from the threads that read meters to the one that serves the broker."""

import logging
import threading
from collections import deque
from collections.abc import Container
from typing import Final

from smarty_gateway.outputs.output import Reading

_log = logging.getLogger(__name__)

_MOST: Final = 5000


class Arrivals:
    """A bounded queue in which the meters that the configuration names come first.

    Whoever can write to a source can invent meters, and must not push aside those that somebody set up.

    Args:
        named: the meters that the configuration names.
        most: readings that may wait.

    Attributes:
        dropped: readings for which there was no room.
    """

    def __init__(self, named: Container[str], most: int = _MOST) -> None:
        self._named = named
        self._most = most
        self._lock = threading.Lock()
        self._first: deque[Reading] = deque()
        self._others: deque[Reading] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def put(self, reading: Reading) -> None:
        """Add a reading; where there is no room the oldest goes, of those that are not named if any."""
        with self._lock:
            (self._first if reading.meter in self._named else self._others).append(reading)
            if len(self) <= self._most:
                return
            (self._others or self._first).popleft()
            self.dropped += 1
            is_first = self.dropped == 1
        if is_first:
            _log.error(
                "readings come faster than they can be made ready for the broker; the oldest are dropped, "
                "those of meters that the configuration does not name before all others"
            )

    def take(self) -> Reading | None:
        """Remove and return the next reading."""
        with self._lock:
            queue = self._first or self._others
            return queue.popleft() if queue else None

    @property
    def has_room(self) -> bool:
        """True if who can wait need not: long before anything is dropped."""
        return len(self) < self._most // 2
