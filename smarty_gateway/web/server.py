"""The HTTP server: waitress with limits that slow and many clients cannot exceed.

waitress closes a connection that is silent, and accepts no more at its limit. That is not enough: a client
that sends a byte now and then is not silent, one that never reads its answer is never closed (nothing happens
on a socket that cannot be written), and who holds all connections keeps everybody else out.
"""

import logging
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import Any, Final

from waitress import wasyncore
from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from smarty_gateway.web.access import WsgiApp
from smarty_gateway.web.connections import BUFFER_BYTES, Connection
from smarty_gateway.web.faults import Faults

#: A page takes tens of milliseconds of a processor; more threads would only share it.
_THREADS: Final = 3
#: How the paths of answers end that take a hundred times as long as others: long tables for programs.
_LONG: Final = "/history"
_CONNECTIONS: Final = 500
#: Cookies of other programs on the same host come along.
_HEADER_BYTES: Final = 16_384
#: Nothing can be sent to the gateway.
_BODY_BYTES: Final = 4_096
#: Of the answers of all connections that are not read to their end.
_UNREAD_BYTES: Final = 32 << 20
#: How long `run` waits for answers that are being made when it ends.
_CLOSE_SECONDS: Final = 0.5


class Server:
    """Listens, and answers with an application in threads of its own.

    `run` must be called, also after `close`: it releases what the constructor has opened.

    Args:
        app: answers.
        host: address to listen on; `::` means all networks, those of IPv4, too.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.

    Attributes:
        port: on which it listens.
    """

    def __init__(self, app: WsgiApp, host: str, port: int) -> None:
        listening = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
        self.port: int = listening.getsockname()[1]
        _start_log()
        # A process may have few files, as on macOS; half of them are for the other parts.
        files = getrlimit(RLIMIT_NOFILE)[0]
        self._limit = _CONNECTIONS if files == RLIM_INFINITY else min(_CONNECTIONS, files // 2)
        self._map: dict[int, Any] = {}
        self._dispatchers = (ThreadedTaskDispatcher(), ThreadedTaskDispatcher())
        options: dict[str, Any] = {
            "sockets": [listening],
            "connection_limit": self._limit,
            "max_request_header_size": _HEADER_BYTES,
            "max_request_body_size": _BODY_BYTES,
            "outbuf_overflow": BUFFER_BYTES,
            "outbuf_high_watermark": BUFFER_BYTES,
            "log_socket_errors": False,
            "ident": None,
            # `access` decides whose headers count, and REMOTE_ADDR stays the address of the connection.
            "clear_untrusted_proxy_headers": False,
        }
        self._listener = _Listener(
            app,
            self._map,
            _sock=listening,
            dispatcher=self._dispatchers[0],
            adj=Adjustments(**options),
            sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
            bind_socket=False,
        )
        self._listener.long_dispatcher = self._dispatchers[1]
        self._is_closing = self._is_released = False
        self._lock = threading.Lock()

    def run(self) -> None:
        """Serve until `close`."""
        for dispatcher, count in zip(self._dispatchers, (_THREADS, 1), strict=True):
            dispatcher.set_thread_count(count)
        try:
            while not self._is_closing:
                wasyncore.loop(timeout=1.0, use_poll=True, map=self._map, count=1)
                self._tidy(time.monotonic())
        finally:
            self._release()

    def close(self) -> None:
        """Stop listening, and end `run`; called by another thread."""
        with self._lock:
            self._is_closing = True
            if not self._is_released:
                self._listener.pull_trigger()

    def _release(self) -> None:
        for channel in self._channels():
            channel.handle_close()
        wasyncore.dispatcher.close(self._listener)
        for dispatcher in self._dispatchers:
            dispatcher.shutdown(timeout=_CLOSE_SECONDS)  # type: ignore[arg-type] # it takes fractions, too
        with self._lock:
            self._is_released = True
            # A thread that is late may still write to this pipe; its number must not become another file's.
            if not any(dispatcher.threads for dispatcher in self._dispatchers):
                self._listener.trigger.close()  # type: ignore[attr-defined] # it is a trigger

    def _channels(self) -> list[Connection]:
        return [channel for channel in self._map.values() if isinstance(channel, Connection)]

    def _tidy(self, now: float) -> None:
        """Close what takes too long or too much, after each round of the loop."""
        for channel in self._channels():
            if channel.is_late(now):
                channel.handle_close()
            else:
                channel.drop_read_answers()
        # A few below the limit, at which waitress accepts no more.
        self._shed(lambda _: 1, self._limit - 10)
        self._shed(lambda channel: channel.kept_bytes, _UNREAD_BYTES)

    def _shed(self, load: Callable[[Connection], int], limit: int) -> None:
        """Close connections until their load is within the limit.

        It hits the client that has the largest part of the load, and there the connection that waits longest.
        """
        channels = self._channels()
        while sum(map(load, channels)) > limit:
            shares = Counter[object]()
            for channel in channels:
                shares[channel.owner] += load(channel)
            worst = max(shares, key=lambda owner: shares[owner])
            waiting = [one for one in channels if one.owner == worst and load(one) and not one.requests]
            if not waiting:
                return  # until its answers are made
            longest = min(waiting, key=lambda channel: channel.since)
            longest.handle_close()
            channels.remove(longest)


class _Listener(TcpWSGIServer):
    """Accepts connections.

    Attributes:
        long_dispatcher: makes the answers that take long, one at a time: nobody else waits for them.
    """

    channel_class = Connection
    long_dispatcher: ThreadedTaskDispatcher

    def add_task(self, task: Any) -> None:  # noqa: ANN401 - waitress says it is a task, but it is a connection
        """Have the answer to a connection made."""
        path = getattr(task.requests[0], "path", "")  # a request that is refused has none
        (self.long_dispatcher if path.endswith(_LONG) else self.task_dispatcher).add_task(task)

    def handle_close(self) -> None:
        """Do nothing: waitress would close the port after an error with one client."""


class _Log(logging.Handler):
    """Logs errors in waitress as lines of ours: its own repeat what a client has sent."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._faults = Faults()

    def emit(self, _: logging.LogRecord) -> None:
        if (error := sys.exception()) is not None:
            self._faults.note(error)


def _start_log() -> None:
    log = logging.getLogger("waitress")
    log.setLevel(logging.ERROR)
    log.propagate = False
    log.handlers[:] = [_Log()]
