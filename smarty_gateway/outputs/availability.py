"""Whether a meter is heard: one rule for MQTT, the page and monitoring, with time as an argument."""

import statistics
from typing import Final

_SILENT_AFTER: Final = 30.0
_SILENT_AFTER_MOST: Final = 3600.0
_PERIODS: Final = 3
#: Few enough that the median follows a meter that changes soon; one missed telegram does not change it.
_INTERVALS: Final = 10


class Rhythm:
    """How often the telegrams of one meter come.

    Any thread may ask while another one adds an arrival.

    Attributes:
        last: when the newest one came; None before the first.
    """

    __slots__ = ("_intervals", "last")

    def __init__(self) -> None:
        self.last: float | None = None
        self._intervals: tuple[float, ...] = ()

    def arrive(self, now: float) -> None:
        """Record a telegram."""
        if self.last is not None:
            self._intervals = (*self._intervals, now - self.last)[-_INTERVALS:]
        self.last = now

    @property
    def patience(self) -> float:
        """The seconds after which it counts as silent."""
        period = statistics.median(self._intervals or (0.0,))
        return min(max(_SILENT_AFTER, _PERIODS * period), _SILENT_AFTER_MOST)

    def is_silent(self, now: float, started: float = float("-inf")) -> bool:
        """True if no telegram has come for too long.

        Args:
            now: the time.
            started: since when the first one is waited for.
        """
        silence = now - (started if self.last is None else self.last)
        return silence >= _SILENT_AFTER and silence >= self.patience
