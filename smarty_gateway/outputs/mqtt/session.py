"""One connection from its handshake to its end: greet, serve, say goodbye."""

import time
from collections.abc import Callable
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection
from smarty_gateway.outputs.mqtt.opening import is_accepted
from smarty_gateway.outputs.mqtt.publications import Publications
from smarty_gateway.outputs.mqtt.send_queue import Rank
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.threaded import Stop

_FINISH_LOOK_EVERY: Final = 0.1
#: Of the seconds for a stop, what is kept for going offline.
_GOODBYE: Final = 0.5


class Session:
    """Serves the broker over one connection.

    Args:
        config: names the broker.
        connection: to it; the broker has not accepted it yet.
        publications: what is to be published.
        status: what is logged of the broker.
        stop: ends the session.
        look: does what must be done every second whatever the broker does, and returns the time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each of them outlives the connection
        self,
        config: MqttConfig,
        connection: Connection,
        publications: Publications,
        status: BrokerStatus,
        stop: Stop,
        look: Callable[[], float],
    ) -> None:
        self._config = config
        self._connection = connection
        self._publications = publications
        self._status = status
        self._stop = stop
        self._look = look
        self._status_topic = Topics(config.topic).status
        self._sender: Sender | None = None

    @property
    def has_work(self) -> bool:
        """True if something waits to be sent or acknowledged; any thread may ask."""
        sender = self._sender
        if self._connection.in_flight or sender is None:
            return True
        return sender.has_messages or sender.has_telegrams

    def run(self) -> None:
        """Serve the broker until the output shall end.

        Raises:
            ConnectionFailed: the connection is gone.
        """
        if not is_accepted(self._connection, self._stop, self._look):
            return
        now = time.monotonic()
        self._status.note_begin(self._connection.config, now)
        self._status.note_limits(self._connection)
        publications = self._publications
        sender = self._sender = Sender(
            self._config,
            self._connection,
            publications.outbox,
            publications.refused,
            self._status,
            publications.named_telegrams,
            now,
        )
        self._greet(sender)
        while not self._stop.is_requested:
            self._connection.wait(publications.seconds_to_next(time.monotonic()))
            now = self._look()
            if self._connection.is_proven:
                self._status.note_proof(now)
            self._send(sender, now)
        self._say_goodbye(sender)

    def close(self) -> None:
        """End the connection.

        Politely only if the broker knows that the gateway goes offline, as it then drops the last will.
        """
        sender = self._sender
        is_done = sender is not None and not sender.has_messages and not self._connection.in_flight
        self._connection.close(politely=self._stop.is_requested and is_done)

    def _greet(self, sender: Sender) -> None:
        birth_topic = self._publications.meters.birth_topic
        if birth_topic is not None:
            self._connection.subscribe(birth_topic)
        self._publications.reset(sender, time.monotonic())
        # Behind the availability of all meters.
        sender.put(self._status_topic, b"online", Rank.FIRST)
        self._publications.take_arrivals()
        self._send(sender, time.monotonic())

    def _say_goodbye(self, sender: Sender) -> None:
        """Send what is newest, and then `offline`, as far as the time for a stop allows."""
        self._publications.take_all_arrivals()
        self._send(sender, time.monotonic())  # a meter that was replaced is taken away before `finish`
        self._publications.meters.finish()
        self._finish(sender, self._stop.by - _GOODBYE)
        self._publications.meters.go_offline(sender)
        sender.put(self._status_topic, b"offline", Rank.STATE)
        self._finish(sender, self._stop.by)

    def _finish(self, sender: Sender, until: float) -> None:
        self._send(sender, time.monotonic())
        while (self._connection.in_flight or sender.has_messages) and (left := until - time.monotonic()) > 0:
            self._connection.wait(min(left, _FINISH_LOOK_EVERY))
            self._send(sender, time.monotonic())

    def _send(self, sender: Sender, now: float) -> None:
        self._publications.queue_due(sender, now)
        sender.send(now)
