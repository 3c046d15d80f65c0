"""The level comparison: the excess of 12 months as measured, and what each level would have cost."""

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.tariff_file import load_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.history.levels import compare_levels, span_of_levels, verdict
from smarty_gateway.history.tariffs import Tariff

ZONE = ZoneInfo("Europe/Luxembourg")
NOW = int(datetime(2026, 11, 22, 3, tzinfo=ZONE).timestamp())
BEGIN, END = span_of_levels(NOW, ZONE)
LU = load_tariff(shipped_tariffs()["lu"])
PRICES = """\
name: mine
periods:
  - valid_from: 2025-01-01
    volume: {price: 0.05}
    excess: {price: 0.08}
    levels: [{kw: 3, price: 5}, {kw: 7, price: 10}]
"""


@pytest.fixture
def prices(tmp_path: Path) -> Tariff:
    return tariff(tmp_path, PRICES)


def tariff(folder: Path, text: str) -> Tariff:
    path = folder / "tariff.yaml"
    path.write_text(text, "utf-8")
    return load_tariff(path)


def at(*local: int) -> int:
    return int(datetime(*local, tzinfo=ZONE).timestamp())  # type: ignore[arg-type, misc]


def constant(import_: int, *, high: int = 0, highs: int = 0) -> list[tuple[int, int]]:
    """Return a year of equal quarter hours, the first ones of which are high."""
    starts = range(BEGIN, END, 900)
    return [(start, high if number < highs else import_) for number, start in enumerate(starts)]


def test_the_months_are_the_last_twelve_that_are_over_in_local_time() -> None:
    assert span_of_levels(NOW, ZONE) == (at(2025, 11, 1), at(2026, 11, 1))
    assert span_of_levels(at(2026, 1, 1), ZONE) == (at(2025, 1, 1), at(2026, 1, 1))
    assert span_of_levels(at(2026, 1, 1) - 1, ZONE) == (at(2024, 12, 1), at(2025, 12, 1))


def test_excess_is_what_each_quarter_hour_draws_over_the_level(prices: Tariff) -> None:
    quarters = [(at(2026, 3, 1), 1000), (at(2026, 3, 1, 0, 15), 749), (at(2026, 3, 2), 1751)]
    three, seven = compare_levels(prices, quarters, NOW, ZONE)
    assert (three.kilowatts, three.excess) == (3, 250 + 1001)
    assert (seven.kilowatts, seven.excess) == (7, 1)


def test_excess_keeps_the_quarters_of_a_watt_hour(tmp_path: Path) -> None:
    text = "name: x\nperiods: [{valid_from: 2025-01-01, levels: [{kw: 3.001}]}]"
    (only,) = compare_levels(tariff(tmp_path, text), [(at(2026, 3, 1), 751)], NOW, ZONE)
    assert only.excess == 0.75


def test_quarter_hours_outside_of_the_twelve_months_do_not_count(prices: Tariff) -> None:
    quarters = [(BEGIN - 900, 9000), (BEGIN, 1000), (END - 900, 1000), (END, 9000)]
    three, _ = compare_levels(prices, quarters, NOW, ZONE)
    assert three.excess == 500


def test_what_is_missing_is_said_and_never_scaled(prices: Tariff) -> None:
    half = constant(800)[: 365 * 48]
    three, _ = compare_levels(prices, half, NOW, ZONE)
    assert three.excess == 50 * len(half)
    assert three.covered == 0.5
    assert compare_levels(prices, constant(0), NOW, ZONE)[0].covered == 1
    assert compare_levels(prices, [], NOW, ZONE)[0].covered == 0


def test_a_level_costs_its_fixed_price_and_its_excess_under_each_reading(prices: Tariff) -> None:
    # 100 kWh of excess over 3 kW.
    three, seven = compare_levels(prices, constant(100, high=1750, highs=100), NOW, ZONE)
    assert three.excess == 100_000
    assert three.costs == {"added": pytest.approx(60 + 8), "instead": pytest.approx(60 + 3)}
    assert seven.costs == {"added": pytest.approx(120), "instead": pytest.approx(120)}


def test_vat_is_added_and_a_reading_that_is_known_stands_alone(tmp_path: Path) -> None:
    text = PRICES.replace("price: 0.08", "price: 0.08, reading: instead") + "    vat: {percent: 10}\n"
    three, _ = compare_levels(tariff(tmp_path, text), constant(100, high=1750, highs=100), NOW, ZONE)
    assert three.costs == {"instead": pytest.approx(63 * 1.1)}


def test_each_month_has_the_prices_of_its_time(tmp_path: Path) -> None:
    later = (
        PRICES.partition("periods:\n")[2].replace("2025-01-01", "2026-07-01").replace("price: 5", "price: 6")
    )
    three, _ = compare_levels(tariff(tmp_path, PRICES + later), constant(0), NOW, ZONE)
    assert three.costs["added"] == pytest.approx(8 * 5 + 4 * 6)


def test_a_level_without_prices_for_all_months_has_no_cost_and_is_never_the_cheapest() -> None:
    levels = {one.kilowatts: one for one in compare_levels(LU, constant(0), NOW, ZONE)}
    assert levels[150].costs == levels[200].costs == {}  # not there before 2026
    assert levels[3].is_cheapest
    assert sum(one.is_cheapest for one in levels.values()) == 1


@pytest.mark.parametrize(("highs", "cheapest"), [(0, 3), (3000, 7)])
def test_the_cheapest_level_under_every_reading_is_called_so(
    prices: Tariff, highs: int, cheapest: float
) -> None:
    costs = compare_levels(prices, constant(100, high=1750, highs=highs), NOW, ZONE)
    assert [one.kilowatts for one in costs if one.is_cheapest] == [cheapest]
    assert verdict(costs) == f"{cheapest:g} kW would have been the cheapest level."


def test_no_level_is_called_the_cheapest_where_the_readings_differ(prices: Tariff) -> None:
    # 1000 kWh of excess: 80 or 30 on top of 60, against 120.
    costs = compare_levels(prices, constant(100, high=1750, highs=1000), NOW, ZONE)
    assert not any(one.is_cheapest for one in costs)
    assert verdict(costs) == (
        "Which level is the cheapest depends on what the price for excess means: "
        "7 kW if it is added to the volume price, 3 kW if it is paid instead of the volume price."
    )


def test_the_verdict_says_that_months_are_missing(prices: Tariff) -> None:
    costs = compare_levels(prices, constant(100)[: 365 * 48], NOW, ZONE)
    assert verdict(costs).endswith("; but only 50% of these months is known, and the rest adds excess.")


def test_no_level_is_called_the_cheapest_while_months_are_missing(prices: Tariff) -> None:
    assert not any(one.is_cheapest for one in compare_levels(prices, constant(100)[900:], NOW, ZONE))


def test_nothing_is_said_of_levels_where_nothing_was_measured(prices: Tariff) -> None:
    costs = compare_levels(prices, [], NOW, ZONE)
    assert not any(one.is_cheapest for one in costs)
    assert verdict(costs) == (
        "Which level is the cheapest is not known: nothing of these 12 months was measured."
    )


def test_without_prices_there_is_excess_and_no_verdict(tmp_path: Path) -> None:
    text = "name: x\nperiods: [{valid_from: 2025-01-01, excess: {price: 1}, levels: [{kw: 3}]}]"
    (only,) = costs = compare_levels(tariff(tmp_path, text), constant(800), NOW, ZONE)
    assert (only.excess, only.costs, only.is_cheapest) == (50 * len(constant(0)), {}, False)
    assert verdict(costs) == (
        "Which level is the cheapest is not known: no level has prices for all 12 months. Add the missing "
        "ones to the tariff (docs/tariffs.md)."
    )
    assert verdict([]) == verdict(costs)


def test_a_tariff_that_begins_later_has_no_levels(tmp_path: Path) -> None:
    text = PRICES.replace("2025-01-01", "2026-11-01")
    assert compare_levels(tariff(tmp_path, text), constant(0), NOW, ZONE) == []


@given(st.lists(st.tuples(st.integers(0, 35_039), st.integers(0, 60_000)), max_size=50))
def test_excess_is_the_same_as_by_the_definition(quarters: list[tuple[int, int]]) -> None:
    levels = compare_levels(
        LU,
        [(BEGIN + 900 * number, wh) for number, wh in quarters],
        NOW,
        ZONE,
    )
    for level in levels:
        limit = Decimal(level.kilowatts) * 250
        assert Decimal(level.excess) == sum((max(Decimal(), wh - limit) for _, wh in quarters), Decimal())
    excesses = [one.excess for one in levels]
    assert excesses == sorted(excesses, reverse=True)
