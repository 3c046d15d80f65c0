"""The tables of history.sqlite3, which lies beside gateway.sqlite3 in the state folder.

It is a file of its own, because it is kept for ever: waiting telegrams neither fill nor damage it, and a
copy of it is a backup. docs/history-file.md describes it for its users.

Each row carries a checksum, as SQLite has none: a flipped bit in a register is no false reading but a lost
row. SQLite itself checks those of the large tables, as constraints, so `PRAGMA quick_check` finds them.
Texts count by their CRC-32, which SQLite cannot compute; rows that have some are checked in Python.
"""

import zlib
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Final

from smarty_gateway.history.sample import QUARTER, REGISTERS

FILE_NAME: Final = "history.sqlite3"
VERSION: Final = 1

#: In quarter hours since 1970: from 2005 to 2100, UTC.
_END_MIN: Final = 1104537600 // QUARTER
_END_MAX: Final = 4102444800 // QUARTER
#: Of any register, in its smallest unit; and of any power in W.
_REGISTER_MAX: Final = 10**15
_POWER_MAX: Final = 10**9
#: The largest prime below 2**23, so that SQLite stores a checksum in three bytes.
_MODULUS: Final = 8388593
#: Makes the sum positive whatever the powers are: SQLite and Python divide negative numbers differently.
_BASE: Final = _MODULUS * 10**8

#: The columns of each table without its checksum, the key first.
COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "meters": ("number", "name", "is_simulated"),
    "series": ("meter", "series", "meter_id"),
    "devices": ("number", "meter", "device", "name", "unit"),
    "device_values": ("device", "end", "value", "dated"),
    "peaks": ("meter", "month", "power", "ended"),
    "quarters": (
        "end", "meter", "series", "telegrams", "max_power", "min_power", *REGISTERS, "others",
    ),
}  # fmt: skip
#: How many columns are the key.
KEYS: Final[Mapping[str, int]] = {
    "meters": 1, "series": 2, "devices": 1, "device_values": 2, "peaks": 2, "quarters": 2,
}  # fmt: skip
_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "meters": ("name",), "series": ("meter_id",), "devices": ("device", "name", "unit"),
    "device_values": (), "peaks": (), "quarters": ("others",),
}  # fmt: skip
#: Tables without which all others say nothing. They are small, and stored twice: once more as an index.
NAMES: Final = ("meters", "series", "devices")

Row = tuple[Any, ...]


def checksum(table: str, values: Sequence[int | str | None]) -> int:
    """Return the checksum of a row: a weighted sum, so that SQLite can compute it as well."""
    weighted = (_weight(place) * _number(value) for place, value in enumerate(values))
    return (_base(table) + sum(weighted)) % _MODULUS


def _base(table: str) -> int:
    """Return where the sum of a table begins: a row of one table is none of another."""
    return _BASE + list(COLUMNS).index(table)


def _weight(place: int) -> int:
    return 2 * place + 3


def _number(value: int | str | None) -> int:
    if isinstance(value, str):
        return crc32(value)
    return -1 if value is None else value


def crc32(text: str) -> int:
    """Return the checksum of a text."""
    return zlib.crc32(text.encode())


def is_good(table: str, row: Sequence[object]) -> bool:
    """True for a row, with its checksum, as it was written."""
    *values, found = row or (None,)
    names = COLUMNS[table]
    sound = [
        value
        for name, value in zip(names, values, strict=False)
        if value is None or isinstance(value, str if name in _TEXTS[table] else int)
    ]
    return len(sound) == len(values) == len(names) and found == checksum(table, sound)


def sum_of(table: str) -> str:
    """Return the checksum of a row without text as an expression of SQL."""
    weighted = (
        f"coalesce({name}, -1) * {_weight(place)}"
        for place, name in enumerate(COLUMNS[table])
        if name != "others"
    )
    without_others = _weight(COLUMNS[table].index("others")) if "others" in COLUMNS[table] else 0
    return f"({_base(table) - without_others} + {' + '.join(weighted)}) % {_MODULUS}"


def good_quarter(row: str = "quarters", known: Container[str] = (), absent: Iterable[str] = ()) -> str:
    """Return the condition of SQL for a row of `quarters` that is as it was written.

    The connection needs the function `crc32`.

    Args:
        row: its name in the statement.
        known: columns that are not NULL in a row that is looked for.
        absent: columns that are NULL in it.
    """

    def number(name: str) -> str:
        if name == "others":
            return f"CASE WHEN {row}.others IS NULL THEN -1 ELSE crc32({row}.others) END"
        return f"{row}.{name}" if name in known else f"coalesce({row}.{name}, -1)"

    weights = {name: _weight(place) for place, name in enumerate(COLUMNS["quarters"])}
    base = _base("quarters") - sum(weights.pop(name) for name in absent)
    weighted = (f"{number(name)} * {weight}" for name, weight in weights.items())
    return f"{row}.checksum = ({base} + {' + '.join(weighted)}) % {_MODULUS}"


_REGISTERS: Final = "\n    ".join(
    f"{name} INTEGER CHECK ({name} BETWEEN 0 AND {_REGISTER_MAX})," for name in REGISTERS
)
_END: Final = f"end INTEGER NOT NULL CHECK (end BETWEEN {_END_MIN} AND {_END_MAX})"
_POWER: Final = f"BETWEEN -{_POWER_MAX} AND {_POWER_MAX}"
_SECONDS: Final = f"BETWEEN {_END_MIN * QUARTER} AND {_END_MAX * QUARTER}"
#: A file whose tables differ from these is damaged: a change needs a new `VERSION`, and an upgrade in
#: `history_file`. `end` counts quarter hours since 1970. A row of `device_values` holds until the next one of
#: its device: it is written only where the value or its date has changed. `others` is a JSON object.
TABLES: Final = f"""
CREATE TABLE meters (
    number INTEGER NOT NULL PRIMARY KEY, name TEXT NOT NULL UNIQUE, is_simulated INTEGER NOT NULL,
    checksum INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE series (
    meter INTEGER NOT NULL, series INTEGER NOT NULL, meter_id TEXT NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (meter, series)) WITHOUT ROWID;
CREATE TABLE devices (
    number INTEGER NOT NULL PRIMARY KEY, meter INTEGER NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL,
    unit TEXT NOT NULL, checksum INTEGER NOT NULL, UNIQUE (meter, device)) WITHOUT ROWID;
CREATE TABLE device_values (
    device INTEGER NOT NULL, {_END},
    value INTEGER NOT NULL CHECK (value BETWEEN 0 AND {_REGISTER_MAX}),
    dated INTEGER NOT NULL CHECK (dated {_SECONDS}),
    checksum INTEGER NOT NULL, PRIMARY KEY (device, end),
    CHECK (checksum IS {sum_of("device_values")})) WITHOUT ROWID;
CREATE TABLE peaks (
    meter INTEGER NOT NULL, month INTEGER NOT NULL CHECK (month BETWEEN 200501 AND 210012),
    power INTEGER NOT NULL CHECK (power BETWEEN 0 AND {_POWER_MAX}),
    ended INTEGER NOT NULL CHECK (ended {_SECONDS}),
    checksum INTEGER NOT NULL, PRIMARY KEY (meter, month),
    CHECK (checksum IS {sum_of("peaks")})) WITHOUT ROWID;
CREATE TABLE quarters (
    {_END}, meter INTEGER NOT NULL, series INTEGER NOT NULL,
    telegrams INTEGER NOT NULL CHECK (telegrams BETWEEN 0 AND 1000000),
    max_power INTEGER CHECK (max_power {_POWER}), min_power INTEGER CHECK (min_power {_POWER}),
    {_REGISTERS}
    others TEXT, checksum INTEGER NOT NULL, PRIMARY KEY (end, meter),
    CHECK (others IS NOT NULL OR checksum IS {sum_of("quarters")})) WITHOUT ROWID;
CREATE INDEX meters_again ON meters ({", ".join(COLUMNS["meters"])}, checksum);
CREATE INDEX series_again ON series ({", ".join(COLUMNS["series"])}, checksum);
CREATE INDEX devices_again ON devices ({", ".join(COLUMNS["devices"])}, checksum)
"""
