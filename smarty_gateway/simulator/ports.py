"""The ports of simulated meters: TCP and pseudo-terminals.

As on a serial line, sending never waits: bytes that a reader does not take at once are lost to it, and
bytes sent without a reader are lost.
"""

import contextlib
import os
import select
import socket
import termios
import tty
from pathlib import Path
from typing import Final, Protocol

from smarty_gateway.protocol.errors import GatewayError

_CHUNK: Final = 65536


class PortError(GatewayError):
    """A port cannot be opened."""


class Port(Protocol):
    """A port to send on.

    Attributes:
        name: the source to configure in the gateway.
    """

    name: str

    @property
    def is_read(self) -> bool:
        """True if there is a reader."""

    def write(self, data: bytes) -> None:
        """Send to all readers, and never wait."""

    def close(self) -> None:
        """Close the port."""


class TcpPort:
    """A TCP port that sends to every client.

    Connections are accepted before each write, which is early enough.

    Raises:
        PortError: the port is in use, or there is no such address.
    """

    def __init__(self, host: str, port: int) -> None:
        self._clients: list[socket.socket] = []
        try:
            family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            self._listener = socket.create_server((host, port), family=family, backlog=64)
        except OSError as error:
            why = (
                os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
            )
            raise PortError(f"cannot listen on {_url(host, port)}: {why}") from None
        self._listener.settimeout(0)
        self.port = int(self._listener.getsockname()[1])
        self.name = _url(host, self.port)

    @property
    def is_read(self) -> bool:
        """True if a client is connected."""
        self._accept()
        return bool(self._clients)

    def write(self, data: bytes) -> None:
        """Send to all clients; bytes that one does not take at once are lost to it."""
        self._accept()
        self._clients = [client for client in self._clients if _send(client, data)]

    def close(self) -> None:
        """Stop listening, and close all clients."""
        self._listener.close()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _accept(self) -> None:
        # Without a waiting client, or with too many open files, the clients that are there are served.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(0)
                self._clients.append(client)


def _send(client: socket.socket, data: bytes) -> bool:
    """Send to a client; if it has gone, close it and return False."""
    try:
        with contextlib.suppress(BlockingIOError):
            client.recv(_CHUNK)  # discarded. Its end is ignored as well: the client may still be reading
        with contextlib.suppress(BlockingIOError):
            client.send(data)
    except OSError:
        client.close()
        return False
    return True


def _url(host: str, port: int) -> str:
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


class PtyPort:
    """A pseudo-terminal in raw mode, which a gateway opens like a serial port.

    Args:
        link: a symbolic link to it, as a stable name.

    Raises:
        PortError: there are no pseudo-terminals here, or the link's path is taken.
    """

    def __init__(self, link: Path | None = None) -> None:
        try:
            self._master, slave = os.openpty()
        except OSError as error:
            raise PortError(f"cannot open a pseudo-terminal: {error.strerror}") from None
        tty.setraw(slave)
        self._slave_name = os.ttyname(slave)
        os.close(slave)  # or POLLHUP would not show whether a reader has it open
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLOUT)
        self._may_hold_rest = False
        self._link = link
        self.name = str(link) if link is not None else self._slave_name
        if link is not None:
            try:
                _make_link(link, self._slave_name)
            except (OSError, PortError) as error:
                os.close(self._master)
                if isinstance(error, PortError):
                    raise
                raise PortError(f"cannot make the link {link}: {error.strerror}") from None

    def write(self, data: bytes) -> None:
        """Send if a reader has the terminal open; bytes that do not fit into its buffer are lost."""
        if self.is_read:
            self._may_hold_rest = True
            with contextlib.suppress(OSError):
                os.read(self._master, _CHUNK)  # bytes from a reader are discarded, or they would pile up
            with contextlib.suppress(OSError):
                os.write(self._master, data)
        elif self._may_hold_rest:
            # The last reader may have left bytes, and the next one must not read an old telegram.
            self._may_hold_rest = False
            self._flush()

    def close(self) -> None:
        """Close the terminal, and remove the link if it still points to it."""
        if self._link is not None:
            with contextlib.suppress(OSError):
                if str(self._link.readlink()) == self._slave_name:
                    self._link.unlink()
            self._link = None
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    @property
    def is_read(self) -> bool:
        """True if a reader has the terminal open."""
        return not any(events & select.POLLHUP for _, events in self._poll.poll(0))

    def _flush(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            slave = os.open(self._slave_name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)


def _make_link(link: Path, target: str) -> None:
    """Make a link; it replaces one that an earlier run left behind, and nothing else.

    Raises:
        PortError: it is the link of a simulation that runs.
    """
    if link.is_symlink() and link.readlink().parent == Path(target).parent:
        if str(link.readlink()) != target and link.exists():
            raise PortError(
                f"{link} leads to {link.readlink()}, which is in use: stop that simulate, or name another "
                "link (if no simulate is running, remove this one)"
            )
        link.unlink()
    link.symlink_to(target)
