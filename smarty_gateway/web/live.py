"""What the page knows of the present: the newest reading of each meter, its health, and its recent power."""

from collections.abc import Mapping

from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.snapshots import GatewayNow, PowerCurve


class Live:
    """Collects what the readers deliver; asked by the threads of the server.

    Args:
        config: names the meters.
        names: under which they are shown.
    """

    def __init__(self, config: Config, names: PublicNames) -> None:
        raise NotImplementedError

    def take(self, reading: Reading) -> None:
        """Take a reading."""
        raise NotImplementedError

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway; the supervisor calls this about once a second."""
        raise NotImplementedError

    def forget(self, meter: str) -> None:
        """Remove a meter that is gone."""
        raise NotImplementedError

    def now(self) -> GatewayNow:
        """Return the gateway as it is at this moment."""
        raise NotImplementedError

    def curve(self, own_name: str) -> PowerCurve:
        """Return the recent power of a meter."""
        raise NotImplementedError
