"""Where the spans of the history begin and end: days, months and years are local time."""

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER

HOUR = 3600


def begin_of(by: By, time: int, zone: ZoneInfo) -> int:
    """Return when the span that contains a time begins. Hours are those of zones that are whole hours off."""
    if by is By.QUARTER:
        return time - time % QUARTER
    if by is By.HOUR:
        return time - time % HOUR
    return midnight_of(first_day(by, local_date(time, zone)), zone)


def end_of(by: By, time: int, zone: ZoneInfo) -> int:
    """Return when the span that contains a time ends, which is the beginning of the next."""
    if by is By.QUARTER:
        return time - time % QUARTER + QUARTER
    if by is By.HOUR:
        return time - time % HOUR + HOUR
    return midnight_of(following(by, local_date(time, zone)), zone)


def first_day(by: By, day: date) -> date:
    """Return the first day of the day, month or year that has a date."""
    if by is By.MONTH:
        return day.replace(day=1)
    return day.replace(month=1, day=1) if by is By.YEAR else day


def following(by: By, day: date) -> date:
    """Return the first day of the next day, month or year."""
    if by is By.DAY:
        return day + timedelta(days=1)
    # The first day plus 31 or 366 days is in the next month or year, whatever their lengths are.
    return first_day(by, first_day(by, day) + timedelta(days=31 if by is By.MONTH else 366))


def preceding(by: By, day: date) -> date:
    """Return the first day of the day, month or year before."""
    return first_day(by, first_day(by, day) - timedelta(days=1))


def local_date(time: int, zone: ZoneInfo) -> date:
    """Return the local date of a time."""
    return datetime.fromtimestamp(time, zone).date()


def month_of(day: date) -> int:
    """Return the month of a date, such as 202610."""
    return day.year * 100 + day.month


@lru_cache(maxsize=4096)
def midnight_of(day: date, zone: ZoneInfo) -> int:
    """Return when a local day begins."""
    # Where the clock skips midnight (Azores, in spring), this is the second of the change; where it repeats
    # the hour after midnight (Azores, in autumn), the first of the two.
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
