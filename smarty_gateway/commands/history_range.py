"""Which stretch of the history a command line asks for, and in which spans."""

import argparse
from dataclasses import replace
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.rows import By
from smarty_gateway.history.stretches import (
    Stretch,
    read_date,
    recent_stretch,
    span_stretch,
    stretch_between,
)

#: Longer spans would show a part as if it were the whole.
_LONGEST: Final = {"day": By.DAY, "month": By.MONTH, "year": By.YEAR}


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a stretch."""
    group = parser.add_argument_group("range", "local time; a time in the repeated hour needs its offset")
    add_spans(group)
    group.add_argument("--from", dest="first", metavar="A", help="from here, such as 2026-10-25T18:00")
    group.add_argument("--to", dest="last", metavar="B", help="until here, which is not part of it")


def add_spans(group: argparse._ActionsContainer) -> None:
    """Add the options that name a day, a month or a year."""
    group.add_argument("--day", metavar="D", help="a day, such as 2026-10-25, today or yesterday")
    group.add_argument("--month", metavar="M", help="a month, such as 2026-10")
    group.add_argument("--year", metavar="Y", help="a year, such as 2026")


def stretch_of(args: argparse.Namespace, zone: ZoneInfo, now: int, days: int | None = None) -> Stretch:
    """Return what the options name; without any, the last days, this month and the 11 before, or all years.

    Raises:
        WrongUsageError: they contradict each other, or one is not a time.
        StretchError: --from or --to is not a time, or they are in the wrong order.
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
        return stretch_between(args.first, args.last, zone, now, ("--from", "--to"))
    if not chosen:
        by = getattr(args, "by", None)
        return recent_stretch(zone, now, None if by is None else By(by), days)
    if args.day is not None:
        return span_stretch(By.DAY, _day(args.day, today), zone)
    if args.month is not None:
        return span_stretch(By.MONTH, _first(By.MONTH, args.month, "a month such as 2026-10"), zone)
    return span_stretch(By.YEAR, _first(By.YEAR, args.year, "a year such as 2026"), zone)


def _day(text: str, today: date) -> date:
    named = {"today": today, "yesterday": today - timedelta(days=1)}
    return named.get(text) or _first(By.DAY, text, "a day such as 2026-10-25, today or yesterday")


def _first(by: By, text: str, meaning: str) -> date:
    """Return the first day of what an option names."""
    try:
        return read_date(by, text)
    except ValueError:
        raise WrongUsageError(f"--{by} {text!r} is not {meaning}") from None
