"""The log of the gateway: one line an event on standard error, for people and for a journal.

Text of a meter may hold control characters, so those are escaped. The journal of systemd dates the lines and
reads their priority from a prefix (sd-daemon(3)); elsewhere they begin with the time.
"""

import logging
import os
import sys
import traceback
from collections.abc import Callable
from typing import Final, TextIO

from smarty_gateway.safe_text import printable

_log = logging.getLogger(__name__)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to the standard error of the moment, which a live table replaces."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        raise AttributeError

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Do nothing: a log that nobody can read is no reason to stop reading meters."""


#: Those of syslog(3).
_PRIORITIES: Final = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class _JournalFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 4)}>{super().format(record)}"


def start_log(*, verbose: bool = False) -> None:
    """Send the log of this program to standard error."""
    handler = _StderrHandler()
    handler.setFormatter(
        _JournalFormatter() if _is_journal() else _Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    log = logging.getLogger("smarty_gateway")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.INFO)


def _is_journal() -> bool:
    """True if standard error leads to the journal; the variable alone may be inherited from a session."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def crash_of(work: Callable[[], None]) -> str | None:
    """Do the work of a thread, and return the error that ended it; None if it came to its end.

    A thread has no caller to raise to. The supervisor ends the process with this reason.
    """
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - see above
        _log.debug("%s", traceback.format_exc())
        return repr(error)
    return None
