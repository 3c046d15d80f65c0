"""The scripts of `completion` are good ones for their shells."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import LIMIT, smarty_gateway

#: What bash does when somebody types these words and Tab.
COMPLETE_IN_BASH = """
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_smarty_gateway smarty-gateway "${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script(shell: str, folder: Path) -> Path:
    done = smarty_gateway("completion", shell)
    assert (done.returncode, done.stderr) == (0, b"")
    file = folder / f"completion.{shell}"
    file.write_bytes(done.stdout)
    return file


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("doct",), ["doctor"]),
        (("help", "dec"), ["decode"]),
        (("decode", "--ke"), ["--keys"]),
        (("decode", "--format", ""), ["json", "table", "telegram"]),
        (("decode", "--keys", "key"), ["keys.yaml"]),
        (("doctor", "mon"), ["monday.capture"]),
        (("run", "--state", "sta"), ["state"]),
        (("history", "pe"), ["peaks"]),
        (("history", "show", "--mon"), ["--month"]),
    ],
    ids=str,
)
def test_bash_completes_what_fits(tmp_path: Path, typed: tuple[str, ...], completed: list[str]) -> None:
    for name in ("keys.yaml", "monday.capture"):
        (tmp_path / name).touch()
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        ["bash", "-c", COMPLETE_IN_BASH, "bash", script("bash", tmp_path), "smarty-gateway", *typed],  # noqa: S607 - any bash
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=LIMIT,
    )  # fmt: skip
    assert sorted(word.strip() for word in done.stdout.splitlines()) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_understand_their_scripts(tmp_path: Path, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    done = subprocess.run(
        [shell, "-n", script(shell, tmp_path)], capture_output=True, text=True, check=False, timeout=LIMIT
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_another_shell_is_wrong_usage() -> None:
    assert smarty_gateway("completion", "csh").returncode == 2
