"""Whatever happens inside a command, a user sees one line and a status."""

import sqlite3

import pytest

from smarty_gateway import cli
from smarty_gateway.commands import verify


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            sqlite3.OperationalError("database is locked"),
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
