"""The level comparison: what each reference power of a tariff would have meant in the last 12 months."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.local_time import local_date, midnight_of
from smarty_gateway.history.rows import LevelCost
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.history.sentences import Sentence
from smarty_gateway.history.tariffs import Level, Period, Reading, Tariff

_MONTHS: Final = 12
#: Below this share, what is missing may change the answer.
_ENOUGH: Final = 0.99

#: A month: the period that holds on its first day, and the import of its complete quarter hours in Wh.
_Month = tuple[Period | None, list[int]]


@dataclass(frozen=True, slots=True)
class PricedLevel:
    """A level, and the tariff that has it: money is never shown without."""

    tariff: Tariff
    cost: LevelCost


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
    months: list[_Month] = [(tariff.on(local_date(begin, zone)), []) for begin in begins[:-1]]
    for start, import_ in quarters:
        if begins[0] <= start < begins[-1]:
            months[bisect_right(begins, start) - 1][1].append(import_)
    known = sum(len(imports) for _, imports in months)
    covered = known * QUARTER / (begins[-1] - begins[0])
    newest = months[-1][0]
    return _with_cheapest([_cost_of(level, months, covered) for level in (newest.levels if newest else ())])


def verdict(costs: Sequence[LevelCost]) -> Sentence:
    """Return in words which level would have been the cheapest, and how sure that is."""
    best = _best(costs)
    if not best:
        return Sentence(
            "Which level is the cheapest is not known: no level has prices for all 12 months. Add the "
            "missing ones to the tariff (docs/tariffs.md)."
        )
    covered = costs[0].covered
    if not covered:
        return Sentence("Which level is the cheapest is not known: nothing of these 12 months was measured.")
    if len(set(best.values())) == 1:
        level = next(iter(best.values()))
        if covered < _ENOUGH:
            return Sentence(
                "{level:g} kW would have been the cheapest level; but only {covered:.0%} of these months is "
                "known, and the rest adds excess.",
                level=level,
                covered=covered,
            )
        return Sentence("{level:g} kW would have been the cheapest level.", level=level)
    each = tuple(_level_if(reading, level) for reading, level in best.items())
    if covered < _ENOUGH:
        return Sentence(
            "Which level is the cheapest depends on what the price for excess means: {each}; but only "
            "{covered:.0%} of these months is known, and the rest adds excess.",
            each=each,
            covered=covered,
        )
    return Sentence(
        "Which level is the cheapest depends on what the price for excess means: {each}.", each=each
    )


def _level_if(reading: str, level: float) -> Sentence:
    if reading == Reading.ADDED:
        return Sentence("{level:g} kW if it is added to the volume price", level=level)
    return Sentence("{level:g} kW if it is paid instead of the volume price", level=level)


def _begins(now: int, zone: ZoneInfo) -> list[int]:
    """Return where the last 12 months begin, and where the last of them ends."""
    today = local_date(now, zone)
    last = today.year * 12 + today.month - 1
    return [
        midnight_of(date(month // 12, month % 12 + 1, 1), zone) for month in range(last - _MONTHS, last + 1)
    ]


def _cost_of(level: Level, months: Sequence[_Month], covered: float) -> LevelCost:
    # In quarters of a Wh, which are whole.
    excesses = [
        sum(4 * one - level.watts for one in imports if 4 * one > level.watts) for _, imports in months
    ]
    costs: dict[str, float] = {}
    for reading in _readings(months):
        parts = [
            _monthly(period, level, Decimal(excess) / 4000, reading)
            for (period, _), excess in zip(months, excesses, strict=True)
        ]
        if None not in parts:
            costs[reading.value] = float(sum(part for part in parts if part is not None))
    return LevelCost(float(level.kilowatts), sum(excesses) / 4, covered, costs)


def _readings(months: Sequence[_Month]) -> list[Reading]:
    found = {
        reading for period, _ in months if period and period.excess for reading in period.excess.readings
    }
    return sorted(found)


def _monthly(period: Period | None, level: Level, excess: Decimal, reading: Reading) -> Decimal | None:
    """Return what a level costs in a month with its excess in kWh; None where a price is not known."""
    if period is None or period.excess is None:
        return None
    own = period.level_of(level.watts)
    if own is None or own.price is None:
        return None
    surcharge = period.excess.surcharge(reading, period.volume)
    return (own.price + excess * surcharge) * period.with_vat


def _best(costs: Sequence[LevelCost]) -> dict[str, float]:
    """Return the cheapest of the levels with prices, by reading."""
    priced = [one for one in costs if one.costs]
    readings = priced[0].costs if priced else ()
    return {reading: min((one.costs[reading], one.kilowatts) for one in priced)[1] for reading in readings}


def _with_cheapest(costs: list[LevelCost]) -> list[LevelCost]:
    best = set(_best(costs).values())
    return [replace(one, is_cheapest=best == {one.kilowatts} and one.covered >= _ENOUGH) for one in costs]
