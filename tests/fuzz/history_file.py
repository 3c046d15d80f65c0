"""The history file: what damage or another program leaves of it is read as it was written, or not at all."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import replace
from typing import Final

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import MeterPeak
from smarty_gateway.state.history_file import HistoryFile, open_history
from smarty_gateway.state.history_rows import boundaries_of
from smarty_gateway.state.history_schema import COLUMNS, FILE_NAME, VERSION
from smarty_gateway.state.sqlite_file import StateError
from tests.fuzz.folder import FOLDER
from tests.fuzz.picker import Picker
from tests.support.histories import FIRST, boundary, gas

_FOLDER: Final = FOLDER / "history"
_METERS: Final = ("house", "barn")
_WHOLE: Final = [
    replace(
        boundary(quarter, devices=[gas(quarter, quarter)], others={"energy_combined": quarter}),
        peaks=(MeterPeak(202401, 3000, FIRST * 900),) if quarter == 0 else (),
    )
    for quarter in range(60)
]
_VALUES: Final = (
    "NULL", "-1", "0", "1", "1900005", "4294967296", "9223372036854775807", "-9223372036854775808", "1.5",
    "1e400", "'house'", "''", "x'ff'", "CAST(x'ff' AS TEXT)", "'[[[['", "'{\"a\":1e999}'", "char(10)",
    "zeroblob(9000)", "replace(hex(zeroblob(2000)), '00', '[[')",
)  # fmt: skip
_STATEMENTS: Final = (
    "DROP TABLE {table}", "ALTER TABLE {table} RENAME TO old", "CREATE TABLE other (a)",
    "PRAGMA user_version={number}", "ALTER TABLE {table} ADD COLUMN more", "DELETE FROM {table}",
    "CREATE TRIGGER t BEFORE DELETE ON {table} BEGIN SELECT RAISE(FAIL, ''); END",
    "CREATE VIEW v AS SELECT 1", "PRAGMA journal_mode=DELETE", "DROP INDEX meters_again", "VACUUM",
)  # fmt: skip


def check_one(data: bytes) -> None:
    """Raise an exception if a history made of this is not dealt with as it should be."""
    picker = Picker(data)
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir()
    path = _FOLDER / FILE_NAME
    kind = picker.number(0, 3)
    file = bytearray(_GOOD)
    for _ in range(picker.number(1, 8) if kind == 0 else 0):
        at = picker.choice((picker.number(0, 199), picker.number(0, len(file) - 1)))
        file[at] ^= 1 << picker.number(0, 7)
    if kind == 1:
        file = bytearray(_GOOD[: picker.number(0, len(_GOOD))] + picker.take(picker.number(0, 20)))
        path.with_name(f"{path.name}-wal").write_bytes(picker.take(100))
    path.write_bytes(file)
    if kind > 1:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints=ON")
            for _ in range(picker.number(1, 5)):
                with suppress(sqlite3.Error):
                    connection.execute(_statement(picker))
    _use_all()


def _statement(picker: Picker) -> str:
    table = picker.choice(list(COLUMNS))
    if picker.one_in(3):
        return picker.choice(_STATEMENTS).format(
            table=table, number=picker.choice((0, VERSION, VERSION + 1, -1))
        )
    columns = (*COLUMNS[table], "checksum")
    if picker.one_in(2):
        name = picker.choice(columns)
        return f"UPDATE {table} SET {name} = {picker.choice(_VALUES)}"  # noqa: S608 - wrong on purpose
    values = ", ".join(picker.choice(_VALUES) for _ in columns)
    return f"INSERT OR REPLACE INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - likewise


# What is asked of the history, and what it promises. It is all in the functions from here on.


def _good_file() -> bytes:
    folder = FOLDER / "good-history"
    with closing(HistoryFile(folder)) as history:
        history.write(dict.fromkeys(_METERS, _WHOLE))
    return (folder / FILE_NAME).read_bytes()


def _use_all() -> None:
    _read_only()
    try:
        history = HistoryFile(_FOLDER)
    except StateError as error:
        assert str(error).isprintable(), "an error is more than one line"
        return
    with closing(history):
        for meter in _METERS:
            _check_rows(boundaries_of(history.connection, meter), history.newest_series(meter))
            newest = history.newest(meter)
            assert newest is None or newest.end in {found.end for found in _WHOLE}
            history.write({meter: [boundary(100, devices=history.newest_devices(meter))]})
            history.fill(meter, _WHOLE)
            rows = list(boundaries_of(history.connection, meter))
            assert {found.end for found in rows} >= {found.end for found in _WHOLE}, "a row is not filled"
            forgotten = history.forget(meter)
            assert forgotten == len(rows), f"{forgotten} of {len(rows)} rows were forgotten"


def _read_only() -> None:
    """Read as commands do, which repair nothing."""
    with suppress(StateError, sqlite3.Error):
        connection = open_history(_FOLDER)
        if connection is not None:
            with closing(connection):
                for meter in _METERS:
                    _check_rows(boundaries_of(connection, meter), 1)


def _check_rows(rows: Iterable[Boundary], series: int) -> None:
    assert series in {0, 1}
    written = {found.end: found for found in _WHOLE}
    for row in rows:
        expected = written[row.end]
        assert replace(row, devices=(), peaks=()) == replace(expected, devices=(), peaks=()), "a false row"
        assert set(row.devices) <= set(expected.devices), "a false value"
        assert set(row.peaks) <= set(_WHOLE[0].peaks), "a false peak"


_GOOD: Final = _good_file()
