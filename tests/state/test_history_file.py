"""The history is written once, comes back as it was, and is filled by imports without a contradiction."""

import errno
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.history.boundary import Boundary, SetBack
from smarty_gateway.history.sample import QUARTER, MeterPeak
from smarty_gateway.state.history_file import HistoryFile, export_history, open_history
from smarty_gateway.state.history_rows import boundaries_of
from smarty_gateway.state.history_schema import VERSION
from smarty_gateway.state.history_writer import Filled
from smarty_gateway.state.sqlite_file import StateBusyError, StateError
from tests.support.histories import FIRST, boundary, gas, registers


@pytest.fixture
def history(tmp_path: Path) -> Iterator[HistoryFile]:
    with closing(HistoryFile(tmp_path)) as file:
        yield file


def stored(history: HistoryFile, meter: str = "house") -> list[Boundary]:
    return list(boundaries_of(history.connection, meter))


def ends(history: HistoryFile, meter: str = "house") -> list[int]:
    return [found.end // QUARTER - FIRST for found in stored(history, meter)]


def columns(history: HistoryFile) -> dict[str, str]:
    return {value.device: value.column for value in history.newest_devices("house")}


# Written and read

BOUNDARIES = st.lists(
    st.builds(
        Boundary,
        st.integers(FIRST, FIRST + 50).map(QUARTER.__mul__),
        st.just("SAG1"),
        st.just(1),
        st.tuples(*[st.none() | st.integers(0, 10**13)] * 12),
        st.dictionaries(st.sampled_from(["energy_combined", "reactive_energy_q1"]), st.integers(0, 10**13)),
        st.none() | st.integers(-(10**8), 10**8),
        st.none() | st.integers(-(10**8), 10**8),
        st.integers(0, 900),
    ),
    max_size=20,
)


@given(BOUNDARIES)
@settings(max_examples=30, deadline=None)
def test_what_is_written_comes_back_in_order_the_last_of_each_end(
    tmp_path_factory: pytest.TempPathFactory, written: list[Boundary]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    with closing(HistoryFile(folder)) as history:
        history.write({"house": written, "barn": written[:3]})
    newest = {found.end: found for found in written}
    with closing(HistoryFile(folder)) as history:
        assert history.notices == []
        assert stored(history) == [newest[end] for end in sorted(newest)]
        assert history.newest("house") == (newest[max(newest)] if newest else None)
        assert history.newest_series("house") == min(1, len(written))


def test_a_meter_without_history_has_none(history: HistoryFile) -> None:
    assert history.newest("house") is None
    assert history.newest_devices("house") == []
    assert history.newest_series("house") == 0
    assert history.forget("house") == 0
    assert stored(history) == []


def test_a_clock_that_was_set_back_removes_what_is_dated_later_of_this_meter_only(
    history: HistoryFile,
) -> None:
    peaks = (MeterPeak(202405, 3000, FIRST * QUARTER), MeterPeak(202406, 4000, (FIRST + 9) * QUARTER))
    rows = [boundary(quarter, devices=[gas(quarter, quarter)]) for quarter in range(10)]
    rows[9] = replace(rows[9], peaks=peaks)
    history.write({"house": rows, "barn": rows})
    history.write({"house": [SetBack(rows[5].end)]})
    assert ends(history) == [0, 1, 2, 3, 4, 5]
    assert history.newest_devices("house") == [gas(5, 5)]
    assert stored(history)[-1].peaks == peaks[:1]
    assert ends(history, "barn") == list(range(10))
    assert history.newest_devices("barn") == [gas(9, 9)]


def test_a_value_of_a_device_is_written_where_it_or_its_date_has_changed(history: HistoryFile) -> None:
    values = [gas(0, 5), gas(0, 5), gas(0, 5), gas(3, 5), gas(4, 6)]
    history.write({"house": [boundary(quarter, devices=[value]) for quarter, value in enumerate(values)]})
    assert [found.devices for found in stored(history)] == [
        (values[0],), (), (), (values[3],), (values[4],)
    ]  # fmt: skip
    newest = history.newest("house")
    assert newest is not None
    assert newest.devices == (values[4],)


def test_the_newest_boundary_has_no_device_whose_value_is_older_than_25_hours(history: HistoryFile) -> None:
    history.write({"house": [boundary(0, devices=[gas(0, 5)]), boundary(100), boundary(101)]})
    assert history.newest("house") == boundary(101)
    assert history.newest_devices("house") == [gas(0, 5)]


def test_a_boundary_that_comes_again_has_the_newer_value_of_its_device(history: HistoryFile) -> None:
    history.write({"house": [boundary(3, devices=[gas(1, 5)])]})
    history.write({"house": [boundary(3, devices=[gas(3, 6)])]})
    assert stored(history) == [boundary(3, devices=[gas(3, 6)])]


def test_a_peak_takes_the_place_of_the_one_of_its_month(history: HistoryFile) -> None:
    for power in (3000, 4000):
        peak = MeterPeak(202405, power, FIRST * QUARTER)
        history.write({"house": [replace(boundary(power), peaks=(peak,))]})
    assert stored(history)[-1].peaks == (peak,)


@pytest.mark.parametrize(
    "absurd",
    [
        replace(boundary(1), end=QUARTER),
        replace(boundary(1), end=5_000_000 * QUARTER),
        replace(boundary(1), registers=registers(energy_import=-1)),
        replace(boundary(1), registers=registers(energy_import=2 * 10**15)),
        replace(boundary(1), telegrams=-1),
        replace(boundary(1), max_power=10**10),
    ],
    ids=["1970", "2112", "a negative register", "an absurd register", "telegrams", "power"],
)
def test_what_cannot_be_right_is_not_written_and_costs_nothing_else(
    history: HistoryFile, absurd: Boundary
) -> None:
    history.write({"house": [boundary(0), absurd, boundary(2)]})
    assert ends(history) == [0, 2]


def test_registers_that_are_too_many_for_a_row_cost_only_themselves(history: HistoryFile) -> None:
    others = {f"register_{number}": 10**12 for number in range(100)}
    history.write({"house": [boundary(0, others=others)]})
    assert stored(history) == [boundary(0)]


# Devices


def test_a_device_keeps_its_first_column_and_another_one_beside_it_gets_the_next(
    history: HistoryFile,
) -> None:
    first, second, third = (gas(0, 5, device) for device in ("G1", "G2", "G3"))
    history.write({"house": [boundary(0, devices=[first])]})
    history.write({"house": [boundary(1, devices=[first, second])]})
    history.write({"house": [boundary(2, devices=[replace(first, column="gas_2"), second, third])]})
    assert columns(history) == {"G1": "gas", "G2": "gas_2", "G3": "gas_3"}


@pytest.mark.parametrize(("absent", "column"), [(2, "gas_2"), (4, "gas_2"), (5, "gas")])
def test_a_replaced_device_hands_its_column_on_after_an_hour(
    history: HistoryFile, absent: int, column: str
) -> None:
    history.write({"house": [boundary(0, devices=[gas(0, 5)])]})
    history.write({"house": [boundary(absent - 1, devices=[gas(0, 9, "G2")])]})
    assert columns(history) == {"G1": "gas", "G2": column}


@pytest.mark.parametrize(
    ("column", "following"),
    [("gas", "gas_2"), ("gas_2", "gas_3"), ("device_7", "device_7_2"), ("device_7_2", "device_7_3")],
)
def test_the_next_column_of_a_kind_counts_on(history: HistoryFile, column: str, following: str) -> None:
    held = [gas(0, 5, "G1", "gas"), gas(0, 5, "G2", "device_7"), gas(0, 5, "G3", column)]
    history.write({"house": [boundary(0, devices=held[:2])]})
    history.write({"house": [boundary(1, devices=[*held, gas(0, 5, "G4", column)])]})
    assert columns(history)["G4"] in {following, following.replace("2", "3")}
    assert len(set(columns(history).values())) == 4


def test_more_than_20_new_devices_in_a_year_are_ignored_with_a_notice(history: HistoryFile) -> None:
    for number in range(25):
        history.write({"house": [boundary(10 * number, devices=[gas(0, 5, f"G{number}")])]})
    assert len(columns(history)) == 20
    assert len(history.notices) == 1
    assert "house: it has more M-Bus devices" in history.notices[0]
    history.write({"house": [boundary(36_000, devices=[gas(35_990, 5, "new")])]})
    assert len(columns(history)) == 21


def test_more_than_8_devices_at_a_time_are_ignored(history: HistoryFile) -> None:
    history.write({"house": [boundary(0, devices=[gas(0, 5, f"G{number}") for number in range(9)])]})
    assert len(columns(history)) == 8
    assert len(history.notices) == 1


# Imports


def fill(history: HistoryFile, *found: Boundary) -> Filled:
    return history.fill("house", found)


def test_an_import_fills_what_is_missing_and_changes_nothing_that_is_there(history: HistoryFile) -> None:
    there = [boundary(quarter, devices=[gas(quarter, quarter)]) for quarter in (0, 1, 5, 6)]
    history.write({"house": there})
    other = [replace(boundary(quarter, series=7), max_power=1) for quarter in range(8)]
    assert fill(history, *other) == Filled(added=4, present=4)
    assert stored(history) == [
        there[0], there[1], *(replace(found, series=1) for found in other[2:5]), there[2], there[3],
        replace(other[7], series=1),
    ]  # fmt: skip
    assert fill(history, *other) == Filled(present=8)


@pytest.mark.parametrize("wh", [999, 2001])
def test_an_imported_boundary_that_does_not_lie_between_its_neighbours_is_left_out(
    history: HistoryFile, wh: int
) -> None:
    history.write({"house": [boundary(0), boundary(10)]})
    assert fill(history, boundary(4), boundary(5, wh=wh)) == Filled(added=1, left_out=1)
    assert ends(history) == [0, 4, 10]


def test_an_imported_boundary_of_another_meter_than_both_neighbours_is_left_out(history: HistoryFile) -> None:
    history.write({"house": [boundary(0, "A"), boundary(10, "B", 2)]})
    assert fill(history, boundary(5, "C")) == Filled(left_out=1)


def test_an_import_of_two_meters_before_the_first_boundary_keeps_both(history: HistoryFile) -> None:
    history.write({"house": [boundary(5, "C")]})
    assert fill(history, boundary(1, "A"), boundary(2, "B", 2), boundary(3, "B", 2)) == Filled(added=3)
    assert [found.meter_id for found in stored(history)] == list("ABBC")
    assert fill(history, boundary(4, "C"), boundary(0, "C", 2)) == Filled(added=2)
    assert len({found.series for found in stored(history)}) == 4


def test_between_two_series_an_imported_boundary_joins_the_one_of_its_meter(history: HistoryFile) -> None:
    history.write({"house": [boundary(0, "A"), boundary(10, "B", 2, wh=70_000)]})
    assert fill(history, boundary(4, "A"), boundary(6, "B", 2, wh=60_000)) == Filled(added=2)
    assert [found.series for found in stored(history)] == [1, 1, 2, 2]


@pytest.mark.parametrize("meter_id", ["A", "B"])
def test_at_the_ends_an_imported_boundary_joins_the_series_if_it_fits_else_it_begins_one(
    history: HistoryFile, meter_id: str
) -> None:
    history.write({"house": [boundary(5, "A"), boundary(6, "A")]})
    imported = [boundary(quarter, meter_id, 9) for quarter in (1, 2, 8, 9)]
    assert fill(history, *imported) == Filled(added=4)
    series = [found.series for found in stored(history)]
    if meter_id == "A":
        assert series == [1] * 6
    else:
        assert series[0] == series[1] != 1
        assert series[2:4] == [1, 1]
        assert series[4] == series[5] not in {1, series[0]}


def test_where_the_recording_begins_a_series_the_history_does_so_too(history: HistoryFile) -> None:
    history.write({"house": [boundary(0)]})
    assert fill(history, boundary(1, series=1), boundary(2, series=2, wh=90_000_000)) == Filled(added=2)
    first, second, third = (found.series for found in stored(history))
    assert first == second != third


def test_a_series_of_an_import_has_no_number_that_a_running_gateway_uses_next(history: HistoryFile) -> None:
    history.write({"house": [boundary(50, "A")]})
    fill(history, boundary(1, "B"), boundary(2, "C", 2), boundary(70, "D", 3))
    history.write({"house": [boundary(100, "E", 2), boundary(110, "F", history.newest_series("house") + 1)]})
    assert [found.meter_id for found in stored(history)] == list("BCADEF")
    assert len({found.series for found in stored(history)}) == 6


def test_an_imported_value_of_a_device_changes_none_of_a_later_boundary(history: HistoryFile) -> None:
    history.write(
        {"house": [boundary(0, devices=[gas(0, 5)]), boundary(10), boundary(20, devices=[gas(19, 9)])]}
    )
    fill(history, boundary(4, devices=[gas(3, 7)]), boundary(14, devices=[gas(13, 8)]))
    assert {found.end // QUARTER - FIRST: found.devices for found in stored(history) if found.devices} == {
        0: (gas(0, 5),), 14: (gas(13, 8),), 20: (gas(19, 9),)
    }  # fmt: skip
    fill(history, boundary(19, devices=[gas(18, 8)]), boundary(18, devices=[gas(18, 10)]))
    assert [found.devices for found in stored(history) if found.devices][2:] == [
        (gas(18, 8),), (gas(19, 9),)
    ]  # fmt: skip


def test_an_imported_peak_takes_no_place_of_one_that_is_there(history: HistoryFile) -> None:
    peaks = [MeterPeak(202404 + number % 2, 3000 + number, FIRST * QUARTER) for number in range(3)]
    history.write({"house": [replace(boundary(0), peaks=(peaks[0],))]})
    fill(history, replace(boundary(1), peaks=(peaks[1], peaks[2])))
    assert stored(history)[-1].peaks == (peaks[0], peaks[1])


@given(st.permutations(range(40)), st.lists(st.booleans(), min_size=40, max_size=40))
@settings(max_examples=20, deadline=None)
def test_in_any_order_imports_make_the_whole_history_of_its_parts(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], is_live: list[bool]
) -> None:
    whole = [boundary(quarter, devices=[gas(quarter, quarter)]) for quarter in range(40)]
    with closing(HistoryFile(tmp_path_factory.mktemp("state"))) as history:
        history.write({"house": [found for found, live in zip(whole, is_live, strict=True) if live]})
        for begin in range(0, 40, 7):
            fill(history, *(whole[quarter] for quarter in sorted(order[begin : begin + 7])))
        assert ends(history) == list(range(40))
        assert [found.registers for found in stored(history)] == [found.registers for found in whole]


def test_a_copy_fills_an_empty_history_with_all_it_holds(tmp_path: Path, history: HistoryFile) -> None:
    whole = [boundary(quarter, devices=[gas(quarter, quarter)]) for quarter in range(1200)]
    whole += [boundary(quarter, "B", 2, wh=quarter) for quarter in range(1200, 1300)]
    history.write({"house": whole})
    with closing(HistoryFile(tmp_path / "other")) as other:
        assert other.fill("house", boundaries_of(history.connection, "house")) == Filled(added=1300)
        found = stored(other)
    assert [replace(row, series=0) for row in found] == [replace(row, series=0) for row in whole]
    assert len({(row.series, row.meter_id) for row in found}) == 2


def test_an_import_works_beside_a_gateway_that_writes(tmp_path: Path, history: HistoryFile) -> None:
    with closing(HistoryFile(tmp_path, repairs=False)) as other:
        for quarter in range(0, 40, 2):
            history.write({"house": [boundary(quarter)]})
            other.fill("house", [boundary(quarter + 1)])
    assert ends(history) == list(range(40))


# Forgotten, copied, opened by commands


def test_what_is_forgotten_is_gone_from_the_file(tmp_path: Path, history: HistoryFile) -> None:
    rows = [boundary(quarter, devices=[gas(quarter, quarter, "FORGETME")]) for quarter in range(200)]
    history.write({"house": rows, "barn": rows[:5]})
    assert history.forget("house") == 200
    assert stored(history) == []
    assert ends(history, "barn") == list(range(5))
    history.forget("barn")
    history.close()
    assert b"FORGETME" not in (tmp_path / "history.sqlite3").read_bytes()


def test_a_copy_is_one_file_that_only_its_owner_may_read(tmp_path: Path, history: HistoryFile) -> None:
    history.write({"house": [boundary(0)]})
    (tmp_path / "copies").mkdir()
    copy = tmp_path / "copies/backup.sqlite"
    export_history(tmp_path, copy)
    with pytest.raises(FileExistsError):
        export_history(tmp_path, copy)
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM quarters").fetchall() == [(1,)]
    assert [path.name for path in copy.parent.iterdir()] == ["backup.sqlite"]
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_simulated_meter_is_marked(history: HistoryFile) -> None:
    history.mark_simulated("house")
    history.write({"house": [boundary(0)]})
    marks = history.connection.execute("SELECT name, is_simulated FROM meters").fetchall()
    assert marks == [("house", 1)]


def test_a_file_that_was_removed_is_replaced_with_the_next_quarter_hour(
    tmp_path: Path, history: HistoryFile
) -> None:
    history.write({"house": [boundary(0)]})
    history.path.unlink()
    history.write({"house": [boundary(1)]})
    history.write({"house": [boundary(2)]})
    assert history.notices == [f"the history file {history.path} was removed; the gateway makes a new one"]
    connection = open_history(tmp_path)
    assert connection is not None
    with closing(connection):
        assert list(boundaries_of(connection, "house")) == [boundary(1), boundary(2)]


def test_commands_read_beside_a_gateway_and_leave_no_trace(tmp_path: Path) -> None:
    assert open_history(tmp_path) is None
    with closing(HistoryFile(tmp_path)) as history:
        history.write({"house": [boundary(0)]})
        connection = open_history(tmp_path)
        assert connection is not None
        with closing(connection):
            assert list(boundaries_of(connection, "house")) == [boundary(0)]
            history.write({"house": [boundary(1)]})
            assert len(list(boundaries_of(connection, "house"))) == 2
    connection = open_history(tmp_path)
    assert connection is not None
    with closing(connection), pytest.raises(sqlite3.OperationalError):
        connection.execute("DELETE FROM quarters")
    assert [path.name for path in tmp_path.iterdir()] == ["history.sqlite3"]


@pytest.fixture
def new_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `Path.exists` return False on every error, as it does since Python 3.14."""
    monkeypatch.setattr(Path, "exists", lambda path: os.path.exists(path))  # noqa: PTH110, PLW0108 - see above


@pytest.mark.usefixtures("new_paths")
def test_a_history_that_cannot_be_looked_at_is_not_missing(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read: File name too long"):
        open_history(tmp_path / ("x" * 300))


@pytest.mark.usefixtures("new_paths")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_history_in_a_folder_that_is_closed_for_a_moment_is_not_removed(
    tmp_path: Path, history: HistoryFile
) -> None:
    history.write({"house": [boundary(0)]})
    tmp_path.chmod(0o700)
    os.seteuid(4711)
    try:
        history.write({"house": [boundary(1)]})
    finally:
        os.seteuid(0)
    assert ends(history) == [0, 1]
    assert history.notices == []


def for_a_command(folder: Path) -> HistoryFile:
    return HistoryFile(folder, repairs=False)


def make_newer(path: Path, change: str = "ALTER TABLE quarters ADD COLUMN more") -> None:
    HistoryFile(path.parent).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
        connection.execute(change)
        connection.commit()


@pytest.mark.parametrize("change", ["ALTER TABLE quarters ADD COLUMN more", "CREATE TABLE more (number)"])
@pytest.mark.parametrize("opened", [for_a_command, open_history])
def test_a_newer_layout_is_refused_and_left_as_it_is(
    tmp_path: Path, opened: Callable[[Path], HistoryFile], change: str
) -> None:
    path = tmp_path / "history.sqlite3"
    make_newer(path, change)
    before = path.read_bytes()
    with pytest.raises(StateError, match="newer smarty-gateway"):
        opened(tmp_path)
    assert path.read_bytes() == before


def make_link(path: Path) -> None:
    path.symlink_to("elsewhere")


UNUSABLE = [
    pytest.param(make_newer, "install that one again", id="of a newer version"),
    pytest.param(Path.mkdir, "is a folder; move it away", id="a folder"),
    pytest.param(os.mkfifo, "is a pipe or a device; move it away", id="a pipe"),
    pytest.param(make_link, "is a symbolic link; put the file itself there", id="a link"),
]


@pytest.mark.parametrize(("make", "advice"), UNUSABLE)
def test_a_gateway_goes_on_in_memory_where_the_file_cannot_be_used_and_commands_say_what_to_do(
    tmp_path: Path, make: Callable[[Path], None], advice: str
) -> None:
    make(tmp_path / "history.sqlite3")
    with pytest.raises(StateError, match=advice):
        for_a_command(tmp_path)
    with closing(HistoryFile(tmp_path)) as history:
        (notice,) = history.notices
        assert advice in notice
        assert "start the gateway again. Until then quarter hours are kept in memory only" in notice
        history.write({"house": [boundary(0)]})
        assert history.newest("house") is not None
        assert not history.is_kept
    with pytest.raises(StateError, match=advice):
        for_a_command(tmp_path)


def refuse(*_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_who_may_not_use_the_file_of_another_user_reads_the_command_that_changes_it(
    tmp_path: Path, history: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: me)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StateError, match=re.escape(f"`sudo chown {me} {history.path}*`")):
        for_a_command(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_a_file_that_root_makes_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 12345, 23456)
    with closing(for_a_command(folder)) as history:
        history.write({"house": [boundary(0)]})
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in folder.iterdir()}
    assert owners == {(12345, 23456)}


@contextmanager
def held_by_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    HistoryFile(folder).close()
    connect = sqlite3.connect
    with monkeypatch.context() as patch, closing(connect(folder / "history.sqlite3")) as other:
        patch.setattr(sqlite3, "connect", lambda path, **options: connect(path, **{**options, "timeout": 0}))
        other.execute("BEGIN EXCLUSIVE")
        yield


def test_a_file_that_another_program_holds_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        held_by_another(tmp_path, monkeypatch),
        pytest.raises(StateBusyError, match="the history file cannot be used now"),
    ):
        for_a_command(tmp_path)


def test_a_gateway_opens_a_file_that_is_locked_when_it_is_free(
    tmp_path: Path, history: HistoryFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.write({"house": [boundary(0)]})
    with held_by_another(tmp_path, monkeypatch):
        later = HistoryFile(tmp_path)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            later.newest("house")
    with closing(later):
        assert later.newest("house") == history.newest("house")
        later.write({"house": [boundary(1)]})
    assert ends(history) == [0, 1]
    assert later.notices == []


def test_nobody_else_may_read_the_file_and_its_log(tmp_path: Path, history: HistoryFile) -> None:
    history.write({"house": [boundary(0)]})
    files = list(tmp_path.glob("history.sqlite3*"))
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
