"""From nothing to a connection that the broker has accepted, with everything else done meanwhile.

A name server, a handshake and a broker may each take long, so a connection is opened in a thread of its own.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.outputs.background import Task
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.connection import Connection
from smarty_gateway.outputs.threaded import LOOK_EVERY, Stop

#: Seconds from the attempt to the connection, and from there to the answer of MQTT.
ANSWER_WITHIN: Final = 10.0
_WAIT_FOR_HANDSHAKE: Final = 0.5


class Opening(Task[Connection]):
    """A connection that is being opened."""

    def give_up(self) -> None:
        """Close the connection if it ever is open."""
        self.then(self._close)

    def wait_for_handshake(self) -> None:
        """Wait for the end of a connection with TLS that was given up.

        OpenSSL takes itself down when the process ends, and crashes if another thread is at work in it. One
        that only waits for a slow peer does no harm, so this need not take long.
        """
        self.wait(_WAIT_FOR_HANDSHAKE)

    def _close(self) -> None:
        with contextlib.suppress(ConnectionFailed):
            self.result().close()


def is_accepted(
    connection: Connection, stop: Stop, look: Callable[[], object], within: float = ANSWER_WITHIN
) -> bool:
    """Wait until the broker accepts a connection; False if a stop comes first.

    Args:
        connection: that is open.
        stop: ends the wait.
        look: is called at least once a second.
        within: seconds that the broker has.

    Raises:
        ConnectionFailed: it refuses it, or does not answer.
    """
    started = time.monotonic()
    while not connection.is_ready:
        now = time.monotonic()
        if now - started > within:
            broker = connection.config.address
            raise ConnectionFailed(
                f"{broker} accepts connections, but does not answer: is it an MQTT broker, and does it work?"
            )
        if now >= stop.by:
            return False
        connection.wait(min(LOOK_EVERY, max(0.0, stop.by - now)))
        look()
    return True
