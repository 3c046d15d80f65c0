"""What one worker does for the whole pool: spreads the leaders of queues, and deletes old readings."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.fault_log import Condition
from smarty_gateway.logs import crash_of
from smarty_gateway.pool.cluster.leaders import rebalance_leaders
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.database.database import TIDY_ROWS, Database, DatabaseAwayError
from smarty_gateway.pool.shared_fault import SharedFault

_log = logging.getLogger(__name__)

_EVERY: Final = 60.0
#: Seconds between two steps of deleting, so that they do not delay what workers write.
_PAUSE: Final = 1.0
_ROWS_LEAST: Final = 50
#: Seconds after a step that took too long.
_GROWS_AFTER: Final = 3600.0


class Chores:
    """Does them in a thread of its own while this worker is the first of those that live.

    Args:
        config: of the pool.
        worker: the name of this worker.
        workers: returns those that live, sorted by name.
        database_fault: whether the database works, as the other threads see it.

    Attributes:
        failure: why its thread has ended, if that was no `stop`.
    """

    def __init__(
        self,
        config: PoolConfig,
        worker: str,
        workers: Callable[[], Sequence[str]],
        database_fault: SharedFault[object],
    ) -> None:
        self._config = config
        self._worker = worker
        self._workers = workers
        self._database_fault = database_fault
        self._database = Database(config.database)
        self._fault = Condition(_log.warning, cleared=_log.info)
        self._tidy_fault = Condition(_log.warning, cleared=_log.info)
        self._rows = TIDY_ROWS
        self._grows_at = 0.0
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
        """Delete step by step; a slow disk may need smaller ones, and finds its way to them."""
        try:
            while self._database.tidy(self._rows) >= self._rows and not self._stopping.wait(_PAUSE):
                pass
        except DatabaseAwayError as error:
            self._rows = max(_ROWS_LEAST, self._rows // 2)
            self._grows_at = time.monotonic() + _GROWS_AFTER
            if not self._database_fault.is_on:  # else the other threads have said it
                self._tidy_fault.begin(f"old readings are not deleted: {error}", str(error))
        else:
            if time.monotonic() >= self._grows_at:
                self._rows = min(TIDY_ROWS, 2 * self._rows)
            self._tidy_fault.end("old readings are deleted again")
