"""Tariffs: what comes with the program and what a user writes, read and checked like gateway.yaml."""

import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.reference import rows
from smarty_gateway.config.tariff_file import TariffFile, load_tariff, read_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.history.tariffs import DAY, WEEK, EnergyPrice, Reading, Tariff
from tests.support.commands import ROOT

PERIOD = "name: mine\nperiods:\n  - valid_from: 2026-01-01\n"
SHIPPED = sorted(shipped_tariffs())


def read(folder: Path, text: str) -> Tariff:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return load_tariff(path)


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return [f"{error.line}: {error.message}" for error in read_tariff(path)[1]]


# What comes with the program


@pytest.mark.parametrize("name", SHIPPED)
def test_each_figure_of_a_shipped_tariff_has_a_source_that_was_checked(name: str) -> None:
    tariff = load_tariff(shipped_tariffs()[name])
    sources = {source.id: source for source in tariff.sources}
    assert tariff.file == name
    for period in tariff.periods:
        assert list(period.figures)
        for what, figure in period.figures:
            assert figure.source in sources, what
            source = sources[figure.source]
            assert source.url
            assert source.checked >= date(2026, 11, 21)


def test_what_is_doubtful_about_the_excess_price_is_open_in_the_shipped_tariff() -> None:
    lu = load_tariff(shipped_tariffs()["lu"])
    for period in lu.periods:
        assert period.excess is not None
        assert period.volume is not None
        assert period.excess.reading is None
        assert period.excess.doubt is not None
        # The press: "50 % more"; the operators: a surcharge.
        assert abs(period.excess.price - period.volume.price * Decimal("1.5")) <= Decimal("0.0001")


def test_luxembourg_has_the_levels_that_its_operators_publish() -> None:
    first, second = load_tariff(shipped_tariffs()["lu"]).periods
    assert [level.kilowatts for level in first.levels] == [3, 7, 12, 17, 27, 43, 70, 100]
    assert [level.kilowatts for level in second.levels] == [3, 7, 12, 17, 27, 43, 70, 100, 150, 200]


def test_a_month_peak_in_flanders_is_at_least_two_and_a_half_kilowatts() -> None:
    period = load_tariff(shipped_tariffs()["be-flanders"]).on(date(2026, 5, 1))
    assert period is not None
    assert period.capacity is not None
    # The worked year of the source, in W: "1,782 times 2,5 kW".
    peaks = [632, 4600, 0, 1028, 3444, 4164, 4564, 6000, 9200, 5000, 4120, 4880]
    billed = period.capacity.billed(peaks)
    assert billed is not None
    assert round(billed, 3) == Decimal("4.456")
    assert period.capacity.billed([9000] * 5 + [2500] * 12) == Decimal("2.5")
    assert period.capacity.billed([]) is None


def test_peaks_say_which_power_is_paid_for_and_what_it_costs(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    prices = "capacity: {price: 50.5, minimum: 2.5}, vat: {percent: 6}"
    path.write_text(f"name: mine\nperiods: [{{valid_from: 2026-01-01, {prices}}}]", "utf-8")
    paid, cost = load_tariff(path).peak_notes(date(2026, 11, 1), [2000, 4500])
    assert paid.startswith("Tariff mine.yaml: 3.500 kW is the mean of the months above (of the newest 12)")
    assert cost == "At 50.5 EUR per kW and year that would be 187.36 EUR a year, with VAT."
    assert load_tariff(path).peak_notes(date(2025, 11, 1), [2000, 4500]) == []
    paid, doubt = load_tariff(shipped_tariffs()["be-flanders"]).peak_notes(date(2026, 11, 1), [4500])
    assert "4.500 kW is the mean" in paid
    assert "write yours into a copy" in doubt


@pytest.mark.parametrize("name", ["be-wallonia", "be-wallonia-impact"])
def test_the_bands_of_wallonia_cover_each_quarter_hour_of_the_week_once(name: str) -> None:
    (period,) = load_tariff(shipped_tariffs()[name]).periods
    slots = [slot for price in period.energy for slot in price.slots()]
    assert sorted(slots) == list(range(WEEK))


def test_money_says_its_file_since_when_it_holds_when_it_was_checked_and_its_doubts() -> None:
    lu = load_tariff(shipped_tariffs()["lu"])
    first, *doubts = lu.notes(date(2025, 12, 1), date(2026, 2, 1))
    assert first.startswith("Tariff lu: Luxembourg, grid at low voltage, without the supplier's energy")
    assert "prices since 2025-01-01, 2026-01-01, checked on 2026-11-22." in first
    assert any(note.startswith("Doubtful: excess price: added to the volume price, or") for note in doubts)
    (only,) = lu.notes(date(2024, 1, 1), date(2024, 12, 31))
    assert only.endswith("it has no prices for these days.")


# A file of the user's own


def test_a_period_holds_until_the_next_one_in_whatever_order_they_stand(tmp_path: Path) -> None:
    text = "name: mine\nperiods:\n  - {valid_from: 2026-01-01}\n  - {valid_from: 2025-01-01}\n"
    tariff = read(tmp_path, text)
    assert tariff.on(date(2024, 12, 31)) is None
    assert tariff.on(date(2025, 12, 31)) == tariff.periods[0]
    assert tariff.on(date(2027, 6, 1)) == tariff.periods[1]
    assert tariff.file == "mine.yaml"


def test_prices_are_exact(tmp_path: Path) -> None:
    (period,) = read(tmp_path, f"{PERIOD}    volume: {{price: 0.1}}\n").periods
    assert period.volume is not None
    assert period.volume.price * 3 == Decimal("0.3")


def test_the_example_of_the_page_is_a_tariff_and_the_page_names_each_key(tmp_path: Path) -> None:
    page = (ROOT / "docs/tariffs.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(name: .*?)```", page, re.DOTALL)
    (period,) = read(tmp_path, example).periods
    assert [price.name for price in period.energy if price.is_band] == ["day", "night", "weekend"]
    assert period.excess is not None
    assert period.excess.reading is Reading.ADDED
    for key in {row.path.rpartition(".")[2].removesuffix("[]") for row in rows(TariffFile)}:
        assert f"{key}:" in page or f"`{key}`" in page, key
    for name in SHIPPED:
        assert f"| `{name}` |" in page


@given(begin=st.integers(0, DAY), end=st.integers(0, DAY), day=st.integers(0, 6))
def test_a_band_has_each_quarter_hour_of_its_days_from_begin_to_end(begin: int, end: int, day: int) -> None:
    band = EnergyPrice(None, None, "x", None, begin, end, (day,))
    slots = list(band.slots())
    expected = {slot % DAY for slot in range(begin, end if begin < end else end + DAY)}
    assert len(slots) == len(set(slots))
    assert set(slots) == {day * DAY + slot for slot in expected}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("energy: []", "energy is a list; begin each price with `- `, as in `- {name: day, price: 0.25}`"),
        ("energy: [{name: Day}]", "a name has small letters, digits and _, as off_peak: "),
        ("energy: [{name: day, price: free}]", "price is a price from -1000000 to 1000000"),
        ("energy: [{name: day, from: 22:10}]", "a band begins and ends at a quarter of an hour, as 07:00"),
        ("energy: [{name: day, to: 24:15}]", "a band begins and ends at a quarter of an hour, as 07:00"),
        ("energy: [{name: day, days: [monday]}]", "a day is mon or tue or wed or thu or fri or sat or sun"),
        ("energy: [{name: day, from: 07:00, to: 22:00}]", "there is no entry for mon 00:00; together they "),
        ("energy: [{name: day, days: [mon, sun]}]", "there is no entry for tue 00:00; together they need"),
        (
            "volume: 0.05",
            (
                "volume needs lines of the form `name: value`, such as `price: 0.0510`; the keys here are: "
                "source, doubt, price"
            ),
        ),
        ("volume: {}", "price is missing; add a line such as `price: 0.0510`"),
        ("volume: {price: 0.05, source: none}", "no entry of `sources:` has this id"),
        ("excess: {price: 1, reading: both}", "reading is added or instead"),
        ("levels: [{kw: 43000}]", "kw is a number of kW from 1 to 1000"),
        ("capacity: {price: 40, month: 12}", "'month' is not a known key; did you mean 'months'?"),
        ("vat: {percent: 108}", "percent is a percentage from 0 to 100"),
        ("vta: {percent: 8}", "'vta' is not a known key; did you mean 'vat'?"),
        ("fixed: [" + "{name: x, price: 1}," * 101 + "]", "fixed has 101 entries; 100 are possible"),
    ],
)
def test_a_fault_in_a_tariff_is_named_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    (fault,) = faults(tmp_path, f"{PERIOD}    {line}\n")
    assert fault.startswith(f"4: {message}")


def test_all_faults_of_a_tariff_are_found_at_once(tmp_path: Path) -> None:
    text = (
        "currency: euro\nsources:\n  - {id: a, title: x, checked: 2026-01-01}\n  - {id: a, title: y}\n"
        "periods:\n  - {valid_from: 2026-01-01}\n  - {valid_from: 2026-01-01}\n"
    )
    assert [fault.partition(":")[0] for fault in faults(tmp_path, text)] == ["1", "1", "3", "4", "4", "7"]


def test_a_tariff_that_repeats_itself_by_references_is_read_in_no_time(tmp_path: Path) -> None:
    """Each line names the one above a hundred times: as a tree, this has a million entries."""
    many = ", ".join(["*day"] * 100)
    text = (
        f"name: &day {{name: day, days: &mon [mon]}}\nperiods:\n  - &one {{valid_from: 2026-01-01, "
        f"energy: [{many}]}}\n" + "  - *one\n" * 1_000
    )
    assert any("1001 entries; 100 are possible" in fault for fault in faults(tmp_path, text))


@pytest.mark.parametrize("text", ["", "name: mine\n", "periods: none\n", "\x00", "- a\n", "name: [\n"])
def test_what_is_no_tariff_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnusableFileError, match=r"mine\.yaml"):
        read(tmp_path, text)


def test_a_missing_tariff_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match="the tariff cannot be read: No such file"):
        load_tariff(tmp_path / "mine.yaml")
