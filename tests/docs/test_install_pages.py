"""The commands of docs/install.md and docs/systemd.md work in their order; a folder stands for the system."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import LIMIT, ROOT, environment

#: Seconds; pip fetches and builds.
SLOW_LIMIT = 300.0


def commands(page: str, heading: str) -> list[str]:
    """Return the lines to type below a heading."""
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```$", section(page, heading), re.DOTALL | re.MULTILINE)
    return [line.removeprefix(indent) for indent, block in blocks for line in block.splitlines()]


def section(page: str, heading: str) -> str:
    text = (ROOT / f"docs/{page}.md").read_text("utf-8")
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return str(found)


def of_this_folder(lines: list[str]) -> list[str]:
    """Replace what comes from PyPI, as the page says for the time before the first release."""
    return [line.replace("'smarty-gateway[web]'", "'.[web]'") for line in lines]


def type_all(lines: list[str], folder: Path, root: Path, limit: float = LIMIT) -> str:
    """Type lines as root of a system that is this folder."""
    script = "\n".join(["set -e", *lines]).replace("sudo ", "")
    script = re.sub(r"(?<![\w.])/(opt|usr/local/bin|etc|var/lib)\b", rf"{root}/\1", script)
    home = root / "home"
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder, capture_output=True, check=False, timeout=limit, text=True,
        env={
            # The warnings of pip are not ours.
            **{name: value for name, value in environment().items() if not name.startswith("PYTHON")},
            "HOME": str(home), "PATH": f"{root}/usr/local/bin:{environment()['PATH']}",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    for name in ("opt", "usr/local/bin", "etc/systemd/system", "var/lib"):
        (folder / name).mkdir(parents=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return a copy of this folder, as somebody has downloaded it."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    return folder


@pytest.mark.slow
def test_it_is_installed_upgraded_and_removed_with_the_commands_for_it(root: Path, project: Path) -> None:
    install = of_this_folder(commands("install", "Any Linux with Python"))
    assert install[4:] == [
        "sudo /opt/smarty-gateway/bin/smarty-gateway setup --folder /etc/smarty-gateway",
        "sudo usermod -aG dialout $USER",
        "ls -l /dev/serial/by-id",
        "sudo /opt/smarty-gateway/bin/smarty-gateway service install",
    ]
    assert "smarty-gateway 0." in type_all(install[:4], project, root, SLOW_LIMIT)
    upgrade = of_this_folder(commands("install", "Upgrade"))
    assert "smarty-gateway 0." in type_all(upgrade, project, root, SLOW_LIMIT)
    # `service uninstall` needs a running systemd (tests/service).
    remove = [
        line for line in commands("install", "Remove") if "systemctl" not in line and " service " not in line
    ]
    type_all(remove, project, root)
    assert [path.name for path in root.rglob("*") if "smarty" in path.name] == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pipx") is None, reason="pipx is not installed; `apt-get install pipx`")
def test_it_is_installed_upgraded_and_removed_with_pipx(root: Path, project: Path) -> None:
    lines = of_this_folder(commands("install", "Debian 12 and Ubuntu"))
    install, upgrade, remove = (line for line in lines if " PIPX_HOME=" in line)
    type_all([install], project, root, SLOW_LIMIT)
    assert "smarty-gateway 0." in type_all([upgrade, "smarty-gateway --version"], project, root, SLOW_LIMIT)
    type_all([remove], project, root)
    assert [path.name for path in root.rglob("*") if path.name.startswith("smarty")] == []


def test_the_table_shows_the_lines_of_the_sections() -> None:
    rows = re.findall(r"^\| (.*) \| (.*) \|$", section("install", "Where do you want it?"), re.MULTILINE)
    ways = {
        link: re.findall(r"`([^`]+)`", cell) for _, cell in rows for link in re.findall(r"\(#(.+?)\)", cell)
    }
    assert len(ways) == len(rows) - 3  # the head, the line below it, and the library
    for heading in re.findall(r"(?m)^## (.+)$", (ROOT / "docs/install.md").read_text("utf-8")):
        typed = ways.pop(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"), [])
        shown = section("install", heading)
        assert [
            line for line in typed if line.replace(" --quiet", "") not in shown.replace(" --quiet", "")
        ] == []
    assert ways == {}


def test_a_restored_backup_has_every_file_with_its_permissions(root: Path, tmp_path: Path) -> None:
    by_hand = commands("install", "Back up and restore")[9:]
    assert by_hand[-1].startswith("tar -xzf ~/smarty-state")
    assert len(by_hand) == 5
    old, new = tmp_path / "old", tmp_path / "new"
    state = root / "home/.local/state/smarty-gateway"
    for folder in (old, new, state):
        folder.mkdir(parents=True)
    for file in (old / "gateway.yaml", old / "keys.yaml", old / "mqtt.password", state / "state.sqlite"):
        file.write_text(f"content of {file.name}\n", "ascii")
        file.chmod(0o600)
    type_all(by_hand[:2], old, root)
    assert [a.stat().st_mode & 0o777 for a in (root / "home").glob("smarty-*")] == [0o600, 0o600]
    shutil.rmtree(root / "home/.local")
    type_all(by_hand[2:], new, root)
    for file in (new / "gateway.yaml", new / "keys.yaml", new / "mqtt.password", state / "state.sqlite"):
        assert file.read_text("ascii") == f"content of {file.name}\n"
        assert file.stat().st_mode & 0o777 == 0o600


def test_a_restored_backup_of_the_service_is_whole_and_its_folder_is_again_for_systemd_to_own(
    root: Path, tmp_path: Path
) -> None:
    lines = commands("install", "Back up and restore")[:9]
    without_systemd = [line for line in lines if "systemctl" not in line]
    assert len(without_systemd) == 5
    files = root / "etc/smarty-gateway", root / "var/lib/private/smarty-gateway"
    for folder, name in zip(files, ("keys.yaml", "gateway.sqlite3"), strict=True):
        folder.mkdir(parents=True)
        (folder / name).write_text("content\n", "ascii")
        (folder / name).chmod(0o600)
    # As systemd links it for a service with a user of its own.
    (root / "var/lib/smarty-gateway").symlink_to("private/smarty-gateway")
    state = files[1] / "gateway.sqlite3"
    if os.geteuid() == 0:
        os.chown(state, 61_234, 61_234)  # systemd's choice on the old machine
    owner = f"{os.getuid()}:{os.getgid()}"
    typed = [line.replace("root:root", owner) for line in without_systemd]
    type_all(typed[:2], tmp_path, root)
    for folder, name in zip(files, ("keys.yaml", "gateway.sqlite3"), strict=True):
        (folder / name).unlink()
    type_all(typed[2:], tmp_path, root)
    for folder, name in zip(files, ("keys.yaml", "gateway.sqlite3"), strict=True):
        assert (folder / name).read_text("ascii") == "content\n"
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert state.stat().st_uid == os.getuid()


def test_the_service_is_installed_and_removed_with_commands_that_the_program_has() -> None:
    (start,) = commands("systemd", "3. Start")
    assert start.endswith(" service install")
    removing = [line for line in commands("install", "Remove") if " service " in line]
    assert removing == ["sudo smarty-gateway service uninstall"]


def test_files_that_are_copied_for_the_service_pass_the_check(root: Path, tmp_path: Path) -> None:
    lines = commands("systemd", "2. Configure")
    assert lines[-2].startswith("sudo install -m 644 gateway.yaml ")
    here = tmp_path / "here"
    here.mkdir()
    (here / "gateway.yaml").write_text(
        "keys: keys.yaml\nmeters: [{source: 'tcp://127.0.0.1:9'}]\noutputs:\n"
        "  mqtt: {url: mqtts://u@localhost, password_file: mqtt.password}\n",
        "utf-8",
    )
    shutil.copy(ROOT / "keys.example.yaml", here / "keys.yaml")
    (here / "mqtt.password").write_text("secret\n", "ascii")
    type_all(lines[-3:], here, root)
    shown = type_all([f"smarty-gateway check --config {root}/etc/smarty-gateway/gateway.yaml"], here, root)
    assert "gateway.yaml: good, 1 meter" in shown
