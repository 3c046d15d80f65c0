"""The log of the gateway: one line an event on standard error, for people and for a journal.

Lines of a meter's own words could hold control characters, so those are shown escaped. A service
manager dates the lines itself; where none does, they begin with the time.
"""

import logging
import os
import sys
from typing import TextIO

from smarty_gateway.safe_text import printable


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever standard error is at the moment: a live table puts itself before it."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        raise AttributeError

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: that nobody can hear a line is no reason to stop reading meters."""


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def start_log(*, verbose: bool = False) -> None:
    """Send the log of this program to standard error."""
    dated = "" if os.environ.get("JOURNAL_STREAM") else "%(asctime)s "
    handler = _StderrHandler()
    handler.setFormatter(_Formatter(f"{dated}%(message)s", "%Y-%m-%d %H:%M:%S"))
    log = logging.getLogger("smarty_gateway")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)
