"""The output `http`: its thread, and its door to the gateway."""

from pathlib import Path

from smarty_gateway.config.values import Config, HttpConfig


class HttpOutput:
    """Serves the page until the gateway ends.

    Args:
        config: of the gateway.
        http: of this output.
        folder: where the history is kept; None without one.
    """

    def __init__(self, config: Config, http: HttpConfig, folder: Path | None) -> None:
        raise NotImplementedError
