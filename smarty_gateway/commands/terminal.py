"""What commands say to people beside their result: lines on standard error, and one that is written anew."""

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.safe_text import printable

_SHOWN_SECONDS: Final = 1.0


def say(line: str) -> None:
    """Tell the user; the work goes on even where nobody can hear this any more."""
    _write(f"{printable(line)}\n")


class StatusLine:
    """One line on a terminal that is written anew; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._is_used = sys.stderr.isatty()
        self._last = 0.0
        self._is_shown = False

    def show(self, words: Callable[[], str]) -> None:
        """Write the line anew, but not more often than people can read it."""
        now = time.monotonic()
        if not self._is_used or now - self._last < _SHOWN_SECONDS:
            return
        self._last = now
        self._is_shown = True
        _write(f"\r\x1b[K{printable(words())}, Ctrl-C ends")

    def clear(self) -> None:
        """Make place for another line."""
        if self._is_shown:
            self._is_shown = False
            _write("\r\x1b[K")


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()
