"""TCP: ser2net, esp-link and P1 bridges that send the bytes of a P1 port as they are.

A plain socket, because pyserial's `socket://` loses what has arrived when the peer closes. Some
servers speak telnet: what follows an IAC (RFC 854) is skipped.
"""

import contextlib
import re
import select
import socket
from typing import Final

from smarty_gateway.sources.address import Address
from smarty_gateway.sources.source import READ_SECONDS, SourceLost

_CONNECT_SECONDS: Final = 4.0
_CHUNK: Final = 16384
#: Three lost probes of 20 s after a minute: so a peer that vanished is noticed.
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 20, "TCP_KEEPCNT": 3}


class TcpSource:
    """A TCP connection to one host and port."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._telnet = TelnetFilter()

    def open(self) -> None:
        """Connect."""
        host, port = self._address.host, self._address.port
        self._telnet = TelnetFilter()
        try:
            connected = socket.create_connection((host, port), timeout=_CONNECT_SECONDS)
        except ConnectionRefusedError:
            raise SourceLost(
                f"{host} refuses connections on port {port}: is its server running, and is this its port?"
            ) from None
        except TimeoutError:
            raise SourceLost(f"{host} does not answer: is it switched on, and in this network?") from None
        except (socket.gaierror, UnicodeError):
            raise SourceLost(f"unknown host {host}: check the name, or use its IP address") from None
        except OSError as error:
            raise SourceLost(f"no connection to {host}:{port}: {error.strerror or error}") from None
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEP_ALIVE.items():
            if hasattr(socket, option):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        connected.settimeout(0)
        self._poll = select.poll()
        self._poll.register(connected, select.POLLIN)
        self._socket = connected

    def read(self, seconds: float = READ_SECONDS) -> bytes:
        """Return the bytes that have arrived."""
        connection = self._socket
        if connection is None:
            raise SourceLost("the connection is closed")
        try:
            # A timeout of recv() would hold a buffer for each silent meter.
            if not self._poll.poll(seconds * 1000):
                return b""
            data = connection.recv(_CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise SourceLost(f"the connection broke: {error.strerror or error}") from None
        if not data:
            raise SourceLost(
                "the other side closed the connection; some bridges serve only one program at a time"
            )
        return self._telnet.strip(data)

    def close(self) -> None:
        """Close the connection."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()

    def interrupt(self) -> None:
        """Shut the connection down, which wakes a thread that reads."""
        connection = self._socket
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


_IAC: Final = 0xFF
_WILL_TO_DONT: Final = range(0xFB, 0xFF)
_SUBNEGOTIATION: Final = 0xFA
#: A pair of FF in it stands for one, and does not end it.
_SUBNEGOTIATION_TO_END: Final = re.compile(rb"\xff\xfa(?:[^\xff]|\xff\xff)*+\xff\xf0", re.DOTALL)
_LONGEST_SUBNEGOTIATION: Final = 256
#: Will, won't, do or don't, and one of the registered options.
_NEGOTIATION: Final = re.compile(rb"\xff[\xfb-\xfe][\x00-\x31]")


class TelnetFilter:
    """Takes telnet commands out of a stream.

    A frame may hold FF, too, and a server that does not speak telnet does not double it. So a server counts
    as speaking telnet only if its first bytes are a negotiation.
    """

    def __init__(self) -> None:
        self._speaks_telnet: bool | None = None
        self._held = b""

    def strip(self, data: bytes) -> bytes:
        """Return the bytes without telnet commands."""
        data = self._held + data
        self._held = b""
        if self._speaks_telnet is None:
            if data[:1] == bytes([_IAC]) and len(data) < 3:
                self._held = data
                return b""
            self._speaks_telnet = _NEGOTIATION.match(data) is not None
        return self._without_commands(data) if self._speaks_telnet else data

    def _without_commands(self, data: bytes) -> bytes:
        out = bytearray()
        at = 0
        while (found := data.find(_IAC, at)) >= 0:
            out += data[at:found]
            size = self._command_size(data, found)
            if size is None:
                self._held = data[found:]
                return bytes(out)
            if data[found + 1] == _IAC:
                out.append(_IAC)
            at = found + size
        return bytes(out + data[at:])

    @staticmethod
    def _command_size(data: bytes, at: int) -> int | None:
        """Return the size of a command, None if more bytes are needed."""
        if at + 1 >= len(data):
            return None
        command = data[at + 1]
        if command == _SUBNEGOTIATION:
            end = _SUBNEGOTIATION_TO_END.match(data, at)
            if end is not None:
                return end.end() - at
            # Without an end it is not a subnegotiation: these bytes are the meter's.
            return None if len(data) - at < _LONGEST_SUBNEGOTIATION else 2
        if command in _WILL_TO_DONT:
            return 3 if at + 2 < len(data) else None
        return 2
