"""The output `files`; not built yet."""

from smarty_gateway.config.consumers import FilesConfig
from smarty_gateway.config.values import Config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.queued import QueuedOutput


class FilesOutput(QueuedOutput):
    """Not built yet."""

    def __init__(self, config: Config, files: FilesConfig) -> None:
        super().__init__("files", "the files output")

    def write(self, reading: Reading) -> None:
        """Write one reading."""
        raise NotImplementedError
