"""The HTTP server: waitress with limits that slow and many clients cannot exceed."""

from smarty_gateway.web.access import WsgiApp


class Server:
    """Listens, and answers with an application in threads of its own.

    Args:
        app: answers.
        host: address to listen on.
        port: 0 for any that is free.

    Raises:
        OSError: the port is taken, or the address is not one of this machine.

    Attributes:
        port: on which it listens.
    """

    def __init__(self, app: WsgiApp, host: str, port: int) -> None:
        raise NotImplementedError

    def run(self) -> None:
        """Serve until `close`."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop listening, and end `run`; called by another thread."""
        raise NotImplementedError
