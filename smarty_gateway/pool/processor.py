"""The thread that decodes what was delivered and writes it: one transaction for many frames.

The order is what protects readings: a message is acknowledged after its rows were committed, or after it was
refused, and never before. So whatever ends, here or there, RabbitMQ delivers again what has no row yet; and
the primary key makes nothing of what has one. While the database is away the same rows are written again:
decoded a second time they would all be replays.

A shard is held from its first message on, because RabbitMQ does not tell a worker that it is the active one.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from smarty_gateway.fault_log import until_it_works
from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.pool.database.database import DatabaseAwayError
from smarty_gateway.pool.database.rows import Row, TakenShard, Written
from smarty_gateway.pool.held_shard import HeldShard, Judged
from smarty_gateway.pool.homes import next_release
from smarty_gateway.pool.inbox import Delivery, Inbox, Subscription
from smarty_gateway.pool.lease import Lease
from smarty_gateway.pool.shard_keys import ShardKeys
from smarty_gateway.pool.shared_fault import SharedFault
from smarty_gateway.pool.tally import Tally
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.meter_telegram import Security

_log = logging.getLogger(__name__)
T = TypeVar("T")

_LOOK_EVERY: Final = 0.5
_DATABASE_PAUSE: Final = 0.5
#: Seconds for which shards are taken, or keys read again, before the others get their turn: the keys of 4,700
#: meters take 0.4.
_TAKE_FOR: Final = 0.5
#: Seconds for which a shard stays with a worker that is not its home: a home that fails at once must not make
#: shards go round.
_STAYS: Final = 5.0
#: Seconds for the states that are on their way to a broker when their shard goes to another worker.
_LET_GO_WITHIN: Final = 0.5
#: Seconds between two looks at a key file with a fault. Plaintext that waits for one comes again sooner, to
#: each worker in turn.
_FAULT_LASTS: Final = 30.0


class RowStore(Protocol):
    """What keeps rows and shards: the database, or that of a test."""

    def take_shard(self, shard: int, worker: str) -> TakenShard:
        """Become the owner of a shard."""

    def release_shard(self, shard: int, epoch: int) -> None:
        """Promise to publish nothing more of a shard."""

    def write(self, rows: Sequence[Row]) -> list[Written]:
        """Write rows in one transaction."""

    def close(self) -> None:
        """End the connection."""


class Acknowledger(Protocol):
    """What messages came from."""

    def acknowledge(self, tags: Mapping[Subscription, int]) -> None:
        """Acknowledge the messages of each subscription up to the one with this tag."""

    def release(self, subscription: Subscription) -> None:
        """Leave a shard to the next worker."""


class Publisher(Protocol):
    """What takes readings that are new in the database."""

    def publish(self, reading: PoolReading) -> None:
        """Hand on a reading."""

    def let_go(self, shards: Collection[int], seconds: float) -> frozenset[int]:
        """Publish nothing more of these shards; return those of which nothing is on its way."""


class _StoppedError(Exception):
    """The worker is to end, and the database is away."""


class Processor:
    """Decodes and writes until it is stopped.

    Args:
        worker: the name of this worker.
        topic: what edges send to, with dots.
        database: for this thread.
        inbox: what was delivered.
        broker: takes the acknowledgements.
        workers: returns those that live, sorted by name.
        keys: of the meters.
        lease: what may be published.
        results: get what is new in the database.
        tally: counts.
        fault: whether the database works.

    Attributes:
        failure: why its thread has ended, if that was no `stop`.
        beat: when its thread last showed that it lives.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - it is where all parts of a worker meet
        self,
        worker: str,
        topic: str,
        database: RowStore,
        inbox: Inbox,
        broker: Acknowledger,
        workers: Callable[[], Sequence[str]],
        keys: ShardKeys,
        lease: Lease,
        results: Publisher,
        tally: Tally,
        fault: SharedFault[object],
    ) -> None:
        self._worker = worker
        self._topic = topic
        self._database = database
        self._inbox = inbox
        self._broker = broker
        self._workers = workers
        self._keys = keys
        self._lease = lease
        self._results = results
        self._tally = tally
        self._fault = fault
        self._key_fault = SharedFault[int](_log.error, _log.info, "all key files can be used again")
        self._plaintext_fault = SharedFault[int](_log.error, _log.info, "plaintext can be judged again")
        self._fault_seen: dict[int, float] = {}
        self._held: dict[int, HeldShard] = {}
        self._stopping = threading.Event()
        self._read_keys_again = False
        self._to_read_again: set[int] = set()
        self._next_look = 0.0
        self.failure: str | None = None
        self.beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="processor", daemon=True)

    # What other threads call

    @property
    def held(self) -> frozenset[int]:
        """The shards that are held."""
        return frozenset(self._held.copy())

    @property
    def key_faults(self) -> frozenset[int]:
        """The shards that wait for a key file, or go on with the keys of before."""
        return self._key_fault.who | self._plaintext_fault.who

    @property
    def is_running(self) -> bool:
        """True between the start and the end of its thread."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def read_keys_again(self) -> None:
        """Read the key files of all shards that are held."""
        self._read_keys_again = True  # no lock: a signal handler calls this

    def stop(self, seconds: float) -> None:
        """Write and acknowledge the batch in work, release all shards, and end within this many seconds."""
        self._stopping.set()
        self._inbox.wake()
        if self._thread.is_alive():
            self._thread.join(seconds)

    # The thread

    def _run(self) -> None:
        crash = crash_of(self._work)
        if crash is not None:
            self.failure = f"the decoding of frames has crashed: {crash}"

    def _work(self) -> None:
        while not self._stopping.is_set():
            self.beat = now = time.monotonic()
            self._leave({shard for shard, held in self._held.items() if not held.subscription.is_open})
            if now >= self._next_look:
                self._next_look = now + _LOOK_EVERY
                self._look_after(now)
            with suppress(_StoppedError):
                self._process(self._inbox.take(_LOOK_EVERY))
        self._leave(set(self._held))
        self._database.close()

    def _process(self, deliveries: Sequence[Delivery]) -> None:
        """Make rows of a batch, write them, hand them on, and acknowledge it."""
        take_until = time.monotonic() + _TAKE_FOR
        later: list[Delivery] = []
        faulty: set[int] = set()
        done: dict[Subscription, int] = {}
        accepted: list[Judged] = []
        for delivery in deliveries:
            held = self._holding(delivery.subscription, take_until)
            if held is None:
                later.append(delivery)
                continue
            if held.shard in faulty:
                continue
            try:
                found = list(self._accepted(held, delivery))
            except GatewayError as error:
                # Plaintext, and the key file that decides about it has a fault. It comes again.
                self._fault_seen[held.shard] = time.monotonic()
                why = f"shard {held.shard} waits with its plaintext: {error}"
                self._plaintext_fault.begin(held.shard, until_it_works(why))
                faulty.add(held.shard)
                continue
            done[delivery.subscription] = delivery.tag
            accepted += found
        self._inbox.put_back(later)
        if accepted:
            self._write(accepted)
        if done:
            self._broker.acknowledge(done)
        self._leave(faulty & self._held.keys())

    def _accepted(self, held: HeldShard, delivery: Delivery) -> Iterator[Judged]:
        """Yield the readings in a message, and count all others."""
        for judged in list(held.judge(delivery)):  # all or nothing is counted
            self._tally.frames += 1
            if isinstance(judged, Judged):
                self._tally.note_clock(judged.row)
                yield judged
            elif held.is_repeat(judged):
                self._tally.repeats += 1
            else:
                self._tally.refuse(judged, held.shard, self.beat)

    def _write(self, accepted: Sequence[Judged]) -> None:
        rows = [judged.row for judged in accepted]
        results = self._until_it_works(lambda: self._database.write(rows))
        for judged, written in zip(accepted, results, strict=True):
            if not written.is_new:
                self._tally.repeats += 1
                continue
            self._tally.rows += 1
            self._tally.unverified += judged.row.security == Security.UNAUTHENTICATED.value
            self._results.publish(judged.reading.as_written(is_newest=written.is_newest))
        newest = max(row.received for row in rows)
        self._tally.lag = max(0.0, time.time() - newest.timestamp())

    def _until_it_works(self, do: Callable[[], T]) -> T:
        """Do something in the database, again and again while this is away.

        Raises:
            _StoppedError: the worker is to end.
        """
        while True:
            self.beat = time.monotonic()
            try:
                result = do()
            except DatabaseAwayError as error:
                self._fault.begin(self, until_it_works(str(error)))
                if self._stopping.wait(_DATABASE_PAUSE):
                    raise _StoppedError from None
            else:
                self._fault.end(self)
                return result

    # Shards

    def _holding(self, subscription: Subscription, take_until: float) -> HeldShard | None:
        """Return the shard that a subscription delivers; None if it could not be taken now."""
        held = self._held.get(subscription.shard)
        if held is not None and held.subscription is subscription:
            return held
        if not subscription.is_open or time.monotonic() >= take_until:
            return None
        if held is not None:
            self._leave({subscription.shard})
        return self._take(subscription)

    def _take(self, subscription: Subscription) -> HeldShard | None:
        shard = subscription.shard
        try:
            keys = self._keys.load(shard)
        except GatewayError as error:
            # Without its keys all its frames would be refused, and so lost. Another worker may have them.
            self._fault_seen[shard] = time.monotonic()
            self._key_fault.begin(shard, until_it_works(f"shard {shard} is not read: {error}"))
            self._broker.release(subscription)
            return None
        self._key_fault.end(shard)
        sent = self._lease.now()
        taken = self._until_it_works(lambda: self._database.take_shard(shard, self._worker))
        self._lease.take(taken, sent)
        held = self._held[shard] = HeldShard(subscription, taken, keys, self._topic)
        self._tally.takes += 1
        return held

    def _leave(self, shards: Collection[int]) -> None:
        """Leave shards, with all that was not acknowledged of them."""
        if not shards:
            return
        handed_over = self._results.let_go(shards, _LET_GO_WITHIN)
        for shard in shards:
            held = self._held.pop(shard)
            epoch = self._lease.release(shard)
            # One that another worker has taken is not ours to release.
            if epoch is not None and shard in handed_over:
                with suppress(DatabaseAwayError):  # the lease ends by itself
                    self._database.release_shard(shard, epoch)
            self._broker.release(held.subscription)
            self._tally.releases += 1

    def _look_after(self, now: float) -> None:
        """Do what is due now and then."""
        self._tally.tick(now)
        still_held = self._lease.held
        self._leave({shard for shard in self._held if shard not in still_held})
        self._leave_foreign(now)
        self._forget_faults(now)
        self._refresh_keys()

    def _leave_foreign(self, now: float) -> None:
        """Leave one shard that is at home elsewhere."""
        settled = [shard for shard, held in self._held.items() if now - held.since >= _STAYS]
        shard = next_release(self._worker, settled, self._workers())
        if shard is not None:
            self._leave({shard})
            self._tally.rebalances += 1

    def _forget_faults(self, now: float) -> None:
        """End the faults whose reason is gone, also those of shards that another worker has by now."""
        until = time.monotonic() + _TAKE_FOR
        for shard, seen in list(self._fault_seen.items()):
            if now - seen < _FAULT_LASTS or time.monotonic() >= until:
                continue
            self._plaintext_fault.end(shard)
            if shard in self._held:
                continue  # it goes on with the keys of before, and reads the file when it changes
            self._fault_seen[shard] = now
            with suppress(GatewayError):
                self._keys.load(shard)
                self._key_fault.end(shard)
                del self._fault_seen[shard]

    def _refresh_keys(self) -> None:
        """Read keys that have changed, of so many shards that the frames of all others need not wait long."""
        asked, self._read_keys_again = self._read_keys_again, False
        if asked:
            self._to_read_again = set(self._held)
        until = time.monotonic() + _TAKE_FOR
        for shard, held in self._held.items():
            if not (shard in self._to_read_again or self._keys.changed(shard)):
                continue
            self._to_read_again.discard(shard)
            try:
                held.replace_keys(self._keys.load(shard))
            except GatewayError as error:
                self._fault_seen[shard] = time.monotonic()
                self._key_fault.begin(shard, f"{error}; keeping the keys loaded before")
            else:
                self._key_fault.end(shard)
            if time.monotonic() >= until:
                return
