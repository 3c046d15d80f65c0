"""What all outputs with a consumer share: a bounded queue, a thread, a sign of life, and a clean end.

The threads of the readers put readings into the queue and never wait, so a slow, stalled or dead consumer
delays neither a meter nor another output. Only a recording waits while the queue has no room.
"""

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Final

from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.arrivals import READINGS_MAX, Arrivals
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.outputs.wake import WakePipe

_log = logging.getLogger(__name__)

#: Seconds after which a thread shows at the latest that it lives.
LOOK_EVERY: Final = 1.0


class Stop:
    """A request to end.

    Attributes:
        by: when everything must be done, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.by = math.inf

    @property
    def is_requested(self) -> bool:
        """True if the output shall end."""
        return self.by < math.inf


class ThreadedOutput(ABC):
    """An output that does its work in one thread.

    Args:
        name: as in the configuration.
        label: what log messages call it, such as `the MQTT output`.
        most: readings that may wait.
        named_first: readings of configured meters come before all others.

    Attributes:
        beat: when its thread last showed that it lives, by the monotonic clock.
        is_over: nobody reads it any more; the gateway then ends.
        failure: why it can never work again; the gateway then ends with an error.
        arrivals: readings that its thread has not taken yet.
        wake: what its thread waits for.
        stopping: when it shall end.
    """

    #: Seconds of those for a stop that are kept for the last steps.
    last_steps: ClassVar[float] = 0.5

    def __init__(self, name: str, label: str, most: int = READINGS_MAX, *, named_first: bool = False) -> None:
        self.name = name
        self.label = label
        self.beat: float | None = None
        self.is_over = False
        self.failure: str | None = None
        self.arrivals = Arrivals(label, most, named_first=named_first)
        self.wake = WakePipe()
        self.stopping = Stop()
        self._taken = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=label, daemon=True)

    # What an output is made of

    @abstractmethod
    def work(self) -> None:
        """Do the work until `stopping.is_requested`; called once, in the thread.

        It must call `show_life` at least every few minutes, take what arrives, and return before
        `stopping.by`. An exception ends the gateway with an error.
        """

    def close(self) -> None:  # noqa: B027 - most outputs have nothing to close
        """Free what the output holds; called in the thread behind `work`, however that ended."""

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait."""
        return self.arrivals.has_room

    @property
    @abstractmethod
    def state(self) -> str:
        """Its state in one word: `ok`, or what is wrong."""

    @property
    @abstractmethod
    def is_busy(self) -> bool:
        """True while it delivers what it has taken; the end of a recording waits for that."""

    @property
    def dropped(self) -> int:
        """Readings that it could not take in time since the start."""
        return self.arrivals.dropped

    # For the thread

    def show_life(self) -> float:
        """Record that the thread lives, and return the time."""
        self.beat = time.monotonic()
        return self.beat

    def take(self) -> Reading | None:
        """Remove and return the next reading that has arrived."""
        reading = self.arrivals.take()
        self.note_room()
        return reading

    def note_room(self) -> None:
        """Wake recordings that wait for room."""
        with self._taken:
            self._taken.notify_all()

    # Called by other threads

    def start(self) -> None:
        """Start the thread."""
        self.show_life()
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Put a reading into the queue; a recording waits while there are too many, a port never does."""
        if not reading.is_live:
            with self._taken:
                self._taken.wait_for(lambda: self.has_room or self.stopping.is_requested or self.is_over)
        self.arrivals.put(reading)
        self.wake.wake()

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:  # noqa: B027 - see below
        """Take the health of meters and gateway; most outputs have no use for it."""

    def forget(self, meter: str) -> None:  # noqa: B027 - likewise
        """Remove a meter that the configuration does not name and that is gone."""

    def stop(self, seconds: float) -> None:
        """End the thread within this many seconds."""
        self.stopping.by = time.monotonic() + max(0.0, seconds - self.last_steps)
        self.wake.wake()
        self.note_room()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("%s did not end in time", self.label)

    def _run(self) -> None:
        for step in (self.work, self.close, self.wake.close):
            if crash := crash_of(step):
                self.failure = self.failure or f"{self.label} failed: {crash}"
        self.is_over = self.is_over or not self.stopping.is_requested
        self.note_room()
