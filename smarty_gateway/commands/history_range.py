"""Which stretch of the history a command line asks for, and in which spans."""

import argparse
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.history.local_time import local_date, midnight_of
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.history.stretches import Stretch, day_stretch, month_stretch, year_stretch

#: No meter of this kind is older, and no clock is later.
_FIRST_YEAR, _LAST_YEAR = 2000, 2099
_MONTHS: Final = 12
#: A stretch up to this long is shown by quarter, up to that long by day.
_BY_QUARTER: Final = timedelta(hours=25)
_BY_DAY: Final = timedelta(days=62)
#: Longer spans would show a part as if it were the whole.
_LONGEST: Final = {"day": By.DAY, "month": By.MONTH, "year": By.YEAR}


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a stretch."""
    group = parser.add_argument_group("range", "local time; a time in the repeated hour needs its offset")
    group.add_argument("--day", metavar="D", help="a day, such as 2026-10-25, today or yesterday")
    group.add_argument("--month", metavar="M", help="a month, such as 2026-10")
    group.add_argument("--year", metavar="Y", help="a year, such as 2026")
    group.add_argument("--from", dest="first", metavar="A", help="from here, such as 2026-10-25T18:00")
    group.add_argument("--to", dest="last", metavar="B", help="until here, which is not part of it")


def stretch_of(args: argparse.Namespace, zone: ZoneInfo, now: int, days: int | None = None) -> Stretch:
    """Return what the options name; without any, the last days, this month and the 11 before, or all years.

    Raises:
        WrongUsageError: they contradict each other, or one is not a time.
    """
    stretch = _named_stretch(args, zone, now, days)
    by = By(getattr(args, "by", None) or stretch.by)
    for name, longest in _LONGEST.items():
        if getattr(args, name) is not None and by in list(By)[list(By).index(longest) + 1 :]:
            raise WrongUsageError(f"--by {by} is longer than a {name}: leave it out")
    return replace(stretch, by=by)


def _named_stretch(args: argparse.Namespace, zone: ZoneInfo, now: int, days: int | None) -> Stretch:
    today = local_date(now, zone)
    chosen = [name for name in ("day", "month", "year") if getattr(args, name) is not None]
    bounds = [name for name in ("first", "last") if getattr(args, name) is not None]
    if len(chosen) + bool(bounds) > 1:
        raise WrongUsageError("only one of --day, --month, --year and --from with --to can be used at a time")
    if bounds:
        return _between(args.first, args.last, zone, now)
    if not chosen:
        by = getattr(args, "by", None)
        if by == By.YEAR:
            return Stretch(None, None, By.YEAR, "all years")
        return _recent(today, zone, None if by == By.MONTH else days)
    if args.day is not None:
        begin = _day(args.day, today)
        return day_stretch(begin, zone)
    if args.month is not None:
        begin = _matching(r"(\d{4})-(\d\d)", args.month, "--month", "a month such as 2026-10")
        return month_stretch(begin, zone)
    return year_stretch(_matching(r"(\d{4})", args.year, "--year", "a year such as 2026").year, zone)


def _recent(today: date, zone: ZoneInfo, days: int | None) -> Stretch:
    if days is None:
        month = today.year * 12 + today.month - _MONTHS
        begin, title = date(month // 12, month % 12 + 1, 1), f"the last {_MONTHS} months"
    else:
        begin, title = today - timedelta(days=days - 1), f"the last {days} days"
    return Stretch(midnight_of(begin, zone), midnight_of(today + timedelta(days=1), zone), By.DAY, title)


def _between(first: str | None, last: str | None, zone: ZoneInfo, now: int) -> Stretch:
    begin = None if first is None else _moment("--from", first, zone)
    end = None if last is None else _moment("--to", last, zone)
    if begin is not None and begin >= (now if end is None else end):
        raise WrongUsageError(
            f"--from {first} is not before {'now' if last is None else f'--to {last}'}; --to is exclusive"
        )
    words = [f"from {first}"] if first else []
    words += [f"to {last}"] if last else []
    title = " ".join(words).replace("T", " ")
    length = None if begin is None else timedelta(seconds=(now if end is None else end) - begin)
    return Stretch(begin, end, _suiting(length), title)


def _suiting(length: timedelta | None) -> By:
    if length is None or length > _BY_DAY:
        return By.MONTH
    return By.QUARTER if length <= _BY_QUARTER else By.DAY


def _day(text: str, today: date) -> date:
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    form = r"(\d{4})-(\d\d)-(\d\d)"
    return named.get(text) or _matching(form, text, "--day", "a day such as 2026-10-25, today or yesterday")


def _matching(form: str, text: str, option: str, meaning: str) -> date:
    """Return the first day of what an option names."""
    found = re.fullmatch(form, text, re.ASCII)
    parts = [int(part) for part in found.groups()] if found else []
    try:
        year, month, day = (*parts, 1, 1)[:3]
        return _bounded(date(year, month, day))
    except ValueError:
        raise WrongUsageError(f"{option} {text!r} is not {meaning}") from None


def _bounded(day: date) -> date:
    """Raise ValueError for a day that nobody has measured."""
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(day)
    return day


def _moment(option: str, text: str, zone: ZoneInfo) -> int:
    """Return the UTC second of a local day or time.

    Raises:
        WrongUsageError: it is not a time, not at a quarter hour, or ambiguous at a change of time.
    """
    try:
        moment = datetime.fromisoformat(text)
        _bounded(moment)
    except ValueError:
        raise WrongUsageError(
            f"{option} {text!r} is not a day or a time such as 2026-10-25 or 2026-10-25T18:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
        if ":" in text:
            _require_unique(option, text, moment)
    second = moment.timestamp()
    if second % QUARTER:
        raise WrongUsageError(
            f"{option} {text}: the history knows quarter hours; the minutes must be 00, 15, 30 or 45"
        )
    return int(second)


def _require_unique(option: str, text: str, moment: datetime) -> None:
    """Raise WrongUsageError for a local time that occurs twice or never."""
    early, late = moment.replace(fold=0).utcoffset(), moment.replace(fold=1).utcoffset()
    if early == late:
        return
    both = [moment.replace(fold=fold) for fold in (0, 1)]
    if both[0].astimezone(UTC) < both[1].astimezone(UTC):
        times = " or ".join(time.isoformat(timespec="minutes") for time in both)
        raise WrongUsageError(f"{option} {text} occurs twice, because clocks were set back: type {times}")
    late_time = both[0].astimezone(UTC).astimezone(moment.tzinfo).isoformat(timespec="minutes")
    raise WrongUsageError(
        f"{option} {text} does not exist, because clocks were set forward: type {late_time}"
    )
