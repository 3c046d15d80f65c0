"""The views of the history as pages, with the way to the spans before and after."""

from datetime import date

from smarty_gateway.history.rows import By
from smarty_gateway.pages.site import ShownMeter, View


def span_page(view: View, meter: ShownMeter, by: By, day: date) -> str:
    """Return the page of a day, a month or a year; of a meter without a history it says so."""
    raise NotImplementedError


def bill_page(view: View, meter: ShownMeter) -> str:
    """Return the page that helps to check a bill."""
    raise NotImplementedError
