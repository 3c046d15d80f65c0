"""Equal surroundings for every test, the search for keys in what tests print, and the count of slow tests."""

import importlib
import logging
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, settings

from tests.support.brokers import WITH_MOSQUITTO, Broker
from tests.support.canaries import assert_no_key

#: What decides how a program looks and where it keeps its files. A developer's machine sets some of these,
#: a service manager others, a fresh one none; PYTHON* goes, too.
_SURROUNDINGS = (
    *("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"),
    *("XDG_STATE_HOME", "XDG_CONFIG_HOME"),
    *("CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC"),
)
for _name in [name for name in os.environ if name in _SURROUNDINGS or name.startswith("PYTHON")]:
    del os.environ[_name]
# `nohup` has a process ignore SIGHUP and a shell's `&` SIGINT, and so would those that tests start.
for _number, _handler in ((signal.SIGHUP, lambda *_: None), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

# A test may not depend on the machine's speed, nor fail once in a hundred runs: examples are the same in
# every run, and ten times as many in CI (HYPOTHESIS_PROFILE=thorough). `python -m tests.fuzz` tries new ones.
_ANY_SPEED: Final[dict[str, Any]] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=50, derandomize=True, **_ANY_SPEED)
settings.register_profile("thorough", max_examples=500, derandomize=True, **_ANY_SPEED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

_log = logging.getLogger("smarty_gateway")
_LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Start two workers for each core: many tests wait for a process or a broker most of their time."""
    return min(8, 2 * len(os.sched_getaffinity(0)))


def pytest_collection(session: pytest.Session) -> None:
    """Import all tests before the collection, each worker of pytest-xdist from another one on.

    In a fresh clone pytest rewrites the asserts of all test modules, which takes as long as half of the
    collection. So each worker reads most of what the others have written, and does not do the same work.
    """
    worker = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    folder = Path(__file__).parent
    modules = sorted(folder.rglob("test_*.py"))
    first = int(worker["workerid"].removeprefix("gw")) * len(modules) // worker["workercount"]
    for path in modules[first:] + modules[:first]:
        name = ".".join(path.relative_to(folder.parent).with_suffix("").parts)
        with suppress(Exception, pytest.skip.Exception):  # the collection imports it again, and reports why
            importlib.import_module(name)


@pytest.fixture(scope="session", autouse=True)
def home_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the state that a command writes by default out of the developer's home."""
    os.environ["HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def most_verbose_log() -> Iterator[None]:
    """Log all that the program can, where a test runs its parts without a command."""
    before = _log.level
    _log.setLevel(logging.DEBUG)
    yield
    _log.setLevel(before)


@pytest.fixture(params=["embedded", pytest.param("mosquitto", marks=[pytest.mark.slow, WITH_MOSQUITTO])])
def each_broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test on the embedded broker and, as a slow test, on Mosquitto."""
    monkeypatch.setattr(Broker, "is_mosquitto", request.param == "mosquitto")


@pytest.fixture
def broker(each_broker: None, tmp_path: Path) -> Iterator[Broker]:  # noqa: ARG001 - decides which one it is
    """Start a broker that lets everybody in."""
    with Broker(tmp_path) as found:
        yield found


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test at its end if there is a key in what pytest captured of it."""
    report = yield
    if report.when == "teardown":
        for section, text in report.sections:
            try:
                assert_no_key(text.encode("utf-8", "backslashreplace"), f"{section} of {item.name}")
            except AssertionError as error:
                report.outcome = "failed"
                report.longrepr = str(error)
    return report


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the slow tests that are left out, in the process that collects them."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        slow[0].config.stash[_LEFT_OUT] = len(slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the count over from a worker of pytest-xdist."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - of pytest-xdist, which has no types
    """Take the count over; every worker has the same."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many slow tests did not run, and how to run them."""
    if count := terminalreporter.config.stash.get(_LEFT_OUT, 0):
        terminalreporter.write_line(
            f"{count} slow tests were left out: they take real time, a real broker or much work; "
            "`pytest -m slow` runs them, and so does `.ci/run`"
        )
