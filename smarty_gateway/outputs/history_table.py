"""Prints tables of the history so that they fit the terminal.

Values, units and times are never cut: where not all columns fit, those on the right give way, and a line
below names them. What is left of the width is for bars.
"""

import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from smarty_gateway.outputs.history_sheets import Bar, Sheet
from smarty_gateway.outputs.table import PipeConsole, flow
from smarty_gateway.safe_text import printable

_PLAIN_WIDTH: Final = 120
_GAP: Final = "  "
#: Columns of a bar: a shorter one says nothing, in a longer one the eye gets lost.
_SHORTEST_BAR, _LONGEST_BAR = 8, 40
#: For import, excess and export; then the same where a terminal has only ASCII.
_STROKES: Final = ("█", "▓", "░")
_ASCII_STROKES: Final = ("#", "!", "-")
_NAMES: Final = ("import", "excess", "export")
_STYLES: Final = ("blue", "red", "green")
SIMULATED: Final = "simulated, nobody has measured this"


def print_sheets(sheets: Iterable[Sheet]) -> None:
    """Print tables, one after the other."""
    console = PipeConsole(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    strokes = _ASCII_STROKES if console.options.ascii_only else _STROKES
    for number, sheet in enumerate(sheets):
        lines = [Text()] if number else []
        for line in (*lines, *lines_of(sheet, console.width, strokes)):
            console.print(line, no_wrap=True, overflow="ignore", crop=False)


def lines_of(sheet: Sheet, width: int, strokes: Sequence[str] = _STROKES) -> Iterator[Text]:
    """Yield the lines of a table that fits into this many columns."""
    yield from _title(sheet, width)
    shown, dropped = _fitting(sheet, width)
    widths = [_width_of(sheet, at) for at in shown]
    label = _label_width(sheet)
    room = width - label - sum(len(_GAP) + wide for wide in widths) - len(_GAP)
    bars = min(room, _LONGEST_BAR) if room >= _SHORTEST_BAR else 0
    scale = max((_size(line.bar) for line in sheet.lines), default=0.0)
    columns = [sheet.columns[at] for at in shown]
    for name, cells in (
        (sheet.label.name, [column.name for column in columns]),
        (sheet.label.unit, [column.unit for column in columns]),
    ):
        yield Text(_row(name, label, cells, widths).rstrip(), "bold dim")
    for line in sheet.lines:
        if line.is_heading:
            yield from flow([Text(printable(line.label), "bold")], width)
            continue
        cells = [printable(line.cells[at]) for at in shown]
        drawn = Text(_row(line.label, label, cells, widths))
        if bars and line.bar is not None and scale:
            drawn.append(_GAP).append_text(_drawn(line.bar, bars / scale, strokes))
        drawn.rstrip()
        yield drawn
        yield from _folded(line.note, width)
    drawn_bars = [line.bar for line in sheet.lines if line.bar is not None] if bars and scale else []
    meanings = (f"{column.name}: {column.meaning}" for column in columns if column.meaning)
    for note in (_legend(drawn_bars, strokes), "; ".join(meanings), *sheet.notes):
        yield from _folded(note, width)
    if dropped:
        names = ", ".join(sheet.columns[at].name for at in dropped)
        yield from _folded(f"no room for: {names}", width)


def _title(sheet: Sheet, width: int) -> Iterator[Text]:
    pieces = [Text(line, "bold") for line in _wrapped(printable(sheet.title), width)]
    if sheet.is_simulated:
        pieces.append(Text(SIMULATED, "bold yellow"))
    yield from flow(pieces, width)


def _fitting(sheet: Sheet, width: int) -> tuple[list[int], list[int]]:
    """Return the columns that have values and fit, and those that do not fit; the first one always stays."""
    used = [
        at
        for at in range(len(sheet.columns))
        if any(line.cells[at] for line in sheet.lines if not line.is_heading)
    ]
    room = width - _label_width(sheet)
    shown: list[int] = []
    for at in used:
        room -= len(_GAP) + _width_of(sheet, at)
        if room < 0 and shown:
            break
        shown.append(at)
    return shown, used[len(shown) :]


def _width_of(sheet: Sheet, at: int) -> int:
    column = sheet.columns[at]
    cells = [printable(line.cells[at]) for line in sheet.lines if not line.is_heading]
    return max(map(cell_len, (column.name, column.unit, *cells)))


def _label_width(sheet: Sheet) -> int:
    return max(map(cell_len, (sheet.label.name, *(x.label for x in sheet.lines if not x.is_heading))))


def _row(label: str, wide: int, cells: Sequence[str], widths: Sequence[int]) -> str:
    shown = (
        f"{_GAP}{' ' * (width - cell_len(cell))}{cell}" for cell, width in zip(cells, widths, strict=True)
    )
    return f"{label}{' ' * (wide - cell_len(label))}{''.join(shown)}"


def _size(bar: Bar | None) -> float:
    return 0.0 if bar is None else bar.import_ + bar.export


def _drawn(bar: Bar, scale: float, strokes: Sequence[str]) -> Text:
    """Return a bar: import up to the reference power, the excess, and export."""
    ends = [round(end * scale) for end in (bar.import_ - bar.excess, bar.import_, bar.import_ + bar.export)]
    text = Text()
    for begin, end, stroke, style in zip((0, *ends), ends, strokes, _STYLES, strict=False):
        text.append(stroke * (end - begin), style)
    return text


def _legend(bars: Sequence[Bar], strokes: Sequence[str]) -> str:
    """Return what the strokes mean, where there are several."""
    amounts = zip(*((bar.import_, bar.excess, bar.export) for bar in bars), strict=True)
    used = [
        f"{stroke} {name}" for stroke, name, some in zip(strokes, _NAMES, amounts, strict=False) if any(some)
    ]
    return _GAP.join(used) if len(used) > 1 else ""


def _folded(note: str, width: int) -> Iterator[Text]:
    """Yield a note in as many lines as it takes, between words."""
    for line in _wrapped(printable(note), width - len(_GAP)):
        yield Text(_GAP + line, "dim")


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False)
