"""What a picture shows of one span of time: how high its bar is, and the text of its tooltip."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import floor
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.charts.axes import TimeAxis
from smarty_gateway.history.local_time import begin_of, end_of, local_date
from smarty_gateway.history.rows import By, Row
from smarty_gateway.languages.language import Language

#: Decimals of kW and kWh: those of a meter, as far as they say something.
_DECIMALS: Final = {By.QUARTER: 3, By.HOUR: 3, By.DAY: 2, By.MONTH: 1, By.YEAR: 0}


def unit_of(by: By) -> str:
    """Return what a bar is measured in."""
    return "kW" if by is By.QUARTER else "kWh"


def is_known(row: Row) -> bool:
    """Return whether a row is a bar; anything else is a gap."""
    return row.import_ is not None and bool(row.complete or row.covered)


def height_of(row: Row, energy: float, by: By) -> float:
    """Return the height of a bar: mean kW of a quarter hour, kWh of anything longer."""
    is_power = by is By.QUARTER and row.known_seconds > 0
    return energy * 3.6 / row.known_seconds if is_power else energy / 1000


def clock_times(begin: int, end: int, zone: ZoneInfo) -> str:
    """Return two times of a day, such as 14:15 to 14:30."""
    return f"{_clock(begin, zone)}\u2013{_clock(end, zone)}"


def row_lines(row: Row, by: By, language: Language) -> Sequence[str]:
    """Return what is known of a span, a line for each value."""
    lines = [line(label, value, language) for label, value in _values(row, by, language)]
    return lines if is_known(row) else [language.gettext("unknown"), *lines]


def height_line(label: str, height: float, by: By, language: Language) -> str:
    """Return a line with the height of a bar."""
    return line(label, language.quantity(height, _DECIMALS[by], unit_of(by)), language)


def line(label: str, value: str, language: Language) -> str:
    """Return a line of a tooltip."""
    return language.gettext("{label}: {value}").format(label=label, value=value)


def _values(row: Row, by: By, language: Language) -> Iterator[tuple[str, str]]:
    _, decimals = language.gettext, _DECIMALS[by]
    unit = unit_of(by) if is_known(row) else "kWh"

    def value(energy: float) -> str:
        height = height_of(row, energy, by) if is_known(row) else energy / 1000
        return language.quantity(height, decimals, unit)

    if row.import_ is not None:
        yield _("import"), value(row.import_)
    if row.excess:
        yield _("excess"), language.quantity(row.excess / 1000, decimals, "kWh")
    if row.export is not None:
        yield _("export"), value(row.export)
    if is_known(row) and row.covered is not None and row.covered < 1:
        yield _("coverage"), language.quantity(floor(row.covered * 100), 0, "%")


def time_text(first: int, last: int, axis: TimeAxis, language: Language) -> str:
    """Return the name of a span: its date, its times, or both."""
    by, zone = axis.by, axis.zone
    begin, end = local_date(first, zone), local_date(last - 1, zone)
    if first != begin_of(by, first, zone) or last > end_of(by, first, zone):
        return (
            f"{language.day(begin)}, {_clock(first, zone)} \u2013 {language.day(end)}, {_clock(last, zone)}"
        )
    if by in (By.QUARTER, By.HOUR):
        times = clock_times(first, last, zone)
        is_one_day = local_date(axis.first, zone) == local_date(axis.last - 1, zone)
        return times if is_one_day else f"{language.day(begin)}, {times}"
    if by is By.DAY:
        return language.day(begin)
    return language.month(begin) if by is By.MONTH else str(begin.year)


def _clock(time: int, zone: ZoneInfo) -> str:
    """Return a local time; in the hour that comes twice, with its offset."""
    moment = datetime.fromtimestamp(time, zone)
    other = moment.replace(fold=1 - moment.fold)
    return f"{moment:%H:%M}" if moment.utcoffset() == other.utcoffset() else f"{moment:%H:%M %Z}"
