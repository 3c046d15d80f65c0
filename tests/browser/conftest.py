"""The page of the demonstration, and a browser that looks at it."""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.support.running import Running, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: Of the demonstration, as in addresses.
HOUSE = "house_in_Luxembourg"
BARN = "barn_in_Belgium"

OpenPage = Callable[..., AbstractContextManager["Page"]]


@pytest.fixture(scope="session")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the demonstration until its history is complete, and return the address of its page."""
    with Running("demo", "--format", "json", folder=tmp_path_factory.mktemp("demo")) as demo:
        wait_until(lambda: _address_in(demo.log), "the address of the page")
        found = _address_in(demo.log)
        for name in (HOUSE, BARN):
            wait_until(lambda name=name: _is_there(f"{found}meters/{name}/year"), f"the history of {name}")  # type: ignore[misc]
        yield found


@pytest.fixture
def open_page(browser: "Browser", address: str) -> OpenPage:
    """Return what opens a view: on a phone in English, if nothing else is said."""

    @contextmanager
    def opened(  # playwright has many options
        path: str = "",
        *,
        width: int = 360,
        base: str = address,
        **options: Any,  # noqa: ANN401 - its own
    ) -> Iterator["Page"]:
        options = {"locale": "en-GB", "timezone_id": "Europe/Luxembourg", **options}
        context = browser.new_context(viewport={"width": width, "height": 800}, **options)
        try:
            page = context.new_page()
            page.goto(f"{base}{path}")
            yield page
        finally:
            context.close()

    return opened


def _address_in(log: list[str]) -> str:
    found = re.search(r"http://[0-9.]+:\d+/", "\n".join(log))
    return found[0] if found else ""


def _is_there(url: str) -> bool:
    try:
        with urlopen(url, timeout=10) as answer:  # noqa: S310 - of our own server
            return b"<table" in answer.read()
    except URLError:
        return False
