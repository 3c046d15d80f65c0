"""What the tests of the outputs' common parts share: readings by number, and outputs whose consumer obeys."""

import threading
from dataclasses import replace
from functools import cache
from typing import Final

from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput
from tests.support.mqtt_runs import reading_of
from vectors.building_blocks import belgium

#: Seconds that no test needs.
LONG: Final = 30.0


@cache
def _sample() -> Reading:
    return reading_of(belgium(0))


def numbered(number: int, meter: str = "house", *, named: bool = True, live: bool = True) -> Reading:
    """Return a reading that `number_of` tells from others."""
    return replace(_sample(), meter=meter, is_configured=named, is_live=live, source=str(number))


def number_of(reading: Reading) -> int:
    return int(reading.source)


class Listed(QueuedOutput):
    """Writes into a list.

    Attributes:
        written: numbers of readings.
        may_write: cleared, its consumer stalls.
        fault: what its consumer does instead of taking a reading.
        tried: released at each attempt to write.
    """

    def __init__(self, most: int = 100, pause: float = LONG) -> None:
        super().__init__("listed", "the listed output", most)
        self._attempts = Attempts("the listed output works again", pause)
        self.written: list[int] = []
        self.fault: Exception | None = None
        self.may_write = threading.Event()
        self.may_write.set()
        self.tried = threading.Semaphore(0)
        self._wrote = threading.Semaphore(0)

    def write(self, reading: Reading) -> None:
        """Do what the test wants."""
        self.tried.release()
        assert self.may_write.wait(LONG)
        if self.fault is not None:
            raise self.fault
        self.written.append(number_of(reading))
        self._wrote.release()

    def wait_for_attempt(self) -> None:
        """Return when the next reading is on its way to the consumer."""
        assert self.tried.acquire(timeout=LONG)

    def wait_until_written(self, number: int) -> None:
        """Return when this reading is written."""
        while number not in self.written:
            assert self._wrote.acquire(timeout=LONG)


AWAY: Final = ConsumerAwayError("the consumer is away")
