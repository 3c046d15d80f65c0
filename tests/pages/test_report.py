"""A report reads well as plain text, and is safe and complete as HTML."""

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.languages.language import CODES, language_of
from smarty_gateway.pages.mail_text import WIDTH, mail_text
from smarty_gateway.pages.report import MeterReport, Report, mail_page, report_page
from smarty_gateway.pages.sections import Section, Table, TableRow
from tests.support.histories import ZONE

ENGLISH = language_of("en")
MADE = datetime(2026, 11, 22, 0, 20, tzinfo=ZONE)
ENERGY = Section(
    "energy",
    facts=[("Import", "12.345\u00a0kWh"), ("Highest quarter hour", "3.2\u00a0kW (18:45)")],
    svg="<svg>a picture</svg>",
    tables=[
        Table(
            "By hour",
            ["From", "Import (kWh)", "Lowest power (kW)"],
            [
                TableRow(["00:00", "1.000", "0.250"]),
                TableRow(["01:00", "11.345", "\u22121.000"], "", "day/x", "the highest", {1: "peak"}),
            ],
            foot=["Total", "12.345", ""],
        )
    ],
    notes=["Two quarter hours are missing."],
)


def report_of(*sections: Section, name: str = "house", meters: int = 1) -> Report:
    found = [MeterReport(name, is_simulated=False, sections=sections)] * meters
    return Report("Sat 21 Nov 2026", found, ENGLISH, MADE)


def test_the_text_of_a_mail_has_facts_first_and_tables_in_columns() -> None:
    made = mail_text(report_of(ENERGY)).splitlines()
    assert (
        made[:-2]
        == """\
house, Sat 21 Nov 2026
======================

Import                12.345 kWh
Highest quarter hour  3.2 kW (18:45)

* Two quarter hours are missing.

By hour
               Lowest
       Import   power
From    (kWh)    (kW)
---------------------
00:00   1.000   0.250
01:00  11.345  \u22121.000
  the highest
Total  12.345
""".splitlines()
    )
    assert made[-1].startswith("Made on Sun 22 Nov 2026 at 00:20 by smarty-gateway ")


def test_a_table_that_is_too_wide_comes_in_parts_that_each_have_the_first_column() -> None:
    names = [f"column{number}" for number in range(20)]
    table = Table(
        "Wide", ["From", *names], [TableRow(["00:00", *(f"{name}-cell" for name in names)], note="odd")]
    )
    text = mail_text(report_of(Section("wide", tables=[table])))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(f"{name}-cell" in text for name in names)
    assert text.count("00:00") == text.count("Wide") > 1
    assert text.count("odd") == 1


def test_what_is_simulated_says_so_in_every_form() -> None:
    report = Report("2026", [MeterReport("demo", is_simulated=True, sections=[ENERGY])], ENGLISH, MADE)
    for text in (mail_text(report), mail_page(report, {}), report_page(report)):
        assert "Simulated: nobody has measured this." in text
    assert report.heading == "demo (simulated), 2026"


def test_several_meters_have_a_heading_each() -> None:
    report = report_of(ENERGY, meters=3)
    assert report.heading == "All meters, Sat 21 Nov 2026"
    assert mail_text(report).count("house\n=====\n") == 3
    assert report_page(report).count('<h2 class="meter">house</h2>') == 3


@pytest.mark.parametrize("make", [report_page, lambda report: mail_page(report, {})], ids=["file", "mail"])
def test_what_a_meter_is_called_is_text_and_never_html(make: object) -> None:
    assert callable(make)
    odd = "<script>alert(1)</script>&\"'"
    section = replace(ENERGY, title=odd, facts=[(odd, odd)], notes=[odd])
    assert "<script>" not in make(report_of(section, name=odd))


def test_a_picture_in_a_mail_is_shown_where_its_section_is_and_only_if_there_is_one() -> None:
    report = report_of(ENERGY)
    assert '<img src="cid:a@b"' in mail_page(report, {ENERGY.svg: "a@b"})
    assert "<img" not in mail_page(report, {})
    assert ENERGY.svg in report_page(report)
    assert ENERGY.svg not in mail_page(report, {ENERGY.svg: "a@b"})


@pytest.mark.parametrize("code", CODES)
def test_a_report_says_in_which_language_it_is(code: str) -> None:
    report = replace(report_of(ENERGY), language=language_of(code))
    for html in (report_page(report), mail_page(report, {})):
        assert f'<html lang="{code}">' in html


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
CELLS = st.lists(WORDS, min_size=3, max_size=3)


@given(title=WORDS, facts=st.lists(st.tuples(WORDS, WORDS), max_size=3), notes=st.lists(WORDS, max_size=2))
def test_whatever_a_text_holds_its_lines_are_printable(
    title: str, facts: list[tuple[str, str]], notes: list[str]
) -> None:
    text = mail_text(report_of(Section("a", title, facts, notes=notes)))
    assert all(line.isprintable() for line in text.splitlines())


@given(head=CELLS, rows=st.lists(CELLS, min_size=1, max_size=4))
def test_every_cell_of_a_table_is_in_the_text(head: list[str], rows: list[list[str]]) -> None:
    cells = [["".join(c for c in cell if c.isalnum()) for cell in row] for row in rows]
    table = Table("", head, [TableRow(row) for row in cells])
    text = mail_text(report_of(Section("a", tables=[table])))
    assert all(cell in text for row in cells for cell in row)


def test_a_value_that_is_longer_than_a_line_is_not_cut() -> None:
    rows = [TableRow(["a" * 70, "b" * 70, "c" * 90])]
    text = mail_text(report_of(Section("long", tables=[Table("", ["", "", ""], rows)])))
    assert all(cell in text for cell in rows[0].cells)
