"""What comes in from the readers: a bounded queue, and a budget for the telegrams that are kept.

Anyone who can write to a source can invent meters and send without pause. Neither may push aside the meters
that the configuration names, nor fill memory, disk or broker.
"""

import logging
import threading
from collections import deque
from collections.abc import Container
from typing import Final

from smarty_gateway.outputs.output import Reading

_log = logging.getLogger(__name__)

_READINGS_MAX: Final = 5000

#: A P1 port delivers 11.5 kB a second at most.
_BYTES_A_SECOND: Final = 25_000
#: A day of a meter that sends 2 kB every 10 s, which a bridge may have stored and deliver at once.
_BURST: Final = 17_000_000
#: For all meters together that no entry names.
_BURST_OF_OTHERS: Final = 2_000_000
_OTHERS: Final = ""


class Arrivals:
    """Readings on their way from the threads of the readers to the one that serves the broker.

    Args:
        named: the meters that the configuration names; they are served first and dropped last.
        most: readings that may wait.

    Attributes:
        dropped: readings for which there was no room.
    """

    def __init__(self, named: Container[str], most: int = _READINGS_MAX) -> None:
        self._named = named
        self._most = most
        self._lock = threading.Lock()
        self._first: deque[Reading] = deque()
        self._others: deque[Reading] = deque()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._others)

    def put(self, reading: Reading) -> None:
        """Add a reading; where there is no room, drop the oldest, of the unnamed meters if any wait."""
        with self._lock:
            (self._first if reading.meter in self._named else self._others).append(reading)
            if len(self) <= self._most:
                return
            (self._others or self._first).popleft()
            self.dropped += 1
            is_first = self.dropped == 1
        if is_first:
            _log.error(
                "readings arrive faster than they can be prepared for the broker; the oldest are dropped, "
                "those of meters that the configuration does not name before all others"
            )

    def take(self) -> Reading | None:
        """Remove and return the next reading."""
        with self._lock:
            queue = self._first or self._others
            return queue.popleft() if queue else None

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait: long before anything is dropped."""
        return len(self) < self._most // 2


class TelegramBudget:
    """How many bytes of telegrams each meter may add to the outbox. Time is an argument.

    Attributes:
        dropped: telegrams beyond the budget.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._left: dict[str, tuple[float, float]] = {}  # bytes, and since when

    def allows(self, topic: str, size: int, now: float) -> bool:
        """True if a telegram is within the budget, and then counted.

        Args:
            topic: of a configured meter; "" for any other.
            size: in bytes.
            now: seconds.
        """
        most = _BURST if topic != _OTHERS else _BURST_OF_OTHERS
        left, since = self._left.get(topic, (most, now))
        left = min(float(most), left + (now - since) * _BYTES_A_SECOND)
        is_allowed = left >= size
        self._left[topic] = (left - size if is_allowed else left, now)
        if not is_allowed:
            if not self.dropped:
                _log.error(
                    "%s sends more telegrams than any meter can; those beyond are left out of the history",
                    topic or "a meter that gateway.yaml does not name",
                )
            self.dropped += 1
        return is_allowed
