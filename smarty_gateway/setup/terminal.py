"""Questions on a terminal, and what becomes of them where there is none or nobody wants to be asked.

Everything goes to standard error. Lines are wrapped to the terminal and need no escape sequences, so a dumb
terminal of any width will do. A key or password is read without echo, and never passes through `say`.
"""

import contextlib
import getpass
import os
import select
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable
from typing import Final, TypeVar

from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable, without_keys

T = TypeVar("T")

_WIDEST: Final = 80
#: More than a terminal hands over of one line.
_LINE_MAX: Final = 4096
_WAKE_SECONDS: Final = 0.5


class LeftError(GatewayError):
    """The user has left."""

    exit_status = ExitStatus.INTERRUPTED


class MissingOptionError(GatewayError):
    """There is no terminal to ask at, and no option that answers."""


class RejectedError(GatewayError):
    """The meter or the broker does not accept what was given, or nothing was found."""

    exit_status = ExitStatus.REJECTED


class Terminal:
    """Where questions are asked.

    Args:
        is_there: False where nobody can answer.
        takes_defaults: answer each question with its default, if it has one.
    """

    def __init__(self, *, is_there: bool, takes_defaults: bool) -> None:
        self.is_there = is_there
        self._takes_defaults = takes_defaults

    def say(self, text: str = "") -> None:
        """Print paragraphs; a line that begins with blanks is continued below its text."""
        for line in text.split("\n"):
            self._write(f"{_wrapped(line)}\n")

    def quote(self, text: str) -> None:
        """Print the lines of a file, which are never broken."""
        self._write("".join(f"    {printable(line)}\n" for line in text.splitlines()))

    @staticmethod
    def show(text: str) -> None:
        """Print the result, which alone goes to standard output."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def dot(self) -> None:
        """Print a dot, which shows that something goes on."""
        if self.is_there:
            self._write(".")

    def ask(
        self, question: str, option: str, default: str = "", wake: Callable[[], object] = lambda: False
    ) -> str:
        """Return an answer, which may be empty.

        Args:
            question: without its mark.
            option: names the option that answers it as well.
            default: is shown, and returned for an empty line.
            wake: ends the question without an answer once it is true.

        Raises:
            MissingOptionError: there is nobody to ask, and no default.
            LeftError: the input is at its end.
        """
        if self._takes_defaults and default:
            return default
        self._require(option)
        self._write(_wrapped(f"{question}{f' [{default}]' if default else ''}: ").rstrip() + " ")
        return _read_line(wake) or default

    def ask_secret(self, question: str, option: str) -> str:
        """Return an answer that is not shown while it is typed.

        Raises:
            MissingOptionError: there is nobody to ask, or the terminal would show it.
            LeftError: the input is at its end.
        """
        self._require(option)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)
                return getpass.getpass(f"{_wrapped(question)}: ", sys.stderr)
        except UnicodeDecodeError:
            self.say("  This terminal does not send UTF-8, so letters with accents cannot be read.")
            return self.ask_secret(question, option)
        except getpass.GetPassWarning:
            raise MissingOptionError(
                f"this terminal shows what is typed, so use the option {option}"
            ) from None
        except EOFError:
            raise LeftError("the input has ended") from None

    def confirm(self, question: str, *, default: bool = True) -> bool:
        """Return the answer to a question of yes or no."""
        if self._takes_defaults:
            return default
        while True:
            answer = self.ask(f"{question} {'[Y/n]' if default else '[y/N]'}", "--yes").lower()
            if answer in ("y", "yes", "n", "no", ""):
                return answer in ("y", "yes") if answer else default
            self.say("Type y for yes or n for no.")

    def ask_for(
        self, question: str, option: str, parse: Callable[[str], T], given: str | None, default: str = ""
    ) -> T:
        """Return an answer that a function accepts; it is asked for until it does.

        Args:
            question: as for `ask`.
            option: likewise.
            parse: returns the value of an answer, or raises GatewayError.
            given: the value of the option, which is not asked for again.
            default: as for `ask`.

        Raises:
            GatewayError: what the option or the default says is not accepted.
        """
        if given is None and self._takes_defaults and default:
            given = default
        if given is not None:
            return parse(given)
        while True:
            try:
                return parse(self.ask(question, option, default))
            except (MissingOptionError, LeftError):
                raise
            except GatewayError as error:
                self.complain(error)

    def complain(self, error: GatewayError) -> None:
        """Print why an answer is not accepted."""
        text = without_keys(str(error))
        self.say(f"  {text}{'' if text.endswith(('?', '.')) else '.'}")

    def _require(self, option: str) -> None:
        if not self.is_there:
            raise MissingOptionError(f"there is no terminal to ask at; the option {option} is missing")

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone, and reading will say so
            sys.stderr.write(text)
            sys.stderr.flush()


def _wrapped(line: str) -> str:
    text = line.lstrip(" ")
    indent = " " * (len(line) - len(text))
    width = min(shutil.get_terminal_size().columns, _WIDEST) - 1
    return textwrap.fill(
        printable(text), max(width, 20), initial_indent=indent, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False, drop_whitespace=True,
    )  # fmt: skip


def _read_line(wake: Callable[[], object]) -> str:
    poll = select.poll()
    poll.register(sys.stdin, select.POLLIN)
    while not poll.poll(_WAKE_SECONDS * 1000):
        if wake():
            return ""
    # A terminal hands over one line at a time, and `sys.stdin` would read ahead of the poll.
    line = os.read(sys.stdin.fileno(), _LINE_MAX)
    if not line:
        raise LeftError("the input has ended")
    return line.decode("utf-8", "replace").strip()
