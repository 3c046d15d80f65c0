"""The output `domoticz`; not built yet."""

from smarty_gateway.config.consumers import DomoticzConfig
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput


class DomoticzOutput(QueuedOutput):
    """Not built yet."""

    def __init__(self, config: Config, domoticz: DomoticzConfig) -> None:
        super().__init__("domoticz", "the domoticz output")

    def write(self, reading: Reading) -> None:
        """Write one reading."""
        raise NotImplementedError
