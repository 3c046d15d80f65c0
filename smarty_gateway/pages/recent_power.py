"""The power of the last hours: what the gateway remembers, and before that the history."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Final

from smarty_gateway.charts.power import PowerPicture, power_svg
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.pages.history_words import time_of
from smarty_gateway.pages.moments import local
from smarty_gateway.pages.sections import Table, TableRow
from smarty_gateway.pages.site import ShownMeter, View
from smarty_gateway.pages.snapshots import PowerCurve

_HOUR: Final = 3600
#: How many hours the picture may show.
HOURS: Final = (24, 48)

#: UTC seconds, and net power in W; None where a gap begins.
Point = tuple[int, float | None]


def points_of(view: View, meter: ShownMeter, curve: PowerCurve, hours: int) -> list[Point]:
    """Return the net power of the last hours in the order of time; the last point ends it.

    Args:
        view: with the history.
        meter: whose.
        curve: what the gateway remembers.
        hours: how far to go back.
    """
    first = view.now - hours * _HOUR
    remembered = [
        (curve.first + place * curve.step, watts)
        for place, watts in enumerate(curve.watts)
        if curve.first + place * curve.step >= first
    ]
    begin = next((time for time, watts in remembered if watts is not None), view.now)
    end = max(begin, curve.first + len(curve.watts) * curve.step)
    return [
        *_of_history(view, meter, first, begin),
        *(point for point in remembered if point[0] >= begin),
        (end, None),
    ]


def _of_history(view: View, meter: ShownMeter, first: int, last: int) -> Iterator[Point]:
    """Yield the means of the quarter hours as steps, up to the time from which the gateway remembers more."""
    if view.history is None or meter.history is None or first >= last:
        return
    begin, end = first - first % QUARTER, -(-last // QUARTER) * QUARTER
    rows = view.history.reader.rows(meter.history.name, By.QUARTER, begin, end, view.now)
    for row in rows:
        if not row.complete:
            yield row.start, None
            continue
        power = ((row.import_ or 0) - (row.export or 0)) * _HOUR / QUARTER
        yield max(row.start, first), power
        yield min(row.end, last) - 1, power
    if rows and rows[-1].end < last:
        yield rows[-1].end, None  # how long that gap is, its next boundary will tell


def picture_of(view: View, meter: ShownMeter, points: Sequence[Point], hours: int) -> str:
    """Return the picture of the last hours as SVG, which takes its style from the page."""
    _ = view.language.gettext
    level = None
    if view.history is not None and meter.history is not None:
        level = view.history.level_of(meter.history)
    title = _("Last {hours} hours").format(hours=hours)
    picture = PowerPicture(
        title, points, view.now - hours * _HOUR, view.now, view.zone, level, is_simulated=meter.is_simulated
    )
    return power_svg(picture, view.language)


def hours_table(view: View, points: Sequence[Point]) -> Table:
    """Return the mean and the extremes of each hour, the newest first."""
    _, language = view.language.gettext, view.language
    rows = []
    for hour, group in groupby(pairwise(points), key=lambda pair: pair[0][0] // _HOUR):
        # A quarter hour of the history is two points, one of the memory is ninety: each counts for its time.
        known = [(power / 1000, end - time) for (time, power), (end, _) in group if power is not None]
        if known:
            start = hour * _HOUR
            powers = [power for power, _seconds in known]
            energy = sum(power * seconds for power, seconds in known)
            mean = energy / sum(seconds for _power, seconds in known)
            day = language.weekdays()[local(view, start).weekday()]
            label = f"{day}\N{NO-BREAK SPACE}{time_of(start, view.zone, language)}"
            values = (mean, min(powers), max(powers))
            rows.append(TableRow([label, *(language.number(value, 3) for value in values)]))
    head = [_("Hour from"), _("Mean (kW)"), _("Lowest (kW)"), _("Highest (kW)")]
    return Table(_("Net power by hour"), head, rows[::-1], is_folded=True)
