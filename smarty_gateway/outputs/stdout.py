"""Standard output: JSON lines, the plaintext telegrams, or one table after the other."""

import os
import sys
from typing import Final

from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput
from smarty_gateway.safe_text import printable

_WIDTH: Final = 120
#: About a minute of a thousand meters at a terminal that was stopped, or a few hours of one.
_READINGS_MAX: Final = 1000


class StdoutOutput(QueuedOutput):
    """Prints each reading.

    Args:
        form: `json` or `telegram`; `table` prints one table after the other, for files and pipes.
    """

    may_stall = True

    def __init__(self, form: str) -> None:
        super().__init__("stdout", "standard output", _READINGS_MAX)
        self._form = form

    def work(self) -> None:
        """Print readings until the end; what cannot be printed now never can."""
        try:
            super().work()
        except OSError as error:
            self.failure = f"{self.label} cannot be written: {error.strerror}"

    def write(self, reading: Reading) -> None:
        """Print a reading past Python's buffer: a line appears at once, and none is left in it."""
        view = memoryview(self._text(reading))
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]

    def _text(self, reading: Reading) -> bytes:
        if self._form == "telegram":
            return reading.telegram.raw
        if self._form == "table":
            from rich.console import Console  # noqa: PLC0415 - tables only
            from rich.text import Text  # noqa: PLC0415

            from smarty_gateway.outputs.table import table_of  # noqa: PLC0415

            console = Console(highlight=False, width=_WIDTH, color_system=None, record=False)
            with console.capture() as captured:
                console.print(Text(printable(reading.meter)), table_of(reading.telegram, _WIDTH))
            return captured.get().encode("utf-8", "backslashreplace")
        return reading.json + b"\n"
