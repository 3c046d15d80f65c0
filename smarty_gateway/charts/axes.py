"""What stands beside and below a picture: values at round numbers, times at full hours, days or months."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil, floor, log10
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.rows import By
from smarty_gateway.languages.language import Language

DAY: Final = 86_400
#: How many labels fit below, and how many of them in a narrow frame.
_LABELS: Final = 16
NARROW_LABELS: Final = 8
#: How many guides there are about, and the share of the height that labels keep from that of the level.
_TICKS: Final = 5
_NEAR: Final = 0.09
_HOURS: Final = (1, 3, 6)
#: Stretches up to these are labelled by hour, by day of the week, by day of the month, by month.
_FEW_HOURS: Final = 2 * DAY
_FEW_DAYS: Final = 10 * DAY
_FEW_WEEKS: Final = 62 * DAY
_YEAR: Final = 367 * DAY


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """The time that a picture shows.

    Attributes:
        first: where it begins, in UTC seconds.
        last: where it ends.
        by: how long its spans are.
        zone: of its labels.
    """

    first: int
    last: int
    by: By
    zone: ZoneInfo

    def place(self, time: float) -> float:
        """Return the place of a time, in days."""
        return (time - self.first) / DAY

    @property
    def width(self) -> float:
        """How many days it shows."""
        return self.place(self.last)


def value_labels(
    low: float, high: float, level: float | None, unit: str, language: Language
) -> list[tuple[float, str]]:
    """Return the places and texts of the labels on the left, that of the level last.

    Args:
        low: the lowest value, at most 0.
        high: the highest one, above 0.
        level: the reference power.
        unit: of all three.
        language: of the reader.
    """
    high = max(high, level or 0)
    rough = (high - low) / _TICKS
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    places = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
    labels = [
        (place, f"{short(place, language)} {unit}")
        for place in places
        if level is None or abs(place - level) > (high - low) * _NEAR
    ]
    return labels if level is None else [*labels, (level, f"{short(level, language)} {unit}")]


def time_labels(axis: TimeAxis, language: Language) -> list[tuple[float, str]]:
    """Return the places and texts of the labels below; an empty one on both sides fixes the width."""
    marks = list(_marks(axis, language))
    shown = marks[:: ceil(len(marks) / _LABELS) or 1]
    return [(0.0, ""), *((axis.place(time), text) for time, text in shown), (axis.width, "")]


def _marks(axis: TimeAxis, language: Language) -> Iterator[tuple[float, str]]:
    """Yield the times at which labels may stand: hours at their beginning, anything longer in its middle."""
    length = axis.last - axis.first
    if length > _FEW_HOURS or axis.by not in (By.QUARTER, By.HOUR):
        for text, group in groupby(_days(axis), key=_naming(axis, language)):
            days = list(group)
            end = min((days[-1] + timedelta(days=1)).timestamp(), axis.last)
            yield (max(days[0].timestamp(), axis.first) + end) / 2, text
        return
    step = next((hours for hours in _HOURS if length <= hours * 3600 * (NARROW_LABELS + 1)), _HOURS[-1])
    free = float(axis.first)
    for day in _days(axis):
        for hour in range(0, 24, step):
            time = day.replace(hour=hour).timestamp()
            # On the day on which clocks are set forward, two times are an hour nearer than labels need;
            # one right at the end would be cut.
            if free <= time < axis.last - step * 3600 / 3:
                is_next_day = hour == 0 and time > axis.first
                yield time, _weekday(day, language) if is_next_day else f"{hour:02}:00"
                free = time + step * 3600


def _naming(axis: TimeAxis, language: Language) -> Callable[[datetime], str]:
    """Return what names the days that share a label."""
    length, months = axis.last - axis.first, language.months()
    if length > _YEAR or axis.by is By.YEAR:
        return lambda day: f"{day.year}"
    if length > _FEW_WEEKS or axis.by is By.MONTH:
        return lambda day: months[day.month - 1]
    if length > _FEW_DAYS:
        return lambda day: f"{day.day}"
    return lambda day: _weekday(day, language)


def _weekday(day: datetime, language: Language) -> str:
    return f"{language.weekdays()[day.weekday()]} {day.day}"


def _days(axis: TimeAxis) -> Iterator[datetime]:
    """Yield the local midnights, from the last one before the beginning."""
    day = datetime.fromtimestamp(axis.first, axis.zone).replace(hour=0, minute=0, second=0, fold=0)
    while day.timestamp() < axis.last:
        yield day
        day += timedelta(days=1)


def short(value: float, language: Language) -> str:
    """Return a number without needless zeros."""
    return language.number(value, len(f"{value:.6f}".rstrip("0").partition(".")[2]))
