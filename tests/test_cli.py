"""Whatever happens inside a command, a user sees one line and a status."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from smarty_gateway import cli
from smarty_gateway.commands import verify
from smarty_gateway.commands.usage import COMMANDS
from smarty_gateway.state.sqlite_file import StateBusyError
from tests.support.commands import (
    LIMIT,
    ROOT,
    SAMPLE,
    SAMPLE_KEYS,
    environment,
    smarty_gateway,
    smarty_gateway_process,
)
from tests.support.running import Running

#: Digits of a key that nobody has; those of the other tests may not even be arguments.
TYPED = "8F1A2D3C4B5A69788796A5B4C3D2E177"
GROUPS = [TYPED[at : at + 8] for at in range(0, 32, 8)]
BYTES = [TYPED[at : at + 2] for at in range(0, 32, 2)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            StateBusyError(sqlite3.OperationalError("database is locked")),
            "the state file cannot be used now: database is locked",
        ),
        (OSError(28, "No space left on device"), "cannot write the output: No space left on device"),
        (RuntimeError("a secret"), "please report it: RuntimeError at test_cli.py:"),
    ],
)
def test_no_fault_gives_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Exception, words: str
) -> None:
    def fail(_: object) -> int:
        raise fault

    monkeypatch.setattr(cli, "_forget_output", lambda _: None)
    monkeypatch.setattr(verify, "execute", fail)
    assert cli.main(["verify"]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert "a secret" not in error


@pytest.mark.parametrize(
    "arguments",
    [
        ("decode", TYPED),
        ("decode", " ".join(GROUPS)),
        ("decode", *GROUPS),
        ("decode", ":".join(BYTES)),
        ("decode", f"0x{TYPED}"),
        ("decode", *(f"0x{byte}," for byte in BYTES)),
        ("decode", TYPED.lower() + "0"),
        ("decode", TYPED[:-8]),
        ("decode", "--keys", TYPED),
        ("decode", f"--keys={TYPED}"),
        ("decode", "--keys", *GROUPS),
        ("decode", "--keys", TYPED, TYPED, TYPED),
        ("decode", "--format", TYPED),
        ("capture", *GROUPS),
        ("check", TYPED, TYPED),
        ("check", "--config", TYPED),
        ("doctor", TYPED),
        ("doctor", "--config", TYPED, "there.bin"),
        ("doctor", "--seconds", TYPED, "there.bin"),
        ("forget", TYPED, "--state", "state"),
        ("reset-counter", TYPED, "--state", "state"),
        ("run", "--source", TYPED),
        ("run", "--source", "-", "--keys", TYPED),
        ("simulate", "--seed", TYPED),
        ("verify", *GROUPS),
        (TYPED,),
    ],
    ids=" ".join,
)
def test_a_key_among_the_arguments_is_not_repeated_and_its_place_is_named(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "there.bin").write_bytes(b"x")
    done = smarty_gateway(*arguments, folder=tmp_path, data=b"")
    said = (done.stdout + done.stderr).decode()
    assert done.returncode in (1, 2, 78)
    for part in (*GROUPS, *(BYTES if BYTES[0] in " ".join(arguments).split() else ())):
        assert part.lower() not in said.lower()
    assert "a key is never an argument, write it into keys.yaml" in " ".join(said.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("decode", "--key", "0011"), "keys.yaml and name that file with --keys FILE"),
        (("decode", "--key=0011"), "keys.yaml and name that file with --keys FILE"),
        (("--key", "0011", "decode"), "write it into keys.yaml"),
        (("run", "--encryption-key", "0011"), "write it into keys.yaml"),
        (("run", "--guek", "0011"), "write it into keys.yaml"),
        (("run", "--password", "0011"), "name that with --mqtt-password-file FILE"),
        (("forget", "house", "--mqtt-password=0011"), "name that with --mqtt-password-file FILE"),
        (("setup", "--password", "0011"), "name that with --password-file FILE"),
        (("setup", "--key", "0011"), "name that file with --key-file FILE"),
        (("doctor", "-P", "0011"), "password_file in gateway.yaml"),
        (("pool", "run", "--password", "0011"), "password_file in pool.yaml"),
    ],
    ids=str,
)
def test_an_option_for_a_secret_is_answered_with_its_place_and_without_the_secret(
    arguments: tuple[str, ...], words: str
) -> None:
    done = smarty_gateway(*arguments)
    said = done.stderr.decode()
    assert (done.returncode, done.stdout) == (2, b"")
    assert "is never an argument" in said
    assert words in said
    assert "0011" not in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("docter", "/dev/ttyUSB0"), "no command 'docter': did you mean doctor?"),
        (("help", "docter"), "no command 'docter': did you mean doctor?"),
        (("version",), "no command 'version': did you mean --version?"),
        (("/dev/ttyUSB0",), "no command '/dev/ttyUSB0'; smarty-gateway --help lists all commands"),
        (("doctor", "--secnods", "3", "x"), "no option --secnods: did you mean --seconds?"),
        (("doctor", "--sec", "3", "x"), "no option --sec: did you mean --seconds?"),
        (("run", "-x"), "no option -x; smarty-gateway run --help lists all options"),
        (("--state", "here", "run"), "options follow the command: smarty-gateway COMMAND --state"),
        (("check", "x"), "one argument too many: 'x'; smarty-gateway check --help shows how"),
        (("doctor",), "required: source; smarty-gateway doctor --help shows how"),
    ],
    ids=str,
)
def test_wrong_usage_is_answered_in_one_line_with_what_was_probably_meant(
    arguments: tuple[str, ...], words: str
) -> None:
    done = smarty_gateway(*arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_without_a_command_the_help_is_shown_and_the_usage_was_wrong() -> None:
    bare, asked = smarty_gateway(), smarty_gateway("--help")
    assert (bare.returncode, bare.stdout, bare.stderr) == (2, b"", asked.stdout)
    assert asked.returncode == 0


def test_help_about_help_is_the_help() -> None:
    assert smarty_gateway("help", "help").stdout == smarty_gateway("--help").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_a_command_is_the_help_of_that_command(command: str) -> None:
    assert smarty_gateway("help", command).stdout == smarty_gateway(command, "--help").stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_shows_what_to_type_and_fits_80_columns(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = smarty_gateway("help", *command.split()).stdout.decode()
    assert max(map(len, shown.splitlines())) <= 80
    assert f"\n  smarty-gateway {command}" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_explains_its_exit_statuses(command: str) -> None:
    explained = smarty_gateway("help", command).stdout.decode().partition("exit status:")[2]
    assert {int(word) for word in explained.split() if word.isdecimal()} >= {0, 2}


def test_a_single_letter_asks_for_the_version() -> None:
    assert smarty_gateway("-V").stdout == smarty_gateway("--version").stdout != b""


@pytest.mark.parametrize(
    "name",
    [
        f"{'5f' * 32}.bin",
        f"{'5f' * 21}",
        "tcp://[2001:db8:85a3:8d3:1319:8a2e:370:7348]:x",
        f"/dev/serial/by-id/usb-CP2102N_{TYPED}-if00",
    ],
)
def test_what_is_no_key_is_repeated(tmp_path: Path, name: str) -> None:
    said = smarty_gateway("decode", name, folder=tmp_path).stderr.decode()
    assert name in said
    assert "key" not in said


@pytest.mark.parametrize(
    "module",
    [
        "smarty_gateway.exit_status",
        "smarty_gateway.cli",
        "smarty_gateway.config.values",
        "smarty_gateway.gateway",
    ],
)
@pytest.mark.parametrize(
    "arguments", [("run", "--source", "tcp://127.0.0.1:9"), ("demo",)], ids=["run", "demo"]
)
def test_a_stop_while_the_gateway_still_loads_is_a_good_end(
    tmp_path: Path, arguments: tuple[str, ...], module: str
) -> None:
    """Python itself tells which module it has just loaded."""
    with Running(*arguments, folder=tmp_path, env={"PYTHONPROFILEIMPORTTIME": "1"}) as running:
        running.wait_for_log(module)
        assert running.stop() == 0
    assert not running.says("Traceback")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("demo", "--seconds", "0"),
        ("setup", "--folder", "missing", "--port", "/dev/null", "--broker", "none", "--yes"),
        ("run", "--source", SAMPLE, "--keys", SAMPLE_KEYS, "--format", "telegram"),
        ("check", "--keys", SAMPLE_KEYS),
        ("doctor", SAMPLE, "--keys", SAMPLE_KEYS),
        ("decode", SAMPLE, "--keys", SAMPLE_KEYS),
        ("verify", ROOT / "vectors/refused.json"),
        ("capture", SAMPLE, "a.capture"),
        ("history", "--state", "state"),
        ("simulate", "--link", "p1", "--seconds", "0"),
        ("reset-counter", "nobody", "--state", "state"),
        ("forget", "nobody", "--state", "state"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_process_ends_as_the_command_does_within_the_tests(
    tmp_path: Path, arguments: tuple[object, ...]
) -> None:
    results = []
    for number, start in enumerate((smarty_gateway, smarty_gateway_process)):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = start(*arguments, folder=folder)
        said = re.sub(rb"(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", b"", done.stderr)
        results.append((done.returncode, done.stdout, said))
    assert results[0] == results[1]


def log_of_a_run(folder: Path, **environ: str) -> list[str]:
    """Return the log of a run without a source, in a file that is its standard error."""
    with (folder / "log").open("w+b") as log:
        status = os.fstat(log.fileno())
        stream = f"{status.st_dev}:{status.st_ino}"
        environ = {name: value.format(stream=stream) for name, value in environ.items()}
        subprocess.run(
            [sys.executable, "-m", "smarty_gateway", "run", "-v", "--source", SAMPLE],
            stdout=subprocess.DEVNULL, stderr=log, check=False, cwd=folder, env={**environment(), **environ},
        )  # fmt: skip
        log.seek(0)
        return log.read().decode().splitlines()


def test_the_journal_gets_priorities_in_place_of_times(tmp_path: Path) -> None:
    lines = log_of_a_run(tmp_path, JOURNAL_STREAM="{stream}")
    assert [line for line in lines if not re.match(r"<[3467]>(?!\d{4}-)", line)] == []
    assert any(line.startswith("<4>") and "rejected no-key" in line for line in lines)
    assert any(line.startswith("<7>") and "is open" in line for line in lines)


def test_a_stream_that_is_not_the_journal_gets_times_whatever_the_environment_says(tmp_path: Path) -> None:
    lines = log_of_a_run(tmp_path, JOURNAL_STREAM="8:1")
    assert [line for line in lines if not re.match(r"\d{4}-\d\d-\d\d ", line)] == []
    assert lines


def test_the_version_is_shown_without_anything_that_takes_long_to_load() -> None:
    """Nor with the command line, so that a signal finds its handler soon, and `decode` is quick."""
    script = (
        "import atexit, sys; from smarty_gateway.cli import main; "
        "atexit.register(lambda: print(*sys.modules)); main(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, check=True, cwd=ROOT, env=environment(),
    )  # fmt: skip
    heavy = {b"yaml", b"sqlite3", b"cryptography", b"logging", b"difflib", b"shtab"}
    assert not heavy & set(done.stdout.split())


_SIGNAL_TO_ANOTHER_THREAD = """
import os, signal, threading
from smarty_gateway.signals import SignalEvent, handling

event = SignalEvent()
with handling({signal.SIGTERM: event.set}):
    asleep = threading.Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    def take_signals():
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        asleep.wait()
    threading.Thread(target=take_signals, daemon=True).start()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    print(event.wait())
"""


def test_a_signal_that_another_thread_receives_wakes_the_main_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SIGNAL_TO_ANOTHER_THREAD],
        capture_output=True,
        check=False,
        timeout=LIMIT,
    )
    assert done.stdout == b"True\n"
