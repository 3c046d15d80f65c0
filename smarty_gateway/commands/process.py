"""What a command sets for its whole process."""

import resource
from contextlib import suppress


def allow_many_files() -> None:
    """Raise the limit of open files: a serial port takes five, and a thousand clients one each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
