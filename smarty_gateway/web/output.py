"""The output `http`: its door to the gateway."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from smarty_gateway.config.values import Config, HttpConfig
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.web.live import Live
from smarty_gateway.web.serving import Serving

if TYPE_CHECKING:
    from smarty_gateway.web.access import WsgiApp


class HttpOutput:
    """Serves the page until the gateway ends.

    Args:
        config: of the gateway; its sources have one text each.
        http: of this output.
        folder: where the history is kept; None without one.

    Attributes:
        name: as in the configuration.
        beat: none, as the server waits for a browser for any time.
        is_over: never, as somebody may look at the page at any time.
        is_busy: never, as all that is known is there at once.

    Raises:
        PasswordFileError: the password cannot be read.
    """

    def __init__(self, config: Config, http: HttpConfig, folder: Path | None) -> None:
        self.name = "http"
        self.beat = None
        self.is_over = False
        self.is_busy = False
        self._config = config
        self._folder = folder
        self._names = PublicNames(config)
        self._live = Live(config, self._names)
        self._serving = Serving(http, self._application, "the page")

    @property
    def state(self) -> str:
        """Its state in one word."""
        return self._serving.state

    @property
    def failure(self) -> str | None:
        """Why it can never work again."""
        return self._serving.failure

    def start(self) -> None:
        """Start the thread."""
        self._serving.start()

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
        self._serving.stop(seconds)

    def _application(self) -> "WsgiApp":
        from smarty_gateway.web.routes import application  # noqa: PLC0415 - loaded in the server's thread
        from smarty_gateway.web.site_state import SiteState  # noqa: PLC0415 - the same

        return application(SiteState(self._config, self._folder, self._live, self._names))
