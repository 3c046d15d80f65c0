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
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.counters import BEGINS_ANEW
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.system_title import SYSTEM_TITLE_SIZE
from smarty_gateway.safe_text import is_topic

FILE_NAME: Final = "gateway.sqlite3"
#: The layout of the tables below. A gateway refuses a newer one instead of guessing.
VERSION: Final = 3
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
#: Bytes. SQLite needs about this much for its log and what it shares with other processes.
_LEAST_SPACE: Final = 200_000
#: What SQLite answers about a folder or a disk, where the file itself may be sound.
_NOT_DAMAGE: Final = re.compile("unable to open|locked|readonly|disk I/O|full|access")
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


class StateError(GatewayError):
    """The state folder cannot be used; the text says why and what to do."""

    exit_status = ExitStatus.UNUSABLE_FILE


def state_folder(chosen: Path | None) -> Path:
    """Return the state folder: the chosen one, else the service manager's, else the user's."""
    if chosen is not None:
        return chosen
    if managed := os.environ.get("STATE_DIRECTORY"):
        return Path(managed.split(":")[0])
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "smarty-gateway"
    return Path("~/.local/state/smarty-gateway").expanduser()


def why_unwritable(folder: Path) -> str | None:
    """Return why nothing can be written there, whatever the permissions; None if something can."""
    there = next((path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()), None)
    if there is None:
        return None
    try:
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            return "is on a file system that is read-only"
        usage = shutil.disk_usage(there)
    except OSError:
        return None
    return "is on a full disk" if usage.total > 0 and usage.free < _LEAST_SPACE else None


class StateBusyError(GatewayError):
    """The state file cannot be used at the moment: another program uses it, or its disk fails."""

    exit_status = ExitStatus.REJECTED

    def __init__(self, error: sqlite3.Error) -> None:
        super().__init__(f"the state file cannot be used now: {error}; has another program opened it?")


class FolderLock:
    """Keeps a second gateway out of a state folder for as long as the process lives.

    Where nothing can be written there is nothing to protect, and no lock.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            if error.errno in (errno.EROFS, errno.ENOSPC):
                return
            raise StateError(
                f"the state folder {folder} cannot be written: {error.strerror}; "
                "make it writable, or name another with --state"
            ) from None
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


class StateFile:
    """The open file.

    Attributes:
        path: of the file.
        connection: to the file, or to a database in memory.
        is_kept: what is written outlives the process.
        notices: what a user should know about the file, such as that a damaged one was put aside.

    Raises:
        StateError: the file cannot be used until somebody does something about it.
        StateBusyError: it is locked, which passes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self.notices: list[str] = []
        self.is_kept = True
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self.connection = self._open()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of a damaged name in the file
                if not self._is_damaged(error):
                    raise
                self._put_aside()
                self.connection = self._open()
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error) and "locked" in str(error):
                raise StateBusyError(error) from None
            why = why_unwritable(folder)
            if why is None:
                raise StateError(
                    f"the state file {self.path} cannot be used: "
                    f"{getattr(error, 'strerror', None) or error}; "
                    "make its folder writable, or name another with --state"
                ) from None
            self.connection = self._open_in_memory(why)

    def _open(self) -> sqlite3.Connection:
        self._protect()
        connection = _connect(str(self.path))
        try:
            if _version_of(connection) == 0:
                connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=1000000")
            was_old = _version_of(connection) == 1
            self._check(connection)
            if was_old:
                with contextlib.suppress(sqlite3.Error):  # without room for a copy the file never shrinks
                    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                    connection.execute("VACUUM")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_damaged(self, error: Exception) -> bool:
        if isinstance(error, sqlite3.OperationalError) and _NOT_DAMAGE.search(str(error)):
            # Damaged bytes in the header can also mark the file as read-only.
            may_be_written = os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)
            return "readonly" in str(error) and may_be_written
        return True

    def _protect(self) -> None:
        """Keep others from reading the file: it holds the telegrams of a household.

        SQLite gives its log the permissions of the file, so the file is made before SQLite sees it.
        """
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        for path in self.path.parent.glob(f"{FILE_NAME}*"):
            if path.is_file() and path.stat().st_mode & 0o077:
                with contextlib.suppress(PermissionError):  # of another user, who decides that
                    path.chmod(0o600)

    def _open_in_memory(self, why: str) -> sqlite3.Connection:
        """Use what the file holds without writing a byte, so that meters are read all the same."""
        connection = _connect(":memory:")
        try:
            if self.path.exists():
                self._copy_into(connection)
            self._check(connection)
        except sqlite3.Error as error:
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

    def _copy_into(self, connection: sqlite3.Connection) -> None:
        """Read the file with its log; if there is no room even for that, as it was at the last clean stop."""
        for how in ("mode=ro", "immutable=1"):
            uri = f"{self.path.absolute().as_uri()}?{how}"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
                try:
                    _copy_small_tables(file, connection)
                except sqlite3.OperationalError:
                    if how != "mode=ro":
                        raise
                else:
                    return

    def _check(self, connection: sqlite3.Connection) -> None:
        version = _version_of(connection)
        if version > VERSION:
            raise StateError(
                f"{self.path} was written by a newer smarty-gateway (layout {version}, this one knows "
                f"{VERSION}): install that one again, or name another folder with --state"
            )
        ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        with transaction(connection):
            if version == 0:
                _create_tables(connection, _TABLES)
            elif version == 1:
                _upgrade_from_1(connection)
            if version < VERSION:
                _upgrade_from_2(connection)
                connection.execute(f"PRAGMA user_version={VERSION}")
            dropped = _drop_bad_rows(connection)
            connection.execute("UPDATE service SET seconds = seconds")  # shows whether it can be written
        if dropped:
            self.notices.append(
                f"{dropped} damaged {'row was' if dropped == 1 else 'rows were'} dropped from the state file "
                f"{self.path}; the rest of it is used"
            )

    def _put_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.notices.append(
            f"the state file was damaged and is now {aside}; frame counters start again, and telegrams that "
            "waited in it for the broker are lost"
        )


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write everything in the block, or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str | bytes:
    """Return text; what is not UTF-8 stays bytes, which no column of text may hold."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def _version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _create_tables(connection: sqlite3.Connection, tables: str) -> None:
    for statement in filter(str.strip, tables.split(";")):
        connection.execute(statement)


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
        connection.execute(f"PRAGMA user_version={_version_of(file)}")


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
    _create_tables(connection, _TABLES)
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
    _create_tables(connection, _TABLES_OF_3)
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
_UNDELIVERED: Final = "SELECT id, topic, typeof(payload), stored FROM undelivered"
_UNDELIVERED_COLUMNS: Final = (_is_between(1, _INTEGER_MAX), is_topic, "blob".__eq__, _is_seconds)


def _is_good(row: Row, checks: tuple[Check, ...]) -> bool:
    return len(row) >= len(checks) and all(check(value) for check, value in zip(checks, row, strict=False))


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
    bad = [row[:1] for row in connection.execute(_UNDELIVERED) if not _is_good(row, _UNDELIVERED_COLUMNS)]
    connection.executemany("DELETE FROM undelivered WHERE id = ?", bad)
    return dropped + len(bad)
