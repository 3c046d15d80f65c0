"""Shared by all measurements: a figure with its target, the table of figures, and waiting for a condition."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

#: Seconds; ends only a measurement that hangs.
LIMIT: Final = 120.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure, with its upper or lower bound, if it has a target."""

    name: str
    value: float
    most: float | None = None
    least: float | None = None

    @property
    def is_reached(self) -> bool:
        """True if there is no target, or it is reached."""
        return (self.most is None or self.value <= self.most) and (
            self.least is None or self.value >= self.least
        )

    def row(self) -> str:
        """Return the line of the table."""
        target = "" if self.most is None else f"at most {self.most:g}"
        target = target if self.least is None else f"at least {self.least:g}"
        verdict = "" if self.is_reached else "MISSED"
        return f"{self.name:76} {self.value:10.2f}  {target:13}  {verdict}".rstrip()


def print_figures(steps: Iterable[Callable[[], list[Figure]]], *, as_json: bool) -> None:
    """Run the steps, print their figures, and exit with 1 if a target was missed."""
    figures = []
    for step in steps:
        found = step()
        figures += found
        if not as_json:
            print("\n".join(figure.row() for figure in found), flush=True)
    if as_json:
        print(json.dumps({f.name: {"value": f.value, "most": f.most, "least": f.least} for f in figures}))
    sys.exit(not all(figure.is_reached for figure in figures))


def wait_until(condition: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: it did not become true within the limit.
    """
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"timed out waiting for {what}")
        time.sleep(0.005)
