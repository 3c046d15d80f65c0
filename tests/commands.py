"""Runs the command as users do, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from tests.canaries import assert_no_key

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "vectors/sample.bin"
SAMPLE_KEYS = ROOT / "vectors/sample.keys.yaml"
#: Generous: it only ends a test that would never end.
LIMIT = 120.0
#: Every warning is an error, but for one of pyserial 3.5 that nobody here can mend.
_WARNINGS = "error,ignore:set:DeprecationWarning"


def environment() -> dict[str, str]:
    """Give an environment in which the project's own command comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONWARNINGS": _WARNINGS}


def smarty_gateway(
    *arguments: object, data: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with these arguments and this standard input, in any folder."""
    done = subprocess.run(
        [sys.executable, "-m", "smarty_gateway", *map(str, arguments)],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        check=False,
        cwd=folder,
        env=environment(),
        timeout=LIMIT,
    )
    assert_no_key(done.stdout, "standard output")
    assert_no_key(done.stderr, "standard error")
    return done
