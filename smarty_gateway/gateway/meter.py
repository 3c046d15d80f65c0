"""One meter as the gateway knows it: its name, its sources, when it was last heard, its health."""

import statistics
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from smarty_gateway.history.sample import Sample
from smarty_gateway.outputs.output import Health

#: A P1 port sends at least every 10 s, so a plaintext meter that was silent for longer may be elsewhere.
_SILENT_SECONDS: Final = 30.0
_INTERVALS: Final = 10


@dataclass(slots=True, eq=False)
class Meter:
    """A meter that goes out under a name.

    Attributes:
        name: in topics and readings.
        sources: those of its entry, by their text; None for a meter that no entry names.
        source: where it was last accepted.
        last: when, by the monotonic clock; None before the first time in this run.
        heard_before: when it was last heard in an earlier run, by the same clock.
        expected_since: from when on it should be heard at its source, as in an earlier run.
        key: tells it from all others; an object id stays the same as long as the key does.
        object_id: what identifies it in discovery.
        plaintext_at: when plaintext last pretended to be it on its own source.
        downgrade_logged_at: when that was last logged.
        held: its telegrams from when they were held back, until the history has counted them.
    """

    name: str
    sources: frozenset[str] | None = None
    source: str = ""
    last: float | None = None
    heard_before: float = 0.0
    expected_since: float = float("-inf")
    is_authenticated: bool = False
    key: str = ""
    object_id: str = ""
    plaintext_at: float = float("-inf")
    downgrade_logged_at: float = float("-inf")
    health: Health = field(default_factory=Health)
    held: list[Sample] = field(default_factory=list)
    _intervals: list[float] = field(default_factory=list)

    def accept(self, source: str, now: float) -> None:
        """Record a telegram."""
        if self.last is not None:
            self._intervals.append(now - self.last)
            del self._intervals[:-_INTERVALS]
        self.source, self.last = source, now

    def belongs_to(self, source: str) -> bool:
        """True if a source is one of its entry, or the one where it was last heard."""
        return source == self.source if self.sources is None else source in self.sources

    def is_on_any(self, sources: Collection[str]) -> bool:
        """True if it belongs to one of these sources."""
        return self.source in sources if self.sources is None else not self.sources.isdisjoint(sources)

    def sends_elsewhere(self, source: str, now: float) -> bool:
        """True if it was heard on another source a moment ago, or the gateway started a moment ago."""
        last = self.expected_since if self.last is None else self.last
        return self.source != source and now - last < _SILENT_SECONDS

    @property
    def heard(self) -> float:
        """Return when it was last heard, in this run or an earlier one."""
        return self.heard_before if self.last is None else self.last

    @property
    def period(self) -> float:
        """Return the median of its last ten intervals, in seconds; 0 before there is one."""
        return statistics.median(self._intervals) if self._intervals else 0.0
