"""The views of the history as sections: a day, a month, a year, and what is needed to check a bill."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from smarty_gateway.charts.picture import Picture, PictureError, to_svg
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.history.local_time import first_day, local_date, midnight_of, preceding
from smarty_gateway.history.rows import By, HistoryMeter, Peak, Row
from smarty_gateway.history.spans import quarters_of, whole_quarters
from smarty_gateway.history.stretches import Stretch, recent_stretch, span_stretch
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.history_tables import (
    Reader,
    cost_columns,
    cost_of_rows,
    costs_table,
    is_total,
    levels_table,
    peaks_table,
    registers_table,
    rows_table,
    unit_of_cost,
)
from smarty_gateway.pages.history_words import (
    address_of,
    cost_name,
    device_name,
    moment_of,
    percent,
    quantity,
    thousandth,
    time_of,
    title_of,
    translated,
)
from smarty_gateway.pages.pictures import picture_of
from smarty_gateway.pages.sections import Section, Table, TableRow
from smarty_gateway.state.history_access import History, NoTariffError

_MONTHS: Final = 12
_DAYS: Final = 31


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is shown, and to whom."""

    history: History
    meter: HistoryMeter
    language: Language

    @property
    def reader(self) -> Reader:
        return Reader(self.language, self.history.zone, self.history.now)


def span_sections(
    history: History, meter: HistoryMeter, by: By, day: date, language: Language
) -> Sequence[Section]:
    """Return what there is of a day, a month or a year.

    Args:
        history: open.
        meter: whose.
        by: DAY, MONTH or YEAR: what is shown, by quarters, by days or by months.
        day: in it.
        language: of the reader.
    """
    asked = _Asked(history, meter, language)
    title = title_of(by, day, language)
    earlier = title_of(by, preceding(by, day), language)
    stretch = span_stretch(by, day, history.zone)
    picture = picture_of(history, meter, stretch, title, earlier)
    if not picture.rows:
        return [Section("energy", notes=[_nothing_known(by, language)])]
    sections = [
        _energy(asked, by, day, picture),
        _comparison(asked, by, day),
        _cost(asked, stretch, title),
    ]
    return [section for section in sections if section is not None]


def _nothing_known(by: By, language: Language) -> str:
    _ = language.gettext
    if by is By.DAY:
        return _("Nothing is known of this day.")
    return _("Nothing is known of this month.") if by is By.MONTH else _("Nothing is known of this year.")


def _energy(asked: _Asked, by: By, day: date, picture: Picture) -> Section:
    total = asked.history.span(asked.meter, by, day)
    peak = _peak_of(asked, picture)
    notes = [*_state_notes(asked, total, by)]
    try:
        svg = to_svg(picture, asked.language, with_style=False)
    except PictureError as error:
        svg, notes = "", [*notes, str(error)]
    return Section(
        "energy",
        facts=[*_facts(asked, picture, total, peak)],
        svg=svg,
        tables=[*_tables(asked, picture, total, peak)],
        notes=notes,
    )


def _tables(asked: _Asked, picture: Picture, total: Row | None, peak: Peak | None) -> Iterator[Table]:
    _, title = asked.language.gettext, picture.title
    if picture.by is By.QUARTER:
        hours = asked.history.rows(asked.meter, Stretch(picture.first, picture.last, By.HOUR))
        caption = _("{day} by hour").format(day=title)
        yield rows_table(hours, By.HOUR, caption, asked.reader, total=total, peak=peak)
        caption = _("{day} by quarter hour").format(day=title)
        table = rows_table(picture.rows, By.QUARTER, caption, asked.reader, total=total, peak=peak)
        yield replace(table, is_folded=True)
    elif picture.by is By.DAY:
        caption = _("{month} by day").format(month=title)
        yield rows_table(picture.rows, By.DAY, caption, asked.reader, total=total, peak=peak)
    else:
        caption = _("{year} by month").format(year=title)
        yield rows_table(picture.rows, By.MONTH, caption, asked.reader, total=total, peak=peak)


def _facts(
    asked: _Asked, picture: Picture, total: Row | None, peak: Peak | None
) -> Iterator[tuple[str, str]]:
    _ = asked.language.gettext
    if total is None:
        return
    known: list[tuple[str, float | None, str]] = [
        (_("Import"), total.import_, "kWh"),
        (_("Export"), total.export, "kWh"),
        (_excess_name(asked, picture), total.excess, "kWh"),
    ]
    yield from (
        (name, quantity(value, unit, asked.language)) for name, value, unit in known if value is not None
    )
    if peak is not None:
        is_day = picture.by is By.QUARTER
        when = (time_of if is_day else moment_of)(peak.start, asked.history.zone, asked.language)
        label = _("Highest quarter hour ({time})").format(time=when)
        yield label, quantity(peak.power, "kW", asked.language)
    if total.max_power is not None:
        yield _("Highest power"), quantity(total.max_power, "kW", asked.language)
    lowest = asked.history.lowest_power(asked.meter, picture.first, picture.last)
    if lowest is not None:
        yield _("Lowest power"), quantity(lowest, "kW", asked.language)
    for column, device in sorted(total.devices.items()):
        yield device_name(column, asked.language), quantity(device.amount, device.unit, asked.language)


def _excess_name(asked: _Asked, picture: Picture) -> str:
    _, reference = asked.language.gettext, asked.history.reference_of(asked.meter)
    days = (local_date(row.start, asked.history.zone) for row in picture.rows)
    powers = {None if reference is None else reference.on(day) for day in days} - {None}
    if len(powers) != 1:
        return _("Excess over the reference power")
    return _("Excess over {level}").format(level=_kilowatts(powers.pop(), asked.language))


def _kilowatts(watts: float | None, language: Language) -> str:
    return "" if watts is None else language.quantity(watts / 1000, 0 if watts % 1000 == 0 else 1, "kW")


def _peak_of(asked: _Asked, picture: Picture) -> Peak | None:
    """Return the highest quarter hour, as `history peaks` has it; of a day, its own."""
    if picture.by is not By.QUARTER:
        peaks = asked.history.peaks(asked.meter, picture.first, picture.last)
        return max(peaks, key=lambda peak: peak.power, default=None)
    complete = [row for row in picture.rows if row.complete and row.import_ is not None]
    highest = max(complete, key=lambda row: row.import_ or 0, default=None)
    return None if highest is None else Peak(0, highest.start, 4 * (highest.import_ or 0))


def _state_notes(asked: _Asked, total: Row | None, by: By) -> Iterator[str]:
    """Yield that a span is not over, and what is missing in it."""
    _ = asked.language.gettext
    if total is None:
        yield _("Of this time, only what stands in the table is known.")
        return
    if total.start <= asked.history.now < total.end:
        yield {
            By.DAY: _("This day is still running."),
            By.MONTH: _("This month is still running."),
            By.YEAR: _("This year is still running."),
        }[by]
    whole = whole_quarters(total.start, total.end, asked.history.now)
    missing = whole - quarters_of(total, asked.history.now)
    if missing > 0:
        yield asked.language.ngettext(
            "{missing} of {whole} quarter hours is missing.",
            "{missing} of {whole} quarter hours are missing.",
            missing,
        ).format(missing=missing, whole=whole)


def _comparison(asked: _Asked, by: By, day: date) -> Section | None:
    """Return the span beside the one before, and the same one of the year before."""
    _ = asked.language.gettext
    days = [day, preceding(by, day)]
    if by is By.MONTH:
        days.append(first_day(by, day).replace(year=day.year - 1))
    known = [(one, row) for one in days if (row := asked.history.span(asked.meter, by, one)) is not None]
    if len(known) < 2:
        return None
    lines = [
        TableRow(
            [
                title_of(by, one, asked.language),
                thousandth(row.import_, asked.language),
                thousandth(row.export, asked.language),
                thousandth(row.excess, asked.language),
                thousandth(row.max_power, asked.language),
                percent(row.covered or 0, asked.language),
            ],
            link=address_of(by, one),
            note=_("still running") if row.start <= asked.history.now < row.end else "",
        )
        for one, row in known
    ]
    head = ["", _("Import (kWh)"), _("Export (kWh)"), _("Excess (kWh)"), _("Highest power (kW)"), _("Known")]
    caption = {
        By.DAY: _("Compared with the day before"),
        By.MONTH: _("Compared with the month before and a year before"),
        By.YEAR: _("Compared with the year before"),
    }[by]
    return Section("comparison", _("Comparison"), tables=[_without_empty(Table(caption, head, lines))])


def _without_empty(table: Table) -> Table:
    """Return a table without the columns that have no value."""
    kept = [0, *(at for at in range(1, len(table.head)) if any(row.cells[at] for row in table.rows))]
    rows = [replace(row, cells=[row.cells[at] for at in kept]) for row in table.rows]
    return replace(table, head=[table.head[at] for at in kept], rows=rows)


def _cost(asked: _Asked, stretch: Stretch, title: str) -> Section | None:
    """Return what a span costs, where the configuration names a tariff."""
    _ = asked.language.gettext
    # Costs count whole days.
    by = By.DAY if stretch.by is By.QUARTER else stretch.by
    try:
        priced = asked.history.priced(asked.meter, replace(stretch, by=by))
    except NoTariffError:
        return None
    except UnusableFileError:
        return Section("cost", _("Cost"), notes=[_tariff_is_unusable(asked.language)])
    if not priced:
        return None
    names, currency = cost_columns(priced), priced[0].tariff.currency
    if not names:
        return None
    is_table = len(priced) > 1
    facts = [
        (
            cost_name(name, asked.language),
            f"{cost_of_rows(priced, name, asked.language)}\u00a0{unit_of_cost(name, currency)}",
        )
        for name in names
        if is_total(name) or not is_table
    ]
    notes = [translated(note, asked.language) for note in asked.history.cost_notes(asked.meter, priced)]
    if not all(one.is_whole for one in priced):
        notes.insert(0, _("\u2265: not all quarter hours and prices are known, so it costs at least this."))
    table = costs_table(priced, by, _("Cost, {span}").format(span=title), asked.reader)
    return Section("cost", _("Cost"), facts, tables=[table] if is_table else (), notes=notes)


def _tariff_is_unusable(language: Language) -> str:
    _ = language.gettext
    return _("The tariff file of this meter cannot be used. To see why, type: smarty-gateway check")


def bill_sections(history: History, meter: HistoryMeter, language: Language) -> Sequence[Section]:
    """Return level comparison, highest quarter hours, register readings and, with a tariff, costs."""
    _, asked = language.gettext, _Asked(history, meter, language)
    today = local_date(history.now, history.zone)
    recent = recent_stretch(history.zone, history.now, By.MONTH)
    stretch = replace(recent, last=history.now, by=By.MONTH)
    sections = [
        _levels(asked),
        _peaks(asked, stretch),
        _registers(asked, today),
        _cost(asked, stretch, _("the last 12 months")),
    ]
    return [section for section in sections if section is not None]


def _levels(asked: _Asked) -> Section | None:
    _ = asked.language.gettext
    title = _("Levels")
    try:
        if asked.history.level_tariff_of(asked.meter) is None:
            return None
        compared = asked.history.levels(asked.meter)
    except NoTariffError:
        return None
    except UnusableFileError:
        return Section("levels", title, notes=[_tariff_is_unusable(asked.language)])
    own = asked.history.level_of(asked.meter)
    caption = _("What each level would have meant in the last 12 months that are over")
    table = levels_table(compared, caption, own, asked.language)
    notes = [translated(note, asked.language) for note in asked.history.notes(asked.meter, compared)]
    if len(table.rows) < len(compared):
        notes.insert(0, _("Higher levels have no excess either, and do not cost less."))
    covered = compared[0].cost.covered
    facts = [(_("Known of these months"), percent(covered, asked.language))] if covered < 1 else []
    return Section("levels", title, facts, tables=[table], notes=notes)


def _peaks(asked: _Asked, stretch: Stretch) -> Section | None:
    _, reader = asked.language.gettext, asked.reader
    months = asked.history.peaks(asked.meter, stretch.first, stretch.last)
    highest = asked.history.highest(asked.meter, stretch.first, stretch.last)
    if not months:
        return None
    tables = [
        peaks_table(months, _("The highest quarter hour of each month"), reader, by_month=True),
        peaks_table(highest, _("The highest quarter hours of the last 12 months"), reader, by_month=False),
    ]
    try:
        notes = asked.history.peak_notes(asked.meter, months)
    except UnusableFileError:
        notes = []
    said = [translated(note, asked.language) for note in notes]
    return Section("peaks", _("Highest quarter hours"), tables=tables, notes=said)


def _registers(asked: _Asked, today: date) -> Section | None:
    _, reader = asked.language.gettext, asked.reader
    begins = [first_day(By.MONTH, today)]
    while len(begins) <= _MONTHS:
        begins.append(preceding(By.MONTH, begins[-1]))
    times = (midnight_of(begin, asked.history.zone) for begin in reversed(begins))
    months = asked.history.registers_at(asked.meter, times)
    first = midnight_of(today - timedelta(days=_DAYS - 1), asked.history.zone)
    days = asked.history.reader.registers(asked.meter.name, first, asked.history.now)
    if not days and not months:
        return None
    tables = [
        registers_table(months, _("At the beginning of each month"), reader),
        registers_table(days, _("At the beginning of each of the last 31 days"), reader, is_folded=True),
    ]
    return Section("registers", _("Register readings"), tables=[table for table in tables if table.rows])
