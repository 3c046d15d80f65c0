"""A folder for the files that a door opens; in memory where the system has such a place."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

_IN_MEMORY: Final = "/dev/shm"  # noqa: S108 - the folder in it has a random name
FOLDER: Final = Path(
    tempfile.mkdtemp(prefix="smarty-fuzz-", dir=_IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None)
)
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


def written(data: bytes, name: str) -> Path:
    """Write a file, over the last one of this name, and return its path."""
    path = FOLDER / name
    path.write_bytes(data)
    return path
