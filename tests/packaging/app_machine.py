"""`python -m tests.packaging.app_machine FOLDER` runs the gateway as an app and prints as JSON what it did.

It runs as root in namespaces of its own (`NAMESPACES`). There it makes a machine in an empty folder: with the
programs and the Python of this one, the network of Home Assistant's apps, a Supervisor, a meter at a serial
port and Mosquitto.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from socket import socket
from typing import Any, Final

import yaml

from tests.support.fake_supervisor import FakeSupervisor, written_options

NAMESPACES: Final = (
    "unshare",
    "--mount",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
    "--propagation",
    "private",
)
ROOT: Final = Path(__file__).parents[2]
SUPERVISOR: Final = "172.30.32.2"
BROKER: Final = "172.30.33.3"
APP: Final = "172.30.33.9"
INGRESS: Final = {"X-Ingress-Path": "/api/hassio_ingress/T0k-en_"}
LIMIT: Final = 60
#: Not the one of any system's serial ports.
PORT_GROUP: Final = 4711
MOSQUITTO: Final = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
_PORT: Final = Path("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0")
_HOSTS: Final = f"127.0.0.1 localhost\n{SUPERVISOR} supervisor\n{BROKER} core-mosquitto\n"


def enter(folder: Path) -> None:
    """Make the folder the root of a machine."""
    _type("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    for place in ("/usr", "/bin", "/sbin", "/lib", "/lib64", sys.base_prefix, ROOT, sys.prefix):
        inside = folder / str(place).lstrip("/")
        if inside.exists():
            continue
        inside.parent.mkdir(parents=True, exist_ok=True)
        if Path(place).is_symlink():
            inside.symlink_to(Path(place).readlink())
        else:
            inside.mkdir()
            _type("mount", "--bind", place, inside)
    (folder / "etc").mkdir()
    for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime"):
        shutil.copy(f"/etc/{name}", folder / "etc")
    for name in ("data", "config", "proc", "dev", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    os.chroot(folder)
    os.chdir("/")
    furnish()


def furnish() -> None:
    """Make devices and the network of Home Assistant's apps."""
    _type("mount", "-t", "proc", "proc", "/proc")
    _type("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/dev")
    for name, minor in {"null": 3, "zero": 5, "random": 8, "urandom": 9}.items():
        os.mknod(f"/dev/{name}", 0o020666, os.makedev(1, minor))
        Path(f"/dev/{name}").chmod(0o666)
    Path("/dev/pts").mkdir()
    _type("mount", "-t", "devpts", "-o", "newinstance,ptmxmode=666", "devpts", "/dev/pts")
    Path("/dev/ptmx").symlink_to("pts/ptmx")
    Path("/etc/hosts").write_text(_HOSTS)
    _type("ip", "link", "set", "lo", "up")
    for address in (SUPERVISOR, BROKER, APP):
        _type("ip", "address", "add", f"{address}/32", "dev", "lo")


def show() -> dict[str, Any]:
    """Run the gateway as an app, twice, and return what was seen."""
    shown: dict[str, Any] = {}
    with FakeSupervisor((SUPERVISOR, 80)) as supervisor, _meter() as key:
        meter = {"name": "house", "port": str(_PORT), "key": key}
        options = written_options(Path("/data"), {"meters": [meter]})
        with _gateway(supervisor) as gateway:
            _wait_until(lambda: len(supervisor.requests) > 1)
            shown["runs without a broker"] = gateway.process.poll() is None
            with _mosquitto("addons", "secret"):
                supervisor.install_broker(username="addons", password="secret")  # noqa: S106 - not a secret
                shown["state of"] = json.loads(_message("smarty/+/state"))["meter"]
                shown["announced"] = "house" in _message("homeassistant/device/+/config")
                shown["rights"] = _rights(gateway.process.pid)
                shown["state folder"] = _owner(Path("/data/state"))
                shown["options"] = _owner(options)
                shown["ingress"] = _page(SUPERVISOR, "/", INGRESS)
                shown["another app"] = _page(BROKER, "/", INGRESS)
                shown["watchdog"] = _page(SUPERVISOR, "/livez")
                shown["healthcheck"] = _healthcheck(supervisor)
                shown["stopped"] = gateway.stop()
                # Each start has a new token, and options.json is a new file.
                supervisor.token = "6afe" * 28
                written_options(Path("/data"), {"meters": [{**meter, "name": "haus"}]})
                with _gateway(supervisor) as again:
                    shown["state after a new option"] = json.loads(_message("smarty/haus/state"))["meter"]
                    shown["stopped again"] = again.stop()
        written_options(Path("/data"), {"meters": [{**meter, "key": key[:-1]}]})
        with _gateway(supervisor) as refused:
            shown["a wrong option"] = refused.process.wait(LIMIT)
            shown["says"] = refused.log[-1]
    shown["key in the log"] = any(key in line for run in (gateway, again, refused) for line in run.log)
    shown["log"] = [line.partition(" ")[2].partition(" ")[2] for line in gateway.log]
    return shown


class _Gateway:
    """A gateway that runs as an app; `log` is what it has written so far."""

    def __init__(self, token: str) -> None:
        self.log: list[str] = []
        # What the app's AppArmor profile leaves of the capabilities that Docker gives.
        profile = (ROOT / "deploy/home-assistant/smarty-gateway/apparmor.txt").read_text()
        capabilities = ",".join(["-all", *(f"+{name}" for name in re.findall(r"capability (\w+),", profile))])
        limits = ("setpriv", "--bounding-set", capabilities, "--inh-caps", "-all")
        self.process = subprocess.Popen(
            [*limits, sys.executable, "-m", "smarty_gateway", "run"],
            env=_environment(token),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._collect, daemon=True).start()

    def stop(self) -> int:
        """Stop it as Docker does; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        self.log += (line.rstrip() for line in self.process.stdout)


@contextmanager
def _gateway(supervisor: FakeSupervisor) -> Iterator[_Gateway]:
    gateway = _Gateway(supervisor.token)
    try:
        yield gateway
    except Exception:
        sys.stderr.write("\n".join(gateway.log))
        raise
    finally:
        if gateway.process.poll() is None:
            gateway.process.kill()
        gateway.process.wait()


@contextmanager
def _meter() -> Iterator[str]:
    """Plug a meter in, for root and a group; yield its key."""
    _PORT.parent.mkdir(parents=True, exist_ok=True)
    keys = Path("/tmp/keys.yaml")  # noqa: S108 - of a machine that only this test has
    words = ("simulate", "--pty", "--speed", "5", "--link", str(_PORT), "--write-keys", str(keys))
    with subprocess.Popen(
        [sys.executable, "-m", "smarty_gateway", *words], stdout=subprocess.DEVNULL
    ) as meter:
        try:
            _wait_until(lambda: _PORT.exists() and keys.exists())
            os.chown(_PORT, 0, PORT_GROUP)
            _PORT.chmod(0o660)
            yield str(next(iter(yaml.safe_load(keys.read_text())["keys"].values())))
        finally:
            meter.terminate()


@contextmanager
def _mosquitto(user: str, password: str) -> Iterator[None]:
    folder = Path("/tmp")  # noqa: S108 - see above
    _type("mosquitto_passwd", "-b", "-c", folder / "users", user, password)
    (folder / "mosquitto.conf").write_text(
        f"listener 1883 {BROKER}\nuser root\nallow_anonymous false\npassword_file {folder}/users\n"
    )
    words = (str(MOSQUITTO), "-c", folder / "mosquitto.conf")
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as broker:
        try:
            _wait_until(lambda: _listens(1883))
            yield
        finally:
            broker.terminate()


def _listens(port: int) -> bool:
    with socket() as connection:
        return connection.connect_ex((BROKER, port)) == 0


def _environment(token: str) -> dict[str, str]:
    """Return what Supervisor and the image set."""
    path = os.environ["PATH"]
    return {"SUPERVISOR_TOKEN": token, "TZ": "Europe/Luxembourg", "container": "oci", "PATH": path}


def _healthcheck(supervisor: FakeSupervisor) -> int:
    words = [sys.executable, "-m", "smarty_gateway", "healthcheck", "--live"]
    environment = _environment(supervisor.token)
    return subprocess.run(words, env=environment, capture_output=True, check=False).returncode


def _message(topic: str) -> str:
    """Return the next message of a topic, which may be a retained one."""
    login = ("-h", "core-mosquitto", "-u", "addons", "-P", "secret")
    words = ("mosquitto_sub", *login, "-t", topic, "-C", "1", "-W", str(LIMIT))
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def _page(source: str, path: str, headers: dict[str, str] | None = None) -> int:
    """Return the status of an answer to a request from an address."""
    connection = HTTPConnection(APP, 8300, LIMIT, (source, 0))
    connection.request("GET", path, headers=headers or {})
    return connection.getresponse().status


def _rights(pid: int) -> dict[str, str]:
    """Return user, groups and capabilities of a process."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: " ".join(status[name].split()) for name in ("Uid", "Gid", "Groups", "CapEff", "CapPrm")}


def _owner(path: Path) -> str:
    found = path.stat()
    return f"{found.st_uid} {found.st_mode & 0o777:o}"


def _type(*words: object) -> None:
    subprocess.run([*map(str, words)], check=True)


def _wait_until(condition: Any) -> None:  # noqa: ANN401 - any function
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


if __name__ == "__main__":
    enter(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(show()))
