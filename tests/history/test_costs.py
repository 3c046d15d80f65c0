"""What a span costs: exact, by band and period, under each reading, and never more than was measured."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.tariff_file import load_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.history.costs import cost_of, left_out
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.tariffs import Tariff

ZONE = ZoneInfo("Europe/Luxembourg")
SEVEN = ReferencePower(((None, 7000),))
LU = load_tariff(shipped_tariffs()["lu"])


def tariff(folder: Path, *lines: str) -> Tariff:
    path = folder / "tariff.yaml"
    text = "".join(f"    {line}\n" for line in lines)
    path.write_text(f"name: mine\nperiods:\n  - valid_from: 2025-01-01\n{text}", "utf-8")
    return load_tariff(path)


def local(*when: int) -> int:
    return int(datetime(*when, tzinfo=ZONE).timestamp())  # type: ignore[arg-type, misc]


def span(first: date, last: date, import_: int) -> list[tuple[int, int]]:
    """Return equal quarter hours from the beginning of one day to that of another."""
    begin, end = (local(day.year, day.month, day.day) for day in (first, last))
    return [(start, import_) for start in range(begin, end, 900)]


def test_energy_pays_the_sum_of_the_prices_that_apply(tmp_path: Path) -> None:
    lines = (
        "energy:",
        "  - {name: supplier, price: 0.12}",
        "  - {name: relief, price: -0.001}",
        "  - {name: evening, price: 0.1, from: 17:00, to: 22:00, days: [mon, tue, wed, thu, fri]}",
    )
    prices = tariff(tmp_path, *lines)
    monday, sunday = (local(2026, 3, day, 17) for day in (2, 1))
    assert cost_of(prices, [(monday, 1000)], ZONE) == {
        "band_evening": Decimal(1),
        "cost_energy": Decimal("0.2190"),
        "cost": Decimal("0.2190"),
    }
    assert cost_of(prices, [(sunday, 1000), (monday - 900, 1000)], ZONE)["cost"] == Decimal("0.2380")


def test_bands_have_their_kilowatt_hours_with_and_without_prices() -> None:
    wallonia = load_tariff(shipped_tariffs()["be-wallonia"])
    day = span(date(2026, 3, 1), date(2026, 3, 2), 100)
    assert cost_of(wallonia, day, ZONE) == {"band_peak": Decimal("3.6"), "band_off_peak": Decimal(6)}


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 29), 23), (date(2026, 10, 25), 25)])
def test_a_day_on_which_the_clock_changes_has_all_its_quarter_hours(day: date, hours: int) -> None:
    wallonia = load_tariff(shipped_tariffs()["be-wallonia"])
    quarters = span(day, date.fromordinal(day.toordinal() + 1), 250)
    found = cost_of(wallonia, quarters, ZONE)
    assert found == {"band_peak": Decimal(9), "band_off_peak": Decimal(hours - 9)}


def test_a_month_pays_its_fixed_prices_and_level_to_the_cent(tmp_path: Path) -> None:
    prices = tariff(tmp_path, "fixed: [{name: meter, price: 5.90}]", "levels: [{kw: 7, price: 19.27}]")
    for first, last in ((date(2026, 2, 1), date(2026, 3, 1)), (date(2026, 3, 1), date(2026, 4, 1))):
        month = span(first, last, 0)
        assert cost_of(prices, month, ZONE, SEVEN) == {
            "cost_fixed": Decimal("25.17"),
            "cost": Decimal("25.17"),
        }
        assert cost_of(prices, month, ZONE)["cost"] == Decimal("5.90")
    day = span(date(2026, 2, 1), date(2026, 2, 2), 0)
    assert cost_of(prices, day, ZONE, SEVEN)["cost"] == Decimal("0.8989")


def test_a_day_without_any_measurement_pays_nothing(tmp_path: Path) -> None:
    prices = tariff(tmp_path, "fixed: [{name: meter, price: 28}]")
    days = span(date(2026, 2, 1), date(2026, 2, 8), 0)
    assert cost_of(prices, days, ZONE)["cost"] == 7
    assert cost_of(prices, [], ZONE) == {}


def test_a_reference_power_that_is_no_level_has_excess_and_no_price(tmp_path: Path) -> None:
    prices = tariff(tmp_path, "levels: [{kw: 7, price: 19.27}]", "excess: {price: 0.1, reading: added}")
    found = cost_of(prices, [(local(2026, 3, 1), 2000)], ZONE, ReferencePower(((None, 4000),)))
    assert found == {"cost_excess": Decimal("0.1"), "cost": Decimal("0.1")}


def test_excess_has_both_outcomes_where_its_meaning_is_not_known(tmp_path: Path) -> None:
    prices = tariff(tmp_path, "volume: {price: 0.05}", "excess: {price: 0.08}", "vat: {percent: 10}")
    assert cost_of(prices, [(local(2026, 3, 1), 2750)], ZONE, SEVEN) == {
        "cost_volume": Decimal("0.1375"),
        "cost_excess_added": Decimal("0.08"),
        "cost_vat_added": Decimal("0.0218"),
        "cost_added": Decimal("0.2393"),
        "cost_excess_instead": Decimal("0.03"),
        "cost_vat_instead": Decimal("0.0168"),
        "cost_instead": Decimal("0.1843"),
    }


def test_excess_has_one_outcome_where_the_file_says_which(tmp_path: Path) -> None:
    for reading, cost in (("added", "0.2175"), ("instead", "0.1675")):
        excess = f"excess: {{price: 0.08, reading: {reading}}}"
        prices = tariff(tmp_path, "volume: {price: 0.05}", excess)
        found = cost_of(prices, [(local(2026, 3, 1), 2750)], ZONE, SEVEN)
        assert list(found) == ["cost_volume", "cost_excess", "cost"]
        assert found["cost"] == Decimal(cost)


def test_without_a_reference_power_there_is_no_excess_and_no_doubt() -> None:
    found = cost_of(LU, [(local(2026, 3, 1), 20_000)], ZONE)
    assert list(found) == ["cost_volume", "cost_fixed", "cost_vat", "cost"]


def test_each_day_has_the_reference_power_of_its_date() -> None:
    reference = ReferencePower(((date(2026, 3, 2), 12_000), (date(2026, 3, 3), 3000)))
    for day, excess in ((1, None), (2, "0"), (3, "0.1721")):
        found = cost_of(LU, [(local(2026, 3, day), 3000)], ZONE, reference)
        assert found["cost_excess_added"] == Decimal(excess or 0)


def test_each_day_has_the_prices_of_its_date() -> None:
    turn = local(2026, 1, 1)
    found = cost_of(LU, [(turn - 900, 1000), (turn, 1000)], ZONE)
    assert found["cost_volume"] == Decimal("0.0759") + Decimal("0.0510")
    assert cost_of(LU, [(local(2024, 12, 31), 1000)], ZONE) == {}


def test_nothing_is_rounded_before_the_end(tmp_path: Path) -> None:
    prices = tariff(tmp_path, "volume: {price: 0.0333}")
    quarters = span(date(2026, 3, 1), date(2026, 3, 2), 1)
    assert cost_of(prices, quarters, ZONE)["cost"] == Decimal("0.0032")


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=200))
def test_a_span_costs_what_its_definition_says(imports: list[int]) -> None:
    begin = local(2026, 3, 2)
    found = cost_of(LU, [(begin + 900 * n, wh) for n, wh in enumerate(imports)], ZONE, SEVEN)
    days = -(-len(imports) // 96)
    kwh = Decimal(sum(imports)) / 1000
    excess = sum((max(Decimal(), Decimal(wh) - 1750) for wh in imports), Decimal()) / 1000
    fixed = (Decimal("12.84") + Decimal("5.72")) * days / 31
    for reading, surcharge in (("added", Decimal("0.0765")), ("instead", Decimal("0.0255"))):
        net = kwh * Decimal("0.0510") + fixed + excess * surcharge
        assert abs(found[f"cost_{reading}"] - net * Decimal("1.08")) <= Decimal("0.00005")


def test_costs_without_a_reference_power_say_what_they_lack() -> None:
    (note,) = left_out(LU, None, date(2026, 1, 1), date(2026, 12, 31))
    assert "no excess and no price of a level: add `reference_power: 7`" in note
    later = ReferencePower(((date(2026, 3, 1), 7000),))
    assert left_out(LU, later, date(2026, 1, 1), date(2026, 12, 31)) == [note]
    assert left_out(LU, later, date(2026, 3, 1), date(2026, 12, 31)) == []


def test_costs_of_a_power_that_is_no_level_say_so() -> None:
    changed = ReferencePower(((None, 7000), (date(2026, 3, 1), 5000)))
    first, last = date(2026, 2, 1), date(2026, 2, 28)
    assert left_out(LU, changed, first, last) == []
    assert left_out(LU, changed, first, date(2026, 3, 1)) == [
        "The tariff has no price for a level of 5 kW: these costs lack it."
    ]


def test_costs_lack_nothing_where_a_tariff_has_no_levels_or_no_prices_at_all() -> None:
    flanders = load_tariff(shipped_tariffs()["be-flanders"])
    assert left_out(flanders, None, date(2026, 1, 1), date(2026, 12, 31)) == []
    assert left_out(LU, None, date(2024, 1, 1), date(2024, 12, 31)) == []
