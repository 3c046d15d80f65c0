"""Reads what is left in a damaged history.sqlite3: every page by itself, whatever leads to it.

    page       type 1: 0a leaf, 02 interior | free space 2 | cells 2 | start of cells 2 | fragments 1
               | interior: right child 4 | where each cell begins 2 ...
    cell       interior: left child 4 | length of the record, varint | record
    record     length of its header, varint | type of each column, varint ... | values ...

(https://www.sqlite.org/fileformat2.html, 1.6 and 2.1.) All tables are WITHOUT ROWID, so their rows are
records of indexes; no row is so long that it goes on in another page. What a record means is for the
caller to decide, by its checksum.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.state.history_schema import Row

PAGE_SIZE: Final = 4096
#: By the type of a page: where the places of its cells begin, and where in a cell its record does.
_PLACES: Final = {0x0A: (8, 0), 0x02: (12, 4)}
#: More columns than any table has.
_COLUMNS_MAX: Final = 32
#: Bytes of an integer by its type (2.1).
_INTEGER_SIZES: Final = (0, 1, 2, 3, 4, 6, 8)
_NULL, _ZERO, _ONE = 0, 8, 9
_FIRST_TEXT: Final = 13


def records_in(path: Path) -> Iterator[Row]:
    """Yield each record of a file that can still be read, in no useful order."""
    with path.open("rb") as file:
        file.seek(PAGE_SIZE)  # the first page describes the tables
        while page := file.read(PAGE_SIZE):
            yield from _records_of(page)


def _records_of(page: bytes) -> Iterator[Row]:
    places, begin = _PLACES.get(page[0], (0, 0))
    for place in range(places, places + 2 * int.from_bytes(page[3:5]) if places else 0, 2):
        try:
            yield _record(page, int.from_bytes(page[place : place + 2]) + begin)
        except (IndexError, ValueError):
            continue  # damaged; UnicodeDecodeError is a ValueError


def _record(page: bytes, at: int) -> Row:
    length, at = _varint(page, at)
    header, types_at = _varint(page, at)
    end, values_at = at + length, at + header
    if end > len(page):
        raise IndexError
    values: list[int | str | None] = []
    while types_at < at + header and len(values) < _COLUMNS_MAX:
        kind, types_at = _varint(page, types_at)
        value, values_at = _value(kind, page, values_at)
        values.append(value)
    if values_at != end:
        raise ValueError
    return tuple(values)


def _value(kind: int, page: bytes, at: int) -> tuple[int | str | None, int]:
    if kind == _NULL:
        return None, at
    if kind in (_ZERO, _ONE):
        return kind - _ZERO, at
    if kind < len(_INTEGER_SIZES):
        end = at + _INTEGER_SIZES[kind]
        return int.from_bytes(page[at:end], signed=True), end
    if kind < _FIRST_TEXT or kind % 2 == 0:
        raise ValueError  # neither an integer nor a text
    end = at + (kind - _FIRST_TEXT) // 2
    return page[at:end].decode(), end


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to nine bytes, and where the next one begins (1.6)."""
    number = 0
    for place in range(at, at + 8):
        number = number << 7 | page[place] & 0x7F
        if page[place] < 0x80:
            return number, place + 1
    return number << 8 | page[at + 8], at + 9
