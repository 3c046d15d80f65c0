"""From stored registers to the rows that are printed.

Two boundaries that follow each other make a piece: a complete quarter hour, a gap (they are further apart) or
a break (they are of two series). A row sums the pieces inside its span. What crosses the span's boundary,
and each break, is a row of its own.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from smarty_gateway.history.devices import VALID
from smarty_gateway.history.local_time import begin_of, end_of, local_date
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, Row
from smarty_gateway.history.sample import (
    EXPORT_TARIFFS,
    EXPORT_TOTAL,
    IMPORT_TARIFFS,
    IMPORT_TOTAL,
    QUARTER,
    REGISTERS,
    TARIFFS,
    Registers,
    export_of,
    import_of,
)

#: The registers that sums are made of come first in `REGISTERS`.
SUMMED: Final = REGISTERS[: EXPORT_TARIFFS.stop]
N = TypeVar("N", int, float)

_NO_TARIFF: Final = (None,) * len(TARIFFS)
#: The places of the tariffs among them, by their names in a row.
TARIFF_PLACES: Final = {
    f"{direction}_t{tariff}": places.start + tariff - 1
    for direction, places in (("import", IMPORT_TARIFFS), ("export", EXPORT_TARIFFS))
    for tariff in TARIFFS
}


class Point(NamedTuple):
    """What is stored at one boundary, as far as sums need it.

    Attributes:
        end: in seconds.
        registers: in the order of `SUMMED`.
    """

    end: int
    series: int
    max_power: int | None
    registers: Registers


@dataclass(frozen=True, slots=True)
class Piece:
    """What is known between two boundaries.

    Attributes:
        quarters: how many quarter hours it consists of that are complete; 0 for a gap and a break.
        is_break: the growth is not known, because another series begins.
        import_: in Wh.
        export: in Wh.
        excess: in quarters of a Wh.
        tariffs: by the names in a row.
    """

    start: int
    end: int
    quarters: int
    is_break: bool
    import_: int | None = None
    export: int | None = None
    max_power: int | None = None
    excess: int | None = None
    tariffs: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceRegister:
    """The stored values of one M-Bus device.

    Attributes:
        ends: the boundaries at which they became the newest, in seconds and in order.
        dated: when they were read.
        grown: what the device has counted since the first of them, in thousandths of its unit.
    """

    column: str
    unit: str
    ends: Sequence[int]
    dated: Sequence[int]
    grown: Sequence[int]

    @classmethod
    def from_values(cls, column: str, unit: str, values: Sequence[tuple[int, int, int]]) -> "DeviceRegister":
        """Sum up the growth of values: each with its end, its register and its date."""
        steps = (max(0, after[1] - before[1]) for before, after in pairwise(values))
        return cls(
            column,
            unit,
            [end for end, _, _ in values],
            [dated for _, _, dated in values],
            list(accumulate(steps, initial=0)),
        )

    def growth(self, first: int, last: int, seconds: int) -> int | None:
        """Return the growth between two boundaries of a row of this length; None if it is not known."""
        old, new = bisect_right(self.ends, first) - 1, bisect_right(self.ends, last) - 1
        if old < 0 or self.dated[old] < first - VALID:
            old += 1
        if old >= new or not 0 < self.dated[new] - self.dated[old] <= 2 * seconds:
            return None
        return self.grown[new] - self.grown[old]


def continues(before: Point, after: Point) -> bool:
    """True if both are of one series, so that the growth between them is known.

    Tariffs beside a total may come and go; export may come in addition to import.
    """
    return before.series == after.series and all(
        _continues(before.registers, after.registers, total, tariffs)
        for total, tariffs in ((IMPORT_TOTAL, IMPORT_TARIFFS), (EXPORT_TOTAL, EXPORT_TARIFFS))
    )


def _continues(old: Registers, new: Registers, total: int, tariffs: slice) -> bool:
    if old[total] is not None or new[total] is not None:
        is_new = old[total] is None and old[tariffs] == _NO_TARIFF
        return is_new or are_rising(old[total : total + 1], new[total : total + 1])
    return old[tariffs] == _NO_TARIFF or are_rising(old[tariffs], new[tariffs])


def are_rising(old: Registers, new: Registers) -> bool:
    """True if the same registers are known, and none falls."""
    return all(
        later is None if earlier is None else later is not None and earlier <= later
        for earlier, later in zip(old, new, strict=True)
    )


def known_piece(
    before: Point, after: Point, quarters: int, max_power: int | None, excess: int | None
) -> Piece:
    """Return the piece between two boundaries of one series."""
    return Piece(
        before.end,
        after.end,
        quarters,
        is_break=False,
        import_=_difference(import_of(before.registers), import_of(after.registers)),
        export=_difference(export_of(before.registers), export_of(after.registers)),
        max_power=max_power,
        excess=excess,
        tariffs={
            name: later - earlier
            for name, place in TARIFF_PLACES.items()
            if (earlier := before.registers[place]) is not None
            and (later := after.registers[place]) is not None
            and earlier <= later
        },
    )


def pieces_of(points: Iterable[Point], reference: ReferencePower, zone: ZoneInfo) -> Iterator[Piece]:
    """Yield what lies between each two boundaries, which come in order of time."""
    for before, after in pairwise(points):
        if not continues(before, after):
            yield Piece(before.end, after.end, 0, is_break=True, max_power=after.max_power)
        elif after.end - before.end > QUARTER:
            yield known_piece(before, after, 0, after.max_power, excess=None)
        else:
            excess = _excess(before, after, reference.on(local_date(before.end, zone)))
            yield known_piece(before, after, 1, after.max_power, excess)


def rows_of(  # noqa: PLR0913, PLR0917 - what rows depend on
    pieces: Iterable[Piece],
    by: By,
    now: int,
    zone: ZoneInfo,
    devices: Sequence[DeviceRegister] = (),
    last: int | None = None,
) -> list[Row]:
    """Return a row for each span, and for each piece that belongs to none, by their starts.

    Args:
        pieces: in order of time.
        by: how long the spans are.
        now: decides which span is still running.
        zone: of the spans.
        devices: of the meter.
        last: what ends after it belongs to no span, likewise.
    """
    spans: dict[tuple[int, int], list[Piece]] = {}
    alone: list[tuple[tuple[int, int], Piece]] = []
    start = end = 0
    for piece in pieces:
        if not start <= piece.start < end:
            start = end if piece.start == end else begin_of(by, piece.start, zone)
            end = end_of(by, start, zone)
        if piece.is_break or piece.end > (end if last is None else min(end, last)):
            alone.append(((start, end), piece))
        else:
            spans.setdefault((start, end), []).append(piece)
    rows = [_row(*span, inside, now, devices) for span, inside in spans.items()]
    for span, piece in alone:
        inside = spans.get(span)
        # A break does not concern the devices: where its span goes on behind it, the span counts them.
        is_counted = inside is not None and inside[0].start < piece.start and piece.end < inside[-1].end
        rows.append(_row(piece.start, piece.end, [piece], piece.end, () if is_counted else devices))
    return sorted(rows, key=lambda row: (row.start, -row.end))


def _row(start: int, end: int, pieces: Sequence[Piece], now: int, devices: Sequence[DeviceRegister]) -> Row:
    complete = sum(piece.quarters for piece in pieces)
    excess = _sum(piece.excess for piece in pieces)
    return Row(
        start,
        end,
        import_=_sum(piece.import_ for piece in pieces),
        export=_sum(piece.export for piece in pieces),
        known_seconds=sum(piece.end - piece.start for piece in pieces if piece.import_ is not None),
        max_power=max((piece.max_power for piece in pieces if piece.max_power is not None), default=None),
        excess=None if excess is None else excess / 4,
        complete=complete * QUARTER == end - start,
        covered=_covered(start, end, complete, now),
        tariffs=_tariffs(pieces),
        devices=device_energies(devices, pieces[0].start, pieces[-1].end, end - start),
    )


def whole_quarters(start: int, end: int, now: int) -> int:
    """Return how many quarter hours a span has; of one that is still running, those that are over."""
    return ((now if start <= now < end else end) - start) // QUARTER


def quarters_of(row: Row, now: int) -> int:
    """Return how many complete quarter hours a row has."""
    return round((row.covered or 0) * whole_quarters(row.start, row.end, now))


def sum_of(rows: Sequence[Row], stretch: range, now: int, devices: Mapping[str, DeviceEnergy]) -> Row | None:
    """Return a stretch of time as one row, from those of its parts; None if nothing of it is known.

    What devices have counted in it is no sum: it may stand in none of the parts.
    """
    inside = [row for row in rows if row.end <= stretch.stop]
    if not inside:
        return None
    complete = sum(quarters_of(row, now) for row in inside)
    return Row(
        stretch.start,
        stretch.stop,
        import_=_sum(row.import_ for row in inside),
        export=_sum(row.export for row in inside),
        known_seconds=sum(row.known_seconds for row in inside),
        max_power=max((row.max_power for row in inside if row.max_power is not None), default=None),
        excess=_sum(row.excess for row in inside),
        complete=complete * QUARTER == stretch.stop - stretch.start,
        covered=_covered(stretch.start, stretch.stop, complete, now),
        tariffs=_tariffs(inside),
        devices=devices,
    )


def _covered(start: int, end: int, complete: int, now: int) -> float:
    whole = whole_quarters(start, end, now)
    # The meter's clock may be ahead of ours, so that a quarter hour more is known than has passed here.
    return min(1.0, complete / whole) if whole else 1.0


def _tariffs(pieces: Iterable[Piece | Row]) -> dict[str, int]:
    total: dict[str, int] = {}
    for piece in pieces:
        for name, energy in piece.tariffs.items():
            total[name] = total.get(name, 0) + energy
    return total


def device_energies(
    devices: Iterable[DeviceRegister], first: int, last: int, seconds: int
) -> dict[str, DeviceEnergy]:
    """Return what devices have counted between two boundaries of a row of this length, by column."""
    found: dict[str, DeviceEnergy] = {}
    for device in devices:
        amount = device.growth(first, last, seconds)
        if amount is not None:  # two devices of one column: the second has replaced the first
            earlier = found.get(device.column)
            found[device.column] = DeviceEnergy(amount + (earlier.amount if earlier else 0), device.unit)
    return found


def _sum(values: Iterable[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _excess(before: Point, after: Point, power: int | None) -> int | None:
    if power is None:
        return None
    return max(0, 4 * (_difference(import_of(before.registers), import_of(after.registers)) or 0) - power)


def _difference(old: int | None, new: int | None) -> int | None:
    return None if old is None or new is None or new < old else new - old
