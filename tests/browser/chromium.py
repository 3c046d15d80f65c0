"""Chromium of the system, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: Under these names Debian, Ubuntu and others install it.
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")


def path_of_chromium() -> str | None:
    """Return where Chromium is; None if it is not installed."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def started_chromium(path: str) -> Iterator["Browser"]:
    """Start a browser, and end it."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - of the extra `acceptance`

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
