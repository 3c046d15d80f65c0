"""The programs of docs/python.md work as they stand there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import smarty_gateway
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import TcpPort
from smarty_gateway.simulator.simulation import Simulation
from tests.support.commands import LIMIT, ROOT, SAMPLE_KEYS, environment

PAGE = (ROOT / "docs/python.md").read_text("utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
PORT = "2001"


def run(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the vectors and the keys of the sample."""
    shutil.copytree(ROOT / "vectors", tmp_path / "vectors", ignore=shutil.ignore_patterns("*.py"))
    (tmp_path / "keys.yaml").write_bytes(SAMPLE_KEYS.read_bytes())
    (tmp_path / "keys.yaml").chmod(0o600)
    return tmp_path


@pytest.fixture
def port(folder: Path) -> Iterator[TcpPort]:
    """Return a meter that sends an encrypted telegram every half second, and a key file that fits."""
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
    meter.period = 1.0
    (folder / "keys.yaml").write_text(keys_yaml([meter]), "ascii")
    opened = TcpPort("127.0.0.1", 0)
    with Simulation([meter], [opened], speed=2):
        yield opened


@pytest.mark.parametrize("program", [program for program in PROGRAMS if PORT not in program])
def test_each_program_works_as_it_stands_there(program: str, folder: Path) -> None:
    assert run(program, folder) != ""


@pytest.mark.parametrize("program", [program for program in PROGRAMS if PORT in program])
def test_each_program_reads_a_live_meter(program: str, folder: Path, port: TcpPort) -> None:
    printed = run(program.replace(PORT, port.name.rpartition(":")[2]), folder)
    assert len(printed.splitlines()) == 3
    assert "rejected" not in printed


def test_the_page_names_the_whole_public_api() -> None:
    assert {name for name in smarty_gateway.__all__ if name not in PAGE} == set()


def test_what_a_program_prints_is_what_its_comments_say(folder: Path) -> None:
    (rejections,) = [program for program in PROGRAMS if "on_rejection=show" in program]
    assert run(rejections, folder).startswith("rejected no-key offset=")
    (errors,) = [program for program in PROGRAMS if "except" in program]
    assert run(errors, folder).strip() in errors
