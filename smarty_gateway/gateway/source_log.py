"""The log of meters that a source brings: a bounded number of lines, whatever it brings.

An attacker who controls a source must not fill the log or use up the lines of other sources. What is not
logged is counted, and the counts are logged once an hour.
"""

from collections import Counter
from collections.abc import Callable
from typing import Final

_HOUR: Final = 3600.0
#: Of each source; the rest is counted.
_NAMED_MAX: Final = 5
_LINES_MAX: Final = 20


class SourceLog:
    """Writes lines about sources.

    Args:
        write: takes the lines.
        started: the time.
    """

    def __init__(self, write: Callable[[str], None], started: float) -> None:
        self._write = write
        self._next_hour = started + _HOUR
        self._logged: dict[str, set[str]] = {}
        self._unlogged: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def log_once(self, source: str, line: str) -> None:
        """Log a line about a source, unless it was logged before."""
        logged = self._logged.setdefault(source, set())
        if line in logged:
            return
        if len(logged) < _LINES_MAX:
            logged.add(line)
            self._write(f"{source}: {line}")
        else:
            self._unlogged[source] += 1

    def name_unconfigured(self, source: str, meter: str) -> None:
        """Log a meter without an entry; of many only the first ones."""
        self._named[source] += 1
        if self._named[source] <= _NAMED_MAX:
            self._write(f"{source}: unconfigured meter on this source; publishing it as {meter}")

    def count_refused(self, source: str) -> None:
        """Count a telegram of a meter for which there is no room."""
        self._refused[source] += 1

    def tick(self, now: float) -> None:
        """Log the counts once an hour."""
        if now < self._next_hour:
            return
        self._next_hour = now + _HOUR
        for source, number in self._named.items():
            if number > _NAMED_MAX:
                more = number - _NAMED_MAX
                self._write(f"{source}: {more} more unconfigured meters in the last hour")
        for source, number in self._refused.items():
            self._write(
                f"{source}: {number} telegrams of too many unconfigured meters were ignored in the last hour"
            )
        for source, number in self._unlogged.items():
            self._write(
                f"{source}: {number} more telegrams were ignored or held back in the last hour, for reasons "
                "like those logged before"
            )
        for counts in (self._named, self._refused, self._unlogged):
            counts.clear()
