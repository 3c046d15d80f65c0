"""The output `influxdb`; not built yet."""

from smarty_gateway.config.consumers import InfluxConfig
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput
from smarty_gateway.state.store import Store


class InfluxOutput(QueuedOutput):
    """Not built yet."""

    def __init__(self, config: Config, influx: InfluxConfig, store: Store) -> None:
        super().__init__("influxdb", "the influxdb output")

    def write(self, reading: Reading) -> None:
        """Write one reading."""
        raise NotImplementedError
