"""`demo --pool`: a whole pool on one machine, which ends with the command."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from smarty_gateway.pool import local_servers
from tests.support.commands import environment, smarty_gateway
from tests.support.postgresql import has_postgresql
from tests.support.rabbitmq import has_rabbitmq
from tests.support.running import Running, wait_until


def test_without_the_packages_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_servers, "_RABBITMQ", Path("/nonexistent"))
    done = smarty_gateway("demo", "--pool")
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.endswith("type: sudo apt install rabbitmq-server postgresql")


def test_it_shows_no_readings_so_it_takes_no_format() -> None:
    done = smarty_gateway("demo", "--pool", "--format", "json")
    assert done.returncode == 2
    assert b"leave out --format" in done.stderr


def test_a_worker_ends_with_the_demonstration_even_if_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "pool.yaml").write_text(
        "nodes: amqp://worker@localhost:1\npassword_file: password\nkeys: keys\n"
        "database: {url: 'postgresql://smarty@localhost:1/smarty'}\n"
        "plaintext: [{meter_id: '1SAG1100000001', user: edge}]\n"
    )
    (tmp_path / "password").touch(0o600)
    (tmp_path / "password").write_text("secret")
    (tmp_path / "keys").mkdir(0o700)
    code = (
        "import pathlib, time; from smarty_gateway.commands import pool_demo;"
        "worker = pool_demo._start_worker(pathlib.Path('pool.yaml'), 'a'); print(worker.pid, flush=True);"
        "time.sleep(99)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        assert demo.stderr is not None
        worker = Path(f"/proc/{int(demo.stdout.readline())}/cmdline")
        line = demo.stderr.readline()  # its handlers of signals are there
        demo.kill()
    assert b"the database smarty at localhost:1: " in line
    wait_until(lambda: not worker.exists() or not worker.read_bytes(), "the end of the worker")


@pytest.mark.slow
@pytest.mark.skipif(
    not (has_rabbitmq() and has_postgresql()), reason="RabbitMQ or PostgreSQL is not installed"
)
def test_rows_appear_and_nothing_is_left_behind(tmp_path: Path) -> None:
    with Running("demo", "--pool", folder=tmp_path) as demo:
        wait_until(lambda: rows(demo) or not demo.is_alive, "rows")
        assert rows(demo), demo.log
        (folder,) = re.findall(r"start in (\S+),", "\n".join(demo.log))
        assert demo.stop() == 0
    assert not Path(folder).exists()
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert [line for line in running if folder.encode() in line] == []


def rows(demo: Running) -> int:
    """Return how many rows there are."""
    return max((int(found) for found in re.findall(r"(\d+) rows", "\n".join(demo.lines))), default=0)
