"""What the tables of the history say, apart from how they fit a terminal (see `history_table`)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.costs import PricedRow
from smarty_gateway.history.levels import PricedLevel
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, HistoryMeter, LevelCost, Peak, RegisterReading, Row
from smarty_gateway.outputs.history_records import mean_power, month_name

_SHORT: Final = (By.QUARTER, By.HOUR)
_LABELS: Final = {
    By.QUARTER: "%H:%M",
    By.HOUR: "%H:%M",
    By.DAY: "%Y-%m-%d",
    By.MONTH: "%Y-%m",
    By.YEAR: "%Y",
}
_KWH, _KW = "kWh", "kW"
_SPREAD_UNKNOWN: Final = "the total is known, but not how it is spread"
_COVERED: Final = "share of the quarter hours that are known"
_UNKNOWN: Final = "unknown, a new meter or a register that began anew"


@dataclass(frozen=True, slots=True)
class Shown:
    """Which spans a table shows.

    Attributes:
        title: names the stretch.
        by: how long they are.
        zone: of their times.
        now: tells which one is still running, in UTC seconds.
        reference: over which there is excess.
    """

    title: str
    by: By
    zone: ZoneInfo
    now: int
    reference: ReferencePower | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column; those on the left stay longest where a terminal is narrow.

    Attributes:
        meaning: stands below the table.
    """

    name: str
    unit: str = ""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a bar shows, in any unit: import, the part of it that is excess, and export."""

    import_: float = 0.0
    excess: float = 0.0
    export: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table.

    Attributes:
        label: stands on the left.
        cells: one for each column; empty where not known.
        note: goes below it.
        bar: None where a length would say nothing.
        is_heading: the label names what follows.
    """

    label: str
    cells: Sequence[str] = ()
    note: str = ""
    bar: Bar | None = None
    is_heading: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table with its heading."""

    title: str
    label: Column
    columns: Sequence[Column]
    lines: Sequence[Line]
    is_simulated: bool = False
    notes: Sequence[str] = ()


def sheet_of_rows(meter: HistoryMeter, rows: Sequence[Row], shown: Shown) -> Sheet:
    """Return the table of spans."""
    by, zone = shown.by, shown.zone
    tariffs = dict.fromkeys(name for row in rows for name in row.tariffs)
    devices = _units(row.devices for row in rows)
    columns = [
        Column("import", _KWH),
        Column("export", _KWH),
        Column("excess", _KWH, _excess(rows, shown)),
        Column("covered", "%", _COVERED),
        Column("mean", _KW, "mean power of the import"),
        Column("max", _KW, "highest power seen, negative while exporting"),
        *(Column(name.replace("_", " "), _KWH) for name in tariffs),
        *(Column(name, unit) for name, unit in devices.items()),
    ]

    def line(row: Row) -> Line:
        cells = (
            _thousandth(row.import_),
            _thousandth(row.export),
            _thousandth(row.excess),
            _percent(row.covered) if row.covered and row.covered < 1 else "",
            _thousandth(mean_power(row)),
            _thousandth(row.max_power),
            *(_thousandth(row.tariffs.get(name)) for name in tariffs),
            *_device_cells(row.devices, devices),
        )
        is_spread = row.complete or row.covered
        bar = Bar(row.import_ or 0, row.excess or 0, row.export or 0) if is_spread else None
        return Line(_label(row.start, by, zone), cells, _note(row, zone, shown.now), bar)

    lines: list[Line] = []
    for day, members in groupby(rows, key=lambda row: _local(row.start, zone).date()):
        lines += [Line(f"{day:%a %Y-%m-%d}", is_heading=True)] if by in _SHORT else []
        lines += map(line, members)
    if len(rows) > 1:
        sums = (_sum(row.import_ for row in rows), _sum(row.export for row in rows))
        total = (*sums, _sum(row.excess for row in rows))
        lines.append(Line("total", [*map(_thousandth, total), *[""] * (len(columns) - len(total))]))
    label = Column("from" if by in _SHORT else by)
    return Sheet(_title(meter, shown.title), label, columns, lines, meter.is_simulated)


def _excess(rows: Sequence[Row], shown: Shown) -> str:
    """Return over which power there is excess: several where it has changed."""
    reference = shown.reference or ReferencePower(())
    powers = [reference.on(_local(row.start, shown.zone).date()) for row in rows]
    names = [f"{power / 1000:g} kW" for power in dict.fromkeys(powers) if power is not None]
    bound = ", or more where some are not known" if any((row.covered or 0) < 1 for row in rows) else ""
    return f"what quarter hours took over {', then '.join(names)}{bound}"


def sheet_of_costs(
    meter: HistoryMeter, priced: Sequence[PricedRow], shown: Shown, notes: Sequence[str]
) -> Sheet:
    """Return the table of what spans cost; the notes say what money says nothing without."""
    names = dict.fromkeys(name for one in priced for name in one.costs)
    ordered = sorted(names, key=lambda name: (name.startswith("band_"), not _is_total(name)))
    currency = priced[0].tariff.currency
    columns = [
        Column(name.replace("_", " "), _KWH if name.startswith("band_") else currency) for name in ordered
    ]
    # Behind the totals: a narrow terminal must not show only one of two possible totals.
    place = sum(map(_is_total, ordered))
    columns.insert(place, Column("import", _KWH))

    def cells(some: Sequence[PricedRow]) -> list[str]:
        found = [_amount(some, name) for name in ordered]
        found.insert(place, _thousandth(_sum(one.row.import_ for one in some)))
        return found

    lines = [
        Line(
            _label(one.row.start, shown.by, shown.zone),
            cells([one]),
            _note(one.row, shown.zone, shown.now),
        )
        for one in priced
    ]
    if len(priced) > 1:
        lines.append(Line("total", cells(priced)))
    bound = ["≥: not all quarter hours and prices are known, so it costs at least this"]
    is_bound = any(one.costs for one in priced) and not all(one.is_whole for one in priced)
    nothing = ["no costs are known: the tariff has no price that applies here"]
    title = _title(meter, f"{shown.title}, costs")
    all_notes = [*(() if names else nothing), *(bound if is_bound else ()), *notes]
    return Sheet(title, Column(shown.by), columns, lines, meter.is_simulated, all_notes)


def _is_total(name: str) -> bool:
    return name in {"cost", "cost_added", "cost_instead"}


def _amount(priced: Sequence[PricedRow], name: str) -> str:
    """Return the sum of amounts with a mark where it is a lower bound."""
    amounts = [one.costs[name] for one in priced if name in one.costs]
    if not amounts:
        return ""
    digits = 3 if name.startswith("band_") else 2
    return f"{'' if all(one.is_whole for one in priced) else '≥ '}{sum(amounts):.{digits}f}"


def sheet_of_peaks(
    meter: HistoryMeter, peaks: Sequence[Peak], zone: ZoneInfo, notes: Sequence[str] = ()
) -> Sheet:
    """Return the table of high quarter hours."""
    lines = [
        Line(
            month_name(peak.month),
            (
                _thousandth(peak.power),
                _time(peak.start, zone),
                "meter" if peak.is_of_meter else "",
            ),
            bar=Bar(peak.power),
        )
        for peak in peaks
    ]
    columns = (
        Column("mean", _KW),
        Column("quarter from"),
        Column("by", meaning="meter, where it has stored the peak itself"),
    )
    title = _title(meter, "highest quarter hours")
    return Sheet(title, Column("month"), columns, lines, meter.is_simulated, notes)


def sheet_of_levels(
    meter: HistoryMeter, compared: Sequence[PricedLevel], notes: Sequence[str], own: int | None = None
) -> Sheet:
    """Return the table of levels.

    Args:
        meter: whose history it is.
        compared: the levels.
        notes: what money says nothing without.
        own: the reference power in W.
    """
    shown = without_needless([priced.cost for priced in compared], own)
    readings = dict.fromkeys(reading for priced in compared for reading in priced.cost.costs)
    columns = [
        Column("excess", _KWH, "what quarter hours took over the level"),
        *(Column(reading.replace("_", " "), compared[0].tariff.currency) for reading in readings),
        Column("covered", "%", _COVERED),
    ]
    lines = [
        Line(
            f"{cost.kilowatts:g} kW",
            (
                _thousandth(cost.excess),
                *(f"{cost.costs[reading]:.2f}" if reading in cost.costs else "" for reading in readings),
                _percent(cost.covered) if cost.covered < 1 else "",
            ),
            ", ".join(_of_level(cost, own)),
        )
        for cost in shown
    ]
    highest = ["higher levels have no excess either, and do not cost less"]
    all_notes = [*(highest if len(shown) < len(compared) else ()), *notes]
    title = _title(meter, "levels over the last 12 months")
    return Sheet(title, Column("level"), columns, lines, meter.is_simulated, all_notes)


def without_needless(costs: Sequence[LevelCost], own: int | None) -> Sequence[LevelCost]:
    """Return the levels without needless high ones, below which another has no excess and costs no more."""
    shown = list(costs)
    while len(shown) > 1:
        lower, level = shown[-2:]
        is_cheaper = any(cost < lower.costs.get(reading, 0) for reading, cost in level.costs.items())
        if lower.excess or is_cheaper or level.kilowatts * 1000 == own:
            break
        shown.pop()
    return shown


def _of_level(cost: LevelCost, own: int | None) -> Iterator[str]:
    if own is not None and cost.kilowatts * 1000 == own:
        yield "your reference power"
    if cost.is_cheapest:
        yield "the cheapest"


def sheet_of_registers(meter: HistoryMeter, readings: Sequence[RegisterReading], zone: ZoneInfo) -> Sheet:
    """Return the table of registers."""
    names = dict.fromkeys(name for reading in readings for name in reading.values)
    devices = _units(reading.devices for reading in readings)
    columns = [
        *(Column(name.replace("_", " "), "kvarh" if "reactive" in name else _KWH) for name in names),
        *(Column(name, unit) for name, unit in devices.items()),
    ]
    lines: list[Line] = []
    for meter_id, members in groupby(readings, key=lambda reading: reading.meter_id):
        lines.append(Line(f"meter {meter_id}", is_heading=True))
        lines += [
            Line(
                _time(reading.at, zone),
                (
                    *(_thousandth(reading.values.get(name)) for name in names),
                    *_device_cells(reading.devices, devices),
                ),
            )
            for reading in members
        ]
    return Sheet(_title(meter, "registers"), Column("at"), columns, lines, meter.is_simulated)


def _title(meter: HistoryMeter, text: str) -> str:
    return f"{meter.name}, {text}"


def _label(second: int, by: By, zone: ZoneInfo) -> str:
    """Return the label of a span."""
    local = _local(second, zone)
    return f"{local:{_LABELS[by]}}{_offset(local) if by in _SHORT else ''}"


def _note(row: Row, zone: ZoneInfo, now: int) -> str:
    """Return what is special about a span."""
    stretch = f"from {_time(row.start, zone)} until {_time(row.end, zone)}"
    if row.import_ is row.export is None:
        return f"{stretch}: {_UNKNOWN}"
    if row.end > now and not row.complete:
        return f"still running, until {_time(row.end, zone)}"
    return "" if row.complete or row.covered else f"gap {stretch}: {_SPREAD_UNKNOWN}"


def _time(second: int, zone: ZoneInfo) -> str:
    local = _local(second, zone)
    return f"{local:%Y-%m-%d %H:%M}{_offset(local)}"


def _offset(local: datetime) -> str:
    """Return the offset of a time in the hour that occurs twice, which is not clear without."""
    is_repeated = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
    return f" {local.isoformat()[-6:]}" if is_repeated else ""


def _local(second: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(second, zone)


def _thousandth(value: float | None) -> str:
    return "" if value is None else f"{value / 1000:.3f}"


def _percent(covered: float | None) -> str:
    """Return a share with one decimal; 100.0 stands for all of it only."""
    return "" if covered is None else f"{int(covered * 1000) / 10:.1f}"


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _units(all_devices: Iterable[Mapping[str, DeviceEnergy]]) -> dict[str, str]:
    """Return the units of devices by column."""
    return {name: device.unit for devices in all_devices for name, device in sorted(devices.items())}


def _device_cells(devices: Mapping[str, DeviceEnergy], names: Iterable[str]) -> Iterator[str]:
    for name in names:
        yield _thousandth(devices[name].amount) if name in devices else ""
