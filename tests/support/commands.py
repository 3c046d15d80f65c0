"""Runs the command, in this process where its output and exit status are what a test wants to see.

`smarty_gateway_process` and `tests.support.running.Running` start a process, for what only a process has:
signals, closed pipes, a terminal, an environment.
"""

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from smarty_gateway.cli import main
from tests.support.canaries import assert_no_key, assert_no_key_in_arguments

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "vectors/sample.bin"
SAMPLE_KEYS = ROOT / "vectors/sample.keys.yaml"
#: Generous: it only ends a test that would never end.
LIMIT = float(os.environ.get("SMARTY_TEST_LIMIT", "120"))
#: Every warning is an error, except for one in pyserial 3.5.
_WARNINGS = "error,ignore:set:DeprecationWarning"
#: The commands that log more with -v. `demo` is left out: its tests look at what a newcomer sees, and
#: `tests.test_canaries` runs it with -v.
_VERBOSE = frozenset({"run", "doctor", "decode", "capture", "verify"})
#: What `decode -v` adds at its end. Most tests compare the rest.
_SUMMARY = re.compile(rb"^\d+ telegrams, \d+ rejected, \d+ of \d+ bytes were noise\n", re.MULTILINE)


def as_verbose_as_it_gets(arguments: tuple[object, ...]) -> tuple[object, ...]:
    """Add -v where a command has it, so that the search for keys covers all that it can print."""
    if not arguments or arguments[0] not in _VERBOSE or "-v" in arguments:
        return arguments
    return (arguments[0], "-v", *arguments[1:])


def environment() -> dict[str, str]:
    """Return an environment in which the project's own command comes first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONWARNINGS": _WARNINGS}


def smarty_gateway(
    *arguments: object, data: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in this process, with these arguments and this standard input, in any folder."""
    verbose = as_verbose_as_it_gets(arguments)
    assert_no_key_in_arguments(verbose)
    with _standard_streams(data) as (output, errors), chdir(folder or Path.cwd()), _log_restored():
        try:
            status = main([str(argument) for argument in verbose])
        except SystemExit as end:  # argparse ends --help and --version like this
            status = int(end.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
        output.seek(0)
        errors.seek(0)
        return _checked(arguments, status, output.read(), errors.read())


def smarty_gateway_process(
    *arguments: object, data: bytes | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
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
    return _checked(arguments, done.returncode, done.stdout, done.stderr)


def _checked(
    arguments: tuple[object, ...], status: int, output: bytes, errors: bytes
) -> subprocess.CompletedProcess[bytes]:
    assert_no_key(output, "standard output")
    assert_no_key(errors, "standard error")
    if arguments[:1] == ("decode",) and "-v" not in arguments:
        errors = _SUMMARY.sub(b"", errors)
    return subprocess.CompletedProcess([str(argument) for argument in arguments], status, output, errors)


@contextmanager
def _standard_streams(data: bytes | None) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Replace standard input, output and error of this process, down to the descriptors."""
    assert threading.current_thread() is threading.main_thread(), "elsewhere it takes smarty_gateway_process"
    with ExitStack() as stack:
        output, errors = (stack.enter_context(TemporaryFile()) for _ in range(2))
        given = stack.enter_context(_input(data))
        for number, name, file in ((0, "stdin", given), (1, "stdout", output), (2, "stderr", errors)):
            stack.callback(setattr, sys, name, getattr(sys, name))
            saved = os.dup(number)
            stack.callback(os.close, saved)
            stack.callback(os.dup2, saved, number)
            os.dup2(file.fileno(), number)
            stream = stack.enter_context(
                open(number, "w" if number else "r", encoding="utf-8", closefd=False)
            )
            setattr(sys, name, stream)
        yield output, errors


@contextmanager
def _input(data: bytes | None) -> Iterator[IO[bytes]]:
    """Open the null device, or a pipe that a thread fills, as a shell would."""
    if data is None:
        with Path(os.devnull).open("rb") as nothing:
            yield nothing
        return
    reading, writing = os.pipe()

    def fill() -> None:
        with suppress(BrokenPipeError), open(writing, "wb") as pipe:  # noqa: PTH123 - no path
            pipe.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    with open(reading, "rb") as pipe:  # noqa: PTH123 - no path
        yield pipe
    thread.join(LIMIT)


@contextmanager
def _log_restored() -> Iterator[None]:
    """Undo what a command changes about the log, which ends with a process otherwise."""
    log = logging.getLogger("smarty_gateway")
    handlers, propagate, level = log.handlers[:], log.propagate, log.level
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)
