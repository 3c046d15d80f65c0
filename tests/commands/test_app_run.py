"""`run` in the Home Assistant app reads options and keys as root, and does the rest without rights.

The other commands run beside it as root, as in a console of the container.
"""

import http.client
import os
import re
import signal
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smarty_gateway.config.credentials import APP_USER
from smarty_gateway.simulator.ports import TcpPort
from tests.support.brokers import free_port
from tests.support.commands import smarty_gateway_process
from tests.support.fake_supervisor import written_options
from tests.support.running import Running, wait_until
from vectors.building_blocks import HOUSE_KEY, frame, luxembourg

pytestmark = pytest.mark.slow
#: The page has a port of its own: these tests run side by side, and the usual one may be in use. The gateway
#: loads everything at once, as the user who goes on may not reach the Python of a developer.
LOADER = """
import sys
from smarty_gateway.config import app_options
app_options._PAGE_PORT = {port}
if "run" in sys.orig_argv:
    import encodings.idna, importlib, pkgutil, smarty_gateway
    for module in pkgutil.walk_packages(smarty_gateway.__path__, "smarty_gateway."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")


@pytest.fixture
def page() -> int:
    """Return the port of the page."""
    return free_port()


@pytest.fixture
def data(page: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return what is /data for the app, in a folder that every user can enter; /config is beside it."""
    with TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("data", "config"):
            (root / folder).mkdir()
        (root / "sitecustomize.py").write_text(LOADER.format(port=page))
        monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")
        monkeypatch.setenv("PYTHONPATH", name)
        yield root / "data"


@pytest.fixture
def meter() -> Iterator[TcpPort]:
    port = TcpPort("127.0.0.1", 0)
    try:
        yield port
    finally:
        port.close()


def app(data: Path, *options: object) -> Running:
    """Start the gateway as Supervisor does."""
    return Running("run", "--config", data / "options.json", *options, folder=data.parent)


def options(data: Path, meter: TcpPort, key: str = HOUSE_KEY.hex()) -> Path:
    return written_options(data, {"meters": [{"name": "house", "address": meter.name, "key": key}]})


def greeted(meter: TcpPort) -> bool:
    meter.write(b"\0")  # which accepts connections
    return meter.is_read


def send(meter: TcpPort, running: Running, count: int) -> None:
    """Send a frame and wait for its reading."""
    wait_until(lambda: greeted(meter), "the gateway at the port")
    meter.write(frame(luxembourg(count), counter=1000 + count))
    running.wait_for_readings(count)


def test_keys_stay_in_memory_when_the_options_can_no_longer_be_read(data: Path, meter: TcpPort) -> None:
    options(data, meter)
    with app(data, "--format", "json") as running:
        send(meter, running, 1)
        options(data, meter, "0f" * 15)
        running.send(signal.SIGHUP)
        send(meter, running, 2)
        assert running.readings[-1]["security"] == "authenticated"
        assert running.stop() == 0
        assert running.says("options.json") == running.says("key") == 0


@ONLY_ROOT
def test_commands_of_root_leave_the_state_to_the_gateway(data: Path, meter: TcpPort) -> None:
    path = options(data, meter)
    with app(data, "--format", "json") as running:
        send(meter, running, 1)
        assert running.stop() == 0  # which writes the counter
    with app(data, "--format", "json") as running:
        running.wait_for_log("the page is in Home Assistant")
        assert process_owner(running.pid) == APP_USER
        for words in ("check", "reset-counter house", "healthcheck --live"):
            done = smarty_gateway_process(*words.split(), "--config", path)
            assert done.returncode == 0, done.stderr
        done = smarty_gateway_process("forget", "house", "--config", path)
        assert "its gateway cannot be stopped alone; remove the meter in its Config" in done.stderr.decode()
        assert "no history" in smarty_gateway_process("history", "--config", path).stderr.decode()
        assert {file.stat().st_uid for file in (data / "state").iterdir()} == {APP_USER}
        running.wait_for_log("reset as requested")
        send(meter, running, 1)
        assert running.stop() == 0


@ONLY_ROOT
def test_a_password_for_root_alone_protects_the_page_of_a_gateway_without_rights(
    data: Path, meter: TcpPort, page: int
) -> None:
    config = data.parent / "config"
    text = f"meters: [{{source: '{meter.name}'}}]\noutputs: {{http: {{password_file: page.password}}}}\n"
    (config / "gateway.yaml").write_text(text)
    (config / "page.password").touch(mode=0o600)
    (config / "page.password").write_text("swordfish")
    written_options(data, {"configuration": "gateway.yaml"})
    with app(data) as running:
        running.wait_for_log("the page is in Home Assistant")
        assert process_owner(running.pid) == APP_USER
        assert [status_of_page(page, password) for password in (b"swordfish", b"other")] == [200, 401]
        assert running.stop() == 0


def process_owner(pid: int) -> int:
    found = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def status_of_page(port: int, password: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    credentials = b64encode(b"me:" + password).decode()
    connection.request("GET", "/api/v1/meters", headers={"Authorization": f"Basic {credentials}"})
    status = connection.getresponse().status
    connection.close()
    return status
