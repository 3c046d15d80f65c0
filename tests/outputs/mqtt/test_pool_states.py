"""Whatever happens to the workers of a pool, no state arrives after a newer one."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.outputs.mqtt.pool_states import PoolStates, State
from smarty_gateway.pool.database.rows import TakenShard
from smarty_gateway.pool.lease import LEASE, MARGIN, Lease

SHARD = 7
TOPIC = "smarty/house/state"


class Worker:
    """The part of a worker that publishes; it stands still between any two calls."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.lease = Lease(clock)
        self.states = PoolStates(self.lease, 0)
        self.batch: list[tuple[int, int]] = []  # committed as newest, not yet handed to the output
        self.wire: list[State] = []  # sent and not acknowledged
        self.renewal: tuple[dict[int, int], frozenset[int], float] | None = None


class Pool:
    """Two workers, one shard with one meter, a database that decides, and what arrives at a broker."""

    def __init__(self) -> None:
        self.now = 100.0
        self.workers = [Worker(lambda: self.now) for _ in range(2)]
        self.owner, self.epoch, self.is_released = -1, 0, True
        self.counter = self.highest = 0
        self.arrived: list[int] = []

    def take(self, at: int) -> None:
        """Assign the shard to a worker, as the database does."""
        self.epoch += 1
        taken = TakenShard(SHARD, self.epoch, self.is_released, {})
        self.owner, self.is_released = at, False
        self.workers[at].lease.take(taken, self.now)

    def renew(self, at: int) -> None:
        """Have the database renew a lease; the worker knows at once, or with the next answer."""
        worker = self.workers[at]
        self.answer(at)
        held = worker.lease.held
        is_ours = self.owner == at and held.get(SHARD) == self.epoch
        worker.renewal = held, frozenset({SHARD} if is_ours else ()), self.now

    def answer(self, at: int) -> None:
        """Hand the answer of the database to a worker, however late."""
        worker = self.workers[at]
        if worker.renewal is not None:
            worker.lease.renew(*worker.renewal)
            worker.renewal = None

    def write(self, at: int) -> None:
        """Commit a frame, a new one or one that is delivered late; the database says whether it is newest."""
        worker = self.workers[at]
        epoch = worker.lease.epoch(SHARD)
        self.counter += 1
        counter = self.counter - (self.counter % 5 == 0)
        if epoch is not None and counter > self.highest:
            self.highest = counter
            worker.batch.append((counter, epoch))

    def hand_on(self, at: int) -> None:
        """Hand what was committed, however long ago, to the output."""
        worker = self.workers[at]
        for counter, epoch in worker.batch:
            worker.states.put(TOPIC, b"%d" % counter, SHARD, epoch, self.now)
        worker.batch.clear()

    def send(self, at: int) -> None:
        """Send what may go."""
        worker = self.workers[at]
        while (state := worker.states.take(self.now)) is not None:
            worker.wire.append(state)

    def publish(self, at: int) -> None:
        """Do all of this without a pause."""
        for step in (self.write, self.hand_on, self.send):
            step(at)

    def deliver(self, at: int) -> None:
        """Deliver what was sent, and acknowledge it."""
        worker = self.workers[at]
        self.arrived += [int(state.payload) for state in worker.wire]
        worker.wire.clear()

    def lose(self, at: int) -> None:
        """Break a connection, with everything that was sent."""
        worker = self.workers[at]
        for state in worker.wire:
            worker.states.put_back(state, self.now)
        worker.wire.clear()

    def lose_answers(self, at: int) -> None:
        """Break a connection after everything has arrived, before it was acknowledged."""
        self.arrived += [int(state.payload) for state in self.workers[at].wire]
        self.lose(at)

    def release(self, at: int) -> None:
        """Hand the shard over as `let_go` allows: once everything has arrived."""
        worker = self.workers[at]
        worker.batch.clear()
        worker.states.drop(SHARD)
        self.deliver(at)
        if worker.lease.release(SHARD) == self.epoch:
            self.is_released = True

    def look(self, at: int) -> None:
        """Do what an output does once a second."""
        self.workers[at].states.drop_lost()

    def wait(self, at: int) -> None:
        """Pass time, in which all that is on its way arrives: a moment, or more than a lease."""
        for each in (0, 1):
            self.deliver(each)
        self.now += (1.0, LEASE + MARGIN)[at]


STEPS = (
    *(Pool.publish, Pool.publish, Pool.write, Pool.hand_on, Pool.send, Pool.deliver, Pool.lose),
    *(Pool.lose_answers, Pool.take, Pool.renew, Pool.answer, Pool.release, Pool.look, Pool.wait, Pool.wait),
)


@given(st.integers(0, 1 << 32))
def test_no_state_arrives_after_a_newer_one(seed: int) -> None:
    choice = random.Random(seed).choice  # hundreds of steps: to draw each of them would take seconds
    pool = Pool()
    for _ in range(400):
        choice(STEPS)(pool, choice((0, 0, 0, 1)))
        assert pool.arrived == sorted(pool.arrived)


class Held:
    """Shards whose rights a test sets."""

    def __init__(self) -> None:
        self.epochs = dict.fromkeys(range(64), 1)
        self.silent: set[int] = set()

    def may_publish(self, shard: int) -> bool:
        """True unless the test has taken it away."""
        return shard in self.epochs and shard not in self.silent

    def epoch(self, shard: int) -> int | None:
        """Return what the test has set."""
        return self.epochs.get(shard)


def drain(states: PoolStates, now: float) -> list[tuple[str, bytes]]:
    found = []
    while (state := states.take(now)) is not None:
        found.append((state.topic, state.payload))
    return found


def test_a_newer_state_takes_the_place_of_the_one_that_waits() -> None:
    states = PoolStates(Held(), 10)
    for number in range(3):
        states.put("a", b"%d" % number, 1, 1, 0.0)
    assert drain(states, 0.0) == [("a", b"2")]
    assert states.waiting == 0


def test_a_meter_gets_one_state_in_each_interval() -> None:
    states = PoolStates(Held(), 10)
    sent = []
    for second in range(30):
        states.put("a", b"%d" % second, 1, 1, float(second))
        sent += drain(states, float(second))
    assert sent == [("a", b"0"), ("a", b"10"), ("a", b"20")]


def test_a_shard_that_may_not_be_published_holds_up_no_other_and_waits() -> None:
    held = Held()
    held.silent = {1}
    states = PoolStates(held, 0)
    states.put("a", b"1", 1, 1, 0.0)
    states.put("b", b"2", 2, 1, 0.0)
    assert drain(states, 0.0) == [("b", b"2")]
    assert states.next_due() > 1e9
    held.silent.clear()
    assert drain(states, 5.0) == [("a", b"1")]


def test_shards_take_turns() -> None:
    states = PoolStates(Held(), 0)
    for number in range(6):
        states.put(f"{number % 2}/{number}", b"", number % 2, 1, 0.0)
    assert [topic[0] for topic, _ in drain(states, 0.0)] == ["0", "1", "0", "1", "0", "1"]


def test_a_state_of_a_shard_that_was_lost_and_taken_again_never_goes_out() -> None:
    held = Held()
    states = PoolStates(held, 0)
    states.put("a", b"old", 1, 1, 0.0)
    held.epochs[1] = 3
    assert drain(states, 0.0) == []
    states.put("b", b"new", 1, 3, 1.0)
    states.put("a", b"older", 1, 1, 1.0)
    assert drain(states, 1.0) == [("b", b"new")]


@pytest.mark.parametrize("newer", [False, True])
def test_what_was_not_acknowledged_is_sent_again_unless_there_was_a_newer_one(*, newer: bool) -> None:
    states = PoolStates(Held(), 10)
    states.put("a", b"1", 1, 1, 0.0)
    first = states.take(0.0)
    assert first is not None
    if newer:
        states.put("a", b"2", 1, 1, 10.0)
        assert drain(states, 10.0) == [("a", b"2")]
    states.put_back(first, 11.0)
    assert drain(states, 11.0) == ([] if newer else [("a", b"1")])


def test_a_shard_that_is_lost_leaves_nothing_behind() -> None:
    held = Held()
    states = PoolStates(held, 0)
    states.put("a", b"1", 1, 1, 0.0)
    del held.epochs[1]
    states.drop_lost()
    assert states.waiting == 0
    held.epochs[1] = 1
    assert drain(states, 0.0) == []


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smarty_gateway.outputs.mqtt.pool_states._BYTES_MAX", 10)
    states = PoolStates(Held(), 0)
    states.put("a", b"12345", 1, 1, 0.0)
    states.put("b", b"12345", 1, 1, 0.0)
    states.put("c", b"12345", 1, 1, 0.0)
    assert (states.waiting, states.dropped) == (2, 1)
    assert len(drain(states, 0.0)) == 2
    states.put("c", b"12345", 1, 1, 1.0)
    assert drain(states, 1.0) == [("c", b"12345")]


def kept_back(states: PoolStates) -> None:
    """Put a state of shard 1 and take it, keep it back, and put one of shard 2."""
    states.put("a", b"1", 1, 1, 0.0)
    first = states.take(0.0)
    assert first is not None
    states.put_back(first, 0.0, is_kept_back=True)
    states.put("b", b"2", 2, 1, 0.0)
    assert states.next_due() == 0.0


def test_a_state_that_is_kept_back_waits_for_its_release_and_then_comes_first() -> None:
    states = PoolStates(Held(), 0)
    kept_back(states)
    assert drain(states, 9.0) == [("b", b"2")]
    states.put("b", b"3", 2, 1, 9.0)
    states.release(lambda topic: topic != "a")
    assert states.waiting == 2
    states.release(lambda topic: topic == "a")
    assert drain(states, 9.0) == [("a", b"1"), ("b", b"3")]


def test_a_newer_state_takes_the_place_of_the_one_that_is_kept_back() -> None:
    states = PoolStates(Held(), 0)
    kept_back(states)
    states.put("a", b"3", 1, 1, 1.0)
    assert drain(states, 1.0) == [("b", b"2")]
    states.release(lambda _: True)
    assert drain(states, 1.0) == [("a", b"3")]


def test_what_is_kept_back_goes_with_its_shard() -> None:
    states = PoolStates(Held(), 0)
    kept_back(states)
    states.drop(1)
    states.release(lambda _: True)
    assert drain(states, 1.0) == [("b", b"2")]
    assert states.waiting == 0
