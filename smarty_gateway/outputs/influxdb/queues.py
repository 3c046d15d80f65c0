"""What waits for the server: readings in their order, and those that it has refused."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.outbox import Outbox, Waiting

_log = logging.getLogger(__name__)

#: A telegram with all its fields takes up to 2,000 bytes; InfluxDB takes batches of 25 MB at most.
_MOST_READINGS: Final = 5000
_MOST_BYTES: Final = 1_000_000
_TRY_EVERY: Final = 3600.0
#: Requests a try of what was refused may take; the next one begins with what this one did not reach.
_MOST_REQUESTS: Final = 100


class WaitingReadings:
    """Readings in their order.

    Attributes:
        batch: what is on its way.
        count: readings of this run that wait; a recording pauses while there are too many.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.batch: Sequence[Waiting] = ()
        self.count = 0
        self._most = _MOST_READINGS

    def add(self, meter: str, lines: bytes, now: float) -> None:
        """Add the lines of a reading."""
        self.count += 1
        self.outbox.add(meter, lines, now)

    def take(self) -> bool:
        """Take the next batch; False if nothing waits."""
        self.batch = self.outbox.next_batch(self._most, _MOST_BYTES)
        if not self.batch:
            self.count, self._most = 0, _MOST_READINGS
        return bool(self.batch)

    @property
    def lines(self) -> bytes:
        """The lines of the batch; those that the disk has damaged may not be text any more."""
        return b"\n".join(waiting.payload for waiting in self.batch)

    @property
    def is_backlog(self) -> bool:
        """True if the batch comes from the disk, or more waits behind it: the next one follows at once."""
        has_more = self.outbox.in_memory > len(self.batch)
        return has_more or any(waiting.id is not None for waiting in self.batch)

    def remove_batch(self) -> None:
        """Remove the batch: the server has it, or it waits elsewhere."""
        for waiting in self.batch:
            self.outbox.remove(waiting)
        self.count = max(0, self.count - len(self.batch))
        self.batch = ()

    def put_back(self) -> None:
        """Send the batch again."""
        for waiting in self.batch:
            self.outbox.put_back(waiting)
        self.batch = ()

    def halve(self) -> bool:
        """Send the batch again in smaller parts; False if it has one reading only."""
        if len(self.batch) == 1:
            return False
        self._most = len(self.batch) // 2
        self.put_back()
        return True


class RefusedReadings(WaitingReadings):
    """Readings that the server has refused; they are tried again every hour.

    A server may refuse a whole batch for one reading in it. A try finds it by halves.

    Args:
        outbox: keeps them.
        path: of the file in which they are, for messages.
    """

    def __init__(self, outbox: Outbox, path: Path) -> None:
        super().__init__(outbox)
        self._path = path
        self._fault = Condition(_log.error, cleared=_log.info)
        self._alone: list[Waiting] = []
        self._requests_left = _MOST_REQUESTS
        self._next_try = 0.0

    def put_aside(self, batch: Sequence[Waiting], why: str, now: float) -> None:
        """Keep a batch that the server has refused.

        Args:
            batch: what it has refused.
            why: a sentence about the server.
            now: by the monotonic clock.
        """
        for waiting in batch:
            self.add(waiting.topic, waiting.payload, now)
        if any(waiting.id is not None for waiting in batch):
            self.outbox.close(now)  # what was on disk must not be lost by a crash now
        if not self._fault.is_on:
            self._next_try = now + _TRY_EVERY
        self._fault.begin(
            f"the influxdb output: {why}; they are put aside in {self._path} ({self.count} so far) and tried "
            "again every hour"
        )

    def take_due(self, now: float) -> bool:
        """Take the next batch of a try; False if none is due, or the try is over."""
        if now < self._next_try or (self.outbox.is_empty and not self._fault.is_on):
            return False
        if self._requests_left and self.take():
            self._requests_left -= 1
            return True
        self._end_try(now)
        return False

    def remove_batch(self) -> None:
        """Remove the batch, and try more at once."""
        super().remove_batch()
        self._most = min(_MOST_READINGS, 2 * self._most)

    def note_refused(self) -> None:
        """Look for what the server refuses in the batch."""
        if not self.halve():
            self._alone += self.batch
            self.batch = ()

    def _end_try(self, now: float) -> None:
        self._next_try, self._requests_left = now + _TRY_EVERY, _MOST_REQUESTS
        for waiting in self._alone:
            self.outbox.remove(waiting)
            self.outbox.add(waiting.topic, waiting.payload, now)
        self._alone.clear()
        if number := self.outbox.close(now):
            _log.error("the influxdb output: InfluxDB still refuses what is put aside (%d readings)", number)
        else:
            self._fault.end("the influxdb output: InfluxDB has the readings that were put aside")
