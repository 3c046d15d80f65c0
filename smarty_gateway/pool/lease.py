"""The right to publish the `state` of a shard, which ends by itself.

A worker that was frozen does not know that another has taken its shard. So it holds a lease, which only the
database renews, and which is over by this worker's own clock before the next owner publishes:

    renew:  sent ---- the database sees that the shard is still ours ---- answer
             '------- the lease lasts LEASE seconds from here
    take:   sent ---- the database gives the shard to the next owner ---- answer
                                it publishes after LEASE + MARGIN seconds from here ----'

A renewal that succeeded was sent before the shard was taken, and the answer to the taking came after it. So
the two never overlap, however long an answer takes and whenever a worker stands still. This asks of the two
clocks only that they run at the same rate, and that they run on while the machine sleeps (CLOCK_BOOTTIME).
A virtual machine whose clock stands still while it is paused can publish an older `state` until its next
renewal; so can a process that is stopped exactly between the question and the sending.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from smarty_gateway.pool.database.rows import TakenShard

#: Seconds for which a renewal is good.
LEASE: Final = 4.0
#: Seconds that the next owner waits longer: clocks differ in their rate, and a message takes time to arrive.
MARGIN: Final = 0.5
_STEADY: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_clock() -> float:
    """Return the seconds since the machine was started; they go on while it sleeps."""
    return time.clock_gettime(_STEADY)


@dataclass(slots=True)
class _Held:
    epoch: int
    since: float
    until: float


class Lease:
    """The shards that a worker holds, and until when; any thread may ask.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = steady_clock) -> None:
        self.now = clock
        self._lock = threading.Lock()
        self._held: dict[int, _Held] = {}

    @property
    def held(self) -> dict[int, int]:
        """The epoch of each shard that is held."""
        with self._lock:
            return {shard: held.epoch for shard, held in self._held.items()}

    def take(self, taken: TakenShard, sent: float) -> None:
        """Record that a shard was taken; to be called when the answer of the database is there.

        Args:
            taken: the answer.
            sent: `now()` before the database was asked.
        """
        since = sent if taken.was_released else self.now() + LEASE + MARGIN
        with self._lock:
            self._held[taken.shard] = _Held(taken.epoch, since, sent + LEASE)

    def renew(self, asked: Mapping[int, int], still_held: frozenset[int], sent: float) -> frozenset[int]:
        """Record the answer to a renewal, and return the shards that another worker has taken.

        Args:
            asked: `held` as it was sent.
            still_held: the answer.
            sent: `now()` before the database was asked.
        """
        lost = set()
        with self._lock:
            for shard, epoch in asked.items():
                held = self._held.get(shard)
                if held is None or held.epoch != epoch:
                    continue  # released, or taken again, while the answer was on its way
                if shard in still_held:
                    held.until = max(held.until, sent + LEASE)
                else:
                    del self._held[shard]
                    lost.add(shard)
        return frozenset(lost)

    def release(self, shard: int) -> int | None:
        """Release a shard; return its epoch if the database may be told that it was released.

        None if it is not held, or if the lease of the owner before may still last: the next owner would
        otherwise not wait for its end.
        """
        with self._lock:
            held = self._held.pop(shard, None)
        return None if held is None or self.now() < held.since else held.epoch

    def epoch(self, shard: int) -> int | None:
        """Return the epoch of a shard; None if it is not held."""
        with self._lock:
            held = self._held.get(shard)
        return None if held is None else held.epoch

    def may_publish(self, shard: int) -> bool:
        """True while nobody else can publish the `state` of a shard; to be asked before each sending."""
        with self._lock:
            held = self._held.get(shard)
            return held is not None and held.since <= self.now() < held.until
