"""Times and numbers as grid operators and spreadsheets write them."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from typing import Final

_STAMP: Final = re.compile(
    r"(?:(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})|(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}))"
    r"(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]0+)?)?(?: ?(Z|UTC|[+-]\d{2}:?\d{2}))?)?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time as it is written; `offset` is None where it is local."""

    local: datetime
    offset: timedelta | None
    has_time: bool


@lru_cache(maxsize=16)  # rows of one quarter hour follow each other
def parse_stamp(text: str) -> Stamp | None:
    """Return a time as it is written; None for any other text."""
    match = _STAMP.fullmatch(text.strip())
    if match is None:
        return None
    parts = match.groups()
    year, month, day = (int(part) for part in (parts[:3] if parts[0] else parts[5:2:-1]))
    hour, minute, second = (int(part or 0) for part in parts[6:9])
    # Some write the end of a day as 24:00.
    if not (hour < 24 or (hour, minute, second) == (24, 0, 0)) or minute > 59 or second > 59:
        return None
    if not 2000 <= year < 2100:
        return None
    try:
        local = datetime.combine(date(year, month, day), datetime.min.time())
        local += timedelta(hours=hour, minutes=minute, seconds=second)
    except (ValueError, OverflowError):
        return None
    return Stamp(local, _offset_of(parts[9]), has_time=parts[6] is not None)


def _offset_of(text: str | None) -> timedelta | None:
    if text is None:
        return None
    if not text[1:3].isdigit():
        return timedelta(0)
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timedelta(minutes=-minutes if text[0] == "-" else minutes)


def seconds_at(moment: datetime) -> int:
    """Return a moment in seconds since 1970."""
    return int(moment.timestamp())


@lru_cache(maxsize=16)
def moments_of(local: datetime, zone: tzinfo) -> Sequence[int]:
    """Return the seconds of a local time: two in the hour that is repeated, none in the one left out."""
    found = {seconds_at(local.replace(tzinfo=zone, fold=fold)) for fold in (0, 1)}
    return tuple(
        second
        for second in sorted(found)
        if datetime.fromtimestamp(second, zone).replace(tzinfo=None) == local
    )


_BLANKS: Final = re.compile(r"(?<=\d)[ \u00a0\u202f'\u2019](?=\d{3})")
_NUMBER: Final = {
    point: re.compile(
        rf"(\d{{1,3}}(?:{re.escape(comma)}\d{{3}}){{1,3}}|\d{{1,12}})(?:{re.escape(point)}(\d{{1,9}}))?",
        re.ASCII,
    )
    for point, comma in ((".", ","), (",", "."))
}


class Numbers:
    """Reads the numbers of a file, after a look at all of them: does 1.234 have a point or thousands?"""

    def __init__(self, texts: Iterable[str]) -> None:
        found = {point for text in texts if (point := _decimal_point_in(_BLANKS.sub("", text))) is not None}
        self._point = found.pop() if len(found) == 1 else None

    def read(self, text: str) -> Decimal | None:
        """Return a number; None for any other text."""
        text = _BLANKS.sub("", text)
        point = _decimal_point_in(text) or self._point or ("," if "," in text else ".")
        match = _NUMBER[point].fullmatch(text)
        if match is None:
            return None
        whole, fraction = match.groups()
        return Decimal(f"{re.sub('[.,]', '', whole)}.{fraction or 0}")


def _decimal_point_in(text: str) -> str | None:
    """Return the decimal separator of a number, if the number leaves no doubt."""
    separators = [c for c in text if c in ".,"]
    if not separators:
        return None
    last = separators[-1]
    other = "," if last == "." else "."
    if len(separators) > 1:
        return other if separators.count(last) > 1 else last
    whole, _, fraction = text.partition(last)
    return last if len(fraction) != 3 or whole in ("", "0") or len(whole) > 3 else None
