"""The pool's database on a real PostgreSQL server."""

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import LiteralString

import psycopg
import pytest
from psycopg.rows import TupleRow

from smarty_gateway.config.pool_values import DatabaseConfig
from smarty_gateway.pool.database import tables
from smarty_gateway.pool.database.connection import ANSWER, CONNECT
from smarty_gateway.pool.database.database import Database, DatabaseAwayError
from smarty_gateway.pool.database.rows import PLAINTEXT, Row, Written
from smarty_gateway.pool.finding import Level
from smarty_gateway.protocol.replay_window import WINDOW
from tests.support.brokers import Authority
from tests.support.pools import drop_tables
from tests.support.postgresql import PostgresServer
from tests.support.running import wait_until

pytestmark = pytest.mark.slow

TITLE = b"SAGw\x00\x00\x00\x01"
OTHER = b"SAGw\x00\x00\x00\x02"
FINGERPRINT = "0123456789abcdef"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
REPEATED = Written(is_new=False, is_newest=False)
NEWEST = Written(is_new=True, is_newest=True)
OLDER = Written(is_new=True, is_newest=False)


@pytest.fixture
def config(database_server: PostgresServer) -> Iterator[DatabaseConfig]:
    """A database without tables, before and afterwards."""
    drop_tables(database_server)
    yield config_of(database_server)
    drop_tables(database_server)


def config_of(server: PostgresServer) -> DatabaseConfig:
    return DatabaseConfig("127.0.0.1", server.port, "smarty", "smarty", server.password_file, keep_days=2)


@pytest.fixture
def open_database(config: DatabaseConfig) -> Iterator[Callable[..., Database]]:
    """Makes connections, of which each stands for a worker."""
    opened: list[Database] = []

    def open_another(instance: str = "here") -> Database:
        opened.append(Database(config, instance))
        return opened[-1]

    open_another().create_tables()
    yield open_another
    for database in opened:
        database.close()


@pytest.fixture
def database(open_database: Callable[..., Database]) -> Database:
    """A database with tables."""
    return open_database()


def row(
    counter: int, title: bytes = TITLE, fingerprint: str = FINGERPRINT, *, may_be_newest: bool = True
) -> Row:
    reading = b'{"meter":"a","frame_counter":%d,"unit":"m\xc2\xb3"}' % counter
    return Row(
        title, fingerprint, counter, 3, "a", None, NOW, "authenticated", reading, may_be_newest=may_be_newest
    )


def connect(found: DatabaseConfig) -> psycopg.Connection[TupleRow]:
    assert found.password_file is not None
    return psycopg.connect(
        host=found.host, port=found.port, user=found.user, dbname=found.name,
        password=found.password_file.read_text("utf-8"),
    )  # fmt: skip


def ask(found: DatabaseConfig, sql: LiteralString) -> list[tuple[object, ...]]:
    with connect(found) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


# Tables


def test_tables_are_created_once(config: DatabaseConfig) -> None:
    database = Database(config)
    assert set(database.create_tables()) == set(tables.TABLES)
    assert database.create_tables() == []
    database.close()


def test_without_tables_a_worker_is_told_what_to_type(config: DatabaseConfig) -> None:
    with pytest.raises(DatabaseAwayError, match="its tables are missing: type `smarty-gateway pool declare`"):
        Database(config).renew("a", {})


@pytest.mark.parametrize("call", ["create_tables", "tidy"])
def test_tables_of_a_newer_version_are_left_alone(
    config: DatabaseConfig, database: Database, call: str
) -> None:
    ask(config, "UPDATE smarty_version SET version = 2")
    database.close()
    with pytest.raises(DatabaseAwayError, match="version 2, which a newer smarty-gateway made"):
        getattr(database, call)()


# Rows


def test_a_row_is_there_as_it_was_given(config: DatabaseConfig, database: Database) -> None:
    given = dataclasses.replace(row(5), measured=NOW - timedelta(seconds=9))
    assert database.write([given]) == [NEWEST]
    assert ask(
        config,
        "SELECT title, fingerprint, counter, meter, measured, received, security, reading "
        "FROM smarty_reading",
    ) == [(TITLE, FINGERPRINT, 5, "a", given.measured, NOW, "authenticated", given.reading.decode())]


def test_no_rows_are_written_without_the_database(config: DatabaseConfig) -> None:
    assert Database(config).write([]) == []


def test_only_the_highest_counter_of_a_batch_is_the_newest(database: Database) -> None:
    rows = [row(5), row(7), row(9, OTHER), row(6)]
    assert database.write(rows) == [OLDER, NEWEST, NEWEST, OLDER]


def test_a_row_that_is_twice_in_a_batch_counts_once(database: Database) -> None:
    assert database.write([row(5), row(5)]) == [NEWEST, REPEATED]


def test_a_row_that_was_there_is_neither_new_nor_the_newest(database: Database) -> None:
    database.write([row(5), row(6)])
    assert database.write([row(6), row(5)]) == [REPEATED, REPEATED]


def test_an_older_row_than_another_worker_has_written_is_new_but_not_the_newest(
    open_database: Callable[..., Database],
) -> None:
    one, other = open_database(), open_database()
    one.write([row(8)])
    assert other.write([row(6), row(7)]) == [OLDER, OLDER]


def test_the_same_counter_under_another_key_is_another_row(database: Database) -> None:
    assert database.write([row(5), row(5, fingerprint="other")]) == [NEWEST, NEWEST]


def test_a_plaintext_row_from_the_future_does_not_keep_others_from_being_the_newest(
    database: Database,
) -> None:
    ahead = row(9_000_000_000_000, b"1SAG11", PLAINTEXT, may_be_newest=False)
    assert database.write([ahead]) == [OLDER]
    assert database.write([row(1_700_000_000_000, b"1SAG11", PLAINTEXT)]) == [NEWEST]


def test_two_writers_with_the_same_rows_in_another_order_do_not_wait_for_each_other_for_ever(
    config: DatabaseConfig, open_database: Callable[..., Database]
) -> None:
    rows = [row(counter, title) for counter in range(100) for title in (TITLE, OTHER)]
    orders = [rows, rows[::-1], rows[1::2] + rows[::2]]
    written: list[list[Written]] = [[] for _ in orders]

    def write(number: int) -> None:
        database, order = open_database(), orders[number]
        for start in range(0, len(order), 20):
            written[number] += database.write(order[start : start + 20])
            written[number] += database.write(order[start : start + 20])

    threads = [threading.Thread(target=write, args=[number]) for number in range(len(orders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(one.is_new for each in written for one in each) == len(rows)
    assert ask(config, "SELECT count(*) FROM smarty_reading") == [(len(rows),)]
    assert ask(config, "SELECT DISTINCT highest FROM smarty_counter") == [(99,)]


def test_old_readings_are_deleted_except_what_refuses_a_repeat(
    config: DatabaseConfig, database: Database
) -> None:
    rows = [row(1), row(10, OTHER), row(1 + 2 * WINDOW)]
    database.write(rows)
    ask(config, "UPDATE smarty_reading SET stored = now() - interval '3 days' WHERE counter < 2000")
    assert database.tidy() == 2
    assert database.tidy() == 0
    assert ask(config, "SELECT title, counter, reading IS NULL FROM smarty_reading ORDER BY title") == [
        (TITLE, 1 + 2 * WINDOW, False),
        (OTHER, 10, True),
    ]
    assert database.write(rows[1:]) == [REPEATED, REPEATED]


def test_one_worker_at_a_time_deletes(config: DatabaseConfig, database: Database) -> None:
    database.write([row(1), row(1 + 2 * WINDOW)])
    ask(config, "UPDATE smarty_reading SET stored = now() - interval '3 days' WHERE counter = 1")
    with connect(config) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [tables.DELETING])
        assert database.tidy() == 0
    assert database.tidy() == 1


def test_without_keep_days_nothing_is_deleted(config: DatabaseConfig, database: Database) -> None:
    database.write([row(1), row(1 + 2 * WINDOW)])
    ask(config, "UPDATE smarty_reading SET stored = now() - interval '30 years'")
    keeping = Database(dataclasses.replace(config, keep_days=None))
    assert keeping.tidy() == 0
    keeping.close()
    assert ask(config, "SELECT count(*) FROM smarty_reading") == [(2,)]


# Shards and workers


def test_who_takes_a_shard_gets_the_highest_counters_of_its_meters(database: Database) -> None:
    database.write([row(5), row(6), dataclasses.replace(row(9, OTHER), shard=4)])
    taken = database.take_shard(3, "a")
    assert (taken.shard, taken.epoch, taken.counters) == (3, 1, {(TITLE, FINGERPRINT): 6})


def test_the_first_owner_of_a_shard_need_not_wait(database: Database) -> None:
    assert database.take_shard(3, "a").was_released


def test_who_takes_a_shard_learns_whether_its_owner_has_released_it(database: Database) -> None:
    first = database.take_shard(3, "a")
    second = database.take_shard(3, "b")
    assert (second.epoch, second.was_released) == (2, False)
    database.release_shard(3, first.epoch)
    assert not database.take_shard(3, "c").was_released
    database.release_shard(3, 3)
    assert database.take_shard(3, "a").was_released


def test_a_renewal_tells_which_shards_nobody_else_has_taken(database: Database) -> None:
    held = {shard: database.take_shard(shard, "a").epoch for shard in (1, 2, 3)}
    database.take_shard(2, "b")
    assert database.renew("a", held).still_held == {1, 3}


def test_live_workers_are_those_that_beat(
    config: DatabaseConfig, open_database: Callable[..., Database]
) -> None:
    for name in ("c", "a", "b"):
        open_database(name).renew(name, {})
    assert open_database("a").renew("a", {}).workers == ("a", "b", "c")
    ask(config, "UPDATE smarty_worker SET beat = beat - interval '11 s' WHERE name = 'c'")
    open_database("b").leave("b")
    assert open_database("a").renew("a", {}).workers == ("a",)


def test_two_workers_with_the_same_name_are_noticed(open_database: Callable[..., Database]) -> None:
    assert open_database("one").renew("a", {}).owns_name
    renewal = open_database("another").renew("a", {})
    assert (renewal.owns_name, renewal.workers) == (False, ("a",))


def test_a_worker_that_was_killed_has_its_name_back_after_a_moment(
    config: DatabaseConfig, open_database: Callable[..., Database]
) -> None:
    open_database("before").renew("a", {})
    ask(config, "UPDATE smarty_worker SET beat = beat - interval '6 s'")
    assert open_database("after").renew("a", {}).owns_name


def test_a_worker_that_is_gone_for_a_day_is_forgotten(config: DatabaseConfig, database: Database) -> None:
    database.renew("a", {})
    ask(config, "UPDATE smarty_worker SET beat = beat - interval '25 h'")
    database.tidy()
    assert ask(config, "SELECT count(*) FROM smarty_worker") == [(0,)]


# What goes wrong


@pytest.fixture
def away(config: DatabaseConfig) -> Callable[..., str]:
    """Return the error with a changed configuration."""

    def error_with(**changes: object) -> str:
        with pytest.raises(DatabaseAwayError) as raised:
            Database(dataclasses.replace(config, **changes)).renew("a", {})  # type: ignore[arg-type]
        return str(raised.value)

    return error_with


def test_a_wrong_password_is_named_and_not_shown(away: Callable[..., str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.password"
    wrong.write_text("ex-parrot", "utf-8")
    wrong.chmod(0o600)
    error = away(password_file=wrong)
    assert "password authentication failed" in error
    assert "correct the password in password_file" in error
    assert "ex-parrot" not in error


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"password_file": None}, "write the password into a file and name that as password_file"),
        ({"password_file": Path("/nonexistent")}, "the password_file cannot be read"),
        ({"name": "nope"}, "type `createdb --owner=smarty nope`"),
        ({"port": 1}, "Connection refused; does it run"),
        ({"host": "nope.invalid"}, "correct the host in the url"),
        # No address, so a name: a server beyond this machine, as far as anybody knows.
        ({"host": "127.1"}, "beyond this machine the connection is encrypted"),
    ],
)
def test_what_is_wrong_comes_with_what_to_do(
    away: Callable[..., str], changes: dict[str, object], expected: str
) -> None:
    error = away(**changes)
    assert expected in error
    assert "\n" not in error


@pytest.fixture
def guest(config: DatabaseConfig, database: Database, tmp_path: Path) -> Iterator[Database]:  # noqa: ARG001 - it has tables
    """A connection as a user who may only read."""
    password = tmp_path / "guest.password"
    password.write_text("guest", "utf-8")
    password.chmod(0o600)
    ask(config, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
    ask(config, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO guest")
    guest = Database(dataclasses.replace(config, user="guest", password_file=password))
    yield guest
    guest.close()
    ask(config, "DROP OWNED BY guest; DROP ROLE guest")


def faults_of(database: Database) -> list[str]:
    return [finding.text for finding in database.check() if finding.level is Level.FAULT]


def test_missing_rights_are_named(guest: Database) -> None:
    with pytest.raises(DatabaseAwayError, match=r"permission denied for table .*pool check"):
        guest.write([row(1)])
    assert "type `GRANT INSERT ON smarty_reading TO guest` in psql" in faults_of(guest)[0]


def test_a_read_only_server_is_named(config: DatabaseConfig, guest: Database) -> None:
    ask(config, "GRANT ALL ON ALL TABLES IN SCHEMA public TO guest")
    ask(config, "ALTER ROLE guest SET default_transaction_read_only = on")
    with pytest.raises(DatabaseAwayError, match="name the primary server in the url"):
        guest.write([row(1)])
    assert "is read-only" in faults_of(guest)[0]


@pytest.fixture
def authority(database_server: PostgresServer, tmp_path: Path) -> Iterator[Authority]:
    """The CA that has signed the server's certificate, which is for the host 127.1."""
    authority = Authority(tmp_path)
    files = authority.issue("server", host="127.1", address="127.0.0.9")
    with tempfile.TemporaryDirectory() as folder:
        for path in (files.certificate, files.key, Path(folder)):
            path = Path(shutil.move(path, folder)) if path.is_file() else path  # noqa: PLW2901 - its new place
            if os.geteuid() == 0:
                shutil.chown(path, "nobody")
        for name, value in (("cert_file", "server.crt"), ("key_file", "server.key")):
            database_server.run_sql(f"ALTER SYSTEM SET ssl_{name} = '{folder}/{value}'")
        database_server.run_sql("ALTER SYSTEM SET ssl = on")
        database_server.run_sql("SELECT pg_reload_conf()")
        wait_until(lambda: ask(config_of(database_server), "SHOW ssl") == [("on",)], "TLS")
        yield authority
        database_server.run_sql("ALTER SYSTEM RESET ALL")
        database_server.run_sql("SELECT pg_reload_conf()")
        wait_until(lambda: ask(config_of(database_server), "SHOW ssl") == [("off",)], "no TLS")


def test_beyond_this_machine_a_server_must_prove_that_it_is_the_one_in_the_url(
    config: DatabaseConfig, away: Callable[..., str], authority: Authority, tmp_path: Path
) -> None:
    database = Database(dataclasses.replace(config, host="127.1", ca_file=authority.file))
    assert database.create_tables()
    database.close()
    other = Authority(tmp_path, "other").file
    assert "does not match host name" in away(host="127.0.1", ca_file=authority.file)
    assert "name the certificate of the CA that signed" in away(host="127.1", ca_file=other)
    assert "name the certificate of the CA that signed" in away(host="127.1")


def test_no_error_repeats_the_values_of_a_row(config: DatabaseConfig, database: Database) -> None:
    ask(config, "ALTER TABLE smarty_reading ADD CHECK (counter < 4)")
    with pytest.raises(DatabaseAwayError) as raised:
        database.write([dataclasses.replace(row(4), reading=b'{"energy_import":4711}')])
    assert "violates check constraint" in str(raised.value)
    assert "4711" not in str(raised.value)


def test_a_server_that_was_killed_is_used_again_and_has_what_it_acknowledged(
    database_server: PostgresServer, database: Database
) -> None:
    assert database.write([row(1)]) == [NEWEST]
    database_server.kill()
    with pytest.raises(DatabaseAwayError, match="the database smarty at"):
        database.write([row(2)])
    with pytest.raises(DatabaseAwayError, match="does it run"):
        database.write([row(2)])
    database_server.start()
    assert database.write([row(1), row(2)]) == [REPEATED, NEWEST]


def test_rows_of_which_nobody_knows_whether_they_were_written_are_new_when_they_are_written_again(
    config: DatabaseConfig, open_database: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    database = open_database()
    database.write([row(1)])
    ask(
        config,
        "CREATE OR REPLACE FUNCTION pause() RETURNS trigger LANGUAGE plpgsql "
        "AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'; "
        "CREATE CONSTRAINT TRIGGER pause AFTER INSERT ON smarty_reading "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.counter = 3) EXECUTE FUNCTION pause()",
    )
    monkeypatch.setattr("smarty_gateway.pool.database.connection.ANSWER", 0.1)
    with pytest.raises(DatabaseAwayError):
        database.write([row(2), row(3)])
    monkeypatch.undo()
    wait_until(lambda: ask(config, "SELECT count(*) FROM smarty_reading") == [(3,)], "the commit")
    assert open_database().write([row(3)]) == [REPEATED]
    assert database.write([row(1), row(2), row(3)]) == [REPEATED, OLDER, NEWEST]
    assert database.write([row(2), row(3)]) == [REPEATED, REPEATED]


def test_a_server_that_stands_still_is_given_up(
    database_server: PostgresServer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CONNECT + ANSWER < 10
    monkeypatch.setattr("smarty_gateway.pool.database.connection.ANSWER", 0.2)
    database.renew("a", {})
    database_server.freeze()
    try:
        with pytest.raises(DatabaseAwayError, match="the database smarty at"):
            database.write([row(1)])
    finally:
        database_server.wake()


def test_a_frozen_writer_that_wakes_writes_no_row_twice_and_is_not_the_newest(
    config: DatabaseConfig, database: Database
) -> None:
    code = (
        "import sys, pickle; from smarty_gateway.pool.database.database import Database; "
        "config, rows = pickle.load(sys.stdin.buffer); database = Database(config); "
        "database.renew('frozen', {}); print('ready', flush=True); sys.stdin.buffer.read(); "
        "print([(one.is_new, one.is_newest) for one in database.write(rows)])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        pickle.dump((config, [row(1), row(2)]), writer.stdin)
        writer.stdin.flush()
        assert writer.stdout.readline() == b"ready\n"
        os.kill(writer.pid, signal.SIGSTOP)
        writer.stdin.close()
        assert database.write([row(2), row(3)]) == [OLDER, NEWEST]
        os.kill(writer.pid, signal.SIGCONT)
        assert writer.stdout.read() == b"[(True, False), (False, False)]\n"
    assert ask(config, "SELECT count(*) FROM smarty_reading") == [(3,)]


# What pool check says


def test_a_sound_database_has_no_faults(database: Database) -> None:
    database.write([row(1)])
    findings = list(database.check())
    assert {finding.level for finding in findings} == {Level.GOOD}
    assert any("readings in 0.0 GB, which are kept for 2 days" in finding.text for finding in findings)


def test_a_database_that_cannot_be_reached_is_a_fault(config: DatabaseConfig) -> None:
    (fault,) = faults_of(Database(dataclasses.replace(config, port=1)))
    assert "Connection refused" in fault


def test_a_table_that_is_missing_is_a_fault(config: DatabaseConfig, database: Database) -> None:
    ask(config, "DROP TABLE smarty_worker")
    assert faults_of(database) == [
        "the database has no table smarty_worker: type `smarty-gateway pool declare`"
    ]
    assert database.create_tables() == ["smarty_worker"]


def test_a_server_that_may_lose_what_it_acknowledged_is_a_fault(
    config: DatabaseConfig, database_server: PostgresServer, database: Database
) -> None:
    database_server.run_sql("ALTER SYSTEM SET fsync = off")
    try:
        ask(config, "SELECT pg_reload_conf()")
        wait_until(lambda: faults_of(database), "a fault")
        assert "fsync = off, so a power failure loses readings" in faults_of(database)[0]
    finally:
        database_server.run_sql("ALTER SYSTEM RESET ALL")
        ask(config, "SELECT pg_reload_conf()")


@pytest.mark.parametrize(("seconds", "which"), [(-9, "ahead of"), (9, "behind")])
def test_a_clock_that_differs_is_a_warning(
    database: Database, monkeypatch: pytest.MonkeyPatch, seconds: int, which: str
) -> None:
    here = time.time() + seconds
    monkeypatch.setattr(
        "smarty_gateway.pool.database.database_check.time", SimpleNamespace(time=lambda: here)
    )
    warnings = [finding.text for finding in database.check() if finding.level is Level.WARNING]
    assert any(f"s {which} this machine's: set both by NTP" in warning for warning in warnings)
