"""The MQTT output: one thread that connects, sends what is due, and connects again.

Two paths lead to the broker. States are the newest only and never stored; the history of telegrams
(`telegrams: true`) goes by way of the outbox, which keeps it over an outage. Readers only append to a
queue, so whatever the broker does, reading goes on. Meters that the configuration names are served
before others, whatever those do.
"""

import logging
import math
import random
import sqlite3
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from smarty_gateway.config.values import Config, Durability, MqttConfig
from smarty_gateway.outputs.mqtt.arrivals import Arrivals
from smarty_gateway.outputs.mqtt.broker_log import BrokerLog
from smarty_gateway.outputs.mqtt.connection import (
    QOS_NOT_SUPPORTED,
    RETAIN_NOT_SUPPORTED,
    Connection,
    ConnectionFailed,
    Will,
    default_client_id,
)
from smarty_gateway.outputs.mqtt.gateway_topic import GatewayTopic, PutAside
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.line import Rank
from smarty_gateway.outputs.mqtt.meters import Meters
from smarty_gateway.outputs.mqtt.opening import Opening
from smarty_gateway.outputs.mqtt.outbox import Outbox
from smarty_gateway.outputs.mqtt.published import PublishedTopics
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.mqtt.telegram_budget import TelegramBudget
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.mqtt.wake import WakePipe
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.state.store import Store

_log = logging.getLogger(__name__)

#: Seconds to the next attempt after a hang-up for which a message is to blame.
_QUICK_DELAY: Final = 0.25
_LOOK_EVERY: Final = 1.0
#: Of the seconds for a stop, what is kept for the store and for closing, and before that for goodbye.
_LAST_STEPS: Final = 1.0
_GOODBYE: Final = 0.5
_FINISH_LOOK_EVERY: Final = 0.1
_WAIT_FOR_HANDSHAKE: Final = 0.5
_ANSWER_WITHIN: Final = 10.0
_TELEGRAMS_IN_MEMORY: Final = 5000
#: Readings of meters that the configuration does not name are taken so many at once.
_OTHERS_AT_ONCE: Final = 100


class MqttOutput:
    """Hands readings to a broker.

    Attributes:
        beat: when its thread last showed that it lives, by the monotonic clock.
    """

    def __init__(self, config: Config, mqtt: MqttConfig, store: Store) -> None:
        self._config = mqtt
        self._store = store
        self._topics = Topics(mqtt.topic)
        self._discovery = None
        if mqtt.home_assistant is not None:
            expire_after = max(120, round(4 * mqtt.interval))
            self._discovery = Discovery(mqtt.home_assistant, self._topics, expire_after)
        self._outbox = Outbox(store, config.limits, write_first=mqtt.durability is Durability.EACH)
        self._published = PublishedTopics(store)
        proven = {row.meter for row in store.all_counters()}
        self._meters = Meters(
            config, mqtt, self._topics, self._discovery, self._published, proven, time.monotonic()
        )
        self._budget = TelegramBudget()
        self._named_telegrams = frozenset(self._topics.of(name, "telegram") for name in self._meters.named)
        self._arrivals = Arrivals(self._meters.named)
        self._taken = threading.Condition()
        self._wake = WakePipe()
        self._stopping = threading.Event()
        self._stop_by = math.inf
        self._health: Mapping[str, Health] = {}
        self._connection: Connection | None = None
        self._given_up: Opening | None = None
        self._will = Will(self._topics.status)
        self._refused = RefusedMessages(store.put_aside(), self._note_put_aside, self._meters.is_named)
        self._sender: Sender | None = None
        self._announce_at: float | None = None
        self._log = BrokerLog(mqtt)
        self._thread = threading.Thread(target=self._run, name="MQTT", daemon=True)
        self._gateway_health: GatewayHealth | None = None
        self._gateway_topic = GatewayTopic(self._topics.root)
        self.name = "mqtt"
        self.beat: float | None = None
        self.is_over = False
        self.failure: str | None = None

    def _note_put_aside(self, topic: str, size: int | None) -> None:
        with suppress(sqlite3.Error):  # a full disk is said elsewhere; after a restart it is found out again
            self._store.note_put_aside(topic, size)

    # What others call

    def start(self) -> None:
        """Begin."""
        self.beat = time.monotonic()
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading; a recording waits while there are too many, a port never does."""
        if not reading.is_live:
            with self._taken:
                self._taken.wait_for(lambda: self._has_room or self._stopping.is_set())
        self._arrivals.put(reading)
        self._wake.wake()

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take how meters and gateway fare."""
        self._health, self._gateway_health = health, gateway

    def forget(self, meter: str) -> None:
        """Empty the topics of a meter that nobody configured and that is gone."""
        self._meters.gone.append(meter)
        self._wake.wake()

    @property
    def state(self) -> str:
        """Return in one word how it fares."""
        return self.failure or ("offline" if self._connection is None else "ok")

    def stop(self, seconds: float) -> None:
        """Send what is due, store what is not acknowledged, and say goodbye."""
        self._stop_by = time.monotonic() + max(0.0, seconds - _LAST_STEPS)
        self._stopping.set()
        self._wake.wake()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("the MQTT output did not end in time")
        elif self._arrivals:
            self._store_what_waits()  # it came when the thread had failed already

    @property
    def put_aside(self) -> PutAside:
        """What the broker refuses; may be asked by any thread."""
        return PutAside(self._refused.topics, self._refused.dropped)

    @property
    def is_busy(self) -> bool:
        """Tell whether a broker is there, or may be, that has not got everything yet."""
        return self._has_work and not self._log.is_away and self._thread.is_alive()

    @property
    def _has_room(self) -> bool:
        return self._arrivals.has_room and self._outbox.in_memory < _TELEGRAMS_IN_MEMORY

    @property
    def _has_work(self) -> bool:
        connection, sender = self._connection, self._sender
        if self._arrivals or self._meters.has_work or (connection is not None and connection.in_flight):
            return True
        if sender is not None:
            return sender.has_messages or sender.has_telegrams
        return not self._outbox.is_empty

    # The thread

    def _run(self) -> None:
        for step in (self._work, self._store_what_waits, self._wait_for_handshake, self._wake.close):
            try:
                step()
            except Exception as error:  # noqa: BLE001 - the supervisor ends the process with this reason
                _log.debug("%s", traceback.format_exc())
                self.failure = self.failure or f"the MQTT output failed: {error!r}"

    def _work(self) -> None:
        self._work_once()  # even if all is over by now: a recording may be short
        while not self._stopping.is_set():
            self._wait_offline()
            self._work_once()

    def _store_what_waits(self) -> None:
        self._published.save()
        while self._arrivals:
            self._take_arrivals()
        waiting = self._outbox.close(time.monotonic())
        if waiting:
            _log.warning(
                "%d telegrams wait for the broker in %s; the next start sends them", waiting, self._store.path
            )

    def _wait_for_handshake(self) -> None:
        """Let a connection that was given up come to its end.

        OpenSSL takes itself down when the process ends, and crashes if another thread is at work in it.
        One that only waits for a slow peer does no harm, so this need not take long.
        """
        if self._config.tls and self._given_up is not None:
            self._given_up.thread.join(_WAIT_FOR_HANDSHAKE)

    def _work_once(self) -> None:
        """Connect and stay connected as long as it lasts."""
        failed = None
        try:
            self._connection = self._connect()
            if self._connection is not None:
                self._serve(self._connection)
        except ConnectionFailed as caught:
            failed = caught
        finally:
            self._disconnect(failed)

    def _disconnect(self, failed: ConnectionFailed | None) -> None:
        now = time.monotonic()
        connection, self._connection = self._connection, None
        sender, self._sender = self._sender, None
        if connection is not None:
            # With a farewell the broker keeps the last will to itself, which is right only if it knows.
            is_over = sender is not None and not sender.has_messages and not connection.in_flight
            connection.close(politely=self._stopping.is_set() and is_over)
        self._outbox.send_again()
        is_hang_up = failed is not None and failed.is_hang_up
        blamed = self._refused.note_end(now, is_hang_up=is_hang_up)
        if failed is not None and not self._can_change_will(failed.code):
            self._log.note_end(failed, now, blamed)

    def _can_change_will(self, code: int | None) -> bool:
        """True if the next attempt leaves a last will that the broker may take."""
        if code == RETAIN_NOT_SUPPORTED and self._will.retain:
            self._will = replace(self._will, retain=False)
        elif code == QOS_NOT_SUPPORTED and self._will.qos:
            self._will = replace(self._will, qos=0)
        else:
            return False
        return True

    def _connect(self) -> Connection | None:
        """Open a connection, and go on with everything else meanwhile; None if a stop comes first."""
        opening = Opening(
            partial(
                Connection,
                self._config,
                self._will,
                self._received,
                default_client_id(self._config),
                self._wake,
            ),
            self._wake.wake,
        )
        started = time.monotonic()
        while (connection := opening.take()) is None:
            now = time.monotonic()
            if self._stopping.is_set() and (now >= self._stop_by or self._log.is_away):
                opening.give_up()
                self._given_up = opening
                return None
            if now - started > _ANSWER_WITHIN:
                self._log.note_no_answer()
            self._wait_without_broker(self._stop_by - now)
        return connection

    def _wait_offline(self) -> None:
        now = time.monotonic()
        until = now + (_QUICK_DELAY if self._refused.is_quick(now) else self._log.next_delay())
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._wait_without_broker(left)

    def _wait_without_broker(self, seconds: float) -> None:
        self._wake.wait(min(seconds, _LOOK_EVERY))
        self._look_after_arrivals()

    def _look_after_arrivals(self) -> float:
        """Do what must be done every second, whatever the broker does, and give the time."""
        self.beat = now = time.monotonic()
        self._take_arrivals()
        self._outbox.tick(now)
        return now

    def _serve(self, connection: Connection) -> None:
        started = time.monotonic()
        while not connection.is_ready:
            now = time.monotonic()
            if now - started > _ANSWER_WITHIN:
                raise ConnectionFailed(
                    f"{self._config.host}:{self._config.port} accepts connections, but answers like no broker"
                )
            if now > self._stop_by:
                return
            connection.wait(min(_LOOK_EVERY, max(0.0, self._stop_by - now)))
            self._look_after_arrivals()
        now = time.monotonic()
        self._log.note_begin(now)
        self._log.note_limits(connection)
        self._will = Will(self._topics.status, connection.max_qos, connection.may_retain)
        sender = self._sender = Sender(
            self._config,
            connection,
            self._outbox,
            self._refused,
            self._log,
            self._named_telegrams,
            now,
        )
        self._greet(connection, sender)
        while not self._stopping.is_set():
            connection.wait(self._time_to_wait())
            now = self._look_after_arrivals()
            if connection.is_proven:
                self._log.note_proof(now)
            self._announce_if_asked(now)
            self._send(sender, now)
        self._say_goodbye(connection, sender)

    def _time_to_wait(self) -> float:
        if self._arrivals:
            return 0.0
        return self._meters.next_due(time.monotonic())

    def _greet(self, connection: Connection, sender: Sender) -> None:
        sender.put(self._topics.status, b"online", Rank.FIRST)
        if self._discovery is not None:
            connection.subscribe(self._discovery.birth_topic)
            self._published.retire(self._discovery.in_other_style(self._published.topics))
        self._meters.empty(sender, self._published.retired, Rank.FIRST)
        self._gateway_topic.reset()
        self._meters.reset()
        self._take_arrivals()
        self._send(sender, time.monotonic())

    def _say_goodbye(self, connection: Connection, sender: Sender) -> None:
        """Send what is newest, and that nobody is there any more, as far as the time for a stop allows."""
        while self._arrivals:
            self._take_arrivals()
        self._meters.finish()
        self._finish(connection, sender, self._stop_by - _GOODBYE)
        self._meters.go_offline(sender)
        sender.put(self._topics.status, b"offline", Rank.STATE)
        self._finish(connection, sender, self._stop_by)

    def _finish(self, connection: Connection, sender: Sender, until: float) -> None:
        self._send(sender, time.monotonic())
        while (connection.in_flight or sender.has_messages) and (left := until - time.monotonic()) > 0:
            connection.wait(min(left, _FINISH_LOOK_EVERY))
            self._send(sender, time.monotonic())

    # What comes in

    def _take_arrivals(self) -> None:
        now = time.monotonic()
        others = 0
        while others < _OTHERS_AT_ONCE and (reading := self._arrivals.take()) is not None:
            is_named = reading.meter in self._meters.named
            others += not is_named
            self._meters.take(reading, now)
            if self._config.telegrams:
                topic = self._topics.of(reading.meter, "telegram")
                if not reading.is_live or self._budget.allows(
                    topic if is_named else "", len(reading.json), now
                ):
                    self._outbox.add(topic, reading.json, now)
        with self._taken:
            self._taken.notify_all()

    def _received(self, topic: str, payload: bytes) -> None:
        if self._discovery is not None and topic == self._discovery.birth_topic and payload == b"online":
            # A moment later, and not all gateways at once: Home Assistant is busy when it starts.
            self._announce_at = time.monotonic() + random.uniform(0.2, 2.0)  # noqa: S311

    def _announce_if_asked(self, now: float) -> None:
        if self._announce_at is not None and now >= self._announce_at:
            self._announce_at = None
            self._meters.announce_again()

    # What goes out

    def _send(self, sender: Sender, now: float) -> None:
        self._meters.put_due(sender, self._health, now)
        if self._gateway_health is not None:
            for topic, payload in self._gateway_topic.due(self._gateway_health, self.put_aside, now):
                sender.put(topic, payload, Rank.UNSURE)
        sender.send(now)
