"""A stretch of the history that is shown at once, such as a day by quarter hours, and how people write it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.local_time import first_day, following, local_date, midnight_of
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.protocol.errors import GatewayError

#: No meter of this kind is older, and no clock is later.
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_MONTHS: Final = 12
#: A stretch up to this long is shown by quarter, up to that long by day.
_BY_QUARTER: Final = timedelta(hours=25)
_BY_DAY: Final = timedelta(days=62)
#: By what a day, a month or a year is shown.
PARTS: Final[Mapping[By, By]] = {By.DAY: By.QUARTER, By.MONTH: By.DAY, By.YEAR: By.MONTH}
_FORMS: Final[Mapping[By, str]] = {
    By.DAY: r"(\d{4})-(\d\d)-(\d\d)",
    By.MONTH: r"(\d{4})-(\d\d)",
    By.YEAR: r"(\d{4})",
}


class StretchError(GatewayError):
    """What somebody asks for is not a stretch of time."""


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
    title: str = ""


def span_stretch(by: By, day: date, zone: ZoneInfo) -> Stretch:
    """Return the day, month or year of a date, by the spans that suit it."""
    begin, end = (midnight_of(one, zone) for one in (first_day(by, day), following(by, day)))
    return Stretch(begin, end, PARTS[by], date_text(by, day))


def recent_stretch(zone: ZoneInfo, now: int, by: By | None, days: int | None = None) -> Stretch:
    """Return what is shown where no bounds are named: the last days, or what suits the spans.

    Args:
        zone: of days.
        now: in UTC seconds.
        by: MONTH for this month and the 11 before, YEAR for all years.
        days: None for this month and the 11 before.
    """
    if by is By.YEAR:
        return Stretch(None, None, By.YEAR, "all years")
    today = local_date(now, zone)
    if days is None or by is By.MONTH:
        month = today.year * 12 + today.month - _MONTHS
        begin, title = date(month // 12, month % 12 + 1, 1), f"the last {_MONTHS} months"
    else:
        begin, title = today - timedelta(days=days - 1), f"the last {days} days"
    return Stretch(midnight_of(begin, zone), midnight_of(today + timedelta(days=1), zone), By.DAY, title)


def stretch_between(
    first: str | None,
    last: str | None,
    zone: ZoneInfo,
    now: int,
    names: tuple[str, str] = ("from", "to"),
) -> Stretch:
    """Return the time between two days or times as people write them.

    Args:
        first: such as 2026-10-25T18:00; None for the beginning of the history.
        last: exclusive; None for its end.
        zone: of times without an offset.
        now: in UTC seconds.
        names: of the two, for errors.

    Raises:
        StretchError: one is not a time, or they are in the wrong order.
    """
    from_, to = names
    begin = None if first is None else _moment(from_, first, zone)
    end = None if last is None else _moment(to, last, zone)
    if begin is not None and begin >= (now if end is None else end):
        raise StretchError(
            f"{from_} {first} is not before {'now' if last is None else f'{to} {last}'}; {to} is exclusive"
        )
    words = [f"from {first}"] if first else []
    words += [f"to {last}"] if last else []
    title = " ".join(words).replace("T", " ")
    length = None if begin is None else timedelta(seconds=(now if end is None else end) - begin)
    return Stretch(begin, end, _suiting(length), title)


def read_date(by: By, text: str) -> date:
    """Return the first day of a day, month or year.

    Args:
        by: which of them.
        text: such as 2026-10-25, 2026-10 or 2026.

    Raises:
        ValueError: it is not one, or nobody has measured it.
    """
    found = re.fullmatch(_FORMS[by], text, re.ASCII)
    parts = [int(part) for part in found.groups()] if found else []
    year, month, day = (*parts, 1, 1)[:3]
    return _bounded(date(year, month, day))


def date_text(by: By, day: date) -> str:
    """Return the day, month or year of a date in the form that `read_date` reads."""
    length = {By.DAY: 10, By.MONTH: 7, By.YEAR: 4}[by]
    return day.isoformat()[:length]


def _bounded(day: date) -> date:
    """Raise ValueError for a day that nobody has measured."""
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(day)
    return day


def _suiting(length: timedelta | None) -> By:
    if length is None or length > _BY_DAY:
        return By.MONTH
    return By.QUARTER if length <= _BY_QUARTER else By.DAY


def _moment(name: str, text: str, zone: ZoneInfo) -> int:
    """Return the UTC second of a local day or time.

    Raises:
        StretchError: it is not a time, not at a quarter hour, or ambiguous at a change of time.
    """
    try:
        moment = datetime.fromisoformat(text)
        _bounded(moment)
    except ValueError:
        raise StretchError(
            f"{name} {text!r} is not a day or a time such as 2026-10-25 or 2026-10-25T18:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
        if ":" in text:
            _require_unique(name, text, moment)
    second = moment.timestamp()
    if second % QUARTER:
        raise StretchError(
            f"{name} {text}: the history knows quarter hours; the minutes must be 00, 15, 30 or 45"
        )
    return int(second)


def _require_unique(name: str, text: str, moment: datetime) -> None:
    """Raise StretchError for a local time that occurs twice or never."""
    early, late = moment.replace(fold=0).utcoffset(), moment.replace(fold=1).utcoffset()
    if early == late:
        return
    both = [moment.replace(fold=fold) for fold in (0, 1)]
    if both[0].astimezone(UTC) < both[1].astimezone(UTC):
        times = " or ".join(time.isoformat(timespec="minutes") for time in both)
        raise StretchError(f"{name} {text} occurs twice, because clocks were set back: type {times}")
    late_time = both[0].astimezone(UTC).astimezone(moment.tzinfo).isoformat(timespec="minutes")
    raise StretchError(f"{name} {text} does not exist, because clocks were set forward: type {late_time}")
