"""What must outlive the process: frame counters, and telegrams that no broker has acknowledged yet.

One SQLite file in the state folder, one connection, and a lock around it. It is for outages, not for
every telegram, because an SD card wears out (contract.md, "The disk is for outages"): whoever writes
here collects first. A commit waits for the disk (`synchronous=FULL`), so what was written is there
after `kill -9` and after a power cut.

    counters      source, system title, key fingerprint -> the last frame counter that was accepted
    resets        sources whose counters a user has reset, for a gateway that is running
    undelivered   topic and payload in the order of their arrival
    published     retained topics that a broker holds, so that they can be taken back
"""

import contextlib
import fcntl
import os
import re
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from smarty_gateway.config import StoreLimits
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.counters import BEGINS_ANEW, FrameCounters
from smarty_gateway.protocol.errors import GatewayError

FILE_NAME: Final = "gateway.sqlite3"
_CLOCK_IS_SET: Final = 1_500_000_000
_LOCK_NAME: Final = "lock"
#: Of the tables below. A gateway refuses a file of a newer one instead of guessing.
VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS counters (
    source TEXT, title BLOB, fingerprint TEXT, counter INTEGER, meter TEXT,
    PRIMARY KEY (source, title, fingerprint)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS resets (source TEXT, title BLOB, PRIMARY KEY (source, title)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS undelivered (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, stored REAL);
CREATE TABLE IF NOT EXISTS published (topic TEXT PRIMARY KEY, meter TEXT) WITHOUT ROWID;
"""


#: What SQLite says of a folder or a disk, where the file itself may be sound.
_IS_NO_DAMAGE: Final = re.compile("unable to open|locked|readonly|disk I/O|full|access")
_IS_LOCKED: Final = re.compile("locked")
#: SQLite needs so much for its log and what it shares with others.
_LEAST_SPACE: Final = 200_000


_COLUMNS: Final = {
    "counters": "source, title, fingerprint, counter, meter",
    "resets": "source, title",
    "published": "topic, meter",
    "undelivered": "id, topic, stored, length(payload)",
}


class StateError(GatewayError):
    """The state folder cannot be used; the text says why and what to do."""

    exit_status = ExitStatus.UNUSABLE_FILE


@dataclass(frozen=True, slots=True)
class StoredCounter:
    """One row of `counters`; `meter` is the name under which its readings went out."""

    source: str
    title: bytes
    fingerprint: str
    counter: int
    meter: str


@dataclass(frozen=True, slots=True)
class Undelivered:
    """One message that waits for its acknowledgement."""

    id: int
    topic: str
    payload: bytes


def _is_full(folder: Path) -> bool:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return False
    return usage.total > 0 and usage.free < _LEAST_SPACE


def state_folder(chosen: Path | None) -> Path:
    """Give the folder for what must last: the chosen one, else the service manager's, else the user's."""
    if chosen is not None:
        return chosen
    if managed := os.environ.get("STATE_DIRECTORY"):
        return Path(managed.split(":")[0])
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "smarty-gateway"
    return Path("~/.local/state/smarty-gateway").expanduser()


class FolderLock:
    """Keeps a second gateway out of a state folder, for as long as the process lives."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StateError(
                f"the state folder {folder} cannot be written: {error.strerror}; "
                "make it writable, or name another with --state"
            ) from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise StateError(
                f"another smarty-gateway uses the state folder {folder}; stop it, or give this one a folder "
                "of its own with --state"
            ) from None

    def release(self) -> None:
        """Let others in."""
        os.close(self._descriptor)


class Store:
    """The state file. Every method may raise sqlite3.Error when the disk is full or broken.

    Attributes:
        notice: what a user should know about the file, such as that a damaged one was put aside.

    Raises:
        StateError: the file cannot be used until somebody does something about it.
        sqlite3.OperationalError: it is locked, which passes.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self.path = folder / FILE_NAME
        self.notice: str | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                self._connection = self._open()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if isinstance(error, sqlite3.OperationalError) and _IS_NO_DAMAGE.search(str(error)):
                    raise
                self._put_aside()
                self._connection = self._open()
        except (OSError, sqlite3.Error) as error:
            if _IS_LOCKED.search(str(error)):
                raise
            if _is_full(folder):
                self._open_in_memory()
                return
            raise StateError(
                f"the state file {self.path} cannot be used: {getattr(error, 'strerror', None) or error}; "
                "make its folder writable, or name another with --state"
            ) from None
        self._seen = self._data_version()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=10, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _open_in_memory(self) -> None:
        """Take up what the file holds without writing a byte, so that meters are read all the same."""
        self._connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        try:
            if self.path.exists():
                self._copy_file()
            self._check(self._connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise StateError(
                f"the disk of {self.path} is full, and the file cannot be read: {error}; free some space"
            ) from None
        self.notice = (
            f"the disk of {self.path} is full, so nothing new is kept in it; free some space and start the "
            "gateway again"
        )
        self._seen = self._data_version()

    def _copy_file(self) -> None:
        """Read the file with its log; if there is no room even for that, as it was at the last clean stop."""
        for how in ("mode=ro", "immutable=1"):
            file = sqlite3.connect(f"{self.path.absolute().as_uri()}?{how}", uri=True)
            with contextlib.closing(file):
                try:
                    file.backup(self._connection)
                except sqlite3.OperationalError:
                    if how != "mode=ro":
                        raise
                else:
                    return

    def _check(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise StateError(
                f"{self.path} was written by a newer smarty-gateway (layout {version}, this one knows "
                f"{VERSION}): install that one again, or name another folder with --state"
            )
        ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
        if sound != "ok":
            raise sqlite3.DatabaseError(sound)
        if version < VERSION:
            connection.executescript(_TABLES)
            connection.execute(f"PRAGMA user_version={VERSION}")
        # Some damage shows only when the tables are used.
        for table, columns in _COLUMNS.items():
            for _ in connection.execute(f"SELECT {columns} FROM {table}"):  # noqa: S608 - our own names
                pass

    def _put_aside(self) -> None:
        aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        self.notice = (
            f"the state file was damaged and is now {aside}; frame counters begin anew, and telegrams that "
            "waited in it for the broker are lost"
        )

    def _data_version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # Frame counters

    def counters_of(self, source: str) -> FrameCounters:
        """Give the counters to go on from."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT title, fingerprint, counter FROM counters WHERE source = ?", (source,)
            ).fetchall()
        return FrameCounters({(title, fingerprint): counter for title, fingerprint, counter in rows})

    def all_counters(self) -> list[StoredCounter]:
        """Give every counter there is."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT source, title, fingerprint, counter, meter FROM counters"
            ).fetchall()
        return [StoredCounter(*row) for row in rows]

    def write(
        self, counters: Iterable[StoredCounter] = (), undelivered: Sequence[tuple[str, bytes]] = ()
    ) -> list[int]:
        """Write counters and messages in one transaction, and give the ids of the messages."""
        now = time.time()
        with self._lock, self._transaction():
            self._connection.executemany(
                "INSERT INTO counters VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "counter = excluded.counter, meter = excluded.meter "
                "WHERE counter != excluded.counter OR meter != excluded.meter",
                [(c.source, c.title, c.fingerprint, c.counter, c.meter) for c in counters],
            )
            ids = []
            for topic, payload in undelivered:
                done = self._connection.execute(
                    "INSERT INTO undelivered (topic, payload, stored) VALUES (?, ?, ?)", (topic, payload, now)
                )
                ids.append(int(done.lastrowid or 0))
        return ids

    def reset(self, rows: Iterable[StoredCounter]) -> None:
        """Let counters begin anew, and leave word for a gateway that is running."""
        with self._lock, self._transaction():
            for row in rows:
                key = (row.source, row.title)
                self._connection.execute(
                    "UPDATE counters SET counter = ? WHERE source = ? AND title = ?", (BEGINS_ANEW, *key)
                )
                self._connection.execute("INSERT OR IGNORE INTO resets VALUES (?, ?)", key)

    def take_resets(self) -> list[tuple[str, bytes]]:
        """Give the (source, system title) that were reset since the last call; cheap if there is nothing."""
        with self._lock:
            version = self._data_version()
            if version == self._seen:
                return []
            with self._transaction():
                rows = self._connection.execute("SELECT source, title FROM resets").fetchall()
                if rows:
                    self._connection.execute("DELETE FROM resets")
            self._seen = version
        return [(source, bytes(title)) for source, title in rows]

    def forget_resets(self) -> None:
        """Drop word that was left while no gateway ran: the counters themselves begin anew already."""
        with self._lock:
            self._connection.execute("DELETE FROM resets WHERE EXISTS (SELECT 1 FROM resets)")

    # Undelivered messages

    def undelivered_after(self, last_id: int, limit: int) -> list[Undelivered]:
        """Give the oldest messages behind an id, in order."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, topic, payload FROM undelivered WHERE id > ? ORDER BY id LIMIT ?",
                (last_id, limit),
            ).fetchall()
        return [Undelivered(*row) for row in rows]

    def count_undelivered(self) -> int:
        """Count the messages that wait."""
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM undelivered").fetchone()[0])

    def delete(self, ids: Sequence[int]) -> None:
        """Forget messages that were acknowledged."""
        with self._lock, self._transaction():
            self._connection.executemany("DELETE FROM undelivered WHERE id = ?", [(i,) for i in ids])

    def drop_beyond(self, limits: StoreLimits) -> int:
        """Drop the oldest messages beyond what may be kept, and say how many."""
        with self._lock, self._transaction():
            # A time before this program is that of a computer whose clock was not set yet.
            old = self._connection.execute(
                "DELETE FROM undelivered WHERE stored BETWEEN ? AND ?",
                (_CLOCK_IS_SET, time.time() - limits.days * 86400),
            ).rowcount
            (size,) = self._connection.execute(
                "SELECT coalesce(sum(length(payload) + length(topic) + 40), 0) FROM undelivered"
            ).fetchone()
            excess = size - limits.megabytes * 1_000_000
            if excess > 0:
                last = 0
                for row_id, row_size in self._connection.execute(
                    "SELECT id, length(payload) + length(topic) + 40 FROM undelivered ORDER BY id"
                ):
                    last, excess = row_id, excess - row_size
                    if excess <= 0:
                        break
                old += self._connection.execute("DELETE FROM undelivered WHERE id <= ?", (last,)).rowcount
        return int(old)

    # Retained topics

    def published(self) -> dict[str, str]:
        """Give the retained topics that a broker holds, with the meter of each; "" for one to be emptied."""
        with self._lock:
            return dict(self._connection.execute("SELECT topic, meter FROM published").fetchall())

    def note_published(self, topics: Iterable[str], meter: str) -> None:
        """Note retained topics before they are sent."""
        with self._lock, self._transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO published VALUES (?, ?)", [(topic, meter) for topic in topics]
            )

    def note_taken_back(self, topics: Iterable[str]) -> None:
        """Note retained topics that the broker has no more."""
        with self._lock, self._transaction():
            self._connection.executemany("DELETE FROM published WHERE topic = ?", [(t,) for t in topics])

    def forget_meter(self, meter: str, topic_beginning: str) -> int:
        """Forget the counters of a meter and the messages that wait under its topics."""
        with self._lock, self._transaction():
            count = self._connection.execute("DELETE FROM counters WHERE meter = ?", (meter,)).rowcount
            count += self._connection.execute(
                "DELETE FROM undelivered WHERE substr(topic, 1, ?) = ?",
                (len(topic_beginning), topic_beginning),
            ).rowcount
        return int(count)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")
