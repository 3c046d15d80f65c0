"""Runs the command as users do, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.canaries import assert_no_key, assert_no_key_in_arguments

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "vectors/sample.bin"
SAMPLE_KEYS = ROOT / "vectors/sample.keys.yaml"
#: Generous: it only ends a test that would never end.
LIMIT = float(os.environ.get("SMARTY_TEST_LIMIT", "120"))
#: Every warning is an error, but for one of pyserial 3.5 that nobody here can mend.
_WARNINGS = "error,ignore:set:DeprecationWarning"
#: The commands that say more when they are asked to, but for `demo`: its tests want to see all that it
#: says to a newcomer, and `tests.test_canaries` asks it for more.
_TALKATIVE = frozenset({"run", "doctor", "decode", "capture", "verify"})
#: What `decode` then says at its end. Most tests compare the rest.
_SUMMARY = re.compile(rb"^\d+ telegrams, \d+ rejected, \d+ of \d+ bytes were noise\n", re.MULTILINE)


def as_verbose_as_it_gets(arguments: tuple[object, ...]) -> tuple[object, ...]:
    """Add what makes a command say all it can, so that keys are looked for in that."""
    is_asked = not arguments or arguments[0] not in _TALKATIVE or "-v" in arguments
    return arguments if is_asked else (arguments[0], "-v", *arguments[1:])


def environment() -> dict[str, str]:
    """Give an environment in which the project's own command comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONWARNINGS": _WARNINGS}


def smarty_gateway(
    *arguments: object, data: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command with these arguments and this standard input, in any folder."""
    verbose = as_verbose_as_it_gets(arguments)
    assert_no_key_in_arguments(verbose)
    done = subprocess.run(
        [sys.executable, "-m", "smarty_gateway", *map(str, verbose)],
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
    if arguments != verbose and arguments[0] == "decode":
        done.stderr = _SUMMARY.sub(b"", done.stderr)
    return done
