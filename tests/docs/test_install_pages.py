"""The commands of docs/install.md and docs/systemd.md work in their order; a folder stands for the system."""

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
    text = (ROOT / f"docs/{page}.md").read_text("utf-8")
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return [
        line for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL) for line in block.splitlines()
    ]


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


@pytest.mark.slow
def test_it_is_installed_upgraded_and_removed_with_the_commands_for_it(root: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(ROOT, project, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info"))
    install = [line for line in commands("install", "Install") if "apt-get" not in line]
    assert install[-2:] == ["sudo usermod -aG dialout $USER", "ls -l /dev/serial/by-id"]
    assert "smarty-gateway 0." in type_all(install[:-2], project, root, SLOW_LIMIT)
    assert "smarty-gateway 0." in type_all(commands("install", "Upgrade"), project, root, SLOW_LIMIT)
    # `service uninstall` needs a running systemd (tests/service).
    remove = [
        line for line in commands("install", "Remove") if "systemctl" not in line and " service " not in line
    ]
    type_all(remove, project, root)
    assert [path.name for path in root.rglob("*") if "smarty" in path.name] == []


def test_a_restored_backup_has_every_file_with_its_permissions(root: Path, tmp_path: Path) -> None:
    by_hand = commands("install", "Back up and restore")[:5]
    assert by_hand[-1].startswith("tar -xzf ~/smarty-state")
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
    type_all([lines[0], *lines[-2:]], here, root)
    shown = type_all([f"smarty-gateway check --config {root}/etc/smarty-gateway/gateway.yaml"], here, root)
    assert "gateway.yaml: good, 1 meter" in shown
