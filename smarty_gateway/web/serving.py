"""A web server in a thread of its own, which tries again while it cannot listen.

What only the server needs is loaded in its thread: nothing else waits for it.
"""

import errno
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.values import HttpConfig
from smarty_gateway.fault_log import Condition, until_it_works
from smarty_gateway.logs import crash_of

if TYPE_CHECKING:
    from smarty_gateway.web.access import WsgiApp
    from smarty_gateway.web.server import Server

_log = logging.getLogger(__name__)

#: Seconds until the next attempt to listen.
_AGAIN_AFTER: Final = 10.0
_PLACE_IN_APP: Final = "in Home Assistant, behind Open Web UI of this app"


class Serving:
    """Serves an application to those who may ask, until it is stopped.

    Args:
        http: where, and who may ask.
        make: returns the application; called in the thread.
        label: what log messages call that, such as `the page`.

    Attributes:
        state: in one word.
        failure: why it can never work again.

    Raises:
        PasswordFileError: the password cannot be read.
    """

    def __init__(self, http: HttpConfig, make: Callable[[], "WsgiApp"], label: str) -> None:
        self.state = "starting"
        self.failure: str | None = None
        self._http = http
        self._make = make
        self._label = label
        self._password = None if http.password_file is None else read_password(http.password_file)
        self._condition = Condition(_log.warning, cleared=_log.info)
        self._stopping = threading.Event()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, name="HTTP", daemon=True)

    # Called by other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End the server."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
        self._thread.join(seconds)

    # The thread

    def _run(self) -> None:
        if crash := crash_of(self._serve_until_stopped):
            self.failure = f"{self._label} failed: {crash}"

    def _serve_until_stopped(self) -> None:
        from smarty_gateway.web.access import guarded  # noqa: PLC0415 - see above
        from smarty_gateway.web.server import Server  # noqa: PLC0415 - the same

        app = guarded(self._make(), self._http, self._password, is_app=self._http.is_in_app)
        while not self._stopping.is_set():
            try:
                server = Server(app, self._http.host, self._http.port)
            except OSError as error:
                self.state, message = self._fault(error)
                self._condition.begin(until_it_works(message), self.state)
                self._stopping.wait(_AGAIN_AFTER)
                continue
            self._serve(server)

    def _serve(self, server: "Server") -> None:
        self._server = server
        if self._stopping.is_set():  # since before it was there to be closed
            server.close()
        self.state = "ok"
        message = f"{self._label} is {_PLACE_IN_APP if self._http.is_in_app else f'at {self._http.url}'}"
        if self._condition.is_on:
            self._condition.end(message)
        else:
            _log.info("%s", message)
        server.run()

    def _fault(self, error: OSError) -> tuple[str, str]:
        """Return why nobody can listen there, in one word and in a line."""
        state, advice = _advice(error)
        return state, f"{self._label} cannot be at {self._http.address}: {advice}"


def _advice(error: OSError) -> tuple[str, str]:
    if error.errno == errno.EADDRINUSE:
        return (
            "port taken",
            "another program uses this port; stop that, or write another port behind `listen`",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            "no address",
            "this machine does not have this address; connect the network, or correct `listen`",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            "not allowed",
            "ports below 1024 are for root; write a higher one behind `listen`, such as 8300",
        )
    return "no address", error.strerror or str(error)
