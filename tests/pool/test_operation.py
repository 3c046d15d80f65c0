"""How a worker is watched: what monitoring and the service manager are told, and who may ask."""

import base64
import http.client
import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as families

from smarty_gateway.config.values import HttpConfig
from smarty_gateway.pool import operation as module
from smarty_gateway.pool.operation import Operation
from smarty_gateway.pool.status import WorkerStatus
from smarty_gateway.pool.worker_health import PATIENCE, WorkerHealth
from tests.support.brokers import free_port
from tests.support.commands import LIMIT, ROOT, environment
from tests.support.running import wait_until

UNIT = ROOT / "deploy" / "pool" / "smarty-gateway-pool@.service"
WELL = WorkerStatus(
    worker="b",
    workers=("a", "b", "c"),
    node="n1.example:5671",
    database_works=True,
    home=frozenset({1, 4}),
    held=frozenset({1, 4, 7}),
    lag=0.25,
    frames=10,
    rows=7,
    repeats=1,
    refused={"replay": 2},
    takes=3,
    rebalances=1,
)


def test_a_worker_is_well_once_it_has_reached_cluster_and_database() -> None:
    health = WorkerHealth()
    assert health.as_object()[0] is False
    health.note(replace(WELL, node=None), {}, 0.0)
    assert health.as_object()[1]["status"] == "starting"
    health.note(WELL, {"mqtt": "ok"}, 1.0)
    is_well, found = health.as_object()
    assert is_well
    assert (found["status"], found["held"], found["problems"]) == ("ok", [1, 4, 7], [])
    assert health.line == "3 shards, 3 workers, node n1.example:5671, lag 0.2 s"


@pytest.mark.parametrize(
    ("status", "outputs", "problem"),
    [
        (replace(WELL, node=None), {}, "no RabbitMQ node has answered for 15 s"),
        (replace(WELL, database_works=False), {}, "the database has been away for 15 s"),
        (replace(WELL, waiting=5), {}, "messages wait, and nothing was written for 15 s"),
        (replace(WELL, unread=frozenset({9})), {}, "shards are not read, as the log says for 15 s"),
        (replace(WELL, key_faults=frozenset({1})), {}, "a key file cannot be used, as the log says for 15 s"),
        (WELL, {"mqtt": "offline"}, "the output mqtt has been offline for 15 s"),
    ],
    ids=["node", "database", "stuck", "unread", "key file", "output"],
)
def test_what_lasts_is_a_problem_and_what_passes_is_none(
    status: WorkerStatus, outputs: dict[str, str], problem: str
) -> None:
    health = WorkerHealth()
    health.note(WELL, {}, 0.0)
    health.note(status, outputs, 1.0)
    health.note(status, outputs, PATIENCE)
    assert health.as_object()[0] is True
    health.note(status, outputs, 1.0 + PATIENCE)
    is_well, found = health.as_object()
    assert not is_well
    assert (found["status"], found["problems"]) == ("failing", [problem])
    assert health.line == problem
    health.note(replace(WELL, frames=11), {}, 2.0 + PATIENCE)
    assert health.as_object()[0] is True


class Outputs:
    """The results of a worker, as far as they are watched."""

    def __init__(self) -> None:
        self.states = {"mqtt": "ok"}
        self.dropped = {"mqtt": 4}


@contextmanager
def served(password: Path | None = None) -> Iterator[tuple[Operation, int]]:
    port = free_port()
    operation = Operation(HttpConfig(port=port, password_file=password), lambda: WELL, Outputs())  # type: ignore[arg-type] # as much of them as is asked
    operation.start()
    try:
        serving = operation._serving
        assert serving is not None
        wait_until(lambda: serving.state == "ok", "the server")
        yield operation, port
    finally:
        operation.stop()


def get(port: int, path: str, password: str | None = None) -> tuple[int, bytes]:
    headers = {}
    if password is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(f'any:{password}'.encode()).decode()}"
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_monitoring_learns_health_and_metrics_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as (operation, port):
        assert get(port, "/healthz")[0] == 503
        operation.tick()
        status, body = get(port, "/healthz")
        assert (status, json.loads(body)["worker"]) == (200, "b")
        samples = {
            (sample.name, *sample.labels.values()): sample.value
            for family in families(get(port, "/metrics")[1].decode())
            for sample in family.samples
        }
        assert samples["smarty_pool_held_shards",] == 3
        assert samples["smarty_pool_rows_total",] == 7
        assert samples["smarty_pool_refused_frames_total", "replay"] == 2
        assert samples["smarty_pool_lag_seconds",] == 0.25
        assert samples["smarty_output_dropped_readings_total", "mqtt"] == 4
        assert ("process_cpu_seconds_total",) in samples
        assert get(port, "/")[0] == 404
        assert get(port, "/livez") == (200, b"ok\n")
        monkeypatch.setattr(module, "_DEAD_AFTER", 0.0)
        assert get(port, "/livez")[0] == 503


def test_the_page_names_each_metric_of_a_worker() -> None:
    page = (ROOT / "docs" / "pool-operation.md").read_text("utf-8")
    with served() as (_, port):
        names = set(re.findall(r"^(smarty_\w+)", get(port, "/metrics")[1].decode(), re.MULTILINE))
    assert {name for name in names if name not in page} == set()
    assert {name for name in re.findall(r"smarty_\w+", page) if name not in names} == set()


def test_only_who_has_the_password_learns_details(tmp_path: Path) -> None:
    file = tmp_path / "http.password"
    file.write_text("correct horse\n", "utf-8")
    file.chmod(0o600)
    with served(file) as (operation, port):
        operation.tick()
        assert get(port, "/healthz") == (200, b"")
        assert get(port, "/metrics")[0] == 401
        assert get(port, "/metrics", "correct horse")[0] == 200


def test_the_service_manager_learns_that_the_worker_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
        manager.settimeout(LIMIT)
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "60000000")
        operation = Operation(None, lambda: WELL, Outputs())  # type: ignore[arg-type] # see above
        operation.start()
        operation.tick()
        operation.tick()  # within a second
        operation.note_stopping()
        heard = [manager.recv(1000).decode() for _ in range(4)]
    status = "STATUS=3 shards, 3 workers, node n1.example:5671, lag 0.2 s"
    assert heard == ["READY=1", "WATCHDOG=1", status, "STOPPING=1"]


def test_systemd_finds_the_unit_of_a_worker_secure_and_right(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not on this machine")
    text = UNIT.read_text("utf-8")
    program = shutil.which("smarty-gateway", path=environment()["PATH"])
    unit = tmp_path / "smarty-gateway-pool@a.service"
    unit.write_text(text.replace("/opt/smarty-gateway/bin/smarty-gateway", str(program)), "utf-8")
    for question in (("security", "--offline=true", "--threshold=20"), ("verify",)):
        done = subprocess.run(
            [analyze, *question, str(unit)], capture_output=True, check=False, timeout=LIMIT, text=True
        )
        about_it = [line for line in done.stderr.splitlines() if "smarty-gateway" in line]
        assert (done.returncode, about_it) == (0, []), done.stdout[-500:]


def test_the_unit_of_a_worker_has_all_protections_of_the_gateway_s() -> None:
    protections = {
        line
        for line in (ROOT / "deploy" / "smarty-gateway.service").read_text("utf-8").splitlines()
        if re.match(
            r"(Protect|Private|Restrict|SystemCall|NoNew|Capability|Lock|MemoryDeny|UMask|LimitCORE)", line
        )
    } - {"RestartPreventExitStatus=78"}
    assert protections <= set(UNIT.read_text("utf-8").splitlines())
