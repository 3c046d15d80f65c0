"""What a worker asks of the PostgreSQL database: rows written, shards taken, leases renewed.

Each of these is one statement, which commits by itself: one round trip, and no transaction stays open where
a worker stands still. Parameters travel in binary form, as text they would take eight times as long.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from smarty_gateway.config.pool_values import DatabaseConfig
from smarty_gateway.pool.database import tables
from smarty_gateway.pool.database.connection import Connection, DatabaseAwayError
from smarty_gateway.pool.database.database_check import findings
from smarty_gateway.pool.database.rows import Renewal, Row, TakenShard, Written
from smarty_gateway.pool.finding import Finding, Level
from smarty_gateway.protocol.replay_window import WINDOW

__all__ = ["Database", "DatabaseAwayError"]

#: Seconds without a beat after which a worker counts as gone, and after which another may have its name.
LIVE: Final = 10
_NAME_FREE: Final = 5
#: Rows that `tidy` deletes at a time; they take about 0.1 s.
TIDY_ROWS: Final = 5000
#: Rows that may be there although nobody knows; far more than a worker writes at a time.
_MOST_IN_DOUBT: Final = 100_000
#: Recognises the beats of this process.
_INSTANCE: Final = secrets.token_hex(8)

#: Keys come sorted and counters after the readings, so two workers never wait for each other. What was there
#: before has raised the counter before, so a repeat does not raise it again.
#: Nothing is joined: the server would compare each row with each, because it cannot know how many there are.
_WRITE: Final = """
WITH added AS (
    INSERT INTO smarty_reading (title, fingerprint, counter, meter, measured, received, security, reading)
    SELECT * FROM unnest(
        %b::bytea[], %b::text[], %b::bigint[], %b::text[], %b::timestamptz[], %b::timestamptz[], %b::text[],
        %b::text[]
    ) AS given (title, fingerprint, counter) ORDER BY title, fingerprint, counter
    ON CONFLICT DO NOTHING
    RETURNING title, fingerprint, counter
), raised AS (
    INSERT INTO smarty_counter AS known (title, fingerprint, highest, shard)
    SELECT * FROM unnest(%b::bytea[], %b::text[], %b::bigint[], %b::smallint[])
    AS given (title, fingerprint) ORDER BY title, fingerprint
    ON CONFLICT (title, fingerprint) DO UPDATE SET highest = EXCLUDED.highest
    WHERE known.highest < EXCLUDED.highest
    RETURNING title, fingerprint, highest
)
SELECT title, fingerprint, counter, false FROM added
UNION ALL SELECT title, fingerprint, highest, true FROM raised
"""
_ARE_NEWEST: Final = """
SELECT title, fingerprint, highest FROM smarty_counter
WHERE (title, fingerprint, highest) IN (SELECT * FROM unnest(%b::bytea[], %b::text[], %b::bigint[]))
"""
_TAKE: Final = """
UPDATE smarty_shard SET epoch = epoch + 1, owner = %s, was_released = is_released, is_released = false
WHERE shard = %s RETURNING epoch, was_released
"""
_COUNTERS: Final = "SELECT title, fingerprint, highest FROM smarty_counter WHERE shard = %s"
_RELEASE: Final = "UPDATE smarty_shard SET is_released = true WHERE shard = %s AND epoch = %s"
_RENEW: Final = f"""
WITH beaten AS (
    INSERT INTO smarty_worker AS known (name, instance, beat)
    VALUES (%(worker)s, %(instance)s, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET instance = EXCLUDED.instance, beat = EXCLUDED.beat
    WHERE known.instance = EXCLUDED.instance OR known.beat < EXCLUDED.beat - interval '{_NAME_FREE} s'
    RETURNING name
), held AS (
    SELECT shard FROM smarty_shard
    JOIN unnest(%(shards)s::smallint[], %(epochs)s::bigint[]) AS asked (shard, epoch) USING (shard, epoch)
), live AS (
    SELECT name FROM smarty_worker WHERE beat > clock_timestamp() - interval '{LIVE} s'
)
SELECT ARRAY (TABLE held), ARRAY (TABLE live), EXISTS (TABLE beaten)
"""  # noqa: S608 - of two numbers above
_LEAVE: Final = "DELETE FROM smarty_worker WHERE name = %s AND instance = %s"
_FORGET_WORKERS: Final = "DELETE FROM smarty_worker WHERE beat < clock_timestamp() - interval '1 day'"
#: A row within the replay window keeps its place, without the reading: it is what refuses a repeat. Twice the
#: window, because a worker that has just taken a shard may not yet know the highest counter.
_TIDY: Final = f"""
WITH turn AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock(%(lock)s) AS is_ours
), old AS MATERIALIZED (
    SELECT title, fingerprint, counter, COALESCE(highest - counter >= {2 * WINDOW}, true) AS may_go
    FROM smarty_reading LEFT JOIN smarty_counter USING (title, fingerprint)
    WHERE (SELECT is_ours FROM turn) AND stored < now() - make_interval(days => %(days)s)
    ORDER BY stored LIMIT %(rows)s
), emptied AS (
    UPDATE smarty_reading AS row SET reading = NULL, stored = now() FROM old
    WHERE NOT may_go
    AND row.title = old.title AND row.fingerprint = old.fingerprint AND row.counter = old.counter
), deleted AS (
    DELETE FROM smarty_reading AS row USING old
    WHERE may_go
    AND row.title = old.title AND row.fingerprint = old.fingerprint AND row.counter = old.counter
)
SELECT count(*) FROM old
"""  # noqa: S608 - of a number of the core

_Key = tuple[bytes, str, int]


class Database:
    """A connection, made at the first call and again after each failure; for one thread.

    Every method raises DatabaseAwayError, after less than 10 s, when the database cannot be used. What it was
    to do is then to be repeated; it may have been done.

    Args:
        config: where the database is.
        instance: recognises this process among those that beat under the same name.
    """

    def __init__(self, config: DatabaseConfig, instance: str = _INSTANCE) -> None:
        self._connection = Connection(config)
        self._keep_days = config.keep_days
        self._instance = instance
        self._in_doubt: set[_Key] = set()

    def create_tables(self) -> list[str]:
        """Create the tables that are missing, and return their names."""
        with self._connection.use(checked=False) as connection:
            if tables.version(connection) is not None:
                self._connection.require_tables(connection)
            return tables.create(connection)

    def check(self) -> Iterator[Finding]:
        """Yield what is wrong or dangerous, and some figures; nothing is changed."""
        try:
            with self._connection.use(checked=False) as connection:
                found = list(findings(connection, self._keep_days))
        except DatabaseAwayError as error:
            found = [Finding(Level.FAULT, str(error))]
        yield from found

    def take_shard(self, shard: int, worker: str) -> TakenShard:
        """Become the owner of a shard, and return what is known of it."""
        with self._connection.use() as connection:
            ((epoch, was_released),) = connection.execute(_TAKE, [worker, shard])
            counters = connection.execute(_COUNTERS, [shard], binary=True)
            known = {(title, fingerprint): highest for title, fingerprint, highest in counters}
            return TakenShard(shard, epoch, was_released, known)

    def release_shard(self, shard: int, epoch: int) -> None:
        """Promise to publish nothing more of a shard; nothing happens if another worker has taken it."""
        with self._connection.use() as connection:
            connection.execute(_RELEASE, [shard, epoch])

    def renew(self, worker: str, held: Mapping[int, int]) -> Renewal:
        """Beat, and return which shards are still held and who else beats, by the clock of the database.

        Args:
            worker: the name of this one.
            held: the epoch of each shard.
        """
        asked = {
            "worker": worker,
            "instance": self._instance,
            "shards": list(held.keys()),
            "epochs": list(held.values()),
        }
        with self._connection.use() as connection:
            ((still_held, names, owns_name),) = connection.execute(_RENEW, asked)
        # Its own first beat is not yet seen by the statement that writes it.
        workers = {*names, worker} if owns_name else set(names)
        return Renewal(frozenset(still_held), tuple(sorted(workers)), owns_name)

    def leave(self, worker: str) -> None:
        """Stop being one of the live workers, at once rather than when the last beat is too old."""
        with self._connection.use() as connection:
            connection.execute(_LEAVE, [worker, self._instance])

    def write(self, rows: Sequence[Row]) -> list[Written]:
        """Write rows in one transaction, and return what became of each, in the same order.

        Where the connection is lost, nobody knows whether the rows are there. When the same rows are written
        again by this object, those are new, too: their results go out at least once. Where this process ends
        in between, they are in the database, and their results are lost; the next frame of the meter brings
        its `state`.
        """
        if not rows:
            return []
        given: dict[_Key, Row] = {}
        for row in rows:
            given.setdefault((row.title, row.fingerprint, row.counter), row)
        try:
            with self._connection.use() as connection:
                new, newest = self._write(connection, given)
        except DatabaseAwayError as error:
            if error.may_be_done and len(self._in_doubt) < _MOST_IN_DOUBT:
                self._in_doubt.update(given)
            raise
        self._in_doubt.difference_update(given)
        written = []
        for row in rows:
            key = (row.title, row.fingerprint, row.counter)
            written.append(Written(is_new=key in new, is_newest=key in new and key in newest))
            new.discard(key)  # the same row a second time is a repeat
        return written

    def _write(
        self, connection: psycopg.Connection[TupleRow], given: Mapping[_Key, Row]
    ) -> tuple[set[_Key], set[_Key]]:
        """Write rows, and return which are new, and which have raised the counter of their meter."""
        highest: dict[tuple[bytes, str], tuple[int, int]] = {}
        for title, fingerprint, counter in sorted(key for key, row in given.items() if row.may_be_newest):
            highest[title, fingerprint] = counter, given[title, fingerprint, counter].shard
        columns = _columns(
            (*key, row.meter, row.measured, row.received, row.security, row.reading.decode())
            for key, row in given.items()
        )
        columns += _columns((*key, *known) for key, known in highest.items()) or [[]] * 4
        new: set[_Key] = set()
        newest: set[_Key] = set()
        for *key, is_raised in connection.execute(_WRITE, columns, binary=True):
            (newest if is_raised else new).add(tuple(key))
        if doubtful := self._in_doubt.intersection(given) - new:
            new |= doubtful
            newest.update(connection.execute(_ARE_NEWEST, _columns(doubtful), binary=True))
        return new, newest

    def tidy(self, rows: int = TIDY_ROWS) -> int:
        """Delete some of the readings that are older than `keep_days`, and workers that are gone for a day.

        One worker at a time does it.

        Args:
            rows: how many readings at most.

        Returns:
            how many readings; fewer than `rows` when no more are left for now.
        """
        with self._connection.use() as connection:
            connection.execute(_FORGET_WORKERS)
            if self._keep_days is None:
                return 0
            asked = {"lock": tables.DELETING, "days": self._keep_days, "rows": rows}
            ((count,),) = connection.execute(_TIDY, asked)
            return int(count)

    def close(self) -> None:
        """End the connection; the next call makes another."""
        self._connection.close()


def _columns(rows: Iterable[Sequence[object]]) -> list[list[object]]:
    """Return the columns of a table, as arrays that PostgreSQL puts together again."""
    return [list(column) for column in zip(*rows, strict=True)]
