"""Is history.sqlite3 sound, and what can be saved of it if it is not."""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Final

from smarty_gateway.state.history_pages import PAGE_SIZE, records_in
from smarty_gateway.state.history_rows import PUT, SELECT
from smarty_gateway.state.history_schema import COLUMNS, NAMES, TABLES, VERSION, is_good
from smarty_gateway.state.sqlite_file import connect, create_tables, refuse_newer, transaction, version_of

#: Where the header of a file has the number of its pages (https://www.sqlite.org/fileformat2.html, 1.3).
_PAGES_AT: Final = slice(28, 32)
#: No layout has a number as high as this: beside tables of ours it is a flipped bit.
_NO_LAYOUT: Final = 1000
#: Rows that belong to nothing say nothing. In this order, or some of them still belong to others.
_ORPHANS: Final = {
    "series": "meter NOT IN (SELECT number FROM meters)",
    "quarters": "(meter, series) NOT IN (SELECT meter, series FROM series)",
    "devices": "meter NOT IN (SELECT number FROM meters)",
    "device_values": "device NOT IN (SELECT number FROM devices)",
    "peaks": "meter NOT IN (SELECT number FROM meters)",
}


def require_ours(connection: sqlite3.Connection, path: Path) -> int:
    """Return the layout of a file; 0 for a new one.

    Raises:
        StateError: a newer smarty-gateway wrote it.
        sqlite3.DatabaseError: its tables are not those of a history.
    """
    version = version_of(connection)
    wanted = {" ".join(statement.split()) for statement in TABLES.split(";")}
    found = connection.execute("SELECT type, sql FROM sqlite_master").fetchall()
    # Other tables may stand beside ours, but nothing that acts.
    is_ours = wanted <= {" ".join(str(sql).split()) for _, sql in found} and "trigger" not in dict(found)
    if version < _NO_LAYOUT or not is_ours:
        refuse_newer(path, version, VERSION)
    if version >= VERSION and not is_ours:
        raise sqlite3.DatabaseError("its tables are not those of a history")
    return version


def require_good(connection: sqlite3.Connection, *, is_whole: bool = True) -> None:
    """Raise sqlite3.DatabaseError if rows are not as they were written.

    Args:
        connection: to the file.
        is_whole: check all of them, and each page, not the small tables alone.
    """
    if not _are_names_good(connection) or (is_whole and not _are_all_good(connection)):
        raise sqlite3.DatabaseError("rows are not as they were written")


def _are_names_good(connection: sqlite3.Connection) -> bool:
    """True if the small tables are as they were written, and their indexes agree with them."""
    return all(
        connection.execute(f"PRAGMA integrity_check({table})").fetchone() == ("ok",)
        and all(is_good(table, row) for row in connection.execute(SELECT[table]))
        for table in NAMES
    )


def _are_all_good(connection: sqlite3.Connection) -> bool:
    ((sound,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    with_text = connection.execute(f"{SELECT['quarters']} WHERE others IS NOT NULL")
    orphans = (
        connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table} WHERE {where})").fetchone()[0]  # noqa: S608
        for table, where in _ORPHANS.items()
    )
    return sound == "ok" and all(is_good("quarters", row) for row in with_text) and not any(orphans)


# What is left of a damaged file


def save(damaged: Path, fresh: Path) -> int:
    """Copy every row that can be read into a new file, and return how many quarter hours there are."""
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(connect(str(fresh))) as connection:
        with transaction(connection):
            create_tables(connection, TABLES)
            connection.execute(f"PRAGMA user_version={VERSION}")
        _apply_log(damaged, fresh)
        with transaction(connection):
            for record in records_in(damaged):
                for table in COLUMNS:
                    if is_good(table, record):
                        with contextlib.suppress(sqlite3.IntegrityError):  # it is there already, or absurd
                            connection.execute(PUT[table].replace("REPLACE", "IGNORE"), record)
            delete_orphans(connection)
        (saved,) = connection.execute("SELECT count(*) FROM quarters").fetchone()
    return int(saved)


def _apply_log(damaged: Path, fresh: Path) -> None:
    """Write what stands in the log into the file; for that SQLite needs a first page that is sound."""
    if _checkpoint(damaged) or not damaged.with_name(f"{damaged.name}-wal").exists():
        return
    page = bytearray(fresh.read_bytes()[:PAGE_SIZE])
    page[_PAGES_AT] = (damaged.stat().st_size // PAGE_SIZE).to_bytes(4)
    with damaged.open("r+b") as file:
        file.write(page)
    _checkpoint(damaged)


def _checkpoint(path: Path) -> bool:
    try:
        with contextlib.closing(connect(str(path))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except (sqlite3.Error, UnicodeDecodeError):  # of a damaged name in the file
        return False
    return True


def delete_orphans(connection: sqlite3.Connection) -> int:
    """Delete what belongs to no meter, and return how many quarter hours that were."""
    deleted = {
        table: connection.execute(f"DELETE FROM {table} WHERE {where}").rowcount  # noqa: S608 - ours
        for table, where in _ORPHANS.items()
    }
    return deleted["quarters"]
