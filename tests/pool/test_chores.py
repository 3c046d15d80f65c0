"""What one worker does for the whole pool."""

import logging
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig, ServerAddress
from smarty_gateway.pool import chores as module
from smarty_gateway.pool.chores import Chores
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.database.database import TIDY_ROWS, DatabaseAwayError
from smarty_gateway.pool.shared_fault import SharedFault
from tests.support.running import wait_until

LINE: Final = "old readings are not deleted: canceling statement"
NODE: Final = ServerAddress("127.0.0.1", 1, tls=False)
CONFIG: Final = PoolConfig((NODE,), DatabaseConfig("127.0.0.1"), Path("keys"))


class SlowDatabase:
    """Deletes a thousand readings in time, and no more."""

    def __init__(self, _: object) -> None:
        self.asked: list[int] = []
        self.left = 3 * TIDY_ROWS

    def tidy(self, rows: int) -> int:
        """Delete some."""
        self.asked.append(rows)
        if rows > 1000:
            raise DatabaseAwayError("canceling statement due to statement timeout")
        found = min(rows, self.left)
        self.left -= found
        return found

    def close(self) -> None:
        """End."""


def is_not_permitted(_: object) -> None:
    raise ManagementError("no administrator")


@pytest.mark.parametrize("is_away", [False, True])
def test_a_slow_disk_gets_smaller_steps_and_is_named_unless_the_database_is_away(
    is_away: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = SlowDatabase(None)
    monkeypatch.setattr(module, "Database", lambda _: database)
    monkeypatch.setattr(module, "rebalance_leaders", is_not_permitted)
    monkeypatch.setattr(module, "_EVERY", 0.001)
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    log = logging.getLogger(__name__)
    fault = SharedFault[object](log.error, log.info, "it works again")
    if is_away:
        fault.begin("another thread", "the database is away")
    chores = Chores(CONFIG, "a", lambda: ("a", "b"), fault)
    chores.start()
    wait_until(lambda: database.left == 0, "all old readings")
    chores.stop(5.0)
    assert chores.failure is None
    assert caplog.text.count(LINE) == (0 if is_away else 1)
