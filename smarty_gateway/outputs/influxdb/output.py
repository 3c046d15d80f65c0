"""The InfluxDB output: its thread, and its door to the gateway."""

import logging
import time
from typing import Final

from smarty_gateway.config.consumers import InfluxConfig
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config, StoreLimits
from smarty_gateway.outputs.influxdb.endpoint import WriteEndpoint
from smarty_gateway.outputs.influxdb.points import Points
from smarty_gateway.outputs.influxdb.queues import RefusedReadings, WaitingReadings
from smarty_gateway.outputs.influxdb.sender import Sender
from smarty_gateway.outputs.outbox import Outbox
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: A hundred years: what waits is limited by its size alone.
_ANY_AGE: Final = 36_500
#: Days after which readings that the server refuses are given up.
_REFUSED_DAYS: Final = 30
#: Of the disk space for what waits, how much there is for what was refused, in addition.
_REFUSED_SHARE: Final = 5
#: Readings that a recording may be ahead of a server that is there.
_MOST_AHEAD: Final = 5000
#: OpenSSL takes itself down when the process ends, and crashes if another thread is at work in it. One that
#: only waits for a slow server does no harm.
_WAIT_FOR_ANSWER: Final = 0.25


class InfluxOutput(ThreadedOutput):
    """Hands readings to an InfluxDB server."""

    #: For the store and for closing.
    last_steps = 1.0

    def __init__(self, config: Config, influx: InfluxConfig, store: Store) -> None:
        super().__init__("influxdb", "the influxdb output")
        self._store = store
        self._points = Points(zone_of(config))
        limits = StoreLimits(influx.megabytes, _ANY_AGE)
        refused_limits = StoreLimits(max(1, influx.megabytes // _REFUSED_SHARE), _REFUSED_DAYS)
        self._waiting = WaitingReadings(Outbox(store, limits, "influxdb", "InfluxDB"))
        self._refused = RefusedReadings(
            Outbox(store, refused_limits, "influxdb-refused", "InfluxDB that it refuses"), store.path
        )
        self._sender = Sender(WriteEndpoint(influx), self._waiting, self._refused, self.wake.wake)

    @property
    def has_room(self) -> bool:
        """True while a recording need not wait; a server that is away does not hold it up."""
        return super().has_room and (self._waiting.count < _MOST_AHEAD or self._sender.is_away)

    @property
    def state(self) -> str:
        """Its state in one word: `ok`, `offline`, `refused`, `slow`, or what is wrong."""
        if self.failure is not None:
            return self.failure
        if self._sender.is_away:
            return "offline"
        if self._sender.is_refused:
            return "refused"
        return "slow" if self.arrivals.is_dropping else "ok"

    @property
    def is_busy(self) -> bool:
        """True while something waits for a server that is there, or may be."""
        has_work = bool(self.arrivals) or self._sender.is_busy
        return has_work and not self._sender.is_away and self._thread.is_alive()

    def forget(self, meter: str) -> None:
        """Remove a meter that the configuration does not name and that is gone."""
        self._points.forget(meter)

    # The thread

    def work(self) -> None:
        """Send batches until the end; then what is left, while there is time."""
        while True:
            now = self._look()
            is_last = self.stopping.is_requested
            self._sender.send(now, is_last=is_last)
            if is_last and (now >= self.stopping.by or not self.is_busy):
                return
            left = self._sender.seconds_left(now, is_last=is_last) or LOOK_EVERY
            self.wake.wait(min(left, LOOK_EVERY, max(0.0, self.stopping.by - now)))

    def close(self) -> None:
        """Store what the server has not got."""
        self._take_arrivals(time.monotonic())
        self._sender.close(_WAIT_FOR_ANSWER)
        now = time.monotonic()
        self._refused.outbox.close(now)
        if waiting := self._waiting.outbox.close(now):
            _log.warning(
                "what waits for InfluxDB (%d readings) is in %s; the next start sends it",
                waiting,
                self._store.path,
            )

    def _look(self) -> float:
        """Do what must be done every second, whatever the server does, and return the time."""
        now = self.show_life()
        self._take_arrivals(now)
        self._waiting.outbox.tick(now)
        self._refused.outbox.tick(now)
        self.note_room()
        return now

    def _take_arrivals(self, now: float) -> None:
        # What is there now, and a look that finds nothing: readings without pause must not hold up the rest.
        for _ in range(len(self.arrivals) + 1):
            if (reading := self.arrivals.take()) is None:
                break
            self._waiting.add(reading.meter, self._points.of(reading).encode(), now)
