"""How the connection to the broker fares: what is said of it, and how long to wait for the next one."""

import logging
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.fault_log import Backoff, Condition
from smarty_gateway.outputs.mqtt.connection import (
    Connection,
    ConnectionFailed,
    ConnectionLost,
    default_client_id,
    refused_words,
)
from smarty_gateway.outputs.mqtt.refused_messages import HangUp, Sent

_log = logging.getLogger(__name__)

#: Seconds between attempts.
_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
#: A connection that lasts for so long is a good one. It is longer than any delay, so that two gateways
#: which throw each other out are not content with every connection that the other leaves alone.
_SETTLED_AFTER: Final = 30.0
_HOUR: Final = 3600.0
#: Whoever sends noise can invent topics.
_NAMES_AN_HOUR: Final = 20
_LONGEST_TOPIC: Final = 120


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
        self._backoff = Backoff(*_DELAYS)
        self._began: float | None = None  # since when the broker has let us in
        self._times_lost = 0  # soon after it did, one connection after the other
        self._is_doubtful = False
        self._user = config.user or "anonymous clients"
        self._names_until = float("-inf")
        self._named = 0
        self._refusals: dict[tuple[int, bool], float] = {}
        self._limits: set[str] = set()

    @property
    def is_away(self) -> bool:
        """Tell whether it is known that nothing arrives."""
        return self._away.is_on

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        return self._backoff.next_delay()

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
            self._backoff.reset()
            self._times_lost = 0
            self._is_doubtful = False
        if not self._is_doubtful:
            self._away.end(f"connected to the broker {self._broker}")

    def note_end(self, failed: ConnectionFailed, now: float, blamed: HangUp | None = None) -> None:
        """Take note that there is no connection any more, or was none.

        Args:
            failed: why.
            now: the time.
            blamed: the message that is to blame for it, if one is.
        """
        began, self._began = self._began, None
        if blamed is not None:
            self._note_blamed(failed, blamed, now)
            return
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

    def _note_blamed(self, failed: ConnectionFailed, blamed: HangUp, now: float) -> None:
        if not blamed.is_trial:
            self._is_doubtful = True
            words = "after messages were sent: they now go out one at a time, to find the one that it refuses"
            if blamed.takes_nothing:
                words = f"after every message: {self._user} may not write below {self._config.topic}/"
            self._away.begin(f"{failed} {words}", words)
        elif blamed.is_put_aside:
            self.note_put_aside(blamed.message, "hangs up on", now)

    # Messages that the broker refuses

    def note_put_aside(self, sent: Sent, how: str, now: float) -> None:
        """Name a message that is put aside."""
        self._name(
            f"the broker {self._broker} {how} the message to {_short(sent.topic)} ({sent.size} bytes). It is "
            "put aside: what follows there is dropped unless it is smaller, and one is tried every hour. "
            f"Look at the broker's log, at its max_packet_size and at the rights of {self._user}",
            now,
        )

    def note_too_large(self, sent: Sent, limit: int, now: float) -> None:
        """Name a message that the broker has said to be too large."""
        self._name(
            f"the message to {_short(sent.topic)} has {sent.size} bytes, and the broker {self._broker} takes "
            f"{limit} at most: it is not sent; raise the broker's max_packet_size",
            now,
        )

    def _name(self, words: str, now: float) -> None:
        if now >= self._names_until:
            self._names_until, self._named = now + _HOUR, 0
        self._named += 1
        if self._named == _NAMES_AN_HOUR:
            words += ". Further ones are not named for an hour"
        if self._named <= _NAMES_AN_HOUR:
            _log.error(words)

    def note_taken_again(self, topic: str) -> None:
        """Name a topic that is not put aside any more."""
        _log.warning("the broker %s takes messages to %s again", self._broker, _short(topic))

    def note_refused(self, topic: str, code: int, now: float) -> None:
        """Say that the broker answered a message with a failure that may pass: once an hour for each kind."""
        kind = code, topic.startswith(f"{self._config.topic}/")
        if now - self._refusals.get(kind, -_HOUR) >= _HOUR:
            self._refusals[kind] = now
            _log.error(refused_words(self._config, _short(topic), code))

    def note_limits(self, connection: Connection) -> None:
        """Say once what a broker of MQTT 5 does not offer."""
        limits = []
        if not connection.may_retain:
            limits.append(
                f"the broker {self._broker} retains no messages (retain_available): after its start, Home "
                "Assistant has no reading before the next one"
            )
        if connection.max_qos == 0:
            limits.append(
                f"the broker {self._broker} takes QoS 0 only (max_qos): messages go out with it, and a ping "
                "behind them shows that they have arrived"
            )
        for words in limits:
            if words not in self._limits:
                self._limits.add(words)
                _log.warning(words)

    def _thrown_out_words(self) -> str:
        return (
            f"the broker {self._broker} lets us in and hangs up soon after, without a reason: another client "
            f"may use the same client id {default_client_id(self._config)} (then set another client_id or "
            f"topic), or {self._user} may not write below {self._config.topic}/"
        )


def _short(topic: str) -> str:
    return topic if len(topic) <= _LONGEST_TOPIC else f"{topic[:_LONGEST_TOPIC]}…"
