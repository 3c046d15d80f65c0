"""The day, the month, the year and the bill show what `history` prints, in the reader's language."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from smarty_gateway.charts.picture import PictureError
from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.languages.language import language_of
from smarty_gateway.pages import history_sections
from smarty_gateway.pages.history_sections import bill_sections, span_sections
from smarty_gateway.pages.history_words import translated
from smarty_gateway.pages.sections import Section, Table
from smarty_gateway.state.history_access import History, opened_history
from tests.support.commands import smarty_gateway
from tests.support.histories import ZONE, boundaries, second_of, write_history
from tests.support.kept_years import CONFIG, NOW, TARIFF, write_kept_years

pytestmark = pytest.mark.slow  # its histories are years

ENGLISH: Final = language_of("en")
#: With both changes of time, a gap, the day of the replacement, and those that are running.
DAYS: Final = ("2020-10-25", "2021-03-28", "2020-12-03", "2020-10-02", "2021-04-05")
MONTHS: Final = ("2020-10", "2020-12", "2021-02", "2021-04")
YEARS: Final = ("2020", "2021")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("kept")
    write_kept_years(found)
    return found


@pytest.fixture
def history(folder: Path) -> Iterator[History]:
    with opened_history(folder / "state", load_config(folder / "gateway.yaml"), NOW) as found:
        yield found


def meter_of(history: History, name: str) -> HistoryMeter:
    return next(meter for meter in history.reader.meters() if meter.name == name)


def shown(history: History, by: By, day: str, name: str = "house", code: str = "en") -> list[Section]:
    first = date.fromisoformat(f"{day}-01-01"[:10])
    return list(span_sections(history, meter_of(history, name), by, first, language_of(code)))


def section(sections: list[Section], name: str) -> Section:
    return next(one for one in sections if one.name == name)


def bill(history: History, name: str = "house") -> list[Section]:
    return list(bill_sections(history, meter_of(history, name), ENGLISH))


def printed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Return what the command prints."""
    state = ("--state", "state", "--config", "gateway.yaml", "--format", "json")
    done = smarty_gateway("history", *arguments, *state, folder=folder)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def columns(table: Table) -> dict[str, list[str]]:
    return {head: [row.cells[at] for row in table.rows] for at, head in enumerate(table.head)}


def number(text: str) -> float | None:
    plain = re.sub("[\u2265\u00a0\u202f]", "", text).replace("\u2212", "-")
    return float(plain) if plain else None


NAMES: Final = {
    "Import (kWh)": "import",
    "Export (kWh)": "export",
    "Excess (kWh)": "excess",
    "Mean import (kW)": "mean_power",
    "Highest power (kW)": "max_power",
    "Import tariff 1 (kWh)": "import_t1",
    "Import tariff 2 (kWh)": "import_t2",
    "Export tariff 1 (kWh)": "export_t1",
    "Export tariff 2 (kWh)": "export_t2",
    "Gas (m³)": "gas",
    "Water (m³)": "water",
}


def assert_same(table: Table, records: list[dict[str, Any]]) -> None:
    """Compare each value of a table with what the command prints."""
    shown_columns = columns(table)
    for head, name in NAMES.items():
        known = [record.get(name) for record in records]
        if head in shown_columns:
            assert list(map(number, shown_columns[head])) == known, head
        else:
            assert not any(value is not None for value in known), head


SPANS: Final = (
    *((By.DAY, day) for day in DAYS),
    *((By.MONTH, month) for month in MONTHS),
    *((By.YEAR, year) for year in YEARS),
)


@pytest.mark.parametrize("name", ["house", "barn"])
@pytest.mark.parametrize(("by", "day"), SPANS)
def test_each_row_of_the_page_is_one_that_the_command_prints(
    folder: Path, history: History, by: By, day: str, name: str
) -> None:
    tables = list(section(shown(history, by, day, name), "energy").tables)
    assert_same(tables[-1], printed(folder, name, f"--{by}", day))
    if by is By.DAY:
        assert_same(tables[0], printed(folder, name, f"--{by}", day, "--by", "hour"))


@pytest.mark.parametrize("name", ["house", "barn"])
@pytest.mark.parametrize(("by", "day"), SPANS)
def test_the_facts_are_those_of_the_span_as_one_row(
    folder: Path, history: History, by: By, day: str, name: str
) -> None:
    facts = dict(section(shown(history, by, day, name), "energy").facts)
    records = printed(folder, name, f"--{by}", day, "--by", by)
    # What crosses an end of the span, and what nobody knows, has a row of its own.
    whole = next(one for one in records if one["start"].endswith(("T00:00:00+01:00", "T00:00:00+02:00")))
    assert number(facts["Import"].removesuffix("\u00a0kWh")) == whole["import"]
    assert number(facts["Export"].removesuffix("\u00a0kWh")) == whole["export"]
    assert number(facts["Highest power"].removesuffix("\u00a0kW")) == whole["max_power"]
    if name == "house":
        assert number(facts["Excess over 3\u00a0kW"].removesuffix("\u00a0kWh")) == whole["excess"]
    elif by is not By.YEAR:
        assert number(facts["Gas"].removesuffix("\u00a0m³")) == whole["gas"]


@pytest.mark.parametrize(("by", "day"), [span for span in SPANS if span[0] is not By.DAY])
def test_costs_are_those_that_the_command_prints(folder: Path, history: History, by: By, day: str) -> None:
    table = columns(section(shown(history, by, day), "cost").tables[0])
    records = printed(folder, "house", f"--{by}", day, "--cost")
    for head, name in (
        ("Total if excess is paid in addition (EUR)", "cost_added"),
        ("Total if excess is paid instead (EUR)", "cost_instead"),
        ("Grid, by volume (EUR)", "cost_volume"),
    ):
        expected = [None if name not in one else pytest.approx(one[name], abs=0.0051) for one in records]
        assert list(map(number, table[head])) == expected


def test_the_sum_of_a_table_is_the_total_of_the_span(history: History) -> None:
    energy = section(shown(history, By.MONTH, "2021-02"), "energy")
    assert dict(energy.facts)["Import"] == f"{energy.tables[0].foot[1]}\u00a0kWh"


def test_the_repeated_hour_is_told_apart_by_its_offset(history: History) -> None:
    hours, quarters = section(shown(history, By.DAY, "2020-10-25"), "energy").tables
    assert [row.cells[0] for row in hours.rows[1:5]] == ["01:00", "02:00 +02:00", "02:00 +01:00", "03:00"]
    assert len(quarters.rows) == 100
    assert quarters.is_folded
    assert not hours.is_folded


def test_a_gap_says_from_when_to_when_it_is(history: History, folder: Path) -> None:
    days = [
        one["start"][:10] for one in printed(folder, "house", "--month", "2020-10") if not one["complete"]
    ]
    quarters = section(shown(history, By.DAY, days[0]), "energy").tables[1]
    gaps = [row for row in quarters.rows if row.mark == "gap"]
    assert gaps
    assert all(" \u2013 " in row.cells[0] and row.note.startswith("gap: ") and not row.link for row in gaps)


def test_a_replaced_meter_is_a_gap_in_which_nothing_is_known(history: History) -> None:
    (table,) = section(shown(history, By.YEAR, "2020"), "energy").tables
    (row,) = [row for row in table.rows if row.mark == "gap"]
    assert row.cells[0] == "Thu 3 Dec 2020 14:15 \u2013 Thu 3 Dec 2020 14:30"
    assert row.note == "unknown: a new meter, or a register that began anew"
    known = dict(zip(table.head, row.cells, strict=True))
    assert {known[head] for head in ("Import (kWh)", "Export (kWh)", "Excess (kWh)")} == {""}


def test_the_running_span_says_that_it_is_running(history: History) -> None:
    energy = section(shown(history, By.MONTH, "2021-04"), "energy")
    assert "This month is still running." in energy.notes
    last = energy.tables[0].rows[-1]
    assert (last.mark, last.note, last.link) == ("running", "still running", "day/2021-04-05")
    assert "This month is still running." not in section(shown(history, By.MONTH, "2021-03"), "energy").notes


def test_what_is_missing_is_said_in_words(history: History) -> None:
    notes = section(shown(history, By.MONTH, "2020-10"), "energy").notes
    assert any(note.endswith(" of 2980 quarter hours are missing.") for note in notes)


@pytest.mark.parametrize(("by", "day"), [(By.DAY, "2020-01-02"), (By.MONTH, "2020-01"), (By.YEAR, "2019")])
def test_a_span_of_which_nothing_is_known_says_so(history: History, by: By, day: str) -> None:
    (only,) = shown(history, by, day)
    assert only.notes == [f"Nothing is known of this {by}."]
    assert not only.svg
    assert not [*only.facts, *only.tables]


def test_the_highest_quarter_hour_is_marked_in_each_table(history: History, folder: Path) -> None:
    (peak,) = printed(folder, "peaks", "house", "--month", "2021-02")
    power, begin = peak["power"], datetime.fromisoformat(peak["start"])
    energy = section(shown(history, By.MONTH, "2021-02"), "energy")
    when = f"{ENGLISH.day(begin.date())} {begin:%H:%M}"
    assert dict(energy.facts)[f"Highest quarter hour ({when})"] == f"{power:.3f}\u00a0kW"
    (row,) = [row for row in energy.tables[0].rows if row.marks.get(0) == "peak"]
    assert (row.link, row.note) == (f"day/{begin.date()}", f"the highest quarter hour: {power:.3f} kW")
    quarters = section(shown(history, By.DAY, str(begin.date())), "energy").tables[1]
    (row,) = [row for row in quarters.rows if "peak" in row.marks.values()]
    assert (row.cells[0], row.note) == (f"{begin:%H:%M}", "the highest")
    assert [row.cells[at] for at, mark in row.marks.items() if mark == "peak"] == [f"{power:.3f}"]


def test_of_a_row_with_excess_only_the_excess_stands_out(history: History) -> None:
    table = section(shown(history, By.MONTH, "2021-02"), "energy").tables[0]
    place = table.head.index("Excess (kWh)")
    assert any(row.cells[place] != "0.000" for row in table.rows)
    for row in table.rows:
        assert row.mark == ""
        assert (row.marks.get(place) == "excess") is (row.cells[place] != "0.000")


def test_a_span_stands_beside_the_one_before_and_the_same_of_the_year_before(history: History) -> None:
    (table,) = section(shown(history, By.DAY, "2020-10-25"), "comparison").tables
    assert [row.link for row in table.rows] == ["day/2020-10-25", "day/2020-10-24"]
    later = replace(history, now=second_of("2021-10-05"))
    (table,) = section(shown(later, By.MONTH, "2021-04"), "comparison").tables
    assert [row.link for row in table.rows] == ["month/2021-04", "month/2021-03"]


def test_rows_lead_to_the_finer_view(history: History) -> None:
    year, month = shown(history, By.YEAR, "2021"), shown(history, By.MONTH, "2021-02")
    assert [row.link for row in section(year, "energy").tables[0].rows] == [
        f"month/2021-0{number}" for number in (1, 2, 3, 4)
    ]
    assert section(month, "energy").tables[0].rows[27].link == "day/2021-02-28"


def test_numbers_and_dates_are_those_of_the_language(history: History) -> None:
    english, german = (
        section(shown(history, By.MONTH, "2021-02", code=code), "energy") for code in ("en", "de")
    )
    assert german.facts[0][1] == english.facts[0][1].replace(".", ",")
    assert "." not in german.tables[0].rows[0].cells[1]


def test_the_picture_has_the_span_before_behind_it(history: History) -> None:
    energy = section(shown(history, By.DAY, "2020-10-25"), "energy")
    assert 'class="previous"' in energy.svg
    assert "Sat 24 Oct 2020" in energy.svg
    assert "<style" not in energy.svg
    assert " style=" not in energy.svg


def test_without_the_library_for_pictures_all_else_is_there(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> str:
        raise PictureError("pictures need the extra plot")

    monkeypatch.setattr(history_sections, "to_svg", fails)
    energy = section(shown(history, By.DAY, "2020-10-25"), "energy")
    assert (energy.svg, energy.notes[-1]) == ("", "pictures need the extra plot")
    assert energy.tables


def test_the_bill_compares_levels_as_the_command_does(history: History) -> None:
    levels = section(bill(history), "levels")
    (table,) = levels.tables
    compared = history.levels(meter_of(history, "house"))
    assert columns(table)["Excess (kWh)"] == [f"{one.cost.excess / 1000:.3f}" for one in compared]
    assert table.rows[0].note == "your reference power"
    said = [translated(note, ENGLISH) for note in history.notes(meter_of(history, "house"), compared)]
    assert list(levels.notes)[-len(said) :] == said


def test_the_bill_names_the_highest_quarter_hours(folder: Path, history: History) -> None:
    months, highest = section(bill(history), "peaks").tables
    records = printed(folder, "peaks", "house", "--from", "2020-05-01", "--to", "2021-05-01")
    assert list(map(number, columns(months)["Mean (kW)"])) == [one["power"] for one in records]
    every = printed(folder, "peaks", "house", "--from", "2020-05-01", "--to", "2021-05-01", "--count", "10")
    powers = sorted((one["power"] for one in every), reverse=True)[:10]
    assert list(map(number, columns(highest)["Mean (kW)"])) == powers


def test_the_peaks_of_the_meter_itself_are_marked(history: History) -> None:
    months, highest = section(bill(history, "barn"), "peaks").tables
    assert {row.note for row in months.rows} == {"as the meter says"}
    assert {row.note for row in highest.rows} == {""}


def test_the_bill_has_the_registers_of_each_month_and_of_the_last_days(
    folder: Path, history: History
) -> None:
    months, days = section(bill(history), "registers").tables
    records = {
        one["time"][:10]: one
        for one in printed(folder, "registers", "house", "--from", "2020-09-10", "--to", "2021-04-06")
    }
    for table in (months, days):
        dates = [row.link.removeprefix("day/") for row in table.rows]
        assert list(map(number, columns(table)["Import (kWh)"])) == [records[day]["import"] for day in dates]
    assert [row.link for row in months.rows if row.note] == ["day/2021-01-01"]
    assert days.is_folded
    assert len(days.rows) <= 31


def test_no_identity_of_a_meter_is_shown(history: History) -> None:
    for name in ("house", "barn"):
        sections = [*bill(history, name), *shown(history, By.DAY, "2020-12-03", name)]
        text = repr(sections)
        for meter_id in ("SAG2", meter_of(history, name).meter_id, "7FLO21", "8SAG12"):
            assert meter_id not in text


def test_a_tariff_of_the_users_own_is_shown_without_its_folder(history: History, folder: Path) -> None:
    notes = section(bill(history), "levels").notes
    assert any(note.startswith("Tariff tariff.yaml: ") for note in notes)
    assert str(folder) not in repr(bill(history))


def test_a_tariff_that_cannot_be_used_is_said(history: History, folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "gateway.yaml"
    config.write_text((folder / "gateway.yaml").read_text("utf-8"), "utf-8")
    (tmp_path / "tariff.yaml").write_text((folder / "tariff.yaml").read_text("utf-8"), "utf-8")
    broken = replace(history, config=load_config(config))
    (tmp_path / "tariff.yaml").write_text("name: [", "utf-8")
    said = "The tariff file of this meter cannot be used. To see why, type: smarty-gateway check"
    assert section(shown(broken, By.DAY, "2020-10-25"), "cost").notes == [said]
    assert section(bill(broken), "levels").notes == [said]


def test_all_times_are_local(history: History) -> None:
    assert history.zone == ZONE
    quarters = section(shown(history, By.DAY, "2021-03-28"), "energy").tables[1]
    assert [row.cells[0] for row in quarters.rows[6:10]] == ["01:30", "01:45", "03:00", "03:15"]


def test_the_total_of_a_table_has_what_a_device_counted_while_it_was_not_read(tmp_path: Path) -> None:
    first = second_of("2021-03-01")
    kept = [
        replace(one, devices=()) if 96 < number < 960 else one
        for number, one in enumerate(boundaries(first, 96 * 20))
    ]
    write_history(tmp_path, "house", kept)
    with opened_history(tmp_path, None, NOW) as found:
        energy = section(shown(found, By.MONTH, "2021-03"), "energy")
    assert dict(energy.facts)["Gas"] == "19.200\xa0m³"
    assert energy.tables[0].foot[-1] == "19.200"


def test_costs_of_a_time_without_prices_are_a_lower_bound(tmp_path: Path) -> None:
    """Every quarter hour is known; the tariff begins in the second of three months."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    tariff = TARIFF.replace("valid_from: 2020-01-01", "valid_from: 2021-02-10")
    (tmp_path / "tariff.yaml").write_text(tariff, "utf-8")
    write_history(tmp_path / "state", "house", boundaries(second_of("2021-01-01"), 96 * 90 - 4))
    with opened_history(tmp_path / "state", load_config(tmp_path / "gateway.yaml"), NOW) as found:
        cost = section(shown(found, By.YEAR, "2021"), "cost")
    table = cost.tables[0]
    volume = [*columns(table)["Grid, by volume (EUR)"], table.foot[table.head.index("Grid, by volume (EUR)")]]
    assert [text[:1] for text in volume] == ["", "\u2265", "1", "\u2265"]
    assert cost.notes[0].startswith("\u2265: not all quarter hours and prices are known")
