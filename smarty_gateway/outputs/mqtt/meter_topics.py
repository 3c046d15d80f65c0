"""The messages of one meter, and when each is due: pure, with time as an argument.

States are the newest only: while the broker is away or slow, a new one takes the place of the old,
because Home Assistant stamps on arrival and would write an old value as a new one.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final

from smarty_gateway.outputs.availability import Rhythm
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.outputs.mqtt import entities
from smarty_gateway.outputs.mqtt.devices import MbusDevices, rank
from smarty_gateway.outputs.mqtt.home_assistant import (
    Announcements,
    Discovery,
    IsRefused,
    Message,
    discovery_id_of,
)
from smarty_gateway.outputs.mqtt.topics import Topics, device_name
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.outputs.pace import Pace
from smarty_gateway.protocol.meter_telegram import Security
from smarty_gateway.state.store_rows import PublishedDevice

_HEALTH_EVERY: Final = 60.0
#: Periods of the health after which a message that no other follows is too old.
_PERIODS: Final = 3
#: Seconds between the removal of entities and what replaces them: Home Assistant must not take the first
#: state of a new meter for one of the old, nor the end of an old announcement for that of a new one.
SWAP_PAUSE: Final = 1.0
_SWAP_AGAIN_AFTER: Final = 60.0
_ONLINE: Final = b"online"
_OFFLINE: Final = b"offline"
#: A state is worth nothing after four intervals, but never before this.
_EXPIRES_AFTER_LEAST: Final = 120


def expires_after(interval: float) -> int:
    """Return the seconds after which a state is too old to be shown."""
    return max(_EXPIRES_AFTER_LEAST, round(4 * interval))


class MeterTopics:
    """Newest state, availability, health and announcement of one meter.

    Args:
        interval: seconds between two states at most.
        values: each value also has a topic of its own.
        devices: the M-Bus devices that an earlier run has published.
    """

    def __init__(  # noqa: PLR0913 - what is published of a meter, and how
        self,
        meter: str,
        topics: Topics,
        interval: float,
        discovery: Discovery | None,
        *,
        values: bool = False,
        devices: Iterable[PublishedDevice] = (),
    ) -> None:
        self.meter = meter
        self._topics = topics
        self._interval = interval
        self._pace = Pace(interval)
        self._discovery = discovery
        self._announcements = None if discovery is None else Announcements(discovery)
        self._values = values
        self._newest: Reading | None = None
        self._names: dict[str, None] = {}  # in the order of the telegram
        self._devices = MbusDevices(devices)
        self._rhythm = Rhythm()
        self._is_online = False
        self._availability_due = True
        self._state_due = False
        self._sent = float("-inf")
        self._held_until = float("-inf")
        self._announce_from = float("-inf")
        self._mbus: dict[str, bytes] = {}
        self._health: Health | None = None  # None for a meter that is gone
        self._health_key: object = None
        self._health_sent = float("-inf")

    def take(self, reading: Reading, now: float) -> None:
        """Take a reading."""
        self._rhythm.arrive(now)
        if self._newest is not None and _identity_of(self._newest) != _identity_of(reading):
            self._names.clear()  # a new meter may send less than the old
            self._devices.clear()
        self._newest = reading
        self._names |= dict.fromkeys(reading.telegram.decoded.fields)
        self._devices.take(reading.telegram.decoded.devices, now, _identity_of(reading))
        self._state_due = True
        self._pace.arrive(now)
        if not self._is_online:
            self._is_online = self._availability_due = True

    def report(self, health: Health) -> None:
        """Take the health."""
        self._health = health

    def reset(self) -> None:
        """Make everything that is retained due: there is a new connection."""
        self.announce_again()
        self._availability_due = True
        self._health_sent = float("-inf")

    def announce_again(self) -> None:
        """Make announcements and states due: Home Assistant has started."""
        if self._announcements is not None:
            self._announcements.reset()
        self._mbus.clear()
        self._state_due = self._newest is not None
        self._pace.hurry()

    def announce_later(self, now: float) -> None:
        """Make announcements due after a pause: the former ones are being removed."""
        self._announce_from = now + SWAP_PAUSE
        if self._announcements is not None:
            self._announcements.reset()

    def finish(self) -> None:
        """Make what is newest due, whatever the interval: the gateway stops."""
        self._pace.hurry()
        self._held_until = self._announce_from = self._health_sent = float("-inf")

    def rank_of(self, device: str) -> int:
        """Return how much its claim to a device that it names counts, by its id in discovery."""
        if self._newest is None:
            return 0
        return rank(
            is_authenticated=self._newest.telegram.security is Security.AUTHENTICATED,
            is_configured=self._newest.is_configured,
            is_own=device == self.discovery_id,
        )

    @property
    def discovery_id(self) -> str | None:
        """The id of the meter itself in discovery; None before its first reading, or without discovery."""
        if self._discovery is None or self._newest is None:
            return None
        return discovery_id_of(self._newest)

    @property
    def own_ids(self) -> frozenset[str] | None:
        """The ids in discovery of the meter and its M-Bus devices; None before its first reading."""
        if self._newest is None:
            return None
        devices = (discovery_id_of(self._newest, device) for _, device in self._devices.known())
        return frozenset((discovery_id_of(self._newest), *devices))

    @property
    def mbus_topics(self) -> frozenset[str]:
        """The topics of its M-Bus devices."""
        return frozenset(self._topics.mbus(self.meter, device_name(d)) for _, d in self._devices.known())

    def devices(self) -> list[PublishedDevice]:
        """Return its M-Bus devices for the state file."""
        return [] if self._newest is None else self._devices.stored(self.meter, _identity_of(self._newest))

    def hold(self, now: float) -> None:
        """Keep states and announcements of a new meter back until the old one is gone everywhere."""
        if now >= self._held_until + _SWAP_AGAIN_AFTER:  # two meters under one name must not be silenced
            self._held_until = now + SWAP_PAUSE

    @property
    def state_due_at(self) -> float | None:
        """When there will be a state to send; None if there will be none."""
        return max(self._pace.due_at, self._held_until) if self._state_due else None

    def due(self, now: float, is_refused: IsRefused = lambda *_: False) -> Iterator[Message]:
        """Yield the retained messages that are due, in the order in which they should be sent.

        Args:
            now: the time.
            is_refused: says which announcement is too large for the broker.
        """
        if self._availability_due or self._is_silent(now):
            yield self.availability(now)
        newest = self._newest
        if newest is not None and now >= self._held_until:
            if self._state_due and now >= self._pace.due_at:
                self._state_due, self._sent = False, now
                self._pace.note_sent()
                yield self._topics.of(self.meter, "state"), newest.json
                if newest.quarter is not None:
                    quarter = newest.quarter.as_object()
                    self._names |= dict.fromkeys(entities.names_in(quarter))
                    yield self._topics.of(self.meter, "quarter"), to_json_bytes(quarter)
                yield from self._mbus_states(newest)
            if now >= self._announce_from:
                # Last: a broker may find them too long.
                yield from self._due_announcements(newest, is_refused)

    def unsure(self, now: float) -> Iterator[Message]:
        """Yield what is due and may be lost: health, and single values."""
        if self._health is not None:
            yield from self._health_message(self._health, now)
        if self._values and self._sent == now and self._newest is not None:
            for name, value in self._newest.record.items():
                if not isinstance(value, dict | tuple):
                    text = value if isinstance(value, str) else to_json_bytes(value).decode()
                    yield self._topics.of(self.meter, name), text.encode()

    def _health_message(self, health: Health, now: float) -> Iterator[Message]:
        key = (
            health.telegrams > 0,
            dict(health.rejected),
            health.reconnects,
            health.counter_gaps,
            health.is_downgraded,
            health.elsewhere > 0,
        )
        if now - self._health_sent >= _HEALTH_EVERY or key != self._health_key:
            self._health_key, self._health_sent = key, now
            yield self._topics.of(self.meter, "health"), to_json_bytes(health.as_object())

    def expiry_of(self, topic: str) -> int | None:
        """Return the seconds after which a broker of MQTT 5 shall delete a message; None for one that stays.

        What is sent again in time may go. What is sent when it changes, as the values of M-Bus devices are,
        must stay.
        """
        if topic == self._topics.of(self.meter, "health"):
            return round(_PERIODS * _HEALTH_EVERY)
        mbus, availability = (self._topics.of(self.meter, name) for name in ("mbus/", "availability"))
        if (
            topic == availability
            or topic.startswith(mbus)
            or not topic.startswith(self._topics.of(self.meter))
        ):
            return None
        return max(expires_after(self._interval), math.ceil(self._rhythm.patience))

    def _is_silent(self, now: float) -> bool:
        return self._is_online and self._rhythm.is_silent(now)

    def availability(self, now: float) -> Message:
        """Return whether the meter is there, which is not due any more then."""
        self._is_online, self._availability_due = self._is_online and not self._is_silent(now), False
        return self._topics.of(self.meter, "availability"), _ONLINE if self._is_online else _OFFLINE

    def offline(self) -> Message:
        """Return the last message of a gateway that stops."""
        return self._topics.of(self.meter, "availability"), _OFFLINE

    def _due_announcements(self, newest: Reading, is_refused: IsRefused) -> list[Message]:
        discovery, announcements = self._discovery, self._announcements
        if discovery is None or announcements is None:
            return []
        key = (
            tuple(self._names),
            discovery.key_of(newest),
            tuple((medium, device_name(device), tuple(device)) for medium, device in self._devices.known()),
        )
        return announcements.due(
            key, lambda: discovery.devices(newest, self._names, self._devices.known()), is_refused
        )

    def _mbus_states(self, newest: Reading) -> Iterator[Message]:
        for device in newest.telegram.decoded.devices.values():
            if not self._devices.has(device):
                continue
            topic = self._topics.mbus(self.meter, device_name(device))
            payload = to_json_bytes(device)
            if self._mbus.get(topic) != payload:
                self._mbus[topic] = payload
                yield topic, payload


def _identity_of(reading: Reading) -> str:
    return reading.object_id or reading.telegram.meter_id
