"""The base of outputs that write one reading after the other: a bounded queue and a thread.

A slow or stalled consumer delays neither the meters nor another output. What it cannot accept in time is
dropped, the oldest first, and counted; a recording waits instead.
"""

import logging
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading

_log = logging.getLogger(__name__)
#: About a minute of a thousand meters, or a few hours of one.
_QUEUE_SIZE: Final = 1000


class QueuedOutput(ABC):
    """Writes each reading as it comes.

    Args:
        name: as in the configuration.
        label: what log messages call it.
    """

    def __init__(self, name: str, label: str) -> None:
        self.name = name
        self.beat = None  # a consumer may stall for any time, as a terminal does after Ctrl-S
        self.is_over = False
        self.failure: str | None = None
        self._label = label
        self._queue: queue.Queue[Reading | None] = queue.Queue(_QUEUE_SIZE)
        self._thread = threading.Thread(target=self._run, name=label, daemon=True)
        self._dropped = 0

    @abstractmethod
    def write(self, reading: Reading) -> None:
        """Write one reading.

        Raises:
            BrokenPipeError: nobody listens any more; the gateway ends as planned.
            OSError: nothing can be written any more; the gateway ends with an error.
        """

    @property
    def state(self) -> str:
        """Return in one word how it works: `ok`, `slow`, or what is wrong."""
        return self.failure or ("slow" if self._dropped else "ok")

    def forget(self, meter: str) -> None:  # noqa: B027 - most outputs have no use for it
        """Nothing is stored about a meter."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Put a reading into the queue."""
        while not self.is_over:
            try:
                self._queue.put(reading, block=not reading.is_live, timeout=1)
            except queue.Full:
                if reading.is_live:
                    self._drop_oldest()
            else:
                return

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:  # noqa: B027 - likewise
        """Health is in the log and on MQTT."""

    def stop(self, seconds: float) -> None:
        """Write the readings in the queue, for at most this long."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    @property
    def is_busy(self) -> bool:
        """True while readings wait to be written."""
        return self._queue.unfinished_tasks > 0 and not self.is_over

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
        self._queue.task_done()
        if not self._dropped:
            _log.warning(
                "%s is too slow, or was stopped; the oldest readings for it are dropped", self._label
            )
        self._dropped += 1

    def _run(self) -> None:
        if crash := crash_of(self._write_until_stopped):
            self.failure = f"{self._label} failed: {crash}"
        self.is_over = True

    def _write_until_stopped(self) -> None:
        try:
            while (reading := self._queue.get()) is not None:
                self.write(reading)
                self._queue.task_done()
                if self._dropped and self._queue.empty():
                    _log.warning("%s takes readings again; %d were dropped", self._label, self._dropped)
                    self._dropped = 0
        except BrokenPipeError:
            pass
        except OSError as error:
            self.failure = f"{self._label} cannot be written: {error.strerror}"
