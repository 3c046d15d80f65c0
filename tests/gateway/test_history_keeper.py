"""The history in the running gateway: what counts, when it is written, and what a fault costs."""

import itertools
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway import history_keeper
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.history_keeper import HistoryKeeper
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.gateway.wiring import build_gateway
from smarty_gateway.history.boundary import Boundary, Change
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, Row
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.sources.address import parse_address
from smarty_gateway.state.history_file import HistoryFile, open_history
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_schema import FILE_NAME
from smarty_gateway.state.store import Store
from tests.support.commands import LIMIT
from tests.support.running import wait_until
from tests.support.streams import meter_key
from vectors.building_blocks import BARN_TITLE, HOUSE_TITLE, frame, telegram

#: Local time is an hour ahead.
BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
QUARTER = timedelta(minutes=15)
ZONE = ZoneInfo("Europe/Luxembourg")
LEVEL = ReferencePower(((None, 7000),))


def entry(
    name: str | None = "house",
    source: str = "tcp://127.0.0.1:1",
    meter_id: str | None = None,
    reference_power: ReferencePower | None = None,
) -> MeterConfig:
    return MeterConfig((parse_address(source),), name, meter_id, reference_power=reference_power)


def config(*meters: MeterConfig) -> Config:
    return Config(meters or (entry(),), time_zone="Europe/Luxembourg")


def text(at: datetime, energy: int, identity: str = "A1") -> bytes:
    """Return a telegram with a register in Wh."""
    local = at + timedelta(hours=1)
    return telegram(
        "FLU5\\1",
        f"0-0:96.1.1({identity})",
        f"0-0:1.0.0({local:%y%m%d%H%M%S}W)",
        f"1-0:1.8.0({energy / 1000:010.3f}*kWh)",
    )


def accepted(data: bytes) -> MeterTelegram:
    stream = MeterStream(KeyRing({}, [meter_key()]))
    stream.receive_data(data)
    event = stream.next_event()
    assert isinstance(event, MeterTelegram), event
    return event


def at(time: datetime, energy: int, identity: str = "A1") -> MeterTelegram:
    return accepted(text(time, energy, identity))


@contextmanager
def running(keeper: HistoryKeeper) -> Iterator[HistoryKeeper]:
    keeper.start()
    try:
        yield keeper
    finally:
        keeper.stop(10)
    assert keeper.failure is None


def keeper_of(file: HistoryFile, *meters: MeterConfig) -> HistoryKeeper:
    return HistoryKeeper(config(*meters), file, lambda: False)


def house(name: str = "house") -> Meter:
    return Meter(name, frozenset({"tcp://127.0.0.1:1"}))


def rows_in(folder: Path, meter: str = "house", by: By = By.QUARTER) -> list[Row]:
    connection = open_history(folder)
    assert connection is not None
    with closing(connection):
        return HistoryReader(connection, ZONE).rows(meter, by, None, None, 2**31)


def energies(folder: Path, meter: str = "house") -> list[int | None]:
    return [row.import_ for row in rows_in(folder, meter)]


class WatchedFile(HistoryFile):
    """Records what is written, and fails as long as it is told to.

    Attributes:
        written: the meters of each transaction.
        error: what writing fails with.
        damaged: the meter whose rows cannot be read.
        gate: reading waits for it.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.written: list[list[str]] = []
        self.error: sqlite3.Error | None = None
        self.damaged: str | None = None
        self.gate = threading.Event()
        self.gate.set()

    def newest(self, meter: str) -> Boundary | None:
        """Wait for the gate."""
        assert self.gate.wait(LIMIT)
        if meter == self.damaged:
            raise sqlite3.DatabaseError("database disk image is malformed")
        return super().newest(meter)

    def write(self, changes: Mapping[str, Sequence[Change]]) -> None:
        """Write, or fail."""
        if self.error is not None:
            raise self.error
        super().write(changes)
        self.written.append(sorted(changes))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write and try again soon."""
    monkeypatch.setattr(history_keeper, "_WRITE_AFTER", 0.05)
    monkeypatch.setattr(history_keeper, "_AGAIN_AFTER", 0.05)


def hear_quarters(
    keeper: HistoryKeeper, meter: Meter, count: int, begin: datetime = BEGIN, energy: int = 1000
) -> None:
    """Bring telegrams at some boundaries, and one a little later; each quarter imports 500 Wh."""
    for number in range(count):
        time = begin + number * QUARTER
        keeper.add(meter, at(time, energy + number * 500), time)
    keeper.add(meter, at(time + 10 * SECOND, energy + number * 500 + 1), time)


def test_the_registers_at_the_boundaries_are_in_the_file_after_a_clean_stop(tmp_path: Path) -> None:
    with running(keeper_of(HistoryFile(tmp_path))) as keeper:
        hear_quarters(keeper, house(), 3)
    assert energies(tmp_path) == [500, 500]


def test_a_plaintext_meter_that_no_entry_names_has_no_history(tmp_path: Path) -> None:
    with running(keeper_of(HistoryFile(tmp_path))) as keeper:
        stranger = Meter("A1", source="tcp://127.0.0.1:1")
        assert keeper.add(stranger, at(BEGIN, 1000), BEGIN) is None
        hear_quarters(keeper, stranger, 2)
    assert rows_in(tmp_path, "A1") == []


def test_a_meter_that_only_its_key_names_has_a_history(tmp_path: Path) -> None:
    with running(keeper_of(HistoryFile(tmp_path))) as keeper:
        for counter in range(2):
            time = BEGIN + counter * QUARTER
            sealed = accepted(frame(text(time, 1000 + counter), counter=counter + 1))
            keeper.add(Meter("A1", source="/a"), sealed, time)
    assert energies(tmp_path, "A1") == [1]


def test_what_becomes_known_together_is_one_transaction_and_the_counters_go_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_keeper, "_WRITE_AFTER", 0.3)
    file, saved = WatchedFile(tmp_path), []
    with running(keeper_of(file, entry("house"), entry("barn", "tcp://127.0.0.1:2"))) as keeper:
        keeper.save_counters = lambda: saved.append(len(file.written))
        for name in ("house", "barn"):
            keeper.add(house(name), at(BEGIN, 1000), BEGIN)
        wait_until(lambda: file.written, "a transaction")
        for name in ("house", "barn"):
            keeper.add(house(name), at(BEGIN + QUARTER, 1500), BEGIN)
        wait_until(lambda: len(file.written) == 2, "another transaction")
    assert file.written == [["barn", "house"]] * 2
    assert saved == [1, 2]


def test_a_reader_waits_for_no_disk_and_nothing_that_came_meanwhile_is_lost(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path)
    file.gate.clear()
    with running(keeper_of(file)) as keeper:
        hear_quarters(keeper, house(), 4)
        file.gate.set()
    assert energies(tmp_path) == [500, 500, 500]


def test_the_first_telegram_has_a_running_quarter_before_what_is_stored_was_read(tmp_path: Path) -> None:
    # Without it Home Assistant would lose these entities at each start.
    file = WatchedFile(tmp_path)
    file.gate.clear()
    with running(keeper_of(file, entry(reference_power=LEVEL))) as keeper:
        quarter = keeper.add(house(), at(BEGIN, 1000), BEGIN)
        file.gate.set()
    assert quarter is not None
    assert quarter.as_object() == {"start": "2026-11-24T13:00:00+01:00", "reference_power": 7.0}


@pytest.mark.usefixtures("quick")
def test_a_full_disk_is_said_once_and_what_it_delays_is_written_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = WatchedFile(tmp_path)
    file.error = sqlite3.OperationalError("database or disk is full")
    with running(keeper_of(file)) as keeper:
        meter = house()
        for number in range(3):
            time = BEGIN + number * QUARTER
            keeper.add(meter, at(time, 1000 + number), time)
            wait_until(lambda: "cannot be saved" in caplog.text, "the line")
        assert not keeper.is_kept
        file.error = None
        wait_until(lambda: "is saved again" in caplog.text, "the good news")
        assert keeper.is_kept
    assert energies(tmp_path) == [1, 1]
    assert caplog.text.count("disk is full") == 1


@pytest.mark.usefixtures("quick")
def test_a_meter_whose_rows_cannot_be_read_costs_the_others_nothing(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path)
    file.damaged = "house"
    with running(keeper_of(file, entry("house"), entry("barn", "tcp://127.0.0.1:2"))) as keeper:
        hear_quarters(keeper, house("house"), 2)
        hear_quarters(keeper, house("barn"), 3)
        wait_until(lambda: file.written, "a transaction")
    assert energies(tmp_path, "barn") == [500, 500]


@pytest.mark.usefixtures("quick")
def test_of_four_meters_more_than_a_day_waits_for_the_disk(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path)
    file.error = sqlite3.OperationalError("database is locked")
    with running(keeper_of(file)) as keeper:
        for name in "abcd":
            hear_quarters(keeper, house(name), 150)
        file.error = None
    assert [len(energies(tmp_path, name)) for name in "abcd"] == [149] * 4


@pytest.mark.usefixtures("quick")
def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_keeper, "_KEPT_MAX", 20)
    file = WatchedFile(tmp_path)
    file.error = sqlite3.OperationalError("database is locked")
    with running(keeper_of(file)) as keeper:
        meter = house()
        hear_quarters(keeper, meter, 50)
        course = keeper._courses["house"]  # how much waits is seen nowhere else
        wait_until(lambda: 0 < len(course.changes) <= 20, "a smaller queue")
        file.error = None
    assert energies(tmp_path) == [500] * 19


def test_a_meter_a_day_off_a_clock_that_is_right_is_dated_by_that(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(HistoryKeeper(config(), HistoryFile(tmp_path), lambda: True)) as keeper:
        for number in range(3):
            received = BEGIN + number * QUARTER
            keeper.add(house(), at(received - timedelta(days=400), 1000 + number), received)
    assert [row.start for row in rows_in(tmp_path)] == [
        int((BEGIN + number * QUARTER).timestamp()) for number in range(2)
    ]
    assert caplog.text.count("more than a day off") == 1


@pytest.mark.parametrize(("is_right", "off"), [(True, timedelta(hours=23)), (False, timedelta(days=400))])
def test_else_the_time_of_the_meter_counts(tmp_path: Path, off: timedelta, *, is_right: bool) -> None:
    with running(HistoryKeeper(config(), HistoryFile(tmp_path), lambda: is_right)) as keeper:
        for number in range(2):
            received = BEGIN + number * QUARTER
            keeper.add(house(), at(received - off, 1000 + number), received)
    assert [row.start for row in rows_in(tmp_path)] == [int((BEGIN - off).timestamp())]


@pytest.mark.usefixtures("quick")
def test_a_meter_that_was_dated_by_the_gateways_clock_removes_nothing_after_a_start_without_network(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    off, is_right = timedelta(days=400), True
    with running(HistoryKeeper(config(), HistoryFile(tmp_path), lambda: is_right)) as keeper:
        for number in range(5):
            received = BEGIN + number * QUARTER
            keeper.add(house(), at(received - off, 1000 + number), received)
    is_right = False
    with running(HistoryKeeper(config(), HistoryFile(tmp_path), lambda: is_right)) as keeper:

        def hear(later: datetime) -> None:
            keeper.add(house(), at(later - off, 1010), later)

        def is_said() -> bool:
            hear(received)
            return "not synchronised" in caplog.text

        wait_until(is_said, "the line")
        for number in range(60):
            hear(received + number * 10 * SECOND)
        is_right = True
        hear(BEGIN + 5 * QUARTER)
    assert energies(tmp_path) == [1, 1, 1, 1, 6]
    assert caplog.text.count("not synchronised") == 1


@pytest.mark.usefixtures("quick")
def test_the_sums_go_on_after_a_restart(tmp_path: Path) -> None:
    level = entry(reference_power=ReferencePower(((None, 1000),)))
    with running(keeper_of(HistoryFile(tmp_path), level)) as keeper:
        hear_quarters(keeper, house(), 5)
    later = BEGIN + 4 * QUARTER + 30 * SECOND
    with running(keeper_of(HistoryFile(tmp_path), level)) as keeper:
        meter = house()

        def shown() -> dict[str, Any]:
            quarter = keeper.add(meter, at(later, 3010), later)
            return {} if quarter is None else quarter.as_object()

        wait_until(lambda: "excess_day" in shown(), "the sums")
        found = shown()
    assert (found["excess_day"], found["excess_month"], found["excess_year"]) == (1.0, 1.0, 1.0)
    assert (found["import"], found["import_day"], found["peak_month"]) == (0.01, 2.01, 2.0)
    assert found["start"] == "2026-11-24T14:00:00+01:00"


@pytest.mark.usefixtures("quick")
def test_a_clock_that_was_set_back_takes_the_sums_along(tmp_path: Path) -> None:
    level = entry(reference_power=ReferencePower(((None, 1000),)))
    file = WatchedFile(tmp_path)
    with running(keeper_of(file, level)) as keeper:
        meter = house()
        hear_quarters(keeper, meter, 5)
        back = BEGIN + 2 * QUARTER + 10 * SECOND
        for number in range(40):
            time = back + number * 10 * SECOND
            keeper.add(meter, at(time, 3100 + number), time)
        wait_until(lambda: file.written, "a transaction")

        def excess() -> object:
            quarter = keeper.add(meter, at(time, 3100 + number), time)
            return None if quarter is None else quarter.as_object().get("excess_day")

        wait_until(lambda: excess() is not None, "the sums")
        assert excess() == 0.5
    assert energies(tmp_path)[:2] == [500, 500]


@pytest.mark.parametrize(
    ("meters", "level"),
    [
        ((entry("house", reference_power=LEVEL),), 7.0),
        ((entry(None, meter_id="A1", reference_power=LEVEL),), 7.0),
        ((entry(None, reference_power=LEVEL),), 7.0),
        ((entry("barn", reference_power=LEVEL),), None),
        ((entry(None, reference_power=LEVEL), entry("barn", "tcp://127.0.0.1:2")), None),
    ],
)
@pytest.mark.usefixtures("quick")
def test_the_reference_power_is_the_one_of_the_meters_entry(
    tmp_path: Path, meters: tuple[MeterConfig, ...], level: float | None
) -> None:
    name = "A1" if meters[0].name is None else "house"
    with running(keeper_of(HistoryFile(tmp_path), *meters)) as keeper:
        quarters = []

        def hear() -> object:
            quarters.append(keeper.add(house(name), at(BEGIN, 1000), BEGIN))
            return quarters[-1]

        wait_until(hear, "a running quarter")
    assert quarters[-1] is not None
    assert quarters[-1].as_object().get("reference_power") == level


def test_a_meter_that_changes_all_the_time_does_not_fill_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(keeper_of(HistoryFile(tmp_path))) as keeper:
        for number in range(100):
            keeper.add(house(), at(BEGIN + number * SECOND, 1000, f"A{number}"), BEGIN)
    assert len(caplog.records) <= 25


@pytest.mark.parametrize("is_authenticated", [False, True])
def test_what_was_held_back_of_a_new_meter_counts_once_it_takes_the_name(
    tmp_path: Path, *, is_authenticated: bool
) -> None:
    keeper = keeper_of(HistoryFile(tmp_path))
    state = StateKeeper(config(), None, keeper)
    source, counter = "tcp://127.0.0.1:1", itertools.count(1)

    def hear(time: datetime, energy: int, identity: str, now: float) -> Meter | None:
        data = text(time, energy, identity)
        if is_authenticated:
            title = {"A1": HOUSE_TITLE, "B2": BARN_TITLE}[identity]
            data = frame(data, title=title, counter=next(counter))
        stream = MeterStream(KeyRing({}, [meter_key()]), state.identities, source=source)
        stream.receive_data(data, now)
        event = stream.next_event()
        assert isinstance(event, MeterTelegram), event
        meter = state.registry.place(event, source, now)
        if meter is not None:
            keeper.add(meter, event, time)
        return meter

    with running(keeper):
        assert hear(BEGIN, 1000, "A1", 0) is not None
        for second in range(11):
            assert hear(BEGIN + QUARTER + second * SECOND, 1500, "A1", 900 + second) is not None
        begin = BEGIN + 2 * QUARTER - 50 * SECOND
        placed = [hear(begin + n * SECOND, 7000 + n, "B2", 2000 + n) for n in range(130)]
        assert [found is None for found in placed] == [True] * 120 + [False] * 10
        assert hear(BEGIN + 3 * QUARTER, 9000, "B2", 3000) is not None
    assert energies(tmp_path) == [500, None, 1950]


def test_of_each_rival_only_what_the_history_needs_is_held(tmp_path: Path) -> None:
    keeper = keeper_of(HistoryFile(tmp_path))
    state = StateKeeper(config(), None, keeper)
    source = "tcp://127.0.0.1:1"
    begin = BEGIN - 50 * SECOND
    for second in range(121):
        now = float(second)
        meter = (
            state.registry.place(at(begin + second * SECOND, 1, "A1"), source, 0.0) if second == 0 else None
        )
        rival = state.registry.place(at(begin + second * SECOND, 5, "B2"), source, 100 + now)
    del meter
    assert rival is not None
    times = [sample.time - int(BEGIN.timestamp()) for sample in rival.held]
    assert len(times) <= 20
    assert times[0] == -50
    assert {-1, 0, 69} <= set(times)
    assert max(after - before for before, after in pairwise(times)) <= 11
    keeper.start()
    keeper.stop(10)


def gateway_of(folder: Path, *, history: bool = True) -> Gateway:
    with Store(folder) as store:
        return build_gateway(replace(config(), history=history), KeysInForce(None), "json", store)


@pytest.mark.parametrize("history", [True, False])
def test_the_history_lies_beside_the_state_unless_it_is_switched_off(
    tmp_path: Path, *, history: bool
) -> None:
    gateway = gateway_of(tmp_path, history=history)
    gateway.stop()
    assert gateway.run() is ExitStatus.GOOD
    assert (tmp_path / FILE_NAME).exists() == history


def test_a_history_of_a_newer_version_keeps_no_meter_from_being_read_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(HistoryFile(tmp_path)) as file:
        file.connection.execute("ALTER TABLE peaks ADD COLUMN more")
        file.connection.execute("PRAGMA user_version=99")
    before = (tmp_path / FILE_NAME).read_bytes()
    gateway_of(tmp_path)
    assert caplog.text.count("newer smarty-gateway") == 1
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_history_that_fails_ends_the_gateway_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(HistoryKeeper, "_finish", fail)
    monkeypatch.setattr(HistoryKeeper, "_seconds_to_wait", fail)
    assert gateway_of(tmp_path).run() is ExitStatus.REJECTED
    assert "the history failed: " in caplog.text
    assert "a fault of ours" in caplog.text


def test_the_sums_have_what_is_not_written_yet(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path)
    file.gate.clear()
    with running(keeper_of(file, entry(reference_power=ReferencePower(((None, 1000),))))) as keeper:
        meter, later = house(), BEGIN + 4 * QUARTER + 30 * SECOND
        hear_quarters(keeper, meter, 5)
        file.gate.set()
        shown: dict[str, object] = {}

        def has_sums() -> bool:
            quarter = keeper.add(meter, at(later, 3010), later)
            shown.update({} if quarter is None else quarter.as_object())
            return "excess_day" in shown

        wait_until(has_sums, "the sums")
        assert file.written == []
    assert (shown["excess_day"], shown["import_day"]) == (1.0, 2.01)


def test_the_counters_are_written_once_each_quarter_of_an_hour_together_with_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    commits: set[object] = set()
    with (
        Store(tmp_path) as store,
        closing(sqlite3.connect(store.path)) as other,
        closing(HistoryFile(tmp_path)) as file,
    ):
        keeper = keeper_of(file)
        state = StateKeeper(config(), store, keeper)
        for counter in range(4 * 90):
            now += 10
            stream = MeterStream(KeyRing({}, [meter_key()]), state.identities, source="tcp://127.0.0.1:1")
            stream.receive_data(frame(text(BEGIN, 1), counter=counter + 1), now)
            stream.next_event()
            state.tick(now)
            if counter % 90 == (88 if counter < 180 else 89):  # now sooner and now later
                keeper.save_counters()
            commits.update(other.execute("PRAGMA data_version"))
    # The file as it was, the counter soon after the start, and four quarter hours.
    assert len(commits) == 6
