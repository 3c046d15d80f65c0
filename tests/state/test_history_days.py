"""Whole days over the changes of time: telegrams in, printed rows out, beside the exact energy."""

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.history.boundary import Boundary, SetBack
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, Row
from smarty_gateway.history.sample import QUARTER, REGISTERS, Sample
from smarty_gateway.state.history_file import HistoryFile, open_history
from smarty_gateway.state.history_reader import HistoryReader

ZONE = ZoneInfo("Europe/Luxembourg")
#: Two local days over each change of time.
SPRING = ("2026-03-28", "2026-03-30", 188)
AUTUMN = ("2026-10-24", "2026-10-26", 196)
#: Local times at which nothing was read: over midnight, over the change of time, within a quarter.
GAPS = (("23:50", "00:10"), ("01:50", "03:20"), ("14:03", "14:08"))
REFERENCE = ReferencePower(((None, 3000),))


@dataclass
class Days:
    """A household over two days, to the watt-second."""

    begin: int
    end: int
    is_by_tariffs: bool
    replaced: int

    def __post_init__(self) -> None:
        rng = random.Random(15)
        powers: list[int] = []
        while len(powers) < self.end - self.begin:
            powers += [rng.randrange(0, 5000)] * rng.choice((20, 60, 300, 1200))
        self.joules = [0, *accumulate(powers[: self.end - self.begin])]

    def energy(self, time: int) -> int:
        """Return what was drawn since the beginning, in Wh, as a meter counts it."""
        return self.joules[time - self.begin] // 3600

    def sample(self, time: int) -> Sample:
        """Return what the meter sends."""
        is_new = time >= self.replaced
        value = self.energy(time) - (self.energy(self.replaced) if is_new else -70_000)
        registers: list[int | None] = [None] * len(REGISTERS)
        if self.is_by_tariffs:  # day and night, as a meter of Belgium switches them
            registers[1], registers[2] = value // 3, value - value // 3
        else:
            registers[0], registers[5] = value, 5000
        return Sample("SAG2" if is_new else "SAG1", time, tuple(registers))

    def rows(self, folder: Path, times: Iterator[int]) -> dict[By, list[Row]]:
        """Return what is stored of the telegrams of these times."""
        file, tracker = HistoryFile(folder), QuarterTracker(250_000)
        changes = [event for time in times for event in tracker.add(self.sample(time))]
        file.write({"house": [c for c in changes if isinstance(c, Boundary | SetBack)]})
        file.close()
        connection = open_history(folder)
        assert connection is not None
        with closing(connection):
            reader = HistoryReader(connection, ZONE)
            return {by: reader.rows("house", by, None, None, self.end, REFERENCE) for by in By}


def local(day: str, time: str = "00:00") -> int:
    return int(datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=ZONE).timestamp())


def times_with_gaps(days: Days, first: str, second: str, period: int) -> Iterator[int]:
    gaps = [(local(first, GAPS[0][0]), local(second, GAPS[0][1]))]
    gaps += [(local(second, begin), local(second, end)) for begin, end in GAPS[1:]]
    for time in range(days.begin + 3, days.end, period):
        if not any(begin < time < end for begin, end in gaps):
            yield time


def growth(rows: list[Row]) -> int:
    return sum(row.import_ or 0 for row in rows)


@pytest.mark.parametrize("period", [10, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("is_by_tariffs", [False, True], ids=["total", "tariffs"])
@pytest.mark.parametrize("days", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_each_quarter_is_exact_and_a_gap_is_a_gap(
    days: tuple[str, str, int], period: int, tmp_path: Path, *, is_by_tariffs: bool
) -> None:
    begin, end = local(days[0]), local(days[1])
    second = f"{days[0][:8]}{int(days[0][8:]) + 1:02}"
    house = Days(begin, end, is_by_tariffs, replaced=end)
    rows = house.rows(tmp_path, times_with_gaps(house, days[0], second, period))
    quarters = rows[By.QUARTER]
    complete = [row for row in quarters if row.complete]
    assert (end - begin) // QUARTER == days[2]
    for row in complete:
        assert row.end - row.start == QUARTER
        assert row.import_ is not None
        exact = house.energy(row.end) - house.energy(row.start)
        assert abs(row.import_ - exact) <= 2
        assert row.excess is not None
        assert abs(row.excess - max(0, exact - 750)) <= 2
    gaps = [row for row in quarters if not row.complete]
    # The boundaries at 00:00, 02:00 (and 02:15 … of both hours) and 03:15 were not seen.
    assert [(row.start, row.end) for row in gaps] == [
        (local(days[0], "23:45"), local(second, "00:15")),
        (local(second, "01:45"), local(second, "03:30")),
    ]
    assert {row.excess for row in gaps} == {None}
    first, last = quarters[0].start, quarters[-1].end
    whole = house.energy(last) - house.energy(first)
    for by in By:
        assert abs(growth(rows[by]) - whole) <= 2
    assert len({growth(rows[by]) for by in By}) == 1


@pytest.mark.parametrize("is_by_tariffs", [False, True], ids=["total", "tariffs"])
def test_a_meter_that_was_replaced_leaves_one_row_whose_growth_is_not_known(
    tmp_path: Path, *, is_by_tariffs: bool
) -> None:
    begin, end = local(AUTUMN[0]), local(AUTUMN[1])
    replaced = local("2026-10-25", "02:20")
    house = Days(begin, end, is_by_tariffs, replaced)
    found = house.rows(tmp_path, iter(range(begin + 3, end, 10)))
    quarters = found[By.QUARTER]
    (broken,) = [row for row in quarters if not row.complete]
    assert (broken.start, broken.end) == (local("2026-10-25", "02:15"), local("2026-10-25", "02:30"))
    assert (broken.import_, broken.export, broken.excess) == (None, None, None)
    for rows in found.values():
        assert growth(rows) == growth(quarters)
        assert [row for row in rows if row.import_ is None] == [broken]
