"""RabbitMQ and the database as a processor sees them, in memory: what is acknowledged must have its rows."""

import threading
from collections.abc import Collection, Mapping, Sequence

from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.pool.database.database import DatabaseAwayError
from smarty_gateway.pool.database.rows import Row, TakenShard, Written
from smarty_gateway.pool.inbox import Delivery, Inbox, Subscription

Key = tuple[bytes, str, int]


class FakeDatabase:
    """Keeps rows; `failures` says what the next writes do.

    Attributes:
        failures: for each of the next writes whether it is done before it fails.
        is_away: every call fails.
    """

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.failures: list[bool] = []
        self.is_away = False
        self.tries = 0
        self.epochs: dict[int, int] = {}
        self.released: list[int] = []

    def take_shard(self, shard: int, worker: str) -> TakenShard:
        """Become the owner of a shard."""
        self._fail_if_away()
        self.epochs[shard] = epoch = self.epochs.get(shard, 0) + 1
        highest: dict[tuple[bytes, str], int] = {}
        for title, fingerprint, counter in self.rows:
            key = (title, fingerprint)
            highest[key] = max(highest.get(key, 0), counter)
        return TakenShard(shard, epoch, was_released=bool(worker), counters=highest)

    def release_shard(self, shard: int, epoch: int) -> None:
        """Promise to publish nothing more of a shard."""
        self._fail_if_away()
        assert epoch == self.epochs[shard]
        self.released.append(shard)

    def write(self, rows: Sequence[Row]) -> list[Written]:
        """Write rows in one transaction."""
        self.tries += 1
        self._fail_if_away()
        fails = bool(self.failures)
        if fails and not self.failures.pop():
            raise DatabaseAwayError("it fails before it was done")
        written = []
        for row in rows:
            key = (row.title, row.fingerprint, row.counter)
            written.append(Written(is_new=key not in self.rows, is_newest=key not in self.rows))
            self.rows[key] = row
        if fails:
            raise DatabaseAwayError("it fails after it was done")
        return written

    def close(self) -> None:
        """End the connection."""

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise DatabaseAwayError("it is away")


class FakeBroker:
    """Delivers messages to an inbox, and again what was not acknowledged."""

    def __init__(self, inbox: Inbox, database: FakeDatabase) -> None:
        self._inbox = inbox
        self._database = database
        self._lock = threading.Lock()
        self._open: dict[int, Subscription] = {}
        self._unacknowledged: dict[Subscription, dict[int, tuple[str, bytes, Collection[Key]]]] = {}
        self.wrong: list[str] = []
        self.acknowledged = 0
        self.refuses: set[int] = set()

    def send(self, shard: int, topic: str, body: bytes, keys: Collection[Key] = ()) -> None:
        """Deliver a message; `keys` are the rows that it must have before it may be acknowledged."""
        with self._lock:
            subscription = self._open.get(shard)
            if subscription is None:
                subscription = self._open[shard] = Subscription(shard, None)
                self._unacknowledged[subscription] = {}
            waiting = self._unacknowledged[subscription]
            tag = max(waiting, default=self.acknowledged) + 1
            waiting[tag] = (topic, body, keys)
        self._inbox.put(Delivery(subscription, tag, topic, body))

    def acknowledge(self, tags: Mapping[Subscription, int]) -> None:
        """Acknowledge messages, and note every one that has not all its rows."""
        with self._lock:
            for subscription, tag in tags.items():
                if not subscription.is_open:
                    continue
                waiting = self._unacknowledged[subscription]
                for each in [each for each in waiting if each <= tag]:
                    topic, _, keys = waiting.pop(each)
                    self.wrong += [topic for key in keys if key not in self._database.rows]
                    self.acknowledged += 1

    def release(self, subscription: Subscription) -> None:
        """End a subscription, and deliver again what it has not acknowledged."""
        with self._lock:
            subscription.is_open = False
            again = self._unacknowledged.pop(subscription, {})
            if self._open.get(subscription.shard) is subscription:
                del self._open[subscription.shard]
        self._inbox.drop_what_is_over()
        if subscription.shard not in self.refuses:
            for topic, body, keys in again.values():
                self.send(subscription.shard, topic, body, keys)

    def lose(self, shard: int) -> None:
        """End a subscription as a broken connection does."""
        subscription = self._open.get(shard)
        if subscription is not None:
            self.release(subscription)

    @property
    def waiting(self) -> int:
        """Messages that are not acknowledged."""
        with self._lock:
            return sum(map(len, self._unacknowledged.values()))


class FakeResults:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.published: list[PoolReading] = []

    def publish(self, reading: PoolReading) -> None:
        """Hand on a reading."""
        self.published.append(reading)

    def let_go(self, shards: Collection[int], seconds: float) -> frozenset[int]:
        """Return the shards of which nothing is on its way."""
        assert seconds > 0
        return frozenset(shards)
