"""Sends what waits: one batch at a time, in order, with pauses while the server is away."""

from collections.abc import Callable
from functools import partial
from typing import Final

from smarty_gateway.outputs.attempts import Attempts, ConsumerAwayError
from smarty_gateway.outputs.background import Task
from smarty_gateway.outputs.influxdb.endpoint import BusyError, RefusedError, TooLargeError, WriteEndpoint
from smarty_gateway.outputs.influxdb.queues import RefusedReadings, WaitingReadings

#: Seconds that a reading waits for others before a batch goes out.
BATCH_EVERY: Final = 3.0


class Sender:
    """What goes out, and what becomes of it. Time is an argument.

    Args:
        endpoint: of the server.
        waiting: readings that it has not got yet.
        refused: readings that it has refused.
        wake: is called when `send` must be called again.

    Attributes:
        is_refused: the server has refused the last batch.
    """

    def __init__(
        self,
        endpoint: WriteEndpoint,
        waiting: WaitingReadings,
        refused: RefusedReadings,
        wake: Callable[[], None],
    ) -> None:
        self.is_refused = False
        self._endpoint = endpoint
        self._waiting = waiting
        self._refused = refused
        self._wake = wake
        self._attempts = Attempts("the influxdb output works again")
        self._rest_until = 0.0
        self._next_batch = 0.0
        self._from = waiting
        self._writing: Task[None] | None = None

    @property
    def is_away(self) -> bool:
        """True if the server could not be reached at the last attempt."""
        return self._attempts.is_away

    @property
    def is_busy(self) -> bool:
        """True while something waits for a server that is there, or may be."""
        return not (self._waiting.outbox.is_empty or self.is_away)

    def send(self, now: float, *, is_last: bool = False) -> None:
        """Handle the answer of the server, and send the next batch if it is due.

        Args:
            now: by the monotonic clock.
            is_last: no more readings will come.
        """
        if self._writing is not None and self._writing.is_done:
            self._finish(self._writing, now)
        if self._writing is None and not self.seconds_left(now, is_last=is_last):
            self._begin(now, is_last=is_last)

    def seconds_left(self, now: float, *, is_last: bool = False) -> float:
        """Return the seconds until the next batch may go out."""
        due = self._rest_until if is_last else max(self._rest_until, self._next_batch)
        return max(due - now, self._attempts.seconds_left(now))

    def close(self, seconds: float) -> None:
        """Close the connection; a batch that is on its way gets this many seconds."""
        if self._writing is None:
            self._endpoint.close()
        else:
            self._writing.then(self._endpoint.close)
            self._writing.wait(seconds)

    def _begin(self, now: float, *, is_last: bool) -> None:
        if self._waiting.take():
            self._from = self._waiting
        elif not is_last and self._refused.take_due(now):
            self._from = self._refused
        else:
            return
        self._next_batch = now if self._from.is_backlog else now + BATCH_EVERY
        self._writing = Task("InfluxDB write", partial(self._endpoint.write, self._from.lines), self._wake)

    def _finish(self, writing: Task[None], now: float) -> None:
        self._writing = None
        try:
            writing.result()
        except ConsumerAwayError as away:
            self._from.put_back()
            if isinstance(away, BusyError):
                self._rest_until = now + away.seconds
            self._attempts.note_failure(f"the influxdb output: {away}", now)
            return
        except TooLargeError as refusal:
            if not self._from.halve():
                self._note_refused(str(refusal), now)
            self._next_batch = now
        except RefusedError as refusal:
            self._note_refused(str(refusal), now)
        else:
            self.is_refused = self.is_refused and self._from is self._refused
            self._from.remove_batch()
        self._attempts.note_success()

    def _note_refused(self, why: str, now: float) -> None:
        if self._from is self._refused:
            self._refused.note_refused()
            self._next_batch = now
            return
        self.is_refused = True
        self._refused.put_aside(self._waiting.batch, why, now)
        self._waiting.remove_batch()
