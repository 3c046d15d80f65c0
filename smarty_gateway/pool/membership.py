"""The beat of a worker, once a second: it keeps its shards, and learns which other workers live."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.fault_log import until_it_works
from smarty_gateway.logs import crash_of
from smarty_gateway.pool.database.database import Database, DatabaseAwayError
from smarty_gateway.pool.homes import home_shards
from smarty_gateway.pool.lease import Lease
from smarty_gateway.pool.shared_fault import SharedFault

_log = logging.getLogger(__name__)

_EVERY: Final = 1.0
#: Seconds for which the former process of this worker, if it was killed, still counts as another one.
_NAME_TAKEN_AFTER: Final = 10.0


class Membership:
    """Renews the lease in a thread of its own, because a large batch must not delay it.

    Args:
        worker: its name.
        database: for this thread.
        lease: what it holds.
        takes_part: returns False while the worker cannot receive anything. It does not beat then, so that the
            others see what was its home as theirs.
        fault: whether the database works.

    Attributes:
        workers: the live ones; empty before the first beat.
        home: the shards that are at home here.
        has_begun: set after the first beat under a name of its own.
        failure: why its thread has ended, if that was no `stop`.
        beat: when its thread last showed that it lives.
    """

    def __init__(
        self,
        worker: str,
        database: Database,
        lease: Lease,
        takes_part: Callable[[], bool],
        fault: SharedFault[object],
    ) -> None:
        self._worker = worker
        self._database = database
        self._lease = lease
        self._takes_part = takes_part
        self._fault = fault
        self._stopping = threading.Event()
        #: Since when another process beats under this name.
        self._rival_since: float | None = None
        self.workers: tuple[str, ...] = ()
        self.home: frozenset[int] = frozenset()
        self.has_begun = threading.Event()
        self.failure: str | None = None
        self.beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="membership", daemon=True)

    @property
    def is_running(self) -> bool:
        """True between the start and the end of its thread."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Beat from now on."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Leave the live workers, and end within this many seconds."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        crash = crash_of(self._beat_until_stopped)
        if crash is not None:
            self.failure = f"the membership of the pool has crashed: {crash}"

    def _beat_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self.beat = time.monotonic()
            if not self.has_begun.is_set() or self._takes_part():
                self._renew()
            if self._rival_since is not None and self.beat - self._rival_since > _NAME_TAKEN_AFTER:
                self.failure = (
                    f"another worker has the name {self._worker}, too: start each with a name of its own, as "
                    "in `pool run --worker NAME`"
                )
                break
            self._stopping.wait(_EVERY)
        self._leave()

    def _renew(self) -> None:
        sent, asked = self._lease.now(), self._lease.held
        try:
            renewal = self._database.renew(self._worker, asked)
        except DatabaseAwayError as error:
            self._fault.begin(self, until_it_works(str(error)))
            return
        self._fault.end(self)
        self._lease.renew(asked, renewal.still_held, sent)
        if renewal.owns_name:
            self._rival_since = None
            self.workers = renewal.workers
            self.home = frozenset(home_shards(self._worker, renewal.workers))
            self.has_begun.set()
        elif self._rival_since is None:
            self._rival_since = self.beat

    def _leave(self) -> None:
        try:
            self._database.leave(self._worker)
        except DatabaseAwayError:
            _log.debug("the others see in a few seconds that this worker has left")
        self._database.close()
