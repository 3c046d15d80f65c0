"""The commands in the README work as they stand there."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.simulation import Simulation
from tests.support.brokers import Broker, Subscriber
from tests.support.commands import LIMIT, ROOT, environment

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line
]
#: The two that set everything up are run by .ci/run, each in a new virtual environment.
SET_UP = [command for command in COMMANDS if command.startswith("python3 -m venv")]
#: Need a port, which tests below make.
ON_A_PORT = [command for command in COMMANDS if "/dev/ttyUSB0" in command]
#: What a newcomer types; `setup` asks, so its form for scripts is run instead.
SETUP, RUN = "smarty-gateway setup", "smarty-gateway run"
(SETUP_OF_SCRIPTS,) = re.findall(rf"`({SETUP} --[^`]*)`", README)
#: Takes seconds to write.
YEAR = "simulate --days 400"
PLAIN = [command for command in COMMANDS if command not in [*SET_UP, *ON_A_PORT, SETUP, RUN]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the files beside the README."""
    shutil.copytree(ROOT / "vectors", tmp_path / "vectors")
    shutil.copy(ROOT / "keys.example.yaml", tmp_path)
    return tmp_path


def test_there_are_two_commands_that_set_everything_up_and_ci_runs_them() -> None:
    assert len(SET_UP) == 2
    assert "README.md" in (ROOT / ".ci/run").read_text("utf-8")


@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=[pytest.mark.slow] if YEAR in one else []) for one in PLAIN],
)
def test_each_command_works_as_it_stands_there(command: str, folder: Path) -> None:
    if command.startswith("xxd") and shutil.which("xxd") is None:
        pytest.skip("xxd is not on this machine; .ci/run installs it")
    done = subprocess.run(
        command, shell=True, cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def port(folder: Path) -> Iterator[PtyPort]:
    """Return a port with a meter that sends encrypted telegrams, and write its key file."""
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    meter.period = 1.0
    (folder / "keys.yaml").write_text(keys_yaml([meter]), "ascii")
    (folder / "keys.yaml").chmod(0o600)
    opened = PtyPort()
    with Simulation([meter], [opened], speed=2):
        yield opened


def test_doctor_finds_a_healthy_meter_with_the_command_for_it(folder: Path, port: PtyPort) -> None:
    (command,) = [command for command in ON_A_PORT if " doctor " in command]
    done = subprocess.run(
        command.replace("/dev/ttyUSB0", port.name),
        shell=True, cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"SAG1030700000001" in done.stdout


def state_of(folder: Path) -> dict[str, str]:
    return {**environment(), "XDG_STATE_HOME": str(folder / "state")}


@contextmanager
def typed(command: str, folder: Path) -> Iterator[None]:
    """Type a command that goes on until it is ended; it must end well, print nothing and reject nothing."""
    running = subprocess.Popen(
        ["/bin/sh", "-c", f"exec {command}"],
        cwd=folder, env=state_of(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield
    finally:
        running.terminate()
        output, log = running.communicate(timeout=LIMIT)
    assert running.returncode == 0
    assert output == b""
    assert b"rejected" not in log


def test_a_meter_gets_to_the_broker_with_the_command_for_it(folder: Path, port: PtyPort) -> None:
    (command,) = [command for command in ON_A_PORT if " run " in command]
    with Broker(folder) as broker, Subscriber(broker, "#") as subscriber:
        command = command.replace("/dev/ttyUSB0", port.name).replace("localhost", f"localhost:{broker.port}")
        with typed(command, folder):
            subscriber.wait_for("smarty/house/state")
            subscriber.wait_for("homeassistant/device/smarty_SAG1030700000001/config")


def test_a_meter_gets_to_the_broker_with_setup_and_run(folder: Path, port: PtyPort) -> None:
    assert {SETUP, RUN} <= set(COMMANDS)
    key = re.findall(r"\b[0-9A-Fa-f]{32}\b", (folder / "keys.yaml").read_text("ascii"))[0]
    (folder / "keys.yaml").unlink()
    (folder / "key.txt").write_text(f"{key}\n", "ascii")
    (folder / "key.txt").chmod(0o600)
    with Broker(folder) as broker, Subscriber(broker, "#") as subscriber:
        command = SETUP_OF_SCRIPTS.replace("/dev/ttyUSB0", port.name)
        done = subprocess.run(
            command.replace("localhost", f"localhost:{broker.port}"),
            shell=True, cwd=folder, env=state_of(folder), capture_output=True, check=False, timeout=LIMIT,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with typed(RUN, folder):
            subscriber.wait_for("smarty/house/state")
            subscriber.wait_for("homeassistant/device/smarty_SAG1030700000001/config")


@pytest.mark.parametrize("shown", ["the whole file", "further outputs"])
def test_the_configurations_that_are_shown_are_good_ones(folder: Path, shown: str) -> None:
    whole, further = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    text = whole if shown == "the whole file" else whole.partition("outputs:")[0] + further
    (folder / "gateway.yaml").write_text(text, "utf-8")
    shutil.copy(ROOT / "keys.example.yaml", folder / "keys.yaml")
    (folder / "keys.yaml").chmod(0o600)
    done = subprocess.run(
        "smarty-gateway check",  # noqa: S607 - as a user types it
        shell=True, cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_every_file_that_is_linked_is_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
