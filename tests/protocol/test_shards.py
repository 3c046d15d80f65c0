"""A meter belongs to one shard for ever."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.protocol.shards import SHARDS, shard_of, shard_of_meter_id
from vectors.building_blocks import BARN_TITLE, HOUSE_TITLE


def test_the_shards_of_known_meters_stay_what_they_are() -> None:
    # Queues, topics and the names of key files hold these numbers.
    assert [shard_of(HOUSE_TITLE), shard_of(BARN_TITLE), shard_of(bytes(8))] == [47, 55, 41]
    assert [shard_of_meter_id("1SAG1100000001"), shard_of_meter_id("été")] == [34, 20]


@given(st.binary(min_size=8, max_size=8), st.text(max_size=40))
def test_every_meter_has_a_shard(title: bytes, meter_id: str) -> None:
    assert 0 <= shard_of(title) < SHARDS
    assert 0 <= shard_of_meter_id(meter_id) < SHARDS


def test_meters_that_were_made_one_after_the_other_are_spread_evenly() -> None:
    counts = Counter(shard_of(b"SAGg\x00" + number.to_bytes(3, "big")) for number in range(64_000))
    assert len(counts) == SHARDS
    assert max(counts.values()) < 1.1 * min(counts.values())
