"""Writes what became known of a meter into history.sqlite3, in the transaction of the caller.

Few pages change with a quarter hour, because an SD card wears out: a row that is there already is not written
again, and the value of a device only where it has changed.
"""

import json
import re
import sqlite3
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import Final

from smarty_gateway.history.boundary import Boundary, Change, SetBack
from smarty_gateway.history.quarters import layout_of
from smarty_gateway.history.sample import QUARTER, DeviceValue
from smarty_gateway.state.history_rows import OTHERS_MAX, MeterRows, number_of, put, select

#: Characters of an id of a device: a row must fit into a page of the file.
_ID_MAX: Final = 400
#: Devices of a meter: at a time, and new ones in a year.
_DEVICES_MAX: Final = 8
_NEW_DEVICES_MAX: Final = 20
#: In quarter hours.
_YEAR: Final = 365 * 96
#: How long a device must be absent before another takes its column, in quarter hours.
_ABSENT: Final = 4
#: Of a column: what comes before the number that a second device of a kind has.
_KIND: Final = re.compile(r"(device_\d+|.*?)(?:_\d+)?")
_BY_END: Final = "AND end {} ? ORDER BY end {} LIMIT 1"


@dataclass(slots=True)
class Filled:
    """What became of imported boundaries.

    Attributes:
        added: were missing.
        present: were there already, and stay.
        left_out: contradict what is stored around them.
    """

    added: int = 0
    present: int = 0
    left_out: int = 0


class MeterWriter:
    """Writes the rows of one meter.

    Attributes:
        ignored: ids of devices that were too many.
    """

    def __init__(self, connection: sqlite3.Connection, meter: str) -> None:
        self.ignored: set[str] = set()
        self._connection = connection
        self._number = self._meter_number(meter)
        self._rows = MeterRows(connection, self._number)
        self._devices: dict[str, int] = {}  # the numbers of those that came before
        self._imported = (0, 0)  # the newest boundary of an import that is stored, and its series there
        self._is_first = False  # nothing older was stored before this import

    def _meter_number(self, meter: str) -> int:
        number = number_of(self._connection, meter)
        if number is None:
            number = self._next("meters")
            put(self._connection, "meters", number, meter, 0)
        return number

    def _next(self, table: str) -> int:
        query = f"SELECT coalesce(max(number), 0) + 1 FROM {table}"  # noqa: S608 - our own names
        return int(self._connection.execute(query).fetchone()[0])

    def mark_simulated(self) -> None:
        """Note that nobody has measured this meter."""
        for number, name, _ in select(self._connection, "meters", "WHERE number = ?", self._number):
            put(self._connection, "meters", number, name, 1)

    def write(self, change: Change) -> None:
        """Write a boundary over an earlier one of the same end, or remove what is dated after a time."""
        if isinstance(change, SetBack):
            self._set_back(change.after)
            return
        self._put_quarter(change)
        for number, value in self._numbered(change):
            self._put_value(number, change.end, value)
        for peak in change.peaks:
            put(self._connection, "peaks", self._number, peak.month, peak.power, peak.ended)

    def _set_back(self, after: int) -> None:
        mine = "device IN (SELECT number FROM devices WHERE meter = ?)"
        for table, where, least in (
            ("quarters", "meter = ? AND end > ?", after // QUARTER),
            ("device_values", f"{mine} AND end > ?", after // QUARTER),
            ("peaks", "meter = ? AND ended > ?", after),
        ):
            self._connection.execute(f"DELETE FROM {table} WHERE {where}", (self._number, least))  # noqa: S608

    def _put_quarter(self, boundary: Boundary) -> None:
        others = json.dumps(boundary.others, separators=(",", ":")) if boundary.others else None
        if others is not None and len(others) > OTHERS_MAX:
            others = None
        put(self._connection, "series", self._number, boundary.series, boundary.meter_id)
        put(
            self._connection, "quarters", boundary.end // QUARTER, self._number, boundary.series,
            boundary.telegrams, boundary.max_power, boundary.min_power, *boundary.registers, others,
        )  # fmt: skip

    # The devices

    def _numbered(self, boundary: Boundary) -> Iterator[tuple[int, DeviceValue]]:
        """Yield the devices of a boundary with their numbers."""
        for value in boundary.devices[:_DEVICES_MAX]:
            number = self._devices.get(value.device) or self._device_number(value, boundary)
            if number is None:
                self.ignored.add(value.device)
            else:
                self._devices[value.device] = number
                yield number, value
        self.ignored.update(value.device for value in boundary.devices[_DEVICES_MAX:])

    def _device_number(self, value: DeviceValue, boundary: Boundary) -> int | None:
        """Return the number of a device; None for one too many."""
        known = list(select(self._connection, "devices", "WHERE meter = ?", self._number))
        found = next((number for number, _, device, *_ in known if device == value.device), None)
        if found is not None:
            return int(found)
        end = boundary.end // QUARTER
        spans = {number: self._span(number, end) for number, *_ in known}
        new = [first for first, _ in spans.values() if first is not None and abs(first - end) < _YEAR]
        if len(new) >= _NEW_DEVICES_MAX or len(value.device) > _ID_MAX:
            return None
        here = {device.device for device in boundary.devices}
        held = {
            name
            for number, _, device, name, _ in known
            if device in here or (spans[number][1] or 0) > end - _ABSENT
        }
        number = self._next("devices")
        name = _free_column(value.column, held)
        put(self._connection, "devices", number, self._number, value.device, name, value.unit)
        return number

    def _span(self, device: int, end: int) -> tuple[int | None, int | None]:
        """Return the first boundary of a device, and its newest up to another one."""
        (found,) = self._connection.execute(
            "SELECT min(end), max(end) FILTER (WHERE end <= ?) FROM device_values WHERE device = ?",
            (end, device),
        )
        return found[0], found[1]

    def _put_value(self, device: int, end: int, value: DeviceValue) -> None:
        before = self._value(device, "<=", end)
        if before is None or before[2:] != (value.value, value.dated):
            put(self._connection, "device_values", device, end // QUARTER, value.value, value.dated)

    def _value(self, device: int, side: str, end: int) -> tuple[int, ...] | None:
        rest = "WHERE device = ? " + _BY_END.format(side, "DESC" if "<" in side else "ASC")
        return next(select(self._connection, "device_values", rest, device, end // QUARTER), None)

    # Imports

    def fill(self, boundaries: Iterable[Boundary], filled: Filled) -> None:
        """Add the boundaries that are missing, and count all."""
        batch = sorted(boundaries, key=_end_of)
        stored = self._around(batch[0].end // QUARTER, batch[-1].end // QUARTER)
        for boundary in batch:
            place = bisect_left(stored, boundary.end, key=_end_of)
            before = stored[place - 1] if place else None
            after = stored[place] if place < len(stored) else None
            is_first = before is None or (self._is_first and self._is_imported(before))
            if after is not None and after.end == boundary.end:
                filled.present += 1
                is_first = False
            else:
                series = self._series_of(boundary, before, after)
                is_open = (is_first or after is None) and not _are_of_one_series(before, after)
                if series is None and is_open:
                    # No other series has this number: those of a running gateway count on from the highest
                    # one, and each begins at a later boundary.
                    series = boundary.end // QUARTER
                if series is None:
                    filled.left_out += 1
                    continue
                filled.added += 1
                added = replace(boundary, series=series)
                stored.insert(place, added)
                self._add(added, after)
            self._imported, self._is_first = (boundary.end, boundary.series), is_first

    def _around(self, first: int, last: int) -> list[Boundary]:
        """Return what is stored from the boundary before a time to the boundary after another."""
        return [
            *self._rows.boundaries("AND end < ? ORDER BY end DESC LIMIT 1", first),
            *self._rows.boundaries("AND end BETWEEN ? AND ? ORDER BY end", first, last),
            *self._rows.boundaries("AND end > ? ORDER BY end LIMIT 1", last),
        ]

    def _series_of(self, boundary: Boundary, before: Boundary | None, after: Boundary | None) -> int | None:
        """Return the stored series that a boundary belongs to; None if it fits no neighbour."""
        # Where the recording begins a series, the registers may fit all the same.
        begins = before is not None and self._is_imported(before) and self._imported[1] != boundary.series
        fitting = []
        if before is not None and not begins and _can_follow(before, boundary):
            fitting.append(before.series)
        if after is not None and _can_follow(boundary, after):
            fitting.append(after.series)
        return fitting[0] if len(fitting) > _are_of_one_series(before, after) else None

    def _is_imported(self, before: Boundary) -> bool:
        return self._imported[0] == before.end

    def _add(self, boundary: Boundary, after: Boundary | None) -> None:
        self._put_quarter(boundary)
        for number, value in self._numbered(boundary):
            if self._may_add(number, value, boundary, after):
                self._put_value(number, boundary.end, value)
        for peak in boundary.peaks:
            if all(stored.month != peak.month for stored in self._rows.peaks()):
                put(self._connection, "peaks", self._number, peak.month, peak.power, peak.ended)

    def _may_add(self, device: int, value: DeviceValue, boundary: Boundary, after: Boundary | None) -> bool:
        """True if a value lies between those that are stored, and changes none of a later boundary."""
        before, later = (self._value(device, side, boundary.end) for side in ("<=", ">"))
        if before is not None and (before[2] > value.value or before[3] > value.dated):
            return False
        if later is not None and (later[2] < value.value or later[3] < value.dated):
            return False
        holds_until = None if later is None else later[1] * QUARTER
        return before is None or after is None or (holds_until is not None and holds_until <= after.end)


def _end_of(boundary: Boundary) -> int:
    return boundary.end


def _are_of_one_series(before: Boundary | None, after: Boundary | None) -> bool:
    return before is not None and after is not None and before.series == after.series


def _can_follow(before: Boundary, after: Boundary) -> bool:
    """True if the registers of one boundary may have grown to those of a later one."""
    return (
        before.meter_id == after.meter_id
        and layout_of(before.registers) == layout_of(after.registers)
        and all(
            first is None or last is None or first <= last
            for first, last in zip(before.registers, after.registers, strict=True)
        )
    )


def _free_column(column: str, held: Container[str]) -> str:
    """Return the column of a new device: its own, else the next one of its kind that nobody holds."""
    kind = _KIND.fullmatch(column)
    others = (f"{kind[1] if kind else column}_{number}" for number in count(2))
    return next(name for name in chain([column], others) if name not in held)
