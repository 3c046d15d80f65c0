"""A stretch of the history that is shown at once, such as a day by quarter hours."""

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from smarty_gateway.history.local_time import first_day, following, midnight_of
from smarty_gateway.history.rows import By


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time.

    Attributes:
        first: UTC seconds; None for the beginning of the history.
        last: exclusive; None for its end.
        by: the spans that suit it.
        title: as a heading names it.
    """

    first: int | None
    last: int | None
    by: By
    title: str


def day_stretch(day: date, zone: ZoneInfo) -> Stretch:
    """Return a day by quarter hours."""
    return Stretch(midnight_of(day, zone), midnight_of(day + timedelta(days=1), zone), By.QUARTER, str(day))


def month_stretch(day: date, zone: ZoneInfo) -> Stretch:
    """Return the month of a date by days."""
    begin, end = first_day(By.MONTH, day), following(By.MONTH, day)
    return Stretch(midnight_of(begin, zone), midnight_of(end, zone), By.DAY, f"{begin:%Y-%m}")


def year_stretch(year: int, zone: ZoneInfo) -> Stretch:
    """Return a year by month."""
    begin, end = date(year, 1, 1), date(year + 1, 1, 1)
    return Stretch(midnight_of(begin, zone), midnight_of(end, zone), By.MONTH, str(year))


def span_stretch(by: By, day: date, zone: ZoneInfo) -> Stretch:
    """Return the day, month or year of a date, by the spans that suit it."""
    if by is By.YEAR:
        return year_stretch(day.year, zone)
    return month_stretch(day, zone) if by is By.MONTH else day_stretch(day, zone)
