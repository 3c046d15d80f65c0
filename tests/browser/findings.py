"""What axe-core says of a page."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


def findings(page: "Page") -> list[object]:
    """Return all findings in a page, with all its details open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs the extra `acceptance`")
    page.evaluate("document.querySelectorAll('main details').forEach((found) => { found.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    return [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found]
