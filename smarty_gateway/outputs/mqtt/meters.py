"""All meters: what is due of each, which of them announces a device, and which topics are emptied."""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS, Config, MqttConfig
from smarty_gateway.outputs.mqtt.devices import DeviceOwners, rank
from smarty_gateway.outputs.mqtt.home_assistant import Announcements, Discovery, Message
from smarty_gateway.outputs.mqtt.meter_topics import SWAP_PAUSE, MeterTopics, expires_after
from smarty_gateway.outputs.mqtt.retained import GATEWAY, NOBODY, RetainedTopics
from smarty_gateway.outputs.mqtt.send_queue import Rank
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.store import Store

_ROUND_EVERY: Final = 1.0


class Meters:
    """The meters of one broker.

    Args:
        config: names meters; they come before others.
        mqtt: how often their states are sent, and how they are announced.
        store: what an earlier run has published, and which meters have verified.
        now: the time.

    Attributes:
        named: the meters that the configuration names.
        retained: the topics that the broker holds.
        gone: meters that are to be forgotten; any thread may add to it.
    """

    def __init__(self, config: Config, mqtt: MqttConfig, store: Store, now: float) -> None:
        self._names = [meter.name for meter in config.meters if meter.name]
        self.named = frozenset(name for meter in config.meters if (name := meter.name or meter.id))
        self.retained = RetainedTopics(store)
        self.gone: deque[str] = deque()
        self._named_parts = frozenset(map(topic_part, self.named))
        self._topics = Topics(mqtt.topic)
        self._discovery: Discovery | None = None
        if mqtt.home_assistant is not None:
            self._discovery = Discovery(mqtt.home_assistant, self._topics, expires_after(mqtt.interval))
        self._gateway = None if self._discovery is None else Announcements(self._discovery)
        self._interval, self._values = mqtt.interval, mqtt.values
        self._meters: dict[str, MeterTopics] = {}
        self._identities: dict[str, str] = {}
        # With a thousand meters it is too much to ask each of them after every reading.
        self._touched: set[str] = set()
        self._alarms: list[tuple[float, str]] = []  # a heap: when a state that waits is due
        self._alarm_of: dict[str, float] = {}
        self._next_round = 0.0
        self._gateway_from = float("-inf")
        self._make_known(config, {row.meter for row in store.all_counters()}, now)

    def _make_known(self, config: Config, proven: set[str], now: float) -> None:
        """Make the meters that have something to publish before their first reading."""
        for meter in config.meters:
            if meter.name:
                self._meter(meter.name).report(Health())
        own = {self._topics.of(name) for name in self._meters}
        earlier = [name for name in sorted(self.retained.names) if self._topics.of(name) not in own]
        room = sum(meter.unnamed * len(meter.sources) for meter in config.meters)
        for name in earlier:
            room -= name not in proven
            if room < 0 and name not in proven:
                self.gone.append(name)  # more than the sources may bring: they are invented
            else:
                self._meter(name)  # from an earlier run: offline until its first reading
        self._unheard = set(self._meters) - self.named - proven
        self._unheard_until = now + FORGOTTEN_SECONDS
        self._owners = DeviceOwners(
            {
                device: (
                    name,
                    rank(is_authenticated=name in proven, is_configured=name in self.named, is_own=False),
                )
                for topic, name in self.retained.items()
                if self._discovery is not None and (device := self._discovery.device_of(topic)) is not None
            },
            now,
        )

    # What the output asks

    def is_named(self, topic: str) -> bool:
        """True for what the configuration names: its meters and the gateway itself."""
        root, _, rest = topic.partition(f"{self._topics.root}/")
        name, _, level = rest.partition("/")
        return not root and (not level or name in self._named_parts)

    def take(self, reading: Reading, now: float) -> None:
        """Take a reading."""
        self._meter(reading.meter).take(reading, now)
        self._touched.add(reading.meter)
        self._unheard.discard(reading.meter)
        if reading.meter in self.gone:
            self.gone.remove(reading.meter)  # it came back before its topics were emptied
        if self._discovery is not None:
            self._owners.note_named(reading.meter, self._discovery.ids(reading), now)

    @property
    def birth_topic(self) -> str | None:
        """The topic on which Home Assistant announces its start; None without Home Assistant."""
        return None if self._discovery is None else self._discovery.birth_topic

    @property
    def has_work(self) -> bool:
        """True if there is a reading whose messages are not queued yet."""
        return bool(self._touched)

    def next_due(self, now: float) -> float:
        """Return after how many seconds there is something to do, a second at most."""
        return min(_ROUND_EVERY, max(0.0, self._alarms[0][0] - now)) if self._alarms else _ROUND_EVERY

    def reset(self, sender: Sender, now: float) -> None:
        """Send everything that is retained again, and empty what is not used any more: a new connection.

        The availability of all meters comes first, because the broker may hold one from before a crash.
        """
        self._empty(sender, self.retained.retired, Rank.FIRST)
        for name, meter in self._meters.items():
            meter.reset()
            availability = meter.availability(now)
            self.retained.note(name, [availability[0]])
            sender.put(*availability, Rank.FIRST)
        if self._gateway is not None:
            self._gateway.reset()
        self._touched.update(self._meters)

    def announce_again(self) -> None:
        """Send announcements and states again: Home Assistant has started."""
        if self._gateway is not None:
            self._gateway.reset()
        for meter in self._meters.values():
            meter.announce_again()

    def finish(self) -> None:
        """Make what is newest due, whatever the interval: the gateway stops."""
        for meter in self._meters.values():
            meter.finish()
        self._touched.update(self._meters)

    def go_offline(self, sender: Sender) -> None:
        """Queue `offline` for each meter."""
        for meter in self._meters.values():
            sender.put(*meter.offline(), Rank.FIRST)

    def queue_due(self, sender: Sender, health: Mapping[str, Health], now: float) -> None:
        """Queue what is due."""
        if now >= self._next_round:
            self._next_round = now + _ROUND_EVERY
            self.retained.save()
            self._touched.update(self._meters)
        while self._alarms and self._alarms[0][0] <= now:
            self._touched.add(heapq.heappop(self._alarms)[1])
        self._forget_gone(sender, now)
        self._announce_gateway(sender, now)
        for name in self._touched:
            if name in self._meters:
                self._collect(sender, self._meters[name], health, now)
        self._touched.clear()

    def _announce_gateway(self, sender: Sender, now: float) -> None:
        """Announce the gateway itself, before the meters that refer to it."""
        discovery, gateway = self._discovery, self._gateway
        if discovery is None or gateway is None or now < self._gateway_from:
            return
        messages = gateway.due("gateway", lambda: [discovery.gateway(self._names)], sender.is_replaced)
        if self._remove_former(sender, GATEWAY, messages, Rank.FIRST):
            self._gateway_from = now + SWAP_PAUSE
            gateway.reset()
            return
        self.retained.note(GATEWAY, [topic for topic, _ in messages])
        for topic, payload in messages:
            sender.put(topic, payload, Rank.ANNOUNCEMENT)

    def _remove_former(self, sender: Sender, name: str, messages: Iterable[Message], rank: Rank) -> bool:
        """True if these announcements replace others: of another style, or of entities that are gone.

        The others are emptied, and these must wait: Home Assistant empties the topics of entities that it
        removes once more, and takes that for the end of those that were announced meanwhile.
        """
        if self._discovery is None:
            return False
        former = self._discovery.replaced_by([topic for topic, _ in messages], self.retained.of(name))
        self.retained.retire(former)
        self._empty(sender, former, rank)
        return bool(former)

    # One meter

    def _empty(self, sender: Sender, topics: Iterable[str], rank: Rank) -> None:
        for topic in topics:
            sender.put(topic, b"", rank, partial(self.retained.note_emptied, topic))

    def _meter(self, name: str) -> MeterTopics:
        found = self._meters.get(name)
        if found is None:
            found = self._meters[name] = MeterTopics(
                name, self._topics, self._interval, self._discovery, values=self._values
            )
        return found

    def _forget_gone(self, sender: Sender, now: float) -> None:
        """Empty the topics of meters that the configuration does not name and that sent nothing for a day."""
        if self._unheard and now >= self._unheard_until:
            self.gone.extend(self._unheard)
            self._unheard.clear()
        while self.gone:
            name = self.gone.popleft()
            self._meters.pop(name, None)
            self._identities.pop(name, None)
            self._alarm_of.pop(name, None)
            self._owners.forget(name)
            topics = self.retained.of(name)
            self.retained.retire(topics)
            for topic in topics:
                sender.discard(topic)
            self._empty(sender, topics, Rank.OTHERS_FIRST)

    def _collect(self, sender: Sender, meter: MeterTopics, health: Mapping[str, Health], now: float) -> None:
        """Queue what is due of a meter; it replaces what waits on the same topic."""
        if meter.meter in health:
            meter.report(health[meter.meter])
        self._check_identity(sender, meter, now)
        self._remove_replaced_devices(sender, meter)
        messages = [
            (topic, payload)
            for topic, payload in meter.due(now, sender.is_replaced)
            if self._is_ours(sender, topic, meter, now)
        ]
        unsure = list(meter.unsure(now))
        if self._remove_former(sender, meter.meter, messages, self._rank(meter, Rank.FIRST)):
            meter.announce_later(now)
            messages = [message for message in messages if self._is_state(message[0])]
        self.retained.note(meter.meter, [topic for topic, _ in (*messages, *unsure)])
        for topic, payload in messages:
            rank = self._rank(meter, Rank.STATE if self._is_state(topic) else Rank.ANNOUNCEMENT)
            sender.put(topic, payload, rank, expiry=meter.expiry_of(topic))
        for topic, payload in unsure:
            sender.put(topic, payload, self._rank(meter, Rank.UNSURE), expiry=meter.expiry_of(topic))
        due_at = meter.state_due_at
        if due_at is not None and due_at != self._alarm_of.get(meter.meter):
            self._alarm_of[meter.meter] = due_at
            heapq.heappush(self._alarms, (due_at, meter.meter))

    def _is_state(self, topic: str) -> bool:
        return topic.startswith(f"{self._topics.root}/")

    def _remove_replaced_devices(self, sender: Sender, meter: MeterTopics) -> None:
        for state_topic, device in meter.gone_devices():
            topics = [state_topic]
            if self._discovery is not None and device is not None:
                self._owners.release(device)
                own = self.retained.of(meter.meter)
                topics += [topic for topic in own if self._discovery.device_of(topic) == device]
            self.retained.retire(topics)
            self._empty(sender, topics, self._rank(meter, Rank.FIRST))

    def _is_ours(self, sender: Sender, topic: str, meter: MeterTopics, now: float) -> bool:
        """True unless another meter announces the device of this topic; empties its former announcement."""
        discovery = self._discovery
        device = None if discovery is None else discovery.device_of(topic)
        if discovery is None or device is None:
            return True
        if device.casefold() == discovery.gateway_id.casefold():
            return False
        rank_here = meter.rank + (device == meter.discovery_id)
        before = self._owners.owner(device)
        if not self._owners.may_announce(device, meter.meter, rank_here, now):
            return False
        if before not in (None, meter.meter):
            others = [other for other, owner in self.retained.items() if owner not in (meter.meter, NOBODY)]
            left = [other for other in others if discovery.device_of(other) == device]
            self.retained.retire(left)
            self._empty(sender, left, self._rank(meter, Rank.FIRST))
        return True

    def _rank(self, meter: MeterTopics, rank: Rank) -> Rank:
        return rank if meter.meter in self.named else rank.of_others

    def _check_identity(self, sender: Sender, meter: MeterTopics, now: float) -> None:
        """Remove the old meter from Home Assistant when another has come under the same name.

        Its entities read the state topic of that name: they would count the energy of the new meter.
        """
        identity = meter.identity
        if identity is None or self._identities.get(meter.meter) == identity:
            return
        self._identities[meter.meter] = identity
        own = self.retained.of(meter.meter)
        old = meter.left_by_others(own)
        if old:
            self.retained.retire(old)
            # A place in the queue from before would let them overtake.
            for topic in (*old, self._topics.of(meter.meter, "state")):
                sender.discard(topic)
            self._empty(sender, old, self._rank(meter, Rank.FIRST))
            meter.hold(now)
