"""The pages in a browser: they live, they say when they do not, and everybody can use them."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final, Literal

import pytest

from smarty_gateway.pages.telegram_values import net_power
from smarty_gateway.web.server import Server
from tests.support.site import Site
from tests.support.views import quarter_of, reading_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra acceptance")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra acceptance")

pytestmark = pytest.mark.slow

Scheme = Literal["light", "dark"]

NOW: Final = "meters/house/"
VIEWS: Final = ("", NOW, "meters/barn/", "meters/shed/", "health")
#: Pixels: what a finger hits (WCAG 2.2, 2.5.5).
FINGER: Final = 44
#: Rounded edges of the browser.
ROUNDING: Final = 0.5


@contextmanager
def served(site: Site, port: int = 0) -> Iterator[int]:
    """Serve a site, and yield its port."""
    server = Server(site.app, "127.0.0.1", port)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.port
    finally:
        server.close()
        thread.join()


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with served(site) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def opened(
    browser: "Browser", address: str, *, width: int = 1280, scheme: Scheme = "light"
) -> Iterator["Page"]:
    """Yield a page; the browser may not complain, and may ask no other host."""
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, asked = context.new_page(), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(address)
    try:
        yield page
        # A gateway that is away is no fault of the page.
        assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text] == []
        host = "/".join(address.split("/")[:3])
        assert [url for url in asked if not url.startswith(f"{host}/")] == []
    finally:
        context.close()


def power_of(page: "Page") -> "Locator":
    """Return the large number."""
    return page.locator("#power .big")


def send_another(site: Site, page: "Page") -> str:
    """Send another power than the one on the page, and return it as the page writes it."""
    at = int(time.time())
    shown = power_of(page).inner_text()
    for before in range(0, 6 * 3600, 600):
        reading = reading_of(at=at - before, quarter=quarter_of(at))
        power = f"{abs(net_power(reading.telegram.decoded.fields) or 0):.3f}\xa0kW"
        if power != shown:
            site.live.take(reading)
            return power
    pytest.fail("the simulated house always draws the same")


def test_a_new_value_comes_to_an_open_page(browser: "Browser", address: str, site: Site) -> None:
    with opened(browser, address + NOW) as page:
        for _ in range(2):
            playwright.expect(power_of(page)).to_have_text(send_another(site, page))


def test_a_new_value_moves_nobody_who_reads(browser: "Browser", address: str, site: Site) -> None:
    """Who has unfolded a table, and is on a link with the keyboard, stays there."""
    with opened(browser, address + NOW) as page:
        page.locator("#telegram summary").click()
        page.get_by_role("link", name="48 h").focus()
        playwright.expect(power_of(page)).to_have_text(send_another(site, page))
        assert page.locator("#telegram details").get_attribute("open") is not None
        playwright.expect(page.get_by_role("link", name="48 h")).to_be_focused()


def test_a_page_that_has_lost_the_gateway_says_so_until_it_is_back(browser: "Browser", site: Site) -> None:
    lost = "The page gets no answer from the gateway."
    with ExitStack() as pages:
        with served(site) as port:
            page = pages.enter_context(opened(browser, f"http://127.0.0.1:{port}/{NOW}"))
            playwright.expect(page.locator("#connection")).to_have_text("")
        playwright.expect(page.locator("#connection")).to_contain_text(lost, timeout=20_000)
        playwright.expect(page.locator("body")).to_have_class("is-lost")
        with served(site, port):
            playwright.expect(page.locator("#connection")).to_have_text("", timeout=40_000)
            playwright.expect(page.locator("body")).not_to_have_class("is-lost")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: "Browser", address: str, view: str, scheme: Scheme) -> None:
    with opened(browser, address + view, width=360, scheme=scheme) as page:
        for summary in page.locator("main summary").all():
            summary.click()
        assert axe.Axe().run(page).response["violations"] == []


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("width", [320, 360, 1280])
def test_no_page_is_wider_than_the_window(browser: "Browser", address: str, view: str, width: int) -> None:
    with opened(browser, address + view, width=width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("view", VIEWS)
def test_a_finger_hits_every_link(browser: "Browser", address: str, view: str) -> None:
    with opened(browser, address + view, width=360) as page:
        for link in page.locator("nav a, header summary, .controls a, main summary").all():
            box = link.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= FINGER - ROUNDING, link.inner_text()


def test_the_keyboard_reaches_the_content_at_once(browser: "Browser", address: str) -> None:
    with opened(browser, address + NOW) as page:
        page.keyboard.press("Tab")
        playwright.expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        playwright.expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("has_script", [True, False])
def test_on_paper_all_tables_are_there_and_nothing_to_click(
    browser: "Browser", address: str, *, has_script: bool
) -> None:
    context = browser.new_context(java_script_enabled=has_script)
    page = context.new_page()
    page.goto(address + NOW)
    page.emulate_media(media="print")
    playwright.expect(page.locator("#telegram tbody tr").first).to_be_visible()
    playwright.expect(page.locator("nav")).to_be_hidden()
    playwright.expect(page.locator(".controls")).to_be_hidden()
    context.close()
