"""What gateway.sqlite3 and history.sqlite3 share: opened, guarded from others, put aside when damaged.

What is read from disk is checked like what comes from a meter: one flipped bit must not stop the gateway at
every start. Where nothing can be written (a full disk, a read-only file system), it goes on with a database
in memory.
"""

import abc
import contextlib
import errno
import os
import re
import shlex
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final

from smarty_gateway.config.container import state_advice
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError

#: Bytes. SQLite needs about this much for its log and what it shares with other processes.
_LEAST_SPACE: Final = 200_000
#: Seconds to wait for a lock.
PATIENCE: Final = 10.0
#: What SQLite answers about a folder or a disk, where the file itself may be sound.
_NOT_DAMAGE: Final = re.compile("unable to open|locked|readonly|disk I/O|full|access")


class StateError(GatewayError):
    """The state folder cannot be used; the text says why and what to do."""

    exit_status = ExitStatus.UNUSABLE_FILE


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


def owner_elsewhere(*paths: Path) -> int | None:
    """Return the user who owns one of these paths, if that is another one than this process runs as."""
    for path in paths:
        with contextlib.suppress(OSError):  # of one that is missing, or in a folder that cannot be searched
            if (owner := path.stat().st_uid) != os.geteuid():
                return owner
    return None


def _is_full(error: Exception) -> bool:
    return getattr(error, "errno", None) == errno.ENOSPC or (
        getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    )


class StateBusyError(GatewayError):
    """A file of the state cannot be used at the moment: another program uses it, or its disk fails."""

    exit_status = ExitStatus.REJECTED

    def __init__(self, error: sqlite3.Error, noun: str = "state file") -> None:
        super().__init__(f"the {noun} cannot be used now: {error}; has another program opened it?")


class SqliteFile(abc.ABC):
    """An open file.

    Attributes:
        path: of the file.
        connection: to the file, or to a database in memory.
        is_kept: what is written outlives the process.
        notices: what a user should know about the file, such as that a damaged one was put aside.

    Raises:
        StateError: the file cannot be used until somebody does something about it.
        StateBusyError: it is locked, which passes.
    """

    #: How messages call the file.
    noun: ClassVar[str]
    #: Whether the file can give room back to the disk.
    auto_vacuum: ClassVar[str] = "NONE"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notices: list[str] = []
        self.is_kept = True
        self.connection = self._opened()

    def _opened(self) -> sqlite3.Connection:
        """Open the file, or a database in memory where nothing can be written."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                return self._open()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of a damaged name in the file
                if not self._is_damaged(error):
                    raise
                self._replace_damaged()
                return self._open()
        except (OSError, sqlite3.Error) as error:
            if isinstance(error, sqlite3.Error) and "locked" in str(error):
                raise StateBusyError(error, self.noun) from None
            why = "is on a full disk" if _is_full(error) else why_unwritable(self.path.parent)
            if why is None:
                raise StateError(f"the {self.noun} {self.path} {self._unusable(error)}") from None
            return self._open_in_memory(why)

    def _unusable(self, error: OSError | sqlite3.Error) -> str:
        """Return why the file cannot be used, and what to do."""
        advice = state_advice(self.path.parent)
        if advice is not None and not os.access(self.path, os.W_OK):
            return f"cannot be written; {advice}"
        with contextlib.suppress(OSError):  # of a folder that cannot be searched
            if self.path.is_symlink():
                return "is a symbolic link; put the file itself there"
            if self.path.is_dir():
                return "is a folder; move it away"
            if self.path.exists() and not self.path.is_file():
                return "is a pipe or a device; move it away"
            if (owner := owner_elsewhere(*self._files)) is not None:
                command = f"sudo chown {os.geteuid()} {shlex.quote(str(self.path))}*"
                return f"belongs to another user ({owner}); type `{command}`"
        why = getattr(error, "strerror", None) or error
        return f"cannot be used: {why}; make it and its folder writable, or name another with --state"

    @abc.abstractmethod
    def _check(self, connection: sqlite3.Connection) -> None:
        """Create or upgrade the tables, and raise sqlite3.DatabaseError if the file is damaged."""

    @abc.abstractmethod
    def _replace_damaged(self) -> None:
        """Put the damaged file aside."""

    @abc.abstractmethod
    def _open_in_memory(self, why: str) -> sqlite3.Connection:
        """Use what the file holds without writing a byte; `why` says why."""

    def _open(self) -> sqlite3.Connection:
        self._protect()
        connection = connect(str(self.path))
        try:
            if version_of(connection) == 0:
                connection.execute(f"PRAGMA auto_vacuum={self.auto_vacuum}")  # before the first table
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_size_limit=1000000")
            self._check(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def _files(self) -> list[Path]:
        """Return the file, its log, and the index of that."""
        return [self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm")]

    def _is_damaged(self, error: Exception) -> bool:
        # Damaged bytes in the header can also mark the file as read-only.
        used = (self.path.parent, *self._files)
        may_be_written = all(os.access(path, os.W_OK, effective_ids=True) for path in used if path.exists())
        return is_damage(error) or ("readonly" in str(error) and may_be_written)

    def _protect(self) -> None:
        """Keep others from reading the file: it holds the telegrams of a household.

        SQLite gives its log the permissions of the file, so the file is made before SQLite sees it.
        """
        os.close(open_private(self.path))
        for path in self.path.parent.glob(f"{self.path.name}*"):
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                with contextlib.suppress(OSError):  # of another user, who decides that
                    _take_from_others(path)

    def _copy_unwritable(self, copy: Callable[[sqlite3.Connection], None]) -> None:
        """Read the file with its log; if there is no room even for that, as it was at the last clean stop."""
        for how in ("mode=ro", "immutable=1"):
            uri = f"{self.path.absolute().as_uri()}?{how}"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as file:
                try:
                    copy(file)
                except sqlite3.OperationalError:
                    if how != "mode=ro":
                        raise
                else:
                    return

    def _put_aside(self) -> Path:
        """Rename the file and its log, and return the new path."""
        aside = self.path.with_name(f"{self.path.name}.damaged-{int(time.time())}")
        for path in self._files:
            with contextlib.suppress(FileNotFoundError):
                path.rename(aside.with_name(aside.name + path.name.removeprefix(self.path.name)))
        return aside


def open_private(path: Path) -> int:
    """Open a file of a state folder, or make it for the owner of the folder; return its descriptor.

    That owner is not trusted by root, who runs commands beside the gateway, so no link is followed.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    found, folder = os.fstat(descriptor), path.parent.stat()
    if os.geteuid() == 0 and found.st_size == 0 and found.st_nlink == 1:
        with contextlib.suppress(OSError):  # of a file system without owners
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
    return descriptor


def _take_from_others(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


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


def connect(path: str, *, is_uri: bool = False, patience: float = PATIENCE) -> sqlite3.Connection:
    """Open a database; every statement outside `transaction` commits by itself.

    Args:
        path: of the file, or a URI.
        is_uri: which of both.
        patience: seconds to wait for a lock.
    """
    connection = sqlite3.connect(
        path, timeout=patience, check_same_thread=False, isolation_level=None, uri=is_uri
    )
    connection.text_factory = _text
    return connection


def _text(data: bytes) -> str | bytes:
    """Return text; what is not UTF-8 stays bytes, which no column of text may hold."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def refuse_newer(path: Path, version: int, known: int) -> None:
    """Raise StateError if a file has a newer layout than the one that is known."""
    if version > known:
        raise StateError(
            f"{path} was written by a newer smarty-gateway (layout {version}, this one knows "
            f"{known}); install that one again, or name another folder with --state"
        )


def is_damage(error: Exception) -> bool:
    """True if an error says that the file itself is damaged, and not its folder or disk."""
    return not (isinstance(error, sqlite3.OperationalError) and _NOT_DAMAGE.search(str(error)))


def version_of(connection: sqlite3.Connection) -> int:
    """Return the layout of a file; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def create_tables(connection: sqlite3.Connection, tables: str) -> None:
    """Run statements that are divided by semicolons, in the transaction of the caller."""
    for statement in filter(str.strip, tables.split(";")):
        connection.execute(statement)
