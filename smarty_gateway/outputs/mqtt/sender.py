"""Sends over one connection after the other what waits, as far as the broker takes it.

Newest states wait in a line here, telegrams in the outbox. What goes out next, and what becomes of a
message that the broker refuses, is the same for both.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_log import BrokerLog
from smarty_gateway.outputs.mqtt.connection import (
    MAX_IN_FLIGHT,
    PACKET_TOO_LARGE,
    PAYLOAD_FORMAT_INVALID,
    TOPIC_NAME_INVALID,
    Connection,
    packet_size,
    reason_words,
)
from smarty_gateway.outputs.mqtt.line import NAMED, OTHERS, UNSURE, Line, Message, Rank
from smarty_gateway.outputs.mqtt.outbox import Outbox, TopicTest, Waiting
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages, Sent, Verdict

_LOOK_EVERY: Final = 1.0
#: So many telegrams are on their way at once, beside the states.
_TELEGRAMS_IN_FLIGHT: Final = 20
_DROPS_AT_ONCE: Final = 500
_FOR_GOOD: Final = frozenset({TOPIC_NAME_INVALID, PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID})


class Sender:
    """What waits to go out over one connection.

    Args:
        named_topics: telegrams on these come before others.
        now: when the broker let us in.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each of them outlives the connection
        self,
        config: MqttConfig,
        connection: Connection,
        outbox: Outbox,
        refused: RefusedMessages,
        log: BrokerLog,
        named_topics: Collection[str],
        now: float,
    ) -> None:
        self._version = config.version
        self._connection = connection
        self._outbox = outbox
        self._refused = refused
        self._log = log
        self._named_topics = named_topics
        self._line = Line()
        self._doubtful = Line()  # one of these may be what made the broker hang up
        self._held: dict[str, Message] = {}  # newest of topics that may not go now
        self._telegrams_in_flight = 0
        self._waits_alone: str | None = None  # a telegram of this topic is next once nothing is on its way
        self._is_stuck = False
        self._next_look = 0.0
        refused.note_connected(now, connection.max_packet_size)

    # What waits

    def put(self, topic: str, payload: bytes, rank: Rank, done: Callable[[], None] | None = None) -> None:
        """Add a retained message; it takes the place of what waits on the same topic."""
        self._put(Message(topic, payload, rank, done))

    def _put(self, message: Message) -> None:
        lines = [self._line, self._doubtful]
        if self._refused.is_doubtful(message.topic):
            lines.reverse()
        lines[0].put(message)
        lines[1].discard(message.topic)

    def discard(self, topic: str) -> None:
        """Remove what waits on a topic."""
        self._line.discard(topic)
        self._doubtful.discard(topic)
        self._held.pop(topic, None)

    def _has(self, topic: str) -> bool:
        return topic in self._line or topic in self._doubtful

    @property
    def has_messages(self) -> bool:
        """True if something waits in line; what may be lost does not count."""
        sure = [rank for rank in Rank if rank not in UNSURE]
        return self._line.has(sure) or self._doubtful.has(sure)

    @property
    def has_telegrams(self) -> bool:
        """True if the outbox holds something that may go."""
        return not (self._outbox.is_empty or self._is_stuck)

    # What goes out

    def send(self, now: float) -> None:
        """Send as much as may be on its way at once."""
        self._refused.tick(now)
        if now >= self._next_look or self._refused.wants_to_be_alone(now):
            self._next_look = now + _LOOK_EVERY
            self._look_at_held(now)
        alone, self._waits_alone = self._waits_alone, None
        if alone is not None and self._refused.has_room(now):
            self._send_telegram(now, alone.__eq__)
        turns = [(self._line, NAMED, False), (self._line, OTHERS, False)]
        if self._refused.is_searching or self._doubtful.has(Rank):
            doubtful = (self._doubtful, NAMED + OTHERS, True)
            turns.insert(0 if self._refused.puts_doubtful_first(now) else len(turns), doubtful)
        for line, ranks, is_doubtful in turns:
            is_turn = partial(self._is_turn, ranks, is_doubtful)
            while self._refused.has_room(now) and (
                self._send_from(line, ranks, now) or self._send_telegram(now, is_turn)
            ):
                pass
        self._is_stuck = self._refused.has_room(now) and not self._telegrams_in_flight

    def _is_turn(self, ranks: tuple[Rank, ...], is_doubtful: bool, topic: str) -> bool:  # noqa: FBT001 - partial
        rank = Rank.STATE if topic in self._named_topics else Rank.OTHERS_STATE
        return rank in ranks and self._refused.is_doubtful(topic) is is_doubtful

    def _send_from(self, line: Line, ranks: tuple[Rank, ...], now: float) -> bool:
        connection = self._connection
        if not connection.is_proven:
            # A broker says of the others that they are forbidden, but may hang up on these.
            ranks = tuple(rank for rank in ranks if rank not in UNSURE)
        while connection.in_flight < MAX_IN_FLIGHT and (message := line.take(ranks)) is not None:
            if self._send_message(message, now):
                return True
        return False

    def _send_message(self, message: Message, now: float) -> bool:
        """True if the message was sent; else it is held, or dropped."""
        self.discard(message.topic)
        verdict, size = self._verdict(message.topic, message.payload, message.qos, now)
        if verdict is Verdict.SEND:
            self._transmit(message, size, now)
            return True
        if verdict is Verdict.DROP:
            self._refused.note_dropped()
        self._held[message.topic] = message
        return False

    def _look_at_held(self, now: float) -> None:
        for topic, message in list(self._held.items()):
            verdict, size = self._verdict(topic, message.payload, message.qos, now)
            if verdict is not Verdict.SEND:
                continue
            del self._held[topic]
            if self._has(topic):
                continue  # with a newer message
            if self._refused.is_trial(topic, size):
                self._transmit(message, size, now)  # while nothing else is on its way
            else:
                self._put(message)

    def _verdict(self, topic: str, payload: bytes, qos: int, now: float) -> tuple[Verdict, int]:
        """Return what to do with a message, and the size of its packet."""
        size = packet_size(topic, payload, qos=min(qos, self._connection.max_qos), version=self._version)
        if self._refused.is_too_large(size) and self._refused.note_too_large(topic, size):
            self._log.note_too_large(Sent(topic, size), self._connection.max_packet_size or 0, now)
        return self._refused.verdict(topic, size, now), size

    def _transmit(self, message: Message, size: int, now: float) -> None:
        sent = Sent(message.topic, size)
        number = self._refused.note_sent(sent, now)
        self._connection.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=True,
            done=partial(self._taken, number, message),
            refused=partial(self._not_taken, number, sent, message),
        )

    def _send_telegram(self, now: float, is_wanted: TopicTest) -> bool:
        """True if a telegram was sent; one that the broker would refuse is dropped."""
        for _ in range(_DROPS_AT_ONCE):
            if self._telegrams_in_flight >= _TELEGRAMS_IN_FLIGHT:
                return False
            waiting = self._outbox.next_to_send(
                lambda topic: self._refused.is_kept_back(topic, now), is_wanted
            )
            if waiting is None:
                return False
            verdict, size = self._verdict(waiting.topic, waiting.payload, 1, now)
            if verdict is Verdict.SEND:
                self._transmit_telegram(waiting, size, now)
                return True
            if verdict is Verdict.WAIT:
                self._waits_alone = waiting.topic
                self._outbox.put_back(waiting)
                return False
            self._refused.note_dropped()
            self._outbox.drop(waiting)
        return False

    def _transmit_telegram(self, waiting: Waiting, size: int, now: float) -> None:
        self._telegrams_in_flight += 1
        sent = Sent(waiting.topic, size)
        number = self._refused.note_sent(sent, now)
        self._connection.publish(
            waiting.topic,
            waiting.payload,
            done=partial(self._telegram_taken, number, waiting),
            refused=partial(self._telegram_not_taken, number, sent, waiting),
        )

    # What becomes of it

    def _taken(self, number: int, message: Message) -> None:
        self._note_taken(number, message.topic)
        if message.done is not None:
            message.done()

    def _not_taken(self, number: int, sent: Sent, message: Message, code: int) -> None:
        self._note_not_taken(number, sent, code)
        if not self._has(message.topic):
            self._held.setdefault(message.topic, message)

    def _telegram_taken(self, number: int, waiting: Waiting) -> None:
        self._telegrams_in_flight -= 1
        self._note_taken(number, waiting.topic)
        self._outbox.acknowledge(waiting)

    def _telegram_not_taken(self, number: int, sent: Sent, waiting: Waiting, code: int) -> None:
        self._telegrams_in_flight -= 1
        self._note_not_taken(number, sent, code)
        if code in _FOR_GOOD:
            self._outbox.drop(waiting)
        else:
            self._outbox.put_back(waiting)

    def _note_taken(self, number: int, topic: str) -> None:
        if self._refused.note_taken(number):
            self._log.note_taken_again(topic)

    def _note_not_taken(self, number: int, sent: Sent, code: int) -> None:
        now = time.monotonic()
        if code not in _FOR_GOOD:
            self._refused.note_refused(number, now)
            self._log.note_refused(sent.topic, code, now)
            return
        self._refused.note_dropped()
        if self._refused.note_refused_for_good(number, now):
            self._log.note_put_aside(sent, f"refuses ({reason_words(code)})", now)
