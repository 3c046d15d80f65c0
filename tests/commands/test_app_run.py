"""`run` in the Home Assistant app: options and keys are read as root, and everything else is done without rights.

The other commands run beside it as root, as the console of the container does.
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
from tests.support.commands import smarty_gateway_process
from tests.support.fake_supervisor import written_options
from tests.support.running import Running, wait_until
from vectors.building_blocks import HOUSE_KEY, frame, luxembourg

pytestmark = pytest.mark.slow
APP = {"SUPERVISOR_TOKEN": "a token"}
ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")


@pytest.fixture
def data() -> Iterator[Path]:
    """Return what is /data for the app, in a folder that every user can enter; /config is beside it."""
    with TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("data", "config"):
            (root / folder).mkdir()
        yield root / "data"


@pytest.fixture
def meter() -> Iterator[TcpPort]:
    port = TcpPort("127.0.0.1", 0)
    try:
        yield port
    finally:
        port.close()


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
    path = options(data, meter)
    with Running("run", "--config", path, "--format", "json", folder=data.parent, env=APP) as running:
        send(meter, running, 1)
        options(data, meter, "0f" * 15)
        running.send(signal.SIGHUP)
        send(meter, running, 2)
        assert running.readings[-1]["security"] == "authenticated"
        assert running.stop() == 0
        assert running.says("options.json") == running.says("key") == 0


@ONLY_ROOT
def test_commands_of_root_leave_the_state_to_the_gateway(
    data: Path, meter: TcpPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")
    path = options(data, meter)
    with Running("run", "--config", path, "--format", "json", folder=data.parent, env=APP) as running:
        send(meter, running, 1)
        assert process_owner(running.pid) == APP_USER
        for words in ("check", "history registers", "reset-counter house", "healthcheck --live"):
            done = smarty_gateway_process(*words.split(), "--config", path)
            assert done.returncode == (1 if words.startswith("history") else 0), done.stderr
        assert {file.stat().st_uid for file in (data / "state").iterdir()} == {APP_USER}
        send(meter, running, 2)
        assert running.stop() == 0


@ONLY_ROOT
def test_a_password_for_root_alone_protects_the_page_of_a_gateway_without_rights(
    data: Path, meter: TcpPort
) -> None:
    config = data.parent / "config"
    text = f"meters: [{{source: '{meter.name}'}}]\noutputs: {{http: {{password_file: page.password}}}}\n"
    (config / "gateway.yaml").write_text(text)
    (config / "page.password").touch(mode=0o600)
    (config / "page.password").write_text("swordfish")
    path = written_options(data, {"configuration": "gateway.yaml"})
    with Running("run", "--config", path, folder=data.parent, env=APP) as running:
        running.wait_for_log("the page is in Home Assistant")
        assert process_owner(running.pid) == APP_USER
        assert [status_of_page(password) for password in (b"swordfish", b"other")] == [200, 401]
        assert running.stop() == 0


def process_owner(pid: int) -> int:
    found = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def status_of_page(password: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", 8300, timeout=10)
    credentials = b64encode(b"me:" + password).decode()
    connection.request("GET", "/", headers={"Authorization": f"Basic {credentials}"})
    status = connection.getresponse().status
    connection.close()
    return status
