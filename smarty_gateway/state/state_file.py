"""The state folder and the SQLite file in it: found, locked, opened, checked, upgraded.

What is read from disk is checked like what comes from a meter: a file that is not a database is put aside,
and a row that cannot be right is dropped, because one flipped bit must not stop the gateway at every start.

Where nothing can be written (a full disk, a read-only file system), the gateway goes on with a database in
memory. It starts with what the file says about meters and topics; waiting telegrams, which may be many, stay
in the file for a later start.
"""

import contextlib
import errno
import fcntl
import os
import re
import shlex
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.container import state_advice
from smarty_gateway.config.small_file import is_there
from smarty_gateway.protocol.counters import BEGINS_ANEW
from smarty_gateway.protocol.system_title import SYSTEM_TITLE_SIZE
from smarty_gateway.safe_text import is_topic
from smarty_gateway.state.sqlite_file import (
    SqliteFile,
    StateError,
    connect,
    create_tables,
    open_private,
    owner_elsewhere,
    refuse_newer,
    transaction,
    version_of,
)

FILE_NAME: Final = "gateway.sqlite3"
#: The layout of the tables below. A gateway refuses a newer one instead of guessing.
VERSION: Final = 4
_LOCK_NAME: Final = "lock"
_TABLES: Final = """
CREATE TABLE counters (
    title BLOB, fingerprint TEXT, counter INTEGER, meter TEXT, source TEXT,
    PRIMARY KEY (title, fingerprint)) WITHOUT ROWID;
CREATE TABLE resets (title BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE identities (identity TEXT PRIMARY KEY, owner) WITHOUT ROWID;
CREATE TABLE holders (
    name TEXT PRIMARY KEY, holder TEXT, is_authenticated INTEGER, second TEXT) WITHOUT ROWID;
CREATE TABLE undelivered (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, stored REAL);
CREATE TABLE published (topic TEXT PRIMARY KEY, meter TEXT) WITHOUT ROWID;
CREATE TABLE put_aside (topic TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE service (seconds REAL);
INSERT INTO service VALUES (0);
"""
#: What layout 3 added.
_TABLES_OF_3: Final = """
CREATE TABLE unnamed (
    key TEXT PRIMARY KEY, name TEXT, source TEXT, is_authenticated INTEGER, heard REAL) WITHOUT ROWID;
CREATE TABLE devices (
    meter TEXT, device TEXT, behind TEXT, channel INTEGER, medium TEXT, absent_since REAL,
    PRIMARY KEY (meter, device)) WITHOUT ROWID;
"""
#: What layout 4 added: before it, all that waited was for MQTT.
_COLUMN_OF_4: Final = "ALTER TABLE undelivered ADD COLUMN output TEXT NOT NULL DEFAULT 'mqtt'"
#: Made anew at each start: the quick check of a file does not compare an index with its table.
_INDEX: Final = """
DROP INDEX IF EXISTS undelivered_of_output;
CREATE INDEX undelivered_of_output ON undelivered (output);
"""
#: A counter has 32 bits.
_COUNTER_MAX: Final = 0xFFFFFFFF
#: The longest name of anything here: no identity is longer than the telegram that holds it.
_TEXT_MAX: Final = 16384
_INTEGER_MAX: Final = (1 << 63) - 1
#: Three hundred years of service.
_SECONDS_MAX: Final = 1e10
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{1,64}")


Row = tuple[Any, ...]
Check = Callable[[Any], bool]


def state_folder(chosen: Path | None) -> Path:
    """Return the state folder: the chosen one, else the service manager's, else the user's."""
    if chosen is not None:
        return chosen
    if managed := os.environ.get("STATE_DIRECTORY"):
        return Path(managed.split(":")[0])
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "smarty-gateway"
    return Path("~/.local/state/smarty-gateway").expanduser()


class FolderLock:
    """Keeps a second gateway out of a state folder for as long as the process lives.

    Where nothing can be written there is nothing to protect, and no lock.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = open_private(folder / _LOCK_NAME)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.ENOSPC):
                return
            raise StateError(f"the state folder {folder} {_unwritable(folder, error)}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise StateError(
                f"another smarty-gateway uses the state folder {folder}; stop it, or give this one a folder "
                "of its own with --state"
            ) from None

    def close(self) -> None:
        """Release the lock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _unwritable(folder: Path, error: OSError) -> str:
    """Return why no lock can be made in a folder, and what to do."""
    advice = state_advice(folder)
    owner = owner_elsewhere(folder, folder / _LOCK_NAME)
    if advice is None and isinstance(error, PermissionError) and owner is not None:
        command = f"sudo chown -R {os.geteuid()} {shlex.quote(str(folder))}"
        return (
            f"belongs to another user ({owner}); type `sudo` before the command, or, to make it yours, "
            f"`{command}`"
        )
    return (
        f"cannot be written: {error.strerror}; {advice or 'make it writable, or name another with --state'}"
    )


class StateFile(SqliteFile):
    """gateway.sqlite3, opened."""

    noun = "state file"
    auto_vacuum = "INCREMENTAL"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE_NAME)

    def _open_in_memory(self, why: str) -> sqlite3.Connection:
        """Use what the file holds without writing a byte, so that meters are read all the same."""
        connection = connect(":memory:")
        try:
            if is_there(self.path) and self.path.is_file():
                self._copy_unwritable(lambda file: _copy_small_tables(file, connection))
            self._check(connection)
        except (OSError, sqlite3.Error) as error:
            connection.close()
            raise StateError(
                f"the state file {self.path} {why}, and cannot be read: {error}; free some space, or name "
                "another folder with --state"
            ) from None
        self.is_kept = False
        self.notices.append(
            f"the state file {self.path} {why}: frame counters and waiting telegrams are kept in memory "
            "only, and telegrams that wait in the file are not sent; make it writable and start the gateway "
            "again"
        )
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        version = version_of(connection)
        refuse_newer(self.path, version, VERSION)
        ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        with transaction(connection):
            if version == 0:
                create_tables(connection, _TABLES)
            elif version == 1:
                _upgrade_from_1(connection)
            if version < 3:
                _upgrade_from_2(connection)
            if version < VERSION:
                connection.execute(_COLUMN_OF_4)
                connection.execute(f"PRAGMA user_version={VERSION}")
            create_tables(connection, _INDEX)
            dropped = _drop_bad_rows(connection)
            connection.execute("UPDATE service SET seconds = seconds")  # shows whether it can be written
        if version == 1:
            with contextlib.suppress(sqlite3.Error):  # without room for a copy the file never shrinks
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                connection.execute("VACUUM")
        if dropped:
            self.notices.append(
                f"{dropped} damaged {'row was' if dropped == 1 else 'rows were'} dropped from the state file "
                f"{self.path}; the rest of it is used"
            )

    def _replace_damaged(self) -> None:
        self.notices.append(
            f"the state file was damaged and is now {self._put_aside()}; frame counters start again, and "
            "what waited in it to be sent is lost"
        )


def _copy_small_tables(file: sqlite3.Connection, connection: sqlite3.Connection) -> None:
    """Copy everything but the waiting telegrams, which are bounded by the disk and not by memory."""
    file.text_factory = connection.text_factory
    with transaction(connection):
        tables = file.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        for name, sql in tables:
            if name.startswith("sqlite_"):
                continue
            connection.execute(sql)
            if name != "undelivered":
                _insert(connection, name, file.execute(f"SELECT * FROM {name}").fetchall())  # noqa: S608
        connection.execute(f"PRAGMA user_version={version_of(file)}")


def _insert(connection: sqlite3.Connection, table: str, rows: list[Row]) -> None:
    if rows:
        places = ", ".join("?" * len(rows[0]))
        connection.executemany(f"INSERT INTO {table} VALUES ({places})", rows)  # noqa: S608 - our own names


def _upgrade_from_1(connection: sqlite3.Connection) -> None:
    """Upgrade a file of layout 1.

    It kept counters for each source; now a title has one under each key, the highest. A time in `undelivered`
    was that of the wall clock; now it counts the seconds that the gateway was in service.
    """
    old = ("counters", "resets", "undelivered", "published")
    for table in old:
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    create_tables(connection, _TABLES)
    connection.execute(
        "INSERT INTO counters SELECT title, fingerprint, max(counter), meter, source FROM counters_1 "
        "WHERE typeof(counter) = 'integer' GROUP BY title, fingerprint"
    )
    connection.execute("INSERT OR IGNORE INTO resets SELECT title FROM resets_1")
    connection.execute("INSERT INTO undelivered SELECT id, topic, payload, 0.0 FROM undelivered_1")
    connection.execute("INSERT INTO published SELECT topic, meter FROM published_1")
    for table in old:
        connection.execute(f"DROP TABLE {table}_1")


def _upgrade_from_2(connection: sqlite3.Connection) -> None:
    """Upgrade a file of layout 2, which did not say which meters have no entry in gateway.yaml.

    Of those that a key authenticates the counters do. A second meter was stored under what it calls itself,
    as any other may do; its key is found again when it sends. Entities may have another kind now, which Home
    Assistant cannot change, so all announcements are emptied, and made again by the next reading.
    """
    create_tables(connection, _TABLES_OF_3)
    connection.execute(
        "INSERT OR IGNORE INTO unnamed SELECT lower(hex(title)), meter, source, 1, 0.0 FROM counters "
        "WHERE meter IN (SELECT meter FROM published) AND meter NOT IN (SELECT name FROM holders)"
    )
    connection.execute("UPDATE holders SET second = NULL")
    connection.execute("UPDATE published SET meter = '' WHERE topic GLOB '*/smarty_*/config'")


# What a row may hold


def _is_text(value: object) -> bool:
    """True for a text of any content: what a meter calls itself may hold anything."""
    return isinstance(value, str) and len(value) <= _TEXT_MAX


def _is_title(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == SYSTEM_TITLE_SIZE


def _is_fingerprint(value: object) -> bool:
    return isinstance(value, str) and _FINGERPRINT.fullmatch(value) is not None


def _is_seconds(value: object) -> bool:
    return isinstance(value, float) and abs(value) < _SECONDS_MAX


def _is_between(least: int, most: int) -> Check:
    return lambda value: isinstance(value, int) and least <= value <= most


#: What each column may hold, in the order of `_TABLES`.
_COLUMNS: Final[Mapping[str, tuple[Check, ...]]] = {
    "counters": (_is_title, _is_fingerprint, _is_between(BEGINS_ANEW, _COUNTER_MAX), _is_text, _is_text),
    "resets": (_is_title,),
    "identities": (_is_text, lambda owner: _is_title(owner) or _is_text(owner)),
    "holders": (_is_text, _is_text, _is_between(0, 1), lambda second: second is None or _is_text(second)),
    "unnamed": (_is_text, _is_text, _is_text, _is_between(0, 1), _is_seconds),
    "devices": (
        _is_text, _is_text, _is_text, _is_between(0, _INTEGER_MAX), _is_text,
        lambda since: since is None or _is_seconds(since),
    ),
    "published": (is_topic, _is_text),
    "put_aside": (is_topic, _is_between(0, _INTEGER_MAX)),
    "service": (lambda seconds: _is_seconds(seconds) and seconds >= 0,),
}  # fmt: skip
#: Payloads may be many and large, so only their type is read.
_UNDELIVERED: Final = "SELECT output, topic, id, typeof(payload), stored FROM undelivered"
_UNDELIVERED_COLUMNS: Final = (_is_between(1, _INTEGER_MAX), "blob".__eq__, _is_seconds)
#: What `topic` may hold for each output: that of MQTT, else the name of the meter.
_TOPICS: Final[Mapping[object, Check]] = {
    "mqtt": is_topic,
    "influxdb": _is_text,
    "influxdb-refused": _is_text,
    "forward": is_topic,
}


def _is_good(row: Row, checks: tuple[Check, ...]) -> bool:
    return len(row) >= len(checks) and all(check(value) for check, value in zip(checks, row, strict=False))


def _may_wait(row: Row) -> bool:
    output, topic, *others = row
    return output in _TOPICS and _TOPICS[output](topic) and _is_good(tuple(others), _UNDELIVERED_COLUMNS)


def good_rows(table: str, rows: list[Row]) -> list[Row]:
    """Return the rows of a table that may be right."""
    return [row for row in rows if _is_good(row, _COLUMNS[table])]


def _drop_bad_rows(connection: sqlite3.Connection) -> int:
    """Drop the rows that cannot be right, and return how many."""
    dropped = 0
    for table, checks in _COLUMNS.items():
        rows = connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - our own names
        # A column that another program added comes last.
        good = [row[: len(checks)] for row in rows if _is_good(row, checks)]
        if len(good) < len(rows):
            # Written again as a whole: the damage may be in the very key by which a row is found.
            dropped += len(rows) - len(good)
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
            _insert(connection, table, good)
    if connection.execute("SELECT count(*) FROM service").fetchone() != (1,):
        connection.execute("DELETE FROM service")
        connection.execute("INSERT INTO service VALUES (0.0)")
    bad = [row[2:3] for row in connection.execute(_UNDELIVERED) if not _may_wait(row)]
    connection.executemany("DELETE FROM undelivered WHERE id = ?", bad)
    return dropped + len(bad)
