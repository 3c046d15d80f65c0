"""The pages of meters that send, are silent, or have only a history: they live, and say when they do not."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from smarty_gateway.pages.telegram_values import net_power
from smarty_gateway.web.server import Server
from tests.browser.conftest import OpenPage
from tests.browser.findings import findings
from tests.support.site import Site, write_days
from tests.support.views import quarter_of, reading_of

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra `acceptance`")
pytestmark = pytest.mark.slow

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
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("state")
    write_days(folder)
    found = Site(folder)
    found.send()
    return found


@pytest.fixture(scope="module")
def served_site(site: Site) -> Iterator[str]:
    with served(site) as port:
        yield f"http://127.0.0.1:{port}/"


def power_of(page: "Page") -> "Locator":
    """Return the large number."""
    return page.locator("#power .big")


def send_another(site: Site, page: "Page") -> str:
    """Make the house send another power than the one on the page, and return it as it is written."""
    at = int(time.time())
    shown = power_of(page).inner_text()
    for before in range(0, 6 * 3600, 600):
        reading = reading_of(at=at - before, quarter=quarter_of(at))
        power = f"{abs(net_power(reading.telegram.decoded.fields) or 0):.3f}\xa0kW"
        if power != shown:
            site.live.take(reading)
            return power
    pytest.fail("the simulated house always draws the same")


def test_a_new_value_moves_nobody_who_reads(open_page: OpenPage, served_site: str, site: Site) -> None:
    """Who has unfolded a table, and is on a link with the keyboard, stays there."""
    with open_page(NOW, base=served_site) as page:
        page.locator("#telegram summary").click()
        page.get_by_role("link", name="48 h").focus()
        playwright.expect(power_of(page)).to_have_text(send_another(site, page))
        assert page.locator("#telegram details").get_attribute("open") is not None
        playwright.expect(page.get_by_role("link", name="48 h")).to_be_focused()


def test_a_page_that_has_lost_the_gateway_says_so_until_it_is_back(open_page: OpenPage, site: Site) -> None:
    lost = "The page gets no answer from the gateway."
    with ExitStack() as pages:
        with served(site) as port:
            page = pages.enter_context(open_page(NOW, base=f"http://127.0.0.1:{port}/"))
            playwright.expect(page.locator("#connection")).to_have_text("")
        playwright.expect(page.locator("#connection")).to_contain_text(lost, timeout=20_000)
        playwright.expect(page.locator("body")).to_have_class("is-lost")
        with served(site, port):
            playwright.expect(page.locator("#connection")).to_have_text("", timeout=40_000)
            playwright.expect(page.locator("body")).not_to_have_class("is-lost")


@pytest.mark.parametrize("view", VIEWS)
def test_a_finger_hits_every_link(open_page: OpenPage, served_site: str, view: str) -> None:
    with open_page(view, base=served_site) as page:
        for link in page.locator("nav a, header summary, .controls a, main summary").all():
            box = link.bounding_box()
            assert box is not None
            assert min(box["width"], box["height"]) >= FINGER - ROUNDING, link.inner_text()


def test_the_keyboard_reaches_the_content_at_once(open_page: OpenPage, served_site: str) -> None:
    with open_page(NOW, base=served_site) as page:
        page.keyboard.press("Tab")
        playwright.expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        playwright.expect(page.locator("main")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_whatever_the_state_of_a_meter(
    open_page: OpenPage, served_site: str, scheme: str
) -> None:
    for view in VIEWS:
        with open_page(view, base=served_site, color_scheme=scheme) as page:
            assert findings(page) == []


@pytest.mark.parametrize("width", [320, 1280])
def test_no_state_of_a_meter_makes_a_page_wider_than_the_window(
    open_page: OpenPage, served_site: str, width: int
) -> None:
    for view in VIEWS:
        with open_page(view, base=served_site, width=width) as page:
            assert page.evaluate("document.documentElement.scrollWidth") <= width
