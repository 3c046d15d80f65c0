"""The simulated year: it looks like a house, it is the same everywhere, and its registers are exact."""

from datetime import date, datetime
from functools import cache
from hashlib import sha256
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import midnight_of
from smarty_gateway.history.sample import QUARTER, REGISTERS, export_of, import_of
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.year import boundaries

ZONE = ZoneInfo("Europe/Luxembourg")
LUXEMBOURG = SimulatedMeter(MeterKind.LUXEMBOURG, 1)
BELGIUM = SimulatedMeter(MeterKind.BELGIUM, 1)
BOTH = pytest.mark.parametrize("meter", [LUXEMBOURG, BELGIUM], ids=["luxembourg", "belgium"])


def days(begin: date, end: date) -> range:
    return range(midnight_of(begin, ZONE), midnight_of(end, ZONE))


@cache
def history(
    meter: SimulatedMeter, begin: date = date(2020, 1, 1), end: date = date(2021, 1, 1)
) -> list[Boundary]:
    return list(boundaries(meter, 0, ZONE, days(begin, end)))


def local(boundary: Boundary) -> datetime:
    return datetime.fromtimestamp(boundary.end, ZONE)


def grown(before: Boundary, after: Boundary) -> tuple[int, int]:
    """Return import and export of a quarter hour."""
    imported = [import_of(boundary.registers) for boundary in (before, after)]
    exported = [export_of(boundary.registers) for boundary in (before, after)]
    assert None not in imported + exported
    return imported[1] - imported[0], exported[1] - exported[0]  # type: ignore[operator]


def test_it_is_the_same_on_every_machine() -> None:
    text = repr([boundary.registers for boundary in history(BELGIUM, date(2020, 3, 27), date(2020, 3, 31))])
    assert sha256(text.encode()).hexdigest()[:16] == "317def93d1a6a541"


@BOTH
def test_a_boundary_does_not_depend_on_how_long_the_history_is(meter: SimulatedMeter) -> None:
    long, short = history(meter), history(meter, date(2020, 12, 24), date(2021, 1, 1))
    assert short[1:] == long[1 - len(short) :]
    assert (short[0].registers, short[0].devices) == (long[-len(short)].registers, long[-len(short)].devices)


@BOTH
def test_each_quarter_hour_of_a_year_is_there_and_no_register_falls(meter: SimulatedMeter) -> None:
    year = history(meter)
    assert [boundary.end for boundary in year] == list(
        range(midnight_of(date(2020, 1, 1), ZONE) + QUARTER, midnight_of(date(2021, 1, 1), ZONE) + 1, QUARTER)
    )
    for before, after in pairwise(year):
        for old, new in zip(before.registers, after.registers, strict=True):
            assert (old is None and new is None) or (old is not None and new is not None and old <= new)


@BOTH
def test_the_mean_power_of_a_quarter_hour_lies_between_its_lowest_and_its_highest(
    meter: SimulatedMeter,
) -> None:
    for before, after in pairwise(history(meter)):
        imported, exported = grown(before, after)
        assert after.min_power is not None
        assert after.max_power is not None
        # Each register is rounded to 1 Wh, which is 4 W in a quarter hour.
        assert after.min_power - 4 <= (imported - exported) * 4 <= after.max_power + 4


@BOTH
def test_a_house_imports_in_winter_exports_in_summer_and_exceeds_7_kw_on_some_days(
    meter: SimulatedMeter,
) -> None:
    imported, exported, above = [0] * 13, [0] * 13, set()
    mixed = 0
    for before, after in pairwise(history(meter)):
        drawn, fed = grown(before, after)
        month = local(before).month
        imported[month] += drawn
        exported[month] += fed
        mixed += bool(drawn and fed)
        if drawn > 7_000 / 4:
            above.add(local(before).date())
    assert min(imported[1], imported[12]) > 2 * max(imported[6], imported[7])
    assert min(exported[6], exported[7]) > 2 * max(exported[1], exported[12])
    assert 30 < len(above) < 150
    assert mixed > 1_000, "quarter hours in which both registers grow"


def test_night_and_weekend_count_on_the_second_tariff_in_local_time() -> None:
    imports = [REGISTERS.index(f"energy_import_tariff_{tariff}") for tariff in (1, 2)]
    for before, after in pairwise(history(BELGIUM)):
        day, night = (after.registers[n] != before.registers[n] for n in imports)
        start = local(before)
        if start.weekday() < 5 and 7 <= start.hour < 22:
            assert not night
        else:
            assert not day


@pytest.mark.parametrize(("day", "quarters"), [(date(2020, 3, 29), 92), (date(2020, 10, 25), 100)])
def test_the_days_of_a_time_change_have_their_own_number_of_quarter_hours(day: date, quarters: int) -> None:
    assert sum(local(before).date() == day for before in history(LUXEMBOURG)) == quarters


def test_gas_and_water_are_dated_at_the_last_full_hour_and_change_only_there() -> None:
    for before, after in pairwise(history(BELGIUM)):
        for old, new in zip(before.devices, after.devices, strict=True):
            assert new.dated == after.end - after.end % 3600
            assert new.value >= old.value
            assert new.dated != old.dated or new.value == old.value


def test_the_meter_s_own_peaks_are_the_highest_quarter_hours_of_the_months() -> None:
    highest: dict[int, int] = {}
    for before, after in pairwise(history(BELGIUM)):
        month = local(before).year * 100 + local(before).month
        highest[month] = max(highest.get(month, 0), grown(before, after)[0] * 4)
    told = {peak.month: peak.power for boundary in history(BELGIUM) for peak in boundary.peaks}
    assert told.keys() == highest.keys()
    for month, power in told.items():
        assert abs(power - highest[month]) <= 4


def test_a_peak_in_a_gap_is_told_at_its_end() -> None:
    december = days(date(2020, 12, 1), date(2021, 1, 1))
    whole, gapped = (
        list(boundaries(BELGIUM, 9, ZONE, december, has_gaps=has_gaps)) for has_gaps in (False, True)
    )
    peak = [peak for boundary in whole for peak in boundary.peaks][-1]
    assert peak.ended not in [boundary.end for boundary in gapped], "this house has a gap then"
    assert [peak for boundary in gapped for peak in boundary.peaks][-1] == peak


def test_gaps_leave_boundaries_out_and_change_no_register() -> None:
    whole = {boundary.end: boundary for boundary in history(LUXEMBOURG)}
    gapped = list(boundaries(LUXEMBOURG, 0, ZONE, days(date(2020, 1, 1), date(2021, 1, 1)), has_gaps=True))
    assert 200 < len(whole) - len(gapped) < 1_000
    gaps = 0
    for before, after in pairwise(gapped):
        assert after.registers == whole[after.end].registers
        follows_a_gap = after.end - before.end > QUARTER
        gaps += follows_a_gap
        assert (after.max_power is None) == follows_a_gap
    assert gaps > 5


def test_another_seed_and_another_number_are_other_houses() -> None:
    span = days(date(2020, 1, 1), date(2020, 1, 3))
    other = SimulatedMeter(MeterKind.LUXEMBOURG, 2)
    found = [
        [boundary.registers for boundary in boundaries(meter, seed, ZONE, span)]
        for meter, seed in ((LUXEMBOURG, 0), (LUXEMBOURG, 1), (other, 0))
    ]
    assert found[0] != found[1]
    assert found[0] != found[2]
