"""Reads a small file that a user named: keys, settings or a password.

What was named may be something else: a device, a whole disk, a pipe that nobody writes to. None of them
may hold up the program or fill its memory. A pipe is allowed, as in `--keys <(gpg -d keys.yaml.gpg)`.
"""

import os
import select
import stat
import time
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.errors import GatewayError

#: Such a file is a few pages at most; whatever is larger was named by mistake.
_MAX_SIZE: Final = 1_000_000
_PIPE_SECONDS: Final = 5.0


class UnreadableFileError(GatewayError):
    """A file cannot be read; the text says why, without its name."""


def read_small_file(path: Path, pipe_seconds: float = _PIPE_SECONDS) -> bytes:
    """Return what a file holds, or what comes out of a pipe until its end.

    Raises:
        UnreadableFileError: it cannot be opened, is no file, is too large, or has no end.
    """
    try:
        mode = path.stat().st_mode  # before it is opened, which some devices feel
        if stat.S_ISDIR(mode):
            raise UnreadableFileError("it is a directory, not a file")
        if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
            raise UnreadableFileError("it is a device, not a file")
        # Without O_NONBLOCK a pipe opens only when somebody writes to it.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:
            is_pipe = stat.S_ISFIFO(mode)
            data = _read_pipe(file.fileno(), pipe_seconds) if is_pipe else file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise UnreadableFileError(error.strerror or str(error)) from None
    if len(data) > _MAX_SIZE:
        raise UnreadableFileError("it is far too large")
    return data


def _read_pipe(descriptor: int, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = b""
    while len(data) <= _MAX_SIZE:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise UnreadableFileError(f"it is a pipe that has not ended within {seconds:g} s")
        chunk = os.read(descriptor, _MAX_SIZE)
        if not chunk:
            break
        data += chunk
    return data
