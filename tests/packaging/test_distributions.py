"""The sdist, the wheel and the lock file: what PyPI gets, and what the container and the app install."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tests.packaging.publisher import ROOT

LOCK: Final = ROOT / "deploy/container/requirements.txt"
#: Both are installed with the extra `acceptance`.
UV: Final = (sys.executable, "-m", "uv", "--no-progress")
TWINE: Final = (sys.executable, "-m", "twine", "--no-color")
#: What the distributions are is the same for every user: no setting of one's own counts.
ENVIRONMENT: Final = {
    name: os.environ[name] for name in ("PATH", "HOME", "SSL_CERT_FILE") if name in os.environ
}


def _run(*command: str | Path, folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def built(released: Path) -> Path:
    """Return the folder with the sdist and the wheel."""
    return released / "dist"


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


@pytest.mark.slow
def test_the_sdist_builds_the_same_sdist_and_the_same_wheel(built: Path, tmp_path: Path) -> None:
    with tarfile.open(_only(built, "*.tar.gz")) as file:
        file.extractall(tmp_path, filter="data")
    tree = _only(tmp_path, "smarty_gateway-*")
    for path in tree.rglob("*"):  # another user's umask, another day
        path.chmod(path.stat().st_mode & 0o700)
        os.utime(path)
    build = (built.parent / "tools/bin/python", "-m", "build", "--no-isolation")
    _run(*build, "--outdir", tmp_path / "again", tree, folder=tmp_path)
    for first in (_only(built, "*.tar.gz"), _only(built, "*.whl")):
        assert (tmp_path / "again" / first.name).read_bytes() == first.read_bytes()


@pytest.mark.slow
def test_pypi_would_take_both(built: Path) -> None:
    _run(*TWINE, "check", "--strict", _only(built, "*.tar.gz"), _only(built, "*.whl"), folder=built)


@pytest.mark.slow
def test_no_link_on_pypi_leads_to_a_file_beside_the_page(built: Path) -> None:
    with zipfile.ZipFile(_only(built, "*.whl")) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
        targets = re.findall(r"\]\(([^)]+)\)", wheel.read(name).decode())
    assert len(targets) > 20
    assert [target for target in targets if not target.startswith(("https://", "http://"))] == []


@pytest.mark.slow
def test_the_sdist_holds_all_files_of_the_repository_and_no_others_and_the_wheel_all_of_the_package(
    built: Path,
) -> None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("only a clone has a list of its files")
    tracked = _run(git, "-c", "safe.directory=*", "ls-files", "-z", folder=ROOT).split("\0")[:-1]
    with tarfile.open(_only(built, "*.tar.gz")) as file:
        held = {name.partition("/")[2] for name in file.getnames()}
    assert held == {"PKG-INFO", *tracked}
    with zipfile.ZipFile(_only(built, "*.whl")) as wheel:
        assert {name for name in tracked if name.startswith("smarty_gateway/")} <= set(wheel.namelist())


@pytest.mark.slow
def test_the_wheel_works_with_the_oldest_dependencies_that_it_admits(built: Path, tmp_path: Path) -> None:
    """Where the oldest version of a library has no wheel for this Python, the oldest that has one counts."""
    _install(tmp_path, f"{_only(built, '*.whl')}[web]", "--resolution", "lowest-direct")
    assert _gateway(tmp_path, "demo", "--seconds", "2", "--format", "json")
    assert _gateway(tmp_path, "check", "--config", ROOT / "deploy/gateway.example.yaml")
    assert (tmp_path / "venv/share/man/man1/smarty-gateway.1").is_file()


@pytest.mark.slow
def test_the_wheel_works_without_extras_and_with_the_newest_dependencies(built: Path, tmp_path: Path) -> None:
    _install(tmp_path, str(_only(built, "*.whl")), "--upgrade")
    # `service install` refuses a program in a folder like this, so its units are asked for.
    units = (
        "from pathlib import Path; from smarty_gateway.service import needs, units; "
        "found = needs.Needs('/opt/x', Path('/etc/x')); "
        "assert units.unit_text(found) and units.report_texts(found)"
    )
    _run(tmp_path / "venv/bin/python", "-c", units, folder=tmp_path)


def _install(folder: Path, wheel: str, *options: str) -> None:
    """Install the wheel into a new environment; it reads the sample and passes its vectors there."""
    python = folder / "venv/bin/python"
    _run(*UV, "venv", "--python", sys.executable, folder / "venv", folder=folder)
    install = (*UV, "pip", "install", "--python", python, "--only-binary", ":all:")
    _run(*install, *options, wheel, folder=folder)
    _run(*UV, "pip", "check", "--python", python, folder=folder)
    sample = next(folder.glob("venv/lib/*/site-packages/smarty_gateway/vectors/sample.bin"))
    assert len(_gateway(folder, "decode", "--keys", sample.with_suffix(".keys.yaml"), sample)) == 9
    assert _gateway(folder, "verify")[-1].endswith(" passed, 0 failed")


def _gateway(folder: Path, *arguments: str | Path) -> list[str]:
    return _run(folder / "venv/bin/smarty-gateway", *arguments, folder=folder).splitlines()


def _locked() -> dict[str, Version]:
    lines = re.findall(r"(?m)^([a-z0-9-]+)==(\S+) \\\n    --hash=sha256:", LOCK.read_text("utf-8"))
    return {name: Version(version) for name, version in lines}


def test_the_lock_file_has_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"]["web"])
    locked = _locked()
    wrong = [str(one) for one in wanted if locked.get(one.name.lower(), Version("0")) not in one.specifier]
    assert wrong == [], f"type the command in the second line of {LOCK}"


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_lock_file_can_be_installed_as_wheels_on(machine: str, tmp_path: Path) -> None:
    _run(
        *UV, "pip", "install", "--dry-run", "--target", tmp_path, "--python-version", "3.13",
        "--python-platform", f"{machine}-unknown-linux-gnu", "--only-binary", ":all:",
        "--require-hashes", "--requirement", LOCK, folder=tmp_path,
    )  # fmt: skip
