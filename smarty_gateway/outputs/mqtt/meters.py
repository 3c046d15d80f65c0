"""All meters: what is due of each, which of them announces a device, and which topics are emptied."""

import heapq
import sqlite3
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from smarty_gateway.config.values import Config, MqttConfig
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

if TYPE_CHECKING:
    from smarty_gateway.state.store_rows import PublishedDevice

_ROUND_EVERY: Final = 1.0
#: Seconds within which a meter that has another name now should have been heard.
_RENAMED_WITHIN: Final = 180.0
#: M-Bus devices are stored soon after one was added, and otherwise with the frame counters.
_SAVE_EVERY: Final = 900.0
_FIRST_SAVE_AFTER: Final = 55.0


class Meters:
    """The meters of one broker.

    Args:
        config: names meters; they come before others.
        mqtt: how often their states are sent, and how they are announced.
        store: what an earlier run has published, and which meters have verified.
        unnamed: the names of meters of earlier runs that the configuration does not name.
        now: the time.

    Attributes:
        named: the meters that the configuration names.
        retained: the topics that the broker holds.
        gone: meters that are to be forgotten; any thread may add to it.
    """

    def __init__(
        self, config: Config, mqtt: MqttConfig, store: Store, unnamed: Iterable[str], now: float
    ) -> None:
        self._names = [meter.name for meter in config.meters if meter.name]
        self.named = frozenset(name for meter in config.meters if (name := meter.name or meter.id))
        self.retained = RetainedTopics(store)
        self.gone: deque[str] = deque()
        self._named_parts = frozenset(map(topic_part, self.named))
        self._topics = Topics(mqtt.topic)
        self._discovery: Discovery | None = None
        if mqtt.home_assistant is not None:
            http = config.outputs.http
            page = None if http is None else http.url_elsewhere
            self._discovery = Discovery(
                mqtt.home_assistant, self._topics, expires_after(mqtt.interval), page, self._names
            )
        self._gateway = None if self._discovery is None else Announcements(self._discovery)
        self._gateway_from = float("-inf")
        self._is_swapping = False  # announcements wait until former ones are gone
        self._swap_until = float("-inf")
        self._later: deque[tuple[float, list[str], Rank]] = deque()  # when to empty what is retired
        self._interval, self._values = mqtt.interval, mqtt.values
        self._has_history = config.history
        self._store = store
        self._saved_devices = store.devices()
        self._devices: dict[str, list[PublishedDevice]] = {}  # of an earlier run, by meter
        for stored in self._saved_devices:
            self._devices.setdefault(stored.meter, []).append(stored)
        self._next_save = now + _SAVE_EVERY
        self._meters: dict[str, MeterTopics] = {}
        self._ids_of: dict[str, frozenset[str]] = {}
        self._denied: dict[str, set[str]] = {}  # devices that another meter announces, by meter
        # With a thousand meters it is too much to ask each of them after every reading.
        self._touched: dict[str, None] = {}  # in the order of arrival
        self._alarms: list[tuple[float, str]] = []  # a heap: when a state that waits is due
        self._alarm_of: dict[str, float] = {}
        self._next_round = now
        for name in sorted(self.named):
            self._meter(name).report(Health())
        for name in unnamed:
            self._meter(name)
        self._left: set[str] = set()
        self._left_until = now + _RENAMED_WITHIN
        self._retire_leftovers()
        proven = {row.meter for row in store.all_counters()}
        self._owners = DeviceOwners(
            {
                device: (
                    name,
                    # What has another name now may be no entry's any more; it takes its devices along.
                    rank(is_authenticated=name in proven, is_configured=name in self.named, is_own=False)
                    - (name in self._left),
                )
                for topic, name in self.retained.items()
                if (device := self._device_of(topic)) is not None
            },
            now,
        )

    def _retire_leftovers(self) -> None:
        """Retire what an earlier run has published and this configuration does not.

        A meter of an earlier run that is not known any more may have another name now. It stays, offline,
        until all named meters were heard: Home Assistant keeps what a device is that is announced again.
        """
        names = {topic_part(name): name for name in self._meters}
        for name in self.retained.names:
            known = names.get(topic_part(name))
            if known not in (None, name):  # the same topics, but the name is spelled otherwise
                self.retained.note(known, self.retained.of(name))
        self.retained.retire(
            [topic for topic, name in self.retained.items() if not self._is_published(topic, name)]
        )
        self._left = self.retained.names - self._meters.keys()
        for name in self._left:
            self._meter(name)

    def _is_published(self, topic: str, name: str) -> bool:
        """True if this configuration publishes a topic of this owner, as far as is known before readings."""
        device = self._device_of(topic)
        if name == GATEWAY:
            is_announced = self._discovery is not None and device == self._discovery.gateway_id
            return is_announced or topic in (self._topics.status, self._topics.health)
        if device is not None:
            return True
        if topic == self._topics.of(name, "quarter") and not self._has_history:
            return False
        return self._topics.is_of(name, topic) or (self._values and self._topics.is_value_of(name, topic))

    def _device_of(self, topic: str) -> str | None:
        """Return the id of the device that a topic announces; None for one of another prefix."""
        return None if self._discovery is None else self._discovery.device_of(topic)

    # What the output asks

    def is_named(self, topic: str) -> bool:
        """True for what the configuration names: its meters and the gateway itself."""
        root, _, rest = topic.partition(f"{self._topics.root}/")
        name, _, level = rest.partition("/")
        return not root and (not level or name in self._named_parts)

    def take(self, reading: Reading, now: float) -> None:
        """Take a reading."""
        self._meter(reading.meter).take(reading, now)
        self._touched[reading.meter] = None
        self._left.discard(reading.meter)
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
        """True if there is a reading whose messages are not queued yet, announcements included."""
        return bool(self._touched) or self._is_swapping

    def next_due(self, now: float) -> float:
        """Return after how many seconds there is something to do, a second at most."""
        return min(_ROUND_EVERY, max(0.0, self._alarms[0][0] - now)) if self._alarms else _ROUND_EVERY

    def reset(self, sender: Sender, now: float) -> None:
        """Send everything that is retained again, and empty what is not used any more: a new connection.

        The availability of all meters comes first, because the broker may hold one from before a crash.
        """
        self.retained.note(GATEWAY, [self._topics.status, self._topics.health])
        retired = self.retained.retired
        self._later.clear()
        self._empty_in_order(sender, retired, Rank.FIRST, now)
        for name, meter in self._meters.items():
            meter.reset()
            if retired:
                meter.hold(self._swap(now))  # what takes the place of a device comes after it is gone
            availability = meter.availability(now)
            self.retained.note(name, [availability[0]])
            sender.put(*availability, Rank.FIRST)
        if self._gateway is not None:
            self._gateway.reset()
            self._gateway_from = now + SWAP_PAUSE if retired else now
        self._touched.update(dict.fromkeys(self._meters))

    def announce_again(self) -> None:
        """Send announcements and states again: Home Assistant has started."""
        if self._gateway is not None:
            self._gateway.reset()
        for meter in self._meters.values():
            meter.announce_again()

    def finish(self) -> None:
        """Make what is newest due, whatever the interval: the gateway stops."""
        self._gateway_from = float("-inf")
        self._later = deque((float("-inf"), topics, rank) for _, topics, rank in self._later)
        for meter in self._meters.values():
            meter.finish()
        self._touched.update(dict.fromkeys(self._meters))

    def go_offline(self, sender: Sender) -> None:
        """Queue `offline` for each meter."""
        for meter in self._meters.values():
            sender.put(*meter.offline(), Rank.FIRST)

    def queue_due(self, sender: Sender, health: Mapping[str, Health], now: float) -> None:
        """Queue what is due."""
        if now >= self._next_round:
            self._next_round = now + _ROUND_EVERY
            self.retained.save()
            if now >= self._next_save:
                self.save_devices(now)
            self._announce_free(now)
            self._touched.update(dict.fromkeys(self._meters))
        while self._alarms and self._alarms[0][0] <= now:
            self._touched[heapq.heappop(self._alarms)[1]] = None
        self._is_swapping = now < self._swap_until
        while self._later and self._later[0][0] <= now:
            _, topics, rank = self._later.popleft()
            self._empty(sender, set(topics).intersection(self.retained.retired), rank)
        self._announce_gateway(sender, now)
        for name in self._touched:
            if name in self._meters:
                self._collect(sender, self._meters[name], health, now)
        self._touched.clear()
        if self._left and (now >= self._left_until or self._are_all_heard):
            self.gone.extend(self._left)
            self._left.clear()
        self._forget_gone(sender, now)

    @property
    def _are_all_heard(self) -> bool:
        """True if each meter that the configuration names was heard in this run."""
        return bool(self.named) and all(self._meters[name].own_ids is not None for name in self.named)

    def save_devices(self, now: float) -> None:
        """Store the M-Bus devices, so that one that is replaced is known after a restart, too."""
        self._next_save = now + _SAVE_EVERY
        devices = [
            device
            for name, meter in self._meters.items()
            for device in (meter.devices() if meter.own_ids is not None else self._devices.get(name, ()))
        ]
        if devices != self._saved_devices:
            self._saved_devices = devices
            with suppress(sqlite3.Error):  # a full disk is reported elsewhere
                self._store.write_devices(devices)

    def _swap(self, now: float) -> float:
        """Return the time at which former announcements were removed, whose successors are still to come."""
        self._is_swapping, self._swap_until = True, now + SWAP_PAUSE + _ROUND_EVERY
        return now

    def _announce_gateway(self, sender: Sender, now: float) -> None:
        """Announce the gateway itself, before the meters that refer to it."""
        discovery, gateway = self._discovery, self._gateway
        if discovery is None or gateway is None or now < self._gateway_from:
            return
        former = sorted(self._left)
        messages = gateway.due(former, lambda: [discovery.gateway(self._names, former)], sender.is_replaced)
        if self._remove_former(sender, GATEWAY, messages, Rank.FIRST):
            self._gateway_from = self._swap(now) + SWAP_PAUSE
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

    def _empty_in_order(self, sender: Sender, topics: list[str], rank: Rank, now: float) -> None:
        """Empty announcements, and a moment later what their entities read.

        Home Assistant takes a moment to remove an entity, and logs an error if its topic is empty by then.
        """
        announced = [topic for topic in topics if self._device_of(topic) is not None]
        self._empty(sender, announced, rank)
        rest = [topic for topic in topics if topic not in set(announced)]
        if announced:
            self._later.append((self._swap(now) + SWAP_PAUSE, rest, rank))
        else:
            self._empty(sender, rest, rank)

    def _meter(self, name: str) -> MeterTopics:
        found = self._meters.get(name)
        if found is None:
            found = self._meters[name] = MeterTopics(
                name,
                self._topics,
                self._interval,
                self._discovery,
                values=self._values,
                devices=self._devices.get(name, ()),
            )
        return found

    def _forget_gone(self, sender: Sender, now: float) -> None:
        """Empty the topics of meters that are gone."""
        while self.gone:
            name = self.gone.popleft()
            for known in (self._meters, self._ids_of, self._alarm_of, self._devices, self._denied):
                known.pop(name, None)
            self._owners.forget(name)
            topics = self.retained.of(name)
            self.retained.retire(topics)
            for topic in topics:
                sender.discard(topic)
            self._empty_in_order(sender, topics, Rank.OTHERS_FIRST, now)

    def _collect(self, sender: Sender, meter: MeterTopics, health: Mapping[str, Health], now: float) -> None:
        """Queue what is due of a meter; it replaces what waits on the same topic."""
        if meter.meter in health:
            meter.report(health[meter.meter])
        self._remove_replaced(sender, meter, now)
        messages = [
            (topic, payload)
            for topic, payload in meter.due(now, sender.is_replaced)
            if self._is_ours(sender, topic, meter, now)
        ]
        unsure = list(meter.unsure(now))
        if self._remove_former(sender, meter.meter, messages, self._rank(meter, Rank.FIRST)):
            meter.announce_later(self._swap(now))
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

    def _is_ours(self, sender: Sender, topic: str, meter: MeterTopics, now: float) -> bool:
        """True unless another meter announces the device of this topic; empties its former announcement."""
        discovery = self._discovery
        device = None if discovery is None else discovery.device_of(topic)
        if discovery is None or device is None:
            return True
        if device.casefold() == discovery.gateway_id.casefold():
            return False
        before = self._owners.owner(device)
        if not self._owners.may_announce(device, meter.meter, meter.rank_of(device), now):
            self._denied.setdefault(meter.meter, set()).add(device)
            return False
        if before not in (None, meter.meter):
            others = [other for other, owner in self.retained.items() if owner not in (meter.meter, NOBODY)]
            left = [other for other in others if discovery.device_of(other) == device]
            self.retained.retire(left)
            self._empty(sender, left, self._rank(meter, Rank.FIRST))
        return True

    def _announce_free(self, now: float) -> None:
        """Make the announcements of meters due whose devices have lost the owner that kept them back."""
        for name, devices in list(self._denied.items()):
            meter = self._meters[name]
            devices.intersection_update(meter.own_ids or ())
            if any(self._owners.is_free(device, name, meter.rank_of(device), now) for device in devices):
                del self._denied[name]
                meter.announce_later(now)

    def _rank(self, meter: MeterTopics, rank: Rank) -> Rank:
        return rank if meter.meter in self.named else rank.of_others

    def _remove_replaced(self, sender: Sender, meter: MeterTopics, now: float) -> None:
        """Remove from Home Assistant the meter and the M-Bus devices that others have replaced.

        The entities of a meter read the state topic of its name: they would count the energy of another.
        """
        ids = meter.own_ids
        if ids is None or self._ids_of.get(meter.meter) == ids:
            return
        if ids - self._ids_of.get(meter.meter, frozenset()):
            self._next_save = min(self._next_save, now + _FIRST_SAVE_AFTER)
        self._ids_of[meter.meter] = ids
        here = meter.mbus_topics
        beginning = self._topics.of(meter.meter, "mbus", "")
        left = []
        for topic in self.retained.of(meter.meter):
            device = self._device_of(topic)
            if device is not None and device not in ids:
                left.append(topic)
                if self._owners.owner(device) == meter.meter:
                    self._owners.release(device)
            elif device is None and topic.startswith(beginning) and topic not in here:
                left.append(topic)
        if left:
            left += self._of_telegrams(meter.meter)  # the new one may not send all of them
            self.retained.retire(left)
            # A place in the queue from before would let them overtake.
            for topic in (*left, self._topics.of(meter.meter, "state")):
                sender.discard(topic)
            self._empty_in_order(sender, left, self._rank(meter, Rank.FIRST), now)
            meter.hold(self._swap(now))

    def _of_telegrams(self, meter: str) -> list[str]:
        """Return the topics of a meter that not every telegram brings: its quarter hour and single values."""
        quarter = self._topics.of(meter, "quarter")
        return [
            topic
            for topic in self.retained.of(meter)
            if topic == quarter or (self._values and self._topics.is_value_of(meter, topic))
        ]
