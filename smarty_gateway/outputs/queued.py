"""The base of outputs that write one reading after the other, and keep nothing."""

import time
from abc import abstractmethod
from typing import ClassVar

from smarty_gateway.outputs.arrivals import READINGS_MAX
from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput


class QueuedOutput(ThreadedOutput):
    """Writes each reading as it comes.

    While its consumer is away, readings are dropped: after each pause it gets the newest of each meter.

    Args:
        name: as in the configuration.
        label: what log messages call it.
        most: readings that may wait.
    """

    #: Whether `write` may take any time, as on a terminal after Ctrl-S; such a thread shows no sign of life.
    may_stall: ClassVar[bool] = False

    def __init__(self, name: str, label: str, most: int = READINGS_MAX) -> None:
        super().__init__(name, label, most)
        self._attempts = Attempts(f"{label} works again")
        self._is_idle = True

    @abstractmethod
    def write(self, reading: Reading) -> None:
        """Write one reading.

        Raises:
            ConsumerAwayError: the consumer cannot be served now; it is tried again after a pause.
            BrokenPipeError: nobody will ever read this output again; the gateway ends as planned.
        """

    def work_aside(self) -> bool:
        """Do a little of what can wait, and return True if there is more; called while no reading waits."""
        return False

    @property
    def state(self) -> str:
        """Return in one word how it works: `ok`, `slow`, `offline`, or what is wrong."""
        if self.failure is not None:
            return self.failure
        if self._attempts.is_away:
            return "offline"
        return "slow" if self.arrivals.is_dropping else "ok"

    @property
    def is_busy(self) -> bool:
        """True while readings wait to be written to a consumer that is there, or may be."""
        is_waiting = bool(self.arrivals) or not self._is_idle
        return is_waiting and not self.is_over and not self._attempts.is_away

    def show_life(self) -> float:
        """Record that the thread lives, unless it may stall, and return the time."""
        now = super().show_life()
        if self.may_stall:
            self.beat = None
        return now

    def work(self) -> None:
        """Write the readings in the queue until the end."""
        try:
            while (reading := self._next()) is not None:
                self._write(reading)
        except BrokenPipeError:
            self.is_over = True

    def _next(self) -> Reading | None:
        """Wait for the next reading; None at the end, when all are written or the time is over."""
        while True:
            now = self.show_life()
            if now >= self.stopping.by or (self.stopping.is_requested and self._attempts.is_away):
                return None
            self._is_idle = False
            if (reading := self.take()) is not None:
                return reading
            self._is_idle = True
            if self.stopping.is_requested:
                return None
            if not self.work_aside():
                self.wake.wait(LOOK_EVERY)

    def _write(self, reading: Reading) -> None:
        try:
            self.write(reading)
        except ConsumerAwayError as away:
            self._attempts.note_failure(f"{self.label}: {away}", time.monotonic())
            self._pause(reading)
        else:
            self._attempts.note_success()

    def _pause(self, failed: Reading) -> None:
        """Wait until the next attempt is due, and keep nothing but the newest reading of each meter."""
        self.arrivals.put_back(failed)
        while (left := self._attempts.seconds_left(self.show_life())) and not self.stopping.is_requested:
            self.wake.wait(min(left, LOOK_EVERY))
            if not self.arrivals.has_room:
                self._keep_newest()
        self._keep_newest()

    def _keep_newest(self) -> None:
        self._attempts.note_dropped(self.arrivals.keep_newest())
        self.note_room()
