"""Drops the rights of root, with which the app of Home Assistant starts: its options are for root alone.

What stays is a user that owns the state folder and may read the serial ports. To get there takes the
capabilities chown, fowner, dac_override, setgid and setuid, which Docker grants.
"""

import ctypes
import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.sources.address import Kind
from smarty_gateway.sources.ports import serial_ports

_log = logging.getLogger(__name__)

#: The group `dialout` of a port that is plugged in later: in Home Assistant OS (system/skeleton/etc/group of
#: Buildroot), and on Debian with Supervisor (group.master of base-passwd).
_DIALOUT: Final = (18, 20)
#: What the kernel calls serial ports; a group of another device, such as a disk, is never taken.
_SERIAL: Final = re.compile(r"/dev/(tty[A-Z]\w*|pts/[0-9]+)")
_READ_AND_WRITE: Final = stat.S_IRGRP | stat.S_IWGRP
#: Of prctl(2).
_NO_NEW_PRIVS: Final = 38


class StillPrivilegedError(GatewayError):
    """The process cannot give up root; the text is one line and says what to do."""

    exit_status = ExitStatus.REJECTED


class NeedsRootError(GatewayError):
    """The configuration asks for what only root can do."""

    exit_status = ExitStatus.UNUSABLE_FILE


def become_unprivileged(config: Config, state: Path, user: int) -> None:
    """Go on as a user and a group of this number, with the groups of the serial ports, for good.

    Called as root, before any thread starts.

    Args:
        config: names the serial ports.
        state: the state folder; it is made, and belongs to the user with all that is in it.
        user: the number.

    Raises:
        NeedsRootError: the configuration cannot be used without root.
        StillPrivilegedError: the process would keep rights, or could not use its state.
    """
    if any(pty.group is not None for pty in config.outputs.pty):
        raise NeedsRootError(
            "pty: the app cannot give a terminal to a group; remove `group:`, or use `tcp:`, which other "
            "apps can connect to"
        )
    groups = sorted({*_DIALOUT, *_port_groups(config)})
    try:
        _give(state, user)
    except (OSError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is nested too deeply"
        raise StillPrivilegedError(
            f"the state folder {state} cannot be given to the app's user: {why}; restore the app "
            "from a backup, or install it again"
        ) from None
    try:
        _change_user(user, groups)
    except OSError as error:
        raise StillPrivilegedError(
            f"the app cannot give up the rights of root: {error.strerror}; install the newest version of the "
            "app and of Home Assistant"
        ) from None
    _log.debug("running as user %d with the groups %s", user, groups)


def _port_groups(config: Config) -> Iterator[int]:
    """Yield the groups of the configured serial ports, and of all that are there.

    A port that is plugged in later has the group of its neighbours.
    """
    configured = [
        source.path for meter in config.meters for source in meter.sources if source.kind is Kind.SERIAL
    ]
    for port in (*configured, *serial_ports()):
        with suppress(OSError):  # it is not there yet
            found = port.stat()
            is_serial = stat.S_ISCHR(found.st_mode) and _SERIAL.fullmatch(str(port.resolve())) is not None
            if is_serial and found.st_gid and found.st_mode & _READ_AND_WRITE == _READ_AND_WRITE:
                yield found.st_gid


def _give(folder: Path, user: int) -> None:
    """Make a user the owner of a folder and of what is in it; a restored backup may be another's.

    No symbolic link is followed, and a file that has a second name elsewhere stays as it is: the user could
    have made either while it had the folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink():
        raise NotADirectoryError(0, "it is a symbolic link")
    for _, _, files, descriptor in os.fwalk(folder, onerror=_fail):
        if not _is_of(user, os.fstat(descriptor)):
            os.fchown(descriptor, user, user)
        for name in files:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            if found.st_nlink == 1 and not _is_of(user, found):
                os.chown(name, user, user, dir_fd=descriptor, follow_symlinks=False)
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)


def _is_of(user: int, found: os.stat_result) -> bool:
    return found.st_uid == found.st_gid == user


def _fail(error: OSError) -> None:
    raise error


def _change_user(user: int, groups: list[int]) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.umask(0o077)
    os.setgroups(groups)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)  # takes all capabilities
    ids = (*os.getresuid(), *os.getresgid())
    if set(ids) != {user} or sorted(os.getgroups()) != groups:
        raise PermissionError(0, f"user, group and groups are {ids} and {os.getgroups()}")
    with suppress(PermissionError):
        os.setuid(0)
        raise OSError(0, "it can become root again")
