"""What a worker writes, acknowledges, refuses and gives up, without a broker and a database."""

import itertools
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.key_folder import KeyFolder, file_name
from smarty_gateway.config.pool_values import DatabaseConfig, PlaintextMeter, PoolConfig, ServerAddress
from smarty_gateway.pool import processor as processor_module
from smarty_gateway.pool.inbox import Inbox
from smarty_gateway.pool.lease import Lease
from smarty_gateway.pool.processor import Processor
from smarty_gateway.pool.shard_keys import Keys, ShardKeys
from smarty_gateway.pool.shared_fault import SharedFault
from smarty_gateway.pool.tally import Tally
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.shards import shard_of, shard_of_meter_id
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from tests.pool.fake_broker import FakeBroker, FakeDatabase, FakeResults, Key
from tests.support.running import wait_until
from vectors.building_blocks import crc16

_log = logging.getLogger(__name__)

METERS: Final = [SimulatedMeter(MeterKind.LUXEMBOURG, number) for number in (1, 2, 3)]
BELGIAN: Final = SimulatedMeter(MeterKind.BELGIUM, 7)
ARRIVED: Final = 1_790_000_000_000


@cache
def frame_of(meter: SimulatedMeter, turn: int) -> bytes:
    return meter.frame(BEGINNING + timedelta(seconds=10 * turn))


def key_of(meter: SimulatedMeter, turn: int, keys: KeyFolder) -> Key:
    title = title_of(meter)
    (key,) = keys.load(shard_of(title)).keys_for(title)
    return title, key.fingerprint, turn


def title_of(meter: SimulatedMeter) -> bytes:
    assert meter.title is not None
    return meter.title


def topic_of(meter: SimulatedMeter) -> str:
    return f"smarty.raw.{shard_of(title_of(meter))}.{title_of(meter).hex().upper()}"


@dataclass
class Pool:
    """A processor between its fakes."""

    folder: KeyFolder
    keys: ShardKeys
    inbox: Inbox
    database: FakeDatabase
    broker: FakeBroker
    results: FakeResults
    tally: Tally
    lease: Lease
    processor: Processor

    def send(self, meter: SimulatedMeter, turns: Sequence[int]) -> None:
        """Deliver a message with the frames of a meter."""
        body = pack(Forwarded(ARRIVED, frame_of(meter, turn)) for turn in turns)
        keys = [key_of(meter, turn, self.folder) for turn in turns]
        self.broker.send(shard_of(title_of(meter)), topic_of(meter), body, keys)

    def wait(self) -> None:
        """Wait until everything is acknowledged."""
        wait_until(lambda: not self.broker.waiting, "all acknowledgements")
        assert self.broker.wrong == []


def write_keys(folder: Path, meters: Sequence[SimulatedMeter] = METERS) -> None:
    for shard in {shard_of(title_of(meter)) for meter in meters}:
        mine = [meter for meter in meters if shard_of(title_of(meter)) == shard]
        (folder / file_name(shard)).write_text(keys_yaml(mine), "utf-8")


@contextmanager
def running(
    folder: Path,
    workers: Sequence[str] = ("a",),
    user: str = "edge-barn",
    listed: SimulatedMeter = BELGIAN,
) -> Iterator[Pool]:
    config = PoolConfig(
        nodes=(ServerAddress("127.0.0.1", 5672, tls=False),),
        database=DatabaseConfig("127.0.0.1"),
        keys=folder,
        plaintext=(PlaintextMeter(listed.meter_id, user),),
    )
    key_folder, tally, lease, results = KeyFolder(folder), Tally(), Lease(), FakeResults()
    keys = ShardKeys(key_folder, config)
    # A clock of which each look is a second later: every batch is due at once.
    inbox, database = Inbox(itertools.count().__next__), FakeDatabase()
    broker = FakeBroker(inbox, database)
    fault = SharedFault[object](_log.error, _log.info, "the database works again")
    processor = Processor(
        "a", "smarty.raw", database, inbox, broker, lambda: workers, keys, lease, results,
        tally, fault,
    )  # fmt: skip
    processor.start()
    try:
        yield Pool(key_folder, keys, inbox, database, broker, results, tally, lease, processor)
    finally:
        processor.stop(5)
    assert processor.failure is None


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor_module, "_DATABASE_PAUSE", 0.001)
    monkeypatch.setattr(processor_module, "_LOOK_EVERY", 0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("keys")
    write_keys(found)
    return found


STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("lose"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("fail"), st.booleans(), st.just(0)),
        st.tuples(st.just("garbage"), st.integers(0, 2), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=12)
@given(STEPS)
def test_nothing_is_acknowledged_before_its_row_and_everything_gets_one(
    folder: Path, steps: list[tuple[str, int, int]]
) -> None:
    turns = [0, 0, 0]
    with running(folder) as pool:
        for step, which, count in steps:
            meter = METERS[int(which)]
            if step == "send":
                pool.send(meter, range(turns[which], turns[which] + count))
                turns[which] += count
            elif step == "lose":
                pool.broker.lose(shard_of(title_of(meter)))
            elif step == "fail":
                pool.database.failures.append(bool(which))
            else:
                pool.broker.send(shard_of(title_of(meter)), topic_of(meter), b"\x01garbage")
        pool.wait()
        assert len(pool.database.rows) == sum(turns)
        assert {reading.meter for reading in pool.results.published} <= {meter.meter_id for meter in METERS}


def test_while_the_database_is_away_nothing_is_acknowledged_and_nothing_decoded_twice(folder: Path) -> None:
    with running(folder) as pool:
        pool.send(METERS[0], [0])
        pool.wait()
        pool.database.is_away = True
        pool.send(METERS[0], [1])
        wait_until(lambda: pool.database.tries > 5, "attempts")
        assert pool.broker.waiting == 1
        pool.database.is_away = False
        pool.wait()
        assert (pool.tally.frames, pool.tally.rows, pool.tally.repeats) == (2, 2, 0)


def test_a_worker_ends_while_the_database_is_away_and_acknowledges_nothing(folder: Path) -> None:
    with running(folder) as pool:
        pool.send(METERS[0], [0])
        pool.wait()
        pool.database.is_away = True
        pool.send(METERS[0], [1])
        wait_until(lambda: pool.database.tries > 2, "attempts")
    assert pool.broker.waiting == 1


def test_old_frames_after_a_takeover_change_nothing(folder: Path) -> None:
    with running(folder) as pool:
        pool.send(METERS[0], [5000])
        pool.wait()
        pool.broker.lose(shard_of(title_of(METERS[0])))
        for first in range(0, 200, 40):
            body = pack(Forwarded(ARRIVED, frame_of(METERS[0], turn)) for turn in range(first, first + 40))
            pool.broker.send(shard_of(title_of(METERS[0])), topic_of(METERS[0]), body)
        pool.wait()
        assert len(pool.database.rows) == len(pool.results.published) == 1
        assert pool.tally.refused == {"replay": 200}


def test_a_frame_that_comes_again_is_a_repeat_and_no_attack(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(folder) as pool:
        pool.send(METERS[0], [1])
        pool.send(METERS[0], [1])
        pool.wait()
        pool.broker.lose(shard_of(title_of(METERS[0])))
        pool.send(METERS[0], [1])
        pool.wait()
        assert (pool.tally.rows, pool.tally.repeats, pool.tally.refused) == (1, 2, {})
        assert len(pool.results.published) == 1
    assert "rejected" not in caplog.text


@pytest.mark.parametrize(
    "topic",
    [topic_of(METERS[1]), "other.raw.1.2", topic_of(METERS[0]) + ".more"],
)
def test_a_frame_under_another_topic_than_its_own_is_refused(folder: Path, topic: str) -> None:
    with running(folder) as pool:
        body = pack([Forwarded(ARRIVED, frame_of(METERS[0], 1))])
        pool.broker.send(shard_of(title_of(METERS[0])), topic, body)
        pool.wait()
        assert (pool.tally.refused, pool.database.rows) == ({"malformed": 1}, {})


def test_a_frame_in_the_queue_of_another_shard_is_refused(folder: Path) -> None:
    with running(folder) as pool:
        wrong = (shard_of(title_of(METERS[0])) + 1) % 64
        topic = f"smarty.raw.{wrong}.{title_of(METERS[0]).hex().upper()}"
        pool.broker.send(wrong, topic, pack([Forwarded(ARRIVED, frame_of(METERS[0], 1))]))
        pool.wait()
        assert (pool.tally.refused, pool.database.rows) == ({"malformed": 1}, {})


@pytest.mark.parametrize(
    ("user", "rows", "refused"), [("edge-barn", 1, {}), ("edge-other", 0, {"plaintext": 1})]
)
def test_plaintext_is_believed_from_the_listed_edge_only(
    folder: Path, user: str, rows: int, refused: dict[str, int]
) -> None:
    with running(folder) as pool:
        shard = shard_of_meter_id(BELGIAN.meter_id)
        body = pack([Forwarded(ARRIVED, BELGIAN.telegram(BEGINNING))])
        pool.broker.send(shard, f"smarty.raw.{shard}.{user}.{BELGIAN.meter_id}", body)
        pool.wait()
        assert (len(pool.database.rows), pool.tally.refused) == (rows, refused)


def test_plaintext_below_the_topic_of_a_system_title_is_of_no_edge(folder: Path) -> None:
    user = "0123456789ABCDEF"
    with running(folder, user=user) as pool:
        shard = shard_of_meter_id(BELGIAN.meter_id)
        body = pack([Forwarded(ARRIVED, BELGIAN.telegram(BEGINNING))])
        pool.broker.send(shard, f"smarty.raw.{shard}.{user}", body)
        pool.wait()
        assert (pool.database.rows, pool.tally.refused) == ({}, {"plaintext": 1})


def test_a_listed_meter_that_gets_a_key_meanwhile_is_not_believed_in_plaintext_any_more(
    tmp_path: Path,
) -> None:
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    write_keys(tmp_path, METERS[1:])
    shard = shard_of_meter_id(meter.meter_id)
    assert shard != shard_of(title_of(meter))
    with running(tmp_path, listed=meter) as pool:

        def send(turn: int) -> None:
            text = meter.telegram(BEGINNING + timedelta(seconds=turn))
            body = pack([Forwarded(ARRIVED + turn, text)])
            pool.broker.send(shard, f"smarty.raw.{shard}.edge-barn.{meter.meter_id}", body)
            pool.wait()

        send(1)
        assert len(pool.database.rows) == 1
        write_keys(tmp_path)
        wait_until(lambda: not pool.keys.changed(shard), "the new key")
        send(2)
        assert (len(pool.database.rows), pool.tally.refused) == (1, {"plaintext": 1})


def plaintext_with(meter: SimulatedMeter, identity: str) -> tuple[int, str, bytes]:
    """Return shard, topic and message of a listed meter's telegram with one more identity."""
    shard = shard_of_meter_id(meter.meter_id)
    text = meter.telegram(BEGINNING)
    at = text.index(b"\r\n", text.index(b"0-0:96.1.1")) + 2
    line = f"0-0:96.1.0({identity.encode().hex()})\r\n".encode()
    body = text[:at] + line + text[at : text.rindex(b"!") + 1]
    signed = body + f"{crc16(body):04X}\r\n".encode()
    return shard, f"smarty.raw.{shard}.edge-barn.{meter.meter_id}", pack([Forwarded(ARRIVED, signed)])


def test_plaintext_with_an_identity_of_a_meter_of_another_shard_with_a_key_is_refused(
    folder: Path,
) -> None:
    assert shard_of(title_of(METERS[0])) != shard_of_meter_id(BELGIAN.meter_id)
    with running(folder) as pool:
        pool.broker.send(*plaintext_with(BELGIAN, "XYZ123"))
        pool.wait()
        assert len(pool.database.rows) == 1
        pool.broker.send(*plaintext_with(BELGIAN, METERS[0].meter_id))
        pool.wait()
        assert (len(pool.database.rows), pool.tally.refused) == (1, {"plaintext": 1})


def test_plaintext_waits_while_the_key_file_that_decides_about_it_has_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor_module, "_FAULT_LASTS", 0.1)
    write_keys(tmp_path, METERS[1:])
    decisive = tmp_path / file_name(shard_of(title_of(METERS[0])))
    decisive.write_text("keys: {}\n", "utf-8")
    with running(tmp_path) as pool:
        shard, topic, body = plaintext_with(BELGIAN, METERS[0].meter_id)
        pool.broker.send(shard, topic, body)
        wait_until(lambda: shard in pool.processor.key_faults, "the fault")
        assert (pool.broker.acknowledged, pool.tally.refused) == (0, {})
        decisive.unlink()
        pool.wait()
        assert (len(pool.database.rows), pool.tally.refused) == (1, {})
        wait_until(lambda: not pool.processor.key_faults, "the end of the fault")


@contextmanager
def with_a_faulty_key_file(folder: Path) -> Iterator[tuple[Pool, int]]:
    """Run a processor that gets a message of a shard whose key file it cannot use, once; yield both."""
    write_keys(folder)
    shard = shard_of(title_of(METERS[0]))
    (folder / file_name(shard)).write_text("keys: {}\n", "utf-8")
    with running(folder) as pool:
        pool.broker.refuses = {shard}
        pool.broker.send(shard, topic_of(METERS[0]), pack([Forwarded(ARRIVED, frame_of(METERS[0], 1))]))
        wait_until(lambda: pool.processor.key_faults == {shard}, "the fault")
        yield pool, shard


def test_a_fault_of_a_key_file_ends_when_it_is_mended_though_another_worker_has_the_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    with with_a_faulty_key_file(tmp_path) as (pool, shard):
        load = pool.keys.load

        def noting(shard: int) -> Keys:
            tried.append(shard)
            return load(shard)

        monkeypatch.setattr(pool.keys, "load", noting)
        monkeypatch.setattr(processor_module, "_FAULT_LASTS", 0.0)
        wait_until(lambda: len(tried) > 2, "looks at the file")
        assert pool.processor.key_faults == {shard}
        write_keys(tmp_path)
        wait_until(lambda: not pool.processor.key_faults, "the end of the fault")
        assert not pool.processor.held


def test_all_shards_get_their_keys_again_one_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    with running(folder) as pool:
        for meter in METERS:
            pool.send(meter, [1])
        pool.wait()
        monkeypatch.setattr(processor_module, "_TAKE_FOR", 0.0)
        load = pool.keys.load

        def noting(shard: int) -> Keys:
            loaded.append(shard)
            return load(shard)

        monkeypatch.setattr(pool.keys, "load", noting)
        pool.processor.read_keys_again()
        wait_until(lambda: frozenset(loaded) == pool.processor.held, "all shards")
        pool.send(METERS[0], [2])
        pool.wait()
    assert len(loaded) == len(set(loaded))


def test_plaintext_from_the_future_is_kept_but_is_never_the_newest(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(folder) as pool:
        shard = shard_of_meter_id(BELGIAN.meter_id)
        body = pack([Forwarded(4_000_000_000_000, BELGIAN.telegram(BEGINNING))])
        pool.broker.send(shard, f"smarty.raw.{shard}.edge-barn.{BELGIAN.meter_id}", body)
        pool.wait()
        (row,) = pool.database.rows.values()
        assert not row.may_be_newest
    assert f"{BELGIAN.meter_id}: the clock of its edge is ahead" in caplog.text


@pytest.mark.parametrize("arrived", [4_000_000_000_000, 253_402_300_799_999])
def test_a_frame_from_the_future_has_arrived_now(folder: Path, arrived: int) -> None:
    with running(folder) as pool:
        body = pack([Forwarded(arrived, frame_of(METERS[0], 1))])
        pool.broker.send(shard_of(title_of(METERS[0])), topic_of(METERS[0]), body)
        pool.wait()
        (row,) = pool.database.rows.values()
        assert row.received <= datetime.now(UTC)
        assert row.may_be_newest


def test_an_edge_whose_clock_stands_in_1970_does_not_make_the_pool_late(folder: Path) -> None:
    with running(folder) as pool:
        arrived = time.time_ns() // 1_000_000
        body = pack([Forwarded(arrived, frame_of(METERS[0], 1)), Forwarded(0, frame_of(METERS[0], 2))])
        pool.broker.send(shard_of(title_of(METERS[0])), topic_of(METERS[0]), body)
        pool.wait()
        assert 0 <= pool.tally.lag < 1000


def test_an_impossible_time_of_arrival_is_refused(folder: Path) -> None:
    with running(folder) as pool:
        body = pack([Forwarded(2**64 - 1, frame_of(METERS[0], 1))])
        pool.broker.send(shard_of(title_of(METERS[0])), topic_of(METERS[0]), body)
        pool.wait()
        assert pool.tally.refused == {"malformed": 1}


def test_a_shard_with_a_faulty_key_file_is_left_to_others_with_all_its_messages(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with with_a_faulty_key_file(tmp_path) as (pool, shard):
        wait_until(lambda: f"shard {shard} is not read" in caplog.text, "the line")
        assert (pool.broker.acknowledged, pool.tally.frames) == (0, 0)


def test_a_changed_key_file_is_read_while_the_shard_is_held(tmp_path: Path) -> None:
    write_keys(tmp_path, METERS[:1])
    other = next(
        meter
        for meter in (SimulatedMeter(MeterKind.LUXEMBOURG, number) for number in range(2, 9999))
        if shard_of(title_of(meter)) == shard_of(title_of(METERS[0]))
    )
    with running(tmp_path) as pool:
        pool.broker.send(shard_of(title_of(other)), topic_of(other), pack([Forwarded(0, frame_of(other, 1))]))
        pool.wait()
        assert pool.tally.refused == {"no-key": 1}
        write_keys(tmp_path, [METERS[0], other])

        def is_read() -> bool:
            pool.send(other, [2])
            pool.wait()
            return bool(pool.database.rows)

        pool.broker.wrong = []
        wait_until(lambda: not pool.folder.changed(shard_of(title_of(other))), "the new keys")
        assert is_read()


def test_a_foreign_shard_goes_to_its_home_once_this_one_lives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor_module, "_STAYS", 0)
    shard = shard_of(title_of(METERS[0]))
    workers = ("A", "a") if shard % 2 == 0 else ("a", "b")
    with running(folder, workers) as pool:
        pool.broker.refuses = {shard}
        pool.send(METERS[0], [1])
        wait_until(lambda: pool.tally.rebalances, "the release")
        assert pool.database.released == [shard]
        assert not pool.lease.may_publish(shard)


def test_all_shards_are_released_at_the_end(folder: Path) -> None:
    with running(folder) as pool:
        for meter in METERS:
            pool.send(meter, [1])
        pool.wait()
        held = pool.processor.held
    assert sorted(pool.database.released) == sorted(held)
    assert not pool.processor.held
