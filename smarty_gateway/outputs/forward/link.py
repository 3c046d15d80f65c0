"""One connection to a node: what goes out over it, and what is acknowledged."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from smarty_gateway.outputs.forward.turns import Turns
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed
from smarty_gateway.outputs.mqtt.connection import Connection
from smarty_gateway.outputs.outbox import Outbox, TopicTest, Waiting
from smarty_gateway.protocol.forwarded import MESSAGE_BYTES, join

#: Seconds without any acknowledgement, while something is in flight, after which the next node is tried.
SILENT_AFTER: Final = 10.0


class NodeSilentError(ConnectionFailed):
    """A node has accepted the connection, and acknowledges nothing."""


class Link:
    """Sends what waits, and removes what is acknowledged. Time is an argument.

    Args:
        connection: which the node has accepted.
        outbox: what waits.
        turns: which topic may send.
        acknowledged: is called with the topic of each message that the node has.
        now: the time.

    Attributes:
        is_idle: nothing is in flight, and nothing may be sent now.
    """

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        turns: Turns,
        acknowledged: Callable[[str], None],
        now: float,
    ) -> None:
        self.is_idle = False
        self._connection = connection
        self._outbox = outbox
        self._turns = turns
        self._acknowledged = acknowledged
        self._heard_at = now
        self._has_heard = False
        turns.note_connected(now)

    def send(self, now: float) -> None:
        """Send as much as may be in flight.

        Raises:
            NodeSilentError: the node has acknowledged nothing for too long.
        """
        turns = self._turns
        if self._has_heard or not turns.in_flight:
            self._heard_at, self._has_heard = now, False
        elif now - self._heard_at >= SILENT_AFTER:
            raise NodeSilentError(
                f"the node {self._connection.config.address} has acknowledged nothing for "
                f"{SILENT_AFTER:.0f} s"
            )
        while self._send_one(now, lambda topic: turns.is_turn(topic, now)):
            pass
        while self._send_one(now, lambda topic: turns.is_late_turn(topic, now)):
            pass
        if not turns.in_flight and not self._send_one(now, turns.is_trial):
            turns.note_no_trial(now, is_empty=self._outbox.is_empty)
        self.is_idle = not turns.in_flight

    def _send_one(self, now: float, is_turn: TopicTest) -> bool:
        """Send the oldest message whose turn it is, with what waits on its topic; False if there is none."""
        is_held = partial(self._turns.is_held, now=now)
        first = self._outbox.next_to_send(is_held, is_turn)
        if first is None:
            return False
        batch, size = [first], len(first.payload)
        while (more := self._outbox.next_to_send(is_held, first.topic.__eq__)) is not None:
            size += len(more.payload)
            if size > MESSAGE_BYTES:
                self._outbox.put_back(more)
                break
            batch.append(more)
        self._turns.note_sent(first.topic)
        self._connection.publish(
            first.topic, join(each.payload for each in batch), done=partial(self._done, first.topic, batch)
        )
        return True

    def _done(self, topic: str, batch: Sequence[Waiting]) -> None:
        self._has_heard = True
        for waiting in batch:
            self._outbox.remove(waiting)
        self._acknowledged(topic)
