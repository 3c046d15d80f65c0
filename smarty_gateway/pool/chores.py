"""What one worker does for the whole pool: spreads the leaders of queues, and deletes old readings."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.fault_log import Condition
from smarty_gateway.logs import crash_of
from smarty_gateway.pool.cluster.leaders import rebalance_leaders
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.database.database import TIDY_ROWS, Database, DatabaseAwayError

_log = logging.getLogger(__name__)

_EVERY: Final = 60.0
#: Seconds between two steps of deleting, so that they do not delay what workers write.
_PAUSE: Final = 1.0


class Chores:
    """Does them in a thread of its own while this worker is the first of those that live.

    Args:
        config: of the pool.
        worker: the name of this worker.
        workers: returns those that live, sorted by name.

    Attributes:
        failure: why its thread has ended, if that was no `stop`.
    """

    def __init__(self, config: PoolConfig, worker: str, workers: Callable[[], Sequence[str]]) -> None:
        self._config = config
        self._worker = worker
        self._workers = workers
        self._database = Database(config.database)
        self._fault = Condition(_log.warning, cleared=_log.info)
        self._stopping = threading.Event()
        self.failure: str | None = None
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End within this many seconds."""
        self._stopping.set()
        self._thread.join(seconds)

    def _run(self) -> None:
        crash = crash_of(self._work)
        if crash is not None:
            self.failure = f"the chores of the pool have crashed: {crash}"

    def _work(self) -> None:
        while not self._stopping.wait(_EVERY):
            if self._workers()[:1] == (self._worker,):
                self._spread_leaders()
                self._delete_old()
        self._database.close()

    def _spread_leaders(self) -> None:
        try:
            moved = rebalance_leaders(self._config)
        except ManagementError as error:
            self._fault.begin(f"the leaders of queues are not spread: {error}", str(error))
            return
        self._fault.end("the leaders of queues are spread again")
        if moved is not None:
            _log.info("%s", moved)

    def _delete_old(self) -> None:
        try:
            while self._database.tidy() >= TIDY_ROWS and not self._stopping.wait(_PAUSE):
                pass
        except DatabaseAwayError as error:
            _log.debug("old readings are deleted later: %s", error)  # the other threads log it
