"""The output `udp`; not built yet."""

from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput


class UdpOutput(QueuedOutput):
    """Not built yet."""

    def __init__(self, config: Config) -> None:
        super().__init__("udp", "the udp output")

    def write(self, reading: Reading) -> None:
        """Write one reading."""
        raise NotImplementedError
