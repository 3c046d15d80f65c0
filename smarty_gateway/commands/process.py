"""What a command sets for its whole process."""

import ctypes
import resource
from contextlib import suppress
from typing import Final

#: Of mallopt(3), in <malloc.h> of the GNU C library.
_ARENA_MAX: Final = -8


def allow_many_files() -> None:
    """Raise the limit of open files: a serial port takes five, and a thousand clients one each."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def share_memory() -> None:
    """Make all threads take memory from one arena, as there are many of them; called before they start.

    The GNU C library gives threads up to eight arenas a processor, each of which keeps the most that was ever
    in use in it.
    """
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
