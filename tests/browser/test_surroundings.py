"""What surrounds the page: people who see or read it in other ways, proxies, and paper.

That no view asks another host or breaks its policy, each test sees by `open_page`.
"""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.browser.conftest import OpenPage, follow
from tests.browser.demonstration import BARN, HOUSE
from tests.browser.findings import findings

pytestmark = pytest.mark.slow

PATHS = (
    "",
    f"meters/{HOUSE}/",
    f"meters/{HOUSE}/day",
    f"meters/{HOUSE}/month",
    f"meters/{HOUSE}/year",
    f"meters/{HOUSE}/bill",
    f"meters/{BARN}/",
    f"meters/{BARN}/bill",
    "health",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_finding_of_accessibility(open_page: OpenPage, path: str, scheme: str) -> None:
    with open_page(path, color_scheme=scheme) as page:
        for width in (360, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert findings(page) == []


class _Proxy(BaseHTTPRequestHandler):
    """A reverse proxy that serves the page below /house/energy/."""

    target: str
    prefix = "/house/energy/"

    def do_GET(self) -> None:
        if not self.path.startswith(self.prefix):
            self.send_error(404)
            return
        request = Request(f"{self.target}{self.path.removeprefix(self.prefix)}")  # noqa: S310 - our own server
        try:
            answer = urlopen(request, timeout=10)  # noqa: S310 - the same
        except HTTPError as error:
            answer = error
        with answer:
            data = answer.read()
            self.send_response(answer.status or 200)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def proxied(address: str) -> Iterator[str]:
    """Run a reverse proxy in front of the page, and return the address behind it."""
    handler = type("Handler", (_Proxy,), {"target": address})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}{_Proxy.prefix}"
        server.shutdown()
        thread.join()


def test_the_page_works_below_a_path(open_page: OpenPage, proxied: str) -> None:
    with open_page(f"meters/{HOUSE}/", base=proxied) as page:
        failed: list[str] = []
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        for name in ("Day", "Month", "Year", "Bill", "Meters"):
            follow(page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first)
            assert page.url.startswith(proxied)
            page.go_back()
        assert failed == []


@pytest.mark.parametrize("locale", ["en-GB", "fr-LU", "de-LU"])
@pytest.mark.parametrize("width", [320, 360, 640, 1280])
def test_no_view_is_wider_than_the_window(open_page: OpenPage, address: str, width: int, locale: str) -> None:
    with open_page(width=width, locale=locale) as page:
        for path in PATHS:
            page.goto(f"{address}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize("has_script", [True, False])
@pytest.mark.parametrize("view", ["", "day"])
def test_on_paper_all_tables_are_there_and_nothing_to_click(
    open_page: OpenPage, view: str, *, has_script: bool
) -> None:
    with open_page(f"meters/{HOUSE}/{view}", width=800, java_script_enabled=has_script) as page:
        page.emulate_media(media="print")
        assert page.locator("table.data").count() >= 2
        assert all(row.is_visible() for row in page.locator("table.data tbody tr:first-child").all())
        assert not page.locator("nav, .controls, .chooser").locator("visible=true").count()
