"""`history export` writes a backup or a table, and `forget` leaves the history unless it is told not to."""

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from smarty_gateway.state.history_file import HistoryFile
from smarty_gateway.state.history_rows import boundaries_of
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder
from tests.support.commands import smarty_gateway
from tests.support.histories import boundary, write_history

METERS = ("house", "barn")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    with closing(HistoryFile(folder)) as history:
        history.write({meter: [boundary(quarter, meter) for quarter in range(5)] for meter in METERS})
    return folder


def meters_of(state: Path) -> list[str]:
    with closing(HistoryFile(state)) as history:
        return [name for name in METERS if history.newest(name)]


def test_a_backup_holds_the_whole_history_beside_a_running_gateway(state: Path, tmp_path: Path) -> None:
    with closing(HistoryFile(state)) as history:
        history.write({"house": [boundary(5, "house")]})
        done = smarty_gateway("history", "export", "backup.sqlite", "--state", state, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[-1] == "backup.sqlite: 2 meters, 0.1 MB"
    with closing(sqlite3.connect(tmp_path / "backup.sqlite")) as copy:
        assert [found.end for found in boundaries_of(copy, "house")] == [boundary(q).end for q in range(6)]
    assert list(tmp_path.glob("backup*")) == [tmp_path / "backup.sqlite"]


def test_a_table_has_a_line_for_each_quarter_hour_of_each_meter(state: Path, tmp_path: Path) -> None:
    done = smarty_gateway("history", "export", "all.csv", "--state", state, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "all.csv"
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["meter"] for row in rows] == ["barn"] * 4 + ["house"] * 4
    assert {(row["import"], row["export"], row["complete"]) for row in rows} == {("0.100", "0.050", "1")}


@pytest.mark.parametrize("name", ["all.sqlite", "all.csv"])
def test_nothing_is_ever_written_over(state: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    done = smarty_gateway("history", "export", name, "--state", state, folder=tmp_path)
    assert (done.returncode, (tmp_path / name).read_text()) == (2, "mine")
    assert f"{name} exists already; remove it, or name another file".encode() in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("all.xlsx", b"name it backup.sqlite for a backup, or history.csv for a table"),
        ("nowhere/all.csv", b"nowhere/all.csv cannot be written: No such file"),
        ("nowhere/all.sqlite", b"nowhere/all.sqlite cannot be written: No such file"),
    ],
)
def test_a_file_that_cannot_be_written_is_wrong_usage(
    state: Path, tmp_path: Path, name: str, said: bytes
) -> None:
    done = smarty_gateway("history", "export", name, "--state", state, folder=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_damaged_history_is_not_exported(state: Path, tmp_path: Path) -> None:
    path = state / "history.sqlite3"
    path.write_bytes(path.read_bytes()[:8192])
    done = smarty_gateway("history", "export", "backup.sqlite", "--state", state, folder=tmp_path)
    assert done.returncode == 78
    assert b"start the gateway, which saves what can be read" in done.stderr
    assert not (tmp_path / "backup.sqlite").exists()


# forget


def test_forget_leaves_the_history_and_says_how_to_remove_it(state: Path, tmp_path: Path) -> None:
    done = smarty_gateway("forget", "house", "--state", state, folder=tmp_path)
    assert done.returncode == 2
    assert b"only a history is stored of a meter named house; to remove it, add --history" in done.stderr
    assert meters_of(state) == ["house", "barn"]


def test_forget_with_history_removes_it_of_this_meter_only(state: Path, tmp_path: Path) -> None:
    done = smarty_gateway("forget", "house", "--history", "--state", state, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\n5 quarter hours were removed from its history\n")
    assert meters_of(state) == ["barn"]
    again = smarty_gateway("forget", "house", "--history", "--state", state, folder=tmp_path)
    assert again.returncode == 2
    assert b"nothing is stored of a meter named house; known are: 'barn'" in again.stderr


@pytest.mark.parametrize(("owner", "left"), [("my house", []), ("my_house", ["my_house"])])
def test_forget_finds_the_history_of_a_name_with_a_blank_unless_another_meter_has_it(
    owner: str, left: list[str], tmp_path: Path
) -> None:
    write_history(tmp_path, "my_house", [boundary(0)])
    with Store(tmp_path) as store:
        store.write_owners({}, {owner: Holder("a", is_authenticated=True)})
    smarty_gateway("forget", "my house", "--history", "--state", tmp_path)
    with closing(HistoryFile(tmp_path)) as history:
        assert [name for name in ("my_house",) if history.newest(name)] == left


def test_forget_of_a_meter_with_a_name_and_a_history_says_that_the_history_stays(
    state: Path, tmp_path: Path
) -> None:
    with Store(state) as store:
        store.write_owners({}, {"house": Holder("a", is_authenticated=True)})
    done = smarty_gateway("forget", "house", "--state", state, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\nits history stays; to remove it: smarty-gateway forget house --history\n")
    assert meters_of(state) == ["house", "barn"]
