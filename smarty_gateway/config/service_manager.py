"""Tells systemd that the program is ready, alive and stopping, where systemd asks for it.

The protocol is one datagram a message (sd_notify(3)), which needs no library.
"""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send a state such as `READY=1`; does nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # a name of Linux's own, which begins with a NUL
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        sender.sendto(state.encode(), address)


def watchdog_seconds() -> float | None:
    """Return half the service manager's watchdog interval; None if there is no watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 / 2
