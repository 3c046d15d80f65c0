"""The state file is checked like what comes from a meter, guarded from others, and bounded in size."""

import os
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.state.state_file import FolderLock
from smarty_gateway.state.store import Store, _fair_share, holders_in
from smarty_gateway.state.store_rows import Holder, PublishedDevice, StoredCounter, UnnamedMeter
from tests.support.commands import smarty_gateway
from tests.support.running import Running, plugged_in
from vectors.building_blocks import HOUSE_KEY, frame, luxembourg

MOUNT = "/bin/mount"
TITLE = bytes.fromhex("5341476770002B67")
OTHER_TITLE = bytes.fromhex("5341476770003039")
#: What version 0.x wrote, with a counter for each source.
LAYOUT_1 = """
CREATE TABLE counters (
    source TEXT, title BLOB, fingerprint TEXT, counter INTEGER, meter TEXT,
    PRIMARY KEY (source, title, fingerprint)) WITHOUT ROWID;
CREATE TABLE resets (source TEXT, title BLOB, PRIMARY KEY (source, title)) WITHOUT ROWID;
CREATE TABLE undelivered (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, stored REAL);
CREATE TABLE published (topic TEXT PRIMARY KEY, meter TEXT) WITHOUT ROWID;
PRAGMA user_version=1;
"""


def file_in(folder: Path) -> Path:
    return folder / "gateway.sqlite3"


def execute(folder: Path, statement: str, *values: object) -> None:
    """Change the file from outside."""
    with closing(sqlite3.connect(file_in(folder))) as connection, connection:
        connection.execute(statement, values)


def drop(store: Store, **limits: int) -> int:
    """Drop what is beyond these limits where only MQTT uses the file."""
    store.limit("mqtt", StoreLimits(**limits))
    return store.drop_beyond("mqtt")


def write_layout_1(folder: Path) -> None:
    with closing(sqlite3.connect(file_in(folder))) as connection, connection:
        connection.executescript(LAYOUT_1)


def undo_layout_4(folder: Path) -> None:
    execute(folder, "DROP INDEX undelivered_of_output")
    execute(folder, "ALTER TABLE undelivered DROP COLUMN output")
    execute(folder, "PRAGMA user_version=3")


# Of an older layout


def test_a_file_that_kept_counters_for_each_source_is_carried_over_with_the_highest(tmp_path: Path) -> None:
    write_layout_1(tmp_path)
    for source, number in (("/dev/one", 7), ("/dev/two", 70), ("/dev/three", 9)):
        execute(tmp_path, "INSERT INTO counters VALUES (?, ?, 'f', ?, 'house')", source, TITLE, number)
    execute(tmp_path, "INSERT INTO counters VALUES ('/dev/one', ?, 'f', 5, 'barn')", OTHER_TITLE)
    execute(tmp_path, "INSERT INTO undelivered VALUES (3, 'smarty/house/telegram', x'31', 1.7e9)")
    execute(tmp_path, "INSERT INTO published VALUES ('smarty/house/state', 'house')")
    with Store(tmp_path) as store:
        assert store.notices == []
        assert store.counters() == FrameCounters({(TITLE, "f"): 70, (OTHER_TITLE, "f"): 5})
        assert [row.meter for row in store.all_counters()] == ["house", "barn"]
        assert [(row.id, row.topic) for row in store.undelivered_after("mqtt", 0, 9)] == [
            (3, "smarty/house/telegram")
        ]
        assert store.published() == {"smarty/house/state": "house"}
        assert drop(store, days=1) == 0  # the age of old rows is not known
    with Store(tmp_path) as store:
        assert store.counters() == FrameCounters({(TITLE, "f"): 70, (OTHER_TITLE, "f"): 5})


def test_bad_rows_of_an_older_file_are_dropped_on_the_way(tmp_path: Path) -> None:
    write_layout_1(tmp_path)
    execute(tmp_path, "INSERT INTO counters VALUES ('/dev/one', ?, 'f', 'text', 'house')", TITLE)
    execute(tmp_path, "INSERT INTO counters VALUES ('/dev/one', ?, 'f', 5, 'house')", OTHER_TITLE)
    execute(tmp_path, "INSERT INTO published VALUES ('smarty/#', 'house')")
    with Store(tmp_path) as store:
        assert store.counters() == FrameCounters({(OTHER_TITLE, "f"): 5})
        assert store.published() == {}


def test_a_file_without_unnamed_meters_is_carried_over_with_those_that_a_key_authenticates(
    tmp_path: Path,
) -> None:
    sensor, device = (
        f"homeassistant/{end}/config" for end in ("sensor/smarty_A/energy_import", "device/smarty_A")
    )
    with Store(tmp_path) as store:
        store.write(
            [StoredCounter(TITLE, "f", 7, "SAG1", "/a"), StoredCounter(OTHER_TITLE, "f", 7, "house", "/b")]
        )
        store.note_published(["smarty/SAG1/state"], "SAG1")
        store.note_published(["smarty/house/state", sensor, device], "house")
        store.write_owners({}, {"house": Holder(OTHER_TITLE.hex(), is_authenticated=True)})
    undo_layout_4(tmp_path)
    for table in ("unnamed", "devices"):
        execute(tmp_path, f"DROP TABLE {table}")
    execute(tmp_path, "PRAGMA user_version=2")
    with Store(tmp_path) as store:
        assert store.notices == []
        assert store.unnamed() == [UnnamedMeter(TITLE.hex(), "SAG1", "/a", is_authenticated=True, heard=0.0)]
        assert store.devices() == []
        assert store.published() == {
            "smarty/SAG1/state": "SAG1", "smarty/house/state": "house", sensor: "", device: ""
        }  # fmt: skip


def test_what_waited_before_there_were_several_outputs_waits_for_mqtt_in_its_order(tmp_path: Path) -> None:
    waiting = [(f"smarty/{number % 3}/telegram", b"%d" % number) for number in range(500)]
    with Store(tmp_path) as store:
        store.delete(store.add_undelivered("mqtt", waiting)[:100])
    undo_layout_4(tmp_path)
    with Store(tmp_path) as store:
        assert store.notices == []
        (new,) = store.add_undelivered("influxdb", [("0", b"new")])
        found = store.undelivered_after("mqtt", 0, 1000)
        assert [(row.topic, row.payload) for row in found] == waiting[100:]
        assert [row.id for row in found] == list(range(101, 501))
        assert new > 500


def test_silence_and_absence_go_on_over_a_restart_and_count_only_while_the_gateway_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with Store(tmp_path) as store:
        now = 5000.0
        store.write_owners({}, {}, [UnnamedMeter("k", "X", "/a", is_authenticated=False, heard=2000.0)])
        store.write_devices([PublishedDevice("house", "G", "A", 1, "gas", 3000.0)])
    now = 100.0  # another boot
    with Store(tmp_path) as store:
        now = 160.0
        assert [now - meter.heard for meter in store.unnamed()] == [3060.0]
        assert [now - (device.absent_since or 0.0) for device in store.devices()] == [2060.0]


# Rows that cannot be right

BAD_ROWS = {
    "a counter of text": "INSERT INTO counters VALUES (x'0102030405060708', 'f', 'text', 'house', '')",
    "a counter of 33 bits": "INSERT INTO counters VALUES (x'0102030405060708', 'f', 4294967296, 'house', '')",
    "a negative counter": "INSERT INTO counters VALUES (x'0102030405060708', 'f', -2, 'house', '')",
    "a short title": "INSERT INTO counters VALUES (x'01', 'f', 1, 'house', '')",
    "a wrong fingerprint": "INSERT INTO counters VALUES (x'0102030405060708', 'F!', 1, 'house', '')",
    "a name without end": (
        "INSERT INTO counters VALUES (x'0102030405060708', 'f', 1, hex(zeroblob(9000)), '')"
    ),
    "text that is no UTF-8": (
        "INSERT INTO counters VALUES (x'0102030405060708', 'f', 1, CAST(x'ff' AS TEXT), '')"
    ),
    "a reset of no title": "INSERT INTO resets VALUES ('house')",
    "a wildcard topic": "INSERT INTO published VALUES ('smarty/#', 'house')",
    "a topic with a control character": "INSERT INTO published VALUES ('smarty/a' || char(1), 'house')",
    "a topic that is a blob": "INSERT INTO published VALUES (x'00ff', 'house')",
    "an empty topic": "INSERT INTO published VALUES ('', 'house')",
    "a waiting wildcard": "INSERT INTO undelivered VALUES (77, 'smarty/+/x', x'31', 0.0, 'mqtt')",
    "a waiting topic of bytes": (
        "INSERT INTO undelivered VALUES (77, CAST(x'ff' AS TEXT), x'31', 0.0, 'mqtt')"
    ),
    "a payload of text": "INSERT INTO undelivered VALUES (77, 'a', 'text', 0.0, 'mqtt')",
    "a payload that is missing": "INSERT INTO undelivered VALUES (77, 'a', NULL, 0.0, 'mqtt')",
    "a time of text": "INSERT INTO undelivered VALUES (77, 'a', x'31', 'noon', 'mqtt')",
    "an output that nobody is": "INSERT INTO undelivered VALUES (77, 'a', x'31', 0.0, 'mqtu')",
    "an output that is a blob": "INSERT INTO undelivered VALUES (77, 'a', x'31', 0.0, x'6d717474')",
    "a waiting meter of bytes": (
        "INSERT INTO undelivered VALUES (77, CAST(x'ff' AS TEXT), x'31', 0.0, 'influxdb')"
    ),
    "an identity of nobody": "INSERT INTO identities VALUES ('a', NULL)",
    "an owner with half a title": "INSERT INTO identities VALUES ('a', x'0102')",
    "a holder that is no text": "INSERT INTO holders VALUES ('house', x'01', 1, NULL)",
    "a proof that is neither": "INSERT INTO holders VALUES ('house', 'a', 7, NULL)",
    "a meter that is half authenticated": "INSERT INTO unnamed VALUES ('k', 'n', 's', 2, 0.0)",
    "a meter that was heard at noon": "INSERT INTO unnamed VALUES ('k', 'n', 's', 0, 'noon')",
    "a device without a channel": "INSERT INTO devices VALUES ('m', 'd', 'b', NULL, 'gas', NULL)",
    "a device that is absent for ever": "INSERT INTO devices VALUES ('m', 'd', 'b', 1, 'gas', 1e300)",
    "a size that is no number": "INSERT INTO put_aside VALUES ('a', 'large')",
    "a second service": "INSERT INTO service VALUES ('long')",
    "an age beyond all ages": "INSERT INTO service VALUES (1e300)",
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_that_cannot_be_right_is_dropped_counted_and_said_once(tmp_path: Path, name: str) -> None:
    good = StoredCounter(TITLE, "f", 7, "house", "/dev/one")
    holders = {"barn": Holder("b", is_authenticated=False)}
    with Store(tmp_path) as store:
        store.add_undelivered("mqtt", [("a", b"1")], [good])
        store.note_published(["smarty/house/state"], "house")
        store.write_owners({"b": "barn"}, holders)
    execute(tmp_path, BAD_ROWS[name])
    with Store(tmp_path) as store:
        assert len(store.notices) == 1
        assert "1 damaged row was dropped" in store.notices[0]
        assert store.all_counters() == [good]
        assert [row.payload for row in store.undelivered_after("mqtt", 0, 9)] == [b"1"]
        assert store.published() == {"smarty/house/state": "house"}
        assert (store.owners(), store.holders()) == ({"b": "barn"}, holders)
        assert store.put_aside() == {}
        store.add_undelivered("mqtt", [("a", b"2")], [good])
    with Store(tmp_path) as store:
        assert store.notices == []


VALUES = (
    st.none() | st.integers(-(2**62), 2**62) | st.text(max_size=20) | st.binary(max_size=20) | st.floats()
)


@given(
    st.sampled_from(
        [("counters", 5), ("resets", 1), ("identities", 2), ("holders", 4), ("undelivered", 5),
         ("published", 2), ("put_aside", 2), ("service", 1), ("unnamed", 5), ("devices", 6)]
    ),
    st.data(),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_whatever_stands_in_a_row_what_is_read_has_its_types(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[str, int], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("state")
    Store(folder).close()
    name, columns = table
    values = data.draw(st.lists(VALUES, min_size=columns, max_size=columns))
    try:
        execute(folder, f"INSERT OR REPLACE INTO {name} VALUES ({', '.join('?' * columns)})", *values)  # noqa: S608
    except (sqlite3.Error, UnicodeEncodeError):
        return  # SQLite itself refuses such a row
    with Store(folder) as store:
        for counter in store.all_counters():
            assert isinstance(counter.title, bytes)
            assert isinstance(counter.counter, int)
        for topic, meter in store.published().items():
            assert "#" not in topic
            assert isinstance(meter, str)
        for message in store.undelivered_after("mqtt", 0, 10):
            assert isinstance(message.payload, bytes)
        for device in store.devices():
            assert isinstance(device.device, str)
            assert device.absent_since is None or device.absent_since <= time.monotonic()
        for unnamed in store.unnamed():
            assert isinstance(unnamed.name, str)
            assert unnamed.heard <= time.monotonic()
        assert store.take_resets() == []
        store.add_undelivered("mqtt", [("a", b"1")], [StoredCounter(TITLE, "f", 7, "house", "")])


# Who may read it


def test_nobody_else_may_read_the_file_its_log_and_what_was_put_aside(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file_in(tmp_path).write_bytes(b"no database" * 1000)
    file_in(tmp_path).chmod(0o644)
    before = os.umask(0o022)
    try:
        with Store(tmp_path) as store:
            store.write([StoredCounter(TITLE, "f", 7, "house", "")])
            files = list(tmp_path.glob("gateway.sqlite3*"))
            assert len(files) >= 4
            assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    finally:
        os.umask(before)


# How large it grows


def test_the_file_stays_below_its_limit_and_shrinks(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for _ in range(40):
            store.add_undelivered("mqtt", [("smarty/house/telegram", b"x" * 1300)] * 100)
            drop(store, megabytes=2)
            assert file_in(tmp_path).stat().st_size <= 2_000_000
        ids = [row.id for row in store.undelivered_after("mqtt", 0, 10_000)]
        assert len(ids) > 1000
        assert ids[-1] == 4000


@pytest.mark.parametrize(("growing", "resting"), [("mqtt", "influxdb"), ("influxdb", "mqtt")])
def test_what_waits_for_one_output_pushes_out_nothing_that_waits_for_another(
    tmp_path: Path, growing: str, resting: str
) -> None:
    with Store(tmp_path) as store:
        for output in (growing, resting):
            store.limit(output, StoreLimits(megabytes=1))
        for number in range(60):
            store.add_undelivered(growing, [("house", b"x" * 900)] * 50)
            if number < 15:  # mixed with the others
                store.add_undelivered(resting, [("house", b"x" * 900)] * 50)
            dropped = [store.drop_beyond(output) for output in (growing, resting)]
            assert dropped[1] == 0
            assert file_in(tmp_path).stat().st_size <= 2_000_000
        assert dropped[0] > 0
        assert store.count_undelivered(resting) == 750
        assert store.count_undelivered(growing) > 800


def test_what_waits_for_an_output_that_is_switched_off_takes_no_room_from_another(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.add_undelivered("influxdb", [("house", b"x" * 900)] * 800)
        store.add_undelivered("mqtt", [("house", b"x" * 900)] * 800)
        assert drop(store, megabytes=1) == 0
        assert store.count_undelivered("influxdb") == 800


def test_the_topics_that_take_most_give_up_most(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.add_undelivered("mqtt", [("smarty/house/telegram", b"x" * 1000)] * 100)
        store.add_undelivered("mqtt", [("smarty/evil/telegram", b"x" * 1000)] * 2500)
        store.add_undelivered("mqtt", [("smarty/barn/telegram", b"x" * 1000)] * 280)
        assert drop(store, megabytes=2) > 0
        left = Counter(row.topic for row in store.undelivered_after("mqtt", 0, 10_000))
    assert left["smarty/house/telegram"] == 100
    assert left["smarty/barn/telegram"] == 280
    assert 500 < left["smarty/evil/telegram"] < 1600


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.floats(0, 1))
def test_a_fair_share_frees_just_what_is_needed(sizes: list[int], part: float) -> None:
    excess = part * sum(sizes)
    share = _fair_share(sizes, excess)
    assert sum(max(0.0, size - share) for size in sizes) == pytest.approx(excess, abs=1e-6)


def test_a_counter_in_the_file_never_falls_but_by_a_reset(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        for number in (7, 70, 9):
            store.write([StoredCounter(TITLE, "f", number, "house", "")])
        assert store.counters() == FrameCounters({(TITLE, "f"): 70})
        store.reset([TITLE])
        store.write([StoredCounter(TITLE, "f", 9, "house", "")])
        assert store.counters() == FrameCounters({(TITLE, "f"): 9})


def test_a_clock_that_is_set_right_drops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path) as store:
        store.add_undelivered("mqtt", [("a", b"1")])
        before = time.time
        monkeypatch.setattr(time, "time", lambda: before() + 10 * 365 * 86_400)
        assert drop(store, days=1) == 0
    with Store(tmp_path) as store:
        assert drop(store, days=1) == 0


def test_age_goes_on_over_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path) as store:
        store.add_undelivered("mqtt", [("a", b"1")])
        before = time.monotonic()
        monkeypatch.setattr("smarty_gateway.state.store.time.monotonic", lambda: before + 86_000.0)
        store.write([StoredCounter(TITLE, "f", 7, "house", "")])
    with Store(tmp_path) as store:
        monkeypatch.setattr("smarty_gateway.state.store.time.monotonic", lambda: before + 87_000.0)
        assert drop(store, days=1) == 1


def test_holders_can_be_looked_at_without_a_trace(tmp_path: Path) -> None:
    assert holders_in(tmp_path / "missing") == {}
    holders = {"house": Holder("a", is_authenticated=True, second="B")}
    with Store(tmp_path) as store:
        store.write_owners({}, holders)
    before = sorted(tmp_path.iterdir())
    assert holders_in(tmp_path) == holders
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_waits_for_a_pipe_in_the_place_of_the_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gateway.sqlite3")
    (tmp_path / "gateway.sqlite3-wal").touch()
    assert holders_in(tmp_path) == {}


def test_a_damaged_holder_is_no_reason_to_fail_before_the_file_is_opened(tmp_path: Path) -> None:
    holders = {"house": Holder("a", is_authenticated=True)}
    with Store(tmp_path) as store:
        store.write_owners({}, holders)
    execute(tmp_path, "INSERT INTO holders VALUES ('barn', x'00ff', 1, NULL)")
    execute(tmp_path, "INSERT INTO holders VALUES ('shed', 'b', 1, x'00ff')")
    assert holders_in(tmp_path) == holders


# Where nothing can be written


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Make a folder on a file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run([MOUNT, "-t", "tmpfs", "tmpfs", folder], check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["/bin/umount", folder], check=True)


def make_read_only(disk: Path) -> None:
    subprocess.run([MOUNT, "-o", "remount,ro", disk], check=True)


def test_a_read_only_file_system_is_survived_with_what_the_file_holds(disk: Path) -> None:
    state = disk / "state"
    with Store(state) as store:
        store.write([StoredCounter(TITLE, "f", 7, "house", "")])
    make_read_only(disk)
    FolderLock(state).close()
    with Store(state) as store:
        assert store.counters() == FrameCounters({(TITLE, "f"): 7})
        assert not store.is_kept
        assert len(store.notices) == 1
        assert "read-only" in store.notices[0]
        store.write([StoredCounter(TITLE, "f", 8, "house", "")])


def test_a_state_folder_that_cannot_be_made_on_a_read_only_file_system_is_survived(disk: Path) -> None:
    make_read_only(disk)
    FolderLock(disk / "state").close()
    with Store(disk / "state") as store:
        assert not store.is_kept
        store.write([StoredCounter(TITLE, "f", 8, "house", "")])


def test_run_goes_on_without_a_place_for_its_state(disk: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"keys:\n  any: {HOUSE_KEY.hex()}\n", "utf-8")
    keys.chmod(0o600)
    make_read_only(disk)
    with (
        plugged_in(tmp_path / "port") as port,
        Running(
            "run", "--source", tmp_path / "port", "--keys", keys, "--state", disk / "state", folder=tmp_path
        ) as running,
    ):
        running.wait_for_port(port.name)
        port.write(frame(luxembourg(1), counter=5))
        running.wait_for_readings(1)
        port.write(frame(luxembourg(1), counter=5))
        running.wait_for_log("rejected replay")
        assert running.says("read-only") == 2  # the counters and the history, each once
        assert running.stop() == 0


def test_what_would_not_last_is_refused_by_the_commands_that_change_it(disk: Path, tmp_path: Path) -> None:
    with Store(disk / "state") as store:
        store.write([StoredCounter(TITLE, "f", 7, "house", "")])
    make_read_only(disk)
    for command in ("reset-counter", "forget"):
        done = smarty_gateway(command, "house", "--state", disk / "state", folder=tmp_path)
        assert done.returncode == 78
        assert b"read-only" in done.stderr


def test_holders_in_a_folder_of_another_user_are_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", refuse)
    assert holders_in(tmp_path) == {}


def test_a_column_that_another_program_added_costs_no_counter(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.write([StoredCounter(TITLE, "0" * 8, 7, "house", "/dev/one")])
    execute(tmp_path, "ALTER TABLE counters ADD COLUMN more")
    with Store(tmp_path) as store:
        assert [row.counter for row in store.all_counters()] == [7]
        assert store.notices == []
