"""Whether the broker is reachable: what is logged of it, and how long to wait before the next attempt."""

import logging
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.fault_log import Backoff, Condition, until_it_works
from smarty_gateway.outputs.mqtt.broker_errors import (
    ConnectionFailed,
    ConnectionGivenUp,
    ConnectionLost,
    refused_message,
)
from smarty_gateway.outputs.mqtt.connection import Connection, default_client_id
from smarty_gateway.outputs.mqtt.refused_messages import HangUp, Sent

_log = logging.getLogger(__name__)

#: Seconds between attempts.
_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
#: A connection that lasts this long is a good one. It is longer than any delay: of two gateways that
#: disconnect each other, neither may take the time until the other returns for a good connection.
_SETTLED_AFTER: Final = 30.0
_HOUR: Final = 3600.0
#: Noise on a source can invent topics.
_NAMES_AN_HOUR: Final = 20
_LONGEST_TOPIC: Final = 120


class BrokerStatus:
    """Logs once what is wrong with the connection, and once that it works again.

    A broker that accepts and closes connections, because of its access rights or of another client with the
    same id, must cause neither a hot loop nor a line for each attempt. So an outage ends with the first
    acknowledged message only if the connection before gave no reason for doubt, else when the connection has
    lasted.
    """

    def __init__(self, config: MqttConfig) -> None:
        self._config = config
        self._away = Condition(_log.error, cleared=_log.info)
        self._backoff = Backoff(*_DELAYS)
        self._began: float | None = None  # since when the broker has accepted the connection
        self._times_lost = 0  # soon after that, one connection after the other
        self._is_doubtful = False
        self._has_connected = False
        self._names_until = float("-inf")
        self._named = 0
        self._refusals: dict[tuple[int, bool], float] = {}
        self._limits: set[str] = set()

    @property
    def _broker(self) -> str:
        return self._config.address

    @property
    def _user(self) -> str:
        return self._config.user or "anonymous clients"

    @property
    def is_away(self) -> bool:
        """True if it is known that nothing arrives."""
        return self._away.is_on

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        return self._backoff.next_delay()

    def note_no_answer(self) -> None:
        """Record that opening a connection takes very long."""
        message = f"the name server or the broker {self._broker} does not answer"
        self._away.begin(f"{message}; waiting until one does", message)

    def note_begin(self, config: MqttConfig, now: float) -> None:
        """Record that a broker has accepted the connection; the configuration has its address."""
        self._config = config
        self._began = now

    def note_proof(self, now: float) -> None:
        """Record that a message was acknowledged over this connection; may be called again."""
        is_settled = self._began is not None and now - self._began >= _SETTLED_AFTER
        if is_settled:
            self._backoff.reset()
            self._times_lost = 0
            self._is_doubtful = False
        if not self._is_doubtful and (self._away.is_on or not self._has_connected):
            self._note_connected()

    def _note_connected(self) -> None:
        tls = "with" if self._config.tls else "without"
        how = f"as {self._config.user or 'an anonymous client'}, {tls} TLS"
        message = f"connected to the broker {self._broker} {'again' if self._has_connected else how}"
        if self._away.is_on:
            self._away.end(message)
        else:
            _log.info(message)
        self._has_connected = True

    def note_end(self, failed: ConnectionFailed, now: float, blamed: HangUp | None = None) -> None:
        """Record that the connection ended, or that there was none.

        Args:
            failed: why.
            now: the time.
            blamed: the message that is to blame for it, if there is one.
        """
        began, self._began = self._began, None
        if blamed is not None:
            self._note_blamed(failed, blamed, now)
            return
        if isinstance(failed, ConnectionGivenUp):
            self._backoff.reset()
            self._away.begin(str(failed), "given up")
            return
        is_lost = isinstance(failed, ConnectionLost)
        message = str(failed)
        kind = "lost" if is_lost else message
        if began is None:
            self._times_lost, self._is_doubtful = 0, False  # the broker itself was away
        elif now - began < _SETTLED_AFTER:
            self._times_lost += is_lost
            self._is_doubtful = not is_lost or self._times_lost > 1
            if is_lost and self._is_doubtful:
                kind = "thrown out"
                message = self._thrown_out_message()
        self._away.begin(until_it_works(message), kind)

    def _note_blamed(self, failed: ConnectionFailed, blamed: HangUp, now: float) -> None:
        if not blamed.is_trial:
            self._is_doubtful = True
            when = "after messages were sent: they now go out one at a time, to find the one that it refuses"
            if blamed.takes_nothing:
                when = f"after every message: {self._user} may not write below {self._config.topic}/"
            self._away.begin(f"{failed} {when}", when)
        elif blamed.is_put_aside:
            self.note_put_aside(blamed.message, "closes the connection after", now)

    def _thrown_out_message(self) -> str:
        return (
            f"the broker {self._broker} accepts the connection and closes it soon after, without a reason: "
            f"another client may use the same client id {default_client_id(self._config)} (then set another "
            f"client_id or topic), or {self._user} may not write below {self._config.topic}/"
        )

    # Messages that the broker refuses

    def note_put_aside(self, sent: Sent, how: str, now: float) -> None:
        """Log a message that is put aside."""
        self._log_named(
            f"the broker {self._broker} {how} the message to {_short(sent.topic)} ({sent.size} bytes). It is "
            "put aside: later messages there are dropped unless they are smaller, and one is tried every "
            f"hour. Look at the broker's log, at its max_packet_size and at the rights of {self._user}",
            now,
        )

    def note_too_large(self, sent: Sent, limit: int, now: float) -> None:
        """Log a message that is larger than the broker accepts."""
        self._log_named(
            f"the message to {_short(sent.topic)} has {sent.size} bytes, and the broker {self._broker} "
            f"accepts at most {limit}: it is not sent; raise the broker's max_packet_size",
            now,
        )

    def _log_named(self, message: str, now: float) -> None:
        if now >= self._names_until:
            self._names_until, self._named = now + _HOUR, 0
        self._named += 1
        if self._named == _NAMES_AN_HOUR:
            message += ". Further ones are not named for an hour"
        if self._named <= _NAMES_AN_HOUR:
            _log.error(message)

    def note_taken_again(self, topic: str) -> None:
        """Log a topic that is not put aside any more."""
        _log.info("the broker %s accepts messages to %s again", self._broker, _short(topic))

    def note_refused(self, topic: str, code: int, now: float) -> None:
        """Log that the broker answered a message with a failure that may pass: once an hour for each kind."""
        kind = code, topic.startswith(f"{self._config.topic}/")
        if now - self._refusals.get(kind, -_HOUR) >= _HOUR:
            self._refusals[kind] = now
            _log.error(refused_message(self._config, _short(topic), code))

    def note_limits(self, connection: Connection) -> None:
        """Log once what a broker of MQTT 5 does not support."""
        limits = []
        if not connection.may_retain:
            limits.append(
                f"the broker {self._broker} retains no messages (retain_available): after its start, Home "
                "Assistant has no reading before the next one"
            )
        if connection.max_qos == 0:
            limits.append(
                f"the broker {self._broker} accepts QoS 0 only (max_qos): messages go out with it, and a "
                "ping behind them shows that they have arrived"
            )
        for message in limits:
            if message not in self._limits:
                self._limits.add(message)
                _log.warning(message)


def _short(topic: str) -> str:
    return topic if len(topic) <= _LONGEST_TOPIC else f"{topic[:_LONGEST_TOPIC]}…"
