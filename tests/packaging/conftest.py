"""What takes long to make, made once for all tests: a bare Debian 13, and what a release builds."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.support.commands import ROOT

_CERTIFICATES: Final = Path("etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def trixie_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the root of a Debian 13 with python3-venv; tests copy it, and mount in namespaces only."""
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is missing: apt-get install debootstrap")
    with _made_once(tmp_path_factory, "trixie", _debootstrap) as root:
        yield root


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a copy of the repository in which a version was prepared and the release's first job has run."""
    with _made_once(tmp_path_factory, "released", _release) as root:
        yield root


@contextmanager
def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield a folder that all workers of pytest-xdist share: the first makes it, the last removes it."""
    own = factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    made = root.with_suffix(".made")
    # Two locks: with one, a worker would wait for the first to end, and make the folder again.
    with root.with_suffix(".users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with root.with_suffix(".maker").open("w") as maker:
            fcntl.flock(maker, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(root, ignore_errors=True)
                make(root)
                made.touch()
        yield root
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another worker uses it
        made.unlink(missing_ok=True)
        shutil.rmtree(root, ignore_errors=True)


def _debootstrap(root: Path) -> None:
    namespace = ["unshare", "--mount", "--propagation=private"]  # its mounts vanish, even if it is killed
    options = ["--variant=minbase", "--include=ca-certificates,python3-venv"]
    command = [*namespace, "debootstrap", *options, "trixie", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"debootstrap failed, as without a network: {done.stdout[-500:]}")
    # A machine behind a proxy has certificates of its own.
    for name in (_CERTIFICATES, Path("etc/resolv.conf")):
        shutil.copy(Path("/") / name, root / name)


def _release(root: Path) -> None:
    left_out = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(ROOT, root, ignore=left_out)
    for name in ("pyproject.toml", "CHANGELOG.md"):
        text = (root / name).read_text("utf-8")
        (root / name).write_text(text.replace("github.com/OWNER/", "github.com/somebody/"), "utf-8")
    variables = {**os.environ, "GITHUB_REF_NAME": "v98.7.6"}
    variables["PATH"] = f"{Path(sys.executable).parent}:{variables['PATH']}"
    job = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text("utf-8"))["jobs"]["build"]
    script = "\n".join(step["run"] for step in job["steps"] if "run" in step)
    for command in ("python -m tests.packaging.release 98.7.6", script):
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],  # noqa: S607 - the shell of the user's PATH
            cwd=root, env=variables, capture_output=True, check=False, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
