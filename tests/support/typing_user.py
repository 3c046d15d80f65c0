"""A user at a terminal: types lines into a command, and sees what it shows."""

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.canaries import assert_no_key, assert_no_key_in_arguments
from tests.support.commands import LIMIT, environment
from tests.support.running import wait_until

#: Gives a new session its terminal, as a login does, so that Ctrl-C reaches the command.
_IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'smarty_gateway', *sys.argv[1:]])"
)


class TypingUser:
    """A command in a pseudo-terminal until the end of the `with` block, and its user.

    Attributes:
        process: of the command.
    """

    def __init__(self, *arguments: object, folder: Path, columns: int = 80, term: str = "xterm") -> None:
        assert_no_key_in_arguments(arguments)
        self._terminal, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._shown = bytearray()
        self._seen = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", _IN_TERMINAL, *map(str, arguments)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            env={**environment(), "TERM": term, "HOME": str(folder)},
            start_new_session=True,
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        try:
            while data := os.read(self._terminal, 65536):
                self._shown += data
        except OSError:
            pass  # so a terminal says that the last program has left it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(LIMIT)
        self._thread.join(LIMIT)
        os.close(self._terminal)
        assert_no_key(self.shown.encode(), "the terminal")

    @property
    def shown(self) -> str:
        """Return all that was shown, as it was written."""
        return self._shown.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """Return the same with single blanks, wherever lines were wrapped."""
        return re.sub(r"\s+", " ", self.shown)

    @property
    def echoes(self) -> bool:
        """True if the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def wait_for(self, words: str) -> None:
        """Wait until these words were shown behind those that were waited for before."""
        wait_until(
            lambda: words in self.text[self._seen :] or self.process.poll() is not None,
            f"{words!r} in {self.text[self._seen :]!r}",
        )
        assert words in self.text[self._seen :], self.text
        self._seen = self.text.index(words, self._seen) + len(words)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, f"{line}\n".encode())

    def answer(self, question: str, line: str) -> None:
        """Wait for a question, and type the answer."""
        self.wait_for(question)
        self.type(line)

    def press(self, keys: bytes) -> None:
        """Press keys, such as Ctrl-C."""
        os.write(self._terminal, keys)

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        status = self.process.wait(LIMIT)
        self._thread.join(LIMIT)
        return status
