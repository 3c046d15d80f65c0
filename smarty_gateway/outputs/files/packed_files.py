"""Compresses the files of days that are long over, a little at a time, so that readings never wait long.

A file is complete under its new name before the old one is removed, so a crash loses nothing: what it leaves
behind is removed or done again.
"""

import contextlib
import errno
import gzip
import io
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.files.day_files import cut_torn_line

_log = logging.getLogger(__name__)

Steps = Generator[None, None, None]

#: Seconds between two searches for old files.
_SEARCH_EVERY: Final = 3600.0
#: About a hundredth of a second of a desktop's processor, a tenth of a small computer's.
_STEP: Final = 1 << 18
_LEVEL: Final = 6
#: zlib: the largest window, with the header and the trailer of gzip.
_GZIP: Final = 31
_TEMPORARY: Final = ".gz.tmp"
_OURS: Final = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)(-\d+)?\.(jsonl|csv)")
#: How each file of readings begins: files of others are left alone, whatever their names are.
_BEGINNINGS: Final = (b'{"meter":', b"meter,")


class PackedFiles:
    """The files in one folder that are to be compressed.

    Args:
        folder: holds a folder for each meter.
        days: after which a file is compressed.
        zone: of the days.
        is_in_use: tells which files are written at the moment.
    """

    def __init__(self, folder: Path, days: int, zone: ZoneInfo, is_in_use: Callable[[str], bool]) -> None:
        self._folder = folder
        self._days = timedelta(days)
        self._zone = zone
        self._is_in_use = is_in_use
        self._fault = Condition(_log.error, cleared=_log.info)
        self._steps: Steps | None = None
        self._next = 0.0

    def step(self) -> bool:
        """Do a little, and return True if there is more to do."""
        if self._steps is None:
            if time.monotonic() < self._next:
                return False
            last = (datetime.now(UTC).astimezone(self._zone) - self._days).date().isoformat()
            self._steps = self._search(last)
        for _ in self._steps:
            return True
        self.close()
        self._next = time.monotonic() + _SEARCH_EVERY
        return False

    def close(self) -> None:
        """Stop, and remove a file that is not complete."""
        if self._steps is not None:
            self._steps.close()
        self._steps = None

    def _search(self, last: str) -> Steps:
        """Compress the files of all days up to this one."""
        has_failed = False
        for folder in _entries(self._folder):
            yield
            for path in self._old_files(folder, last):
                try:
                    yield from _pack(path)
                except OSError as error:
                    has_failed = True
                    why = f"the files output cannot compress {path}: {error.strerror}"
                    self._fault.begin(f"{why}; trying again every hour")
        if not has_failed:
            self._fault.end("the files output compresses old files again")

    def _old_files(self, folder: Path, last: str) -> Iterator[Path]:
        for path in [] if folder.is_symlink() else _entries(folder):
            is_temporary = path.name.startswith(".") and path.name.endswith(_TEMPORARY)
            found = _OURS.fullmatch(path.name[1 : -len(_TEMPORARY)] if is_temporary else path.name)
            if found is None or found["day"] > last:
                continue
            if is_temporary:  # of a run that was killed
                with contextlib.suppress(OSError):
                    path.unlink()
            elif not self._is_in_use(str(path)):
                yield path


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder; nothing where there is none."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _pack(path: Path) -> Steps:
    """Compress a file in small steps; nothing happens if it grows meanwhile, or is none of ours."""
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")  # hidden from `*.jsonl*`
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as plain:  # a buffer would not see what is cut off
        if not plain.read(16).startswith(_BEGINNINGS):
            return
        cut_torn_line(descriptor, str(path))
        yield from _check_older(path, plain)
        plain.seek(0)
        before = os.fstat(descriptor)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as packed:
                os.fchmod(packed.fileno(), before.st_mode & 0o777)
                compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
                while chunk := plain.read(_STEP):
                    packed.write(compressor.compress(chunk))
                    yield
                packed.write(compressor.flush())
                packed.flush()
                size = plain.tell()
                os.fsync(packed.fileno())
            os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
            now = path.stat()
            if (now.st_ino, now.st_size) == (before.st_ino, size):
                _replace(path, temporary)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _check_older(path: Path, plain: io.FileIO) -> Steps:
    """Check that a compressed file of this name holds nothing but the beginning of the plain one.

    A crash leaves both. What a person has put there is never overwritten.
    """
    plain.seek(0)
    try:
        with gzip.open(f"{path}.gz") as older:
            while piece := older.read(_STEP):
                if plain.read(len(piece)) != piece:
                    raise FileExistsError(
                        errno.EEXIST, "another compressed file has its name; rename that one"
                    )
                yield
    except FileNotFoundError:
        return
    except (EOFError, zlib.error) as error:
        raise FileExistsError(errno.EEXIST, "a damaged compressed file has its name; remove that") from error


def _replace(path: Path, temporary: Path) -> None:
    """Put the compressed file into the place of the plain one; it is on the disk before that is removed."""
    temporary.rename(f"{path}.gz")
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    path.unlink()
