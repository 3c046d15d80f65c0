"""The state file keeps what it was given, in order, through kills and damage, and lets one gateway in."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.config.values import StoreLimits
from smarty_gateway.protocol.counters import BEGINS_ANEW, FrameCounters
from smarty_gateway.state.history_file import HistoryFile, open_history
from smarty_gateway.state.sqlite_file import StateBusyError, StateError
from smarty_gateway.state.state_file import VERSION, FolderLock, StateFile, state_folder
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, PublishedDevice, StoredCounter, UnnamedMeter
from tests.support.commands import LIMIT, ROOT, environment

if TYPE_CHECKING:
    from smarty_gateway.protocol.identities import Owner

TITLE = bytes.fromhex("5341476770002B67")
OTHER_TITLE = bytes.fromhex("5341476770003039")


def counter(
    number: int,
    *,
    source: str = "/dev/one",
    title: bytes = TITLE,
    fingerprint: str = "f",
    meter: str = "house",
) -> StoredCounter:
    return StoredCounter(title, fingerprint, number, meter, source)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Open an empty store."""
    with Store(tmp_path) as found:
        yield found


def drop(store: Store, **limits: int) -> int:
    """Drop what is beyond these limits where only MQTT uses the file."""
    store.limit("mqtt", StoreLimits(**limits))
    return store.drop_beyond("mqtt")


def payloads(store: Store, output: str = "mqtt") -> list[bytes]:
    return [message.payload for message in store.undelivered_after(output, 0, 1000)]


def change(store: Store, statement: str) -> None:
    """Change the file from outside."""
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute(statement)


# Frame counters


def test_a_meter_has_one_counter_whichever_source_it_was_read_on(store: Store) -> None:
    store.write([counter(7), counter(8, title=OTHER_TITLE), counter(9, source="/dev/two")])
    assert store.counters() == FrameCounters({(TITLE, "f"): 9, (OTHER_TITLE, "f"): 8})


def test_each_key_of_a_meter_has_a_counter_of_its_own(store: Store) -> None:
    store.write([counter(70), counter(7, fingerprint="e")])
    assert store.counters().last == {(TITLE, "f"): 70, (TITLE, "e"): 7}


def test_the_newest_counter_and_name_take_the_place_of_the_old(store: Store) -> None:
    store.write([counter(7)])
    store.write([counter(8, meter="barn")])
    assert store.all_counters() == [counter(8, meter="barn")]


def test_counters_outlive_the_process(tmp_path: Path) -> None:
    with Store(tmp_path) as before:
        before.write([counter(7)])
    with Store(tmp_path) as after:
        assert after.all_counters() == [counter(7)]


def test_the_largest_counter_there_is_can_be_stored(store: Store) -> None:
    store.write([counter(2**32 - 1)])
    assert store.all_counters() == [counter(2**32 - 1)]


def test_a_transaction_that_fails_changes_nothing_and_the_next_succeeds(store: Store) -> None:
    store.add_undelivered("mqtt", [("topic", b"before")], [counter(7)])
    with pytest.raises(sqlite3.Error):
        store.add_undelivered("mqtt", [("topic", object())], [counter(8)])  # type: ignore[list-item]
    assert store.all_counters() == [counter(7)]
    store.add_undelivered("mqtt", [("topic", b"after")], [counter(9)])
    assert store.all_counters() == [counter(9)]
    assert payloads(store) == [b"before", b"after"]


# Resets


def test_a_reset_reaches_the_gateway_that_runs_once(store: Store, tmp_path: Path) -> None:
    store.write([counter(7)])
    with Store(tmp_path) as command:
        command.reset([TITLE])
    assert store.take_resets() == [TITLE]
    assert store.take_resets() == []


def test_after_a_reset_the_counters_of_every_key_of_that_meter_begin_anew_and_of_no_other(
    store: Store,
) -> None:
    store.write([counter(7), counter(7, fingerprint="e"), counter(8, title=OTHER_TITLE)])
    store.reset([TITLE])
    assert {(row.title, row.fingerprint): row.counter for row in store.all_counters()} == {
        (TITLE, counter(7).fingerprint): BEGINS_ANEW,
        (TITLE, "e"): BEGINS_ANEW,
        (OTHER_TITLE, counter(8).fingerprint): 8,
    }


def test_the_same_reset_twice_is_one(store: Store, tmp_path: Path) -> None:
    with Store(tmp_path) as command:
        command.reset([TITLE])
        command.reset([TITLE])
    assert store.take_resets() == [TITLE]


def test_without_a_reset_there_is_none(store: Store, tmp_path: Path) -> None:
    with Store(tmp_path) as other:
        other.write([counter(7)])
    assert store.take_resets() == []


def test_word_of_a_reset_that_was_left_while_no_gateway_ran_is_dropped(tmp_path: Path) -> None:
    with Store(tmp_path) as command:
        command.reset([TITLE])
    with Store(tmp_path) as store, Store(tmp_path) as other:
        store.forget_resets()
        other.write([counter(1)])  # so that the store looks
        assert store.take_resets() == []


# Undelivered messages


def test_undelivered_messages_come_back_in_their_order(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"1"), ("b", b"2")])
    store.add_undelivered("mqtt", [("a", b"3")])
    found = store.undelivered_after("mqtt", 0, 10)
    assert [(message.topic, message.payload) for message in found] == [("a", b"1"), ("b", b"2"), ("a", b"3")]


def test_the_ids_that_writing_gives_are_those_of_the_messages(store: Store) -> None:
    ids = store.add_undelivered("mqtt", [("a", b"1"), ("a", b"2")])
    assert [message.id for message in store.undelivered_after("mqtt", 0, 10)] == ids


def test_they_are_read_in_portions(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"%d" % number) for number in range(5)])
    found: list[bytes] = []
    last = 0
    while portion := store.undelivered_after("mqtt", last, 2):
        assert len(portion) <= 2
        found += [message.payload for message in portion]
        last = portion[-1].id
    assert found == [b"0", b"1", b"2", b"3", b"4"]


def test_what_was_acknowledged_is_gone_and_counted_no_more(store: Store) -> None:
    ids = store.add_undelivered("mqtt", [("a", b"1"), ("a", b"2"), ("a", b"3")])
    store.delete([ids[1]])
    assert payloads(store) == [b"1", b"3"]
    assert store.count_undelivered("mqtt") == 2


def test_the_id_of_a_message_that_is_gone_is_never_given_again(tmp_path: Path) -> None:
    with Store(tmp_path) as before:
        ids = before.add_undelivered("mqtt", [("a", b"1")])
        before.delete(ids)
    with Store(tmp_path) as after:
        assert after.add_undelivered("mqtt", [("a", b"2")])[0] > ids[0]


def test_within_the_limits_nothing_is_dropped(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"x" * 1000)] * 10)
    assert drop(store, megabytes=1, days=1) == 0
    assert store.count_undelivered("mqtt") == 10


def test_beyond_the_size_the_oldest_are_dropped_and_no_more_than_needed(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"%d" % number + b"x" * 290_000) for number in range(6)])
    assert drop(store, megabytes=1, days=1) == 3
    assert [payload[:1] for payload in payloads(store)] == [b"3", b"4", b"5"]


def test_one_message_that_is_larger_than_the_limit_is_dropped(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"x" * 1_100_000)])
    assert drop(store, megabytes=1) == 1


def test_beyond_the_age_the_oldest_are_dropped(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"old"), ("a", b"older"), ("a", b"new")])
    change(store, "UPDATE undelivered SET stored = stored - 2.0 * 86400 WHERE payload != x'6e6577'")
    assert drop(store, days=1) == 2
    assert payloads(store) == [b"new"]


def test_both_limits_count_together(store: Store) -> None:
    store.add_undelivered("mqtt", [("a", b"%d" % number + b"x" * 600_000) for number in range(3)])
    change(store, "UPDATE undelivered SET stored = stored - 2.0 * 86400 WHERE id = 1")
    assert drop(store, megabytes=1, days=1) == 2
    assert [payload[:1] for payload in payloads(store)] == [b"2"]


def test_a_meter_that_is_forgotten_takes_its_name_and_messages_with_it_and_leaves_its_counter(
    store: Store,
) -> None:
    store.add_undelivered(
        "mqtt",
        [("smarty/house/state", b"1"), ("smarty/house_2/state", b"2")],
        [counter(7), counter(8, title=OTHER_TITLE, meter="barn")],
    )
    store.add_undelivered("influxdb", [("house", b"3"), ("house_2", b"4"), ("smarty/house/a", b"5")])
    owners: dict[str, Owner] = {"a": TITLE, "b": "house", "c": "barn"}
    holders = {name: Holder(name, is_authenticated=True) for name in ("house", "barn")}
    unnamed = [UnnamedMeter(n, n, "/a", is_authenticated=False, heard=0.0) for n in ("barn", "house")]
    store.write_owners(owners, holders, unnamed)
    store.write_devices([PublishedDevice(name, "G", "A", 1, "gas") for name in ("barn", "house")])
    assert store.forget_meter("house", "smarty/house/") == 2
    assert len(store.all_counters()) == 2
    assert [meter.name for meter in store.unnamed()] == ["barn"]
    assert [device.meter for device in store.devices()] == ["barn"]
    assert (store.owners(), store.holders()) == ({"c": "barn"}, {"barn": holders["barn"]})
    assert payloads(store) == [b"2"]
    assert payloads(store, "influxdb") == [b"4", b"5"]


# What can be wrong with the file


@pytest.mark.parametrize("damage", [b"this is no database", b"\x00" * 8192, os.urandom(8192)])
def test_a_file_that_is_no_database_is_put_aside_and_said(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "gateway.sqlite3"
    path.write_bytes(damage)
    with Store(tmp_path) as store:
        assert store.notices
        (aside,) = tmp_path.glob("*.damaged-*")
        assert aside.name in store.notices[0]
        assert "start again" in store.notices[0]
        assert aside.read_bytes() == damage
        store.write([counter(7)])
        assert store.all_counters() == [counter(7)]


def filled(folder: Path) -> Path:
    with Store(folder) as store:
        store.add_undelivered(
            "mqtt",
            [("topic", b"x" * 500) for _ in range(50)],
            [counter(number, title=number.to_bytes(8, "big")) for number in range(100)],
        )
        return store.path


def test_a_sound_file_gives_no_notice(tmp_path: Path) -> None:
    filled(tmp_path)
    with Store(tmp_path) as store:
        assert store.notices == []


def test_a_file_whose_pages_are_damaged_is_put_aside_and_said(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)
    with Store(tmp_path) as store:
        assert store.notices
        assert store.all_counters() == []


def test_a_file_that_was_cut_off_is_put_aside_and_said(tmp_path: Path) -> None:
    path = filled(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with Store(tmp_path) as store:
        assert store.notices
        store.write([counter(7)])


def test_a_file_whose_header_is_damaged_is_put_aside_and_said(tmp_path: Path) -> None:
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    data[44:48] = b"\xff" * 4  # the number of the schema's format
    path.write_bytes(data)
    with Store(tmp_path) as store:
        assert store.notices


@given(st.integers(0, 99) | st.integers(0, 40_000), st.binary(min_size=1, max_size=200))
@settings(deadline=None, max_examples=60)
def test_whatever_happened_to_the_file_a_gateway_can_use_it_or_is_told_why(
    tmp_path_factory: pytest.TempPathFactory, at: int, piece: bytes
) -> None:
    folder = tmp_path_factory.mktemp("state")
    path = filled(folder)
    content = bytearray(path.read_bytes())
    content[at : at + len(piece)] = piece
    path.write_bytes(content)
    try:
        store = Store(folder)
    except StateError as error:
        refusal = str(error)
    else:
        with store:
            store.add_undelivered("mqtt", [("topic", b"new")], [counter(1_000_000)])
            assert counter(1_000_000) in store.all_counters()
            assert b"new" in payloads(store)
            assert store.take_resets() == []
        return
    assert "written by a newer smarty-gateway" in refusal


def test_a_file_of_a_newer_layout_is_refused_in_plain_words_and_left_as_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StateError, match="written by a newer smarty-gateway") as refused:
        Store(tmp_path)
    assert "--state" in str(refused.value)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for make in (Store, FolderLock):
        with pytest.raises(StateError, match="--state"):
            make(tmp_path / "file/state")


def test_a_folder_that_may_not_be_written_is_refused_with_what_to_do(tmp_path: Path) -> None:
    if os.geteuid() == 0:  # root may write everywhere but in what the kernel keeps for itself
        folder = Path("/proc/self/net")
    else:
        folder = tmp_path
        folder.chmod(0o500)
    for make in (Store, FolderLock):
        with pytest.raises(StateError, match=r"make it writable|make it and its folder writable"):
            make(folder)


@contextmanager
def another_user(number: int) -> Iterator[None]:
    """Be a user without rights."""
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("owner", [0, 4711])
def test_who_cannot_use_the_state_of_another_user_reads_what_to_type(owner: int) -> None:
    with TemporaryDirectory() as temporary:  # pytest's own is for its user alone
        state = Path(temporary) / "state"
        Path(temporary).chmod(0o711)
        filled(state)
        HistoryFile(state).close()
        (state / "lock").touch(0o600)
        os.chown(state, owner, owner)
        advice = rf"belongs to another user \(0\); type `sudo` before .* `sudo chown -R 4711 {state}`"
        with another_user(4711):
            with pytest.raises(StateError, match=advice):
                FolderLock(state)
            with pytest.raises(
                StateError, match=r"cannot be (read|used): .*; type `sudo` before the command$"
            ):
                open_history(state)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_a_lock_that_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    FolderLock(tmp_path).close()
    found = (tmp_path / "lock").stat()
    assert (found.st_uid, found.st_gid) == (4711, 4712)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "state", tmp_path / "other"
    folder.mkdir()
    other.touch()
    other.chmod(0o644)
    (folder / "lock").symlink_to(tmp_path / "new")
    (folder / "gateway.sqlite3-journal.old").symlink_to(other)
    with pytest.raises(StateError):
        FolderLock(folder)
    Store(folder).close()
    assert not (tmp_path / "new").exists()
    assert other.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_log_of_another_user_is_no_damage(suffix: str) -> None:
    with TemporaryDirectory() as temporary:  # pytest's own is for its user alone
        folder = Path(temporary)
        os.chown(folder, 4711, 4711)
        with another_user(4711):
            Store(folder).close()
        log = folder / f"gateway.sqlite3{suffix}"
        log.write_text("x")
        log.chmod(0o644)
        with (
            another_user(4711),
            pytest.raises(StateError, match=rf"another user \(0\); type `sudo chown 4711 {folder}/g.*\*`"),
        ):
            Store(folder)
        assert not list(folder.glob("*damaged*"))


def test_a_folder_in_the_place_of_the_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "gateway.sqlite3").mkdir()
    with pytest.raises(StateError, match=r"gateway\.sqlite3 is a folder; move it away"):
        Store(tmp_path)


def test_nobody_else_may_look_into_the_folder(tmp_path: Path) -> None:
    with Store(tmp_path / "state"):
        assert (tmp_path / "state").stat().st_mode & 0o077 == 0


# kill -9

WRITER = """
import itertools, sys
from pathlib import Path
from types import SimpleNamespace
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, PublishedDevice, StoredCounter, UnnamedMeter

with Store(Path(sys.argv[1])) as store:
    for number in itertools.count(int(sys.argv[2])):
        counter = StoredCounter(b"12345678", "f", number, "house", "/dev/one")
        ids = store.add_undelivered("mqtt", [("topic", b"%d" % number)], [counter])
        if number % 3 == 0:
            store.delete(ids)
        print(number, flush=True)
"""


def test_what_was_written_is_there_after_kill_9_and_the_file_is_sound(tmp_path: Path) -> None:
    last = 0
    for round_number in range(5):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(last + 1)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment(),
        )
        assert writer.stdout is not None
        with writer.stdout as lines:
            for line in lines:
                last = int(line)
                if last % 40 == 7 * round_number:
                    writer.send_signal(signal.SIGKILL)
                    break
            last = max([last, *map(int, lines.read().split())])
        writer.wait(LIMIT)
        with Store(tmp_path) as store:
            assert store.notices == []
            (found,) = store.all_counters()
            assert found.counter >= last
            expected = [number for number in range(1, last + 1) if number % 3]
            waiting = [int(payload) for payload in payloads(store)]
            assert [number for number in waiting if number <= last and number % 3] == expected
            last = found.counter


# One gateway a folder


def test_a_second_gateway_is_kept_out_until_the_first_lets_it_in(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    with pytest.raises(StateError, match="another smarty-gateway uses"):
        FolderLock(tmp_path)
    first.close()
    FolderLock(tmp_path).close()


def test_a_lock_ends_with_its_process_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom smarty_gateway.state.state_file import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1]))\nprint(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment(),
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline()
        with pytest.raises(StateError):
            FolderLock(tmp_path)
        holder.kill()
        holder.wait(LIMIT)
        FolderLock(tmp_path).close()


# Which folder


def test_the_folder_is_the_chosen_one_else_the_service_managers_else_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/someone/state")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/smarty-gateway:/var/lib/other")
    found = [state_folder(Path("/chosen")), state_folder(None)]
    monkeypatch.delenv("STATE_DIRECTORY")
    found.append(state_folder(None))
    monkeypatch.delenv("XDG_STATE_HOME")
    found.append(state_folder(None))
    assert found == [
        Path("/chosen"),
        Path("/var/lib/smarty-gateway"),
        Path("/home/someone/state/smarty-gateway"),
        Path("/home/someone/.local/state/smarty-gateway"),
    ]


def test_with_a_full_disk_the_counters_are_taken_up_and_nothing_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        store.write([counter(7)])
    (tmp_path / "gateway.sqlite3-wal").mkdir()  # SQLite cannot make its log, as on a full disk
    with pytest.raises(StateError):
        Store(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, free=0))
    with Store(tmp_path) as store:
        assert "is on a full disk" in str(store.notices)
        assert store.all_counters() == [counter(7)]
        store.add_undelivered("mqtt", [("topic", b"payload")], [counter(8)])
        assert store.count_undelivered("mqtt") == 1
    (tmp_path / "gateway.sqlite3-wal").rmdir()
    with Store(tmp_path) as store:
        assert store.all_counters() == [counter(7)]


def test_with_a_full_disk_what_a_crash_left_in_the_log_is_taken_up_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: StateFile) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    with Store(tmp_path) as crashed:
        crashed.write([counter(7)])
        assert (tmp_path / "gateway.sqlite3-wal").stat().st_size > 0
        monkeypatch.setattr(StateFile, "_open", fail)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, free=0))
        monkeypatch.chdir(tmp_path.parent)
        with Store(Path(tmp_path.name)) as store:
            assert store.all_counters() == [counter(7)]


def test_with_a_full_disk_telegrams_that_wait_in_the_file_stay_there_and_fill_no_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store(tmp_path) as store:
        store.add_undelivered("mqtt", [("topic", b"x" * 1000)] * 2000, [counter(7)])
    (tmp_path / "gateway.sqlite3-wal").mkdir()  # SQLite cannot make its log, as on a full disk
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10**9, free=0))
    with Store(tmp_path) as store:
        assert store.count_undelivered("mqtt") == 0
        assert store._pages("page_count") < 200_000
        assert store.all_counters() == [counter(7)]
    (tmp_path / "gateway.sqlite3-wal").rmdir()
    with Store(tmp_path) as store:
        assert store.count_undelivered("mqtt") == 2000


def reset_in_locked_file(folder: Path) -> None:
    """Reset a counter, as the command does, while another program writes."""
    with (
        closing(sqlite3.connect(folder / "gateway.sqlite3", isolation_level=None)) as other,
        Store(folder) as store,
    ):
        store._connection.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        store.reset([TITLE])


def test_a_command_that_finds_the_file_locked_ends_with_1_and_a_line(tmp_path: Path) -> None:
    with pytest.raises(StateBusyError, match="cannot be used now: database is locked") as caught:
        reset_in_locked_file(tmp_path)
    assert caught.value.exit_status == 1
