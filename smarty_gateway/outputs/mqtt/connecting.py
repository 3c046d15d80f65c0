"""A connection to the broker while it is being opened, in a thread of its own.

A name server may take a minute to answer, and a host that drops packets takes seconds; readings must be
stored meanwhile, and a stop must not wait.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from smarty_gateway.outputs.mqtt.connection import Connection


class Connecting:
    """Opens one connection.

    Args:
        connect: returns the connection, or raises ConnectionFailed.
        wake: is called when it is there, or has failed.
    """

    def __init__(self, connect: Callable[[], Connection], wake: Callable[[], None]) -> None:
        self._connection = Future[Connection]()
        work = (connect, wake, self._connection)
        self.thread = threading.Thread(target=_open, args=work, name="MQTT connect", daemon=True)
        self.thread.start()

    def take(self) -> Connection | None:
        """Return the connection once it is there; the caller closes it.

        Raises:
            ConnectionFailed: there is none.
        """
        return self._connection.result() if self._connection.done() else None

    def give_up(self) -> None:
        """Close the connection, now or as soon as it is there."""
        self._connection.add_done_callback(_close)
        self._connection = Future()


def _open(connect: Callable[[], Connection], wake: Callable[[], None], result: Future[Connection]) -> None:
    try:
        result.set_result(connect())
    except Exception as error:  # noqa: BLE001 - raised again by `take`
        result.set_exception(error)
    wake()


def _close(result: Future[Connection]) -> None:
    if result.exception() is None:
        result.result().close()
