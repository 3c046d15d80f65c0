"""What outputs to an MQTT broker share: a thread that opens one connection after the other."""

import time
from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    ConnectionFailed,
)
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection, Will
from smarty_gateway.outputs.mqtt.opening import ANSWER_WITHIN, Opening
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages
from smarty_gateway.outputs.threaded import LOOK_EVERY, ThreadedOutput

#: Seconds to the next attempt after the broker closed the connection because of a message.
_QUICK_DELAY: Final = 0.25


class BrokerOutput(ThreadedOutput):
    """Serves a broker over one connection after the other.

    Args:
        label: what log messages call it.
        config: names the broker.
        client_id: names the output to the broker.
        status_topic: gets `offline` when a connection breaks.

    Attributes:
        is_over: never, as the broker may return.
        broker: what is known of it.
        refused: what the broker refuses; the constructor of a subclass sets it. Any thread may ask.
    """

    refused: RefusedMessages

    #: For the store and for closing.
    last_steps = 1.0

    def __init__(self, label: str, config: MqttConfig, client_id: str, status_topic: str) -> None:
        super().__init__("mqtt", label, named_first=True)
        self.config = config
        self.broker = BrokerStatus(config)
        self._client_id = client_id
        self._will = Will(status_topic)
        self._given_up: Opening | None = None

    # What such an output is made of

    @abstractmethod
    def serve(self, connection: Connection) -> None:
        """Serve the broker over a connection, which it has not accepted yet, until the output shall end.

        Raises:
            ConnectionFailed: the connection is gone.
        """

    @abstractmethod
    def look(self) -> float:
        """Do what must be done every second, whatever the broker does, and return the time."""

    @abstractmethod
    def end_session(self, failed: ConnectionFailed | None) -> None:
        """Close the connection, if there was one; what it has not delivered waits again."""

    @abstractmethod
    def store_rest(self) -> None:
        """Store what is not acknowledged; called at the end."""

    def take_message(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscribed topic."""

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        return _QUICK_DELAY if self.refused.is_quick(time.monotonic()) else self.broker.next_delay()

    # The thread

    def work(self) -> None:
        """Open one connection after the other."""
        self._serve_once()  # even if a stop was requested already: a recording may be short
        while not self.stopping.is_requested:
            self._wait_offline()
            self._serve_once()

    def close(self) -> None:
        """Store what is not acknowledged."""
        try:
            self.store_rest()
        finally:
            may_be_tls = self.config.tls or self.config.is_from_supervisor
            if may_be_tls and self._given_up is not None:
                self._given_up.wait_for_handshake()

    def _serve_once(self) -> None:
        """Connect and stay connected for as long as it lasts."""
        failed = None
        connection = None
        try:
            connection = self._connect()
            if connection is not None:
                self.serve(connection)
        except ConnectionFailed as caught:
            failed = caught
        finally:
            if connection is not None and connection.is_ready:
                self._will = replace(self._will, qos=connection.max_qos, retain=connection.may_retain)
            self.end_session(failed)
            now = time.monotonic()
            blamed = self.refused.note_end(now, is_hang_up=failed is not None and failed.is_hang_up)
            if failed is not None and not self._can_change_will(failed.code):
                self.broker.note_end(failed, now, blamed)

    def _can_change_will(self, code: int | None) -> bool:
        """True if the next attempt leaves a last will that the broker may accept."""
        if code == RETAIN_NOT_SUPPORTED and self._will.retain:
            self._will = replace(self._will, retain=False)
        elif code == QOS_NOT_SUPPORTED and self._will.qos:
            self._will = replace(self._will, qos=0)
        else:
            return False
        return True

    def _connect(self) -> Connection | None:
        """Open a connection, and do everything else meanwhile; None if a stop comes first."""
        opening = Opening(
            "MQTT connect",
            partial(Connection, self.config, self._will, self.take_message, self._client_id, self.wake),
            self.wake.wake,
        )
        started = time.monotonic()
        while not opening.is_done:
            now = time.monotonic()
            if self.stopping.is_requested and (now >= self.stopping.by or self.broker.is_away):
                opening.give_up()
                self._given_up = opening
                return None
            if now - started > ANSWER_WITHIN:
                self.broker.note_no_answer()
            self._wait_without_broker(self.stopping.by - now)
        return opening.result()

    def _wait_offline(self) -> None:
        until = time.monotonic() + self.next_delay()
        while not self.stopping.is_requested and (left := until - time.monotonic()) > 0:
            self._wait_without_broker(left)

    def _wait_without_broker(self, seconds: float) -> None:
        self.wake.wait(min(seconds, LOOK_EVERY))
        self.look()
