"""What a household draws from the grid and feeds into it, as a function of the time alone.

A register must never fall, even across restarts, so nothing is counted while the program runs. Every day has
the same shape, drawn once from a seed, and a register is computed:

    its start + whole days * what a day adds + what today has added so far

All in whole watts, seconds and litres: with floats a register could fall by one now and then. Power has a
mean for every five minutes and fluctuates around it from second to second; the registers follow it to the
watt-second, so power and energy of a telegram agree.

Days are counted in UTC+1 all year, or the registers would fall by an hour's worth in autumn. Simulated
meters have no date before 2020.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

#: The moment at which registers and frame counters begin.
BEGINNING: Final = datetime(2020, 1, 1, tzinfo=UTC)
PHASES: Final = 3

_DAY: Final = 86_400
_HOUR: Final = 3_600
#: The offset of a meter's own clock from UTC, in seconds.
WINTER_OFFSET: Final = 3_600
_SLOT: Final = 300
_SLOTS: Final = _DAY // _SLOT
_QUARTER: Final = 900
_MINUTE: Final = 60
#: Begin and end of the day tariff on a meter's own clock, which is on winter time.
_DAY_TARIFF: Final = (7 * _HOUR, 22 * _HOUR)
_JOULES_PER_WH: Final = 3_600
#: Fluctuation of power is in thousandths.
_ONE: Final = 1_000

Phases = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Peak:
    """The mean power of a quarter of an hour, and the second at which it ended."""

    watts: int
    second: int


@dataclass(frozen=True, slots=True)
class Flow:
    """Power and registers at one moment, in whole watts and watt-hours.

    Attributes:
        phases: power of each phase; below zero it flows to the grid.
        energy_import: the register of a meter without tariffs.
        energy_import_tariffs: those of a meter with two, day and night.
        demand: energy of the current quarter of an hour so far, as mean power of the whole quarter (e-MUCS).
    """

    phases: Phases
    energy_import: int
    energy_export: int
    energy_import_tariffs: tuple[int, int]
    energy_export_tariffs: tuple[int, int]
    demand: int
    is_day_tariff: bool

    @property
    def power(self) -> int:
        """The sum of the phases, as in meters: one may feed in what another draws."""
        return sum(self.phases)


class Counter:
    """A register in litres that rises by a fixed amount in each hour of the day."""

    def __init__(self, start: int, hourly: list[int]) -> None:
        self._start = start
        self._hourly = hourly
        self._before = [0, *accumulate(hourly)]

    def at(self, second: int) -> int:
        """Return the register at a second since `BEGINNING`."""
        days, today = divmod(second + WINTER_OFFSET, _DAY)
        hour, rest = divmod(today, _HOUR)
        return self._start + days * self._before[-1] + self._before[hour] + self._hourly[hour] * rest // _HOUR


class Household:
    """The power, energy, gas and water of one household.

    Args:
        seed: the same text gives the same household, on every machine.
        phases: the power of each phase in each five minutes of the day; drawn by default.
    """

    def __init__(self, seed: str, phases: Sequence[Phases] | None = None) -> None:
        rng = random.Random(seed)  # noqa: S311 - a shape of a day, not a secret
        self._phases = _shape_of_a_day(rng) if phases is None else phases
        totals = [sum(phases) for phases in self._phases]
        self._import_before = [0, *accumulate(max(total, 0) * _SLOT * _ONE for total in totals)]
        self._export_before = [0, *accumulate(max(-total, 0) * _SLOT * _ONE for total in totals)]
        self._start_import = rng.randrange(200_000, 2_000_000)
        self._start_export = rng.randrange(10_000, 500_000)
        self._fluctuation = _fluctuation(rng)
        self._fluctuation_before = [0, *accumulate(self._fluctuation)]
        self._peaks = _peaks_so_far(self._import_before)
        self.gas = Counter(rng.randrange(10_000, 900_000), _gas_of_a_day(rng))
        self.water = Counter(rng.randrange(10_000, 500_000), _water_of_a_day(rng))

    def flow(self, second: int) -> Flow:
        """Return power and registers at a second since `BEGINNING`."""
        days, today = divmod(second + WINTER_OFFSET, _DAY)
        factor = self._fluctuation[today % _MINUTE]
        one, two, three = self._phases[today // _SLOT]
        quarter = today - today % _QUARTER
        demand = self._joules(self._import_before, today) - self._joules(self._import_before, quarter)
        return Flow(
            phases=(one * factor // _ONE, two * factor // _ONE, three * factor // _ONE),
            energy_import=self._energy(self._import_before, self._start_import, days, today),
            energy_export=self._energy(self._export_before, self._start_export, days, today),
            energy_import_tariffs=self._tariffs(self._import_before, self._start_import, days, today),
            energy_export_tariffs=self._tariffs(self._export_before, self._start_export, days, today),
            demand=demand // (_ONE * _QUARTER),
            is_day_tariff=_DAY_TARIFF[0] <= today < _DAY_TARIFF[1],
        )

    def peak_of_month(self, month: int, second: int) -> Peak:
        """Return the highest quarter of a month up to a second, with the second at which it ended.

        All days are alike, so it is that of the first day.

        Args:
            month: the second at which it begins.
            second: in this month or a later one.
        """
        today = (second - month) // _DAY == 0
        peak = self._peaks[(second - month) // _QUARTER if today else -1]
        return Peak(peak.watts, month + peak.second)

    def _joules(self, before: list[int], today: int) -> int:
        """Return what a day has added until one of its seconds, in thousandths of a watt-second."""
        slot, rest = divmod(today, _SLOT)
        minutes, seconds = divmod(rest, _MINUTE)
        power = (before[slot + 1] - before[slot]) // (_SLOT * _ONE)
        return before[slot] + power * (minutes * _MINUTE * _ONE + self._fluctuation_before[seconds])

    def _energy(self, before: list[int], start: int, days: int, today: int) -> int:
        return start + (days * before[-1] + self._joules(before, today)) // (_ONE * _JOULES_PER_WH)

    def _tariffs(self, before: list[int], start: int, days: int, today: int) -> tuple[int, int]:
        """Return the registers of both tariffs, computed apart: a difference of rounded ones could fall."""
        begin, end = (self._joules(before, second) for second in _DAY_TARIFF)
        whole = days * before[-1] + self._joules(before, today)
        counted = self._joules(before, min(max(today, _DAY_TARIFF[0]), _DAY_TARIFF[1])) - begin
        by_day = days * (end - begin) + counted
        unit = _ONE * _JOULES_PER_WH
        return start + by_day // unit, start + (whole - by_day) // unit


def start_of_day(second: int) -> int:
    """Return the second since `BEGINNING` at which the meter's day began."""
    return second - (second + WINTER_OFFSET) % _DAY


def _shape_of_a_day(rng: random.Random) -> list[Phases]:
    """Draw the power of each phase in each slot: the loads of a household, less its solar power."""
    loads = [[rng.randrange(40, 120) for _ in range(_SLOTS)] for _ in range(PHASES)]
    for _ in range(rng.randrange(6, 10)):
        _add_load(rng, loads, rng.choice((7, 12, 18, 19, 20)), rng.randrange(400, 2_200), 10)
    _add_load(rng, loads, 18, rng.randrange(1_500, 3_000), 14)
    peak = rng.randrange(2_500, 8_000)
    clouds = 1.0
    result: list[Phases] = []
    for slot in range(_SLOTS):
        clouds = min(1.0, max(0.4, clouds + rng.uniform(-0.12, 0.12)))
        hour = slot * 24 / _SLOTS
        sun = max(0.0, math.sin((hour - 6.5) / 12 * math.pi)) if 6.5 < hour < 18.5 else 0.0
        share = int(peak * clouds * sun**1.3 / PHASES)
        result.append((loads[0][slot] - share, loads[1][slot] - share, loads[2][slot] - share))
    return result


def _add_load(rng: random.Random, loads: list[list[int]], hour: int, watts: int, longest: int) -> None:
    """Switch one appliance on, around an hour of the day, for some slots."""
    phase = rng.randrange(PHASES)
    begin = hour * (_SLOTS // 24) + rng.randrange(-18, 18)
    for slot in range(begin, begin + rng.randrange(3, longest)):
        loads[phase][slot % _SLOTS] += watts


def _fluctuation(rng: random.Random) -> list[int]:
    """Draw the fluctuation of power within a minute, in thousandths, with a mean of exactly one."""
    half = [rng.randrange(-60, 61) for _ in range(_MINUTE // 2)]
    return [_ONE + part for part in half] + [_ONE - part for part in half]


def _peaks_so_far(before: list[int]) -> list[Peak]:
    """Return, for every quarter of a day, the highest of those before it; seconds are those of the day."""
    best = Peak(0, 0)
    result = [best]
    step = _QUARTER // _SLOT
    for slot in range(0, _SLOTS, step):
        watts = (before[slot + step] - before[slot]) // (_ONE * _QUARTER)
        if watts > best.watts:
            best = Peak(watts, (slot + step) * _SLOT)
        result.append(best)
    return result


def _gas_of_a_day(rng: random.Random) -> list[int]:
    """Draw the litres of gas of each hour: heating, mostly in the morning and the evening."""
    return [rng.randrange(0, 90) + (300 if hour in (6, 7, 18, 19, 20) else 40) for hour in range(24)]


def _water_of_a_day(rng: random.Random) -> list[int]:
    """Draw the litres of water of each hour; none at night."""
    return [rng.randrange(5, 40) if 6 <= hour <= 22 else 0 for hour in range(24)]
