"""Telegrams for the broker keep their order and are lost by nothing, and the disk is for outages only."""

import logging
import os
import sqlite3
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.outputs.outbox import Outbox, Waiting
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import StoredCounter

TOPIC = "smarty/house/telegram"
COUNTER = StoredCounter(bytes(8), "f", 7, "house", "/dev/one")
#: So many are on their way at once, as in the MQTT output.
WINDOW = 20
#: Thousands of commits wait for no disk there; None where the system has no such folder.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - each test has a folder in it


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open an empty store."""
    with Store(tmp_path) as found:
        yield found


def outbox_of(store: Store, *, write_first: bool = False, limits: StoreLimits | None = None) -> Outbox:
    store.unsaved_counters = lambda: [COUNTER]
    return Outbox(store, limits or StoreLimits(), "mqtt", "the broker", write_first=write_first)


def add(outbox: Outbox, *numbers: int, now: float = 0.0) -> None:
    for number in numbers:
        outbox.add(TOPIC, b"%d" % number, now)


def stored(store: Store) -> list[int]:
    return [int(row.payload) for row in store.undelivered_after("mqtt", 0, 1_000_000)]


def send_all(outbox: Outbox) -> list[int]:
    """Deliver everything, acknowledged at once."""
    found = []
    while (waiting := outbox.next_to_send()) is not None:
        found.append(int(waiting.payload))
        outbox.remove(waiting)
    return found


def take(outbox: Outbox, count: int) -> list[Waiting]:
    """Send so many without an acknowledgement."""
    found = [outbox.next_to_send() for _ in range(count)]
    return [waiting for waiting in found if waiting is not None]


# When the disk is used


def test_what_is_acknowledged_within_10_s_is_never_written(store: Store) -> None:
    outbox = outbox_of(store)
    for second in range(100):
        add(outbox, second, now=second)
        if second % 9 == 8:
            assert len(send_all(outbox)) == 9
        outbox.tick(second)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT * FROM sqlite_sequence").fetchall() == []


def test_what_waits_for_10_s_is_written_with_the_counters(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1, 2, now=0)
    outbox.tick(9.9)
    assert (stored(store), store.all_counters()) == ([], [])
    add(outbox, 3, now=9.95)
    outbox.tick(10)
    assert (stored(store), store.all_counters()) == ([1, 2, 3], [COUNTER])


def test_all_that_waits_is_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    writes = []
    write = Store.add_undelivered

    def counted(
        self: Store, output: str, rows: list[tuple[str, bytes]], counters: list[StoredCounter]
    ) -> list[int]:
        writes.append((len(counters), len(rows)))
        return write(self, output, rows, counters)

    monkeypatch.setattr(Store, "add_undelivered", counted)
    outbox = outbox_of(store)
    for second in range(31):
        add(outbox, second, now=second)
        outbox.tick(second)
    assert writes == [(1, 11), (1, 11)]  # each when its oldest had waited for 10 s


def test_in_an_outage_at_most_10_s_are_not_on_disk(store: Store) -> None:
    outbox = outbox_of(store)
    for second in range(300):
        add(outbox, second, now=second)
        outbox.tick(second)
        assert second - len(stored(store)) < 10


def test_only_what_is_not_acknowledged_is_written(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1, 2, 3)
    first, second, _ = take(outbox, 3)
    outbox.remove(second)
    outbox.tick(10)
    assert stored(store) == [1, 3]
    outbox.remove(first)
    outbox.send_again()
    assert send_all(outbox) == [3]
    outbox.tick(11)
    assert stored(store) == []


def test_a_clean_stop_writes_all_that_waits(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1, 2, 3)
    outbox.remove(take(outbox, 2)[0])
    outbox.close(1)
    assert stored(store) == [2, 3]
    assert send_all(outbox_of(store)) == [2, 3]


def test_what_was_written_is_deleted_when_it_is_acknowledged(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, *range(5))
    outbox.tick(10)
    assert send_all(outbox) == list(range(5))
    outbox.tick(11)
    assert stored(store) == []
    assert send_all(outbox_of(store)) == []


def test_a_late_acknowledgement_still_finds_its_row(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1)
    (waiting,) = take(outbox, 1)
    outbox.tick(10)
    assert stored(store) == [1]
    outbox.remove(waiting)
    outbox.tick(11)
    assert stored(store) == []


def test_durability_each_writes_before_it_sends_and_deletes_at_once(store: Store) -> None:
    outbox = outbox_of(store, write_first=True)
    add(outbox, 1)
    add(outbox, 2)
    assert stored(store) == [1, 2]
    one, two = take(outbox, 2)
    outbox.remove(one)
    assert stored(store) == [2]
    outbox.remove(two)
    assert stored(store) == []


# Order


def test_after_an_outage_all_come_in_order_with_those_of_an_earlier_run_first(store: Store) -> None:
    before = outbox_of(store)
    add(before, *range(300))
    before.close(0)
    after = outbox_of(store)
    add(after, *range(300, 700))
    after.tick(10)
    add(after, *range(700, 710), now=10)
    assert send_all(after) == list(range(710))


def test_a_lost_connection_sends_again_from_the_oldest(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, *range(5))
    _, second, *_ = take(outbox, 4)
    outbox.remove(second)
    outbox.send_again()
    assert send_all(outbox) == [0, 2, 3, 4]


class World:
    """A broker, a connection and a clock; what is added is numbered from 0."""

    def __init__(self, folder: Path, *, write_first: bool) -> None:
        self._folder, self._write_first = folder, write_first
        self._now = 0.0
        self.added = 0
        self.connections: list[list[int]] = []
        self.acknowledged: set[int] = set()
        self._in_flight: deque[Waiting] = deque()
        self._open()

    def _open(self) -> None:
        self.store = Store(self._folder)
        self.outbox = outbox_of(self.store, write_first=self._write_first)
        self._connect()

    def _connect(self) -> None:
        self._in_flight.clear()
        self.connections.append([])

    def add(self, count: int) -> None:
        """Add telegrams."""
        for _ in range(min(count, 40) if self._write_first else count):
            add(self.outbox, self.added, now=self._now)
            self.added += 1

    def send(self, count: int) -> None:
        """Fill the window up to so many."""
        while len(self._in_flight) < min(count, WINDOW) and (waiting := self.outbox.next_to_send()):
            self._in_flight.append(waiting)
            self.connections[-1].append(int(waiting.payload))

    def acknowledge(self, count: int) -> None:
        """Acknowledge the oldest."""
        for _ in range(min(count, len(self._in_flight))):
            self._acknowledge(self._in_flight.popleft())

    def acknowledge_newest(self, _count: int) -> None:
        """Acknowledge out of order."""
        if self._in_flight:
            self._acknowledge(self._in_flight.pop())

    def _acknowledge(self, waiting: Waiting) -> None:
        self.acknowledged.add(int(waiting.payload))
        self.outbox.remove(waiting)

    def lose_connection(self, _count: int) -> None:
        """Disconnect the broker, and connect it again."""
        self.outbox.send_again()
        self._connect()

    def let_time_pass(self, count: int) -> None:
        """Advance the clock by tenths of seconds."""
        self._now += count / 10
        self.outbox.tick(self._now)

    def restart(self, _count: int) -> None:
        """Stop cleanly, and start again."""
        self.outbox.close(self._now)
        self.store.close()
        self._open()

    def kill(self, _count: int) -> None:
        """Stop without a chance to write; with `durability: each` that costs nothing."""
        if self._write_first:
            self.store.close()
            self._open()

    def drain(self) -> None:
        """Connect the broker until nothing waits."""
        for _ in range(self.added + 10):
            self.send(WINDOW)
            self.acknowledge(WINDOW)
        self.let_time_pass(110)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                World.add,
                World.add,
                World.send,
                World.send,
                World.acknowledge,
                World.acknowledge_newest,
                World.lose_connection,
                World.let_time_pass,
                World.let_time_pass,
                World.restart,
                World.kill,
            ]
        ),
        st.one_of(st.integers(1, 30), st.integers(1, 450)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("write_first", [False, True])
@settings(max_examples=120, deadline=None)
@given(steps=STEPS)
def test_whatever_happens_everything_arrives_in_order(
    write_first: bool,  # noqa: FBT001 - a parameter of the test
    steps: list[tuple[Callable[[World, int], None], int]],
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder), write_first=write_first)
        try:
            for step, count in steps:
                step(world, count)
            world.drain()
            assert world.acknowledged == set(range(world.added))
            for connection in world.connections:
                first = list(dict.fromkeys(connection))
                assert first == sorted(first)
            assert stored(world.store) == []
            assert world.outbox.in_memory == 0
        finally:
            world.store.close()


class HeldWorld(World):
    """The same with three meters, of which some may not be sent now and then."""

    def __init__(self, folder: Path, *, write_first: bool) -> None:
        self.held: set[str] = set()
        super().__init__(folder, write_first=write_first)

    def add(self, count: int) -> None:
        """Add telegrams."""
        for _ in range(min(count, 40) if self._write_first else count):
            self.outbox.add(f"meter/{self.added % 3}", b"%d" % self.added, self._now)
            self.added += 1

    def send(self, count: int) -> None:
        """Fill the window up to so many."""
        while len(self._in_flight) < min(count, WINDOW):
            waiting = self.outbox.next_to_send(self.held.__contains__)
            if waiting is None:
                return
            assert waiting.topic not in self.held
            self._in_flight.append(waiting)
            self.connections[-1].append(int(waiting.payload))

    def hold(self, count: int) -> None:
        """Hold one meter more."""
        self.held.add(f"meter/{count % 3}")

    def release(self, count: int) -> None:
        """Hold one meter less."""
        self.held.discard(f"meter/{count % 3}")

    def drain(self) -> None:
        """Deliver everything."""
        self.held.clear()
        super().drain()


HELD_STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                HeldWorld.add,
                HeldWorld.add,
                HeldWorld.send,
                HeldWorld.send,
                HeldWorld.acknowledge,
                HeldWorld.acknowledge_newest,
                HeldWorld.lose_connection,
                HeldWorld.let_time_pass,
                HeldWorld.let_time_pass,
                HeldWorld.restart,
                HeldWorld.kill,
                HeldWorld.hold,
                HeldWorld.release,
            ]
        ),
        st.one_of(st.integers(1, 30), st.integers(1, 450)),
    ),
    max_size=40,
)


@pytest.mark.parametrize("write_first", [False, True])
@settings(max_examples=150, deadline=None)
@given(steps=HELD_STEPS)
def test_whatever_is_held_everything_arrives_in_the_order_of_its_meter(
    write_first: bool,  # noqa: FBT001 - a parameter of the test
    steps: list[tuple[Callable[[HeldWorld, int], None], int]],
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("smarty_gateway.outputs.outbox._PAGE", 7)  # so that there are many
        world = HeldWorld(Path(folder), write_first=write_first)
        try:
            for step, count in steps:
                step(world, count)
            world.drain()
            assert world.acknowledged == set(range(world.added))
            for connection in world.connections:
                for meter in range(3):
                    first = list(dict.fromkeys(n for n in connection if n % 3 == meter))
                    assert first == sorted(first)
            assert stored(world.store) == []
            assert world.outbox.is_empty
        finally:
            world.store.close()


def test_a_thousand_telegrams_of_a_meter_that_is_held_do_not_hold_up_another(store: Store) -> None:
    outbox = outbox_of(store)
    for number in range(2000):
        outbox.add("bad" if number % 100 else "good", b"%d" % number, number / 10)
        outbox.tick(number / 10)
    found = []
    while (waiting := outbox.next_to_send("bad".__eq__)) is not None:
        found.append(int(waiting.payload))
        outbox.remove(waiting)
    assert found == list(range(0, 2000, 100))
    outbox.tick(300)
    assert outbox.next_to_send("bad".__eq__) is None
    assert outbox.in_memory == 0
    assert not outbox.is_empty
    rest = send_all(outbox)
    assert rest == [number for number in range(2000) if number % 100]
    outbox.tick(400)
    assert stored(store) == []


def test_what_is_on_its_way_is_not_sent_again_when_another_meter_may_go_on(store: Store) -> None:
    before = outbox_of(store)
    for number in range(300):
        before.add("bad" if number % 2 else "good", b"%d" % number, 0)
    before.close(0)
    outbox = outbox_of(store)
    found = [outbox.next_to_send("bad".__eq__) for _ in range(150)]
    assert outbox.next_to_send("bad".__eq__) is None
    found += [outbox.next_to_send() for _ in range(150)]
    assert sorted(int(waiting.payload) for waiting in found if waiting) == list(range(300))
    assert outbox.next_to_send() is None


def test_one_of_two_meters_that_are_held_may_go_on_and_the_other_later(store: Store) -> None:
    before = outbox_of(store)
    for meter in ("a", "b", "c"):
        before.add(meter, meter.encode(), 0)
    before.close(0)
    outbox = outbox_of(store)
    held, found = {"b", "c"}, []
    for free in ("", "c", "b"):
        held.discard(free)
        while (waiting := outbox.next_to_send(held.__contains__)) is not None:
            found.append(waiting.topic)
            outbox.remove(waiting)
    assert found == ["a", "c", "b"]
    assert outbox.is_empty


def test_what_the_broker_would_not_take_leaves_the_outbox_and_the_store(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1, 2)
    outbox.tick(10)
    (first,) = take(outbox, 1)
    outbox.remove(first)
    assert send_all(outbox) == [2]
    outbox.tick(11)
    assert stored(store) == []


def test_what_is_put_back_is_sent_again_before_what_came_later(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, 1, 2)
    (first,) = take(outbox, 1)
    outbox.put_back(first)
    assert send_all(outbox) == [1, 2]


def test_a_topic_whose_turn_it_is_comes_first(store: Store) -> None:
    outbox = outbox_of(store)
    for number in range(6):
        outbox.add("barn" if number % 2 else "house", b"%d" % number, 0)
    waiting = outbox.next_to_send(is_wanted="barn".__eq__)
    assert waiting is not None
    assert int(waiting.payload) == 1


def test_nothing_is_sent_twice_over_one_connection(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, *range(1000))
    waiting = deque(take(outbox, WINDOW))
    outbox.tick(10)
    found = [int(one.payload) for one in waiting]
    while waiting:
        outbox.remove(waiting.popleft())
        if (more := outbox.next_to_send()) is not None:
            waiting.append(more)
            found.append(int(more.payload))
    assert found == list(range(1000))


# Several at once, and several outputs


def test_a_batch_holds_the_oldest_in_order_and_no_more_than_was_asked_for(store: Store) -> None:
    before = outbox_of(store)
    add(before, *range(10, 300))
    before.close(0)
    outbox = outbox_of(store)
    add(outbox, *range(300, 310))
    batches = []
    while batch := outbox.next_batch(90, 180):
        batches.append([int(waiting.payload) for waiting in batch])
    assert [len(batch) for batch in batches] == [90, 60, 60, 60, 30]
    assert [number for batch in batches for number in batch] == list(range(10, 310))


def test_one_that_is_larger_than_a_batch_comes_alone(store: Store) -> None:
    outbox = outbox_of(store)
    for payload in (b"a", b"b" * 100, b"c"):
        outbox.add(TOPIC, payload, 0)
    assert [len(outbox.next_batch(10, 50)) for _ in range(4)] == [1, 1, 1, 0]


def test_a_batch_that_failed_is_sent_again_in_its_order(store: Store) -> None:
    outbox = outbox_of(store)
    add(outbox, *range(5))
    outbox.next_batch(3, 100)
    outbox.send_again()
    assert send_all(outbox) == list(range(5))


def test_each_output_gets_what_is_its_own_in_its_order_and_writes_once_in_10_s(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Counter[str]()
    write = Store.add_undelivered

    def counted(
        self: Store, output: str, rows: list[tuple[str, bytes]], counters: list[StoredCounter]
    ) -> list[int]:
        written[output] += 1
        assert counters == [COUNTER]
        return write(self, output, rows, counters)

    monkeypatch.setattr(Store, "add_undelivered", counted)
    first = outbox_of(store)
    second = Outbox(store, StoreLimits(), "influxdb", "InfluxDB")
    for number in range(500):
        add(first, number, now=number / 5)
        second.add("a house", b"%d" % -number, number / 5)
        for outbox in (first, second):
            outbox.tick(number / 5)
    assert written == {"mqtt": 9, "influxdb": 9}
    first.close(100)
    second.close(100)
    second = Outbox(store, StoreLimits(), "influxdb", "InfluxDB")
    assert send_all(second) == [-number for number in range(500)]
    second.tick(101)
    assert store.count_undelivered("influxdb") == 0
    assert send_all(outbox_of(store)) == list(range(500))


# Bounds


@pytest.mark.slow
def test_memory_does_not_grow_with_an_outage_of_50000_telegrams(store: Store) -> None:
    outbox = outbox_of(store)
    payload = b"x" * 1500
    most = 0
    for number in range(50_000):
        now = number / 10
        outbox.add(TOPIC, b"%d %s" % (number, payload), now)
        if number % 10 == 9:
            outbox.tick(now)
            most = max(most, outbox.in_memory)
    assert most <= 350
    order = []
    while (waiting := outbox.next_to_send()) is not None:
        order.append(int(waiting.payload.split()[0]))
        outbox.remove(waiting)
        assert outbox.in_memory <= 350
    assert order == list(range(50_000))


def test_beyond_the_size_the_oldest_are_dropped_counted_and_said_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = outbox_of(store, limits=StoreLimits(megabytes=1))
    for number in range(3000):
        outbox.add(TOPIC, b"%d" % number + b" " * 960, number)
    with caplog.at_level(logging.ERROR):
        outbox.tick(3000)
        outbox.tick(3600)
    assert outbox.dropped == 3000 - len(stored(store)) > 1000
    assert stored(store) == list(range(outbox.dropped, 3000))
    assert len([r for r in caplog.records if "oldest first" in r.message]) == 1


def test_beyond_the_days_the_oldest_are_dropped(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = outbox_of(store, limits=StoreLimits(days=30))
    add(outbox, 1, 2)
    outbox.tick(10)
    now = time.monotonic()
    monkeypatch.setattr("smarty_gateway.state.store.time.monotonic", lambda: now + 29 * 86400)
    add(outbox, 3, now=29 * 86400)
    outbox.tick(29 * 86400 + 10)
    assert stored(store) == [1, 2, 3]
    monkeypatch.setattr("smarty_gateway.state.store.time.monotonic", lambda: now + 31 * 86400)
    outbox.tick(31 * 86400)
    assert (stored(store), outbox.dropped) == ([3], 2)


# A disk that fails


class FullDiskError(sqlite3.OperationalError):
    """As SQLite says it."""


@pytest.mark.parametrize("write_first", [False, True])
def test_a_full_disk_is_said_once_holds_up_nothing_and_is_used_again(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    write_first: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    outbox = outbox_of(store, write_first=write_first)

    def full(*_: object) -> list[int]:
        raise FullDiskError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add_undelivered", full)
        for second in range(100):
            add(outbox, second, now=second)
            outbox.tick(second)
        assert send_all(outbox)[:50] == list(range(50))
        add(outbox, *range(100, 110), now=100)
        outbox.tick(110)
    outbox.tick(121)
    assert stored(store) == list(range(100, 110))
    said = [record.message for record in caplog.records]
    assert len(said) == 2, said
    assert "disk is full" in said[0]
    assert "stored again" in said[1]


def test_with_a_full_disk_memory_is_bounded_and_the_oldest_go(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = outbox_of(store)

    def full(*_: object) -> list[int]:
        raise FullDiskError("database or disk is full")

    monkeypatch.setattr(store, "add_undelivered", full)
    for number in range(25_000):
        add(outbox, number, now=number / 50)
        outbox.tick(number / 50)
    assert outbox.in_memory == 20_000
    assert outbox.dropped == 5_000
    waiting = outbox.next_to_send()
    assert waiting is not None
    assert int(waiting.payload) == 5_000


def test_more_than_fits_into_memory_within_10_s_is_written_and_not_dropped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.outputs.outbox._MEMORY_MAX", 100)
    outbox = outbox_of(store)
    add(outbox, *range(1000))
    assert outbox.in_memory <= 100 + 200  # and a page
    assert send_all(outbox) == [*range(1000)]
    assert outbox.dropped == 0
