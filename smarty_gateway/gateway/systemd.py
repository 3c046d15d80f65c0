"""Tells systemd that the gateway is ready, alive and stopping, where systemd asks for it.

The protocol is one datagram a message (sd_notify(3)), which needs no library.
"""

import contextlib
import os
import socket
from collections.abc import Mapping

from smarty_gateway.outputs.output import GatewayHealth, Health


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


def status_line(meters: int, health: Mapping[str, Health], gateway: GatewayHealth) -> str:
    """Return what `systemctl status` shows: how many meters can be heard, and how the outputs are.

    Args:
        meters: how many are configured.
        health: of the meters that were heard, by name.
        gateway: the outputs.
    """
    sending = sum(each.is_connected and each.last_telegram is not None for each in health.values())
    outputs = ", ".join(f"{name} {state}" for name, state in gateway.outputs.items())
    return f"{sending} of {max(meters, sending)} meters heard; {outputs}"


def watchdog_seconds() -> float | None:
    """Return half the service manager's watchdog interval; None if there is no watchdog."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(microseconds) / 1e6 / 2
