"""Whether the clock of this machine is synchronised, by what the kernel says.

Only then the gateway's clock is believed more than a meter's. What cannot be told counts as not synchronised:
the grid operator sets the clock of a meter, and nobody may set the one of a small computer without network.
A container shares the clock of its host, and the kernel answers there, too. A service may not ask the kernel
(SystemCallFilter= of its unit), and looks at what systemd-timesyncd leaves.
"""

import ctypes
import sys
from pathlib import Path
from typing import Final

#: More than `struct timex` of any Linux.
_SIZE: Final = 512
#: STA_UNSYNC in <linux/timex.h>.
_UNSYNCHRONISED: Final = 0x40
#: TIME_ERROR, what adjtimex(2) returns for a clock that is not synchronised.
_ERROR: Final = 5
#: systemd-timesyncd.service(8): is there once the clock was set since the start of the machine.
_TIMESYNCD: Final = Path("/run/systemd/timesync/synchronized")


class _Timex(ctypes.Structure):
    """The beginning of `struct timex`, up to what is read here."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * _SIZE),
    )


def is_synchronised() -> bool:
    """True if the kernel says that something keeps the clock of this machine right."""
    if sys.platform != "linux":
        return False
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):  # a C library without it
        return False
    found = _Timex(modes=0)  # asks, and changes nothing
    state = int(adjtimex(ctypes.byref(found)))
    if state < 0:
        return _TIMESYNCD.exists()
    return state != _ERROR and not found.status & _UNSYNCHRONISED
