"""Logs the first frame of each meter that a node has, so that a user sees that it works."""

from collections.abc import Callable
from typing import Final

from smarty_gateway.outputs.forward.topics import meter_of
from smarty_gateway.safe_text import printable

_NAMED_MAX: Final = 10
_COUNT_EVERY: Final = 60.0
#: A source can invent any number of meters.
_KNOWN_MAX: Final = 10_000


class FirstFrames:
    """Writes the lines: some name their meter, the others are counted.

    Args:
        log: takes the lines.
        now: the time of the monotonic clock.
    """

    def __init__(self, log: Callable[[str], None], now: float) -> None:
        self._log = log
        self._known: set[str] = set()
        self._counted = 0
        self._next_count = now + _COUNT_EVERY

    def note(self, topic: str) -> None:
        """Record that a node has a message of a topic."""
        if topic in self._known or len(self._known) >= _KNOWN_MAX:
            return
        self._known.add(topic)
        if len(self._known) > _NAMED_MAX:
            self._counted += 1
        else:
            self._log(f"{meter_of(topic)}: first frame is with the pool, on {printable(topic)}")

    def tick(self, now: float) -> None:
        """Log what was counted, at most once a minute."""
        if self._counted and now >= self._next_count:
            self._next_count = now + _COUNT_EVERY
            counted, self._counted = self._counted, 0
            self._log(f"first frames of {counted} more meters are with the pool")
