"""What comes in from the readers: a bounded queue between their threads and the one of the output."""

import logging
import threading
from collections import deque
from typing import Final

from smarty_gateway.fault_log import Condition

_log = logging.getLogger(__name__)

#: A few seconds of a thousand meters; the thread of the output takes them at once, even without a node.
_MOST: Final = 5000


class FrameQueue:
    """Frames with their topics, in the order of arrival.

    Args:
        label: what log messages call the output.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._fault = Condition(_log.error, cleared=_log.info)
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, topic: str, payload: bytes) -> None:
        """Add a frame; where there is no room, drop the oldest."""
        with self._lock:
            self._waiting.append((topic, payload))
            if len(self._waiting) > _MOST:
                self._waiting.popleft()
                self._dropped += 1
                self._fault.begin(f"{self._label} is too slow, or was stopped; its oldest frames are dropped")

    def take_all(self) -> list[tuple[str, bytes]]:
        """Remove and return all frames."""
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
            self._fault.end(f"{self._label} takes frames again; {self._dropped} were dropped")
            self._dropped = 0
        return taken

    @property
    def is_dropping(self) -> bool:
        """True if frames were dropped since the queue was last empty."""
        return self._dropped > 0

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait."""
        return len(self._waiting) < _MOST // 2
