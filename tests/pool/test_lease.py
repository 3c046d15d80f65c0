"""The lease: two workers never publish the state of one shard at the same time, whatever stands still."""

import heapq
from collections.abc import Callable, Iterator
from itertools import count

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smarty_gateway.pool.database.rows import TakenShard
from smarty_gateway.pool.lease import LEASE, MARGIN, Lease, steady_clock

SHARD = 7
#: Seconds between two looks at who may publish.
STEP = 0.5


class Clock:
    """A clock that is moved by hand."""

    def __init__(self, start: float) -> None:
        self.time = start

    def __call__(self) -> float:
        """Return the seconds."""
        return self.time


def taken(epoch: int = 1, *, was_released: bool = False) -> TakenShard:
    return TakenShard(SHARD, epoch, was_released, {})


class Pool:
    """Two workers and the database's row for one shard, by one clock.

    Each worker takes, renews or releases the shard, one after the other. What it sends takes a while until
    the database does it, and the answer another until the worker has it; a worker that stands still is one
    whose answer takes long. The database's answer is that of the moment in which it did it.
    """

    def __init__(self) -> None:
        self.clock = Clock(0.0)
        self.leases = [Lease(self.clock), Lease(self.clock)]
        self._epoch = 0
        self._is_released = True
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def work(self, worker: int, actions: list[tuple[str, float, float]]) -> None:
        """Make a worker do something, and then the rest."""
        if actions:
            (kind, out, back), *rest = actions
            answer = getattr(self, kind)(self.leases[worker])

            def arrive() -> None:
                done = answer()

                def get_answer() -> None:
                    done()
                    self.work(worker, rest)

                self.after(back, get_answer)

            self.after(out, arrive)

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Schedule something for some seconds later."""
        heapq.heappush(self._events, (self.clock.time + seconds, next(self._number), do))

    def run(self) -> Iterator[None]:
        """Run everything in its order, and yield after each event and in between."""
        while self._events:
            time, _, do = heapq.heappop(self._events)
            while self.clock.time + STEP < time:
                self.clock.time += STEP
                yield
            self.clock.time = time
            do()
            yield

    def take(self, lease: Lease) -> Callable[[], Callable[[], None]]:
        """Become the owner."""
        sent = lease.now()

        def done() -> Callable[[], None]:
            self._epoch += 1
            answer = taken(self._epoch, was_released=self._is_released)
            self._is_released = False
            return lambda: lease.take(answer, sent)

        return done

    def renew(self, lease: Lease) -> Callable[[], Callable[[], object]]:
        """Ask whether it is still the owner."""
        asked, sent = lease.held, lease.now()

        def done() -> Callable[[], object]:
            still_held = frozenset(shard for shard, epoch in asked.items() if epoch == self._epoch)
            return lambda: lease.renew(asked, still_held, sent)

        return done

    def release(self, lease: Lease) -> Callable[[], Callable[[], None]]:
        """Release the shard."""
        epoch = lease.release(SHARD)

        def done() -> Callable[[], None]:
            self._is_released |= epoch == self._epoch
            return lambda: None

        return done


DELAYS = st.sampled_from([0.0, 1.0, 3.0, LEASE + 1])
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["take", "renew", "renew", "release"]), DELAYS, DELAYS), min_size=1, max_size=6
)


@example([*[("renew", 3.0, 0.0)] * 3, ("renew", 0.0, 0.0)], [("renew", 0.0, 0.0)], LEASE + 1)
@example([("renew", 0.0, 0.0)], [("release", 0.0, 0.0), ("take", 0.0, 0.0)], 0.0)
@given(ACTIONS, ACTIONS, DELAYS)
def test_two_workers_never_publish_the_same_shard_whatever_stands_still(
    ones: list[tuple[str, float, float]], others: list[tuple[str, float, float]], later: float
) -> None:
    pool = Pool()
    pool.work(0, [("take", 0.0, 0.0), *ones])
    pool.after(later, lambda: pool.work(1, [("take", later, 0.0), *others]))
    for _ in pool.run():
        assert sum(lease.may_publish(SHARD) for lease in pool.leases) <= 1


@pytest.fixture
def clock() -> Clock:
    return Clock(100.0)


@pytest.fixture
def lease(clock: Clock) -> Lease:
    return Lease(clock)


def test_the_state_of_a_released_shard_goes_out_at_once(lease: Lease) -> None:
    lease.take(taken(was_released=True), lease.now())
    assert lease.may_publish(SHARD)


def test_the_state_of_another_shard_does_not_go_out(lease: Lease) -> None:
    lease.take(taken(was_released=True), lease.now())
    assert not lease.may_publish(SHARD + 1)


def test_a_lease_ends_by_itself(lease: Lease, clock: Clock) -> None:
    lease.take(taken(was_released=True), lease.now())
    clock.time += LEASE
    assert not lease.may_publish(SHARD)


def test_a_taking_counts_from_its_sending(lease: Lease, clock: Clock) -> None:
    sent = lease.now()
    clock.time += LEASE
    lease.take(taken(was_released=True), sent)
    assert not lease.may_publish(SHARD)


def test_a_renewal_counts_from_its_sending(lease: Lease, clock: Clock) -> None:
    lease.take(taken(was_released=True), lease.now())
    sent = lease.now()
    clock.time += LEASE - 1
    lease.renew(lease.held, frozenset({SHARD}), sent)
    clock.time += 1
    assert not lease.may_publish(SHARD)


def test_a_shard_that_its_owner_did_not_release_is_published_when_its_lease_is_over(
    lease: Lease, clock: Clock
) -> None:
    lease.take(taken(), lease.now())
    clock.time += LEASE
    lease.renew(lease.held, frozenset({SHARD}), lease.now())
    assert not lease.may_publish(SHARD)
    clock.time += MARGIN
    assert lease.may_publish(SHARD)


def test_a_shard_that_another_took_is_lost_and_named(lease: Lease) -> None:
    lease.take(taken(was_released=True), lease.now())
    assert lease.renew(lease.held, frozenset(), lease.now()) == {SHARD}
    assert not lease.held


def test_an_answer_about_an_older_epoch_changes_nothing(lease: Lease) -> None:
    lease.take(taken(1, was_released=True), lease.now())
    asked = lease.held
    lease.take(taken(3, was_released=True), lease.now())
    assert not lease.renew(asked, frozenset(), lease.now())
    assert lease.may_publish(SHARD)


def test_a_released_shard_is_not_published_any_more(lease: Lease) -> None:
    lease.take(taken(4, was_released=True), lease.now())
    assert lease.release(SHARD) == 4
    assert not lease.may_publish(SHARD)


def test_a_shard_is_not_released_while_the_owner_before_may_still_publish(lease: Lease) -> None:
    lease.take(taken(), lease.now())
    assert lease.release(SHARD) is None


def test_the_clock_goes_forward() -> None:
    assert steady_clock() <= steady_clock()
