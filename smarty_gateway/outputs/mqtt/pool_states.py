"""Newest states of a pool's meters, and when each may go out: pure, with time as an argument.

Nothing here is done for each meter again and again: 100,000 of them cost memory, and work only when one of
them has sent something. What waits is in one heap a shard, so that a shard which may not be published now is
passed over as a whole.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from smarty_gateway.outputs.pace import Pace

#: Of all states that wait, as while the broker is away. A meter sends its next state within seconds.
_BYTES_MAX: Final = 128 << 20


class Shards(Protocol):
    """The shards that this worker holds; any thread may ask."""

    def may_publish(self, shard: int) -> bool:
        """True if no other worker publishes states of this shard now."""

    def epoch(self, shard: int) -> int | None:
        """Return the epoch under which it is held; None if it is not."""


@dataclass(slots=True, eq=False)
class _Meter:
    topic: str
    pace: Pace
    waiting: bytes | None = None
    number: int = 0  # of its newest state


@dataclass(slots=True, eq=False)
class _Shard:
    epoch: int
    meters: dict[str, _Meter] = field(default_factory=dict)
    due: list[tuple[float, int, _Meter]] = field(default_factory=list)  # each meter with a state that waits,
    kept_back: dict[str, _Meter] = field(default_factory=dict)  # or here, by topic, until `release`


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A state that goes out.

    Attributes:
        epoch: under which the worker held the shard when it decoded the state.
        number: rises with each state.
    """

    topic: str
    payload: bytes
    shard: int
    epoch: int
    number: int


class PoolStates:
    """The newest state of each meter until it is sent, at most one in each interval.

    A state belongs to the epoch under which its shard was held: once the shard is lost, another worker may
    have published a newer one, so it never goes out, even if this worker holds the shard again.

    Args:
        shards: says what is held.
        interval: seconds between two states of a meter.

    Attributes:
        dropped: states that found no room.
        waiting: how many wait.
    """

    def __init__(self, shards: Shards, interval: float) -> None:
        self._held = shards
        self._interval = interval
        self._shards: dict[int, _Shard] = {}
        self._turns: deque[int] = deque()  # the shard whose turn it is comes first
        self._number = 0
        self._bytes = 0
        self.dropped = 0
        self.waiting = 0

    def put(self, topic: str, payload: bytes, shard: int, epoch: int, now: float) -> None:
        """Add a state; it replaces what waits of its meter. One of an earlier epoch is left out."""
        known = self._shards.get(shard)
        if known is None or known.epoch < epoch:
            self.drop(shard)
            known = self._shards[shard] = _Shard(epoch)
            self._turns.append(shard)
        elif known.epoch > epoch:
            return
        meter = known.meters.get(topic)
        if meter is None:
            meter = known.meters[topic] = _Meter(topic, Pace(self._interval))
        self._number += 1
        meter.number = self._number
        self._add(known, meter, payload, now)

    def _add(
        self, shard: _Shard, meter: _Meter, payload: bytes, now: float, *, is_kept_back: bool = False
    ) -> None:
        if self._bytes + len(payload) > _BYTES_MAX and meter.waiting is None:
            self.dropped += 1
            return
        meter.pace.arrive(now)
        if meter.waiting is None:
            if is_kept_back:
                shard.kept_back[meter.topic] = meter
            else:
                heapq.heappush(shard.due, (meter.pace.due_at, meter.number, meter))
            self.waiting += 1
        else:
            self._bytes -= len(meter.waiting)
        meter.waiting = payload
        self._bytes += len(payload)

    def put_back(self, state: State, now: float, *, is_kept_back: bool = False) -> None:
        """Put back a state that may not have arrived, unless a newer one came or its shard was lost.

        It is due at once, or kept back until `release`; meanwhile a newer one takes its place.
        """
        shard = self._shards.get(state.shard)
        if shard is None or shard.epoch != state.epoch:
            return
        meter = shard.meters[state.topic]
        if meter.number == state.number:
            meter.pace.hurry()
            self._add(shard, meter, state.payload, now, is_kept_back=is_kept_back)

    def release(self, may_go: Callable[[str], bool]) -> None:
        """Make what was kept back on these topics due, before all else."""
        for number, shard in self._shards.items():
            topics = [topic for topic in shard.kept_back if may_go(topic)]
            for topic in topics:
                meter = shard.kept_back.pop(topic)
                heapq.heappush(shard.due, (-math.inf, meter.number, meter))
            if topics:
                self._turns.remove(number)
                self._turns.appendleft(number)

    def may_go(self, state: State) -> bool:
        """True if no other worker may have published a newer state."""
        return self._may_publish(state.shard, state.epoch)

    def _may_publish(self, shard: int, epoch: int) -> bool:
        return self._held.epoch(shard) == epoch and self._held.may_publish(shard)

    def take(self, now: float) -> State | None:
        """Remove and return a state that is due and may be sent at this moment; shards take turns."""
        for _ in range(len(self._turns)):
            number = self._turns[0]
            self._turns.rotate(-1)
            shard = self._shards[number]
            if shard.due and shard.due[0][0] <= now and self._may_publish(number, shard.epoch):
                return self._taken(number, shard)
        return None

    def _taken(self, number: int, shard: _Shard) -> State:
        meter = heapq.heappop(shard.due)[2]
        payload, meter.waiting = meter.waiting or b"", None
        meter.pace.note_sent()
        self.waiting -= 1
        self._bytes -= len(payload)
        return State(meter.topic, payload, number, shard.epoch, meter.number)

    def drop(self, number: int) -> None:
        """Forget a shard with all that waits of it."""
        shard = self._shards.pop(number, None)
        if shard is not None:
            self._turns.remove(number)
            waiting = [*(meter for _, _, meter in shard.due), *shard.kept_back.values()]
            self.waiting -= len(waiting)
            self._bytes -= sum(len(meter.waiting or b"") for meter in waiting)

    def drop_lost(self) -> None:
        """Forget the shards that are not held any more; called about once a second."""
        for number, shard in list(self._shards.items()):
            if self._held.epoch(number) != shard.epoch:
                self.drop(number)

    def next_due(self) -> float:
        """Return when the next state is due that may be sent now; infinite if there is none."""
        return min(
            (
                shard.due[0][0]
                for number, shard in self._shards.items()
                if shard.due and self._may_publish(number, shard.epoch)
            ),
            default=math.inf,
        )
