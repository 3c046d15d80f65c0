"""`demo` shows the real gateway at work with nothing to configure, and leaves nothing behind."""

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.commands import LIMIT, environment, smarty_gateway
from tests.support.running import Running, wait_until

#: Gives a new session its terminal, as a login does, so that Ctrl-C reaches the command.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.executable, [sys.executable, '-m', 'smarty_gateway', *sys.argv[1:]])"
)
ESCAPES = re.compile(r"\x1b\[[0-?]*[a-zA-Z]")


class Terminal:
    """A pseudo-terminal with a command in it.

    Attributes:
        process: of the command.
    """

    def __init__(self, *arguments: object, folder: Path, columns: int = 190, rows: int = 100) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._shown = bytearray()
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *map(str, arguments)],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={
                **environment(),
                "TERM": "xterm-256color",
                "HOME": str(folder),
                "XDG_STATE_HOME": str(folder / "state"),
            },
            start_new_session=True,
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self._shown += data
        except OSError:
            pass  # so a terminal says that the last program has left it

    @property
    def shown(self) -> str:
        """Return all that was written to the terminal."""
        return self._shown.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """Return the same without colours and movements."""
        return ESCAPES.sub("", self.shown)

    def type(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._master, keys)

    def wait_for_text(self, words: str) -> None:
        """Wait until it was shown."""
        wait_until(lambda: words in self.text or self.process.poll() is not None, words)
        assert words in self.text

    def close(self) -> None:
        """End the command."""
        self.process.kill()
        self.process.wait(LIMIT)
        self._thread.join(LIMIT)
        os.close(self._master)


@contextmanager
def terminal(*arguments: object, folder: Path, columns: int = 190, rows: int = 100) -> Iterator[Terminal]:
    """Return a terminal with a command in it, which ends with the block."""
    opened = Terminal(*arguments, folder=folder, columns=columns, rows=rows)
    try:
        yield opened
    finally:
        opened.close()


def test_off_a_terminal_it_prints_the_telegrams_of_both_kinds_and_leaves_nothing_behind(
    tmp_path: Path,
) -> None:
    names = {"house in Luxembourg", "workshop in Luxembourg", "barn in Belgium"}
    with Running("demo", "--format", "json", folder=tmp_path, env={"HOME": str(tmp_path)}) as running:
        running.wait_for_readings(6, "barn in Belgium")
        for name in names:
            running.wait_for_readings(1, name)
        assert running.stop() == 0
    assert {reading["meter"] for reading in running.readings} == names
    assert {reading["security"] for reading in running.of("house in Luxembourg")} == {"authenticated"}
    assert {reading["security"] for reading in running.of("barn in Belgium")} == {"plaintext"}
    assert len(running.of("barn in Belgium")) > 5
    assert all("power_import" in reading and "gas" in reading for reading in running.readings)
    assert list(tmp_path.iterdir()) == []


def test_json_is_what_it_prints_off_a_terminal_when_nothing_is_said(tmp_path: Path) -> None:
    with Running("demo", folder=tmp_path) as running:
        running.wait_for_readings(1)
        assert running.stop() == 0
    assert json.loads(running.lines[0])["meter_id"]


def test_it_says_that_its_meters_are_none_and_nothing_else(tmp_path: Path) -> None:
    with Running("demo", folder=tmp_path) as running:
        running.wait_for_readings(5)
        assert running.stop() == 0
    (line,) = running.log
    assert "simulated" in line


@pytest.mark.slow
def test_the_plaintext_telegrams_are_printed_as_the_meters_write_them(tmp_path: Path) -> None:
    done = smarty_gateway("demo", "--seconds", 5, "--format", "telegram", folder=tmp_path)
    assert done.returncode == 0
    assert b"/FLU5\\" in done.stdout
    assert b"/Lux5\\" in done.stdout
    assert re.search(rb"\r\n![0-9A-F]{4}\r\n\Z", done.stdout)


def test_no_process_and_no_thread_holds_it_up_when_its_reader_has_gone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(LIMIT) == 0
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, seconds: str) -> None:
    done = smarty_gateway("demo", f"--seconds={seconds}", folder=tmp_path)
    assert done.returncode == 2
    assert b"is not a number of seconds" in done.stderr


def test_on_a_terminal_a_live_table_shows_the_meters_of_both_countries(tmp_path: Path) -> None:
    with terminal("demo", folder=tmp_path) as shown:
        shown.wait_for_text("house in Luxembourg")
        shown.wait_for_text("barn in Belgium")
        shown.wait_for_text("authenticated")
        shown.wait_for_text("plaintext")
        shown.wait_for_text("telegrams/min")
        shown.wait_for_text("telegrams/min")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [40, pytest.param(80, marks=pytest.mark.slow)])
def test_every_meter_appears_in_a_window_of_24_rows(tmp_path: Path, columns: int) -> None:
    with terminal("demo", folder=tmp_path, columns=columns, rows=24) as shown:
        for name in ("house in Luxembourg", "workshop in Luxembourg", "barn in Belgium"):
            shown.wait_for_text(f"── {name} ─")


def test_the_live_table_updates_in_place(tmp_path: Path) -> None:
    with terminal("demo", folder=tmp_path) as shown:
        shown.wait_for_text("barn in Belgium")
        up = "\x1b[1A"
        before = shown.shown.count(up)
        wait_until(lambda: shown.shown.count(up) > before, "a table that is drawn over the last one")


def test_ctrl_c_ends_it_within_five_seconds_and_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    with terminal("demo", folder=tmp_path) as shown:
        shown.wait_for_text("barn in Belgium")
        begin = time.monotonic()
        shown.type(b"\x03")
        assert shown.process.wait(LIMIT) == 0
        assert time.monotonic() - begin < 5
        wait_until(lambda: "\x1b[?25h" in shown.shown, "a cursor that is shown again")
        assert "Traceback" not in shown.text
    assert list(tmp_path.iterdir()) == []


def test_on_a_terminal_it_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    with terminal("demo", "--seconds", 3, folder=tmp_path) as shown:
        assert shown.process.wait(LIMIT) == 0
        assert "barn in Belgium" in shown.text


def test_json_may_be_asked_for_on_a_terminal(tmp_path: Path) -> None:
    with terminal("demo", "--format", "json", folder=tmp_path) as shown:
        shown.wait_for_text('"meter":"barn in Belgium"')
