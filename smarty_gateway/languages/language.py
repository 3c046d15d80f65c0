"""A language: the words of its catalogue, and how it writes numbers, dates and times.

Messages are English sentences with fields such as `{level}`; the catalogues beside this module translate
them. `python -m tests.languages.catalogues` collects them and compiles the catalogues.
"""

import gettext
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent
_DOMAIN: Final = "smarty_gateway"
_NO_BREAK: Final = "\u00a0"
_NARROW_NO_BREAK: Final = "\u202f"
_MINUS: Final = "\u2212"
#: Numbers from here on have a thin space between thousands: ISO 80000-1, 7.3.1. A point or comma there would
#: be a decimal sign to half of the readers.
_GROUPED: Final = 10_000
#: The first one is for who asks for none of them.
CODES: Final = ("en", "fr", "de")
#: A browser names a few languages; a longer list was not written by one.
_LONGEST_HEADER: Final = 500


@dataclass(frozen=True, slots=True)
class Language:
    """One language.

    Attributes:
        code: such as `fr`.
        decimal: stands before the decimals of a number.
        day_form: of a date, with {weekday}, {day}, {month} and {year}.
        translations: of its catalogue.
    """

    code: str
    decimal: str
    day_form: str
    translations: gettext.NullTranslations = field(repr=False)

    def gettext(self, message: str) -> str:
        """Return a message in this language."""
        return self.translations.gettext(message)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """Return the message for this number of things."""
        return self.translations.ngettext(one, many, number)

    def number(self, value: float | Decimal | None, decimals: int) -> str:
        """Return a number, and nothing for one that is not known."""
        if value is None:
            return ""
        # What is rounded to zero has no sign; up to four digits stay together.
        is_short = -_GROUPED < value < _GROUPED
        text = f"{value:z.{decimals}f}" if is_short else f"{value:z,.{decimals}f}"
        return text.translate({ord("."): self.decimal, ord(","): _NARROW_NO_BREAK, ord("-"): _MINUS})

    def quantity(self, value: float | Decimal | None, decimals: int, unit: str) -> str:
        """Return a number and its unit, which stay in one line; nothing for one that is not known."""
        return "" if value is None else f"{self.number(value, decimals)}{_NO_BREAK}{unit}"

    def weekdays(self) -> tuple[str, ...]:
        """Return the short names from Monday."""
        _ = self.gettext
        return _("Mon"), _("Tue"), _("Wed"), _("Thu"), _("Fri"), _("Sat"), _("Sun")

    def months(self) -> tuple[str, ...]:
        """Return the short names from January."""
        _ = self.gettext
        return (
            _("Jan"), _("Feb"), _("Mar"), _("Apr"), _("May"), _("Jun"),
            _("Jul"), _("Aug"), _("Sep"), _("Oct"), _("Nov"), _("Dec"),
        )  # fmt: skip

    def month_names(self) -> tuple[str, ...]:
        """Return the full names from January."""
        _ = self.gettext
        return (
            _("January"), _("February"), _("March"), _("April"), _("May"),
            _("June"), _("July"), _("August"), _("September"), _("October"), _("November"), _("December"),
        )  # fmt: skip

    def day(self, day: date) -> str:
        """Return a date such as `Sat 21 Nov 2026`."""
        return self.day_form.format(
            weekday=self.weekdays()[day.weekday()],
            day=day.day,
            month=self.months()[day.month - 1],
            year=day.year,
        )

    def month(self, day: date) -> str:
        """Return the month of a date, such as `November 2026`."""
        return f"{self.month_names()[day.month - 1]} {day.year}"

    def time(self, moment: datetime, *, seconds: bool = False) -> str:
        """Return the local time of a moment that has its zone."""
        return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"


_FORMS: Final[Mapping[str, tuple[str, str]]] = {
    "en": (".", "{weekday} {day} {month} {year}"),
    "fr": (",", "{weekday} {day} {month} {year}"),
    "de": (",", "{weekday}, {day}. {month} {year}"),
}


@cache
def language_of(code: str) -> Language:
    """Return a language by its code; English for an unknown code."""
    code = code if code in CODES else CODES[0]
    translations = gettext.translation(_DOMAIN, _FOLDER, [code], fallback=True)
    return Language(code, *_FORMS[code], translations)


def accepted_language(header: str) -> Language:
    """Return the language that a browser prefers.

    Args:
        header: Accept-Language, RFC 9110, 12.5.4: `fr-LU,fr;q=0.9,de;q=0.5`.
    """
    wanted: dict[str, float] = {}
    for item in header[:_LONGEST_HEADER].split(","):
        tag, _, weight = item.partition(";")
        code = tag.strip().lower().partition("-")[0]
        if code in CODES:
            wanted[code] = max(wanted.get(code, 0.0), _weight(weight))
    best = max(wanted, key=lambda code: wanted[code], default=CODES[0])
    return language_of(best if wanted.get(best) else CODES[0])


def _weight(text: str) -> float:
    try:
        return min(1.0, max(0.0, float(text.strip().removeprefix("q=")))) if text.strip() else 1.0
    except ValueError:
        return 0.0
