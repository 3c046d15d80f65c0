"""The MQTT output: one thread that connects, sends what is due, and connects again.

Two paths lead to the broker. States are the newest only and never stored; the history of telegrams
(`telegrams: true`) goes by way of the outbox, which keeps it over an outage. Readers only append to a
queue, so whatever the broker does, reading goes on.
"""

import logging
import math
import random
import sqlite3
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from smarty_gateway.config import Config, MqttConfig, Style
from smarty_gateway.gateway.conditions import Condition
from smarty_gateway.mqtt.connection import MAX_IN_FLIGHT, Connection, ConnectionFailed, default_client_id
from smarty_gateway.mqtt.home_assistant import Discovery
from smarty_gateway.mqtt.meter_topics import MeterTopics
from smarty_gateway.mqtt.outbox import Outbox
from smarty_gateway.mqtt.topics import Topics
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.store import Store, StoredCounter

_log = logging.getLogger(__name__)

#: Seconds between attempts, before the jitter of a quarter.
_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
_LOOK_EVERY: Final = 1.0
#: Of the seconds for a stop, what is kept for the store and for closing.
_LAST_STEPS: Final = 1.0
_FINISH_LOOK_EVERY: Final = 0.1
_ANSWER_WITHIN: Final = 10.0
#: So many telegrams are on their way at once; the rest of the window is for states.
_TELEGRAMS_IN_FLIGHT: Final = 20
_QUEUE_MAX: Final = 5000


class MqttOutput:
    """Hands readings to a broker.

    Args:
        counters: gives the frame counters, which are stored together with telegrams.
    """

    def __init__(
        self, config: Config, mqtt: MqttConfig, store: Store, counters: Callable[[], Sequence[StoredCounter]]
    ) -> None:
        self._config = mqtt
        self._store = store
        self._topics = Topics(mqtt.topic)
        self._discovery = None
        if mqtt.home_assistant is not None:
            expire_after = max(120, round(4 * mqtt.interval))
            self._discovery = Discovery(mqtt.home_assistant, self._topics, expire_after)
        self._outbox = Outbox(store, config.limits, counters, write_first=mqtt.durability == "each")
        self._arrivals: deque[Reading] = deque()
        self._taken = threading.Condition()
        self._work = threading.Event()
        self._stopping = threading.Event()
        self._stop_by = math.inf
        self._meters: dict[str, MeterTopics] = {}
        self._published = store.published()
        self._health: Mapping[str, Health] = {}
        self._connection: Connection | None = None
        self._due: dict[str, tuple[bytes, Callable[[], None] | None]] = {}
        # With a thousand meters it is too much to ask each of them whenever one has spoken.
        self._touched: set[str] = set()
        self._next_round = 0.0
        self._attempt = 0
        self._announce_at: float | None = None
        self._away = Condition(_log.error)
        self._thread = threading.Thread(target=self._run, name="MQTT", daemon=True)
        self.is_over = False
        self.failure: str | None = None
        for meter in config.meters:
            if meter.name:
                self._meter(meter.name)
        for name in sorted(set(self._published.values())):
            self._meter(name)  # from an earlier run: offline until it speaks

    # What others call

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def publish(self, reading: Reading) -> None:
        """Take a reading; a recording waits while there are too many, a port never does."""
        if not reading.is_live:
            with self._taken:
                self._taken.wait_for(lambda: self._has_room or self._stopping.is_set())
        self._arrivals.append(reading)
        self._wake()

    def report(self, health: Mapping[str, Health]) -> None:
        """Take note how the meters fare."""
        self._health = health

    def stop(self, seconds: float) -> None:
        """Send what is due, store what is not acknowledged, and say goodbye."""
        self._stop_by = time.monotonic() + max(0.0, seconds - _LAST_STEPS)
        self._stopping.set()
        self._wake()
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.error("the MQTT output did not end in time")

    @property
    def is_busy(self) -> bool:
        """Tell whether a broker is there, or may be, that has not got everything yet."""
        return self._has_work and not self._away.is_on

    @property
    def _has_room(self) -> bool:
        return len(self._arrivals) < _QUEUE_MAX and self._outbox.in_memory < _QUEUE_MAX

    @property
    def _has_work(self) -> bool:
        connection = self._connection
        in_flight = connection is not None and connection.in_flight > 0
        return bool(self._arrivals or self._touched or self._due or in_flight or not self._outbox.is_empty)

    def _wake(self) -> None:
        self._work.set()
        connection = self._connection
        if connection is not None:
            connection.wake()

    # The thread

    def _run(self) -> None:
        try:
            self._work_once()  # even if all is over by now: a recording may be short
            while not self._stopping.is_set():
                self._wait_offline()
                self._work_once()
            self._take_arrivals()
            waiting = self._outbox.close(time.monotonic())
            if waiting:
                _log.warning(
                    "%d telegrams wait for the broker in %s; the next start sends them",
                    waiting,
                    self._store.path,
                )
        except Exception as error:  # noqa: BLE001 - the supervisor ends the process with this reason
            _log.debug("%s", traceback.format_exc())
            self.failure = f"the MQTT output failed: {error!r}"

    def _work_once(self) -> None:
        """Connect and stay connected as long as it lasts."""
        will = self._topics.status
        try:
            connection = Connection(self._config, will, self._received, default_client_id(self._config))
        except ConnectionFailed as failed:
            self._away.begin(f"{failed}; trying again until it works", str(failed))
            return
        self._connection = connection
        try:
            self._serve(connection)
        except ConnectionFailed as failed:
            self._away.begin(f"{failed}; trying again until it works", str(failed))
        finally:
            self._connection = None
            connection.close(politely=self._stopping.is_set())
            self._outbox.send_again()
            self._due.clear()

    def _wait_offline(self) -> None:
        delay = _DELAYS[min(self._attempt, len(_DELAYS) - 1)] * random.uniform(0.75, 1.25)  # noqa: S311
        self._attempt += 1
        until = time.monotonic() + delay
        while not self._stopping.is_set() and (left := until - time.monotonic()) > 0:
            self._work.wait(min(left, _LOOK_EVERY))
            self._work.clear()
            self._take_arrivals()
            self._outbox.tick(time.monotonic())

    def _serve(self, connection: Connection) -> None:
        started = time.monotonic()
        while not connection.is_ready:
            if time.monotonic() - started > _ANSWER_WITHIN:
                raise ConnectionFailed(
                    f"{self._config.host}:{self._config.port} accepts connections, but answers like no broker"
                )
            if time.monotonic() > self._stop_by:
                return
            connection.wait(min(_LOOK_EVERY, max(0.0, self._stop_by - time.monotonic())))
            self._take_arrivals()
            self._outbox.tick(time.monotonic())
        self._away.end(f"connected to the broker {self._config.host}:{self._config.port}")
        self._greet(connection)
        while not self._stopping.is_set():
            may_send = self._due and connection.in_flight < MAX_IN_FLIGHT
            connection.wait(0.0 if may_send else _LOOK_EVERY)
            self._take_arrivals()
            now = time.monotonic()
            self._announce_if_asked(now)
            self._send(connection, now)
            self._outbox.tick(now)
        self._say_goodbye(connection)

    def _greet(self, connection: Connection) -> None:
        self._attempt = 0
        self._due.clear()
        connection.publish(self._topics.status, b"online", retain=True)
        if self._discovery is not None:
            connection.subscribe(self._discovery.birth_topic)
        self._take_back_other_style()
        for meter in self._meters.values():
            meter.begin_anew()
        self._take_arrivals()
        self._send(connection, time.monotonic())

    def _say_goodbye(self, connection: Connection) -> None:
        """Send what is due, and that nobody is there any more, as far as the time for a stop allows."""
        self._take_arrivals()
        self._send(connection, time.monotonic())
        while (connection.in_flight or self._due) and time.monotonic() < self._stop_by - _LAST_STEPS:
            connection.wait(_FINISH_LOOK_EVERY)
            self._send(connection, time.monotonic())
        for meter in self._meters.values():
            topic, payload = meter.offline()
            connection.publish(topic, payload, retain=True)
        connection.publish(self._topics.status, b"offline", retain=True)
        while connection.in_flight and (left := self._stop_by - time.monotonic()) > 0:
            connection.wait(left)

    # What comes in

    def _meter(self, name: str) -> MeterTopics:
        found = self._meters.get(name)
        if found is None:
            found = self._meters[name] = MeterTopics(
                name, self._topics, self._config.interval, self._discovery, values=self._config.values
            )
        return found

    def _take_arrivals(self) -> None:
        now = time.monotonic()
        while self._arrivals:
            reading = self._arrivals.popleft()
            self._meter(reading.meter).take(reading, now)
            self._touched.add(reading.meter)
            if self._config.telegrams:
                self._outbox.add(self._topics.of(reading.meter, "telegram"), reading.json, now)
        with self._taken:
            self._taken.notify_all()

    def _received(self, topic: str, payload: bytes) -> None:
        if self._discovery is not None and topic == self._discovery.birth_topic and payload == b"online":
            # A moment later, and not all gateways at once: Home Assistant is busy when it starts.
            self._announce_at = time.monotonic() + random.uniform(0.2, 2.0)  # noqa: S311

    def _announce_if_asked(self, now: float) -> None:
        if self._announce_at is not None and now >= self._announce_at:
            self._announce_at = None
            for meter in self._meters.values():
                meter.announce_again()

    # What goes out

    def _send(self, connection: Connection, now: float) -> None:
        if now >= self._next_round:
            self._next_round = now + _LOOK_EVERY
            self._touched.update(self._meters)
        for name in self._touched:
            self._collect(connection, self._meters[name], now)
        self._touched.clear()
        while self._due and connection.in_flight < MAX_IN_FLIGHT:
            topic = next(iter(self._due))
            payload, done = self._due.pop(topic)
            connection.publish(topic, payload, retain=True, done=done)
        self._send_telegrams(connection)

    def _send_telegrams(self, connection: Connection) -> None:
        while connection.in_flight < _TELEGRAMS_IN_FLIGHT and (waiting := self._outbox.next_to_send()):
            connection.publish(
                waiting.topic, waiting.payload, done=partial(self._outbox.acknowledge, waiting)
            )

    def _collect(self, connection: Connection, meter: MeterTopics, now: float) -> None:
        """Put what is due of a meter in line; what waits there under the same topic is replaced."""
        health = self._health.get(meter.meter)
        if health is not None:
            meter.report(health)
        messages, unsure = list(meter.due(now)), list(meter.unsure(now))
        new = [topic for topic, _ in (*messages, *unsure) if topic not in self._published]
        if new:
            self._note_published(meter.meter, new)
        for topic, payload in messages:
            self._due[topic] = (payload, None)
        for topic, payload in unsure:
            connection.publish(topic, payload, qos=0, retain=True)

    def _note_published(self, name: str, topics: Iterable[str]) -> None:
        """Note new retained topics, which `forget` and a change of style must know."""
        for topic in topics:
            self._published[topic] = name
        with suppress(sqlite3.Error):  # a full disk is said elsewhere
            self._store.note_published(topics, name)

    def _take_back_other_style(self) -> None:
        """Empty the announcements that another style left on the broker, until it has taken note."""
        if self._config.home_assistant is None:
            return
        prefix, style = self._config.home_assistant.prefix, self._config.home_assistant.style
        other = f"{prefix}/{'sensor' if style is Style.DEVICE else 'device'}/smarty_"
        for topic in self._published:
            if topic.startswith(other):
                self._due[topic] = (b"", partial(self._take_back, topic))

    def _take_back(self, topic: str) -> None:
        self._published.pop(topic, None)
        with suppress(sqlite3.Error):
            self._store.note_taken_back([topic])
