"""Reads history.sqlite3, and sums what it holds.

history/spans.py defines what a row is, from single boundaries. For days, months and years that takes too long
(175,000 boundaries in five years), so SQLite itself looks at the quarter hours of each day: where a whole day
has nothing but complete ones, its growth is the difference of the registers at its ends.

What is in the file is data: a boundary that is not as it was written is not known.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from heapq import nlargest
from itertools import groupby, islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.devices import VALID
from smarty_gateway.history.local_time import begin_of, end_of, local_date, month_of
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, HistoryMeter, Peak, RegisterReading, Row
from smarty_gateway.history.sample import QUARTER, Registers, export_of, import_of
from smarty_gateway.history.spans import (
    SUMMED,
    TARIFF_PLACES,
    DeviceRegister,
    Piece,
    Point,
    device_energies,
    known_piece,
    pieces_of,
    rows_of,
)
from smarty_gateway.safe_text import printable
from smarty_gateway.state.history_schema import crc32, good_quarter, sum_of

#: Quarter hours since 1970, in the year 2198: what is dated later is damaged.
LATEST: Final = 8_000_000
#: Wh: what is higher is damaged. So no sum leaves the 64 bits of SQLite.
HIGHEST: Final = 10**15
NO_REFERENCE: Final = ReferencePower(())
#: The registers that no sum needs, by their names in a reading of the registers.
REACTIVE: Final = {"reactive_import": "reactive_energy_import", "reactive_export": "reactive_energy_export"}
_POINTS: Final = (
    f"SELECT end, series, max_power, {', '.join(SUMMED)} FROM quarters "  # noqa: S608 - our own names
    f"WHERE meter = ? AND end {{}} AND {good_quarter()} ORDER BY end"
)
_BETWEEN: Final = _POINTS.format("BETWEEN ? AND ?")
_AT: Final = _POINTS.format("IN (SELECT value FROM json_each(?))")
_DEVICE_VALUES: Final = (
    "SELECT end * :quarter, value, dated FROM device_values "  # noqa: S608 - our own names
    "WHERE device = :device AND end BETWEEN :begin AND :end AND typeof(end) = 'integer' "
    "AND typeof(value) = 'integer' AND value BETWEEN 0 AND :highest AND typeof(dated) = 'integer' "
    f"AND dated BETWEEN end * :quarter - :age AND end * :quarter AND checksum = {sum_of('device_values')} "
    "ORDER BY end"
)
_DEVICES_AT: Final = (
    "SELECT name, unit, value FROM devices JOIN "  # noqa: S608 - our own names
    f"(SELECT * FROM device_values WHERE checksum = {sum_of('device_values')}) AS at ON at.device = number "
    "WHERE meter = :meter AND at.end = ("
    "SELECT max(end) FROM device_values WHERE device = number AND end <= :time / :quarter) "
    "AND typeof(value) = 'integer' AND dated BETWEEN :time - :age AND :time ORDER BY dated"
)
_FINGERPRINT: Final = (
    "SELECT count(*), sum(checksum), "
    "(SELECT checksum FROM quarters WHERE meter = :meter AND end > :end ORDER BY end LIMIT 1), "
    "(SELECT sum(checksum) FROM peaks WHERE meter = :meter), "
    "(SELECT count(*) + sum(device_values.checksum) FROM devices JOIN device_values "
    "ON device_values.device = number WHERE meter = :meter AND end BETWEEN :earliest AND :end) "
    "FROM quarters WHERE meter = :meter AND end BETWEEN :begin AND :end"
)
_PEAKS: Final = (
    "SELECT month, power, ended FROM peaks "  # noqa: S608 - our own names
    f"WHERE meter = ? AND checksum = {sum_of('peaks')}"
)


class HistoryReader:
    """Reads the history of all meters.

    Args:
        connection: to history.sqlite3.
        zone: of days, months and years.
    """

    def __init__(self, connection: sqlite3.Connection, zone: ZoneInfo) -> None:
        self._connection = connection
        # A damaged text is shown damaged; by default it would raise an error.
        self._connection.text_factory = lambda text: text.decode("utf-8", "replace")
        self._connection.create_function("crc32", 1, _crc32_of, deterministic=True)
        self._zone = zone

    def meters(self) -> list[HistoryMeter]:
        """Return the meters that have a history, by name."""
        found = []
        rows = self._connection.execute("SELECT number, name, is_simulated FROM meters ORDER BY name")
        for number, name, is_simulated in rows.fetchall():
            first = next(self._points(number, 0, LATEST), None)
            last = next(self._points(number, 0, LATEST, "DESC"), None)
            if first is not None and last is not None:
                meter_id = self._meter_id(number, last.series)
                found.append(HistoryMeter(str(name), first.end, last.end, meter_id, bool(is_simulated)))
        return found

    def rows(  # noqa: PLR0913, PLR0917 - what is asked for has this many sides
        self,
        meter: str,
        by: By,
        first: int | None,
        last: int | None,
        now: int,
        reference: ReferencePower | None = None,
    ) -> list[Row]:
        """Return the rows of a meter, by their starts; of spans in which nothing is known there is none.

        Args:
            meter: its name.
            by: how long the spans are.
            first: in seconds; what begins before it does not count. None for all there is.
            last: what ends after it does not count, likewise; a gap belongs to the range in which it begins.
            now: decides which span is still running.
            reference: for the excess.
        """
        number = self._number(meter)
        begin, end = _quarters(first, last)
        pieces = list(self._pieces(number, by, begin, end, reference or NO_REFERENCE))
        final = max(end, pieces[-1].end // QUARTER) if pieces else end
        return rows_of(pieces, by, now, self._zone, self._devices(number, begin, final), end * QUARTER)

    def peaks(self, meter: str, first: int | None, last: int | None, count: int = 1) -> list[Peak]:
        """Return the highest complete quarters of each local month, the highest of a month first.

        Where the meter itself says the peak of a month, that is the only one of the month.
        """
        number = self._number(meter)
        begin, end = _quarters(first, last)
        peaks = (
            Peak(month_of(local_date(start, self._zone)), start, 4 * import_)
            for start, import_ in self.quarters(meter, first, last)
        )
        highest = {
            month: nlargest(count, found, key=lambda peak: peak.power)
            for month, found in groupby(peaks, key=lambda peak: peak.month)
        }
        highest |= self._peaks_of_meter(number, begin * QUARTER, end * QUARTER)
        return [peak for month in sorted(highest) for peak in highest[month]]

    def quarters(self, meter: str, first: int | None, last: int | None) -> list[tuple[int, int]]:
        """Return beginning and import in Wh of the complete quarter hours in a range, in order."""
        number = self._number(meter)
        begin, end = _quarters(first, last)
        days = list(self._days(number, begin, end))
        midnights = self._points_at(number, (day for day, _ in days))
        found: list[tuple[int, int]] = []
        for day, following in days:
            start, stop = max(begin, day // QUARTER), min(end, following // QUARTER)
            before = midnights.get(start * QUARTER)
            known = [] if before is None else self._imports(number, before, start, stop)
            if len(known) < stop - start:
                pieces = pieces_of(self._points(number, start, stop), NO_REFERENCE, self._zone)
                known = [
                    (piece.start, piece.import_)
                    for piece in pieces
                    if piece.quarters and piece.import_ is not None
                ]
            found += known
        return found

    def _imports(self, number: int | None, before: Point, start: int, stop: int) -> list[tuple[int, int]]:
        """Return the quarter hours of a day that have the registers with which it begins."""
        if import_of(before.registers) is None:
            return []
        values = {"meter": number, "begin": start, "end": stop}
        return self._connection.execute(_imports_statement(_sent(before)), values).fetchall()

    def fingerprint(self, meter: str, first: int, last: int) -> tuple[Any, ...]:
        """Return what changes when something is stored, removed or imported that concerns a range."""
        number = self._number(meter)
        values = {
            "meter": number,
            "begin": first // QUARTER,
            "end": last // QUARTER,
            "earliest": (first - VALID) // QUARTER,
        }
        return tuple(self._connection.execute(_FINGERPRINT, values).fetchone())

    def lowest_power(self, meter: str, first: int | None, last: int | None) -> int | None:
        """Return the lowest net power in W that was seen between two times; negative while exporting."""
        begin, end = _quarters(first, last)
        found = self._connection.execute(
            "SELECT min(min_power) FROM quarters "  # noqa: S608 - our own names
            f"WHERE meter = ? AND end > ? AND end <= ? AND {good_quarter()} "
            "AND typeof(min_power) = 'integer'",
            (self._number(meter), begin, end),
        ).fetchone()
        return None if found[0] is None else int(found[0])

    def devices(self, meter: str, first: int, last: int) -> dict[str, DeviceEnergy]:
        """Return what the M-Bus devices have counted in a stretch of time, as far as it is known."""
        number = self._number(meter)
        begin, end = _quarters(first, last)
        known = [next(self._points(number, begin, end, order), None) for order in ("ASC", "DESC")]
        if known[0] is None or known[1] is None:
            return {}
        return device_energies(self._devices(number, begin, end), known[0].end, known[1].end, last - first)

    def registers(self, meter: str, first: int | None, last: int | None) -> list[RegisterReading]:
        """Return the registers at the beginning of each local day, where they are known."""
        number = self._number(meter)
        begin, end = _quarters(first, last)
        found = []
        days = [day for day, _ in self._days(number, begin, end) if begin * QUARTER <= day < end * QUARTER]
        points = self._points_at(number, days)
        for day in days:
            point = points.get(day)
            if point is not None:
                values, devices = self._register_values(number, point), self._device_values(number, day)
                found.append(RegisterReading(day, self._meter_id(number, point.series), values, devices))
        return found

    def _number(self, meter: str) -> int | None:
        row = self._connection.execute("SELECT number FROM meters WHERE name = ?", (meter,)).fetchone()
        return None if row is None else int(row[0])

    def _meter_id(self, number: int | None, series: int) -> str:
        found = self._connection.execute(
            "SELECT meter_id FROM series WHERE meter = ? AND series = ?", (number, series)
        ).fetchone()
        return str(found[0]) if found else ""

    def _points(self, number: int | None, begin: int, end: int, order: str = "ASC") -> Iterator[Point]:
        rows = self._connection.execute(f"{_BETWEEN} {order}", (number, begin, end))
        return (point for row in rows if (point := _point_of(row)) is not None)

    def _points_at(self, number: int | None, times: Iterable[int]) -> dict[int, Point]:
        rows = self._connection.execute(_AT, (number, json.dumps([time // QUARTER for time in times])))
        return {point.end: point for row in rows if (point := _point_of(row)) is not None}

    def _days(self, number: int | None, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the beginning and end of each local day from the first boundary to the newest."""
        first = next(self._points(number, begin, end), None)
        newest = next(self._points(number, begin, end, "DESC"), None)
        if first is None or newest is None:
            return
        day = begin_of(By.DAY, first.end, self._zone)
        while day <= newest.end:
            following = end_of(By.DAY, day, self._zone)
            yield day, following
            day = following

    def _pieces(
        self, number: int | None, by: By, begin: int, end: int, reference: ReferencePower
    ) -> Iterator[Piece]:
        newest: Point | None = None
        days = list(self._days(number, begin, end))
        is_by_day = by not in {By.QUARTER, By.HOUR}
        midnights = self._points_at(number, (day for _, day in days)) if is_by_day else {}
        for day, following in days:
            after = midnights.get(following) if following <= end * QUARTER else None
            if after is not None and newest is not None and newest.end == day:
                power = reference.on(local_date(day, self._zone))
                piece = self._whole_day(number, newest, after, power)
                if piece is not None:
                    yield piece
                    newest = after
                    continue
            start = begin if newest is None else newest.end // QUARTER + 1
            points = list(self._points(number, start, min(end, following // QUARTER)))
            yield from pieces_of([newest, *points] if newest else points, reference, self._zone)
            newest = points[-1] if points else newest
        if newest is not None and newest.end < end * QUARTER:
            gap = [newest, *islice(self._points(number, end + 1, LATEST), 1)]
            yield from pieces_of(gap, reference, self._zone)

    def _whole_day(self, number: int | None, before: Point, after: Point, power: int | None) -> Piece | None:
        """Return the sum of a day from its ends; None if not all of its quarter hours are complete."""
        count, max_power, excess = self._connection.execute(
            _statement(_sent(before)),
            {
                "meter": number,
                "begin": before.end // QUARTER,
                "end": after.end // QUARTER,
                "power": power,
            },
        ).fetchone()
        quarters = (after.end - before.end) // QUARTER
        return known_piece(before, after, quarters, max_power, excess) if count == quarters else None

    def _devices(self, number: int | None, begin: int, end: int) -> list[DeviceRegister]:
        earliest = begin - VALID // QUARTER
        devices = self._connection.execute(
            "SELECT number, name, unit FROM devices WHERE meter = ? ORDER BY number", (number,)
        )
        found = []
        for device, column, unit in devices.fetchall():
            span = {"device": device, "begin": earliest, "end": end}
            limits = {"quarter": QUARTER, "highest": HIGHEST, "age": VALID}
            values = self._connection.execute(_DEVICE_VALUES, span | limits).fetchall()
            if values:
                found.append(DeviceRegister.from_values(printable(column), printable(unit), values))
        return found

    def _device_values(self, number: int | None, time: int) -> dict[str, DeviceEnergy]:
        values = {"meter": number, "time": time, "quarter": QUARTER, "age": VALID}
        rows = self._connection.execute(_DEVICES_AT, values)
        return {printable(column): DeviceEnergy(value, printable(unit)) for column, unit, value in rows}

    def _register_values(self, number: int | None, point: Point) -> dict[str, int]:
        row = self._connection.execute(
            f"SELECT {', '.join(REACTIVE.values())}, others FROM quarters "  # noqa: S608 - our own names
            "WHERE meter = ? AND end = ?",
            (number, point.end // QUARTER),
        ).fetchone()
        *reactive, others = row or (None, None, None)  # the gateway may remove it meanwhile
        named = {
            "import": import_of(point.registers),
            "export": export_of(point.registers),
            **{name: point.registers[place] for name, place in TARIFF_PLACES.items()},
            **dict(zip(REACTIVE, reactive, strict=True)),
            **_object_of(others),
        }
        return {name: value for name, value in named.items() if type(value) is int}

    def _peaks_of_meter(self, number: int | None, first: int, last: int) -> dict[int, list[Peak]]:
        rows = self._connection.execute(_PEAKS, (number,))
        return {
            month: [Peak(month, ended - QUARTER, power, is_of_meter=True)]
            for month, power, ended in rows
            if {type(month), type(power), type(ended)} == {int}
            and 1 <= month % 100 <= 12
            and first < ended <= last
        }


def _quarters(first: int | None, last: int | None) -> tuple[int, int]:
    """Return the first and last quarter hour that are inside a range of seconds."""
    begin = 0 if first is None else -(-first // QUARTER)
    return max(begin, 0), LATEST if last is None else min(last // QUARTER, LATEST)


def _point_of(row: tuple[Any, ...]) -> Point | None:
    end, series, max_power, *registers = row
    are_numbers = {type(value) for value in row} <= {int, type(None)} and series is not None
    known: Registers = tuple(registers)
    if not are_numbers or not all(0 <= value <= HIGHEST for value in known if value is not None):
        return None
    if import_of(known) is None and export_of(known) is None:
        return None
    return Point(end * QUARTER, series, max_power, known)


def _sent(point: Point) -> tuple[str, ...]:
    return tuple(name for name, value in zip(SUMMED, point.registers, strict=True) if value is not None)


@cache
def _statement(sent: tuple[str, ...]) -> str:
    """Return the statement that sums complete quarter hours of a series that has these registers."""
    excess = f"sum(max(0, 4 * ({_growth(sent)}) - :power))"
    return f"SELECT count(*), max(after.max_power), {excess} {_complete(sent)}"


@cache
def _imports_statement(sent: tuple[str, ...]) -> str:
    """Return the statement that selects complete quarter hours of such a series."""
    columns = f"before.end * {QUARTER}, {_growth(sent)}"
    return f"SELECT {columns} {_complete(sent)} ORDER BY before.end"


def _growth(sent: Sequence[str]) -> str:
    imports = ["energy_import"] if "energy_import" in sent else [name for name in sent if "import" in name]
    return " + ".join(f"after.{name} - before.{name}" for name in imports) or "0"


def _complete(sent: Sequence[str]) -> str:
    """Return what selects quarter hours whose boundaries are good, and between which each register rises."""
    rising = [f"after.{name} >= before.{name}" for name in sent]
    known = {"end", "meter", "series", "telegrams", *sent}
    conditions = " AND ".join([*rising, good_quarter("after", known, set(SUMMED).difference(sent))])
    return (
        "FROM quarters AS before CROSS JOIN quarters AS after "
        "ON after.end = before.end + 1 AND after.meter = before.meter AND after.series = before.series "
        f"WHERE before.meter = :meter AND before.end >= :begin AND before.end < :end AND {conditions}"
    )


def _crc32_of(others: object) -> int | None:
    return crc32(others) if isinstance(others, str) else None


def _object_of(others: object) -> dict[str, Any]:
    try:
        found = json.loads(others) if isinstance(others, str) else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
