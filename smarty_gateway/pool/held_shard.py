"""A shard that a worker holds: what came by its queue becomes rows, or is refused."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, NamedTuple

from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.pool.database.rows import PLAINTEXT, Row, TakenShard
from smarty_gateway.pool.inbox import Delivery, Subscription
from smarty_gateway.pool.shard_keys import Keys
from smarty_gateway.protocol.forwarded import Forwarded, ForwardedFormatError, unpack
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.protocol.shard_decoder import ShardDecoder, title_of
from smarty_gateway.protocol.shards import shard_of

#: Milliseconds that the clock of an edge may be ahead of this one's. Plaintext has no counter but the time.
_AHEAD: Final = 60_000
#: Milliseconds from 1970 to the year 10000, which has no date here.
_TOO_LATE: Final = 253_402_300_800_000


class Judged(NamedTuple):
    """What passed every check, on its way to the database and then to the outputs."""

    row: Row
    reading: PoolReading


class HeldShard:
    """Judges what came by the queue of a shard.

    Args:
        taken: what the database knows of it.
        topic: what edges send to, with dots.

    Attributes:
        subscription: by which its messages come.
        shard: its number.
        epoch: under which it is held.
        since: when it was taken, by the monotonic clock.
    """

    def __init__(
        self,
        subscription: Subscription,
        taken: TakenShard,
        keys: Keys,
        topic: str,
    ) -> None:
        self.subscription = subscription
        self.epoch = taken.epoch
        self.since = time.monotonic()
        self.shard = taken.shard
        self._topic = f"{topic}.{taken.shard}."
        self._decoder = ShardDecoder(keys.ring, taken.counters, keys.plaintext, keys.encrypted)

    def replace_keys(self, keys: Keys) -> None:
        """Use other keys from now on."""
        self._decoder.replace_keys(keys.ring, keys.encrypted)

    def is_repeat(self, rejection: Rejection) -> bool:
        """True if a frame was refused because it was accepted before: the cluster has delivered it again."""
        return self._decoder.was_accepted(rejection)

    def judge(self, delivery: Delivery) -> Iterator[Judged | Rejection]:
        """Yield what became of each frame in a message."""
        try:
            forwarded = unpack(delivery.body)
        except ForwardedFormatError as error:
            yield Rejection(Reason.MALFORMED, 0, len(delivery.body), str(error))
            return
        for each in forwarded:
            yield self._judge(delivery.topic, each)

    def _judge(self, topic: str, forwarded: Forwarded) -> Judged | Rejection:
        arrived, data = forwarded
        title = title_of(data)
        sender = topic.removeprefix(self._topic)
        if title is not None and (sender != title.hex().upper() or shard_of(title) != self.shard):
            return _malformed(data, "the frame is of another meter than the topic of its message", title)
        if sender == topic or arrived >= _TOO_LATE:
            return _malformed(data, "the topic or the time of arrival of a message is impossible", title)
        user, behind, _ = sender.partition(".")
        # Without a level behind it this is the topic of a system title, to which every edge may write.
        judged = self._decoder.judge(data, user if behind else None)
        if isinstance(judged, Rejection):
            return judged
        telegram = judged.telegram
        now = int(time.time() * 1000)
        reading = PoolReading(
            telegram.meter_id,
            telegram,
            datetime.fromtimestamp(min(arrived, now) / 1000, UTC),
            shard=self.shard,
            epoch=self.epoch,
        )
        row = Row(
            judged.title,
            judged.fingerprint or PLAINTEXT,
            arrived if judged.counter is None else judged.counter,
            self.shard,
            reading.meter,
            telegram.timestamp,
            reading.received,
            telegram.security.value,
            reading.json,
            may_be_newest=judged.counter is not None or arrived < now + _AHEAD,
        )
        return Judged(row, reading)


def _malformed(data: bytes, message: str, title: bytes | None) -> Rejection:
    return Rejection(Reason.MALFORMED, 0, len(data), message, system_title=title)
