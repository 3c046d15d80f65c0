"""Which ports may be listened to: not the kernel's console, and none that another program reads.

Opening a port sets its speed, and a second reader takes half of the bytes. Not every program locks its port.
"""

import os
from pathlib import Path
from typing import Final

from smarty_gateway.sources.ports import serial_ports

_CONSOLES: Final = Path("/sys/class/tty/console/active")
_PROCESSES: Final = Path("/proc")


def ports_to_try(dev: Path) -> list[Path]:
    """Return the serial ports below a folder such as /dev, by the names that last longest."""
    try:
        consoles = _CONSOLES.read_text("ascii").split()
    except OSError:
        consoles = []
    return [port for port in serial_ports(dev) if port.resolve().name not in consoles]


def program_using(port: Path) -> str | None:
    """Return another process that has a port open, as far as this user may see it: name and number."""
    device = str(port.resolve())
    for descriptor in _PROCESSES.glob("[0-9]*/fd/*"):
        process = descriptor.parent.parent
        try:
            if str(descriptor.readlink()) == device and process.name != str(os.getpid()):
                return f"{(process / 'comm').read_text('utf-8', 'replace').strip()} (process {process.name})"
        except OSError:
            continue  # it has ended meanwhile
    return None
