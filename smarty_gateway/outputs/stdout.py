"""Standard output: JSON lines, the plaintext telegrams, or a table that moves.

A thread of its own writes, because a terminal that was stopped with Ctrl-S, or a slow reader of the
pipe, must not hold up the meters. What it cannot take in time is dropped, the oldest first, and
counted; a recording waits instead.
"""

import logging
import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from typing import Final

from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.safe_text import printable

_log = logging.getLogger(__name__)
#: About a minute of a thousand meters, or a few hours of one.
_QUEUE_SIZE: Final = 1000


class StdoutOutput:
    """Writes each reading as it comes.

    Args:
        form: `json` or `telegram`; `table` prints one table after the other, for files and pipes.
    """

    def __init__(self, form: str, width: int = 120) -> None:
        self._form = form
        self._width = width
        self._queue: queue.Queue[Reading | None] = queue.Queue(_QUEUE_SIZE)
        self._thread = threading.Thread(target=self._run, name="standard output", daemon=True)
        self._dropped = 0
        self.name = "stdout"
        self.beat = None  # a terminal that was stopped with Ctrl-S is no fault
        self.is_over = False
        self.failure: str | None = None

    @property
    def state(self) -> str:
        """Return in one word how it fares."""
        return self.failure or ("slow" if self._dropped else "ok")

    def forget(self, meter: str) -> None:
        """Nothing is held of a meter."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading."""
        while not self.is_over:
            try:
                self._queue.put(reading, block=not reading.is_live, timeout=1)
            except queue.Full:
                if reading.is_live:
                    self._drop_oldest()
            else:
                return

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Nothing is said of health here; it goes to the log."""

    def stop(self, seconds: float) -> None:
        """Write what is still here."""
        try:
            self._queue.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    @property
    def is_busy(self) -> bool:
        """Tell whether readings wait for whoever takes them."""
        return self._queue.unfinished_tasks > 0 and not self.is_over

    def _drop_oldest(self) -> None:
        try:
            self._queue.get_nowait()
        except queue.Empty:
            return
        self._queue.task_done()
        if not self._dropped:
            _log.warning(
                "standard output is too slow, or was stopped; the oldest readings for it are dropped"
            )
        self._dropped += 1

    def _run(self) -> None:
        try:
            while (reading := self._queue.get()) is not None:
                self._write(self._text(reading))
                self._queue.task_done()
                if self._dropped and self._queue.empty():
                    _log.warning("standard output takes readings again; %d were dropped", self._dropped)
                    self._dropped = 0
        except BrokenPipeError:
            pass
        except OSError as error:
            self.failure = f"standard output cannot be written: {error.strerror}"
        except Exception as error:  # noqa: BLE001 - the supervisor ends the process with this reason
            _log.debug("%s", traceback.format_exc())
            self.failure = f"standard output failed: {error!r}"
        finally:
            self.is_over = True

    def _text(self, reading: Reading) -> bytes:
        if self._form == "telegram":
            return reading.telegram.raw
        if self._form == "table":
            from rich.console import Console  # noqa: PLC0415 - tables only
            from rich.text import Text  # noqa: PLC0415

            from smarty_gateway.outputs.table import table_of  # noqa: PLC0415

            console = Console(highlight=False, width=self._width, color_system=None, record=False)
            with console.capture() as captured:
                console.print(Text(printable(reading.meter)), table_of(reading.telegram, self._width))
            return captured.get().encode("utf-8", "backslashreplace")
        return reading.json + b"\n"

    @staticmethod
    def _write(data: bytes) -> None:
        # Past Python's buffer: a line is there as soon as it is written, and nothing is left when the
        # reader of a pipe has gone.
        view = memoryview(data)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
