"""A worker of a pool: takes frames from RabbitMQ, decodes them, writes them to PostgreSQL.

    broker ──► inbox ──► processor ──► rows and results
    (thread)             (thread)      then acknowledgements back to the broker
                membership (thread): beat, lease, who else lives
                chores (thread): what the first worker does for all

The main thread only supervises. A part that dies or hangs takes the process down with a reason, and the
service manager starts it again; the other workers have its shards meanwhile.
"""

import logging
import signal
import time
from typing import Final

from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.pool.broker import Broker
from smarty_gateway.pool.chores import Chores
from smarty_gateway.pool.database.database import Database
from smarty_gateway.pool.inbox import Inbox
from smarty_gateway.pool.lease import Lease
from smarty_gateway.pool.membership import Membership
from smarty_gateway.pool.operation import Operation
from smarty_gateway.pool.processor import Processor
from smarty_gateway.pool.results import Results, open_store
from smarty_gateway.pool.shard_keys import ShardKeys
from smarty_gateway.pool.shared_fault import SharedFault
from smarty_gateway.pool.status import WorkerStatus
from smarty_gateway.pool.tally import Tally
from smarty_gateway.signals import SignalEvent, handling

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 0.25
#: Seconds for the parts, one after the other: together no more than five.
_PROCESSOR_ENDS_WITHIN: Final = 2.0
_CONNECTIONS_END_WITHIN: Final = 0.5
_RESULTS_END_WITHIN: Final = 1.5
#: A part shows a sign of life every few seconds, whatever database and cluster do. A machine that was asleep
#: makes all of them late, which is no reason to end.
_HANGS_AFTER: Final = 120.0


def run_worker(config: PoolConfig, name: str) -> ExitStatus:
    """Run a worker until a signal ends it, or a part of it dies.

    Raises:
        GatewayError: it cannot start.
    """
    lease = Lease()
    with open_store(config, name) as store:
        worker = Worker(config, name, lease, Results(config, name, lease, store))
        handlers = {
            signal.SIGINT: worker.stop,
            signal.SIGTERM: worker.stop,
            signal.SIGHUP: worker.read_keys_again,
        }
        with handling(handlers):
            return worker.run()


class Worker:
    """Runs until it is stopped, or until a part of it dies.

    Args:
        config: as pool.yaml has it.
        name: of this worker; no other may have it.
        lease: what it may publish; the results ask it, too.
        results: get what is new in the database.
    """

    def __init__(self, config: PoolConfig, name: str, lease: Lease, results: Results) -> None:
        self._name = name
        self._results = results
        self._tally = tally = Tally()
        self._database_fault = SharedFault[object](_log.error, _log.info, "the database works again")
        inbox = self._inbox = Inbox()
        self._membership = Membership(
            name,
            Database(config.database),
            lease,
            lambda: self._broker.node is not None,
            self._database_fault,
        )
        self._broker = Broker(config, name, inbox, lambda: self._membership.home, _log.error)
        self._processor = Processor(
            name,
            config.topic.replace("/", "."),
            Database(config.database),
            inbox,
            self._broker,
            lambda: self._membership.workers,
            ShardKeys(KeyFolder(config.keys), config),
            lease,
            results,
            tally,
            self._database_fault,
        )
        self._chores = Chores(config, name, lambda: self._membership.workers, self._database_fault)
        self._operation = Operation(config.http, self.status, results)
        self._stopping = SignalEvent()
        self._parts = (self._broker, self._processor, self._membership)

    # What other threads and signal handlers call

    def status(self) -> WorkerStatus:
        """Return what it knows of itself now."""
        tally, membership = self._tally, self._membership
        held, key_faults = self._processor.held, self._processor.key_faults
        return WorkerStatus(
            worker=self._name,
            workers=membership.workers,
            node=self._broker.node,
            database_works=membership.has_begun.is_set() and not self._database_fault.is_on,
            home=membership.home,
            held=held,
            unread=(key_faults | self._broker.unread) - held,
            key_faults=key_faults,
            waiting=len(self._inbox),
            lag=tally.lag,
            frames=tally.frames,
            rows=tally.rows,
            unverified=tally.unverified,
            repeats=tally.repeats,
            refused=dict(tally.refused),
            takes=tally.takes,
            releases=tally.releases,
            rebalances=tally.rebalances,
        )

    def stop(self) -> None:
        """Release all shards and end, within five seconds."""
        self._stopping.set()

    def read_keys_again(self) -> None:
        """Read the key files of all shards that it holds again."""
        self._processor.read_keys_again()

    # The main thread

    def run(self) -> ExitStatus:
        """Run, and return the exit status of the process."""
        self._results.start()
        self._operation.start()
        self._membership.start()
        self._processor.start()
        self._chores.start()
        failure = self._supervise()
        self._operation.note_stopping()
        self._end()
        if failure is not None:
            _log.error("%s", failure)
            return ExitStatus.REJECTED
        return ExitStatus.GOOD

    def _supervise(self) -> str | None:
        """Watch all parts until the end, and return the reason if that is a failure."""
        before = time.monotonic()
        has_broker = False
        while not self._stopping.wait(_LOOK_EVERY):
            now = time.monotonic()
            slept, before = now - before, now
            failure = self._failure(now - slept)
            if failure is not None or self._results.is_over:
                return failure
            if not has_broker and self._membership.has_begun.is_set():
                # Not before: until the database works, nothing could be done with what is delivered.
                has_broker = True
                self._broker.start()
            self._operation.tick()
        return None

    def _failure(self, looked: float) -> str | None:
        """Return why the worker cannot go on; every part must have shown a sign of life before `looked`."""
        for part in self._parts:
            if part.failure is not None:
                return part.failure
            if part.is_running and looked - part.beat > _HANGS_AFTER:
                return f"the {type(part).__name__.lower()} of this worker hangs"
        return self._chores.failure or self._operation.failure or self._results.failure

    def _end(self) -> None:
        """Write and acknowledge what is in work, then leave the shards and the pool."""
        self._processor.stop(_PROCESSOR_ENDS_WITHIN)
        self._broker.stop(_CONNECTIONS_END_WITHIN)
        self._membership.stop(_CONNECTIONS_END_WITHIN)
        self._chores.stop(0)
        self._results.stop(_RESULTS_END_WITHIN)
        self._operation.stop()
