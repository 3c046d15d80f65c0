"""A damaged history costs what is damaged, and brings no false row."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import MeterPeak
from smarty_gateway.state.history_file import HistoryFile, copy_history, history_errors, open_history
from smarty_gateway.state.history_pages import PAGE_SIZE
from smarty_gateway.state.history_rows import boundaries_of
from smarty_gateway.state.sqlite_file import StateError
from tests.support.histories import FIRST, boundary, gas

METERS = ("house", "barn")
QUARTERS = 500
#: Of boundaries in a page at most, with some room.
IN_A_PAGE = 100


def whole_history() -> dict[str, list[Boundary]]:
    found = {
        meter: [
            boundary(
                quarter,
                meter.upper(),
                devices=[gas(quarter - quarter % 4, quarter // 4, f"G-{meter}")] if quarter % 4 == 0 else (),
                others={"energy_combined": quarter} if meter == "barn" else None,
            )
            for quarter in range(QUARTERS)
        ]
        for meter in METERS
    }
    peaks = tuple(MeterPeak(202401 + month, 3000 + month, FIRST * 900 + month) for month in range(12))
    found["house"][-1] = replace(found["house"][-1], peaks=peaks)
    return found


WHOLE = whole_history()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the file of the whole history."""
    folder = tmp_path_factory.mktemp("good")
    with closing(HistoryFile(folder)) as history:
        history.write(WHOLE)
    return (folder / "history.sqlite3").read_bytes()


def damaged(folder: Path, data: bytes) -> tuple[int, list[str]]:
    """Open a history made of this, and return how many boundaries are lost, and the notices."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "history.sqlite3").write_bytes(data)
    history = HistoryFile(folder)
    with closing(history):
        return lost_from(history), history.notices


def lost_from(history: HistoryFile) -> int:
    lost = 0
    for meter in METERS:
        written = {found.end: found for found in WHOLE[meter]}
        found = {row.end: row for row in boundaries_of(history.connection, meter)}
        for end, row in found.items():
            expected = written[end]
            assert replace(row, devices=(), peaks=()) == replace(expected, devices=(), peaks=())
            assert set(row.devices) <= set(expected.devices)
            assert set(row.peaks) <= set(WHOLE["house"][-1].peaks)
        lost += len(written) - len(found)
    return lost


def overwritten(data: bytes, at: int, by: bytes) -> bytes:
    return data[:at] + by + data[at + len(by) :]


def test_a_sound_history_is_used_as_it_is(tmp_path: Path, good: bytes) -> None:
    assert damaged(tmp_path / "state", good) == (0, [])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("filling", "step"),
    [(b"\0", 3), pytest.param(b"\0", 1, marks=SLOW), pytest.param(b"\xff", 1, marks=SLOW),
     pytest.param(b"random", 1, marks=SLOW)],
)  # fmt: skip
def test_a_page_that_is_lost_costs_no_more_than_its_rows(
    tmp_path: Path, good: bytes, filling: bytes, step: int
) -> None:
    chosen = random.Random(filling[0])
    for page in range(0, len(good) // PAGE_SIZE, step):
        junk = chosen.randbytes(PAGE_SIZE) if filling == b"random" else filling * PAGE_SIZE
        lost, notices = damaged(tmp_path / "state", overwritten(good, page * PAGE_SIZE, junk))
        assert lost <= IN_A_PAGE
        assert len(notices) == 1
        (saved,) = re.findall(r"(\d+) quarter hours were saved", notices[0])
        assert int(saved) == len(METERS) * QUARTERS - lost


@pytest.mark.parametrize("count", [5, pytest.param(600, marks=SLOW)], ids=["some", "many"])
@pytest.mark.parametrize("size", [1, 30])
def test_flipped_bits_cost_no_more_than_their_pages_and_bring_no_false_row(
    tmp_path: Path, good: bytes, count: int, size: int
) -> None:
    chosen = random.Random(size)
    for _ in range(count):
        # What describes the tables is in the first page.
        at = chosen.choice([chosen.randrange(PAGE_SIZE), chosen.randrange(len(good) - size)])
        junk = bytes(byte ^ 1 << chosen.randrange(8) for byte in good[at : at + size])
        lost, _ = damaged(tmp_path / "state", overwritten(good, at, junk))
        assert lost <= 2 * IN_A_PAGE


def test_a_flipped_bit_in_a_row_is_noticed_wherever_it_is(tmp_path: Path, good: bytes) -> None:
    chosen = random.Random(4)
    at = good.index(b'{"energy_combined":123}')
    for offset in range(-60, 20, 10):
        flipped = bytes([good[at + offset] ^ 1 << chosen.randrange(8)])
        lost, notices = damaged(tmp_path / "state", overwritten(good, at + offset, flipped))
        assert lost in {1, 2}  # one, unless what says how long the row is was hit
        assert len(notices) == 1


@pytest.mark.parametrize("size", [100, PAGE_SIZE, PAGE_SIZE + 1, 50_000, 70_000])
def test_what_is_left_of_a_file_that_was_cut_is_saved(tmp_path: Path, good: bytes, size: int) -> None:
    lost, notices = damaged(tmp_path / "state", good[:size])
    assert lost <= len(METERS) * QUARTERS
    if size > 40_000:
        assert lost <= (len(good) - size) // PAGE_SIZE * IN_A_PAGE
    assert len(notices) == 1


@pytest.mark.parametrize("size", [16, 100, PAGE_SIZE])
def test_a_lost_header_costs_nothing_but_itself(tmp_path: Path, good: bytes, size: int) -> None:
    folder = tmp_path / "state"
    lost, notices = damaged(folder, bytes(size) + good[size:])
    assert lost == 0
    (aside,) = folder.glob("history.sqlite3.damaged-*")
    saved = f"{len(METERS) * QUARTERS} quarter hours were saved from it"
    assert notices == [f"the history file was damaged and is now {aside}; {saved}"]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    with closing(HistoryFile(folder)) as history:
        assert history.notices == []
        assert lost_from(history) == 0


def test_a_flipped_bit_makes_no_newer_layout_of_a_history(tmp_path: Path, good: bytes) -> None:
    layout = slice(60, 64)  # https://www.sqlite.org/fileformat2.html, 1.3
    for bit in range(10, 31):
        number = (int.from_bytes(good[layout]) ^ 1 << bit).to_bytes(4)
        assert damaged(tmp_path / "state", overwritten(good, layout.start, number)) == (0, [])


def test_what_stands_in_the_log_of_a_killed_process_is_saved_too(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\n"
        "from smarty_gateway.state.history_file import HistoryFile\n"
        "from tests.support.histories import boundary\nhistory = HistoryFile(Path(sys.argv[1]))\n"
        "for quarter in range(300):\n    history.write({'house': [boundary(quarter)]})\nos._exit(0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True, env=environment)
    path = tmp_path / "history.sqlite3"
    assert path.with_name("history.sqlite3-wal").stat().st_size > PAGE_SIZE
    path.write_bytes(overwritten(path.read_bytes(), 0, bytes(PAGE_SIZE)))
    with closing(HistoryFile(tmp_path)) as history:
        assert list(boundaries_of(history.connection, "house")) == [boundary(number) for number in range(300)]


BAD_ROWS = {
    "a register of text": "UPDATE quarters SET energy_import = 'text' WHERE end = 1900005 AND meter = 1",
    "a register that is no whole number": "UPDATE quarters SET energy_import = 1.5 WHERE end = 1900005",
    "a negative register": "UPDATE quarters SET energy_import = -1 WHERE end = 1900005 AND meter = 1",
    "an absurd register": "UPDATE quarters SET energy_import = 100000000000000000 WHERE end = 1900005",
    "another register": "UPDATE quarters SET energy_import = energy_import + 1 WHERE end = 1900005",
    "another time": "UPDATE quarters SET end = 1950000 WHERE end = 1900005 AND meter = 1",
    "a time in 1970": "UPDATE quarters SET end = 5 WHERE end = 1900005 AND meter = 1",
    "registers that are no object": "UPDATE quarters SET others = '[[[[' WHERE end = 1900005 AND meter = 2",
    "text that is no UTF-8": "UPDATE quarters SET others = CAST(x'ff' AS TEXT) WHERE end = 1900005",
    "an unknown series": "UPDATE quarters SET series = 7 WHERE end = 1900005 AND meter = 1",
    "an unknown meter": "UPDATE quarters SET meter = 7 WHERE end = 1900005 AND meter = 1",
    "a row without a checksum": "UPDATE quarters SET checksum = 0 WHERE end = 1900005 AND meter = 1",
    "a value of nothing": "INSERT INTO device_values VALUES (99, 1900005, 1, 1710004500, 0)",
    "a name of another": "UPDATE meters SET name = 'shed' WHERE number = 1",
    "a meter_id of another": "UPDATE series SET meter_id = 'X' WHERE meter = 1",
    "a device of another": "UPDATE devices SET unit = 'MJ' WHERE number = 1",
    "a trigger": "CREATE TRIGGER t BEFORE DELETE ON quarters BEGIN SELECT RAISE(FAIL, ''); END",
    "a table that is missing": "DROP TABLE peaks",
    "a layout of another": "PRAGMA user_version=0",
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_what_cannot_be_right_is_dropped_and_said_once(tmp_path: Path, good: bytes, name: str) -> None:
    folder = tmp_path / "changed"
    folder.mkdir()
    path = folder / "history.sqlite3"
    path.write_bytes(good)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute(BAD_ROWS[name])
    lost, notices = damaged(tmp_path / "state", path.read_bytes())
    # A meter whose name is wrong in both places is lost, and so is what cannot be told apart from it.
    assert lost <= (QUARTERS if "of another" in name else 2)
    assert len(notices) == 1


# Who may repair


def test_only_the_owner_of_the_folder_replaces_a_damaged_file(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "history.sqlite3"
    path.write_bytes(bytes(200) + good[200:])
    with pytest.raises(StateError, match="is damaged; start the gateway"):
        HistoryFile(tmp_path, repairs=False)
    assert [file.name for file in tmp_path.glob("*") if "damaged" in file.name] == []
    with pytest.raises(StateError, match="start the gateway, which saves what can be read"):
        open_history(tmp_path)


def test_a_backup_of_a_damaged_history_is_refused(tmp_path: Path, good: bytes) -> None:
    (tmp_path / "history.sqlite3").write_bytes(overwritten(good, 20 * PAGE_SIZE, bytes(PAGE_SIZE)))
    connection = open_history(tmp_path)
    assert connection is not None
    with (
        closing(connection),
        pytest.raises(StateError, match="start the gateway"),
        history_errors(tmp_path / "history.sqlite3"),
    ):
        copy_history(connection, tmp_path / "copy.sqlite")
    assert not (tmp_path / "copy.sqlite").exists()


def test_a_crash_while_a_damaged_file_is_replaced_loses_nothing(
    tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "history.sqlite3").write_bytes(bytes(200) + good[200:])
    rename = Path.rename

    def crash(path: Path, target: Path) -> Path:
        if path.name.endswith(".new"):
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            HistoryFile(tmp_path)
    with closing(HistoryFile(tmp_path)) as history:
        assert lost_from(history) == 0


# Where nothing can be written


@pytest.mark.parametrize("is_damaged", [False, True])
def test_on_a_full_disk_the_history_goes_on_in_memory(
    tmp_path: Path, good: bytes, monkeypatch: pytest.MonkeyPatch, *, is_damaged: bool
) -> None:
    path = tmp_path / "history.sqlite3"
    before = bytes(200 * is_damaged) + good[200 * is_damaged :]
    path.write_bytes(before)
    monkeypatch.setattr(sqlite3, "connect", on_full_disk(sqlite3.connect))
    with closing(HistoryFile(tmp_path)) as history:
        assert not history.is_kept
        assert len(history.notices) == 1
        assert "quarter hours are kept in memory only" in history.notices[0]
        assert lost_from(history) == (len(METERS) * QUARTERS if is_damaged else 0)
        history.write({"house": [boundary(QUARTERS)]})
        newest = history.newest("house")
        assert newest is not None
        assert newest.end == boundary(QUARTERS).end
    assert path.read_bytes()[200:] == before[200:]  # SQLite notes the log in the header
    assert not path.with_name("history.sqlite3.new").exists()


def on_full_disk(connect: Callable[..., sqlite3.Connection]) -> Callable[..., sqlite3.Connection]:
    """Return a `connect` whose databases cannot grow, and no sound one be changed, unless in memory."""

    def limited(path: str, **options: Any) -> sqlite3.Connection:  # noqa: ANN401 - of SQLite
        return connect(path, factory=sqlite3.Connection if path == ":memory:" else _Full, **options)

    return limited


class _Full(sqlite3.Connection):
    def execute(self, statement: str, /, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401 - of SQLite
        if statement.startswith("BEGIN"):
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return super().execute(statement, *values)
