"""The serial ports of this machine, by names that last. No port is opened.

The kernel numbers adapters in the order in which it finds them, so ttyUSB0 may be another adapter after a
restart. udev adds links that last: by-id names the adapter, by-path the socket that it is plugged into. Two
adapters of one make without a serial number have the same name by-id, and only one of them gets it.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.sources.container import MISSING_PORT_ADVICE, is_in_container

_DEV: Final = Path("/dev")
#: The best names first.
_PATTERNS: Final = ("serial/by-id/*", "serial/by-path/*", "ttyUSB*", "ttyACM*", "ttyAMA*")
#: A machine may have many ports, and a message is one line.
_LISTED: Final = 6
_WITHOUT_FOLDER: Final = re.compile(r"(?:tty|cu\.|usb-|serial/)\S*|COM\d+:?", re.IGNORECASE)
#: Of 0 to 1: as near as `ttyUBS0` is to `ttyUSB0`, and nearer than the names of two makers are.
_NEAR: Final = 0.8


def serial_ports(dev: Path = _DEV) -> list[Path]:
    """Return the serial ports that are there, each by the name that lasts longest."""
    found: dict[Path, Path] = {}
    for name in _names(dev):
        found.setdefault(name.resolve(), name)
    return list(found.values())


def lasting_name(port: Path, dev: Path = _DEV) -> Path:
    """Return the name of a port that lasts longest; the given one where the system has none."""
    device = Path(os.path.realpath(port))  # a link to itself is an error to `resolve`
    return next((name for name in _names(dev) if name.resolve() == device), port)


def lacks_folder(text: str) -> bool:
    """True if a text is the name of a port without its folder, such as ttyUSB0, or as Windows writes it."""
    return _WITHOUT_FOLDER.fullmatch(text) is not None


def ports_instead(missing: str, dev: Path = _DEV) -> str:
    """Return, for a message, the ports that are there instead of a missing one."""
    ports = serial_ports(dev)
    if not ports:
        return MISSING_PORT_ADVICE if is_in_container() else "no serial port is plugged in"
    names = {name.name.lower(): name for name in _names(dev)}
    near = difflib.get_close_matches(Path(missing).name.lower(), names, n=1, cutoff=_NEAR)
    guess = f"did you mean {lasting_name(names[near[0]], dev)}? " if near else ""
    more = f" and {len(ports) - _LISTED} more" if len(ports) > _LISTED else ""
    return f"{guess}ports that are there: {', '.join(map(str, ports[:_LISTED]))}{more}"


def _names(dev: Path) -> Iterator[Path]:
    for pattern in _PATTERNS:
        yield from sorted(path for path in dev.glob(pattern) if path.exists())
