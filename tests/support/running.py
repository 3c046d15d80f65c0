"""A gateway in a process of its own, and what it says, line by line, as it says it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from smarty_gateway.simulator.ports import PtyPort
from tests.support.canaries import assert_no_key, assert_no_key_in_arguments, assert_no_key_in_state
from tests.support.commands import LIMIT, as_verbose_as_it_gets, environment


def wait_until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait for a condition, which is looked at often."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        time.sleep(0.01)


class Running:
    """A command that runs until the end of the `with` block.

    Attributes:
        lines: of standard output so far.
        log: lines of standard error so far.
    """

    def __init__(self, *arguments: object, folder: Path, env: dict[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.log: list[str] = []
        arguments = as_verbose_as_it_gets(arguments)
        assert_no_key_in_arguments(arguments)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "smarty_gateway", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={**environment(), "XDG_STATE_HOME": str(folder / "state"), **(env or {})},
        )
        self._threads = [
            threading.Thread(target=self._collect, args=(stream, into))
            for stream, into in ((self._process.stdout, self.lines), (self._process.stderr, self.log))
        ]
        for thread in self._threads:
            thread.start()
        self._state = folder / "state"

    @staticmethod
    def _collect(stream: IO[bytes] | None, into: list[str]) -> None:
        assert stream is not None
        into.extend(line.decode("utf-8", "replace").rstrip("\n") for line in stream)
        stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        assert_no_key("\n".join(self.lines).encode(), "standard output")
        assert_no_key("\n".join(self.log).encode(), "the log")
        assert_no_key_in_state(self._state)

    @property
    def pid(self) -> int:
        """Name the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    @property
    def readings(self) -> list[dict[str, Any]]:
        """Give what was printed so far."""
        return [json.loads(line) for line in list(self.lines)]

    def of(self, meter: str) -> list[dict[str, Any]]:
        """Give the readings of one meter so far."""
        return [reading for reading in self.readings if reading["meter"] == meter]

    def says(self, words: str) -> int:
        """Count the lines of the log with these words."""
        return sum(words in line for line in list(self.log))

    def wait_for_log(self, words: str, times: int = 1) -> None:
        """Wait until so many lines of the log hold these words."""
        wait_until(lambda: self.says(words) >= times, f"{words!r} in {self.log}")

    def wait_for_readings(self, count: int, meter: str | None = None) -> None:
        """Wait until so many readings were printed."""
        wait_until(
            lambda: len(self.of(meter) if meter else self.lines) >= count,
            f"{count} readings of {meter}; log: {self.log}",
        )

    def wait_for_port(self, port: str) -> None:
        """Wait until a port is open and emptied, so that nothing that is sent now is lost."""
        opened, closed = f"{port} is open", f"{port} is closed"

        def reads() -> bool:
            lines = [line for line in list(self.log) if line.endswith((opened, closed))]
            return bool(lines) and lines[-1].endswith(opened) and is_read(port, self.pid)

        wait_until(reads, f"an open {port}; log: {self.log}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and give the exit status."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end, and give the exit status."""
        status = self._process.wait(LIMIT)
        for thread in self._threads:
            thread.join(LIMIT)
        return status


def is_read(port: Path | str, pid: int) -> bool:
    """Tell whether a process has a terminal open."""
    target = os.path.realpath(port)
    try:
        return any(os.path.realpath(entry) == target for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False  # the process is about to end


@contextmanager
def plugged_in(link: Path) -> Iterator[PtyPort]:
    """Plug an adapter in: a new terminal under a name that stays the same."""
    port = PtyPort(link)
    try:
        yield port
    finally:
        port.close()
