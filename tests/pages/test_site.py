"""What every view has: its frame, and what no view may have."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from smarty_gateway.pages.health_page import health_page
from smarty_gateway.pages.now_page import live_part, now_page, overview_page
from smarty_gateway.pages.site import STATIC, View, render
from tests.support.documents import Element, document
from tests.support.histories import boundaries, write_history
from tests.support.views import (
    NOW,
    config_of,
    curve_of,
    gateway_now,
    meter_now,
    quarter_of,
    reading_of,
    shown,
    view_of,
)

#: Bytes. Both are asked for with the first page, over a network in the house.
MOST_STYLES = 11_000
MOST_SCRIPT = 5_000
HOSTILE = ("<script>alert(1)</script>", "x" * 64, "\"'><img_src=x>", "{{view}}", "a&b?c=%d;#")

Page = Callable[[View], str]


def _now(view: View) -> str:
    meter = view.meters()[0]
    return now_page(view, meter, curve_of([400, -300, None, 900], step=3600), 24)


PAGES: dict[str, Page] = {"now": _now, "overview": overview_page, "health": health_page}


def _page(
    page: Page, *names: str, folder: Path | None = None, root: str = "", simulated: bool = False
) -> Element:
    meters = [meter_now(name, reading_of(name=name, quarter=quarter_of())) for name in names]
    if folder is not None:
        for name in names:
            write_history(folder, name, boundaries(NOW - NOW % 900 - 900 * 200, 200), is_simulated=simulated)
    with view_of(gateway_now(*meters), folder=folder, config=config_of(*names), root=root) as view:
        return document(page(view))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_one_main_heading_and_no_level_is_left_out(name: str) -> None:
    page = _page(PAGES[name], "house", "barn")
    levels = [int(found.tag[1]) for found in page.all() if found.tag in {"h1", "h2", "h3", "h4"}]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_names_its_language_its_title_and_its_landmarks(name: str) -> None:
    page = _page(PAGES[name], "house")
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("head").one("title").text.endswith("smarty-gateway")
    assert page.one("main").attributes["id"] == "main"
    assert page.one("a", class_="skip").attributes["href"] == "#main"
    assert page.one("nav").attributes["aria-label"]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("root", ["", "../../"])
def test_all_addresses_are_relative_and_below_the_first_page(name: str, root: str) -> None:
    page = _page(PAGES[name], "house", "barn", root=root)
    addresses = [found.attributes.get(key) for found in page.all() for key in ("href", "src", "data-live")]
    for address in filter(None, addresses):
        assert address.startswith((root, "#", "./"))
        assert not address.startswith(("/", "http"))
        assert ":" not in address.partition("/")[0]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_neither_styles_nor_scripts_inside(name: str, tmp_path: Path) -> None:
    page = _page(PAGES[name], "house", folder=tmp_path)
    assert page.all("style") == []
    assert all("src" in script.attributes and script.children == [] for script in page.all("script"))
    for found in page.all():
        assert "style" not in found.attributes
        assert not [key for key in found.attributes if key.startswith("on")]


@pytest.mark.parametrize("page_name", PAGES)
def test_no_name_of_a_meter_becomes_a_part_of_the_page(page_name: str) -> None:
    harmless = _page(PAGES[page_name], *(f"meter-{number}" for number in range(len(HOSTILE))))
    page = _page(PAGES[page_name], *HOSTILE)
    assert [found.tag for found in page.all()] == [found.tag for found in harmless.all()]
    assert all(name in page.text for name in HOSTILE if "#" not in name)  # `#` is `_` in names


def test_the_name_of_a_meter_is_quoted_in_its_address() -> None:
    page = _page(overview_page, "a&b?c=%d", "house")
    assert "meters/a%26b%3Fc%3D%25d/" in {link.attributes["href"] for link in page.all("a")}


def test_the_only_meter_is_the_one_of_the_navigation() -> None:
    page = _page(health_page, "house", root="../")
    links = [link.attributes["href"] for link in page.one("nav").all("a")]
    assert links == [
        *(f"../meters/house/{name}" for name in ("", "day", "month", "year", "bill")),
        "../health",
    ]
    assert page.one("nav").one("a", **{"aria-current": "page"}).text == "Meters"


def test_a_choice_of_another_meter_stays_in_the_same_view() -> None:
    meters = [meter_now(name) for name in ("house", "barn")]
    with view_of(gateway_now(*meters), root="../../") as view:
        page = document(render("base.html", view, "Month", meter=shown(view), here="month"))
    links = [link.attributes["href"] for link in page.one("details", class_="choice").all("a")]
    assert links == ["../../", "../../meters/house/month", "../../meters/barn/month"]


@pytest.mark.parametrize("name", PAGES)
def test_what_nobody_has_measured_is_called_simulated(name: str, tmp_path: Path) -> None:
    assert "simulated" in _page(PAGES[name], "house", folder=tmp_path, simulated=True).text


@pytest.mark.parametrize("name", PAGES)
def test_what_was_measured_is_not_called_simulated(name: str, tmp_path: Path) -> None:
    assert "simulated" not in _page(PAGES[name], "house", folder=tmp_path).text


@pytest.mark.parametrize("name", PAGES)
def test_no_identity_of_a_meter_is_on_a_page(name: str, tmp_path: Path) -> None:
    reading = reading_of(quarter=quarter_of())
    text = _page(PAGES[name], "house", folder=tmp_path).text
    for secret in (
        reading.telegram.meter_id,
        reading.telegram.decoded.header,
        "5341476770000001",
        "GFLO2100000001",
    ):
        assert secret not in text


def test_styles_and_script_are_small() -> None:
    assert len((STATIC / "page.css").read_bytes()) < MOST_STYLES
    assert len((STATIC / "live.js").read_bytes()) < MOST_SCRIPT


def test_the_parts_that_the_script_exchanges_have_names_that_occur_once() -> None:
    meters = [meter_now("house", reading_of(quarter=quarter_of()))]
    with view_of(gateway_now(*meters)) as view:
        page, part = document(_now(view)), document(live_part(view, shown(view)))
    names = [found.attributes["id"] for found in page.all() if "data-part" in found.attributes]
    new = [found.attributes["id"] for found in part.all() if "data-part" in found.attributes]
    assert len(set(names)) == len(names)
    assert set(new) < set(names)
