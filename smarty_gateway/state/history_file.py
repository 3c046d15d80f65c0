"""history.sqlite3: opened, checked, written, and saved from what damage leaves of it.

Whatever the file holds is data: a row that is not as it was written is dropped. A damaged file costs what is
damaged: it is put aside, and everything that can still be read of it, page by page, goes into a new one.
"""

import contextlib
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Final

from smarty_gateway.config.small_file import is_there
from smarty_gateway.history.boundary import Boundary, Change
from smarty_gateway.history.sample import DeviceValue
from smarty_gateway.state.history_repair import (
    delete_orphans,
    require_good,
    require_ours,
    save,
)
from smarty_gateway.state.history_rows import MeterRows, number_of, select
from smarty_gateway.state.history_schema import FILE_NAME, TABLES, VERSION
from smarty_gateway.state.history_writer import Filled, MeterWriter
from smarty_gateway.state.sqlite_file import (
    PATIENCE,
    SqliteFile,
    StateBusyError,
    StateError,
    connect,
    create_tables,
    is_damage,
    transaction,
)

#: Bytes. A larger file is checked as a whole only after an unclean stop: that takes a Raspberry Pi seconds.
_CHECKED_ALWAYS: Final = 10_000_000
#: Bytes. A larger file is not copied into memory where the disk cannot be written.
_COPIED_MAX: Final = 100_000_000
#: Imported boundaries in one transaction, so that a running gateway waits for a moment only.
_BATCH: Final = 500
_NOUN: Final = "history file"
#: What to do about a file that nobody but another user may read.
_AS_ROOT: Final = "; type `sudo` before the command"


class HistoryFile(SqliteFile):
    """history.sqlite3, opened. Every method may raise sqlite3.Error when the disk is full or broken.

    Args:
        folder: the state folder.
        repairs: this is the gateway, which owns the folder. It replaces a damaged file; anyone else would
            leave a running gateway with the file that was put aside. No fault of the history keeps it from
            reading meters: a file that cannot be used leaves it a history in memory, and one that is locked
            is opened later, when a method is called.

    Raises:
        StateError: without `repairs`, the file cannot be used.
        StateBusyError: without `repairs`, it is locked, which passes.
    """

    noun = _NOUN

    def __init__(self, folder: Path, *, repairs: bool = True) -> None:
        self._lock = threading.Lock()
        self._repairs = repairs
        self._is_busy = False
        super().__init__(folder / FILE_NAME)

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep other threads out, open a file that was locked at first, and replace one that was removed."""
        with self._lock:
            if self._is_busy or self._is_removed():
                self._is_busy = False
                self.connection.close()
                self.connection = self._opened()
            if self._is_busy:
                raise sqlite3.OperationalError("it is locked; has another program opened it?")
            yield

    def _is_removed(self) -> bool:
        """True if somebody has removed the file: what is written to it now would be lost."""
        with contextlib.suppress(OSError):  # of a folder that cannot be searched
            if self.is_kept and not is_there(self.path):
                self.notices.append(f"the {_NOUN} {self.path} was removed; the gateway makes a new one")
                return True
        return False

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self.connection.close()

    def write(self, changes: Mapping[str, Sequence[Change]]) -> None:
        """Write what became known of some meters, by their names, in one transaction."""
        with self._in_use(), transaction(self.connection):
            for meter, found in changes.items():
                writer = MeterWriter(self.connection, meter)
                for change in found:
                    writer.write(change)
                self._note_ignored(meter, writer)

    def fill(self, meter: str, boundaries: Iterable[Boundary]) -> Filled:
        """Add the boundaries of an import that are missing; a gateway may use the file at the same time."""
        filled = Filled()
        with self._in_use(), transaction(self.connection):
            writer = MeterWriter(self.connection, meter)
        waiting = _last_of_each_end(boundaries)
        while batch := list(islice(waiting, _BATCH)):
            with self._in_use(), transaction(self.connection):
                writer.fill(batch, filled)
        self._note_ignored(meter, writer)
        return filled

    def _note_ignored(self, meter: str, writer: MeterWriter) -> None:
        notice = (
            f"{meter}: it has more M-Bus devices than the history keeps (8 at a time, 20 new ones a year)"
        )
        if writer.ignored and notice not in self.notices:
            self.notices.append(notice)

    def mark_simulated(self, meter: str) -> None:
        """Note that nobody has measured this meter."""
        with self._in_use(), transaction(self.connection):
            MeterWriter(self.connection, meter).mark_simulated()

    def forget(self, meter: str) -> int:
        """Delete the history of a meter, and return how many quarter hours that were."""
        with self._in_use(), transaction(self.connection):
            number = number_of(self.connection, meter)
            if number is None:
                return 0
            self.connection.execute("DELETE FROM meters WHERE number = ?", (number,))
            return delete_orphans(self.connection)

    def newest(self, meter: str) -> Boundary | None:
        """Return the newest boundary of a meter; its devices are those whose values are not too old."""
        with self._in_use():
            return self._rows(meter).newest()

    def newest_devices(self, meter: str) -> list[DeviceValue]:
        """Return the newest value of each device of a meter, also of those that are gone."""
        with self._in_use():
            return self._rows(meter).newest_devices()

    def newest_series(self, meter: str) -> int:
        """Return the highest number of a series of a meter; 0 before the first."""
        with self._in_use():
            return self._rows(meter).newest_series()

    def _rows(self, meter: str) -> MeterRows:
        return MeterRows(self.connection, number_of(self.connection, meter))

    # Opening

    def _opened(self) -> sqlite3.Connection:
        try:
            return super()._opened()
        except StateError as error:
            if not self._repairs:
                raise
            return self._in_memory(str(error))
        except StateBusyError:
            if not self._repairs:
                raise
            self._is_busy = True
            return connect(":memory:")

    def _open(self) -> sqlite3.Connection:
        fresh = self._fresh
        if fresh.exists() and not self.path.exists():
            fresh.rename(self.path)  # a crash came while a damaged file was replaced
        log = self.path.with_name(f"{FILE_NAME}-wal")
        self._is_checked = log.exists() or not self.path.exists() or self._size <= _CHECKED_ALWAYS
        connection = super()._open()
        connection.execute("PRAGMA secure_delete=ON")  # what is forgotten comes back from no damaged page
        return connection

    @property
    def _fresh(self) -> Path:
        return self.path.with_name(f"{FILE_NAME}.new")

    @property
    def _size(self) -> int:
        return self.path.stat().st_size

    def _check(self, connection: sqlite3.Connection) -> None:
        version = require_ours(connection, self.path)
        with transaction(connection):  # which shows whether the file can be written
            if version == 0:
                create_tables(connection, TABLES)
            # An upgrade from an older layout stands here, before the layout is noted.
            connection.execute(f"PRAGMA user_version={VERSION}")
        require_good(connection, is_whole=self._is_checked)

    def _replace_damaged(self) -> None:
        if not self._repairs:
            raise StateError(
                f"the {_NOUN} {self.path} is damaged; start the gateway, which saves what can be read"
            )
        try:
            saved = save(self.path, self._fresh)
        except BaseException:
            self._fresh.unlink(missing_ok=True)
            raise
        aside = self._put_aside()
        self._fresh.rename(self.path)
        self.notices.append(
            f"the {_NOUN} was damaged and is now {aside}; {saved} quarter hours were saved from it"
        )

    def _open_in_memory(self, why: str) -> sqlite3.Connection:
        message = f"the {_NOUN} {self.path} {why}; make it writable"
        if not self._repairs:
            raise StateError(message)
        return self._in_memory(message)

    def _in_memory(self, fault: str) -> sqlite3.Connection:
        """Go on with what the file holds, without writing a byte; with nothing if it cannot be read."""
        self.is_kept = False
        self.notices.append(
            f"{fault}, and start the gateway again. Until then quarter hours are kept in memory only"
        )
        connection = connect(":memory:")
        self._is_checked = True
        try:
            if self.path.is_file() and self._size <= _COPIED_MAX:  # opening a pipe would wait
                self._copy_unwritable(lambda file: file.backup(connection))
            self._check(connection)
        except (OSError, sqlite3.Error, StateError, UnicodeDecodeError):  # the last: a damaged name in it
            connection.close()
            connection = connect(":memory:")
            self._check(connection)
        return connection


def _last_of_each_end(boundaries: Iterable[Boundary]) -> Iterator[Boundary]:
    """Yield boundaries; of those that come again, with newer values of devices, the last."""
    for _, same in groupby(boundaries, lambda boundary: boundary.end):
        yield deque(same, maxlen=1)[0]


# For commands, beside a running gateway


def open_history(folder: Path, patience: float = PATIENCE) -> sqlite3.Connection | None:
    """Open the history in a state folder for reading; None if there is none yet.

    Args:
        folder: of the gateway.
        patience: seconds to wait for a lock.

    Raises:
        StateError: it cannot be read. `history_errors` says the same of what is read later.
        StateBusyError: it is locked, which passes.
    """
    return open_copy(folder / FILE_NAME, patience)


def open_copy(file: Path, patience: float = PATIENCE) -> sqlite3.Connection | None:
    """Open a history for reading, such as a backup; None if the file is missing or empty.

    Raises:
        StateError: it cannot be read, or is no history.
        StateBusyError: it is locked, which passes.
    """
    path = file.absolute()
    try:
        if not is_there(path):
            return None
    except OSError as error:
        raise StateError(f"the {_NOUN} {path} cannot be read: {error.strerror}{_AS_ROOT}") from None
    with history_errors(path):
        # SQLite leaves files behind after reading one with a log, unless a gateway has them open anyway.
        how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
        connection = connect(f"{path.as_uri()}?{how}", is_uri=True, patience=patience)
        try:
            if require_ours(connection, path):
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
    return None


def meters_in(folder: Path) -> set[str]:
    """Return the names of the meters that have a history; none if it cannot be read."""
    with contextlib.suppress(StateError, StateBusyError):
        connection = open_history(folder)
        if connection is not None:
            with contextlib.closing(connection), history_errors(folder / FILE_NAME):
                return {name for _, name, _ in select(connection, "meters")}
    return set()


@contextlib.contextmanager
def history_errors(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into those that commands print.

    Raises:
        StateError: the file cannot be read or written.
        StateBusyError: it is locked, which passes.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # of a damaged name in the file
        if isinstance(error, sqlite3.Error) and "locked" in str(error):
            raise StateBusyError(error, _NOUN) from None
        advice = "; start the gateway, which saves what can be read" if is_damage(error) else ""
        if not os.access(path, os.R_OK, effective_ids=True):
            advice = _AS_ROOT
        raise StateError(f"the {_NOUN} {path} cannot be used: {error}{advice}") from None


def export_history(folder: Path, path: Path) -> None:
    """Write the history in a state folder into a new file, beside a running gateway.

    Raises:
        OSError: it cannot be written, or is there already.
        StateError: the history is missing or damaged, or the disk is full.
        StateBusyError: it is locked, which passes.
    """
    connection = open_history(folder)
    if connection is None:
        raise StateError(f"there is no history in {folder}")
    with contextlib.closing(connection), history_errors(folder / FILE_NAME):
        copy_history(connection, path)


def copy_history(connection: sqlite3.Connection, path: Path) -> None:
    """Write the whole history into a new file, which has no log beside it.

    Raises:
        OSError: it cannot be written, or is there already.
        sqlite3.Error: likewise, or the history is damaged, which a backup must not be.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(connect(str(path))) as copy:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            require_good(copy)
    except BaseException:
        path.unlink()
        raise
