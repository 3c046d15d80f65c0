"""The pages of the history: where they lead, and what they say where there is no history."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from html import unescape
from pathlib import Path

import pytest

from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.pages.history_pages import bill_page, span_page
from smarty_gateway.pages.site import View
from smarty_gateway.simulator.meters import MeterKind
from tests.support.histories import boundaries, second_of, write_history
from tests.support.views import NOW, gateway_now, meter_now, reading_of, shown, view_of

FIRST = second_of("2026-10-24T06:00")


BACK, ON = "\u2039 ", " \u203a"


def links_of(html: str) -> dict[str, str]:
    """Return the addresses of links by their texts."""
    found = re.findall(r'<a\b[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', html, re.DOTALL)
    texts = (" ".join(re.sub(r"<[^>]+>", " ", text).split()) for _, text in found)
    return dict(zip(texts, (unescape(to) for to, _ in found), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("state")
    write_history(found, "house", boundaries(FIRST, (NOW - FIRST) // QUARTER, energy=900, export=30))
    return found


@pytest.fixture
def view(folder: Path) -> Iterator[View]:
    with view_of(gateway_now(meter_now()), folder=folder, root="../../../") as found:
        yield found


def span(view: View, by: By, day: str) -> str:
    return span_page(view, shown(view), by, date.fromisoformat(day))


BASE = "../../../meters/house/"


def test_a_day_leads_to_the_days_around_it_and_up(view: View) -> None:
    links = links_of(span(view, By.DAY, "2026-11-10"))
    assert links[f"{BACK}Mon 9 Nov 2026"] == f"{BASE}day/2026-11-09"
    assert links[f"Wed 11 Nov 2026{ON}"] == f"{BASE}day/2026-11-11"
    assert links["« The first, Sat 24 Oct 2026"] == f"{BASE}day/2026-10-24"
    assert links["» The newest, Sat 21 Nov 2026"] == f"{BASE}day/2026-11-21"
    assert links["November 2026"] == f"{BASE}month/2026-11"
    assert links["2026"] == f"{BASE}year/2026"
    assert links["1"] == f"{BASE}day/2026-11-01"
    assert links["21"] == f"{BASE}day/2026-11-21"
    assert "22" not in links


@pytest.mark.parametrize(
    ("by", "first", "last"),
    [
        (By.DAY, "2026-10-24", "2026-11-21"),
        (By.MONTH, "2026-10-01", "2026-11-01"),
        (By.YEAR, "2026-01-01", "2026-01-01"),
    ],
)
def test_no_link_leads_out_of_the_history(view: View, by: By, first: str, last: str) -> None:
    assert not [text for text in links_of(span(view, by, first)) if text.startswith((BACK, "«"))]
    assert not [text for text in links_of(span(view, by, last)) if text.endswith(ON) or text.startswith("»")]


@pytest.mark.parametrize(
    ("day", "text", "to"), [("2020-05-05", ON, "2026-10-24"), ("2031-05-05", BACK, "2026-11-21")]
)
def test_a_day_far_away_leads_back(view: View, day: str, text: str, to: str) -> None:
    html = span(view, By.DAY, day)
    assert "Nothing is known of this day." in html
    assert [link for name, link in links_of(html).items() if text in name] == [f"{BASE}day/{to}"]


@pytest.mark.parametrize(
    ("by", "query"),
    [
        (By.DAY, "from=2026-11-10&to=2026-11-11&by=quarter"),
        (By.MONTH, "from=2026-11-01&to=2026-12-01&by=day"),
        (By.YEAR, "from=2026-01-01&to=2027-01-01&by=month"),
    ],
)
def test_the_values_can_be_loaded_as_files(view: View, by: By, query: str) -> None:
    links = links_of(span(view, by, "2026-11-10"))
    assert links["JSON"] == f"../../../api/v1/meters/house/history?{query}"
    assert links["CSV"] == f"{links['JSON']}&format=csv"


def test_rows_of_a_month_lead_to_their_days(view: View) -> None:
    assert links_of(span(view, By.MONTH, "2026-11-01"))["Tue 10"] == f"{BASE}day/2026-11-10"


def test_a_page_has_no_form_no_style_and_no_absolute_link(view: View) -> None:
    pages = [span_page(view, shown(view), by, date(2026, 11, 10)) for by in (By.DAY, By.MONTH, By.YEAR)]
    for html in (*pages, bill_page(view, shown(view))):
        assert not re.search(r"<form|<style|\sstyle=|\son\w+=", html)
        assert not re.search(r'(?:href|src)="(?:[a-z]+:)?//?', html)


def test_a_meter_without_a_history_says_so(folder: Path) -> None:
    with view_of(gateway_now(meter_now(), meter_now("barn")), folder=folder) as view:
        said = "This meter has no history yet."
        assert said in span_page(view, shown(view, "barn"), By.DAY, date(2026, 11, 10))
        assert said in bill_page(view, shown(view, "barn"))


def test_a_meter_whose_history_never_comes_says_what_to_do(folder: Path) -> None:
    reading = replace(reading_of(MeterKind.BELGIUM), is_configured=False)
    with view_of(gateway_now(meter_now("barn", reading)), folder=folder) as view:
        assert "Write `name:` into its entry" in span_page(
            view, shown(view, "barn"), By.DAY, date(2026, 11, 10)
        )


def test_the_bill_links_each_quarter_hour_to_its_day(view: View) -> None:
    html = bill_page(view, shown(view))
    assert links_of(html)["October 2026"] == f"{BASE}day/2026-10-24"
    assert "Register readings" in html


def test_texts_from_outside_are_escaped(tmp_path: Path) -> None:
    hidden = "<b>\x1b[31m\u202e"
    found = [
        replace(
            one, devices=tuple(replace(gas, column="gas" + hidden, unit="m³" + hidden) for gas in one.devices)
        )
        for one in boundaries(FIRST, 300)
    ]
    write_history(tmp_path, f"{hidden}house", found)
    with view_of(gateway_now(), folder=tmp_path) as view:
        (meter,) = view.meters()
        pages = [span_page(view, meter, by, date(2026, 10, 25)) for by in (By.DAY, By.MONTH)]
        pages.append(bill_page(view, meter))
    for html in pages:
        assert not [text for text in ("<b>", "\x1b", "\u202e") if text in html]
    assert "gas&lt;b&gt;\\x1b[31m\\u202e" in pages[0]
