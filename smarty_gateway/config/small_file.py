"""Reads a small file that a user named: keys, settings or a password.

The name may belong to something else: a device, a whole disk, a pipe that nobody writes to. None of them may
block the program or fill its memory. A pipe is allowed, as in `--keys <(gpg -d keys.yaml.gpg)`.
"""

import os
import select
import stat
import time
from pathlib import Path
from typing import Final

from smarty_gateway.config.container import permission_advice
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError

#: Bytes. Such a file has a few pages; a larger one was named by mistake.
MAX_SIZE: Final = 1_000_000
_PIPE_SECONDS: Final = 5.0


class UnreadableFileError(GatewayError):
    """A file cannot be read; the text says why, without its name."""

    exit_status = ExitStatus.UNUSABLE_FILE


class ForbiddenFileError(UnreadableFileError):
    """This user may not read a file; the text says what to do, too."""


def is_there(path: Path) -> bool:
    """True if a path leads to something.

    Since Python 3.14, Path.exists() returns False on every error, as for a folder closed to this user.

    Raises:
        OSError: the system does not say.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no file can have this name
        return False
    return True


def read_small_file(path: Path, pipe_seconds: float = _PIPE_SECONDS) -> bytes:
    """Return the content of a file, or of a pipe until its end.

    Raises:
        UnreadableFileError: it cannot be opened, is not a file, is too large, or has no end.
    """
    try:
        mode = path.stat().st_mode  # before opening, to which some devices react
        if stat.S_ISDIR(mode):
            raise UnreadableFileError("it is a directory, not a file")
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise UnreadableFileError("it is a device, not a file")
        # Without O_NONBLOCK, opening a pipe waits for a writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
            is_pipe = stat.S_ISFIFO(mode)
            data = _read_pipe(file.fileno(), pipe_seconds) if is_pipe else file.read(MAX_SIZE + 1)
    except PermissionError as error:
        raise ForbiddenFileError(f"{error.strerror}; {permission_advice(path)}") from None
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from None
    if len(data) > MAX_SIZE:
        raise UnreadableFileError("it is too large")
    return data


def _read_pipe(descriptor: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = b""
    while len(data) <= MAX_SIZE:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise UnreadableFileError(f"it is a pipe that has not ended within {seconds:g} s")
        chunk = os.read(descriptor, MAX_SIZE)
        if not chunk:
            break
        data += chunk
    return data
