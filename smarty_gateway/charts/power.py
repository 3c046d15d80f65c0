"""Draws the net power of the last hours: a curve, import above zero and export below it.

Short peaks stay visible: the curve goes through the lowest and the highest point of each few minutes.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.charts.axes import TimeAxis, time_labels, value_labels
from smarty_gateway.charts.picture import drawn_title
from smarty_gateway.charts.spans import clock_times, line
from smarty_gateway.history.rows import By
from smarty_gateway.languages.language import Language

#: A column of the curve is about two units of the picture wide, a span that one can point at six.
_COLUMNS: Final = 288
_COLUMNS_OF_SPAN: Final = 3
#: UTC seconds and kW.
_Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PowerPicture:
    """What is to be drawn.

    Attributes:
        title: such as "The last 24 hours".
        points: UTC seconds and net power in W, in the order of time; None where a gap begins. Two points
            with the same power are a step; the second one is a second before its end.
        first: where the picture begins, in UTC seconds.
        last: where it ends.
        zone: of its labels.
        level: the reference power in W, as a line.
        is_simulated: the title says so.
    """

    title: str
    points: Iterable[tuple[int, float | None]]
    first: int
    last: int
    zone: ZoneInfo
    level: int | None = None
    is_simulated: bool = False


def power_svg(picture: PowerPicture, language: Language) -> str:
    """Return a power curve as SVG for a page, which brings `charts.style.STYLE`."""
    from smarty_gateway.charts.drawing import Drawing, draw  # noqa: PLC0415 - only pictures need pygal

    _ = language.gettext
    names = {"import": _("import"), "export": _("export")}
    axis = TimeAxis(picture.first, picture.last, By.QUARTER, picture.zone)
    column = max((picture.last - picture.first) // _COLUMNS, 1)
    runs = [list(_reduced(run, column)) for run in _runs(picture)]
    heights = [0.0, *(height for run in runs for _, height in run)]
    ends = min(heights), max(heights) or 1.0
    level = None if picture.level is None else picture.level / 1000
    curves = {
        name: [
            [(axis.place(time), height) for time, height in part]
            for run in runs
            for part in _parts(run, sign)
        ]
        for name, sign in (("import", 1), ("export", -1))
    }
    series = {name: parts for name, parts in curves.items() if parts} or {"import": []}
    drawing = Drawing(
        drawn_title(picture.title, language, is_simulated=picture.is_simulated),
        _("Net power in kW: import above zero, export below."),
        series,
        [names[name] for name in series],
        ends,
        time_labels(axis, language),
        value_labels(*ends, level, "kW", language),
        has_level=level is not None,
        spans=_spans(runs, axis, column * _COLUMNS_OF_SPAN, language),
    )
    return draw(drawing, with_style=False)


def _runs(picture: PowerPicture) -> Iterator[list[_Point]]:
    """Yield the points between gaps, in kW, as far as they are in the picture."""
    inside = (point for point in picture.points if picture.first <= point[0] <= picture.last)
    for is_gap, run in groupby(inside, key=lambda point: point[1] is None):
        if not is_gap:
            yield [(time, power / 1000) for time, power in run if power is not None]


def _reduced(run: Sequence[_Point], column: int) -> Iterator[_Point]:
    """Yield the ends of a run, and the lowest and the highest point of each column."""
    yield run[0]
    for _, points in groupby(run, key=lambda point: point[0] // column):
        found = list(points)
        low, high = min(found, key=_height), max(found, key=_height)
        yield from sorted({low, high})
    yield run[-1]


def _height(point: _Point) -> float:
    return point[1]


def _parts(run: Sequence[_Point], sign: int) -> Iterator[list[_Point]]:
    """Yield the parts of a run on one side of zero; each begins and ends where the curve crosses zero."""
    crossed = [run[0]]
    for (time, height), (next_time, next_height) in pairwise(run):
        if height * next_height < 0:
            crossed.append((time + (next_time - time) * height / (height - next_height), 0.0))
        crossed.append((next_time, next_height))
    for is_here, part in groupby(crossed, key=lambda point: point[1] * sign >= 0):
        points = list(part)
        if is_here and any(height for _, height in points):
            yield points


def _spans(
    runs: Sequence[Sequence[_Point]], axis: TimeAxis, length: int, language: Language
) -> Iterator[tuple[float, float, str]]:
    """Yield the place and the text of each span of which something is known."""
    _ = language.gettext
    points = (point for run in runs for point in run)
    for number, group in groupby(points, key=lambda point: int(point[0] // length)):
        begin, end = number * length, (number + 1) * length
        heights = [height for _, height in group]
        texts = [clock_times(begin, end, axis.zone)]
        low, high = (language.quantity(height, 3, "kW") for height in (min(heights), max(heights)))
        if low == high:
            texts.append(line(_("net power"), low, language))
        else:
            texts.append(line(_("highest"), high, language))
            texts.append(line(_("lowest"), low, language))
        place = max(axis.place(begin), 0.0), min(axis.place(end), axis.width)
        if place[0] < place[1]:
            yield *place, "\n".join(texts)
