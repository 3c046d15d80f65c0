"""Serial ports of this machine, and those that an RFC 2217 server lends.

pyserial's `PosixPollSerial` for ports of this machine, because the usual class ends at descriptor
1023; opened with `exclusive`, because two readers of one port each get half of every telegram. Reading
waits for one byte and then takes what is there: a read of many bytes would wait out its whole
timeout.
"""

import contextlib
import errno
import grp
import os
import termios
from pathlib import Path
from typing import Any, Final

import serial
from serial.serialposix import PosixPollSerial

from smarty_gateway.sources.address import Address, Kind, LineSettings
from smarty_gateway.sources.source import Cause, SourceLost

_READ_SECONDS: Final = 1.0
_BY_ID: Final = Path("/dev/serial/by-id")
#: What pyserial and the operating system raise when an adapter is pulled out.
_FOREIGN: Final = (serial.SerialException, OSError, termios.error, ValueError, TypeError)


class SerialSource:
    """A serial port.

    Attributes:
        line: speed and framing from the next `open` on.
    """

    def __init__(self, address: Address, line: LineSettings) -> None:
        self._address = address
        self.line = line
        self._port: Any = None  # pyserial's classes share no type that says all that is used here

    def open(self) -> None:
        """Open the port with the present settings."""
        framing = self.line.framing
        settings: dict[str, Any] = {
            "baudrate": self.line.speed,
            "bytesize": int(framing[0]),
            "parity": framing[1],
            "stopbits": int(framing[2]),
            "timeout": _READ_SECONDS,
        }
        try:
            if self._address.kind is Kind.RFC2217:
                self._port = serial.serial_for_url(self._address.text, **settings)
            else:
                self._port = PosixPollSerial(str(self._address.path), exclusive=True, **settings)
        except _FOREIGN as error:
            raise SourceLost(*self._why(error)) from None

    def read(self) -> bytes:
        """Give what has arrived."""
        port = self._port
        if port is None:
            raise SourceLost("the port is closed")
        try:
            data: bytes = port.read(1)
            if data and (waiting := port.in_waiting):
                data += port.read(waiting)
        except _FOREIGN as error:
            if self._address.kind is Kind.RFC2217:
                raise SourceLost(f"the connection to {self._address} broke") from None
            if "multiple access" in str(error) and self._address.path.exists():
                raise SourceLost(
                    "the port says there is data and has none: another program reads it too, or the adapter "
                    "was pulled out"
                ) from None
            raise SourceLost("the adapter was pulled out, or lost its power") from None
        return data

    def close(self) -> None:
        """Close the port."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(*_FOREIGN):
                port.close()

    def interrupt(self) -> None:
        """Do nothing: a read comes back within a second."""

    def _why(self, error: Exception) -> tuple[str, Cause]:
        """Say in words why a port cannot be opened, and what to do."""
        if self._address.kind is Kind.RFC2217:
            host, port = self._address.host, self._address.port
            return (
                f"no RFC 2217 server answers at {host}:{port}: is it running, and this its port?",
                Cause.AWAY,
            )
        number = getattr(error, "errno", None) or (
            error.args[0] if error.args and isinstance(error.args[0], int) else None
        )
        path = self._address.path
        cause = Cause.UNFIT
        words = f"the port cannot be opened: {os.strerror(number) if number else error}"
        if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
            words, cause = f"the port is not there: plug the adapter in{ports_there(path)}", Cause.AWAY
        elif number in (errno.EACCES, errno.EPERM):
            words, cause = f"no permission to read the port: {_permission_advice(path)}", Cause.PERMISSION
        elif number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "lock" in str(error):
            words, cause = f"another program uses the port; find it with: fuser -v {path}", Cause.BUSY
        elif number == errno.ENOTTY or isinstance(error, termios.error):
            words = "this is no serial port"
        elif isinstance(error, ValueError):
            words = f"the port cannot do {self.line}"
        return words, cause


def ports_there(missing: Path) -> str:
    """Name the ports that are there, for someone who looks for one."""
    found = sorted(str(path) for path in _BY_ID.glob("*")) if _BY_ID.is_dir() else []
    found = found or [
        str(path) for pattern in ("ttyUSB*", "ttyACM*") for path in sorted(Path("/dev").glob(pattern))
    ]
    found = [name for name in found if name != str(missing)]
    return f" (there are: {', '.join(found[:4])})" if found else ""


def _permission_advice(path: Path) -> str:
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return f"look at: ls -l {path}"
    return f"it belongs to the group {group}; type: sudo usermod -aG {group} $USER, then log in again"
