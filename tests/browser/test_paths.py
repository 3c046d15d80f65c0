"""The paths that a person takes through the page."""

import csv
import io
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.browser.conftest import OpenPage, follow, settle
from tests.browser.demonstration import BARN, HOUSE

pytestmark = pytest.mark.slow

NOW = datetime.now(ZoneInfo("Europe/Luxembourg"))
VIEWS = ("", "day", "month", "year", "bill")


def test_the_first_page_leads_to_each_meter(open_page: OpenPage) -> None:
    with open_page() as page:
        follow(page.locator("main").get_by_role("link", name="house in Luxembourg"))
        assert HOUSE in page.url
        assert re.search(r"\d[.]\d{3}\s*kW", page.locator("main").inner_text())


@pytest.mark.parametrize("name", ["Day", "Month", "Year", "Bill", "Meters"])
def test_the_navigation_leads_to_each_view(open_page: OpenPage, name: str) -> None:
    with open_page(f"meters/{HOUSE}/") as page:
        follow(page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first)
        assert page.locator("h1").count() == 1
        assert "Traceback" not in page.content()
        assert page.locator("main").inner_text().strip()


def test_a_year_leads_to_a_month_and_that_to_a_day(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/year/{NOW.year - 1 if NOW.month == 1 else NOW.year}") as page:
        follow(page.locator("table.data tbody a").first)
        assert "/month/" in page.url
        follow(page.locator("table.data tbody a").first)
        assert "/day/" in page.url


@pytest.mark.parametrize("view", ["day", "month", "year"])
def test_one_can_go_to_the_span_before_and_back(open_page: OpenPage, view: str) -> None:
    with open_page(f"meters/{HOUSE}/{view}") as page:
        first = page.locator("h1").inner_text()
        follow(page.locator("a[rel=prev]").first)
        assert page.locator("h1").inner_text() != first
        follow(page.locator("a[rel=next]").first)
        assert page.locator("h1").inner_text() == first


def test_the_csv_beside_a_picture_has_the_rows_of_its_table(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/month") as page:
        follow(page.locator("a[rel=prev]").first)
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").first.click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
        assert len(rows) == page.locator("table.data").first.locator("tbody tr").count()


@pytest.mark.parametrize("view", VIEWS)
def test_all_tables_are_there_without_script(open_page: OpenPage, view: str) -> None:
    with open_page(f"meters/{BARN}/{view}", java_script_enabled=False) as page:
        assert page.locator("table").count() >= 1


@pytest.mark.parametrize(("locale", "word"), [("fr-LU", "Jour"), ("de-LU", "Tag"), ("nl-BE", "Day")])
def test_the_page_speaks_the_language_of_the_browser(open_page: OpenPage, locale: str, word: str) -> None:
    with open_page(f"meters/{HOUSE}/", locale=locale) as page:
        assert page.get_by_role("link", name=word, exact=True).first.is_visible()


def test_a_new_reading_appears_without_reloading(open_page: OpenPage) -> None:
    with open_page(f"meters/{BARN}/") as page:
        before = page.locator(".big").first.inner_text()
        page.wait_for_function(
            "before => document.querySelector('.big').innerText !== before", arg=before, timeout=60_000
        )


@pytest.mark.parametrize("path", ["meters/nobody/", "meters/nobody/day/2026-02-30", "no/such/page"])
def test_a_wrong_address_is_answered_in_words(open_page: OpenPage, path: str) -> None:
    with open_page(path) as page:
        assert page.locator("h1").is_visible()
        assert page.locator("main a").count() >= 1


def test_the_picture_of_a_page_says_its_values(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/month", width=1280) as page:
        follow(page.locator("a[rel=prev]").first)
        picture = page.locator("figure.chart svg[tabindex]").first
        picture.scroll_into_view_if_needed()
        settle(page)
        picture.hover()
        tip = page.locator(".smarty-tooltip")
        tip.wait_for(state="visible")
        assert re.search(r"\d kWh", tip.inner_text().replace("\u00a0", " "))
