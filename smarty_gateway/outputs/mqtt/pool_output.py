"""The MQTT output of a worker of a pool: the newest states of many meters, and their telegrams.

    smarty/METER/state       retained: the newest JSON object, at most one in each interval
    smarty/METER/telegram    with `telegrams: true` each JSON object, at least once
    smarty/status/WORKER     retained: `online`, or `offline`

No `state` goes out after a newer one, although another worker may have taken the shard meanwhile:

* The lease is asked right before a message is handed to the kernel, and only while nothing else waits here or
  there (`Connection.is_writable`).
* A state belongs to the epoch of its shard in which it was decoded. What is not acknowledged is sent again
  over the next connection, but never in another epoch.
* While the broker is slow to acknowledge, nothing more is sent. A state that is still not acknowledged when
  its shard is lost makes the worker end the connection and discard what its kernel has not sent. Each worker
  has one client id for ever, so with the next connection the broker closes the former one, and with it
  discards what it has not read (MQTT 3.1.1, 3.1.4).
* A shard is handed over (`let_go`) once all its states are acknowledged.

A message that makes the broker hang up, or that is longer than it accepts, is treated as in a gateway (see
`RefusedMessages`): a state is dropped until the meter sends another, a telegram is dropped, as the reading is
in the database.

What remains: a process that is stopped exactly between the question and the sending, messages that are on
their way through the network for longer than a lease lasts, and a broker that stands still for that long and
then reads its connections in another order. The next state of the meter corrects what such a message did.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import MqttConfig, StoreLimits
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed, ConnectionGivenUp
from smarty_gateway.outputs.mqtt.broker_output import BrokerOutput
from smarty_gateway.outputs.mqtt.connection import Connection, packet_size
from smarty_gateway.outputs.mqtt.meter_topics import expires_after
from smarty_gateway.outputs.mqtt.opening import is_accepted
from smarty_gateway.outputs.mqtt.pool_states import PoolStates, Shards, State
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages, Sent, Verdict
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.outbox import Outbox, TopicTest, Waiting
from smarty_gateway.outputs.output import PoolReading, Reading
from smarty_gateway.outputs.threaded import LOOK_EVERY
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: Seconds for which the broker's machine may acknowledge nothing: a lease does not last longer.
_KERNEL_SECONDS: Final = 4.0
#: The end of a connection this many seconds after the last message was sent is no hang-up: where the network
#: breaks, the kernel ends it later than that.
_BLAMED_FOR: Final = 3.0
#: Seconds without an acknowledgement after which no more states are sent.
_SLOW_AFTER: Final = 1.0
#: And those after which the connection is given up.
_LOST_AFTER: Final = 10.0
#: Seconds between two looks while something is not acknowledged, and before a lost shard ends a connection.
_LOOK_OFTEN: Final = 0.25
#: Messages that are sent or dropped before the next look at the connection.
_AT_ONCE: Final = 1000


class PoolMqttOutput(BrokerOutput):
    """Hands the readings of a worker to a broker.

    Args:
        mqtt: names the broker.
        limits: of what may wait on disk.
        store: the state file of this worker.
        worker: its name.
        shards: says what it may publish.
    """

    def __init__(
        self, mqtt: MqttConfig, limits: StoreLimits, store: Store, worker: str, shards: Shards
    ) -> None:
        client_id = f"{mqtt.topic.replace('/', '-')}-{worker}"
        status_topic = f"{Topics(mqtt.topic).status}/{topic_part(worker)}"
        super().__init__("the MQTT output", replace(mqtt, client_id=client_id), client_id, status_topic)
        self._status_topic = status_topic
        self._topics = Topics(mqtt.topic)
        self._store = store
        self._outbox = Outbox(store, limits, "mqtt", "the broker")
        self._states = PoolStates(shards, mqtt.interval)
        self._connection: Connection | None = None
        self._sent: dict[
            int, tuple[float, State]
        ] = {}  # without acknowledgement, by number; the oldest first
        self._telegrams_in_flight = 0
        self.refused = RefusedMessages(store.put_aside(), self._note_put_aside, blamed_for=_BLAMED_FOR)
        self._waits_alone: str | None = None  # a telegram of this topic is next once nothing is in flight
        self._is_announced = False
        self._doubtful: set[int] = set()  # shards of states that a connection has taken with it
        self._next_look = 0.0
        self._leaving: set[int] = set()
        self._has_left = threading.Condition()

    # Called by other threads

    @property
    def state(self) -> str:
        """Its state in one word: `ok`, `slow`, `offline`, or what is wrong."""
        if self.failure is not None:
            return self.failure
        if self._connection is None:
            return "offline"
        return "slow" if self.arrivals.is_dropping else "ok"

    @property
    def is_busy(self) -> bool:
        """True while something waits for a broker that is there, or may be."""
        has_work = self.arrivals or self._states.waiting or self._sent or not self._outbox.is_empty
        return bool(has_work) and not self.broker.is_away and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """States and telegrams that wait in memory."""
        return len(self.arrivals) + self._states.waiting + self._outbox.in_memory

    @property
    def dropped(self) -> int:
        """What was given up or refused since the start: readings, states and telegrams."""
        return super().dropped + self._states.dropped + self._outbox.dropped + self.refused.dropped

    def let_go(self, shards: Collection[int], seconds: float) -> frozenset[int]:
        """Send nothing more of these shards, and return those of which the broker has everything.

        Of the others, something may be on its way; their lease must end before another worker publishes.
        """
        until = time.monotonic() + seconds
        with self._has_left:
            self._leaving |= set(shards)
            self.wake.wake()
            while self._leaving & set(shards) and self._thread.is_alive():
                if not self._has_left.wait(max(0.0, until - time.monotonic())):
                    break
            left = self._leaving & set(shards)
            self._leaving -= left
        return frozenset(shards) - left

    # The thread

    def serve(self, connection: Connection) -> None:
        """Serve the broker over a connection until the output shall end."""
        self._connection = connection
        if not is_accepted(connection, self.stopping, self.look):
            return
        self._doubtful.clear()  # the broker has closed the connection before
        connection.bound_kernel(_KERNEL_SECONDS)
        now = time.monotonic()
        self.broker.note_begin(connection.config, now)
        self.broker.note_limits(connection)
        self.refused.note_connected(now, connection.max_packet_size)
        self._is_announced = False
        self._send(connection, now)
        while not self.stopping.is_requested:
            self._work(connection)
        self._say_goodbye(connection)

    def end_session(self, failed: ConnectionFailed | None) -> None:
        """End the connection; what it has not delivered waits again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if failed is None and not connection.in_flight:
                connection.close(politely=True)
            else:
                connection.abort()
        now = time.monotonic()
        self._doubtful |= {state.shard for _, state in self._sent.values()}
        for _, state in self._sent.values():
            self._states.put_back(state, now)
        self._sent.clear()
        self._telegrams_in_flight = 0
        self._waits_alone = None
        self._outbox.send_again()

    def look(self) -> float:
        """Take what has arrived and answer `let_go`; once a second, do what the disk needs."""
        now = self.show_life()
        leaving = frozenset(self._leaving)  # what was published of them before is among the arrivals
        for _ in range(len(self.arrivals) + 1):
            if (reading := self.take()) is None:
                break
            self._add(reading, now)
        if leaving:
            self._look_at(leaving)
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            self._states.drop_lost()
            self._outbox.tick(now)
        return now

    def store_rest(self) -> None:
        """Store the telegrams that are not acknowledged."""
        self.look()
        if waiting := self._outbox.close(time.monotonic()):
            _log.warning(
                "%d telegrams wait for the broker in %s; the next start sends them", waiting, self._store.path
            )

    def _add(self, reading: Reading, now: float) -> None:
        if not isinstance(reading, PoolReading):
            raise TypeError("a pool publishes readings of a pool")
        if self.config.telegrams:
            self._outbox.add(self._topics.of(reading.meter, "telegram"), reading.json, now)
        if reading.is_newest:
            topic = self._topics.of(reading.meter, "state")
            self._states.put(topic, reading.json, reading.shard, reading.epoch, now)

    def _look_at(self, leaving: frozenset[int]) -> None:
        unacknowledged = self._doubtful | {state.shard for _, state in self._sent.values()}
        with self._has_left:
            for shard in leaving:
                self._states.drop(shard)
            self._leaving -= leaving - unacknowledged
            self._has_left.notify_all()

    # One connection

    def _work(self, connection: Connection) -> None:
        connection.wait(self._seconds_to_next(connection, time.monotonic()))
        now = self.look()
        if connection.is_proven:
            self.broker.note_proof(now)
        self._check_sent(now)
        self._send(connection, now)

    def _seconds_to_next(self, connection: Connection, now: float) -> float:
        may_send = self._may_send_state(connection, now) and self.refused.has_room(now)
        if not connection.is_writable or not may_send:
            return _LOOK_OFTEN  # an acknowledgement wakes the thread, too
        return max(0.0, min(_LOOK_OFTEN if self._sent else LOOK_EVERY, self._states.next_due() - now))

    def _check_sent(self, now: float) -> None:
        """Look at the states that should have been acknowledged.

        Raises:
            ConnectionFailed: the connection must end, with what is on its way.
        """
        for since, state in self._sent.values():
            if now - since < _LOOK_OFTEN:
                break
            if not self._states.may_go(state):
                raise ConnectionGivenUp(
                    f"the broker {self.config.address} did not acknowledge a state before its shard was "
                    "lost, which must not arrive late: connecting again"
                )
            if now - since >= _LOST_AFTER:
                # No hang-up, so no message is to blame: a broker that stands still, or a network that is cut.
                raise ConnectionGivenUp(
                    f"the broker {self.config.address} has acknowledged nothing for {_LOST_AFTER:g} s"
                )

    def _send(self, connection: Connection, now: float) -> None:
        """Send what may go out; in a search, what the broker may refuse comes last."""
        self.refused.tick(now)
        if not self._is_announced and self.refused.has_room(now):
            self._is_announced = self._send_status(connection, b"online", now)
        alone, self._waits_alone = self._waits_alone, None
        if alone is not None and self.refused.has_room(now):
            self._send_telegram(connection, now, alone.__eq__)
        if self.refused.is_searching and not self.refused.puts_doubtful_first(now):
            self._send_all(connection, now, lambda topic: not self.refused.is_doubtful(topic))
        self._send_all(connection, now, lambda _: True)

    def _send_all(self, connection: Connection, now: float, is_wanted: TopicTest) -> None:
        """Send what may go out on topics whose turn it is."""
        if self.refused.has_room(now) and not self.refused.is_exhausted(now):
            self._states.release(lambda t: is_wanted(t) and not self.refused.is_kept_back(t, now))
        for _ in range(_AT_ONCE):
            if not (connection.is_writable and self.refused.has_room(now)) or not (
                self._send_state(connection, now, is_wanted)
                or self._send_telegram(connection, now, is_wanted)
            ):
                break

    def _send_status(self, connection: Connection, payload: bytes, now: float) -> bool:
        """True if the status was sent: the broker accepts it, as far as is known."""
        sent = self._measure(connection, self._status_topic, payload)
        is_accepted = self._verdict(connection, sent, now) is Verdict.SEND
        if is_accepted:
            self._transmit(connection, sent, payload, now, lambda: None, retain=True)
        return is_accepted

    def _send_state(self, connection: Connection, now: float, is_wanted: TopicTest) -> bool:
        """True if a state was sent, kept back or dropped."""
        if not self._may_send_state(connection, now) or (state := self._states.take(now)) is None:
            return False
        expiry = expires_after(self.config.interval)
        sent = self._measure(connection, state.topic, state.payload, expires=True)
        verdict = self._verdict(connection, sent, now) if is_wanted(state.topic) else Verdict.WAIT
        if verdict is Verdict.SEND:
            self._sent[state.number] = now, state
            gone = partial(self._sent.pop, state.number)
            self._transmit(connection, sent, state.payload, now, gone, retain=True, expiry=expiry)
        elif verdict is Verdict.WAIT:
            self._states.put_back(state, now, is_kept_back=True)
        else:
            self.refused.note_dropped()
        return True

    def _may_send_state(self, connection: Connection, now: float) -> bool:
        """True while the broker is quick to acknowledge."""
        oldest = next((since for since, _ in self._sent.values()), now)
        return now - oldest < _SLOW_AFTER and len(self._sent) < max(1, connection.window // 2)

    def _send_telegram(self, connection: Connection, now: float, is_wanted: TopicTest) -> bool:
        """True if a telegram was sent or dropped."""
        if self._telegrams_in_flight >= max(1, connection.window // 2 - 1):
            return False
        waiting = self._outbox.next_to_send(lambda topic: self.refused.is_kept_back(topic, now), is_wanted)
        if waiting is None:
            return False
        sent = self._measure(connection, waiting.topic, waiting.payload)
        verdict = self._verdict(connection, sent, now)
        if verdict is Verdict.WAIT:
            self._waits_alone = waiting.topic
            self._outbox.put_back(waiting)
            return False
        if verdict is Verdict.SEND:
            self._telegrams_in_flight += 1
            self._transmit(connection, sent, waiting.payload, now, partial(self._telegram_gone, waiting))
        else:
            self.refused.note_dropped()
            self._outbox.remove(waiting)
        return True

    def _telegram_gone(self, waiting: Waiting) -> None:
        self._telegrams_in_flight -= 1
        self._outbox.remove(waiting)

    # What the broker refuses

    def _note_put_aside(self, topic: str, size: int | None) -> None:
        # A full disk is reported elsewhere; after a restart it is found out again.
        with suppress(sqlite3.Error):
            self._store.note_put_aside(topic, size)

    def _measure(self, connection: Connection, topic: str, payload: bytes, *, expires: bool = False) -> Sent:
        version, qos = self.config.version, connection.max_qos
        return Sent(topic, packet_size(topic, len(payload), qos=qos, version=version, expires=expires))

    def _verdict(self, connection: Connection, sent: Sent, now: float) -> Verdict:
        if self.refused.is_too_large(sent.size) and self.refused.note_too_large(*sent):
            self.broker.note_too_large(sent, connection.max_packet_size or 0, now)
        return self.refused.verdict(*sent, now)

    def _transmit(  # noqa: PLR0913 - what MQTT knows of a message
        self,
        connection: Connection,
        sent: Sent,
        payload: bytes,
        now: float,
        gone: Callable[[], object],
        *,
        retain: bool = False,
        expiry: int | None = None,
    ) -> None:
        """Send a message; `gone` is called with any answer of the broker."""
        number = self.refused.note_sent(sent, now)
        connection.publish(
            sent.topic,
            payload,
            retain=retain,
            expiry=expiry,
            done=partial(self._accepted, number, sent, gone),
            refused=partial(self._not_accepted, number, sent, gone),
        )

    def _accepted(self, number: int, sent: Sent, gone: Callable[[], object]) -> None:
        if self.refused.note_taken(number):
            self.broker.note_taken_again(sent.topic)
        gone()

    def _not_accepted(self, number: int, sent: Sent, gone: Callable[[], object], code: int) -> None:
        """Drop a message that the broker of MQTT 5 refuses: it must not hold up those behind it."""
        now = time.monotonic()
        self.refused.note_refused(number, now, rest=0)
        self.refused.note_dropped()
        self.broker.note_refused(sent.topic, code, now)
        gone()

    # The end

    def _say_goodbye(self, connection: Connection) -> None:
        """Wait for what is on its way, and send `offline`."""
        self._finish(connection)
        self._send_status(connection, b"offline", time.monotonic())
        self._finish(connection)

    def _finish(self, connection: Connection) -> None:
        while connection.in_flight and (left := self.stopping.by - time.monotonic()) > 0:
            connection.wait(min(left, _LOOK_OFTEN))
            self._check_sent(self.look())
