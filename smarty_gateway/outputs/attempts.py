"""Whether a consumer can be reached: a line when it cannot, a line when it can again, and growing pauses."""

import logging
from typing import Final

from smarty_gateway.fault_log import Backoff, Condition, until_it_works

_log = logging.getLogger(__name__)

#: Seconds between attempts: a consumer that is back after a long outage is found within half a minute.
DELAYS: Final = (1.0, 2.0, 5.0, 10.0, 20.0)


class ConsumerAwayError(Exception):
    """A consumer cannot be served now; the text is one line that says what is wrong and what to do."""


class Attempts:
    """The attempts to reach one consumer. Time is an argument.

    Args:
        works_again: the line for when it can be reached again.
        delays: seconds between attempts; the last one is repeated.
    """

    def __init__(self, works_again: str, *delays: float) -> None:
        self._works_again = works_again
        self._fault = Condition(_log.error, cleared=_log.info)
        self._backoff = Backoff(*(delays or DELAYS))
        self._next = 0.0
        self._dropped = 0

    @property
    def is_away(self) -> bool:
        """True if the last attempt failed."""
        return self._fault.is_on

    def seconds_left(self, now: float) -> float:
        """Return the seconds until the next attempt; 0 if it is due."""
        return max(0.0, self._next - now)

    def note_failure(self, why: str, now: float) -> None:
        """Record that an attempt failed; `why` is one line that says what is wrong and what to do."""
        self._fault.begin(until_it_works(why), why)
        self._next = now + self._backoff.next_delay()

    def note_dropped(self, readings: int = 1) -> None:
        """Count readings that the consumer did not get; the line for when it is back says how many."""
        self._dropped += readings

    def note_success(self) -> None:
        """Record that an attempt succeeded."""
        dropped = f"; dropped readings: {self._dropped}" if self._dropped else ""
        self._fault.end(f"{self._works_again}{dropped}")
        self._backoff.reset()
        self._next = 0.0
        self._dropped = 0
