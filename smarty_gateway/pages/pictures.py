"""What a picture of the history shows: the rows of a stretch, its level, and what was before, behind it."""

from dataclasses import replace
from zoneinfo import ZoneInfo

from smarty_gateway.charts.picture import Picture
from smarty_gateway.history.local_time import local_date, preceding
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import Stretch, span_stretch
from smarty_gateway.state.history_access import History


def picture_of(
    history: History, meter: HistoryMeter, stretch: Stretch, title: str, earlier_title: str = ""
) -> Picture:
    """Return the picture of a stretch; of a day, month or year with the one before behind it.

    Args:
        history: open.
        meter: whose.
        stretch: what is shown.
        title: of the picture.
        earlier_title: names the day, month or year before; by default by its date.
    """
    first = meter.first if stretch.first is None else stretch.first
    picture = Picture(
        title,
        history.rows(meter, stretch),
        first,
        meter.last if stretch.last is None else stretch.last,
        stretch.by,
        history.zone,
        is_simulated=meter.is_simulated,
    )
    if stretch.by is By.QUARTER:
        reference = history.reference_of(meter)
        level = None if reference is None else reference.on(local_date(first, history.zone))
        picture = replace(picture, level=level)
    earlier = _earlier(stretch, history.zone)
    if earlier is None or earlier.first is None:
        return picture
    return replace(
        picture,
        previous=history.rows(meter, earlier),
        previous_first=earlier.first,
        previous_title=earlier_title or earlier.title,
    )


def _earlier(stretch: Stretch, zone: ZoneInfo) -> Stretch | None:
    """Return the day, month or year before; None of any other stretch."""
    if stretch.first is None:
        return None
    day = local_date(stretch.first, zone)
    for by in (By.DAY, By.MONTH, By.YEAR):
        if stretch == span_stretch(by, day, zone):
            return span_stretch(by, preceding(by, day), zone)
    return None
