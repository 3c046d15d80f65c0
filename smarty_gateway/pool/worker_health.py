"""Whether a worker is well: what has been wrong for a while, and what monitoring is told. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from smarty_gateway import __version__
from smarty_gateway.pool.status import WorkerStatus

#: Seconds for which something may be away: a node that is restarted, or a database that changes its server.
PATIENCE: Final = 15.0


class WorkerHealth:
    """What is wrong with a worker, and since when. Time is an argument.

    The lag is a metric, and nothing that is wrong here: an edge that returns after a day delivers what is a
    day old.
    """

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._status: WorkerStatus | None = None
        self._outputs: Mapping[str, str] = {}
        self._problems: tuple[str, ...] = ()
        self._done = 0
        self._is_started = False

    def note(self, status: WorkerStatus, outputs: Mapping[str, str], now: float) -> None:
        """Record how the worker is; called about once a second."""
        wrong = set(self._wrong(status, outputs))
        self._since = {problem: self._since.get(problem, now) for problem in sorted(wrong)}
        self._problems = tuple(
            f"{problem} for {now - since:.0f} s"
            for problem, since in self._since.items()
            if now - since >= PATIENCE
        )
        self._status, self._outputs, self._done = status, outputs, status.frames
        self._is_started = self._is_started or (status.node is not None and status.database_works)

    def _wrong(self, status: WorkerStatus, outputs: Mapping[str, str]) -> Iterator[str]:
        if status.node is None:
            yield "no RabbitMQ node has answered"
        if not status.database_works:
            yield "the database has been away"
        if status.waiting and status.frames == self._done:
            yield "messages wait, and nothing was written"
        if status.unread:
            yield "shards are not read, as the log says"
        if status.key_faults - status.unread:
            yield "a key file cannot be used, as the log says"
        for name, state in outputs.items():
            if state != "ok":
                yield f"the output {name} has been {state}"

    @property
    def line(self) -> str:
        """What `systemctl status` shows."""
        status = self._status
        if status is None:
            return "starting"
        if self._problems:
            return "; ".join(self._problems)
        return (
            f"{len(status.held)} shards, {len(status.workers)} workers, node {status.node or 'none'}, "
            f"lag {status.lag:.1f} s"
        )

    def as_object(self) -> tuple[bool, Mapping[str, Any]]:
        """Return whether all is well, and the JSON object of `/healthz`."""
        word = "failing" if self._problems else "ok" if self._is_started else "starting"
        found: dict[str, Any] = {"status": word, "version": __version__, "problems": list(self._problems)}
        status = self._status
        if status is not None:
            found |= {
                "worker": status.worker,
                "workers": list(status.workers),
                "node": status.node,
                "database": status.database_works,
                "held": sorted(status.held),
                "home": sorted(status.home),
                "unread": sorted(status.unread),
                "waiting": status.waiting,
                "lag_seconds": round(status.lag, 3),
                "unverified": status.unverified,
                "outputs": dict(self._outputs),
            }
        return word == "ok", found
