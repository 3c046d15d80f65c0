"""A bare Debian 13, made once for all tests that install or build something in it."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

_CERTIFICATES: Final = Path("etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def trixie_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the root of a Debian 13 with python3-venv; tests copy it, and mount in namespaces only.

    The workers of pytest-xdist share it, and the last to end removes it.
    """
    if os.geteuid() != 0:
        pytest.skip("debootstrap needs root")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is missing: apt-get install debootstrap")
    own = tmp_path_factory.getbasetemp()
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "trixie"
    made = root.with_suffix(".made")
    with root.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            _debootstrap(root)
            made.touch()
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield root
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
