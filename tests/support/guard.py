"""Kills what tests started when the tests themselves are killed and cannot do it.

`Guard` starts this module as a process of its own, and writes it the process numbers. When its standard
input ends, it kills those that still run: a number that another process has got since then is left alone.
"""

import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Self

from tests.support.commands import ROOT


class Guard:
    """Ends processes at `close`, and when this process ends in any other way."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.guard"],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )

    def watch(self, process: subprocess.Popen[bytes]) -> None:
        """End this process, too."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"%d\n" % process.pid)
        self._process.stdin.flush()

    def close(self) -> None:
        """End them all."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class GuardedServer(ABC):
    """A server that runs from `begin` (or `with`) until `stop` (or the end of `with`).

    Attributes:
        guard: watches its processes.
    """

    def __init__(self) -> None:
        self.guard = Guard()

    def __enter__(self) -> Self:
        try:
            self.begin()
            self.wait()
        except BaseException:  # raised again
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def begin(self) -> None:
        """Start it, and wait for nothing."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until it serves clients."""

    @abstractmethod
    def stop(self) -> None:
        """End it for good."""


def main() -> None:
    """Read process numbers until the end, then kill the processes."""
    found = []
    for line in sys.stdin:
        with suppress(ProcessLookupError):
            found.append(os.pidfd_open(int(line)))
    for handle in found:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


if __name__ == "__main__":
    main()
