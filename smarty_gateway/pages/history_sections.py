"""The views of the history as sections: a day, a month, a year, and what is needed to check a bill."""

from collections.abc import Sequence
from datetime import date

from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.languages.language import Language
from smarty_gateway.pages.sections import Section
from smarty_gateway.state.history_access import History


def span_sections(
    history: History, meter: HistoryMeter, by: By, day: date, language: Language
) -> Sequence[Section]:
    """Return what there is of a day, a month or a year.

    Args:
        history: open.
        meter: whose.
        by: DAY, MONTH or YEAR: what is shown, by quarters, by days or by months.
        day: in it.
        language: of the reader.
    """
    raise NotImplementedError


def bill_sections(history: History, meter: HistoryMeter, language: Language) -> Sequence[Section]:
    """Return level comparison, highest quarter hours, register readings and, with a tariff, costs."""
    raise NotImplementedError
