"""Faults: logged once when they start and once when they clear; and how long to wait between attempts.

A fault in a cellar lasts for days and a meter sends every second, so nothing is logged twice. Time is an
argument and lines go to a function, so that tests need not wait.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from smarty_gateway.protocol.rejection import Rejection

Log = Callable[[str], None]

#: A reason that has not occurred for this long has cleared.
_CLEARED_SECONDS: Final = 300.0
_HOUR: Final = 3600.0
_LINES_AN_HOUR: Final = 40
#: Noise can look like any number of meters; this many are told apart.
_METERS_MAX: Final = 50
_JITTER: Final = 0.25


def until_it_works(message: str) -> str:
    """Return a fault with the remark that what failed is tried again."""
    return f"{message}{' T' if message.endswith('?') else '; t'}rying again until it works"


class Backoff:
    """The seconds to wait before each attempt: growing, with jitter, so that not all come at once.

    Args:
        delays: before the jitter of a quarter; the last one is repeated.
    """

    __slots__ = ("_attempt", "_delays")

    def __init__(self, *delays: float) -> None:
        self._delays = delays
        self._attempt = 0

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        delay = self._delays[min(self._attempt, len(self._delays) - 1)]
        self._attempt += 1
        return delay * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret

    def reset(self) -> None:
        """Start with the first delay again: an attempt succeeded."""
        self._attempt = 0


class Condition:
    """One kind of fault of one source: lost, silent, or nothing but garbage.

    Args:
        log: takes the lines.
        clock: returns seconds. A source that comes and goes without end gets a limited number of lines an
            hour.
        cleared: takes the line that the fault has cleared; `log` by default.
    """

    __slots__ = ("_cleared", "_clock", "_kind", "_log", "_logged_at", "_next", "_omitted")

    def __init__(
        self, log: Log, clock: Callable[[], float] = time.monotonic, *, cleared: Log | None = None
    ) -> None:
        self._log = log
        self._cleared = cleared or log
        self._clock = clock
        self._logged_at: list[float] = []  # a deque takes half a kilobyte, for each of many sources
        self._omitted = 0
        self._kind: object = None
        self._next: object = None

    @property
    def is_on(self) -> bool:
        """True while the fault lasts."""
        return self._kind is not None

    def begin(self, message: str, kind: object = "fault") -> None:
        """Record the fault; log its first occurrence, and a change of its kind that comes twice in a row."""
        if self._kind is None or (kind != self._kind and kind == self._next):
            self._log_limited(self._log, message)
            self._kind = kind
        self._next = kind

    def end(self, message: str) -> None:
        """Record that the fault has cleared."""
        if self._kind is not None:
            self._log_limited(self._cleared, message)
        self._kind = self._next = None

    def _log_limited(self, log: Log, message: str) -> None:
        now = self._clock()
        if len(self._logged_at) == _LINES_AN_HOUR:
            if now - self._logged_at[0] < _HOUR:
                self._omitted += 1
                return
            del self._logged_at[0]
        more = f" (and {self._omitted} changes before that were not logged)" if self._omitted else ""
        self._omitted = 0
        self._logged_at.append(now)
        log(f"{message}{more}")


@dataclass(slots=True)
class _Occurrences:
    since: float
    last: float
    not_logged: int = 0


class RejectionLog:
    """Logs each reason of a meter when it first occurs, then hourly, and when it has cleared."""

    __slots__ = ("_cleared", "_log", "_seen")

    def __init__(self, log: Log, *, cleared: Log | None = None) -> None:
        self._log = log
        self._cleared = cleared or log
        self._seen: dict[tuple[str, str], _Occurrences] = {}

    def note(self, meter: str, rejection: Rejection, now: float, advice: str = "") -> bool:
        """Record a rejection; return True if it was logged."""
        key = (meter, str(rejection.reason))
        found = self._seen.get(key)
        if found is None and len(self._seen) >= _METERS_MAX:
            key = ("further meters", str(rejection.reason))
            found = self._seen.get(key)
        if found is None:
            self._seen[key] = _Occurrences(now, now)
            # The serial number of the meter is not repeated where the meter goes out under it.
            self._log(f"{meter}: {rejection}{advice}".replace(f" (serial {meter})", ""))
            return True
        found.last = now
        found.not_logged += 1
        return False

    def tick(self, now: float) -> None:
        """Log what is due; called now and then."""
        for (meter, reason), found in list(self._seen.items()):
            if now - found.last >= _CLEARED_SECONDS:
                more = f", after {found.not_logged} more" if found.not_logged else ""
                minutes = f"{_CLEARED_SECONDS / 60:.0f}"
                self._cleared(f"{meter}: no frames rejected ({reason}) for {minutes} minutes{more}")
                del self._seen[meter, reason]
            elif now - found.since >= _HOUR:
                self._log(f"{meter}: rejected {reason} {found.not_logged} more times in the last hour")
                found.since, found.not_logged = now, 0
