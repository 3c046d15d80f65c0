"""The excess of a cooking evening: exact, from registers, from power. `python -m benchmarks.cooking`.

Excess is what a quarter hour draws beyond a quarter of the reference power. Programs that add up
max(0, power - reference power) from telegram to telegram also count the moments in which a plate is on, in
quarter hours whose mean is far below the reference power.

The evening is computed second by second. Its appliances have the mean power and the duration of a published
model (appliances `Hob`, `Oven` and `DishWasher` of the Modelica library IDEAS,
https://github.com/ibpsa/modelica-ibpsa, IDEAS/Occupants/Stochastic/Data/Residential): hob 2400 W for 16
minutes, oven 2125 W for 27, dishwasher 1131 W for 60. That they switch on and off is theirs in reality, not
in the model, whose steps are minutes: here plates go by an energy regulator
(https://en.wikipedia.org/wiki/Energy_regulator), the oven by a thermostat. A published recording of a whole
evening at this resolution was not found.

The meter sends the telegrams of one in Luxembourg: registers in whole Wh, power in whole W, every 10 s. When
things are switched on decides how wrong sampling is, so many evenings follow the first.
"""

import argparse
import random
import statistics
import textwrap
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate, pairwise
from typing import Final
from zoneinfo import ZoneInfo

import smarty_gateway
from benchmarks.figures import Figure, print_figures
from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.sample import QUARTER, import_of
from smarty_gateway.protocol.checksum import arc

_ZONE: Final = ZoneInfo("Europe/Luxembourg")
_BEGIN: Final = int(datetime(2026, 1, 15, 17, 0, tzinfo=_ZONE).timestamp())
#: Seconds: 17:00 to 21:00.
_EVENING: Final = 4 * 3_600
_REFERENCE_POWERS: Final = (3_000, 7_000)
_EVENINGS: Final = 200
_JOULES_PER_WH: Final = 3_600
#: Everything else in the house.
_REST: Final = 300
_PLAUSIBLE_POWER: Final = 100_000

#: When oven, hob and dishwasher are switched on, in seconds after 17:00.
_Starts = tuple[int, int, int]
_DINNER: Final[_Starts] = (70 * 60, 90 * 60, 160 * 60)


def is_on(second: int, full: int, on: int, period: int) -> bool:
    """True if a plate or an oven draws: all the time at first, then a part of each period."""
    return second < full or (second - full) % period < on


def oven(second: int) -> int:
    """Draw 2125 W on average in 27 minutes."""
    return 3_000 * (0 <= second < 27 * 60 and is_on(second, 12 * 60, 85, 180))


def hob(second: int) -> int:
    """Draw 2400 W on average in 16 minutes, with two plates."""
    if not 0 <= second < 16 * 60:
        return 0
    return 2_200 * is_on(second, 6 * 60, 14, 39) + 1_800 * is_on(second, 6 * 60, 11, 30)


def dishwasher(second: int) -> int:
    """Draw 1131 W on average in 60 minutes: the pump, and twice the heater."""
    if not 0 <= second < 60 * 60:
        return 0
    return 64 + 2_000 * (5 * 60 <= second < 21 * 60 or 40 * 60 <= second < 56 * 60)


def evening(starts: _Starts) -> list[int]:
    """Return the power of each second in W."""
    baking, cooking, washing = starts
    return [
        _REST + oven(second - baking) + hob(second - cooking) + dishwasher(second - washing)
        for second in range(_EVENING)
    ]


def excess_of(energies: Iterable[float], reference_power: int) -> float:
    """Return the excess of quarter hours in kWh, from their energies in Wh."""
    return sum(max(0.0, energy - reference_power / 4) for energy in energies) / 1000


def exact(powers: list[int]) -> list[float]:
    """Return the energy of each quarter hour in Wh: the integral of power."""
    return [sum(powers[begin : begin + QUARTER]) / _JOULES_PER_WH for begin in range(0, len(powers), QUARTER)]


def sampled(powers: list[int], reference_power: int, interval: int) -> float:
    """Return what programs count that sample power; in kWh."""
    return (
        sum(max(0, power - reference_power) * interval for power in powers[::interval])
        / _JOULES_PER_WH
        / 1000
    )


def telegrams(powers: list[int]) -> Iterator[bytes]:
    """Yield what the meter sends."""
    joules = [0, *accumulate(powers)]
    for second in range(0, len(joules), 10):
        stamp = datetime.fromtimestamp(_BEGIN + second, _ZONE)
        energy = 1_234_567 + joules[second] // _JOULES_PER_WH
        body = "\r\n".join((
            "/Lux5\\253000001_D\r\n",
            f"0-0:1.0.0({stamp:%y%m%d%H%M%S}W)",
            f"0-0:42.0.0({b'SAG1030700000001'.hex()})",
            f"1-0:1.8.0({energy / 1000:010.3f}*kWh)",
            f"1-0:1.7.0({powers[min(second, len(powers) - 1)] / 1000:06.3f}*kW)",
            "!",
        )).encode("ascii")  # fmt: skip
        yield b"%b%04X\r\n" % (body, arc(body))


def tracked(powers: list[int]) -> list[float]:
    """Return the energy of each quarter hour in Wh as the gateway gets it from the telegrams."""
    tracker, registers = QuarterTracker(_PLAUSIBLE_POWER), []
    for telegram in smarty_gateway.read(telegrams(powers)):
        sample = sample_of(telegram, datetime.now(UTC), _ZONE)
        found = [] if sample is None else tracker.add(sample)
        registers += [import_of(one.registers) or 0 for one in found if isinstance(one, Boundary)]
    return [float(after - before) for before, after in pairwise(registers)]


def one(reference_power: int) -> list[Figure]:
    """Compare the ways for one evening."""
    powers = evening(_DINNER)
    true = excess_of(exact(powers), reference_power)
    ours = excess_of(tracked(powers), reference_power)
    name = f"one evening, {reference_power // 1000} kW"
    figures = [
        Figure(f"{name}: excess, the integral, Wh", true * 1000),
        Figure(f"{name}: excess from the registers, as here, Wh", ours * 1000),
        Figure(f"{name}: off by, Wh", abs(ours - true) * 1000, most=2),
    ]
    for interval in (10, 15):
        wrong = sampled(powers, reference_power, interval)
        figures.append(Figure(f"{name}: power sampled every {interval} s, Wh", wrong * 1000))
        if true:
            figures.append(Figure(f"{name}: power sampled every {interval} s, factor", wrong / true))
    return figures


def many(reference_power: int) -> list[Figure]:
    """Compare them for evenings in which things are switched on at other times."""
    rng = random.Random(reference_power)  # noqa: S311 - repeatable, no secret
    true, wrong, factors, falsely = 0.0, 0.0, [], 0
    for _ in range(_EVENINGS):
        baking = rng.randrange(20 * 60, 100 * 60)
        powers = evening((baking, baking + rng.randrange(1_800), baking + rng.randrange(3_600, 6_300)))
        excess = excess_of(exact(powers), reference_power)
        counted = sampled(powers, reference_power, 10)
        true, wrong = true + excess, wrong + counted
        if excess:
            factors.append(counted / excess)
        falsely += counted > 0 and not excess
    name = f"{_EVENINGS} evenings, {reference_power // 1000} kW"
    figures = [
        Figure(f"{name}: excess, the integral, kWh", true),
        Figure(f"{name}: power sampled every 10 s, kWh", wrong),
        Figure(f"{name}: without any excess, where sampling counts some", falsely),
    ]
    if factors:
        figures += [
            Figure(f"{name}: factor in all", wrong / true),
            Figure(f"{name}: factor, median", statistics.median(factors)),
            Figure(f"{name}: factor, highest", max(factors)),
        ]
    return figures


def in_words() -> str:
    """Return the result for one evening as the documentation says it."""
    powers, reference_power = evening(_DINNER), _REFERENCE_POWERS[0]
    true, wrong = excess_of(exact(powers), reference_power), sampled(powers, reference_power, 10)
    kilowatts = reference_power // 1000
    return (
        f"In an evening with oven, hob and dishwasher, a house with a reference power of {kilowatts} kW has "
        f"{true:.3f} kWh of excess. A program that adds up by how much the power in each telegram is above "
        f"{kilowatts} kW counts {wrong:.3f} kWh, {wrong / true:.0f} times as much."
    )


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    steps = [partial(step, power) for step in (one, many) for power in _REFERENCE_POWERS]
    if not args.json:
        print(textwrap.fill(in_words(), 100), end="\n\n")
    print_figures(steps, as_json=args.json)


if __name__ == "__main__":
    main()
