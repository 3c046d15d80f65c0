"""How the connection to the broker fares: what is said of it, and how long to wait for the next one."""

import logging
import random
from typing import Final

from smarty_gateway.config import MqttConfig
from smarty_gateway.gateway.conditions import Condition
from smarty_gateway.mqtt.connection import ConnectionFailed, ConnectionLost, default_client_id

_log = logging.getLogger(__name__)

#: Seconds between attempts, before the jitter of a quarter.
_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
#: A connection that lasts for so long is a good one. It is longer than any delay, so that two gateways
#: which throw each other out are not content with every connection that the other leaves alone.
_SETTLED_AFTER: Final = 30.0


class BrokerLog:
    """Says once what is wrong with the connection, and once that all is well again.

    A broker that lets us in and throws us out, because of its rights or of another client with the same
    id, must make neither a hot loop nor a line for each attempt. So an outage ends with the first
    message that is acknowledged only if the connection before gave no reason for doubt, else when the
    connection has lasted.
    """

    def __init__(self, config: MqttConfig) -> None:
        self._config = config
        self._broker = f"{config.host}:{config.port}"
        self._away = Condition(_log.error)
        self._attempt = 0
        self._began: float | None = None  # since when the broker has let us in
        self._times_lost = 0  # soon after it did, one connection after the other
        self._is_doubtful = False

    @property
    def is_away(self) -> bool:
        """Tell whether it is known that nothing arrives."""
        return self._away.is_on

    def next_delay(self) -> float:
        """Give the seconds until the next attempt."""
        delay = _DELAYS[min(self._attempt, len(_DELAYS) - 1)]
        self._attempt += 1
        return delay * random.uniform(0.75, 1.25)  # noqa: S311 - no secret

    def note_no_answer(self) -> None:
        """Take note that opening a connection takes very long."""
        words = f"the name server or the broker {self._broker} does not answer"
        self._away.begin(f"{words}; waiting until one does", words)

    def note_begin(self, now: float) -> None:
        """Take note that the broker has let us in."""
        self._began = now

    def note_proof(self, now: float) -> None:
        """Take note that over this connection something was acknowledged; may be called again."""
        is_settled = self._began is not None and now - self._began >= _SETTLED_AFTER
        if is_settled:
            self._attempt = self._times_lost = 0
            self._is_doubtful = False
        if not self._is_doubtful:
            self._away.end(f"connected to the broker {self._broker}")

    def note_end(self, failed: ConnectionFailed, now: float) -> None:
        """Take note that there is no connection any more, or was none."""
        began, self._began = self._began, None
        is_lost = isinstance(failed, ConnectionLost)
        words = str(failed)
        kind = "lost" if is_lost else words
        if began is None:
            self._times_lost, self._is_doubtful = 0, False  # the broker itself was away
        elif now - began < _SETTLED_AFTER:
            self._times_lost += is_lost
            self._is_doubtful = not is_lost or self._times_lost > 1
            if is_lost and self._is_doubtful:
                kind = "thrown out"
                words = self._thrown_out_words()
        self._away.begin(f"{words}; trying again until it works", kind)

    def _thrown_out_words(self) -> str:
        return (
            f"the broker {self._broker} lets us in and hangs up soon after, without a reason: another client "
            f"may use the same client id {default_client_id(self._config)} (then set another client_id or "
            f"topic), or {self._config.user or 'this client'} may not write below {self._config.topic}/"
        )
