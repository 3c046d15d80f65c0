"""Why there is no history to show: each reason has its sentence, its status, and what to do."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.config.values import HttpConfig, Outputs
from smarty_gateway.outputs.output import GatewayHealth, Health
from tests.support.site import Site, damage, write_days
from tests.support.views import config_of

State = Callable[[Path], AbstractContextManager[Site]]

CONFIG: Final = config_of("house")


@contextmanager
def switched_off(folder: Path) -> Iterator[Site]:
    yield Site(folder, replace(CONFIG, history=False))


@contextmanager
def not_yet(folder: Path) -> Iterator[Site]:
    yield Site(folder, CONFIG)


@contextmanager
def locked(folder: Path) -> Iterator[Site]:
    write_days(folder)
    with closing(sqlite3.connect(folder / "history.sqlite3", isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE mine (number)")
        yield Site(folder, CONFIG)


@contextmanager
def damaged(folder: Path) -> Iterator[Site]:
    write_days(folder)
    damage(folder)
    yield Site(folder, CONFIG)


@contextmanager
def of_a_newer_version(folder: Path) -> Iterator[Site]:
    write_days(folder)
    with closing(sqlite3.connect(folder / "history.sqlite3")) as file:
        file.execute("ALTER TABLE quarters ADD COLUMN more")
        file.execute("PRAGMA user_version=99")
    yield Site(folder, CONFIG)


#: What happened, a part of the sentence of the page, and the answer of the API.
CASES: Final = [
    (switched_off, "This gateway keeps no history.", 404, "keeps no history"),
    (not_yet, "There is no history yet.", 404, "no history yet"),
    (locked, "another program has locked its file", 503, "another program has locked"),
    (damaged, "its file is damaged, or cannot be opened", 503, "`smarty-gateway history` says why"),
    (
        of_a_newer_version,
        "its file is damaged, or cannot be opened",
        503,
        "`smarty-gateway history` says why",
    ),
]


@pytest.mark.parametrize(("state", "text", "status", "error"), CASES)
def test_pages_and_api_say_why_there_is_no_history(
    state: State, text: str, status: int, error: str, tmp_path: Path
) -> None:
    with state(tmp_path) as site:
        assert text in site.ask("/meters/house/day").text
        answer = site.ask("/api/v1/meters/house/history")
    assert answer.status == status
    assert error in answer.json["error"]


@pytest.mark.parametrize("token", ["", "a token"])
def test_only_the_app_of_home_assistant_leads_to_its_tabs(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("SUPERVISOR_TOKEN", token)
    site = Site(None, replace(CONFIG, outputs=Outputs(http=HttpConfig())))
    text = site.ask("/meters/house/day").text
    assert ("tabs Configuration and Log" in text) is bool(token)
    assert ("smarty-gateway history import" in text) is not bool(token)


@pytest.mark.parametrize("state", [switched_off, not_yet])
def test_no_history_is_no_fault(state: State, tmp_path: Path) -> None:
    with state(tmp_path) as site:
        site.live.report({"house": Health(is_connected=True)}, GatewayHealth(counters_kept=True, outputs={}))
        assert "Everything works." in site.ask("/health").text


@pytest.mark.parametrize(("state", "text"), [(case[0], case[1]) for case in CASES[2:]])
def test_a_history_that_cannot_be_read_is_a_fault_on_the_view_of_all_meters(
    state: State, text: str, tmp_path: Path
) -> None:
    with state(tmp_path) as site:
        assert text in site.ask("/health").text


def test_a_locked_history_delays_no_value_of_the_present(tmp_path: Path) -> None:
    with locked(tmp_path) as site:
        site.send()
        began = time.monotonic()
        assert site.ask("/meters/house/live").status == 200
        assert time.monotonic() - began < 5  # SQLite itself would wait for ten
