"""The tables of the pool: how they are made, and whether they are there.

`smarty_reading` is what users read. Its primary key is what makes a frame count once, whichever workers read
it. The reading is the same text that the outputs get, in a column of type text: jsonb takes a quarter less
room but three times as long to write, and does not keep the text (`reading::jsonb` reads it as such).
A million rows take 1.7 GB: 1,640 bytes a row, 1,490 of them the JSON text of a meter of Luxembourg, 90 in
the primary key and 7 in the index by time (`python -m benchmarks.pool_database`).

`smarty_counter` has the highest counter of each meter and key, so taking a shard needs no look at the
readings, and these may be deleted. Half of each of its pages is left free: the same rows change all the time.
"""

from typing import Final

import psycopg
from psycopg.rows import TupleRow

from smarty_gateway.protocol.shards import SHARDS

#: Rises with each change of the tables.
VERSION: Final = 1
#: Of `pg_advisory_xact_lock`: one process at a time creates tables, and one deletes.
CREATING: Final = 0x536D6172_74790001
DELETING: Final = 0x536D6172_74790002

_STATEMENTS: Final = {
    "smarty_version": ("CREATE TABLE smarty_version (version int NOT NULL)",),
    "smarty_reading": (
        """CREATE TABLE smarty_reading (
            title bytea NOT NULL,
            fingerprint text NOT NULL,
            counter bigint NOT NULL,
            meter text NOT NULL,
            measured timestamptz,
            received timestamptz NOT NULL,
            stored timestamptz NOT NULL DEFAULT now(),
            security text NOT NULL,
            reading text,
            PRIMARY KEY (title, fingerprint, counter)
        )""",
        # By the clock of the database: that of an edge may be wrong. A BRIN index takes 2 bytes a row, not
        # 7, but once deleted rows have made room for new ones it no longer finds the oldest.
        "CREATE INDEX smarty_reading_stored ON smarty_reading (stored)",
    ),
    "smarty_counter": (
        """CREATE TABLE smarty_counter (
            title bytea NOT NULL,
            fingerprint text NOT NULL,
            shard smallint NOT NULL,
            highest bigint NOT NULL,
            PRIMARY KEY (title, fingerprint)
        ) WITH (fillfactor = 50)""",
        "CREATE INDEX smarty_counter_shard ON smarty_counter (shard)",
    ),
    "smarty_shard": (
        """CREATE TABLE smarty_shard (
            shard smallint PRIMARY KEY,
            epoch bigint NOT NULL DEFAULT 0,
            owner text,
            is_released boolean NOT NULL DEFAULT true,
            was_released boolean NOT NULL DEFAULT true
        )""",
        f"INSERT INTO smarty_shard (shard) SELECT generate_series(0, {SHARDS - 1})",
    ),
    "smarty_worker": (
        """CREATE TABLE smarty_worker (
            name text PRIMARY KEY,
            instance text NOT NULL,
            beat timestamptz NOT NULL
        )""",
    ),
}
TABLES: Final = tuple(_STATEMENTS)


def existing(connection: psycopg.Connection[TupleRow]) -> frozenset[str]:
    """Return which of the tables are there."""
    found = connection.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL", [list(TABLES)]
    )
    return frozenset(name for (name,) in found)


def version(connection: psycopg.Connection[TupleRow]) -> int | None:
    """Return the version of the tables; None if they were not created."""
    if connection.execute("SELECT to_regclass('smarty_version')").fetchall() == [(None,)]:
        return None
    found = connection.execute("SELECT max(version) FROM smarty_version").fetchone()
    return None if found is None else found[0]


def why_unusable(found: int | None) -> str | None:
    """Return why tables of this version cannot be used; None if they can."""
    if found == VERSION:
        return None
    if found is None:
        return "its tables are missing: type `smarty-gateway pool declare`"
    if found > VERSION:
        return (
            f"its tables have version {found}, which a newer smarty-gateway made; this one knows version "
            f"{VERSION}: install the newer one here, too"
        )
    return (
        f"its tables have version {found}, not {VERSION}: install the smarty-gateway that made them, or read "
        "in CHANGELOG.md how they are changed"
    )


def create(connection: psycopg.Connection[TupleRow]) -> list[str]:
    """Create the tables that are missing, and return their names."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [CREATING])
        missing = [table for table in TABLES if table not in existing(connection)]
        for table in missing:
            for statement in _STATEMENTS[table]:
                connection.execute(statement)
        if "smarty_version" in missing:
            connection.execute("INSERT INTO smarty_version VALUES (%s)", [VERSION])
    return missing
