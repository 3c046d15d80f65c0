"""The net power of the last 48 hours as means of 10 s, in memory, for the pictures of the present.

Time is that of a clock which goes on while the machine sleeps and which nobody sets, counted back from the
present. So a clock that is set, as on a machine that starts without one, moves nothing and removes nothing.
"""

import threading
import time
from array import array
from collections.abc import Callable, Iterable
from typing import Final

from smarty_gateway.pages.snapshots import PowerCurve

#: Seconds of a mean.
STEP: Final = 10
_SPAN: Final = 48 * 3600
_MEANS: Final = _SPAN // STEP
METERS_MAX: Final = 200
#: W; a meter that says more is not believed. An array of C's int holds it.
_MOST: Final = 10**9
_UNKNOWN: Final = -(2**31)
#: macOS has no such clock; there time stands still while the machine sleeps.
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _steady_time() -> float:
    return time.clock_gettime(_STEADY)


class _Means:
    """The means of one meter, in a ring: that of a step is where the step's number leads."""

    __slots__ = ("at", "count", "first", "ring", "step", "total")

    def __init__(self, at: float) -> None:
        self.ring = array("i", [_UNKNOWN]) * _MEANS
        self.first = self.step = int(at // STEP)
        self.at = at
        self.total = self.count = 0

    def add(self, at: float, watts: int, patience: float) -> None:
        step, silence, self.at = int(at // STEP), at - self.at, at
        if step > self.step:
            before = self.ring[self.step % _MEANS]
            filling = before if silence < patience else _UNKNOWN
            for missed in range(max(self.step + 1, step - _MEANS + 1), step):
                self.ring[missed % _MEANS] = filling
            self.step, self.total, self.count = step, 0, 0
        self.total += watts
        self.count += 1
        self.ring[self.step % _MEANS] = round(self.total / self.count)


class PowerMemory:
    """Remembers the power of the first meters: those that are reserved for always have a place.

    Args:
        reserved: names in the order of the configuration.
        steady_time: returns seconds by a clock that nobody sets.
        utc: returns UTC seconds.
    """

    def __init__(
        self,
        reserved: Iterable[str],
        steady_time: Callable[[], float] = _steady_time,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._reserved = frozenset(list(reserved)[:METERS_MAX])
        self._steady_time = steady_time
        self._utc = utc
        self._of: dict[str, _Means] = {}
        self._lock = threading.Lock()

    def add(self, meter: str, watts: int, patience: float) -> None:
        """Take the power of a meter at this moment.

        Args:
            meter: its own name.
            watts: import less export.
            patience: the seconds after which it counts as silent; in a shorter time, steps without a telegram
                have the mean before them.
        """
        if abs(watts) > _MOST:
            return
        now = self._steady_time()
        with self._lock:
            means = self._of.get(meter)
            if means is None:
                if not self._has_place(meter):
                    return
                means = self._of[meter] = _Means(now)
            means.add(now, watts, patience)

    def forget(self, meter: str) -> None:
        """Remove a meter that is gone."""
        with self._lock:
            self._of.pop(meter, None)

    def curve(self, meter: str) -> PowerCurve:
        """Return the means of a meter, from the first one within 48 hours to the newest."""
        steady, utc = self._steady_time(), self._utc()
        with self._lock:
            means = self._of.get(meter)
            if means is None:
                return PowerCurve(int(utc), STEP, ())
            ring, newest, first = means.ring[:], means.step, means.first
        first = max(first, newest - _MEANS + 1, int(steady // STEP) - _MEANS + 1)
        begin = first % _MEANS
        ordered = (ring[begin:] + ring[:begin])[: max(0, newest - first + 1)]
        watts = [None if mean == _UNKNOWN else mean for mean in ordered]
        return PowerCurve(int(utc - steady + first * STEP), STEP, watts)

    def _has_place(self, meter: str) -> bool:
        others = sum(other not in self._reserved for other in self._of)
        return meter in self._reserved or others < METERS_MAX - len(self._reserved)
