"""Where simulated meters send: a TCP port or a pseudo-terminal.

As on a serial line, nobody is waited for: what a reader does not take at once is lost to it, and
what is sent while nobody reads is lost to all.
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
    """A port cannot be opened; the text says which, and why."""


class Port(Protocol):
    """Something to send on.

    Attributes:
        name: what a user gives to the gateway as its source.
    """

    name: str

    @property
    def is_read(self) -> bool:
        """Tell whether anybody listens."""

    def write(self, data: bytes) -> None:
        """Send to whoever reads now, and never wait."""

    def close(self) -> None:
        """Give everything back."""


class TcpPort:
    """A TCP port that sends to every client.

    Clients are welcomed when something is sent, which is as early as it matters to them.

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
        """Tell whether a client is there."""
        self._welcome()
        return bool(self._clients)

    def write(self, data: bytes) -> None:
        """Send to all clients that are there; what one does not take at once is lost to it."""
        self._welcome()
        self._clients = [client for client in self._clients if _is_there(client, data)]

    def close(self) -> None:
        """Stop listening and part from all clients."""
        self._listener.close()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _welcome(self) -> None:
        # Whatever ends it, be it that nobody waits or that there are too many, the others are served.
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(0)
                self._clients.append(client)


def _is_there(client: socket.socket, data: bytes) -> bool:
    """Send to a client; close it and say False if it has gone."""
    try:
        with contextlib.suppress(BlockingIOError):
            client.recv(_CHUNK)  # has no meaning. Its end has none either: a client may listen on behind it
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
        link: a symbolic link to it, for a name that stays the same.

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
        os.close(slave)  # only so the system tells whether anybody else has it open
        os.set_blocking(self._master, False)
        self._poll = select.poll()
        self._poll.register(self._master, select.POLLOUT)
        self._may_hold_rest = False
        self._link = link
        self.name = str(link) if link is not None else self._slave_name
        if link is not None:
            try:
                _make_link(link, self._slave_name)
            except OSError as error:
                os.close(self._master)
                raise PortError(f"cannot make the link {link}: {error.strerror}") from None

    def write(self, data: bytes) -> None:
        """Send if somebody has the terminal open; what does not fit into its buffer is lost."""
        if self.is_read:
            self._may_hold_rest = True
            with contextlib.suppress(OSError):
                os.read(self._master, _CHUNK)  # what a reader sends has no meaning, but would pile up
            with contextlib.suppress(OSError):
                os.write(self._master, data)
        elif self._may_hold_rest:
            # The last reader left some unread, and the next one must not find a telegram of long ago.
            self._may_hold_rest = False
            self._forget_rest()

    def close(self) -> None:
        """Take the terminal away, and the link if it still leads there."""
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
        """Tell whether somebody has the terminal open."""
        return not any(events & select.POLLHUP for _, events in self._poll.poll(0))

    def _forget_rest(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            slave = os.open(self._slave_name, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
            try:
                termios.tcflush(slave, termios.TCIFLUSH)
            finally:
                os.close(slave)


def _make_link(link: Path, target: str) -> None:
    """Make a link; one that an earlier run left behind is replaced, nothing else is."""
    if link.is_symlink() and Path(link.readlink()).parent == Path(target).parent:
        link.unlink()
    link.symlink_to(target)
