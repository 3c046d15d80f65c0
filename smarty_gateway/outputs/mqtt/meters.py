"""All meters as the broker sees them: what is due of each, who announces what, and what is taken back."""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS, Config, MqttConfig
from smarty_gateway.outputs.mqtt.device_owners import DeviceOwners, rank
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.line import Rank
from smarty_gateway.outputs.mqtt.meter_topics import MeterTopics
from smarty_gateway.outputs.mqtt.published import NOBODY, PublishedTopics
from smarty_gateway.outputs.mqtt.sender import Sender
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.safe_text import topic_part

_ROUND_EVERY: Final = 1.0


class Meters:
    """The meters of one broker.

    Args:
        config: names meters; they come before others.
        mqtt: how often they speak.
        published: what the broker holds of them.
        proven: the names of meters whose frames have verified in an earlier run.
        now: the time.

    Attributes:
        named: the meters that the configuration names.
        gone: meters that are to be forgotten; others may add to it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the output knows when it starts
        self,
        config: Config,
        mqtt: MqttConfig,
        topics: Topics,
        discovery: Discovery | None,
        published: PublishedTopics,
        proven: set[str],
        now: float,
    ) -> None:
        self.named = frozenset(name for meter in config.meters if (name := meter.name or meter.id))
        self.published = published
        self.gone: deque[str] = deque()
        self._named_parts = frozenset(map(topic_part, self.named))
        self._topics = topics
        self._discovery = discovery
        self._interval, self._values = mqtt.interval, mqtt.values
        self._meters: dict[str, MeterTopics] = {}
        self._identities: dict[str, str] = {}
        # With a thousand meters it is too much to ask each of them whenever one has spoken.
        self._touched: set[str] = set()
        self._alarms: list[tuple[float, str]] = []  # a heap: when a state that waits is due
        self._alarm_of: dict[str, float] = {}
        self._next_round = 0.0
        self._make_known(config, proven, now)

    def _make_known(self, config: Config, proven: set[str], now: float) -> None:
        """Make those that have something to say before they speak."""
        for meter in config.meters:
            if meter.name:
                self._meter(meter.name).report(Health())
        own = {self._topics.of(name) for name in self._meters}
        earlier = [name for name in sorted(self.published.names) if self._topics.of(name) not in own]
        room = sum(meter.unnamed * len(meter.sources) for meter in config.meters)
        for name in earlier:
            room -= name not in proven
            if room < 0 and name not in proven:
                self.gone.append(name)  # more than any source may bring: somebody has invented them
            else:
                self._meter(name)  # from an earlier run: offline until it speaks
        self._unheard = set(self._meters) - self.named - proven
        self._unheard_until = now + FORGOTTEN_SECONDS
        self._owners = DeviceOwners(
            {
                device: (
                    name,
                    rank(is_authenticated=name in proven, is_configured=name in self.named, is_own=False),
                )
                for topic, name in self.published.items()
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
    def has_work(self) -> bool:
        """True if a meter was heard whose messages are not in line yet."""
        return bool(self._touched)

    def next_due(self, now: float) -> float:
        """Return after how many seconds there is something to do, a second at most."""
        return min(_ROUND_EVERY, max(0.0, self._alarms[0][0] - now)) if self._alarms else _ROUND_EVERY

    def reset(self) -> None:
        """Let everything that is retained be sent again: there is a new connection."""
        for meter in self._meters.values():
            meter.reset()
        self._touched.update(self._meters)

    def announce_again(self) -> None:
        """Let announcements and states be sent again: Home Assistant has started."""
        for meter in self._meters.values():
            meter.announce_again()

    def finish(self) -> None:
        """Let what is newest go out, whatever the interval: the gateway stops."""
        for meter in self._meters.values():
            meter.finish()
        self._touched.update(self._meters)

    def go_offline(self, sender: Sender) -> None:
        """Send the last word of each meter."""
        for meter in self._meters.values():
            sender.put(*meter.offline(), Rank.FIRST)

    def put_due(self, sender: Sender, health: Mapping[str, Health], now: float) -> None:
        """Put what is due in line."""
        if now >= self._next_round:
            self._next_round = now + _ROUND_EVERY
            self.published.save()
            self._touched.update(self._meters)
        while self._alarms and self._alarms[0][0] <= now:
            self._touched.add(heapq.heappop(self._alarms)[1])
        self._forget_gone(sender, now)
        for name in self._touched:
            if name in self._meters:
                self._collect(sender, self._meters[name], health, now)
        self._touched.clear()

    def empty(self, sender: Sender, topics: Iterable[str], rank: Rank) -> None:
        """Let retained messages be taken back."""
        for topic in topics:
            sender.put(topic, b"", rank, partial(self.published.note_emptied, topic))

    # One meter

    def _meter(self, name: str) -> MeterTopics:
        found = self._meters.get(name)
        if found is None:
            found = self._meters[name] = MeterTopics(
                name, self._topics, self._interval, self._discovery, values=self._values
            )
        return found

    def _forget_gone(self, sender: Sender, now: float) -> None:
        """Empty the topics of meters that nobody configured and that were not heard for a day."""
        if self._unheard and now >= self._unheard_until:
            self.gone.extend(self._unheard)
            self._unheard.clear()
        while self.gone:
            name = self.gone.popleft()
            self._meters.pop(name, None)
            self._identities.pop(name, None)
            self._alarm_of.pop(name, None)
            self._owners.forget(name)
            topics = self.published.of(name)
            self.published.retire(topics)
            for topic in topics:
                sender.discard(topic)
            self.empty(sender, topics, Rank.OTHERS_FIRST)

    def _collect(self, sender: Sender, meter: MeterTopics, health: Mapping[str, Health], now: float) -> None:
        """Put what is due of a meter in line; what waits there under the same topic is replaced."""
        if meter.meter in health:
            meter.report(health[meter.meter])
        self._look_at_identity(sender, meter, now)
        self._remove_replaced_devices(sender, meter)
        messages = [
            (topic, payload) for topic, payload in meter.due(now) if self._is_ours(sender, topic, meter, now)
        ]
        unsure = list(meter.unsure(now))
        self.published.note(meter.meter, [topic for topic, _ in (*messages, *unsure)])
        for topic, payload in messages:
            is_state = topic.startswith(f"{self._topics.root}/")
            sender.put(topic, payload, self._rank(meter, Rank.STATE if is_state else Rank.ANNOUNCEMENT))
        for topic, payload in unsure:
            sender.put(topic, payload, self._rank(meter, Rank.UNSURE))
        due_at = meter.state_due_at
        if due_at is not None and due_at != self._alarm_of.get(meter.meter):
            self._alarm_of[meter.meter] = due_at
            heapq.heappush(self._alarms, (due_at, meter.meter))

    def _remove_replaced_devices(self, sender: Sender, meter: MeterTopics) -> None:
        for state_topic, device in meter.gone_devices():
            topics = [state_topic]
            if self._discovery is not None and device is not None:
                self._owners.release(device)
                own = self.published.of(meter.meter)
                topics += [topic for topic in own if self._discovery.device_of(topic) == device]
            self.published.retire(topics)
            self.empty(sender, topics, self._rank(meter, Rank.FIRST))

    def _is_ours(self, sender: Sender, topic: str, meter: MeterTopics, now: float) -> bool:
        """True unless another meter announces the device of this topic; what its former owner said goes."""
        discovery = self._discovery
        device = None if discovery is None else discovery.device_of(topic)
        if discovery is None or device is None:
            return True
        rank_here = meter.rank + (device == meter.discovery_id)
        before = self._owners.owner(device)
        if not self._owners.may_announce(device, meter.meter, rank_here, now):
            return False
        if before not in (None, meter.meter):
            others = [other for other, owner in self.published.items() if owner not in (meter.meter, NOBODY)]
            left = [other for other in others if discovery.device_of(other) == device]
            self.published.retire(left)
            self.empty(sender, left, self._rank(meter, Rank.FIRST))
        return True

    def _rank(self, meter: MeterTopics, rank: Rank) -> Rank:
        return rank if meter.meter in self.named else rank.of_others

    def _look_at_identity(self, sender: Sender, meter: MeterTopics, now: float) -> None:
        """Take the old meter away from Home Assistant when another has come under the same name.

        Its entities read the state topic of that name: they would count the energy of the new meter.
        """
        identity = meter.identity
        if identity is None or self._identities.get(meter.meter) == identity:
            return
        self._identities[meter.meter] = identity
        own = self.published.of(meter.meter)
        old = meter.left_by_others(own)
        if old:
            self.published.retire(old)
            # A place in line from before would let them overtake.
            for topic in (*old, self._topics.of(meter.meter, "state")):
                sender.discard(topic)
            self.empty(sender, old, self._rank(meter, Rank.FIRST))
            meter.hold(now)
