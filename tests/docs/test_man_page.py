"""deploy/smarty-gateway.1 is what the help of all commands says."""

from tests.docs.man_page import PAGE, man_page


def without_usage(page: str) -> list[str]:
    """Return the lines but for the usage, which versions of Python lay out differently."""
    return [line for line in page.splitlines() if not line.startswith("usage:")]


def test_the_man_page_is_what_the_help_says() -> None:
    written = without_usage(PAGE.read_text("utf-8"))
    assert written == without_usage(man_page()), "type: python -m tests.docs.man_page"
