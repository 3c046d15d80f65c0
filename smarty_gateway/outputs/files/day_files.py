"""Files with one reading a line, one a day and meter, which only grow.

A file is opened for each line. That takes a hundredth of a millisecond, and a folder that was deleted, moved
or replaced is found at once. A line that a crash or a full disk has torn is cut off before the next one.
"""

import contextlib
import csv
import hashlib
import itertools
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from smarty_gateway.outputs.csv_lines import csv_line, csv_text
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.plain_values import Value, flat, plain

_log = logging.getLogger(__name__)

#: Never for all users of the machine: readings tell when somebody is at home. The umask may take more.
_FOLDER_MODE: Final = 0o750
_FILE_MODE: Final = 0o640
#: Bytes of a folder's name; file systems have 255.
_LONGEST_NAME: Final = 160
_NOT_IN_NAMES: Final = re.compile(r"^\.|[^\w.-]|\.$")
_BLOCK: Final = 1 << 16


def folder_name(meter: str) -> str:
    """Return the name of a meter's folder: never a path, and never that of another meter.

    Letters, digits, `_`, `-` and inner dots stay; all else becomes `%` with its bytes, as in a URL.
    """
    name = _NOT_IN_NAMES.sub(_escaped, meter) or "%"
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(meter.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"{name.encode()[: _LONGEST_NAME - 33].decode('utf-8', 'ignore')}~{digest}"


def _escaped(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class _Place:
    """Where the next line of a meter goes.

    Attributes:
        part: of the day; further ones follow where a file was compressed or lacks a column.
        columns: of CSV.
    """

    day: str
    part: int = 1
    columns: tuple[str, ...] = ()

    @property
    def stem(self) -> str:
        """The name of the file without its ending."""
        return self.day if self.part == 1 else f"{self.day}-{self.part}"


class DayFiles:
    """The files in one folder.

    Args:
        folder: is made if its parent is there: where that is missing, a disk may not be mounted.
        form: `jsonl` or `csv`.
    """

    def __init__(self, folder: Path, form: str) -> None:
        self._folder = folder
        self._form = form
        self._places: dict[str, _Place] = {}
        self._name_of = lru_cache(maxsize=2048)(folder_name)

    def forget(self, meter: str) -> None:
        """Forget a meter; its files stay."""
        self._places.pop(meter, None)

    def is_in_use(self, path: str) -> bool:
        """True if the next line of a meter may go into a file."""
        places = list(self._places.items())
        return any(self._path(meter, place) == path for meter, place in places)

    def append(self, reading: Reading, day: str) -> None:
        """Write a reading into the file of a day, such as 2026-11-22.

        Raises:
            OSError: it was not written, and nothing of it is left in the file.
        """
        place = self._places.get(reading.meter)
        if place is None or place.day != day:
            place = _Place(day, columns=() if place is None else place.columns)
            self._places[reading.meter] = place
        row = flat(reading.record) if self._form == "csv" else None
        while not self._is_written(reading, place, row):
            place.part += 1

    def _path(self, meter: str, place: _Place) -> str:
        return f"{self._folder}/{self._name_of(meter)}/{place.stem}.{self._form}"

    def _is_written(self, reading: Reading, place: _Place, row: Mapping[str, Value] | None) -> bool:
        """Write a reading; False if the file is closed, or lacks a column."""
        path = self._path(reading.meter, place)
        descriptor = self._open(path)
        if descriptor is None:
            return False
        try:
            size = cut_torn_line(descriptor, path)
            if row is None:
                text = reading.json + b"\n"
            elif (lines := _csv_lines(descriptor, size, place, row)) is None:
                return False
            else:
                text = lines
            _write(descriptor, text, size)
        finally:
            os.close(descriptor)
        return True

    def _open(self, path: str) -> int | None:
        """Open a file, and make it if it is new; None if it was compressed."""
        # Who may write to the folder could lead a name to any file of the gateway, such as its keys.
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            if os.path.lexists(f"{path}.gz"):
                return None
        for folder in (self._folder, Path(path).parent):
            with contextlib.suppress(FileExistsError):
                folder.mkdir(_FOLDER_MODE)
        return os.open(path, flags | os.O_CREAT, _FILE_MODE)


def cut_torn_line(descriptor: int, path: str) -> int:
    """Cut what stands behind the last end of a line, and return the size of the file."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    begin, kept = size, 0
    while begin and not kept:
        end, begin = begin, max(0, begin - _BLOCK)
        kept = begin + 1 + os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if kept == begin:
            kept = 0
    os.ftruncate(descriptor, kept)
    _log.warning("%s: an incomplete line of %d bytes at its end was cut off", path, size - kept)
    return kept


def _write(descriptor: int, text: bytes, size: int) -> None:
    """Append a text; of one that does not fit nothing is left."""
    view = memoryview(text)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _csv_lines(descriptor: int, size: int, place: _Place, row: Mapping[str, Value]) -> bytes | None:
    """Return what to append; None if the file has no column for one of the values."""
    if size:
        place.columns, known = _columns_of(descriptor, size, place.columns), place.columns
        if not row.keys() <= set(place.columns):
            place.columns = tuple(dict.fromkeys((*place.columns, *known, *row)))
            return None
        head = b""
    else:
        place.columns = tuple(dict.fromkeys((*place.columns, *row)))
        head = _head(place.columns)
    cells = [_cell(row.get(name)) for name in place.columns]
    return head + csv_line(cells).encode() + b"\n"


def _head(columns: tuple[str, ...]) -> bytes:
    return csv_line(columns).encode() + b"\n"


def _columns_of(descriptor: int, size: int, expected: tuple[str, ...]) -> tuple[str, ...]:
    head = _head(expected)
    if os.pread(descriptor, len(head), 0) == head:
        return expected
    line = b""
    for begin in itertools.count(step=_BLOCK):
        line += os.pread(descriptor, _BLOCK, begin)
        if b"\n" in line or begin >= size:
            break
    return tuple(next(csv.reader([line.partition(b"\n")[0].decode("utf-8", "replace")]), ()))


def _cell(value: Value | None) -> str:
    if value is None:
        return ""
    return csv_text(value) if isinstance(value, str) else plain(value)
