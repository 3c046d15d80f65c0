"""The level comparison: what each reference power of a tariff would have meant in the last 12 months."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.rows import LevelCost
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.history.tariffs import Level, Period, Reading, Tariff

_MONTHS: Final = 12
#: Below this share, what is missing may change the answer.
_ENOUGH: Final = 0.99

#: A month: the period that holds on its first day, and the import of its complete quarter hours in Wh.
_Month = tuple[Period | None, list[int]]


def span_of_levels(now: int, zone: ZoneInfo) -> tuple[int, int]:
    """Return the beginning and end of the last 12 calendar months that are over."""
    begins = _begins(now, zone)
    return begins[0], begins[-1]


def compare_levels(
    tariff: Tariff, quarters: Iterable[tuple[int, int]], now: int, zone: ZoneInfo
) -> list[LevelCost]:
    """Return what each level would have meant in the last 12 calendar months that are over.

    Args:
        tariff: has the levels; those of the last month count.
        quarters: beginning and import in Wh of each complete quarter hour; others than of these months do
            not count.
        now: the present time.
        zone: of the months.
    """
    begins = _begins(now, zone)
    months: list[_Month] = [(tariff.on(_date(begin, zone)), []) for begin in begins[:-1]]
    known = 0
    ordered = sorted(quarters)
    month = -1
    for start, import_ in ordered:
        if not begins[0] <= start < begins[-1]:
            continue
        while start >= begins[month + 1]:
            month += 1
        months[month][1].append(import_)
        known += 1
    covered = known * QUARTER / (begins[-1] - begins[0])
    newest = months[-1][0]
    return _with_cheapest([_cost_of(level, months, covered) for level in (newest.levels if newest else ())])


def verdict(costs: Sequence[LevelCost]) -> str:
    """Return in words which level would have been the cheapest, and how sure that is."""
    if not costs:
        return "The tariff has no levels."
    readings = costs[0].costs
    if not readings or any(one.costs.keys() != readings.keys() for one in costs):
        return "Which level is the cheapest is not known: there are no prices for all 12 months."
    best = {reading: _cheapest(costs, reading).kilowatts for reading in readings}
    if len(set(best.values())) == 1:
        said = f"{next(iter(best.values())):g} kW would have been the cheapest"
    else:
        each = ", ".join(f"{power:g} kW if it is {_MEANING[reading]}" for reading, power in best.items())
        said = f"The cheapest level depends on what the price for excess means: {each}"
    if costs[0].covered < _ENOUGH:
        return f"{said}, but only {costs[0].covered:.0%} of these months is known, and the rest adds excess."
    return f"{said}."


_MEANING: Final = {
    Reading.ADDED: "added to the volume price",
    Reading.INSTEAD: "paid instead of the volume price",
}


def _begins(now: int, zone: ZoneInfo) -> list[int]:
    """Return where the last 12 months begin, and where the last of them ends."""
    today = _date(now, zone)
    last = today.year * 12 + today.month - 1
    return [
        int(datetime(month // 12, month % 12 + 1, 1, tzinfo=zone).timestamp())
        for month in range(last - _MONTHS, last + 1)
    ]


def _date(time: int, zone: ZoneInfo) -> date:
    return datetime.fromtimestamp(time, zone).date()


def _cost_of(level: Level, months: Sequence[_Month], covered: float) -> LevelCost:
    excesses = [
        sum(4 * one - level.watts for one in imports if 4 * one > level.watts) for _, imports in months
    ]
    costs: dict[str, Fraction] = {}
    readings = {
        reading for period, _ in months if period and period.excess for reading in period.excess.readings
    }
    for reading in (one for one in Reading if one in readings):
        cost = Fraction()
        for (period, _), excess in zip(months, excesses, strict=True):
            monthly = _monthly(period, level, Decimal(excess) / 4000, reading)
            if monthly is None:
                break
            cost += monthly
        else:
            costs[reading] = cost
    return LevelCost(
        float(level.kilowatts),
        sum(excesses) / 4,
        covered,
        {name: float(cost) for name, cost in costs.items()},
    )


def _monthly(period: Period | None, level: Level, excess: Decimal, reading: Reading) -> Fraction | None:
    """Return what a level costs in a month with its excess in kWh; None where a price is not known."""
    same = period and period.level_of(level.watts)
    if period is None or period.excess is None or same is None or same.price is None:
        return None
    if reading not in period.excess.readings:
        reading = period.excess.readings[0]  # in this period there is no doubt
    net = same.price + excess * period.excess.surcharge(reading, period.volume)
    return Fraction(net) * period.vat_factor


def _cheapest(costs: Sequence[LevelCost], reading: str) -> LevelCost:
    return min(costs, key=lambda one: one.costs[reading])


def _with_cheapest(costs: list[LevelCost]) -> list[LevelCost]:
    readings = costs[0].costs.keys() if costs else ()
    if not readings or any(one.costs.keys() != readings for one in costs):
        return costs
    best = {_cheapest(costs, reading).kilowatts for reading in readings}
    return [replace(one, is_cheapest=best == {one.kilowatts}) for one in costs]
