"""What commands print beside their result: lines on standard error, and a status line that is overwritten."""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.safe_text import printable

_SHOWN_SECONDS: Final = 1.0
#: Where a terminal does not know its width.
_COLUMNS: Final = 80


def say(line: str) -> None:
    """Print a line on standard error; the work goes on even where standard error is closed."""
    _write(f"{printable(line)}\n")


class StatusLine:
    """One line on a terminal that is overwritten; nothing where standard error is not a terminal."""

    def __init__(self) -> None:
        self._is_used = sys.stderr.isatty()
        self._last = 0.0
        self._is_shown = False

    def show(self, text: Callable[[], str]) -> None:
        """Overwrite the line, but not more often than people can read it."""
        now = time.monotonic()
        if not self._is_used or now - self._last < _SHOWN_SECONDS:
            return
        self._last = now
        self._is_shown = True
        _write(f"\r\x1b[K{_fitting(printable(text()))}")

    def clear(self) -> None:
        """Remove the line, so that another one can be printed."""
        if self._is_shown:
            self._is_shown = False
            _write("\r\x1b[K")


def _fitting(text: str) -> str:
    """Return what fits into one line: what wraps is not overwritten. The end, with the numbers, is kept."""
    room = _columns() - 1
    if len(text) > room:
        return f"…{text[len(text) - room + 1 :]}"
    hint = ", Ctrl-C ends"
    return text + hint if len(text + hint) <= room else text


def _columns() -> int:
    with contextlib.suppress(OSError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    return _COLUMNS


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
