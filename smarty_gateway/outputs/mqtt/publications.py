"""What the gateway publishes: readings become newest states, and telegrams with `telegrams: true`."""

import random
import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from smarty_gateway import __version__
from smarty_gateway.config.values import Config, Durability, MqttConfig
from smarty_gateway.outputs.arrivals import Arrivals
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.outputs.mqtt.domoticz_in import DomoticzIn
from smarty_gateway.outputs.mqtt.meters import Meters
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages
from smarty_gateway.outputs.mqtt.send_queue import Rank
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.mqtt.telegram_budget import TelegramBudget
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.outbox import Outbox
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.state.store import Store

_TELEGRAMS_IN_MEMORY: Final = 5000
#: Readings of meters that the configuration does not name are taken this many at once.
_OTHERS_AT_ONCE: Final = 100
_HEALTH_EVERY: Final = 60.0


class Publications:
    """Everything that is to be published; it outlives the connections.

    Attributes:
        meters: their newest states, availability, health and announcements.
        outbox: telegrams.
        refused: what the broker refuses; any thread may ask.
        named_telegrams: the telegram topics of the meters that the configuration names.
    """

    def __init__(
        self,
        config: Config,
        mqtt: MqttConfig,
        store: Store,
        arrivals: Arrivals,
        unnamed: Iterable[str] = (),
    ) -> None:
        self._store = store
        self._keeps_telegrams = mqtt.telegrams
        self._topics = Topics(mqtt.topic)
        self.meters = Meters(config, mqtt, store, unnamed, time.monotonic())
        is_each = mqtt.durability is Durability.EACH
        self.outbox = Outbox(store, config.limits, "mqtt", "the broker", write_first=is_each)
        self.refused = RefusedMessages(store.put_aside(), self._note_put_aside, self.meters.is_named)
        self._domoticz = DomoticzIn(config)
        self._arrivals = arrivals
        self.named_telegrams = frozenset(self._topics.of(name, "telegram") for name in self.meters.named)
        self._budget = TelegramBudget()
        self._health: Mapping[str, Health] = {}
        self._gateway_health: GatewayHealth | None = None
        self._gateway_sent: object = None
        self._gateway_next = 0.0
        self._announce_at: float | None = None

    def _note_put_aside(self, topic: str, size: int | None) -> None:
        # A full disk is reported elsewhere; after a restart it is found out again.
        with suppress(sqlite3.Error):
            self._store.note_put_aside(topic, size)

    # Called by other threads

    @property
    def has_room(self) -> bool:
        """True while few telegrams wait in memory."""
        return self.outbox.in_memory < _TELEGRAMS_IN_MEMORY

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway."""
        self._health, self._gateway_health = health, gateway

    @property
    def has_readings(self) -> bool:
        """True if there are readings whose messages are not queued yet."""
        return bool(self._arrivals) or self.meters.has_work

    # Called by the thread of the output

    def take_arrivals(self) -> None:
        """Turn readings that have arrived into states and telegrams: all of named meters, some of others."""
        now = time.monotonic()
        others = 0
        for _ in range(len(self._arrivals)):  # not until none is left: readings may come without pause
            if others >= _OTHERS_AT_ONCE or (reading := self._arrivals.take()) is None:
                return
            others += reading.meter not in self.meters.named
            self.meters.take(reading, now)
            self._domoticz.take(reading, now)
            if self._keeps_telegrams:
                self._keep_telegram(reading, now)

    def _keep_telegram(self, reading: Reading, now: float) -> None:
        topic = self._topics.of(reading.meter, "telegram")
        payer = topic if reading.meter in self.meters.named else ""
        if not reading.is_live or self._budget.allows(payer, len(reading.json), now):
            self.outbox.add(topic, reading.json, now)

    def take_all_arrivals(self) -> None:
        """Turn all readings that have arrived into states and telegrams."""
        while self._arrivals:
            self.take_arrivals()

    def take_message(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker: Home Assistant has started."""
        if topic == self.meters.birth_topic and payload == b"online":
            # A moment later, and not all gateways at once: Home Assistant is busy when it starts.
            self._announce_at = time.monotonic() + random.uniform(0.2, 2.0)  # noqa: S311

    def reset(self, sender: Sender, now: float) -> None:
        """Send everything that is retained again: there is a new connection."""
        self._gateway_sent = None
        self.meters.reset(sender, now)

    def queue_due(self, sender: Sender, now: float) -> None:
        """Queue the messages that are due, of which only the newest count."""
        if self._announce_at is not None and now >= self._announce_at:
            self._announce_at = None
            self.meters.announce_again()
        self.meters.queue_due(sender, self._health, now)
        self._domoticz.queue_due(sender)
        if self._gateway_health is not None:
            self._queue_gateway_health(sender, self._gateway_health, now)

    def _queue_gateway_health(self, sender: Sender, health: GatewayHealth, now: float) -> None:
        content = {
            "version": __version__,
            "put_aside": self.refused.topics,
            "counters_kept": health.counters_kept,
            "history_kept": health.history_kept,
            "outputs": dict(health.outputs),
        }
        if content != self._gateway_sent or now >= self._gateway_next:
            self._gateway_sent, self._gateway_next = content, now + _HEALTH_EVERY
            payload = to_json_bytes({**content, "dropped": self.refused.dropped})
            sender.put(self._topics.health, payload, Rank.UNSURE, expiry=round(3 * _HEALTH_EVERY))

    def seconds_to_next(self, now: float) -> float:
        """Return after how many seconds there is something to do."""
        return 0.0 if self._arrivals else self.meters.next_due(now)
