"""The tooltips of pictures work by mouse, finger and keyboard, under the page's Content-Security-Policy."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final

import pytest

from smarty_gateway.charts.picture import to_svg
from smarty_gateway.charts.style import STYLE
from smarty_gateway.pages.site import STATIC
from tests.browser.conftest import OpenPage, settle
from tests.charts.test_picture import quarters

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

POLICY: Final = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'"
FIGURE: Final = "<figure>{}</figure>"
#: Two pictures, and below them space to scroll.
PAGE: Final = (
    "<!doctype html><html lang=en><head><title>Pictures</title>"
    "<meta name=viewport content='width=device-width, initial-scale=1'>"
    "<link rel=icon href=icon.svg><link rel=stylesheet href=charts.css>"
    "<script src=charts.js defer></script></head><body><main><h1>Pictures</h1>"
    + "".join(
        FIGURE.format(to_svg(quarters(day, after), with_style=False))
        for day, after in (("2026-07-01", "2026-07-02"), ("2026-07-02", "2026-07-03"))
    )
    + "<p>"
    + "<br>" * 60
    + "</p></main></body></html>"
)
FILES: Final = {
    "/": ("text/html", PAGE),
    "/charts.css": ("text/css", STYLE),
    "/charts.js": ("text/javascript", (STATIC / "charts.js").read_text("utf-8")),
    "/icon.svg": ("image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'/>"),
}


class Server(BaseHTTPRequestHandler):
    """Serves the page as the gateway does."""

    def do_GET(self) -> None:
        """Send a file."""
        kind, text = FILES[self.path]
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def tooltip(page: "Page") -> list[str]:
    """Return the lines of the tooltip that is visible."""
    found = page.locator(".smarty-tooltip")
    return found.inner_text().splitlines() if found.is_visible() else []


def place(page: "Page", number: int, share: float) -> tuple[float, float]:
    """Return a point in the bars of a picture."""
    box = page.locator(".spans").nth(number).bounding_box()
    assert box is not None
    return box["x"] + box["width"] * share, box["y"] + box["height"] / 2


def test_a_mouse_shows_the_span_below_it_and_nothing_once_it_leaves(
    open_page: OpenPage, pictures: str
) -> None:
    with open_page(base=pictures, width=1280) as page:
        page.mouse.move(*place(page, 0, 0.5 + 0.5 / 96))
        assert tooltip(page)[:2] == ["12:00\u201312:15", "import: 3.600\u00a0kW"]
        page.mouse.move(1, 1)
        assert tooltip(page) == []


def test_browsers_show_no_texts_of_their_own_beside_the_tooltips(open_page: OpenPage, pictures: str) -> None:
    with open_page(base=pictures, width=1280) as page:
        assert page.locator("svg title").count() == 0
        assert page.locator("svg").first.get_attribute("aria-label") == "house, 2026-07-01"


def test_a_finger_shows_the_nearest_bar_until_the_page_moves(open_page: OpenPage, pictures: str) -> None:
    with open_page(base=pictures, has_touch=True, is_mobile=True) as page:
        x, y = place(page, 0, 0)
        page.touchscreen.tap(x - 10, y)
        assert tooltip(page)[0] == "00:00\u201300:15"
        page.evaluate("scrollBy(0, 100)")
        page.wait_for_function("!document.querySelector('.smarty-tooltip.shown')")


def test_a_tap_beside_the_picture_closes_the_tooltip(open_page: OpenPage, pictures: str) -> None:
    with open_page(base=pictures, has_touch=True, is_mobile=True) as page:
        page.touchscreen.tap(*place(page, 0, 0.5))
        assert tooltip(page)
        page.touchscreen.tap(5, 5)
        assert tooltip(page) == []


@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_tooltip_stays_inside_the_window(
    open_page: OpenPage, pictures: str, width: int, share: float
) -> None:
    with open_page(base=pictures, width=width) as page:
        page.mouse.move(*place(page, 0, share))
        box = page.locator(".smarty-tooltip").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] >= 0


def test_keys_move_through_one_picture_and_a_screen_reader_hears_each_span(
    open_page: OpenPage, pictures: str
) -> None:
    spoken = []
    with open_page(base=pictures, width=1280) as page:
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        settle(page)
        for key in ("ArrowRight", "ArrowRight", "End", "ArrowRight", "ArrowLeft", "Home"):
            page.keyboard.press(key)
            spoken.append(page.get_by_role("status").inner_text().split(", ")[0])
            assert tooltip(page)[0] == spoken[-1]
        page.keyboard.press("Escape")
        assert tooltip(page) == []
    assert spoken == [
        "00:00\u201300:15", "00:15\u201300:30", "23:45\u201300:00",
        "23:45\u201300:00", "23:30\u201323:45", "00:00\u201300:15",
    ]  # fmt: skip


def test_a_picture_that_is_replaced_has_tooltips_again(open_page: OpenPage, pictures: str) -> None:
    with open_page(base=pictures, width=1280) as page:
        page.mouse.move(*place(page, 0, 0.5))
        page.evaluate(
            "picture => { document.querySelector('figure').innerHTML = picture; }",
            to_svg(quarters("2026-07-05", "2026-07-06"), with_style=False),
        )
        page.wait_for_function("!document.querySelector('.smarty-tooltip.shown')")
        page.mouse.move(*place(page, 0, 0.25))
        assert tooltip(page)
        assert page.locator("svg").first.get_attribute("aria-label") == "house, 2026-07-05"
