"""How a command ends, as the contract fixes it."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses that users and service managers can rely on."""

    GOOD = 0
    REJECTED = 1  #: something was rejected, or nothing was found
    WRONG_USAGE = 2  #: or no such input
    UNUSABLE_FILE = 78  #: keys or settings; EX_CONFIG of sysexits.h
    INTERRUPTED = 130  #: as shells report Ctrl-C
