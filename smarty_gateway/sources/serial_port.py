"""Serial ports of this machine, and those that an RFC 2217 server lends.

pyserial's `PosixPollSerial` for ports of this machine, because the usual class ends at descriptor
1023; opened with `exclusive`, because two readers of one port each get half of every telegram. It is
read with poll() and read(): pyserial's own `read` waits out its whole timeout for many bytes, and
in version 3.5 this class fails when nothing comes.
"""

import contextlib
import errno
import grp
import os
import select
import termios
from pathlib import Path
from typing import Any, Final

import serial
from serial.serialposix import PosixPollSerial

from smarty_gateway.sources.address import Address, Kind, LineSettings
from smarty_gateway.sources.container import is_home_assistant_app, is_in_container, port_advice
from smarty_gateway.sources.ports import ports_instead
from smarty_gateway.sources.source import READ_SECONDS, Cause, SourceLost

#: For RFC 2217, whose reads cannot be interrupted.
_LENT_SECONDS: Final = 1.0
_CHUNK: Final = 4096
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
        self._poll = select.poll()
        self._port: Any = None  # pyserial's classes share no type that says all that is used here

    def open(self) -> None:
        """Open the port with the present settings."""
        framing = self.line.framing
        settings: dict[str, Any] = {
            "baudrate": self.line.speed,
            "bytesize": int(framing[0]),
            "parity": framing[1],
            "stopbits": int(framing[2]),
            "timeout": _LENT_SECONDS,
        }
        try:
            if self._address.kind is Kind.RFC2217:
                # Not every server answers when RTS and DTR are set, and P1 does not need the answer.
                self._port = serial.serial_for_url(f"{self._address.text}?ign_set_control", **settings)
            else:
                self._port = PosixPollSerial(str(self._address.path), exclusive=True, **settings)
                self._poll = select.poll()
                self._poll.register(self._port.fd, select.POLLIN)
                self._poll.register(self._port.pipe_abort_read_r, select.POLLIN)
        except _FOREIGN as error:
            raise SourceLost(*self._why(error)) from None

    def read(self, seconds: float = READ_SECONDS) -> bytes:
        """Return the bytes that have arrived."""
        port = self._port
        if port is None:
            raise SourceLost("the port is closed")
        try:
            return _read_lent(port) if self._address.kind is Kind.RFC2217 else self._read_own(port, seconds)
        except _FOREIGN:
            if self._address.kind is Kind.RFC2217:
                raise SourceLost(f"the connection to {self._address} broke") from None
            raise SourceLost("the adapter was pulled out, or lost its power") from None

    def _read_own(self, port: Any, seconds: float) -> bytes:  # noqa: ANN401 - see `_port`
        ready = self._poll.poll(seconds * 1000)
        if not any(descriptor == port.fd for descriptor, _ in ready):
            return b""
        data = os.read(port.fd, _CHUNK)
        if not data:
            # A terminal that is ready and has no bytes has hung up, or another program has read them.
            if self._address.path.exists() and not any(event & select.POLLHUP for _, event in ready):
                raise SourceLost(
                    "the port says there is data and has none: another program reads it too, or the adapter "
                    f"was pulled out; {_busy_advice(self._address.path)}"
                )
            raise SourceLost("the adapter was pulled out, or lost its power")
        return data

    def close(self) -> None:
        """Close the port."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(*_FOREIGN):
                port.close()

    def interrupt(self) -> None:
        """Wake a thread that reads."""
        port = self._port
        if port is not None and self._address.kind is Kind.SERIAL:
            with contextlib.suppress(*_FOREIGN):
                port.cancel_read()

    def _why(self, error: Exception) -> tuple[str, Cause]:
        """Return why a port cannot be opened, with what to do, and the cause."""
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
        message = f"the port cannot be opened: {os.strerror(number) if number else error}"
        if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
            message, cause = f"the port is not there; {ports_instead(str(path))}", Cause.AWAY
        elif number in (errno.EACCES, errno.EPERM):
            message, cause = f"no permission to read the port: {_permission_advice(path)}", Cause.PERMISSION
        elif number in (errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK) or "lock" in str(error):
            message, cause = f"another program uses the port; {_busy_advice(path)}", Cause.BUSY
        elif number == errno.ENOTTY or isinstance(error, termios.error) or "configure port" in str(error):
            message = "this is not a serial port"
        elif isinstance(error, ValueError):
            message = f"the port does not support {self.line}"
        return message, cause


def _read_lent(port: Any) -> bytes:  # noqa: ANN401 - see `_port`
    """Read from an RFC 2217 server, whose client has a thread and a buffer of its own."""
    data: bytes = port.read(1)
    if data and (waiting := port.in_waiting):
        data += port.read(waiting)
    return data


def _busy_advice(path: Path) -> str:
    if is_home_assistant_app():
        return "remove the port from the other app or integration of Home Assistant that reads it"
    return f"find it with: fuser -v {path}"


def _permission_advice(path: Path) -> str:
    if is_in_container():
        return port_advice(path)
    if is_home_assistant_app():
        return "restart the app, which then takes the groups of all serial ports"
    try:
        group = grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return f"look at: ls -l {path}"
    if group == "root":
        return f"only root may read it; look at: ls -l {path}"
    return f"it belongs to the group {group}; type: sudo usermod -aG {group} $USER, then log in again"
