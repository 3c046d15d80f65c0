"""Draws bars and curves into a frame that pygal makes: title, axes, guides and legend.

pygal's own bars and lines cost three times as much, for tooltips that only its script would show. A span of
time has its text in an invisible area as high as the frame: people find it by mouse without any script, and
`charts.js` finds it by finger and keyboard. This module loads pygal; import it with the first picture.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from pygal import Histogram
from pygal.etree import etree
from pygal.style import Style

from smarty_gateway.charts.axes import NARROW_LABELS
from smarty_gateway.charts.style import CLASS, HEIGHT, LAYOUT_SIZE, PICTURE_STYLE, WIDTH

# pygal adds a finder of modules that has not worked since Python 3.4, and that Python warns about.
sys.meta_path[:] = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
# Where lxml is installed pygal would take it, and the pictures are made of Python's own elements.
etree.to_etree()

#: Height, begin and end.
Bar = tuple[float, float, float]
#: Places and heights, from left to right.
Curve = Sequence[tuple[float, float]]
#: Elements and classes of what only pygal's script uses.
_NEEDLESS: Final = {"script", "style", "desc", "tooltip-overlay", "text-overlay", "overlay"}
_MARGIN: Final = 8
#: Letters of the legend in a row, less those that its boxes take.
_LEGEND: Final = 42
_SIZES: Final = dict.fromkeys(("label", "major_label", "legend", "title"), LAYOUT_SIZE)
_STYLE: Final = Style(**{f"{name}_font_size": size for name, size in _SIZES.items()})


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn. Places are days from the left.

    Attributes:
        title: above the picture.
        description: what it shows, for people who do not see it.
        series: bars or curves by class, from the back to the front.
        legend: the names of the series.
        ends: the lowest and the highest value.
        time_labels: places and texts; the first and the last one are the ends.
        value_labels: heights and texts; where there is a level, its own is the last one.
        has_level: of the reference power.
        spans: begin, end and text of each span of time.
    """

    title: str
    description: str
    series: Mapping[str, Sequence[Bar] | Sequence[Curve]]
    legend: Sequence[str]
    ends: tuple[float, float]
    time_labels: Sequence[tuple[float, str]]
    value_labels: Sequence[tuple[float, str]]
    has_level: bool
    spans: Iterable[tuple[float, float, str]]


def draw(drawing: Drawing, *, with_style: bool) -> str:
    """Return a drawing as SVG.

    Args:
        drawing: what is drawn.
        with_style: it brings its style; otherwise the page around it does.
    """
    chart = _Chart(drawing)
    root = chart.render_tree()
    _simplify(root, drawing)
    etree.SubElement(root, "desc").text = drawing.description
    if with_style:
        etree.SubElement(root.find("defs"), "style").text = PICTURE_STYLE
    return str(etree.tostring(root, encoding="unicode"))


class _Chart(Histogram):  # type: ignore[misc]  # pygal has no types
    """A frame of pygal's with what is ours inside."""

    def __init__(self, drawing: Drawing) -> None:
        names = len(drawing.legend)
        rows = ceil(names * max(map(len, drawing.legend)) / _LEGEND)
        columns = ceil(names / min(rows, names))
        # pygal rounds the number of rows down when it leaves space for them.
        missing = ceil(names / columns) - names // columns
        super().__init__(
            width=WIDTH,
            height=HEIGHT,
            style=_STYLE,
            title=drawing.title,
            margin=_MARGIN,
            margin_bottom=_MARGIN + missing * 1.5 * LAYOUT_SIZE,
            spacing=6,
            js=(),
            no_prefix=True,
            legend_at_bottom=True,
            legend_at_bottom_columns=columns,
            truncate_legend=-1,
            truncate_label=-1,
        )
        self.drawing = drawing
        self.x_labels = [{"value": place, "label": text} for place, text in drawing.time_labels]
        self.y_labels = [{"value": place, "label": text} for place, text in drawing.value_labels]
        width = drawing.time_labels[-1][0]
        for name in drawing.legend:
            self.add(name, [(end, 0, width) for end in drawing.ends])

    def bar(self, serie: Any, rescale: bool = False) -> None:  # noqa: ANN401, FBT001, FBT002, ARG002 - pygal's
        """Draw a series."""
        group, view = self.svg.serie(serie)["plot"], self.view
        zero, areas = view.y(0), []
        for mark in list(self.drawing.series.values())[serie.index]:
            if isinstance(mark, tuple):
                height, begin, end = mark
                top, left = view.y(height), view.x(begin)
                _add_rect(group, left, min(top, zero), view.x(end) - left, abs(zero - top))
                continue
            line = " ".join(f"{view.x(place):.1f} {view.y(height):.1f}" for place, height in mark)
            areas.append(f"M{line}V{zero:.1f}H{view.x(mark[0][0]):.1f}Z")
        if areas:
            etree.SubElement(group, "path", {"class": "area", "d": "".join(areas)})

    def _plot(self) -> None:
        super()._plot()
        group = etree.SubElement(self.nodes["plot"], "g", {"class": "spans"})
        for begin, end, text in self.drawing.spans:
            left = self.view.x(begin)
            area = _add_rect(group, left, 0, self.view.x(end) - left, self.view.height)
            etree.SubElement(area, "title").text = text


def _add_rect(parent: Any, left: float, top: float, width: float, height: float) -> Any:  # noqa: ANN401 - pygal's
    sizes = {"x": left, "y": top, "width": width, "height": height}
    return etree.SubElement(parent, "rect", {name: f"{size:.8g}" for name, size in sizes.items()})


def _simplify(root: Any, drawing: Drawing) -> None:  # noqa: ANN401 - of two libraries
    """Remove scripts, pygal's tooltips and comments, and name the parts as the style does."""
    names = list(drawing.series)
    for parent in list(root.iter()):
        for node in list(parent):
            is_tooltip = node.tag == "title" and parent is not root and parent.tag != "rect"
            if is_tooltip or node.tag in _NEEDLESS or _classes(node) & _NEEDLESS or callable(node.tag):
                parent.remove(node)
    for node in root.iter():
        node.attrib.pop("id", None)
        for name in _classes(node):
            if match := re.fullmatch(r"(?:serie|color)-(\d+)", name):
                node.set("class", names[int(match[1])])
        guides = node.findall("g")
        if guides and "y" in _classes(node) and drawing.has_level:
            guides[-1].set("class", "level")
        if "x" in _classes(node) and len(guides) > NARROW_LABELS + 2:
            for guide in guides[2::2]:
                guide.set("class", "minor")
    root.set("class", CLASS)
    root.set("role", "img")


def _classes(node: Any) -> set[str]:  # noqa: ANN401 - the same
    return set(node.get("class", "").split())
