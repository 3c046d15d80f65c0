"""What is wrong with a source, said once when it begins and once when it is over.

A fault in a cellar lasts for days and a meter speaks every second, so nothing here is said twice.
Time is an argument, and lines go to a function, so that all of it can be tested without waiting.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from smarty_gateway.protocol.rejection import Rejection

Say = Callable[[str], None]

#: A reason that has not occurred for so long is over.
_OVER_SECONDS: Final = 300.0
_HOUR: Final = 3600.0
_LINES_AN_HOUR: Final = 40
#: Whoever sends noise can invent meters; so many are told apart.
_MOST: Final = 50


class Condition:
    """One kind of fault of one source: lost, silent, or nothing but garbage.

    Args:
        say: takes the lines.
        clock: seconds; a source that comes and goes without end says a few lines an hour.
    """

    __slots__ = ("_clock", "_kind", "_next", "_said_at", "_unsaid", "_write")

    def __init__(self, say: Say, clock: Callable[[], float] = time.monotonic) -> None:
        self._write = say
        self._clock = clock
        self._said_at: list[float] = []  # a deque would take half a kilobyte, for each of many sources
        self._unsaid = 0
        self._kind: object = None
        self._next: object = None

    @property
    def is_on(self) -> bool:
        """Tell whether it lasts."""
        return self._kind is not None

    def begin(self, words: str, kind: object = "fault") -> None:
        """Note the fault; only its first occurrence is said, and a lasting change of its kind."""
        if self._kind is None or (kind != self._kind and kind == self._next):
            self._say(words)
            self._kind = kind
        self._next = kind

    def end(self, words: str) -> None:
        """Note that all is well."""
        if self._kind is not None:
            self._say(words)
        self._kind = self._next = None

    def _say(self, words: str) -> None:
        now = self._clock()
        if len(self._said_at) == _LINES_AN_HOUR:
            if now - self._said_at[0] < _HOUR:
                self._unsaid += 1
                return
            del self._said_at[0]
        more = f" (and {self._unsaid} changes before that were not logged)" if self._unsaid else ""
        self._unsaid = 0
        self._said_at.append(now)
        self._write(f"{words}{more}")


@dataclass(slots=True)
class _Occurrences:
    since: float
    last: float
    unsaid: int = 0


class RejectionLog:
    """Says each reason of a meter when it first occurs, then hourly, and when it is over."""

    __slots__ = ("_say", "_seen")

    def __init__(self, say: Say) -> None:
        self._say = say
        self._seen: dict[tuple[str, str], _Occurrences] = {}

    def note(self, meter: str, rejection: Rejection, now: float, advice: str = "") -> bool:
        """Note one rejection; tell whether it was said."""
        key = (meter, str(rejection.reason))
        found = self._seen.get(key)
        if found is None and len(self._seen) >= _MOST:
            key = ("further meters", str(rejection.reason))
            found = self._seen.get(key)
        if found is None:
            self._seen[key] = _Occurrences(now, now)
            self._say(f"{meter}: {rejection}{advice}")
            return True
        found.last = now
        found.unsaid += 1
        return False

    def tick(self, now: float) -> None:
        """Say what is due; called now and then."""
        for (meter, reason), found in list(self._seen.items()):
            if now - found.last >= _OVER_SECONDS:
                more = f", after {found.unsaid} more" if found.unsaid else ""
                self._say(f"{meter}: no more rejected {reason} for {_OVER_SECONDS / 60:.0f} minutes{more}")
                del self._seen[meter, reason]
            elif now - found.since >= _HOUR:
                self._say(f"{meter}: rejected {reason} {found.unsaid} more times in the last hour")
                found.since, found.unsaid = now, 0


class Backoff:
    """The waits between attempts: each longer than the one before, with a jitter of a quarter."""

    __slots__ = ("_attempt", "_delays")

    def __init__(self, delays: Sequence[float]) -> None:
        self._delays = delays
        self._attempt = 0

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        delay = self._delays[min(self._attempt, len(self._delays) - 1)]
        self._attempt += 1
        return delay * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret

    def reset(self) -> None:
        """Start again with the shortest wait."""
        self._attempt = 0
