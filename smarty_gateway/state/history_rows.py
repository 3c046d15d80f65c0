"""The rows of a meter in history.sqlite3, as boundaries. What is read is checked, whoever wrote it."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import Final

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.devices import VALID
from smarty_gateway.history.sample import QUARTER, DeviceValue, MeterPeak
from smarty_gateway.state.history_schema import COLUMNS, KEYS, Row, checksum, is_good

#: Of the JSON object in `others`: all that a meter can send fits, and a row into a page of the file.
OTHERS_MAX: Final = 700
SELECT: Final = {
    table: f"SELECT {', '.join(names)}, checksum FROM {table}"  # noqa: S608 - our own names
    for table, names in COLUMNS.items()
}
PUT: Final = {
    table: f"INSERT OR REPLACE INTO {table} ({', '.join(names)}, checksum) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(names) + 1))})"
    for table, names in COLUMNS.items()
}


def select(connection: sqlite3.Connection, table: str, rest: str = "", *values: object) -> Iterator[Row]:
    """Yield the rows of a table that are as they were written, without their checksums."""
    for row in connection.execute(f"{SELECT[table]} {rest}", values):
        if is_good(table, row):
            yield row[:-1]


def put(connection: sqlite3.Connection, table: str, *values: int | str | None) -> None:
    """Write a row unless it is there already; one that cannot be right is left out."""
    keys = KEYS[table]
    where = " AND ".join(f"{name} = ?" for name in COLUMNS[table][:keys])
    if next(select(connection, table, f"WHERE {where}", *values[:keys]), None) == values:
        return
    with contextlib.suppress(sqlite3.IntegrityError):  # of a CHECK: the row before it stays
        connection.execute(PUT[table], (*values, checksum(table, values)))


def number_of(connection: sqlite3.Connection, meter: str) -> int | None:
    """Return the number of a meter; None if it has no history."""
    return next((row[0] for row in select(connection, "meters", "WHERE name = ?", meter)), None)


def others_of(text: object) -> dict[str, int]:
    """Return the registers in `others`; none of a text that is not ours."""
    if not isinstance(text, str) or len(text) > OTHERS_MAX:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in found.items() if type(value) is int} if type(found) is dict else {}


def boundaries_of(connection: sqlite3.Connection, meter: str) -> Iterator[Boundary]:
    """Yield all boundaries of a meter, in order.

    Each has the devices whose values changed with it, and the last one all peaks.
    """
    rows = MeterRows(connection, number_of(connection, meter))
    changes = groupby(rows.device_values("ORDER BY end"), itemgetter(0))
    end, values = next(changes, (0, iter(())))
    last: Boundary | None = None
    for boundary in rows.boundaries("ORDER BY end"):
        while end and end < boundary.end:
            end, values = next(changes, (0, iter(())))
        if last is not None:
            yield last
        here = tuple(value for _, value in values) if end == boundary.end else ()
        last = replace(boundary, devices=here)
    if last is not None:
        yield replace(last, peaks=tuple(rows.peaks()))


class MeterRows:
    """Reads the rows of one meter.

    Args:
        connection: to the file.
        number: of the meter; None for one without history.
    """

    def __init__(self, connection: sqlite3.Connection, number: int | None) -> None:
        self._connection = connection
        self._number = number

    def boundaries(self, rest: str, *values: object) -> Iterator[Boundary]:
        """Yield boundaries without devices and peaks; `rest` follows the WHERE of the meter."""
        series = {row[1]: row[2] for row in self._select("series")}
        for row in self._select("quarters", rest, *values):
            end, _, number, telegrams, max_power, min_power, *registers, others = row
            if number in series:
                yield Boundary(
                    end * QUARTER, series[number], number, tuple(registers), others_of(others), max_power,
                    min_power, telegrams,
                )  # fmt: skip

    def newest(self) -> Boundary | None:
        """Return the newest boundary; its devices are those whose values are not too old for it."""
        found = next(self.boundaries("ORDER BY end DESC LIMIT 1"), None)
        if found is None:
            return None
        devices = (value for value in self.newest_devices() if found.end - value.dated <= VALID)
        return replace(found, devices=tuple(devices))

    def newest_devices(self) -> list[DeviceValue]:
        """Return the newest value of each device, also of those that are gone."""
        found = []
        for number, *_ in self._select("devices"):
            newest = self.device_values("AND device = ? ORDER BY end DESC LIMIT 1", number)
            found += [value for _, value in newest]
        return found

    def newest_series(self) -> int:
        """Return the highest number of a series; 0 before the first."""
        return max((row[1] for row in self._select("series")), default=0)

    def device_values(self, rest: str, *values: object) -> Iterator[tuple[int, DeviceValue]]:
        """Yield values of devices with the boundary from which on they hold."""
        devices = {number: names for number, _, *names in self._select("devices")}
        where = f"WHERE device IN (SELECT number FROM devices WHERE meter = ?) {rest}"  # noqa: S608 - ours
        for device, end, value, dated in select(
            self._connection, "device_values", where, self._number, *values
        ):
            if device in devices:
                name, column, unit = devices[device]
                yield end * QUARTER, DeviceValue(name, column, unit, value, dated)

    def peaks(self) -> Iterator[MeterPeak]:
        """Yield what the meter says of its months."""
        for _, month, power, ended in self._select("peaks"):
            yield MeterPeak(month, power, ended)

    def _select(self, table: str, rest: str = "", *values: object) -> Iterator[Row]:
        return select(self._connection, table, f"WHERE meter = ? {rest}", self._number, *values)
