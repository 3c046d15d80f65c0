"""The app of Home Assistant, started as root, goes on without any right but those that it needs."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smarty_gateway.simulator.ports import PtyPort
from tests.support.commands import LIMIT, ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give up its rights")

USER = 65532
DIALOUT = 20
#: Of a port that no group of a system has.
OWN_GROUP = 64_123
#: Goes on as a user; then it does what the orders on standard input ask for, and prints what became of it.
PROGRAM = """
import json, os, sys
from pathlib import Path
from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.service.unprivileged import become_unprivileged

folder = Path(sys.argv[1])
try:
    become_unprivileged(load_config(folder / "gateway.yaml"), folder / "data" / "state", {user})
except GatewayError as error:
    sys.exit(f"{{error.exit_status}} {{error}}")
print(json.dumps(dict(line.split(":", 1) for line in open("/proc/self/status"))), flush=True)
for order in sys.stdin:
    try:
        exec(order)
    except OSError as error:
        print(json.dumps(error.strerror), flush=True)
    else:
        print(json.dumps("done"), flush=True)
"""


@dataclass
class App:
    """A folder with what the app has, and the process in it."""

    folder: Path
    process: subprocess.Popen[str] | None = None

    @property
    def state(self) -> Path:
        """Where it keeps what it knows."""
        return self.folder / "data" / "state"

    def start(self) -> dict[str, str]:
        """Start it, and return /proc/self/status once it has given up its rights; nothing if it ends."""
        program = PROGRAM.format(user=USER)
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.folder)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        return dict(json.loads(line)) if line else {}

    def order(self, code: str) -> str:
        """Have it do something, and return `done` or the error."""
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(code, file=self.process.stdin, flush=True)
        return str(json.loads(self.process.stdout.readline()))

    def configure(self, outputs: str = "{}") -> None:
        """Write a configuration with a port that is there, and one that is not."""
        names = ("port", "later", "memory")
        meters = ", ".join(f"{{name: {name}, source: {self.folder}/{name}}}" for name in names)
        (self.folder / "gateway.yaml").write_text(f"meters: [{meters}]\noutputs: {outputs}\n", "utf-8")

    def end(self) -> tuple[int, str]:
        """End it, and return its exit status and what it wrote to standard error."""
        assert self.process is not None
        _, errors = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, errors


@pytest.fixture
def app() -> Iterator[App]:
    """Make a folder, which others may enter."""
    with TemporaryDirectory() as name:
        app = App(Path(name))
        app.folder.chmod(0o755)
        (app.folder / "data").mkdir(mode=0o755)
        app.configure()
        try:
            yield app
        finally:
            if app.process is not None:
                app.process.kill()
                app.process.communicate()


@contextmanager
def serial_port(link: Path, group: int) -> Iterator[None]:
    """Make a terminal with the owner and the mode of a serial port."""
    with closing(PtyPort(link)):
        os.chown(link, 0, group)
        link.chmod(0o660)
        yield


def test_no_right_of_root_stays_and_none_comes_back(app: App) -> None:
    status = app.start()
    assert status["Uid"].split() == status["Gid"].split() == [str(USER)] * 4
    assert {status[name].strip("\t0\n") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Umask"].strip() == "0077"
    assert app.order("os.setuid(0)") == app.order("os.setgroups([0])") == "Operation not permitted"
    (app.folder / "data" / "options.json").write_text("{}")
    (app.folder / "data" / "options.json").chmod(0o600)
    assert app.order("open(folder / 'data/options.json')") == "Permission denied"


@pytest.mark.slow
def test_a_port_is_readable_also_one_that_is_plugged_in_later(app: App) -> None:
    with serial_port(app.folder / "port", OWN_GROUP):
        groups = set(app.start()["Groups"].split())
        assert groups >= {str(OWN_GROUP), "18", str(DIALOUT)}
        assert app.order("os.close(os.open(folder / 'port', os.O_RDWR | os.O_NOCTTY))") == "done"
        for group in (18, DIALOUT, OWN_GROUP):
            with serial_port(app.folder / "later", group):
                assert app.order("os.close(os.open(folder / 'later', os.O_RDWR | os.O_NOCTTY))") == "done"


@pytest.mark.slow
def test_no_group_of_another_device_nor_that_of_root_is_taken(app: App) -> None:
    try:
        os.mknod(app.folder / "memory", stat.S_IFCHR | 0o660, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("here, not even root can make a device")
    os.chown(app.folder / "memory", 0, OWN_GROUP)
    (app.folder / "memory").chmod(0o660)
    with serial_port(app.folder / "port", 0):
        groups = app.start()["Groups"].split()
    assert not {"0", str(OWN_GROUP)} & set(groups)


@pytest.mark.slow
def test_the_state_of_a_backup_belongs_to_the_user_again(app: App) -> None:
    inner = app.state / "telegrams"
    inner.mkdir(parents=True, mode=0o700)
    for number, path in enumerate((app.state / "gateway.sqlite3", inner / "day.jsonl", inner, app.state)):
        if not path.is_dir():
            path.write_text("content")
            path.chmod(0o600)
        os.chown(path, number * 1000, number * 1000)  # root's, and others'
    app.state.chmod(0o755)
    app.start()
    assert app.order("(folder / 'data/state/telegrams/day.jsonl').open('a').write('more')") == "done"
    assert app.order("(folder / 'data/state/gateway.sqlite3-wal').write_text('')") == "done"
    assert stat.S_IMODE(app.state.stat().st_mode) == 0o700


@pytest.mark.slow
def test_nothing_outside_the_state_folder_is_given_away(app: App) -> None:
    app.state.mkdir()
    secret = app.folder / "data" / "options.json"
    secret.write_text("{}")
    (app.state / "link").symlink_to(secret)
    (app.state / "second name").hardlink_to(secret)
    (app.state / "folder").symlink_to(app.folder)
    app.start()
    assert (secret.stat().st_uid, app.folder.stat().st_uid) == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outputs", "status", "words"),
    [
        (
            "{pty: [{meter: port, link: /run/a, group: daemon}]}",
            78,
            "pty: the app cannot give a terminal to a",
        ),
        ("{}", 1, "cannot be given to the app's user: it is a symbolic link; restore the app from a backup"),
    ],
)
def test_what_cannot_be_done_is_refused_with_one_line(
    app: App, outputs: str, status: int, words: str
) -> None:
    app.configure(outputs)
    app.state.symlink_to(app.folder)
    assert not app.start()
    _, errors = app.end()
    assert errors.startswith(f"{status} ")
    assert words in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_a_state_that_is_nested_without_end_is_refused_with_one_line(app: App) -> None:
    app.state.mkdir()
    descriptor = os.open(app.state, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("in", dir_fd=descriptor)
        inner = os.open("in", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    assert not app.start()
    status, errors = app.end()
    subprocess.run(["/bin/rm", "-r", str(app.state)], check=True)  # the library of Python 3.11 is recursive
    assert "it is nested too deeply; restore the app from a backup" in errors
    assert (status, errors.count("\n")) == (1, 1)
