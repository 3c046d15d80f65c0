"""The output `http`: when it serves, what it does while it cannot, and how it ends."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest

from smarty_gateway.config.password_file import PasswordFileError
from smarty_gateway.config.values import Config, HttpConfig, MeterConfig
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.sources.address import parse_address
from smarty_gateway.web import server as server_module
from smarty_gateway.web import serving
from smarty_gateway.web.access import WsgiApp
from smarty_gateway.web.output import HttpOutput
from smarty_gateway.web.server import Server
from tests.support.commands import environment
from tests.support.every_meter import secrets_of
from tests.support.histories import ZONE, boundaries, second_of, write_history
from tests.support.mqtt_runs import reading_of
from tests.support.running import Running, wait_until
from tests.support.views import config_of
from tests.support.views import reading_of as simulated
from vectors.building_blocks import belgium

CONFIG = config_of("house")
#: What a meter without an entry calls itself, and how it is shown.
NUMBER, SHOWN = "SAG1030700012345", "electricity-2345"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def get(port: int, path: str) -> tuple[int, bytes]:
    """Return status and content of an answer."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """End what a test has started."""
    with ExitStack() as found:
        yield found


def started(stack: ExitStack, host: str = "127.0.0.1", port: int | None = None) -> HttpOutput:
    """Return an output that was started."""
    output = HttpOutput(CONFIG, HttpConfig(host, free_port() if port is None else port), None)
    output.start()
    stack.callback(output.stop, 10)
    return output


def served(stack: ExitStack) -> tuple[HttpOutput, int]:
    """Return an output that serves, and its port."""
    port = free_port()
    output = started(stack, port=port)
    wait_until(lambda: output.state == "ok", "the page")
    return output, port


def test_it_serves_what_the_readers_deliver(stack: ExitStack) -> None:
    output, port = served(stack)
    output.publish(reading_of(belgium(1)))
    status, content = get(port, "/api/v1/meters/house/now")
    assert status == http.client.OK
    assert json.loads(content)["power_import"] == reading_of(belgium(1)).telegram["power_import"]


def test_a_meter_that_is_gone_is_not_served(stack: ExitStack) -> None:
    output, port = served(stack)
    output.publish(reading_of(belgium(1), name=NUMBER))
    assert get(port, f"/api/v1/meters/{SHOWN}/now")[0] == http.client.OK
    output.forget(NUMBER)
    assert get(port, f"/api/v1/meters/{SHOWN}/now")[0] == http.client.NOT_FOUND


def test_it_is_healthy_once_the_meter_is_heard_and_the_outputs_work(stack: ExitStack) -> None:
    output, port = served(stack)
    output.report({"house": Health()}, GatewayHealth(counters_kept=True, outputs={"http": output.state}))
    assert get(port, "/healthz")[0] == http.client.SERVICE_UNAVAILABLE
    output.publish(reading_of(belgium(1)))
    assert get(port, "/healthz")[0] == http.client.OK


def test_a_stop_frees_the_port(stack: ExitStack) -> None:
    output, port = served(stack)
    assert get(port, "/livez")[0] == http.client.OK
    output.stop(10)
    with pytest.raises(ConnectionRefusedError):
        get(port, "/livez")
    assert output.failure is None


def test_a_stop_may_come_at_once() -> None:
    output = HttpOutput(CONFIG, HttpConfig("127.0.0.1", free_port()), None)
    output.start()
    output.stop(10)
    assert output.failure is None


def test_a_port_that_is_taken_is_said_once_and_tried_again_until_it_is_free(
    stack: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(serving, "_AGAIN_AFTER", 0.02)
    attempts = []

    def attempt(app: WsgiApp, host: str, port: int) -> Server:
        attempts.append(port)
        return Server(app, host, port)

    monkeypatch.setattr(server_module, "Server", attempt)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = int(other.getsockname()[1])
        output = started(stack, port=port)
        wait_until(lambda: len(attempts) > 3, "a few attempts")
        output.publish(reading_of(belgium(1)))
        assert (output.state, output.failure, output.is_over) == ("port taken", None, False)
    caplog.set_level("INFO")
    wait_until(lambda: output.state == "ok", "the page")
    assert get(port, "/livez")[0] == http.client.OK
    fault, cleared = (message for message in caplog.messages if "page" in message)
    assert fault.startswith(f"the page cannot be at 127.0.0.1:{port}: another program uses this port")
    assert fault.endswith("write another port behind `listen`; trying again until it works")
    assert cleared == f"the page is at http://127.0.0.1:{port}/"


def test_an_address_that_is_not_there_is_tried_again(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    output = started(stack, "192.0.2.1", 8300)
    wait_until(lambda: "connect the network, or correct `listen`" in caplog.text, "an attempt")
    assert (output.state, output.failure) == ("no address", None)


def test_a_stop_does_not_wait_for_the_next_attempt(stack: ExitStack) -> None:
    output = started(stack, "192.0.2.1", 8300)
    wait_until(lambda: output.state == "no address", "an attempt")
    output.stop(5)
    assert not output._serving._thread.is_alive()


def test_a_server_that_crashes_ends_the_gateway(stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(**_: object) -> None:
        raise RuntimeError("no more files")

    monkeypatch.setattr("waitress.wasyncore.loop", crash)
    output = started(stack)
    wait_until(lambda: output.failure, "the crash")
    assert output.failure == "the page failed: RuntimeError('no more files')"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:8300/"),
        ("::1", "http://[::1]:8300/"),
        ("0.0.0.0", f"http://{socket.gethostname()}:8300/"),  # noqa: S104 - not listened on
        ("::", f"http://{socket.gethostname()}:8300/"),
    ],
)
def test_the_log_says_what_to_type_into_a_browser(host: str, shown: str) -> None:
    assert HttpConfig(host, 8300).url == shown


def test_a_password_that_cannot_be_read_is_said_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(PasswordFileError):
        HttpOutput(CONFIG, HttpConfig(password_file=tmp_path / "missing"), None)


def loaded_after(code: str) -> set[str]:
    """Return which heavy libraries a new process has loaded after some lines."""
    names = ("bottle", "waitress", "jinja2", "pygal", "prometheus_client")
    code += f"\nimport sys; print(*(name for name in {names} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, env=environment()
    )
    return set(done.stdout.split())


def test_a_gateway_without_the_page_loads_nothing_for_it() -> None:
    assert loaded_after("import smarty_gateway.gateway.wiring") == set()


def test_a_page_that_nobody_looks_at_loads_no_templates_and_no_pictures() -> None:
    code = f"""
import http.client
from contextlib import closing
from smarty_gateway.config.values import Config, HttpConfig
from smarty_gateway.web.output import HttpOutput
from tests.support.running import wait_until
output = HttpOutput(Config(()), HttpConfig(port={free_port()}), None)
output.start()
wait_until(lambda: output.state == "ok", "the page")
with closing(http.client.HTTPConnection("127.0.0.1", output._serving._http.port)) as connection:
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
output.stop(10)
"""
    assert loaded_after(code) == {"bottle", "waitress"}


def test_no_answer_holds_an_id_of_a_meter_or_of_a_device_of_it(stack: ExitStack, tmp_path: Path) -> None:
    now = int(time.time())
    day = f"{datetime.fromtimestamp(now - 2 * 86_400, ZONE):%Y-%m-%d}"
    write_history(tmp_path, NUMBER, boundaries(second_of(day), 96))
    config, port = Config((MeterConfig((parse_address("tcp://127.0.0.1:2001"),)),)), free_port()
    output = HttpOutput(config, HttpConfig(port=port), tmp_path)
    output.start()
    stack.callback(output.stop, 10)
    wait_until(lambda: output.state == "ok", "the page")
    reading = simulated(at=now, name=NUMBER, source="tcp://127.0.0.1:2001")
    output.publish(reading)
    paths = [
        "/", "/health", "/metrics", "/api/v1/health", "/api/v1/openapi.json", "/api/v1/meters",
        *(f"/meters/{SHOWN}/{page}" for page in ("", "live", f"day/{day}", "month", "year", "bill")),
        *(f"/api/v1/meters/{SHOWN}/{page}" for page in ("now", "history")),
    ]  # fmt: skip
    answers = {path: get(port, path) for path in paths}
    assert {path: status for path, (status, _) in answers.items() if status != http.client.OK} == {}
    secrets = [NUMBER, "GFLO2133031470", *secrets_of(reading.telegram)]
    assert [(path, s) for path, (_, page) in answers.items() for s in secrets if s.encode() in page] == []


def test_a_gateway_with_the_page_alone_prints_no_readings_and_keeps_a_history(tmp_path: Path) -> None:
    port = free_port()
    with closing(PtyPort()) as meter:
        (tmp_path / "gateway.yaml").write_text(
            f"state: state\nmeters: [{{name: house, source: {meter.name}}}]\n"
            f"outputs: {{http: {{listen: '127.0.0.1:{port}'}}}}\n"
        )
        with Running("run", "--config", tmp_path / "gateway.yaml", folder=tmp_path) as gateway:
            gateway.wait_for_port(meter.name)
            gateway.wait_for_log(f"the page is at http://127.0.0.1:{port}/")
            meter.write(belgium(1))
            wait_until(lambda: get(port, "/healthz")[0] == http.client.OK, "the meter")
            assert gateway.stop() == 0
            assert gateway.lines == []
    assert (tmp_path / "state" / "history.sqlite3").exists()
