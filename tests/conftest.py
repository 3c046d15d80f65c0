"""What tests print and log in their own process is searched for keys, too; see `tests.support.canaries`."""

import logging
from collections.abc import Generator, Iterator

import pytest

from tests.support.canaries import assert_no_key


@pytest.fixture(autouse=True)
def most_verbose_log() -> Iterator[None]:
    """Let the program's log say all it can, where a test runs its parts without a command."""
    log = logging.getLogger("smarty_gateway")
    before = log.level
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test behind whose end a key is in what pytest captured of it."""
    report = yield
    if report.when == "teardown":
        for section, text in report.sections:
            try:
                assert_no_key(text.encode("utf-8", "backslashreplace"), f"{section} of {item.name}")
            except AssertionError as error:
                report.outcome = "failed"
                report.longrepr = str(error)
    return report
