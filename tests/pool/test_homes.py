"""Home shards: every shard has one home, and shards wander there without being handed back and forth."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.pool.homes import home_of, home_shards, next_release
from smarty_gateway.protocol.shards import SHARDS

WORKERS = st.sets(st.sampled_from("abcdefgh"), min_size=1).map(sorted)
ALL = tuple(range(SHARDS))


@given(WORKERS)
def test_every_shard_has_exactly_one_home(workers: list[str]) -> None:
    homes = [shard for worker in workers for shard in home_shards(worker, workers)]
    assert sorted(homes) == list(ALL)


@given(WORKERS)
def test_no_worker_has_two_home_shards_more_than_another(workers: list[str]) -> None:
    counts = [len(home_shards(worker, workers)) for worker in workers]
    assert max(counts) - min(counts) <= 1


def test_three_workers_have_22_21_and_21_home_shards() -> None:
    workers = ["a", "b", "c"]
    assert [len(home_shards(worker, workers)) for worker in workers] == [22, 21, 21]


def test_without_workers_no_shard_has_a_home() -> None:
    assert home_of(0, []) is None


@given(WORKERS, st.integers(0, 1 << 32))
def test_shards_end_at_their_homes_whoever_takes_what_is_released(workers: list[str], seed: int) -> None:
    owners = dict(enumerate(random.Random(seed).choices(workers, k=SHARDS)))
    releases = 0
    while any(owner != home_of(shard, workers) for shard, owner in owners.items()):
        for worker in workers:
            held = [shard for shard, owner in owners.items() if owner == worker]
            shard = next_release(worker, held, workers)
            if shard is not None:
                assert home_of(shard, workers) != worker
                owners[shard] = str(home_of(shard, workers))
                releases += 1
    assert releases <= SHARDS, "a shard that is at home stays there"


@given(WORKERS, st.sets(st.sampled_from(ALL), max_size=9), st.sampled_from("abcdefgh"))
def test_when_a_worker_comes_or_goes_every_shard_has_a_home_among_the_live_ones(
    workers: list[str], held: set[int], other: str
) -> None:
    changed = sorted({*workers, other})
    for live in (workers, changed):
        for worker in live:
            shard = next_release(worker, held, live)
            assert shard is None or home_of(shard, live) in set(live) - {worker}


@pytest.mark.parametrize("workers", [[], ["b", "c"]])
def test_a_worker_that_is_not_live_itself_releases_nothing(workers: list[str]) -> None:
    assert next_release("a", ALL, workers) is None


def test_a_lone_worker_keeps_everything() -> None:
    assert next_release("a", ALL, ["a"]) is None
