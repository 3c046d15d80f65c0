"""Draws the history: bars of quarter hours, days or months, import up and export down, as SVG or PNG.

The command, the page and the report draw with this module. A bar is as wide as its time, so that a day of 92
or 100 quarter hours is right, and a gap is as wide as it was long. Quarter hours are mean powers in kW,
anything longer is energy in kWh.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil, floor, log10
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.charts.style import CLASS, HEIGHT, LAYOUT_SIZE, SERIES, STYLE, WIDTH
from smarty_gateway.charts.words import ENGLISH, Words
from smarty_gateway.history.rows import By, Row
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: More would be thinner than a pixel.
MOST_BARS: Final = 1000
#: The share of its time that a bar leaves free on each side.
_MARGIN: Final = 0.07
_WIDE_MARGIN: Final = 0.2  # where the year before is behind it
#: How many guides there are about, and which share of their distance one keeps from the level.
_TICKS: Final = 5
_NEAR: Final = 0.45
#: How many labels fit below the bars, and how many of them in a narrow frame.
_LABELS: Final = 16
_NARROW_LABELS: Final = 8
_HOURS: Final = (1, 3, 6)
_DAY: Final = 86_400
#: Stretches up to these are labelled by hour, by day of the week, by day of the month, by month.
_FEW_HOURS: Final = 2 * _DAY
_FEW_DAYS: Final = 10 * _DAY
_FEW_WEEKS: Final = 62 * _DAY
_YEAR: Final = 367 * _DAY
_PNG_WIDTH: Final = 1280
_NEEDS_EXTRA: Final = "pictures need the extra plot; type: pip install 'smarty-gateway[plot]'"
#: Of a picture without script: elements and classes.
_NEEDLESS: Final = {"script", "style", "desc", "tooltip-overlay", "text-overlay"}
#: Height, begin and end.
_Bar = tuple[float, float, float]


class PictureError(GatewayError):
    """A picture cannot be drawn; the text says why and what to type."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be drawn.

    Attributes:
        title: such as the name of the meter and the date.
        rows: in the order of time.
        first: where the picture begins, in UTC seconds.
        last: where it ends.
        by: how long its spans are.
        zone: of its labels.
        level: the reference power in W, as a line; for quarter hours only.
        previous: the spans of an earlier year, drawn behind.
        previous_first: where that year begins.
        is_simulated: the title says so.
    """

    title: str
    rows: Sequence[Row]
    first: int
    last: int
    by: By
    zone: ZoneInfo
    level: int | None = None
    previous: Sequence[Row] = ()
    previous_first: int = 0
    is_simulated: bool = False


def to_svg(picture: Picture, words: Words = ENGLISH) -> str:
    """Return a picture as SVG, for a file or inside a page.

    Raises:
        PictureError: the library that draws is not installed, or there are too many bars.
    """
    if len(picture.rows) > MOST_BARS:
        raise PictureError(
            f"{len(picture.rows)} bars do not fit into one picture; choose longer ones, such as --by day"
        )
    try:
        from pygal import Histogram  # noqa: PLC0415 - only pictures need it
        from pygal.etree import etree  # noqa: PLC0415
        from pygal.style import Style  # noqa: PLC0415
    except ImportError:
        raise PictureError(_NEEDS_EXTRA) from None
    # pygal adds a finder of modules that has not worked since Python 3.4, and that Python warns about.
    sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    sizes = dict.fromkeys(("label", "major_label", "legend", "title"), LAYOUT_SIZE)
    series = _series(picture)
    chart = Histogram(
        width=WIDTH,
        height=HEIGHT,
        style=Style(**{f"{name}_font_size": size for name, size in sizes.items()}),
        title=_title(picture, words),
        margin=8,
        spacing=6,
        js=(),
        no_prefix=True,
        legend_at_bottom=True,
        legend_at_bottom_columns=max(len(series), 1),
        truncate_legend=-1,
        truncate_label=-1,
    )
    chart.x_labels = [{"value": place, "label": text} for place, text in _labels(picture, words)]
    chart.y_labels = [{"value": place, "label": text} for place, text in _ticks(picture, series)]
    for name, bars in series.items():
        chart.add(_legend(name, picture, words), bars)
    root = chart.render_tree()
    _simplify(root, list(series), has_level=picture.level is not None)
    etree.SubElement(root.find("defs"), "style").text = STYLE
    return str(etree.tostring(root, encoding="unicode"))


def to_png(svg: str) -> bytes:
    """Return a picture as PNG, in the colours of light mode.

    Raises:
        PictureError: the library that converts it, or one that this needs, is not installed.
    """
    try:
        from cairosvg import svg2png  # noqa: PLC0415 - only PNG needs it
    except ImportError:
        raise PictureError(_NEEDS_EXTRA) from None
    except OSError:
        raise PictureError(
            "PNG pictures need the library cairo; type: sudo apt install libcairo2, or choose an .svg"
        ) from None
    return bytes(svg2png(bytestring=svg.encode(), output_width=_PNG_WIDTH))


def _title(picture: Picture, words: Words) -> str:
    return printable(f"{picture.title} ({words.simulated})" if picture.is_simulated else picture.title)


def _legend(name: str, picture: Picture, words: Words) -> str:
    if name == "excess" and picture.level is not None:
        return f"{words.over} {picture.level / 1000:g} kW"
    if name == "previous":
        return str(datetime.fromtimestamp(picture.previous_first, picture.zone).year)
    return str(getattr(words, "import_" if name == "import" else name))


def _series(picture: Picture) -> dict[str, list[_Bar]]:
    """Return the bars of each series that has any, in the order in which they are drawn."""
    series: dict[str, list[_Bar]] = {name: [] for name in SERIES}
    gaps: list[Row] = []
    for row in picture.rows:
        if row.import_ is None or not (row.complete or row.covered):
            gaps.append(replace(row, end=min(row.end, picture.last)))
            continue
        span = _span(row, picture.first, _WIDE_MARGIN if picture.previous else _MARGIN)
        if row.excess:
            series["excess"].append((_height(picture, row, row.import_), *span))
        series["import"].append((_height(picture, row, row.import_ - (row.excess or 0)), *span))
        if row.export:
            series["export"].append((-_height(picture, row, row.export), *span))
    series["previous"] = [
        (_height(picture, row, row.import_), *_span(row, picture.previous_first, 0))
        for row in picture.previous
        if row.import_ is not None and row.covered
    ]
    ends = _ends(series)
    series["unknown"] = [(end, *_span(row, picture.first, 0)) for row in gaps for end in ends if end]
    return {name: bars for name, bars in series.items() if bars} or {"import": [(0.0, 0.0, 0.0)]}


def _height(picture: Picture, row: Row, energy: float) -> float:
    """Return the height of a bar: mean kW of a quarter hour, kWh of anything longer."""
    is_power = picture.by is By.QUARTER and row.known_seconds > 0
    return energy * 3.6 / row.known_seconds if is_power else energy / 1000


def _span(row: Row, first: int, margin: float) -> tuple[float, float]:
    """Return where a bar begins and ends, in days."""
    free = (row.end - row.start) * margin
    return (row.start + free - first) / _DAY, (row.end - free - first) / _DAY


def _ends(series: dict[str, list[_Bar]]) -> tuple[float, float]:
    """Return the lowest and the highest end; a picture without any bar is one unit high."""
    heights = [0.0, *(height for bars in series.values() for height, _, _ in bars)]
    return min(heights), max(heights) or 1.0


def _ticks(picture: Picture, series: dict[str, list[_Bar]]) -> list[tuple[float, str]]:
    """Return the places and texts of the labels on the left, that of the level last."""
    low, high = _ends(series)
    level = None if picture.level is None else picture.level / 1000
    high = max(high, level or 0)
    rough = (high - low) / _TICKS
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    unit = "kW" if picture.by is By.QUARTER else "kWh"
    places = [number * step for number in range(ceil(low / step), floor(high / step) + 1)]
    ticks = [
        (place, f"{place:g} {unit}")
        for place in (float(f"{place:.6g}") for place in places)
        if level is None or abs(place - level) > step * _NEAR
    ]
    return ticks if level is None else [*ticks, (level, f"{level:g} {unit}")]


def _labels(picture: Picture, words: Words) -> list[tuple[float, str]]:
    """Return the places and texts of the labels below; an empty one on both sides fixes the width."""
    marks = list(_marks(picture, words))
    shown = marks[:: ceil(len(marks) / _LABELS) or 1]
    width = (picture.last - picture.first) / _DAY
    inside = [((place - picture.first) / _DAY, text) for place, text in shown]
    return [(0.0, ""), *inside, (width, "")]


def _marks(picture: Picture, words: Words) -> Iterator[tuple[float, str]]:
    """Yield the times at which labels may stand: hours at their beginning, anything longer in its middle."""
    length = picture.last - picture.first
    if length > _FEW_HOURS or picture.by not in (By.QUARTER, By.HOUR):
        for text, group in groupby(_days(picture), key=_naming(picture, words)):
            days = list(group)
            end = min((days[-1] + timedelta(days=1)).timestamp(), picture.last)
            yield (max(days[0].timestamp(), picture.first) + end) / 2, text
        return
    step = next((hours for hours in _HOURS if length <= hours * 3600 * (_NARROW_LABELS + 1)), _HOURS[-1])
    free = float(picture.first)
    for day in _days(picture):
        for hour in range(0, 24, step):
            time = day.replace(hour=hour).timestamp()
            # On the day on which clocks are set forward, two times are an hour nearer than labels need.
            if free <= time < picture.last:
                yield time, f"{hour:02}:00"
                free = time + step * 3600


def _naming(picture: Picture, words: Words) -> Callable[[datetime], str]:
    """Return what names the days that share a label."""
    length = picture.last - picture.first
    if length > _YEAR or picture.by is By.YEAR:
        return lambda day: f"{day.year}"
    if length > _FEW_WEEKS or picture.by is By.MONTH:
        return lambda day: words.months[day.month - 1]
    if length > _FEW_DAYS:
        return lambda day: f"{day.day}"
    return lambda day: f"{words.weekdays[day.weekday()]} {day.day}"


def _days(picture: Picture) -> Iterator[datetime]:
    """Yield the local midnights, from the last one before the beginning."""
    day = datetime.fromtimestamp(picture.first, picture.zone).replace(hour=0, minute=0, fold=0)
    while day.timestamp() < picture.last:
        yield day
        day += timedelta(days=1)


def _simplify(root: Any, names: Sequence[str], *, has_level: bool) -> None:  # noqa: ANN401 - of two libraries
    """Remove scripts, tooltips and comments, and name the parts as the style does."""
    for parent in list(root.iter()):
        for node in list(parent):
            is_tooltip = node.tag == "title" and parent is not root
            if is_tooltip or node.tag in _NEEDLESS or _classes(node) & _NEEDLESS or callable(node.tag):
                parent.remove(node)
    for node in root.iter():
        node.attrib.pop("id", None)
        for name in _classes(node):
            if match := re.fullmatch(r"(?:serie|color)-(\d+)", name):
                node.set("class", names[int(match[1])])
        guides = node.findall("g")
        if guides and "y" in _classes(node) and has_level:
            guides[-1].set("class", "level")
        if "x" in _classes(node) and len(guides) > _NARROW_LABELS + 2:
            for guide in guides[2::2]:
                guide.set("class", "minor")
    root.set("class", CLASS)
    root.set("role", "img")


def _classes(node: Any) -> set[str]:  # noqa: ANN401 - the same
    return set(node.get("class", "").split())
