"""Compares our quarter hours with the operator's."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from smarty_gateway.history.operator_csv import Flow, OperatorQuarters
from smarty_gateway.history.rows import Row
from smarty_gateway.history.sample import QUARTER

#: In Wh. A boundary between two telegrams is interpolated, and both registers are rounded.
TOLERANCE: Final = 2
#: In seconds: stamps that are the end, and those of another zone.
_SHIFTS: Final = (-QUARTER, QUARTER, 3600, -3600, 7200, -7200)


@dataclass(frozen=True, slots=True)
class Pair:
    """What both say about one direction of a quarter hour, in Wh."""

    ours: int
    theirs: Decimal

    @property
    def difference(self) -> Decimal:
        """Ours less theirs."""
        return self.ours - self.theirs

    @property
    def is_equal(self) -> bool:
        """True if the difference is within what rounding explains."""
        return abs(self.difference) <= TOLERANCE


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came out.

    Attributes:
        compared: by the beginning of the quarter, the directions that both know.
        missing_here: the number of quarters that only the operator knows.
        missing_there: the number of complete quarters of ours, within the file's period, that it leaves out.
        estimated: the number of those that the operator has estimated.
    """

    compared: Mapping[int, Mapping[Flow, Pair]] = field(default_factory=dict)
    missing_here: int = 0
    missing_there: int = 0
    estimated: int = 0

    @property
    def different(self) -> dict[int, Mapping[Flow, Pair]]:
        """The quarters that differ."""
        return {
            start: pairs
            for start, pairs in self.compared.items()
            if not all(pair.is_equal for pair in pairs.values())
        }

    def of(self, flow: Flow) -> dict[int, Pair]:
        """Return the quarters in which both know a direction."""
        return {start: pairs[flow] for start, pairs in self.compared.items() if flow in pairs}


def compare(theirs: OperatorQuarters, ours: Iterable[Row]) -> Comparison:
    """Compare the operator's quarter hours with complete ones of ours.

    Args:
        theirs: of the file.
        ours: rows by the quarter hour; those that are not complete are left out.
    """
    known = {row.start: row for row in ours if row.complete and row.end - row.start == QUARTER}
    compared = {
        start: pairs
        for start, energies in theirs.quarters.items()
        if start in known and (pairs := dict(_pairs(known[start], energies)))
    }
    first, last = period_of(theirs)
    there = {*theirs.quarters, *theirs.estimated, *theirs.unclear}
    return Comparison(
        compared,
        missing_here=len(theirs.quarters) - len(compared),
        missing_there=sum(first <= start < last for start in known.keys() - there),
        estimated=len(theirs.estimated),
    )


def period_of(theirs: OperatorQuarters) -> tuple[int, int]:
    """Return the beginning of the first quarter hour of a file, and the end of its last one."""
    starts = {*theirs.quarters, *theirs.estimated, *theirs.unclear}
    return min(starts), max(starts) + QUARTER


def better_shift(theirs: OperatorQuarters, ours: Iterable[Row]) -> int | None:
    """Return by how many seconds the file's times are off, if many more quarters are equal then."""
    rows = list(ours)
    plain = compare(theirs, rows)
    if len(plain.different) * 4 <= len(plain.compared):
        return None
    different = {shift: _different_at(shift, theirs, rows, len(plain.compared)) for shift in _SHIFTS}
    best = min(different, key=different.__getitem__)
    return best if different[best] * 2 <= len(plain.different) else None


def _different_at(shift: int, theirs: OperatorQuarters, rows: Iterable[Row], compared: int) -> int:
    """Return how many quarters differ if the file's times are moved; all of them, if few are left."""
    moved = OperatorQuarters({start + shift: found for start, found in theirs.quarters.items()})
    shifted = compare(moved, rows)
    return len(shifted.different) if len(shifted.compared) * 2 >= compared else compared


def _pairs(row: Row, energies: Mapping[Flow, Decimal]) -> Iterator[tuple[Flow, Pair]]:
    own = {Flow.IMPORT: row.import_, Flow.EXPORT: row.export}
    for flow, theirs in energies.items():
        ours = own[flow]
        if ours is not None:
            yield flow, Pair(ours, theirs)
