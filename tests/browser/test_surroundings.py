"""What the page asks of browser and network: nothing from elsewhere, and nothing that shuts people out."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.browser.conftest import BARN, HOUSE, OpenPage

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
@pytest.mark.parametrize("width", [360, 1280])
def test_no_view_has_a_serious_finding_of_accessibility(
    open_page: OpenPage, path: str, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with open_page(path, width=width, color_scheme=scheme) as page:
        found = axe.run(page).response["violations"]
        serious = [
            (one["id"], [node["html"][:200] for node in one["nodes"]])
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]
        assert serious == []


@pytest.mark.parametrize("path", PATHS)
def test_a_view_asks_no_other_host_and_breaks_no_policy(open_page: OpenPage, address: str, path: str) -> None:
    with open_page("health") as page:  # has an icon; a browser would look for one of `livez` in vain
        asked: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}{path}", wait_until="networkidle" if path != f"meters/{HOUSE}/" else "load")
        page.wait_for_selector("main")
        assert {urlsplit(url).netloc for url in asked} == {urlsplit(address).netloc}
        assert complaints == []


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
            page.get_by_role("navigation").get_by_role("link", name=name, exact=True).first.click()
            assert page.url.startswith(proxied)
            page.go_back()
        assert failed == []
