"""What `pool check` finds out about the database."""

import time
from collections.abc import Iterator
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from smarty_gateway.pool.database import tables
from smarty_gateway.pool.finding import Finding, Level

#: The oldest that the PostgreSQL project still maintains with this program's statements.
_LEAST_VERSION: Final = 130_000
#: Seconds between two clocks.
_CLOCKS: Final = 5.0
#: Of each table, what a worker does with it.
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


def findings(connection: psycopg.Connection[TupleRow], keep_days: int | None) -> Iterator[Finding]:
    """Yield what is wrong or dangerous, and some figures; nothing is changed."""
    yield from _server(connection)
    yield from _clock(connection)
    yield from _durability(connection)
    found = tables.version(connection)
    if (why := tables.why_unusable(found)) is not None:
        yield Finding(Level.FAULT, f"the database: {why}")
        return
    missing = [table for table in tables.TABLES if table not in tables.existing(connection)]
    if missing:
        yield _fault(f"has no table {', '.join(missing)}: type `smarty-gateway pool declare`")
        return
    yield from _rights(connection)
    yield from _size(connection, keep_days)


def _server(connection: psycopg.Connection[TupleRow]) -> Iterator[Finding]:
    version = connection.info.server_version
    name = f"PostgreSQL {version // 10_000}.{version % 10_000}"
    if version < _LEAST_VERSION:
        yield _fault(f"is {name}: install {_LEAST_VERSION // 10_000} or newer")
    else:
        yield Finding(Level.GOOD, f"the database is {name}")
    if (encoding := _setting(connection, "server_encoding")) != "UTF8":
        yield _fault(f"has the encoding {encoding}: create it again with `createdb --encoding=UTF8`")
    if _setting(connection, "transaction_read_only") == "on":
        yield _fault("is read-only, as a standby is: name the primary server in the url")


def _clock(connection: psycopg.Connection[TupleRow]) -> Iterator[Finding]:
    before = time.time()
    (there,) = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchall()[0]
    ahead = there - (before + time.time()) / 2
    if abs(ahead) > _CLOCKS:
        which = "ahead of" if ahead > 0 else "behind"
        yield _warning(f"has a clock that is {abs(ahead):.0f} s {which} this machine's: set both by NTP")


def _durability(connection: psycopg.Connection[TupleRow]) -> Iterator[Finding]:
    for name in ("fsync", "full_page_writes"):
        if _setting(connection, name) == "off":
            yield _fault(f"runs with {name} = off, so a power failure loses readings: set it to on")
    if _setting(connection, "autovacuum") == "off":
        yield _warning("runs with autovacuum = off, so its tables grow without need: set it to on")
    if not _setting(connection, "synchronous_standby_names"):
        yield Finding(
            Level.GOOD,
            "the database has no synchronous standby, so its disk is the only one with the newest readings",
        )


def _rights(connection: psycopg.Connection[TupleRow]) -> Iterator[Finding]:
    rows = connection.execute(
        "SELECT name, privilege FROM unnest(%s::text[]) AS name, unnest(%s::text[]) AS privilege "
        "WHERE NOT has_table_privilege(name, privilege)",
        [[table for table in tables.TABLES if table != "smarty_version"], list(_RIGHTS)],
    )
    for table, privilege in rows:
        user = connection.info.user
        yield _fault(
            f"refuses {privilege} on {table} to {user}: type `GRANT {privilege} ON {table} TO {user}` in psql"
        )


def _size(connection: psycopg.Connection[TupleRow], keep_days: int | None) -> Iterator[Finding]:
    (size, rows) = connection.execute(
        "SELECT pg_total_relation_size(oid), greatest(reltuples, 0)::bigint FROM pg_class "
        "WHERE oid = 'smarty_reading'::regclass"
    ).fetchall()[0]
    kept = "are never deleted (keep_days)" if keep_days is None else f"are kept for {keep_days} days"
    yield Finding(
        Level.GOOD, f"the database holds about {rows:,} readings in {size / 1e9:.1f} GB, which {kept}"
    )


def _setting(connection: psycopg.Connection[TupleRow], name: str) -> str:
    (value,) = connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0]
    return str(value)


def _fault(text: str) -> Finding:
    return Finding(Level.FAULT, f"the database {text}")


def _warning(text: str) -> Finding:
    return Finding(Level.WARNING, f"the database {text}")
