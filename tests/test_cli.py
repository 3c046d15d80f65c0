"""Whatever happens inside a command, a user sees one line and a status."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from smarty_gateway import cli
from smarty_gateway.commands import verify
from smarty_gateway.state.state_file import StateBusyError
from tests.support.commands import (
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
        ("simulate", "--link", "p1", "--seconds", "0"),
        ("reset-counter", "nobody", "--state", "state"),
        ("forget", "nobody", "--state", "state"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_process_ends_as_the_command_does_within_the_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")  # or lines of the log begin with the time
    results = []
    for number, start in enumerate((smarty_gateway, smarty_gateway_process)):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = start(*arguments, folder=folder)
        results.append((done.returncode, done.stdout, done.stderr))
    assert results[0] == results[1]


def test_the_command_line_loads_nothing_that_takes_long_by_itself() -> None:
    """So that a signal finds its handler soon, and `decode` is quick on a small computer."""
    script = "import sys, smarty_gateway.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, check=True, cwd=ROOT, env=environment(),
    )  # fmt: skip
    assert not {b"yaml", b"sqlite3", b"cryptography", b"logging"} & set(done.stdout.split())
