"""`demo` shows the real gateway at work with nothing to configure, and leaves nothing behind."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

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
                # The end of a test kills the command, which then removes nothing.
                "TMPDIR": str(folder.parent),
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


def test_off_a_terminal_it_prints_the_json_of_both_kinds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    names = {"house in Luxembourg", "workshop in Luxembourg", "barn in Belgium"}
    with Running("demo", folder=tmp_path, env={"HOME": str(tmp_path)}) as running:
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


def page_of(running: Running) -> str:
    """Return the address of the page, once the log names it."""
    running.wait_for_log("the page is at ")
    (line,) = [line for line in running.log if "the page is at " in line]
    return line.partition("the page is at ")[2]


def answer_of(url: str) -> bytes:
    """Return what the page says."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=LIMIT) as answer:
        return bytes(answer.read())


def test_it_says_that_its_meters_are_none_and_where_the_page_shows_them_and_nothing_else(
    tmp_path: Path,
) -> None:
    with Running("demo", folder=tmp_path) as running:
        url = page_of(running)
        running.wait_for_readings(5)
        shown = answer_of(url).decode()
        assert running.stop() == 0
    assert all(name in shown for name in ("house_in_Luxembourg", "workshop_in_Luxembourg", "barn_in_Belgium"))
    simulated, page = running.log
    assert "simulated" in simulated
    assert re.search(r"the page is at http://127\.0\.0\.1:[0-9]+/$", page)


@pytest.mark.slow
def test_its_year_is_complete_after_a_while_and_leads_up_to_the_live_meters(tmp_path: Path) -> None:
    with Running("demo", folder=tmp_path) as running:
        api = f"{page_of(running)}api/v1/meters"
        barn = f"{api}/barn_in_Belgium"

        def running_quarter() -> Any:  # noqa: ANN401 - JSON
            return json.loads(answer_of(f"{barn}/now")).get("quarter", {})

        wait_until(lambda: "import_day" in running_quarter(), "the sums of the running day")
        histories = [meter["history"] for meter in json.loads(answer_of(api))]
        today = f"{datetime.now(ZoneInfo('Europe/Luxembourg')):%Y-%m-%d}"
        rows = json.loads(answer_of(f"{barn}/history?from={today}&by=quarter"))
        quarter = running_quarter()
        assert running.stop() == 0
    for history in histories:
        assert history["simulated"]
        length = datetime.fromisoformat(history["to"]) - datetime.fromisoformat(history["from"])
        assert timedelta(days=400) <= length < timedelta(days=401, hours=2)
    drawn = sum(row["import"] for row in rows if row["complete"])
    assert quarter["import_day"] == pytest.approx(drawn + quarter["import"], abs=0.003)


@pytest.mark.parametrize(
    "number",
    [signal.SIGHUP, *(pytest.param(one, marks=pytest.mark.slow) for one in (signal.SIGTERM, signal.SIGINT))],
)
def test_nothing_is_left_in_the_temporary_folder_while_its_year_is_written(
    tmp_path: Path, number: signal.Signals
) -> None:
    with Running("demo", folder=tmp_path, env={"TMPDIR": str(tmp_path)}) as running:
        page_of(running)
        (folder,) = tmp_path.iterdir()
        assert (folder / "history.sqlite3").exists()
        assert running.stop(number) == 0
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_it_starts_leaves_nothing_in_the_temporary_folder(tmp_path: Path) -> None:
    with Running("demo", folder=tmp_path, env={"TMPDIR": str(tmp_path)}) as running:
        wait_until(lambda: any(tmp_path.iterdir()), "the temporary folder")
        assert running.stop(signal.SIGINT) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_at_a_time_have_a_page_each(tmp_path: Path) -> None:
    with Running("demo", folder=tmp_path) as one, Running("demo", folder=tmp_path) as other:
        assert page_of(one) != page_of(other)
        assert (one.stop(), other.stop()) == (0, 0)


def test_without_the_libraries_of_the_page_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.config.needs.find_spec", lambda _: None)
    done = smarty_gateway("demo", "--seconds", 0.1, "--format", "json", folder=tmp_path)
    assert done.returncode == 0
    assert b"pip install 'smarty-gateway[web]'" in done.stderr
    assert b"the page is at" not in done.stderr


@pytest.mark.slow
def test_the_plaintext_telegrams_are_printed_as_the_meters_write_them(tmp_path: Path) -> None:
    done = smarty_gateway("demo", "--seconds", 5, "--format", "telegram", folder=tmp_path)
    assert done.returncode == 0
    assert b"/FLU5\\" in done.stdout
    assert b"/Lux5\\" in done.stdout
    assert re.search(rb"\r\n![0-9A-F]{4}\r\n\Z", done.stdout)


@pytest.mark.slow
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
        shown.wait_for_text("the page is at http://127.0.0.1:")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("columns", [40, 80])
def test_every_meter_appears_in_a_window_of_24_rows(tmp_path: Path, columns: int) -> None:
    with terminal("demo", folder=tmp_path, columns=columns, rows=24) as shown:
        for name in ("house in Luxembourg", "workshop in Luxembourg", "barn in Belgium"):
            shown.wait_for_text(f"── {name} ─")


@pytest.mark.slow
def test_the_live_table_updates_in_place(tmp_path: Path) -> None:
    with terminal("demo", folder=tmp_path) as shown:
        shown.wait_for_text("barn in Belgium")
        up = "\x1b[1A"
        before = shown.shown.count(up)
        wait_until(lambda: shown.shown.count(up) > before, "a table that is drawn over the last one")


@pytest.mark.slow
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


@pytest.mark.slow
def test_on_a_terminal_it_ends_by_itself_when_its_time_is_over(tmp_path: Path) -> None:
    with terminal("demo", "--seconds", 3, folder=tmp_path) as shown:
        assert shown.process.wait(LIMIT) == 0
        assert "barn in Belgium" in shown.text


def test_json_may_be_asked_for_on_a_terminal(tmp_path: Path) -> None:
    with terminal("demo", "--format", "json", folder=tmp_path) as shown:
        shown.wait_for_text('"meter":"barn in Belgium"')
