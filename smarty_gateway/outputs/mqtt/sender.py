"""Decides what goes out next over one connection, and handles what becomes of it.

Newest states wait in a queue here, telegrams in the outbox. Priorities, the window and the treatment of a
message that the broker refuses are the same for both.
"""

import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs.mqtt.broker_errors import FINAL_CODES, reason_text
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection, packet_size
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages, Sent, Verdict
from smarty_gateway.outputs.mqtt.send_queue import NAMED, OTHERS, UNSURE, Message, Rank, SendQueue
from smarty_gateway.outputs.outbox import Outbox, TopicTest, Waiting

_LOOK_EVERY: Final = 1.0
#: The part of the window that is kept for telegrams, which would starve behind the states of many meters. It
#: is small, so that a new state does not queue behind a large backlog on a slow link.
_TELEGRAMS_PART: Final = 6
_DROPS_AT_ONCE: Final = 500


class Sender:
    """What waits to go out over one connection.

    Args:
        named_topics: telegrams on these come before others.
        now: when the broker accepted the connection.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each of them outlives the connection
        self,
        config: MqttConfig,
        connection: Connection,
        outbox: Outbox,
        refused: RefusedMessages,
        status: BrokerStatus,
        named_topics: Collection[str],
        now: float,
    ) -> None:
        self._version = config.version
        self._connection = connection
        self._outbox = outbox
        self._refused = refused
        self._status = status
        self._named_topics = named_topics
        self._queue = SendQueue()
        self._kept_back: dict[str, Message] = {}  # by key: the newest that the broker refuses for now
        self._telegrams_max = max(1, connection.window // _TELEGRAMS_PART)
        self._retained_max = max(1, connection.window - self._telegrams_max)
        self._telegrams_in_flight = 0
        self._waits_alone: str | None = None  # a telegram of this topic is next once nothing is in flight
        self._is_stuck = False
        self._next_look = 0.0
        refused.note_connected(now, connection.max_packet_size)

    # What waits

    def put(
        self,
        topic: str,
        payload: bytes,
        rank: Rank,
        done: Callable[[], None] | None = None,
        expiry: int | None = None,
    ) -> None:
        """Add a retained message; it replaces what waits on the same topic."""
        self._queue.put(Message(topic, payload, rank, done, expiry))

    def put_passing(self, topic: str, payload: bytes, rank: Rank, slot: str) -> None:
        """Add a message that is not retained; it replaces what waits in the same slot."""
        self._queue.put(Message(topic, payload, rank, slot=slot))

    def discard(self, key: str) -> None:
        """Remove the message with this key, such as that of a topic."""
        self._queue.discard(key)
        self._kept_back.pop(key, None)

    def is_replaced(self, topic: str, length: int) -> bool:
        """True if the broker refuses this message, and smaller ones must say the same."""
        return self._refused.is_replaced(topic, self._size(topic, length, qos=1))

    @property
    def has_messages(self) -> bool:
        """True if a message waits of which the newest counts; those of QoS 0 may be lost and do not count."""
        return self._queue.has_sure

    @property
    def has_telegrams(self) -> bool:
        """True if the outbox holds something that may be sent."""
        return not (self._outbox.is_empty or self._is_stuck)

    # What goes out

    def send(self, now: float) -> None:
        """Send as much as may be in flight at once."""
        self._refused.tick(now)
        if now >= self._next_look or self._refused.wants_to_be_alone(now):
            self._next_look = now + _LOOK_EVERY
            self._look_at_kept_back(now)
        alone, self._waits_alone = self._waits_alone, None
        if alone is not None and self._refused.has_room(now):
            self._send_telegram(now, alone.__eq__)
        for ranks, is_doubtful in self._turns(now):
            is_retained_turn = partial(self._is_retained_turn, is_doubtful)
            is_telegram_turn = partial(self._is_telegram_turn, ranks, is_doubtful)
            while self._refused.has_room(now) and (
                self._send_retained(ranks, is_retained_turn, now)
                or self._send_telegram(now, is_telegram_turn)
            ):
                pass
        self._is_stuck = self._refused.has_room(now) and not self._telegrams_in_flight

    def _turns(self, now: float) -> list[tuple[tuple[Rank, ...], bool]]:
        """Return whose turn it is, in order: ranks, and whether the broker may refuse the message."""
        turns = [(NAMED, False), (OTHERS, False)]
        if self._refused.is_searching:
            turns.insert(0 if self._refused.puts_doubtful_first(now) else len(turns), (NAMED + OTHERS, True))
        return turns

    def _is_retained_turn(self, is_doubtful: bool, topic: str) -> bool:  # noqa: FBT001 - partial
        return self._refused.is_doubtful(topic) is is_doubtful

    def _is_telegram_turn(self, ranks: tuple[Rank, ...], is_doubtful: bool, topic: str) -> bool:  # noqa: FBT001 - partial
        rank = Rank.STATE if topic in self._named_topics else Rank.OTHERS_STATE
        return rank in ranks and self._is_retained_turn(is_doubtful, topic)

    def _send_retained(self, ranks: tuple[Rank, ...], is_wanted: TopicTest, now: float) -> bool:
        if not self._connection.is_proven:
            # A broker reports that the others are forbidden, but may hang up on these.
            ranks = tuple(rank for rank in ranks if rank not in UNSURE)
        while self._has_room_for_retained and (message := self._queue.take(ranks, is_wanted)) is not None:
            if self._send_message(message, now):
                return True
        return False

    @property
    def _has_room_for_retained(self) -> bool:
        in_flight = self._connection.in_flight
        return in_flight < self._connection.window and (
            in_flight - self._telegrams_in_flight < self._retained_max
        )

    def _send_message(self, message: Message, now: float) -> bool:
        """True if the message was sent; else it is kept back."""
        self.discard(message.key)
        verdict, size = self._verdict(message, now)
        if verdict is Verdict.SEND:
            self._transmit(message, size, now)
            return True
        if verdict is Verdict.DROP:
            self._refused.note_dropped()
        self._kept_back[message.key] = message
        return False

    def _look_at_kept_back(self, now: float) -> None:
        for key, message in list(self._kept_back.items()):
            verdict, size = self._verdict(message, now)
            if verdict is not Verdict.SEND:
                continue
            del self._kept_back[key]
            if key in self._queue:
                continue  # with a newer message
            if self._refused.is_trial(message.topic, size):
                self._transmit(message, size, now)  # while nothing else is in flight
            else:
                self._queue.put(message)

    def _size(self, topic: str, length: int, *, qos: int, expires: bool = False) -> int:
        qos = min(qos, self._connection.max_qos)
        return packet_size(topic, length, qos=qos, version=self._version, expires=expires)

    def _verdict(self, message: Message | Waiting, now: float) -> tuple[Verdict, int]:
        """Return what to do with a message, and the size of its packet."""
        topic, length = message.topic, len(message.payload)
        if isinstance(message, Message):
            size = self._size(topic, length, qos=message.qos, expires=message.expiry is not None)
        else:
            size = self._size(topic, length, qos=1)
        if self._refused.is_too_large(size) and self._refused.note_too_large(topic, size):
            self._status.note_too_large(Sent(topic, size), self._connection.max_packet_size or 0, now)
        return self._refused.verdict(topic, size, now), size

    def _transmit(self, message: Message, size: int, now: float) -> None:
        sent = Sent(message.topic, size)
        number = self._refused.note_sent(sent, now)
        self._connection.publish(
            message.topic,
            message.payload,
            qos=message.qos,
            retain=message.is_retained,
            expiry=message.expiry,
            done=partial(self._accepted, number, message),
            refused=partial(self._not_accepted, number, sent, message),
        )

    def _send_telegram(self, now: float, is_wanted: TopicTest) -> bool:
        """True if a telegram was sent; one that the broker would refuse is dropped."""
        for _ in range(_DROPS_AT_ONCE):
            if (
                self._telegrams_in_flight >= self._telegrams_max
                or self._connection.in_flight >= self._connection.window
            ):
                return False
            waiting = self._outbox.next_to_send(
                lambda topic: self._refused.is_kept_back(topic, now), is_wanted
            )
            if waiting is None:
                return False
            verdict, size = self._verdict(waiting, now)
            if verdict is Verdict.SEND:
                self._transmit_telegram(waiting, size, now)
                return True
            if verdict is Verdict.WAIT:
                self._waits_alone = waiting.topic
                self._outbox.put_back(waiting)
                return False
            self._refused.note_dropped()
            self._outbox.remove(waiting)
        return False

    def _transmit_telegram(self, waiting: Waiting, size: int, now: float) -> None:
        self._telegrams_in_flight += 1
        sent = Sent(waiting.topic, size)
        number = self._refused.note_sent(sent, now)
        self._connection.publish(
            waiting.topic,
            waiting.payload,
            done=partial(self._telegram_accepted, number, waiting),
            refused=partial(self._telegram_not_accepted, number, sent, waiting),
        )

    # What becomes of it

    def _accepted(self, number: int, message: Message) -> None:
        self._note_accepted(number, message.topic)
        if message.done is not None:
            message.done()

    def _not_accepted(self, number: int, sent: Sent, message: Message, code: int) -> None:
        self._note_not_accepted(number, sent, code)
        if message.key not in self._queue:
            self._kept_back.setdefault(message.key, message)

    def _telegram_accepted(self, number: int, waiting: Waiting) -> None:
        self._telegrams_in_flight -= 1
        self._note_accepted(number, waiting.topic)
        self._outbox.remove(waiting)

    def _telegram_not_accepted(self, number: int, sent: Sent, waiting: Waiting, code: int) -> None:
        self._telegrams_in_flight -= 1
        self._note_not_accepted(number, sent, code)
        if code in FINAL_CODES:
            self._outbox.remove(waiting)
        else:
            self._outbox.put_back(waiting)

    def _note_accepted(self, number: int, topic: str) -> None:
        if self._refused.note_taken(number):
            self._status.note_taken_again(topic)

    def _note_not_accepted(self, number: int, sent: Sent, code: int) -> None:
        now = time.monotonic()
        if code not in FINAL_CODES:
            self._refused.note_refused(number, now)
            self._status.note_refused(sent.topic, code, now)
            return
        self._refused.note_dropped()
        if self._refused.note_refused_for_good(number, now):
            self._status.note_put_aside(sent, f"refuses ({reason_text(code)})", now)
