"""How a command ends (docs/reference.md, "Commands")."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses that users and service managers can rely on."""

    GOOD = 0
    REJECTED = 1  #: something was rejected, or nothing was found
    WRONG_USAGE = 2  #: or no such input
    UNUSABLE_FILE = 78  #: a key file or configuration; EX_CONFIG of sysexits.h
    INTERRUPTED = 130  #: as shells report Ctrl-C
