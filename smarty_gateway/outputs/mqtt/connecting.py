"""A connection to the broker while it is being opened, in a thread of its own.

A name server may take a minute to answer, and a host that drops packets takes seconds; readings must be
stored meanwhile, and a stop must not wait.
"""

import threading
from collections.abc import Callable

from smarty_gateway.outputs.mqtt.connection import Connection


class Connecting:
    """Opens one connection.

    Args:
        connect: returns the connection, or raises ConnectionFailed.
        wake: is called when it is there, or has failed.
    """

    def __init__(self, connect: Callable[[], Connection], wake: Callable[[], None]) -> None:
        self._connect = connect
        self._wake = wake
        self._lock = threading.Lock()
        self._is_given_up = False
        self._connection: Connection | None = None
        self._error: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="MQTT connect", daemon=True)
        self.thread.start()

    def take(self) -> Connection | None:
        """Return the connection once it is there; the caller closes it.

        Raises:
            ConnectionFailed: there is none.
        """
        if self._error is not None:
            raise self._error
        with self._lock:
            connection, self._connection = self._connection, None
        return connection

    def give_up(self) -> None:
        """Close the connection, now or as soon as it is there."""
        with self._lock:
            self._is_given_up = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # noqa: BLE001 - raised again by `take`
            self._error = error
        else:
            with self._lock:
                is_wanted = not self._is_given_up
                if is_wanted:
                    self._connection = connection
            if not is_wanted:
                connection.close()
        self._wake()
