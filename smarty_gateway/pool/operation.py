"""How a worker is watched: `/livez`, `/healthz` and `/metrics`, and what the service manager is told."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smarty_gateway import __version__
from smarty_gateway.config.service_manager import notify, watchdog_seconds
from smarty_gateway.config.values import HttpConfig
from smarty_gateway.pool.results import Results
from smarty_gateway.pool.status import WorkerStatus
from smarty_gateway.pool.worker_health import WorkerHealth
from smarty_gateway.web.serving import Serving

if TYPE_CHECKING:
    from smarty_gateway.web.access import WsgiApp
    from smarty_gateway.web.exposition import Metrics

#: Seconds without a `tick` after which the worker does not live.
_DEAD_AFTER: Final = 30.0
_STOP_WITHIN: Final = 1.0
#: Seconds between two looks.
_TICK: Final = 1.0


class Operation:
    """Answers monitoring and tells the service manager, until it is stopped.

    Args:
        http: where monitoring asks; None where it does not.
        status: returns what the worker knows of itself; any thread calls it.
        results: the outputs.

    Raises:
        PasswordFileError: the password of `http` cannot be read.
    """

    def __init__(self, http: HttpConfig | None, status: Callable[[], WorkerStatus], results: Results) -> None:
        self._status = status
        self._results = results
        self._health = WorkerHealth()
        self._line = ""
        self._beat = time.monotonic() - _TICK
        self._has_watchdog = watchdog_seconds() is not None
        self._serving = None if http is None else Serving(http, self._application, "the worker's health")

    def start(self) -> None:
        """Answer from now on."""
        if self._serving is not None:
            self._serving.start()
        notify("READY=1")

    def tick(self) -> None:
        """Record that the worker lives; its supervising thread calls this at least every few seconds."""
        now = time.monotonic()
        if now - self._beat < _TICK:
            return
        self._beat = now
        self._health.note(self._status(), self._results.states, self._beat)
        if self._has_watchdog:
            notify("WATCHDOG=1")
        if self._health.line != self._line:
            self._line = self._health.line
            notify(f"STATUS={self._line}")

    @property
    def failure(self) -> str | None:
        """Why it can never work again; the worker then ends with this line."""
        return None if self._serving is None else self._serving.failure

    def note_stopping(self) -> None:
        """Tell the service manager that the worker ends."""
        notify("STOPPING=1")

    def stop(self) -> None:
        """Answer no more."""
        if self._serving is not None:
            self._serving.stop(_STOP_WITHIN)

    def _application(self) -> "WsgiApp":
        from smarty_gateway.web.status_routes import status_application  # noqa: PLC0415 - loads bottle

        return status_application(self._lives, self._health.as_object, self._add_metrics)

    def _lives(self) -> bool:
        return time.monotonic() - self._beat < _DEAD_AFTER

    def _add_metrics(self, found: "Metrics") -> None:
        status = self._status()
        found.gauge("build_info", "The version of the worker.", 1, version=__version__)
        found.gauge("alive", "1 while all threads of the worker live.", self._lives())
        _add_status(found, status)
        for output, state in self._results.states.items():
            found.gauge("output_up", "1 while an output works.", state == "ok", output=output)
        for output, dropped in self._results.dropped.items():
            found.counter(
                "output_dropped_readings", "Readings that an output gave up.", dropped,
                output=output,
            )  # fmt: skip


def _add_status(found: "Metrics", status: WorkerStatus) -> None:
    found.gauge("pool_workers", "Workers that live, as this one sees it.", len(status.workers))
    found.gauge("pool_held_shards", "Shards that this worker reads.", len(status.held))
    found.gauge("pool_home_shards", "Shards at home in this worker.", len(status.home))
    found.gauge("pool_unread_shards", "Shards that cannot be read here, as the log says.", len(status.unread))
    found.gauge("pool_broker_up", "1 while a RabbitMQ node is connected.", status.node is not None)
    found.gauge("pool_database_up", "1 while the database works.", status.database_works)
    found.gauge("pool_waiting_messages", "Messages received and not yet written.", status.waiting)
    found.gauge(
        "pool_lag_seconds", "From the arrival at the edge to the row, of the newest frame.", status.lag
    )
    found.counter("pool_frames", "Frames that came.", status.frames)
    found.counter("pool_rows", "Rows that were new in the database.", status.rows)
    found.counter("pool_unverified_rows", "New rows that only a CRC has verified.", status.unverified)
    found.counter("pool_repeats", "Frames delivered again that had their row.", status.repeats)
    for reason, count in sorted(status.refused.items()):
        found.counter("pool_refused_frames", "Refused frames, by reason.", count, reason=reason)
    found.counter("pool_taken_shards", "How often a shard was taken.", status.takes)
    found.counter("pool_released_shards", "How often a shard was released.", status.releases)
    found.counter("pool_rebalances", "Shards released for their home worker.", status.rebalances)
