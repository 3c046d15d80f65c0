"""The output `tcp`: the telegrams of a meter on a TCP port, for any program that reads a P1 port over TCP."""

import contextlib
import errno
import logging
import os
import select
import socket
import struct
from collections import deque
from collections.abc import Callable
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import Final

from smarty_gateway.config.consumers import TcpConfig
from smarty_gateway.config.values import Config
from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.telegrams.ports import Poller, TelegramOutput, TelegramPort

_log = logging.getLogger(__name__)

#: Of all ports together.
_CLIENTS_MAX: Final = 500
#: Bytes that a client may be behind; what the kernel holds for it comes on top.
_BEHIND_MAX: Final = 256 * 1024
_KERNEL_BUFFER: Final = 64 * 1024
_ACCEPTED_A_TURN: Final = 50
_READ_A_TURN: Final = 4096
#: What accepted connections inherit from their listener. Three lost probes after a minute: so a client that
#: vanished is noticed.
_OPTIONS: Final = (
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 60),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 10),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.SOL_SOCKET, "SO_SNDBUF", _KERNEL_BUFFER),
    (socket.SOL_SOCKET, "SO_RCVBUF", _READ_A_TURN),
)
#: The process or the machine has none left; the client that waits is accepted later.
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
#: SO_LINGER on, 0 s: closing sends RST, and the kernel frees what was not sent.
_ABORT: Final = struct.pack("ii", 1, 0)


class TcpOutput(TelegramOutput):
    """Serves telegrams on TCP ports."""

    def __init__(self, config: Config) -> None:
        poller = Poller()
        clients = _Clients()
        ports = [_Listener(config, entry, poller, clients) for entry in config.outputs.tcp]
        super().__init__("tcp", poller, ports)


class _Client:
    """One connection. It gets whole telegrams, from the first one after it was accepted.

    Args:
        connection: to a program.
        poller: calls this client when the program does something.
        host: where the program runs.
        groups: the clients that are served; it adds itself, and removes itself when it ends.

    Attributes:
        host: likewise.
        behind: bytes that wait for it.
        has_ended: it sends nothing any more; it may have gone, or still read.
        is_open: it is served.
    """

    def __init__(
        self, connection: socket.socket, host: str, poller: Poller, *groups: dict["_Client", None]
    ) -> None:
        connection.settimeout(0)
        self._socket = connection
        self._poller = poller
        self._groups = groups
        self.host = host
        self._unsent: deque[bytes] = deque()  # shared with all clients of the meter, not copied
        self._sent = 0  # of the first of them
        self.behind = 0
        self.has_ended = False
        self.is_open = True
        for group in groups:
            group[self] = None
        self._watch()

    def send(self, telegram: bytes) -> None:
        self._unsent.append(telegram)
        self.behind += len(telegram)
        self._serve(self._flush)

    def close(self) -> None:
        """Close the connection; what was sent still arrives."""
        if self.is_open:
            self.is_open = False
            self._poller.ignore(self._socket.fileno())
            self._socket.close()
            self._unsent.clear()
            self.behind = 0
            for group in self._groups:
                del group[self]

    def abort(self) -> None:
        """Close the connection at once."""
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        self.close()

    def _on_event(self, events: int) -> None:
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            self.close()
            return
        if events & select.POLLIN:
            self._serve(self._discard)
        if events & select.POLLOUT:
            self._serve(self._flush)

    def _serve(self, step: Callable[[], None]) -> None:
        if not self.is_open:
            return
        try:
            step()
        except OSError:
            self.close()  # it has gone
        else:
            self._watch()

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._unsent:
                sent = self._socket.send(memoryview(self._unsent[0])[self._sent :])
                self.behind -= sent
                self._sent += sent
                if self._sent == len(self._unsent[0]):
                    self._unsent.popleft()
                    self._sent = 0

    def _discard(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.has_ended = not self._socket.recv(_READ_A_TURN) or self.has_ended

    def _watch(self) -> None:
        events = (0 if self.has_ended else select.POLLIN) | (select.POLLOUT if self._unsent else 0)
        self._poller.watch(self._socket.fileno(), events, self._on_event)


class _Clients:
    """All clients of all ports, the longest connected first, and how many there may be."""

    def __init__(self) -> None:
        # A process may have few files, as on macOS; most of them are for the other parts.
        files = getrlimit(RLIMIT_NOFILE)[0]
        self._most = _CLIENTS_MAX if files == RLIM_INFINITY else min(_CLIENTS_MAX, files // 4)
        self._full = Condition(_log.warning, cleared=_log.info)
        self.connected: dict[_Client, None] = {}

    def make_room(self) -> bool:
        """Return whether there is room for one more, if need be after removing one that has ended."""
        if len(self.connected) >= self._most:
            ended = next((client for client in self.connected if client.has_ended), None)
            if ended is None:
                self._full.begin(
                    f"telegrams over tcp: {self._most} clients are connected; further ones are refused "
                    "until some of them leave"
                )
                return False
            ended.abort()
        return True

    def tend(self) -> None:
        """Log when there is room again."""
        if len(self.connected) < self._most:
            self._full.end("telegrams over tcp: there is room for further clients")


class _Listener(TelegramPort):
    """One TCP port and its clients."""

    def __init__(self, config: Config, entry: TcpConfig, poller: Poller, clients: _Clients) -> None:
        super().__init__(config, entry.meter, entry.address, poller)
        self._entry = entry
        self._all_clients = clients
        self._clients: dict[_Client, None] = {}
        self._socket: socket.socket | None = None
        self._slow = Condition(_log.warning, cleared=_log.info)

    def tend(self) -> None:
        """Listen, and accept the clients that wait."""
        if self._socket is None:
            self._socket = _listen(self._entry)
            self.poller.watch(self._socket.fileno(), select.POLLIN, lambda _: self.look())
        self._accept(self._socket)
        self._all_clients.tend()
        if not self.unsent:
            self._slow.end(f"{self._entry.address}: all clients read their telegrams")

    def send(self, telegram: bytes) -> None:
        """Send a telegram to all clients, and drop those that are too far behind."""
        for client in list(self._clients):
            client.send(telegram)
            if client.behind > _BEHIND_MAX:
                client.abort()
                self._slow.begin(
                    f"{self._entry.address}: a client at {client.host} was {_BEHIND_MAX // 1024} kB behind "
                    "and was dropped: it does not read, or its network is too slow"
                )

    @property
    def unsent(self) -> int:
        """Bytes that wait for clients."""
        return sum(client.behind for client in self._clients)

    def close(self) -> None:
        """Close the port and its clients."""
        if self._socket is not None:
            self.poller.ignore(self._socket.fileno())
            self._socket.close()
        for client in list(self._clients):
            client.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            for _ in range(_ACCEPTED_A_TURN):
                connection, address = listener.accept()
                if self._all_clients.make_room():
                    everywhere = self._all_clients.connected
                    _Client(connection, address[0], self.poller, everywhere, self._clients)
                else:
                    connection.close()
        except OSError as error:
            if error.errno in _SHORTAGES:
                raise ConsumerAwayError(
                    f"clients cannot connect now: {os.strerror(error.errno)}; allow the gateway more open "
                    "files (LimitNOFILE= in its systemd unit)"
                ) from None
            # Otherwise nobody waits, or the client that did has gone.


def _listen(entry: TcpConfig) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConsumerAwayError: the port is taken, or the address is not one of this machine.
    """
    try:
        listener = socket.create_server(
            (entry.host, entry.port),
            family=socket.AF_INET6 if ":" in entry.host else socket.AF_INET,
            dualstack_ipv6=entry.host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        raise ConsumerAwayError(f"telegrams cannot be served here: {_advice(error)}") from None
    listener.settimeout(0)
    for level, option, value in _OPTIONS:
        # Not every system has all of them, and telegrams can be served without.
        with contextlib.suppress(AttributeError, OSError):
            listener.setsockopt(level, getattr(socket, option), value)
    return listener


def _advice(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "another program uses this port; stop that, or write another port behind `listen`"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this machine does not have this address; connect the network, or correct `listen`"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "ports below 1024 are for root; write a higher one behind `listen`, such as 2001"
    return (error.strerror or str(error)).partition(" (while")[0]  # `create_server` adds the address
