"""A line of CSV, safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterable
from typing import Final

from smarty_gateway.safe_text import printable

#: With one of them a spreadsheet begins a formula, which may start a program.
_FORMULA: Final = ("=", "+", "-", "@")


def csv_text(text: str) -> str:
    """Return a text as a spreadsheet shows it; a meter can choose its id, and so its name, as a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def csv_line(cells: Iterable[str]) -> str:
    """Return cells as a line, without its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
