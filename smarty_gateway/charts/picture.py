"""Draws the history: bars of quarter hours, days or months, import up and export down, as SVG or PNG.

The command, the page and the report draw with this module. A bar is as wide as its time, so that a day of 92
or 100 quarter hours is right, and a gap is as wide as it was long. Quarter hours are mean powers in kW,
anything longer is energy in kWh.
"""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.charts.axes import TimeAxis, short, time_labels, value_labels
from smarty_gateway.charts.spans import height_line, height_of, is_known, row_lines, time_text, unit_of
from smarty_gateway.charts.style import SERIES
from smarty_gateway.config.extras import installation
from smarty_gateway.history.local_time import end_of
from smarty_gateway.history.rows import By, Row
from smarty_gateway.languages.language import Language, language_of
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: More would be thinner than a pixel.
MOST_BARS: Final = 1000
#: The share of its time that a bar leaves free on each side.
_MARGIN: Final = 0.07
_WIDE_MARGIN: Final = 0.2  # where an earlier span is behind it
_PNG_WIDTH: Final = 1280
#: Height, begin and end.
_Bar = tuple[float, float, float]
_ENGLISH: Final = language_of("en")
NEEDS_EXTRA: Final = f"pictures need the extra plot; type: {installation('plot')}"


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
        previous: the spans of an earlier day, month or year, drawn behind those of the same local time.
        previous_first: where that begins.
        previous_title: names it, such as "yesterday"; its year without one.
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
    previous_title: str = ""
    is_simulated: bool = False


def to_svg(picture: Picture, language: Language = _ENGLISH, *, with_style: bool = True) -> str:
    """Return a picture as SVG, for a file or inside a page.

    Args:
        picture: what is to be drawn.
        language: of the reader.
        with_style: without it, the page around the picture brings `charts.style.STYLE`.

    Raises:
        PictureError: the library that draws is not installed, or there are too many bars.
    """
    if len(picture.rows) > MOST_BARS:
        raise PictureError(
            f"{len(picture.rows)} bars do not fit into one picture; choose longer ones, such as --by day"
        )
    try:
        from smarty_gateway.charts.drawing import Drawing, draw  # noqa: PLC0415 - only pictures need pygal
    except ImportError:
        raise PictureError(NEEDS_EXTRA) from None
    axis = TimeAxis(picture.first, picture.last, picture.by, picture.zone)
    earlier = _earlier(picture, axis)
    series = _series(picture, axis, earlier)
    level = None if picture.level is None else picture.level / 1000
    ends = _ends(series)
    unit = unit_of(picture.by)
    drawing = Drawing(
        drawn_title(picture.title, language, is_simulated=picture.is_simulated),
        _description(picture.by, language),
        series,
        [_legend(name, picture, language) for name in series],
        ends,
        time_labels(axis, language),
        value_labels(*ends, level, unit, language),
        spans=_spans(picture, axis, earlier, language),
        has_level=level is not None,
    )
    return draw(drawing, with_style=with_style)


def to_png(svg: str) -> bytes:
    """Return a picture that has its style as PNG, in the colours of light mode.

    Raises:
        PictureError: the library that converts it, or one that this needs, is not installed.
    """
    try:
        from cairosvg import svg2png  # noqa: PLC0415 - only PNG needs it
    except ImportError:
        raise PictureError(NEEDS_EXTRA) from None
    except OSError:
        raise PictureError(
            "PNG pictures need the library cairo; type: sudo apt install libcairo2, or choose an .svg"
        ) from None
    return bytes(svg2png(bytestring=svg.encode(), output_width=_PNG_WIDTH))


def drawn_title(title: str, language: Language, *, is_simulated: bool) -> str:
    """Return the title of a picture, which says if nobody has measured what it shows."""
    simulated = language.gettext("simulated")
    return printable(f"{title} ({simulated})" if is_simulated else title)


def _description(by: By, language: Language) -> str:
    _ = language.gettext
    if by is By.QUARTER:
        return _("Mean power of each quarter hour in kW: import above zero, export below.")
    return _("Energy of each bar in kWh: import above zero, export below.")


def _legend(name: str, picture: Picture, language: Language) -> str:
    _ = language.gettext
    if name == "excess" and picture.level is not None:
        return " ".join((_("over"), short(picture.level / 1000, language), "kW"))
    names = {"import": _("import"), "excess": _("excess"), "export": _("export"), "unknown": _("unknown")}
    return _previous_title(picture) if name == "previous" else names[name]


def _previous_title(picture: Picture) -> str:
    return picture.previous_title or str(datetime.fromtimestamp(picture.previous_first, picture.zone).year)


def _earlier(picture: Picture, axis: TimeAxis) -> list[_Bar]:
    """Return the bars of the earlier span at the local times of this one."""
    begin, now = (
        datetime.fromtimestamp(time, picture.zone).replace(tzinfo=None)
        for time in (picture.previous_first, picture.first)
    )
    found = []
    for row in picture.previous:
        local = datetime.fromtimestamp(row.start, picture.zone).replace(tzinfo=None) - begin + now
        start = local.replace(tzinfo=picture.zone).timestamp()
        end = min(start + row.end - row.start, picture.last)
        if row.import_ is not None and row.covered and start < end:
            found.append((height_of(row, row.import_, picture.by), axis.place(start), axis.place(end)))
    return found


def _series(picture: Picture, axis: TimeAxis, earlier: list[_Bar]) -> Mapping[str, list[_Bar]]:
    """Return the bars of each series that has any, in the order in which they are drawn."""
    series: dict[str, list[_Bar]] = {name: [] for name in SERIES} | {"previous": earlier}
    margin = _WIDE_MARGIN if earlier else _MARGIN
    for row in picture.rows:
        if row.import_ is None or not is_known(row):
            continue
        free = (row.end - row.start) * margin
        place = axis.place(row.start + free), axis.place(row.end - free)
        if row.excess:
            series["excess"].append((height_of(row, row.import_, picture.by), *place))
        series["import"].append((height_of(row, row.import_ - (row.excess or 0), picture.by), *place))
        if row.export:
            series["export"].append((-height_of(row, row.export, picture.by), *place))
    ends = _ends(series)
    series["unknown"] = [
        (end, axis.place(row.start), axis.place(min(row.end, picture.last)))
        for row in picture.rows
        for end in ends
        if end and not is_known(row)
    ]
    return {name: bars for name, bars in series.items() if bars} or {"import": []}


def _ends(series: Mapping[str, Sequence[_Bar]]) -> tuple[float, float]:
    """Return the lowest and the highest end; a picture without any bar is one unit high."""
    heights = [0.0, *(height for bars in series.values() for height, _, _ in bars)]
    return min(heights), max(heights) or 1.0


def _spans(
    picture: Picture, axis: TimeAxis, earlier: Sequence[_Bar], language: Language
) -> Iterator[tuple[float, float, str]]:
    """Yield the place and the text of each span of which something is known."""
    begins, name = [begin for _, begin, _ in earlier], _previous_title(picture)
    rows: list[tuple[int, int, Row | None]] = [(row.start, row.end, row) for row in picture.rows]
    # What is still to come shows the earlier span.
    time = rows[-1][1] if rows else picture.first
    while earlier and time < picture.last:
        start, time = time, end_of(axis.by, time, axis.zone)
        rows.append((start, time, None))
    for start, end, row in rows:
        place = axis.place(start), axis.place(min(end, picture.last))
        lines = [] if row is None else list(row_lines(row, axis.by, language))
        middle = sum(place) / 2
        number = bisect(begins, middle) - 1
        if number >= 0 and middle < earlier[number][2]:
            lines.append(height_line(name, earlier[number][0], axis.by, language))
        if lines:
            yield *place, "\n".join([time_text(start, end, axis, language), *lines])
