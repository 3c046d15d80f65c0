"""A stretch of the history that is shown at once, such as a day by quarter hours."""

from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from smarty_gateway.history.local_time import midnight_of
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
    begin = day.replace(day=1)
    # 31 days after its first day is the next month, whatever the month.
    end = (begin + timedelta(days=31)).replace(day=1)
    return Stretch(midnight_of(begin, zone), midnight_of(end, zone), By.DAY, f"{begin:%Y-%m}")


def year_stretch(year: int, zone: ZoneInfo) -> Stretch:
    """Return a year by month."""
    begin, end = date(year, 1, 1), date(year + 1, 1, 1)
    return Stretch(midnight_of(begin, zone), midnight_of(end, zone), By.MONTH, str(year))
