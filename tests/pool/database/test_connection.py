"""What the errors of a database say."""

import psycopg
import pytest

from smarty_gateway.config.pool_values import DatabaseConfig
from smarty_gateway.pool.database.database import Database, DatabaseAwayError


def test_a_server_that_recovers_is_named_by_its_message_and_not_by_the_detail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def connect(**_: object) -> None:
        # As libpq has it from a server that reads its journal; a real one says so for a moment only.
        raise psycopg.OperationalError(
            'connection failed: connection to server at "127.0.0.1", port 5432 failed: FATAL:  the database '
            "system is not yet accepting connections\n"
            "DETAIL:  Consistent recovery state has not been yet reached."
        )

    monkeypatch.setattr(psycopg, "connect", connect)
    with pytest.raises(DatabaseAwayError) as raised:
        Database(DatabaseConfig("127.0.0.1", 5432, "smarty", "smarty")).renew("a", {})
    assert str(raised.value) == (
        "the database smarty at 127.0.0.1:5432: the database system is not yet accepting connections; it is "
        "being stopped or started"
    )
