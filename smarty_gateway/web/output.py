"""The output `http`: its thread, and its door to the gateway.

What only the server needs is loaded in its thread: no meter waits for it.
"""

import errno
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.values import Config, HttpConfig
from smarty_gateway.fault_log import Condition, until_it_works
from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.web.live import Live

if TYPE_CHECKING:
    from smarty_gateway.web.access import WsgiApp
    from smarty_gateway.web.server import Server

_log = logging.getLogger(__name__)

#: Seconds until the next attempt to listen.
_AGAIN_AFTER: Final = 10.0
_PLACE_IN_APP: Final = "in Home Assistant, behind Open Web UI of this app"


class HttpOutput:
    """Serves the page until the gateway ends.

    Args:
        config: of the gateway; its sources have one text each.
        http: of this output.
        folder: where the history is kept; None without one.

    Attributes:
        name: as in the configuration.
        state: in one word.
        beat: none, as the server waits for a browser for any time.
        is_over: never, as somebody may look at the page at any time.
        is_busy: never, as all that is known is there at once.
        failure: why it can never work again.

    Raises:
        PasswordFileError: the password cannot be read.
    """

    def __init__(self, config: Config, http: HttpConfig, folder: Path | None) -> None:
        self.name = "http"
        self.state = "starting"
        self.beat = None
        self.is_over = False
        self.is_busy = False
        self.failure: str | None = None
        self._config = config
        self._http = http
        self._folder = folder
        self._password = None if http.password_file is None else read_password(http.password_file)
        self._names = PublicNames(config)
        self._live = Live(config, self._names)
        self._condition = Condition(_log.warning, cleared=_log.info)
        self._stopping = threading.Event()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, name="HTTP", daemon=True)

    # Called by other threads

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading; nothing waits."""
        self._live.take(reading)

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway."""
        self._live.report(health, gateway)

    def forget(self, meter: str) -> None:
        """Remove a meter that the configuration does not name and that is gone."""
        self._live.forget(meter)

    def stop(self, seconds: float) -> None:
        """End the server."""
        self._stopping.set()
        if self._server is not None:
            self._server.close()
        self._thread.join(seconds)

    # The thread

    def _run(self) -> None:
        if crash := crash_of(self._serve_until_stopped):
            self.failure = f"the page failed: {crash}"

    def _application(self) -> "WsgiApp":
        from smarty_gateway.web.access import guarded  # noqa: PLC0415 - see above
        from smarty_gateway.web.routes import application  # noqa: PLC0415 - the same
        from smarty_gateway.web.site_state import SiteState  # noqa: PLC0415 - the same

        site = application(SiteState(self._config, self._folder, self._live, self._names))
        return guarded(site, self._http, self._password, is_app=self._http.is_in_app)

    def _serve_until_stopped(self) -> None:
        from smarty_gateway.web.server import Server  # noqa: PLC0415 - see above

        app = self._application()
        while not self._stopping.is_set():
            try:
                server = Server(app, self._http.host, self._http.port)
            except OSError as error:
                self.state, message = _fault(error, self._http)
                self._condition.begin(until_it_works(message), self.state)
                self._stopping.wait(_AGAIN_AFTER)
                continue
            self._serve(server)

    def _serve(self, server: "Server") -> None:
        self._server = server
        if self._stopping.is_set():  # since before it was there to be closed
            server.close()
        self.state = "ok"
        message = f"the page is {_PLACE_IN_APP if self._http.is_in_app else f'at {self._http.url}'}"
        if self._condition.is_on:
            self._condition.end(message)
        else:
            _log.info("%s", message)
        server.run()


def _fault(error: OSError, http: HttpConfig) -> tuple[str, str]:
    """Return why nobody can listen there, in one word and in a line."""
    if error.errno == errno.EADDRINUSE:
        advice = "another program uses this port; stop that, or write another port behind `listen`"
        return "port taken", f"the page cannot be at {http.address}: {advice}"
    if error.errno == errno.EADDRNOTAVAIL:
        advice = "this machine does not have this address; connect the network, or correct `listen`"
        return "no address", f"the page cannot be at {http.address}: {advice}"
    if error.errno in (errno.EACCES, errno.EPERM):
        advice = "ports below 1024 are for root; write a higher one behind `listen`, such as 8300"
        return "not allowed", f"the page cannot be at {http.address}: {advice}"
    return "no address", f"the page cannot be at {http.address}: {error.strerror or error}"
