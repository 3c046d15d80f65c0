"""Sentences about the history: English for the command line, and translatable for the page and the report."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Self

#: What a sentence can have inside; several values are listed with commas.
Value = str | date | float | Decimal | tuple["Value", ...]


class Sentence(str):
    """A text in English that knows its form, so that it can be translated.

    Args:
        form: the English text with fields such as `{level:g}`; catalogues translate it.
        values: of the fields.
    """

    __slots__ = ("form", "values")

    form: str
    values: Mapping[str, Value]

    def __new__(cls, form: str, **values: Value) -> Self:
        """Return the text."""
        made = super().__new__(cls, form.format(**{name: _text(value) for name, value in values.items()}))
        made.form, made.values = form, values
        return made


def _text(value: Value) -> str | float | Decimal:
    if isinstance(value, tuple):
        return ", ".join(str(_text(one)) for one in value)
    return str(value) if isinstance(value, date) else value
