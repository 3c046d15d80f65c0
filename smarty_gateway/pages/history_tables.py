"""The tables of the history for page and report: spans, costs, levels, peaks, registers."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.costs import PricedRow
from smarty_gateway.history.levels import PricedLevel
from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.rows import By, DeviceEnergy, LevelCost, Peak, RegisterReading, Row
from smarty_gateway.languages.language import Language
from smarty_gateway.outputs.history_records import mean_power
from smarty_gateway.outputs.history_sheets import without_needless
from smarty_gateway.pages.history_words import (
    address_of,
    cost_name,
    device_name,
    moment_of,
    percent,
    register_name,
    thousandth,
    time_of,
    title_of,
)
from smarty_gateway.pages.sections import Table, TableRow

_SHORT: Final = (By.QUARTER, By.HOUR)
_MONEY, _BAND = 2, 3


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, where and when.

    Attributes:
        zone: of times.
        now: decides what is still running, in UTC seconds.
    """

    language: Language
    zone: ZoneInfo
    now: int


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of a table of rows.

    Attributes:
        value: of a row, in thousandths of the unit.
        is_summed: its sum says something.
    """

    head: str
    value: Callable[[Row], float | None]
    is_summed: bool = True


def rows_table(  # noqa: PLR0913 - what a table depends on
    rows: Sequence[Row],
    by: By,
    caption: str,
    reader: Reader,
    *,
    total: Row | None = None,
    peak: Peak | None = None,
) -> Table:
    """Return the table of spans, with all that is known of them.

    Args:
        rows: in the order of time.
        by: how long the spans are.
        caption: of the table.
        reader: who reads it.
        total: all of them together; what devices have counted may stand in it only.
        peak: the highest quarter hour, which is marked.
    """
    _ = reader.language.gettext
    columns = [
        column
        for column in _columns(rows, reader.language)
        if any(column.value(row) is not None for row in rows)
    ]
    known = any(row.covered and row.covered < 1 for row in rows)

    def line(row: Row) -> TableRow:
        mark, note = _mark_of(row, reader)
        is_span = mark != "gap" and by not in _SHORT
        is_peak = mark != "gap" and peak is not None and row.start <= peak.start < row.end
        notes = [note, _peak_note(peak, by, reader.language) if is_peak and peak is not None else ""]
        day = local_date(row.start, reader.zone)
        return TableRow(
            [
                _heading(row, by, reader, is_gap=mark == "gap"),
                *(thousandth(column.value(row), reader.language) for column in columns),
                *([_share(row.covered, reader.language)] if known else []),
            ],
            mark,
            address_of(by, day) if is_span else "",
            ", ".join(filter(None, notes)),
            dict(_marks_of(row, by, columns, is_peak=is_peak)),
        )

    foot = [
        _("Total"),
        *(
            thousandth(column.value(total), reader.language) if total and column.is_summed else ""
            for column in columns
        ),
        *([""] if known else []),
    ]
    head = [
        _("From") if by in _SHORT else "",
        *(column.head for column in columns),
        *([_("Known")] if known else []),
    ]
    return Table(caption, head, [line(row) for row in rows], foot if len(rows) > 1 else ())


def _columns(rows: Sequence[Row], language: Language) -> Iterator[_Column]:
    _ = language.gettext
    yield _Column(_("Import (kWh)"), lambda row: row.import_)
    yield _Column(_("Export (kWh)"), lambda row: row.export)
    yield _Column(_("Excess (kWh)"), _excess)
    yield _Column(_("Mean import (kW)"), mean_power, is_summed=False)
    yield _Column(_("Highest power (kW)"), lambda row: row.max_power, is_summed=False)
    for name in dict.fromkeys(name for row in rows for name in row.tariffs):
        yield _Column(f"{register_name(name, language)} (kWh)", partial(_tariff, name))
    for name, unit in _units_of(row.devices for row in rows).items():
        yield _Column(
            f"{device_name(name, language)} ({unit})",
            partial(_device, name),
        )


def _excess(row: Row) -> float | None:
    return row.excess


def _tariff(name: str, row: Row) -> int | None:
    return row.tariffs.get(name)


def _device(name: str, row: Row) -> int | None:
    return row.devices[name].amount if name in row.devices else None


def _units_of(all_devices: Iterable[Mapping[str, DeviceEnergy]]) -> dict[str, str]:
    """Return the units of devices by column."""
    return {name: device.unit for devices in all_devices for name, device in sorted(devices.items())}


def _heading(row: Row, by: By, reader: Reader, *, is_gap: bool) -> str:
    if by in _SHORT:
        begin, end = (time_of(at, reader.zone, reader.language) for at in (row.start, row.end))
        if local_date(row.end - 1, reader.zone) != local_date(row.start, reader.zone):
            end = moment_of(row.end, reader.zone, reader.language)
        return f"{begin} \u2013 {end}" if is_gap else begin
    if is_gap:
        begin, end = (moment_of(at, reader.zone, reader.language) for at in (row.start, row.end))
        return f"{begin} \u2013 {end}"
    day = local_date(row.start, reader.zone)
    if by is By.DAY:
        return f"{reader.language.weekdays()[day.weekday()]} {day.day}"
    return title_of(by, day, reader.language)


def _mark_of(row: Row, reader: Reader) -> tuple[str, str]:
    """Return by what all of a row stands out, and the same in words."""
    _ = reader.language.gettext
    if row.import_ is row.export is None:
        return "gap", _("unknown: a new meter, or a register that began anew")
    if row.end > reader.now and not row.complete:
        return "running", _("still running")
    if not row.complete and not row.covered:
        return "gap", _("gap: the total is known, but not how it is spread")
    return "", ""


def _peak_note(peak: Peak, by: By, language: Language) -> str:
    _ = language.gettext
    if by is By.QUARTER:
        return _("the highest")
    return _("the highest quarter hour: {power} kW").format(power=thousandth(peak.power, language))


def _marks_of(row: Row, by: By, columns: Sequence[_Column], *, is_peak: bool) -> Iterator[tuple[int, str]]:
    """Yield the place of each cell that stands out; the peak of a longer span is in its note."""
    if is_peak and by is not By.QUARTER:
        yield 0, "peak"
    for place, column in enumerate(columns, 1):
        if column.value is _excess and row.excess:
            yield place, "excess"
        if column.value is mean_power and is_peak and by is By.QUARTER:
            yield place, "peak"


def costs_table(priced: Sequence[PricedRow], by: By, caption: str, reader: Reader) -> Table:
    """Return the table of what spans cost; of one that is not complete it is at least this."""
    _, currency = reader.language.gettext, priced[0].tariff.currency
    names = cost_columns(priced)

    def cells(some: Sequence[PricedRow]) -> list[str]:
        return [cost_of_rows(some, name, reader.language) for name in names]

    def line(one: PricedRow) -> TableRow:
        mark, note = _mark_of(one.row, reader)
        is_gap = mark == "gap"
        return TableRow(
            [_heading(one.row, by, reader, is_gap=is_gap), *cells([one])],
            mark,
            "" if is_gap else address_of(by, local_date(one.row.start, reader.zone)),
            note,
        )

    head = ["", *(f"{cost_name(name, reader.language)} ({unit_of_cost(name, currency)})" for name in names)]
    foot = [_("Total"), *cells(priced)] if len(priced) > 1 else ()
    return Table(caption, head, [line(one) for one in priced], foot)


def cost_columns(priced: Sequence[PricedRow]) -> list[str]:
    """Return the names of what spans cost, totals first and time bands last."""
    names = dict.fromkeys(name for one in priced for name in one.costs)
    return sorted(names, key=lambda name: (name.startswith("band_"), not is_total(name)))


def is_total(name: str) -> bool:
    """True for the column of all costs together."""
    return name in {"cost", "cost_added", "cost_instead"}


def cost_of_rows(priced: Sequence[PricedRow], name: str, language: Language) -> str:
    """Return the sum of amounts, with a mark where it is a lower bound."""
    amounts = [one.costs[name] for one in priced if name in one.costs]
    if not amounts:
        return ""
    amount = language.number(sum(amounts), _BAND if name.startswith("band_") else _MONEY)
    return amount if all(one.is_whole for one in priced) else f"\u2265\u00a0{amount}"


def unit_of_cost(name: str, currency: str) -> str:
    """Return the unit of a column of costs."""
    return "kWh" if name.startswith("band_") else currency


def levels_table(compared: Sequence[PricedLevel], caption: str, own: int | None, language: Language) -> Table:
    """Return the table of levels.

    Args:
        compared: the levels.
        caption: of the table.
        own: the reference power in W.
        language: of the reader.
    """
    _, currency = language.gettext, compared[0].tariff.currency
    costs = [priced.cost for priced in compared]
    readings = dict.fromkeys(reading for cost in costs for reading in cost.costs)
    names = {"added": _("Cost if excess is paid in addition"), "instead": _("Cost if excess is paid instead")}
    head = [
        _("Level"),
        _("Excess (kWh)"),
        *(f"{names[reading] if len(readings) > 1 else _('Cost')} ({currency})" for reading in readings),
    ]
    lines = [
        TableRow(
            [
                language.quantity(cost.kilowatts, 0 if cost.kilowatts % 1 == 0 else 1, "kW"),
                thousandth(cost.excess, language),
                *(language.number(cost.costs.get(reading), _MONEY) for reading in readings),
            ],
            "best" if cost.is_cheapest else "",
            note=_note_of_level(cost, own, language),
        )
        for cost in without_needless(costs, own)
    ]
    return Table(caption, head, lines)


def _note_of_level(cost: LevelCost, own: int | None, language: Language) -> str:
    _ = language.gettext
    if own is None or cost.kilowatts * 1000 != own:
        return _("the cheapest") if cost.is_cheapest else ""
    return _("your reference power, the cheapest") if cost.is_cheapest else _("your reference power")


def peaks_table(peaks: Sequence[Peak], caption: str, reader: Reader, *, by_month: bool) -> Table:
    """Return the table of high quarter hours.

    Args:
        peaks: in the order of the table.
        caption: of the table.
        reader: who reads it.
        by_month: each is the highest of its month.
    """
    _, language = reader.language.gettext, reader.language
    lines = []
    for peak in peaks:
        day = local_date(peak.start, reader.zone)
        begin = moment_of(peak.start, reader.zone, language)
        month = language.month(day.replace(year=peak.month // 100, month=peak.month % 100, day=1))
        lines.append(
            TableRow(
                [
                    month if by_month else begin,
                    thousandth(peak.power, language),
                    *([begin] if by_month else []),
                ],
                link=address_of(By.DAY, day),
                note=_("as the meter says") if peak.is_of_meter else "",
            )
        )
    if by_month:
        return Table(caption, [_("Month"), _("Mean (kW)"), _("Quarter hour from")], lines)
    return Table(caption, [_("Quarter hour from"), _("Mean (kW)")], lines)


def registers_table(
    readings: Sequence[RegisterReading], caption: str, reader: Reader, *, is_folded: bool = False
) -> Table:
    """Return the table of registers, each as at the time on the left."""
    _, language = reader.language.gettext, reader.language
    names = dict.fromkeys(name for reading in readings for name in reading.values)
    devices = _units_of(reading.devices for reading in readings)
    head = [
        _("At"),
        *(f"{register_name(name, language)} ({'kvarh' if 'reactive' in name else 'kWh'})" for name in names),
        *(f"{device_name(name, language)} ({unit})" for name, unit in devices.items()),
    ]
    lines, earlier = [], readings[0].meter_id if readings else ""
    for reading in readings:
        is_other, earlier = reading.meter_id != earlier, reading.meter_id
        amounts = {name: device.amount for name, device in reading.devices.items()}
        lines.append(
            TableRow(
                [
                    moment_of(reading.at, reader.zone, language),
                    *(thousandth(reading.values.get(name), language) for name in names),
                    *(thousandth(amounts.get(name), language) for name in devices),
                ],
                link=address_of(By.DAY, local_date(reading.at, reader.zone)),
                note=_("another meter from here on") if is_other else "",
            )
        )
    return Table(caption, head, lines, is_folded=is_folded)


def _share(covered: float | None, language: Language) -> str:
    return percent(covered, language) if covered and covered < 1 else ""
