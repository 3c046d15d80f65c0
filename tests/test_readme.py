"""What the README tells to type works as it stands there."""

import json
import os
import pty
import re
import shutil
import subprocess
import threading
import tty
from pathlib import Path

import pytest

from tests.commands import LIMIT, ROOT, environment
from vectors.building_blocks import belgium

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line
]
#: The two that set everything up are run by .ci/run, each in a new virtual environment.
SET_UP = [command for command in COMMANDS if command.startswith("python3 -m venv")]
#: Needs a port, which a test below makes.
ON_A_PORT = [command for command in COMMANDS if "/dev/ttyUSB0" in command]
PLAIN = [command for command in COMMANDS if command not in SET_UP + ON_A_PORT]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder with what lies beside the README."""
    shutil.copytree(ROOT / "vectors", tmp_path / "vectors")
    shutil.copy(ROOT / "keys.example.yaml", tmp_path)
    return tmp_path


def test_there_are_two_commands_that_set_everything_up_and_ci_runs_them() -> None:
    assert len(SET_UP) == 2
    assert "README.md" in (ROOT / ".ci/run").read_text("utf-8")


@pytest.mark.parametrize("command", PLAIN)
def test_each_command_works_as_it_stands_there(command: str, folder: Path) -> None:
    if command.startswith("xxd") and shutil.which("xxd") is None:
        pytest.skip("xxd is not on this machine; .ci/run installs it")
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr


def test_a_port_is_read_with_the_command_for_it(folder: Path) -> None:
    (command,) = ON_A_PORT
    shutil.copy(ROOT / "keys.example.yaml", folder / "keys.yaml")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    running = subprocess.Popen(
        command.replace("/dev/ttyUSB0", os.ttyname(theirs)),
        shell=True, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert running.stdout is not None
    got_line = threading.Event()

    def keep_sending() -> None:
        second = 0
        while not got_line.wait(0.2):  # the port may not be open yet, and a meter goes on sending, too
            second = (second + 1) % 600
            os.write(ours, belgium(second))

    sender = threading.Thread(target=keep_sending)
    sender.start()
    line = running.stdout.readline()
    got_line.set()
    sender.join(LIMIT)
    os.close(ours)
    os.close(theirs)
    running.stdout.close()
    running.wait(LIMIT)
    assert json.loads(line)["security"] == "plaintext"
