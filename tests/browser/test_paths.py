"""The paths that a person takes through the page."""

import csv
import io
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tests.browser.conftest import BARN, HOUSE, OpenPage

pytestmark = pytest.mark.slow

NOW = datetime.now(ZoneInfo("Europe/Luxembourg"))
#: One that the script has made ready; before that, nothing happens at a mouse.
PICTURE = "figure.chart svg[tabindex]"
VIEWS = ("", "day", "month", "year", "bill")


def test_the_first_page_leads_to_each_meter(open_page: OpenPage) -> None:
    with open_page() as page:
        page.get_by_role("link", name="house", exact=False).first.click()
        assert HOUSE in page.url
        assert re.search(r"\d[.]\d{3}\s*kW", page.locator("main").inner_text())


@pytest.mark.parametrize("name", ["Day", "Month", "Year", "Bill", "Meters"])
def test_the_navigation_leads_to_each_view(open_page: OpenPage, name: str) -> None:
    with open_page(f"meters/{HOUSE}/") as page:
        page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first.click()
        assert page.locator("h1").count() == 1
        assert "Traceback" not in page.content()
        assert page.locator("main").inner_text().strip()


def test_a_year_leads_to_a_month_and_that_to_a_day(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/year/{NOW.year - 1 if NOW.month == 1 else NOW.year}") as page:
        page.locator("table.data tbody a").first.click()
        assert "/month/" in page.url
        page.locator("table.data tbody a").first.click()
        assert "/day/" in page.url


@pytest.mark.parametrize("view", ["day", "month", "year"])
def test_one_can_go_to_the_span_before_and_back(open_page: OpenPage, view: str) -> None:
    with open_page(f"meters/{HOUSE}/{view}") as page:
        first = page.locator("h1").inner_text()
        page.locator("a[rel=prev]").first.click()
        assert page.locator("h1").inner_text() != first
        page.locator("a[rel=next]").first.click()
        assert page.locator("h1").inner_text() == first


def test_the_csv_beside_a_picture_has_the_rows_of_its_table(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/month") as page:
        page.locator("a[rel=prev]").first.click()
        with page.expect_download() as download:
            page.get_by_role("link", name="CSV").first.click()
        rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"))))
        assert len(rows) == page.locator("table.data").first.locator("tbody tr").count()


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [360, 1280])
def test_no_view_is_wider_than_the_window(open_page: OpenPage, view: str, width: int) -> None:
    for name in (HOUSE, BARN):
        with open_page(f"meters/{name}/{view}", width=width) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width


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


def test_what_is_printed_has_no_navigation_and_all_tables(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/day", width=800) as page:
        page.emulate_media(media="print")
        assert not page.get_by_role("navigation").first.is_visible()
        assert all(table.is_visible() for table in page.locator("table.data").all())


@pytest.mark.parametrize("path", ["meters/nobody/", "meters/nobody/day/2026-02-30", "no/such/page"])
def test_a_wrong_address_is_answered_in_words(open_page: OpenPage, path: str) -> None:
    with open_page(path) as page:
        assert page.locator("h1").is_visible()
        assert page.locator("main a").count() >= 1


@pytest.mark.parametrize("view", ["day", "month", "year"])
def test_a_picture_says_its_values_by_mouse_and_keyboard(open_page: OpenPage, view: str) -> None:
    with open_page(f"meters/{HOUSE}/{view}", width=1280) as page:
        page.locator("a[rel=prev]").first.click()
        picture = page.locator(PICTURE).first
        picture.hover()
        tip = page.locator(".smarty-tooltip").first
        tip.wait_for(state="visible")
        first = tip.inner_text()
        assert re.search(r"\d kWh?", first.replace("\u00a0", " "))
        page.mouse.move(0, 0)
        picture.focus()
        page.keyboard.press("Home")
        tip.wait_for(state="visible")
        first = tip.inner_text()
        page.keyboard.press("ArrowRight")
        assert tip.inner_text() != first
        page.keyboard.press("Escape")
        tip.wait_for(state="hidden")


def test_a_picture_says_its_values_to_a_finger(open_page: OpenPage) -> None:
    with open_page(f"meters/{HOUSE}/month", has_touch=True, is_mobile=True) as page:
        page.locator("a[rel=prev]").first.click()
        page.locator(PICTURE).first.tap()
        page.locator(".smarty-tooltip").first.wait_for(state="visible")
