"""Runs one door for longer than the test suite does: `python -m tests.fuzz stream --seconds 600`.

With atheris, if that is installed (`pip install atheris`): it follows which code an input reaches. Else, or
with `--random`, the inputs come from a seeded generator, which is several times as fast.
"""

import argparse
import importlib
import logging
import os
import random
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from tests.fuzz.folder import FOLDER

DOORS: Final = (
    "stream",
    "key_file",
    "config_file",
    "hex_dump",
    "capture",
    "state_file",
    "history_file",
    "broker",
)
_SIZES: Final = (20, 60, 200, 600)
_LONGEST: Final = 600


class Run:
    """Feeds inputs to a door, and counts the failures."""

    def __init__(self, name: str, check_one: Callable[[bytes], None], inputs: float, seconds: float) -> None:
        self._name = name
        self._check_one = check_one
        self._inputs = inputs
        self._seconds = seconds
        self._kinds: set[tuple[object, ...]] = set()
        self._memory = _resident_memory()
        self._slowest = 0.0
        self._began = time.monotonic()
        self.done = self.failures = 0

    @property
    def is_over(self) -> bool:
        """True if the budget is used up."""
        return self.done >= self._inputs or time.monotonic() - self._began >= self._seconds

    def take(self, data: bytes) -> None:
        """Try one input; the first one of each failure is shown."""
        began = time.monotonic()
        try:
            self._check_one(data)
        except Exception as error:  # noqa: BLE001 - finding any is what this is for
            self.failures += 1
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if "site-packages" not in frame.filename]
            kind = (type(error), *((frame.filename, frame.lineno) for frame in (own[-1], frames[-1])))
            if kind not in self._kinds:
                self._kinds.add(kind)
                print(
                    "".join(traceback.format_exception(error)),
                    f"input: {data.hex()}",
                    sep="",
                    file=sys.stderr,
                )
        self._slowest = max(self._slowest, time.monotonic() - began)
        self.done += 1

    def report(self, engine: str) -> None:
        """Print what was done."""
        took = time.monotonic() - self._began
        print(
            f"{self._name} ({engine}): {self.done} inputs in {took:.0f} s, {self.done / took:.0f} a second, "
            f"the slowest {self._slowest * 1000:.0f} ms; "
            f"{self.failures} exceptions of {len(self._kinds)} kinds; "
            f"memory {self._memory:.1f} MB at the beginning, {_resident_memory():.1f} MB at the end",
            flush=True,
        )


def _resident_memory() -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def random_inputs(seed: int) -> Callable[[], bytes]:
    """Return a source of inputs, most of them short; the same seed gives the same ones."""
    rng = random.Random(seed)
    return lambda: rng.randbytes(rng.randrange(rng.choice(_SIZES)))


def _run_atheris(name: str, atheris: ModuleType, inputs: float, seconds: float, seed: int) -> None:
    """Run until the budget is used up, which ends the process: libFuzzer does not return."""
    with atheris.instrument_imports(include=["smarty_gateway"]):
        check_one = importlib.import_module(f"tests.fuzz.{name}").check_one
    run = Run(name, check_one, inputs, seconds)

    def take(data: bytes) -> None:
        run.take(data)
        if run.is_over:
            run.report("atheris")
            sys.stderr.flush()
            shutil.rmtree(FOLDER, ignore_errors=True)
            os._exit(1 if run.failures else 0)

    corpus = FOLDER / "corpus"
    corpus.mkdir()
    next_input = random_inputs(seed)
    for number in range(100):
        (corpus / str(number)).write_bytes(next_input())
    options = [f"-seed={seed}", f"-max_len={_LONGEST}", "-len_control=0", "-verbosity=0", "-rss_limit_mb=0"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], take)
    atheris.Fuzz()


def main() -> int:
    """Run one door."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("door", choices=DOORS)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--seconds", type=float, default=60.0, help="how long (default 60)")
    budget.add_argument("--inputs", type=int, help="how many inputs instead")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", action="store_true", help="from a seeded generator even where atheris is")
    parser.add_argument("--input", metavar="HEX", help="this input only, as a failure has shown it")
    args = parser.parse_args()
    logging.disable()
    if args.input is not None:
        importlib.import_module(f"tests.fuzz.{args.door}").check_one(bytes.fromhex(args.input))
        return 0
    inputs, seconds = (args.inputs, float("inf")) if args.inputs else (float("inf"), args.seconds)
    if not args.random and find_spec("atheris"):
        _run_atheris(args.door, importlib.import_module("atheris"), inputs, seconds, args.seed)
    check_one = importlib.import_module(f"tests.fuzz.{args.door}").check_one
    next_input = random_inputs(args.seed)
    run = Run(args.door, check_one, inputs, seconds)
    while not run.is_over:
        run.take(next_input())
    run.report(f"random, seed {args.seed}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
