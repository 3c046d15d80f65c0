"""The page of the demonstration, and a browser that looks at it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import path_of_chromium, started_chromium
from tests.browser.demonstration import demonstration

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

#: The browser says so of what a test does: a gateway that is away, a wrong address.
_EXPECTED = ("ERR_CONNECTION_REFUSED", "status of 404")

OpenPage = Callable[..., AbstractContextManager["Page"]]


def settle(page: "Page") -> None:
    """Wait until the page has heard of its last scrolling, which hides tooltips."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def follow(link: "Locator") -> None:
    """Click the link, and wait until the page behind it is there: a count does not wait."""
    with link.page.expect_navigation():
        link.click()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """Start a browser; without one the tests are left out."""
    pytest.importorskip("playwright.sync_api", reason="needs the extra `acceptance`")
    path = path_of_chromium()
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with started_chromium(path) as found:
        yield found


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the demonstration until its history is complete, and return the address of its page."""
    with demonstration(tmp_path_factory.mktemp("demo")) as found:
        yield found


@pytest.fixture
def open_page(browser: "Browser", request: pytest.FixtureRequest) -> OpenPage:
    """Return what opens a view: of the demonstration, on a phone, in English, if nothing else is said.

    No page may complain, break its policy, or ask another host.
    """

    @contextmanager
    def opened(  # playwright has many options
        path: str = "",
        *,
        width: int = 360,
        base: str = "",
        **options: Any,  # noqa: ANN401 - its own
    ) -> Iterator["Page"]:
        base = base or request.getfixturevalue("address")
        options = {"locale": "en-GB", "timezone_id": "Europe/Luxembourg", **options}
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        asked: list[str] = []
        complaints: list[str] = []
        try:
            page = context.new_page()
            page.on("request", lambda found: asked.append(found.url))
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(f"{base}{path}")
            yield page
        finally:
            context.close()
        assert [text for text in complaints if not any(one in text for one in _EXPECTED)] == []
        assert {urlsplit(url).netloc for url in asked} == {urlsplit(base).netloc}

    return opened
