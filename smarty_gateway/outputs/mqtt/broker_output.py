"""What outputs to an MQTT broker share: a thread that opens one connection after the other."""

import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.background import Task
from smarty_gateway.outputs.mqtt.broker_errors import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    ConnectionFailed,
)
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection, Will
from smarty_gateway.outputs.mqtt.refused_messages import HangUp
from smarty_gateway.outputs.threaded import LOOK_EVERY, Stop, ThreadedOutput

_WAIT_FOR_HANDSHAKE: Final = 0.5
_ANSWER_WITHIN: Final = 10.0


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
    """

    #: For the store and for closing.
    last_steps = 1.0

    def __init__(self, label: str, config: MqttConfig, client_id: str, status_topic: str) -> None:
        super().__init__("mqtt", label, named_first=True)
        self.config = config
        self.broker = BrokerStatus(config)
        self._client_id = client_id
        self._will = Will(status_topic)
        self._given_up: Task[Connection] | None = None

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
    def end_session(self, failed: ConnectionFailed | None) -> HangUp | None:
        """Close the connection, if there was one, and return the message that is to blame for its end."""

    @abstractmethod
    def store_rest(self) -> None:
        """Store what is not acknowledged; called at the end."""

    def take_message(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscribed topic."""

    def next_delay(self) -> float:
        """Return the seconds until the next attempt."""
        return self.broker.next_delay()

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
            self._wait_for_handshake()

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
            blamed = self.end_session(failed)
            if failed is not None and not self._can_change_will(failed.code):
                self.broker.note_end(failed, time.monotonic(), blamed)

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
        connecting = Task(
            "MQTT connect",
            partial(Connection, self.config, self._will, self.take_message, self._client_id, self.wake),
            self.wake.wake,
        )
        started = time.monotonic()
        while not connecting.is_done:
            now = time.monotonic()
            if self.stopping.is_requested and (now >= self.stopping.by or self.broker.is_away):
                connecting.then(partial(_close, connecting))
                self._given_up = connecting
                return None
            if now - started > _ANSWER_WITHIN:
                self.broker.note_no_answer()
            self._wait_without_broker(self.stopping.by - now)
        return connecting.result()

    def _wait_offline(self) -> None:
        until = time.monotonic() + self.next_delay()
        while not self.stopping.is_requested and (left := until - time.monotonic()) > 0:
            self._wait_without_broker(left)

    def _wait_without_broker(self, seconds: float) -> None:
        self.wake.wait(min(seconds, LOOK_EVERY))
        self.look()

    def _wait_for_handshake(self) -> None:
        """Wait for the end of a connection that was given up.

        OpenSSL takes itself down when the process ends, and crashes if another thread is at work in it. One
        that only waits for a slow peer does no harm, so this need not take long.
        """
        may_be_tls = self.config.tls or self.config.is_from_supervisor
        if may_be_tls and self._given_up is not None:
            self._given_up.wait(_WAIT_FOR_HANDSHAKE)


def is_accepted(connection: Connection, stop: Stop, look: Callable[[], object]) -> bool:
    """Wait until the broker accepts a connection; False if a stop comes first.

    Raises:
        ConnectionFailed: it refuses it, or does not answer.
    """
    started = time.monotonic()
    while not connection.is_ready:
        now = time.monotonic()
        if now - started > _ANSWER_WITHIN:
            broker = connection.config.address
            raise ConnectionFailed(f"{broker} accepts connections, but does not speak MQTT")
        if now > stop.by:
            return False
        connection.wait(min(LOOK_EVERY, max(0.0, stop.by - now)))
        look()
    return True


def _close(connecting: Task[Connection]) -> None:
    """Close a connection that was given up."""
    with contextlib.suppress(ConnectionFailed):
        connecting.result().close()
