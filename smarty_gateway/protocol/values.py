"""How single values are written in a telegram: numbers with units, hex text, times.

Each reader returns the value, or raises `UnreadableError` for any other text; the caller then keeps the
line as it was sent. Text that is well formed and means "no value" (an unset time, a threshold that is
off) is `None`.
"""

import re
from decimal import Decimal
from functools import lru_cache
from typing import Final

from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.obis import SCALES

#: A number, then a unit; openHAB's Belgian sample has no star between them.
_NUMBER: Final = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)(?:\*?([A-Za-z][A-Za-z0-9³]*))?")
_HEX_PAIRS: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
#: Beyond 15 digits a JSON number is no longer exact, and no register is that long.
_EXACT_DIGITS: Final = 15

_TIME: Final = re.compile(r"([0-9]{6})([0-9]{2})([0-9]{2})([0-9]{2})([A-Za-z]?)")
_OFFSETS: Final = {"S": "+02:00", "W": "+01:00"}
_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
#: No meter with a P1 port is older, so an earlier date is that of a clock that was never set.
_FIRST_YEAR: Final = 2005
#: Two digits of a year from here on mean 19xx; 700101 is an unset clock, not the year 2070.
_PIVOT: Final = 70

_OFF: Final = frozenset({999.0, 999.9, 999.99, 99.999})


class UnreadableError(GatewayError):
    """The text is not what stands at this place according to the table."""


def read_number(text: str, unit: str | None) -> int | float:
    """Read a number and convert it to `unit`, exactly; a missing unit on the wire means `unit`.

    Raises:
        UnreadableError: not a number, too long to be exact, or in another unit.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UnreadableError(text)
    digits, sent_unit = match.groups()
    scale = 0 if sent_unit is None else SCALES[unit].get(sent_unit.lower())
    if scale is None or len(digits.lstrip("+-0").replace(".", "")) > _EXACT_DIGITS:
        raise UnreadableError(text)
    if scale:
        return float(Decimal(digits).scaleb(scale)) + 0.0
    # The sum turns a minus zero into zero.
    return float(digits) + 0.0 if "." in digits else int(digits)


def unit_on_the_wire(text: str) -> str | None:
    """Return the unit behind a number as the table writes it, None for a number without one.

    Raises:
        UnreadableError: not a number, or a unit that the table does not have.
    """
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise UnreadableError(text)
    sent_unit = match.group(2)
    if sent_unit is None:
        return None
    for unit, spellings in SCALES.items():
        if sent_unit.lower() in spellings:
            return unit
    raise UnreadableError(text)


def read_threshold(text: str, unit: str | None) -> int | float | None:
    """Read a limit; None where it is off, which meters write as nines.

    Raises:
        UnreadableError: as `read_number`.
    """
    limit = read_number(text, unit)
    return None if abs(limit) in _OFF else limit


def read_count(text: str) -> int:
    """Read a whole number without unit.

    Raises:
        UnreadableError: anything else.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > _EXACT_DIGITS:
        raise UnreadableError(text)
    return int(text)


def read_hex_text(text: str) -> str:
    """Read text that is written as hex digits; any other text stays as it was sent.

    Identifiers are padded with blanks at the end (DSMR 3.0); they are removed.
    """
    if not _HEX_PAIRS.fullmatch(text):
        return text
    decoded = bytes.fromhex(text)
    if min(decoded) < 0x20 or max(decoded) > 0x7E:
        return text
    return decoded.decode("ascii").rstrip(" ")


def read_time(text: str) -> str | None:
    """Read a time (YYMMDDhhmmss and S for summer or W for winter) as ISO 8601 with its offset.

    The letter alone decides on the offset, so the hour that exists twice in autumn is clear. A time without a
    letter (DSMR 2.2 and 3.0) or with another one is local time, and gets no offset. None stands for an unset
    clock: a date that does not exist, such as 632525252525S, or one before 2005.

    Raises:
        UnreadableError: not of this form.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise UnreadableError(text)
    date, hour, minute, second, letter = match.groups()
    day = _read_date(date)
    if day is None or hour > "23" or minute > "59" or second > "59":
        return None
    # A DSMR 4.0 meter was seen that writes a small s.
    return f"{day}T{hour}:{minute}:{second}{_OFFSETS.get(letter.upper(), '')}"


@lru_cache(maxsize=64)
def _read_date(digits: str) -> str | None:
    """Read YYMMDD; the day is the same in thousands of telegrams."""
    year, month, day = (int(digits[at : at + 2]) for at in (0, 2, 4))
    year += 1900 if year >= _PIVOT else 2000
    if year < _FIRST_YEAR or not 1 <= month <= 12:
        return None
    days = 29 if month == 2 and year % 4 == 0 else _DAYS[month - 1]
    return f"{year}-{month:02}-{day:02}" if 1 <= day <= days else None
