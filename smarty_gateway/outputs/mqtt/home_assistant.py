"""Announcements with which meters and the gateway appear in Home Assistant by themselves.

Pure: readings go in, topics and payloads come out; entities.py has what is announced. The rules are those of
Home Assistant's MQTT discovery (2024.11 and newer for devices): `dev` and `o` are mandatory, `expire_after`
belongs into each component, an entity's name does not begin with its device's.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

from smarty_gateway import __version__
from smarty_gateway.config.values import HomeAssistantConfig, Style
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.outputs.mqtt import entities
from smarty_gateway.outputs.mqtt.entities import Entity, Topic
from smarty_gateway.outputs.mqtt.makers import maker_of, maker_of_serial, model_of
from smarty_gateway.outputs.mqtt.topics import Topics, device_name
from smarty_gateway.outputs.output import Reading
from smarty_gateway.safe_text import object_id, topic_part

Component = dict[str, Any]
Message = tuple[str, bytes]
#: True if the broker refuses the message of a topic because of its size in bytes.
IsRefused = Callable[[str, int], bool]

_FIRMWARE: Final = "firmware_version"


@dataclass(frozen=True, slots=True)
class Announced:
    """One device with its entities.

    Attributes:
        own_id: in discovery.
        shared: what all entities have in common.
        components: by their keys.
        removed: entities that are gone, by their keys; a whole device must say so for each.
    """

    own_id: str
    shared: dict[str, Any]
    components: dict[str, Component]
    removed: dict[str, Component] = field(default_factory=dict)


class Discovery:
    """Announces the gateway, meters and their M-Bus devices.

    Args:
        expire_after: seconds without a state after which a value becomes unavailable.
        page: the address of the page; None if other machines cannot open it.
        named: the names of meters that the configuration names, which have pages of their own.

    Attributes:
        gateway_id: the id of the gateway's own device, which no meter may have.
    """

    def __init__(
        self,
        config: HomeAssistantConfig,
        topics: Topics,
        expire_after: int,
        page: str | None = None,
        named: Collection[str] = (),
    ) -> None:
        self.gateway_id = f"smarty_{object_id(topics.root)}"
        self._config = config
        self._topics = topics
        self._expire_after = expire_after
        self._page = page
        self._named = named

    @property
    def birth_topic(self) -> str:
        """The topic on which Home Assistant announces its start."""
        return f"{self._config.prefix}/status"

    # What there is to announce

    def gateway(self, named: Iterable[str], former: Iterable[str] = ()) -> Announced:
        """Return the device of the gateway itself.

        Args:
            named: the names of configured meters; each has an entity here even if it never sends anything.
            former: names of an earlier run, whose entities go.
        """
        root = self._topics.root
        device = {"ids": [self.gateway_id], "name": "smarty-gateway", "sw": __version__}
        if root != "smarty":
            device["name"] = f"smarty-gateway {root}"  # there are several on this broker
        shared = self._shared(_known(device | {"cu": self._page}), self._topics.status)
        found = {entity.key: self._component(entity, self._topics.root) for entity in entities.GATEWAY}
        found["status"]["avty"] = []  # it shows that the gateway is not there
        for name in named:
            entity = entities.meter_problem_of(object_id(topic_part(name)), name)
            found[entity.key] = self._component(entity, self._topics.of(name))
        gone = (entities.meter_problem_of(object_id(topic_part(name)), name) for name in former)
        removed = {entity.key: {"p": entity.platform} for entity in gone if entity.key not in found}
        return replace(self._announced(self.gateway_id, shared, found), removed=removed)

    def devices(
        self, reading: Reading, names: Iterable[str], devices: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> list[Announced]:
        """Return a meter and the M-Bus devices behind it.

        Args:
            reading: the newest one.
            names: all fields that this meter has sent so far.
            devices: its M-Bus devices by medium, with all that was sent of each so far.
        """
        behind = [self._mbus_device(reading, medium, device) for medium, device in devices]
        return [self._meter(reading, set(names)), *(found for found in behind if found.components)]

    def key_of(self, reading: Reading) -> tuple[object, ...]:
        """Return what an announcement of a meter depends on beside its fields and devices."""
        telegram = reading.telegram
        return (
            discovery_id_of(reading),
            telegram.decoded.header,
            telegram.system_title,
            telegram.decoded.fields.get(_FIRMWARE),
        )

    # How it is announced

    def messages(self, announced: Announced, is_refused: IsRefused = lambda *_: False) -> list[Message]:
        """Return the announcements of a device: a whole one, or single ones where that is too large."""
        topic = self.whole_topic(announced.own_id)
        if self._config.style is Style.DEVICE:
            payload = to_json_bytes(
                {**announced.shared, "cmps": {**announced.components, **announced.removed}}
            )
            if not is_refused(topic, len(payload)):
                return [(topic, payload)]
        return [self._single(announced, key, part) for key, part in announced.components.items()]

    def whole_topic(self, own_id: str) -> str:
        """Return the topic of an announcement that holds a whole device."""
        return f"{self._config.prefix}/device/{own_id}/config"

    def _single(self, announced: Announced, key: str, component: Component) -> Message:
        platform = component["p"]
        alone = {name: value for name, value in component.items() if name != "p"}
        topic = f"{self._config.prefix}/{platform}/{announced.own_id}/{object_id(key)}/config"
        return topic, to_json_bytes({**announced.shared, **alone})

    # Whose an announcement is

    def ids(self, reading: Reading) -> list[str]:
        """Return the ids of a meter and of the devices that a reading names."""
        return [
            discovery_id_of(reading),
            *(discovery_id_of(reading, device) for device in reading.telegram.decoded.devices.values()),
        ]

    def replaced_by(self, new: Iterable[str], old: Iterable[str]) -> list[str]:
        """Return which of the old announcements those of the same devices replace.

        They are of the other style, or of entities that are not there any more.
        """
        announced = set(new)
        devices = {self.device_of(topic) for topic in announced} - {None}
        if not devices:
            return []
        return [topic for topic in old if topic not in announced and self.device_of(topic) in devices]

    def device_of(self, topic: str) -> str | None:
        """Return the id of the device that is announced on a topic; None for other topics."""
        if not topic.startswith(self._config.prefix):
            return None
        rest = topic.removeprefix(self._config.prefix)
        found = re.match(r"/(?:device|sensor|binary_sensor)/(smarty_[^/]+)/", rest)
        return found[1] if found else None

    # The parts of a payload

    def _announced(self, own_id: str, shared: dict[str, Any], components: dict[str, Component]) -> Announced:
        for key, component in components.items():
            component["unique_id"] = f"{own_id}_{key}"
        # Home Assistant cuts off the name of a device where one of its entities begins with it.
        device = shared["dev"]
        if any((component["name"] or "").startswith(device["name"]) for component in components.values()):
            device["name"] += " (meter)"
        return Announced(own_id, shared, components)

    def _shared(self, device: dict[str, Any], state_topic: str, *online: str) -> dict[str, Any]:
        return {
            "dev": device,
            "o": {"name": "smarty-gateway", "sw": __version__},
            "stat_t": state_topic,
            # Domoticz knows no short name for `topic`.
            "avty": [{"topic": topic} for topic in (self._topics.status, *online)],
            "avty_mode": "all",
            "qos": 1,
        }

    def _component(self, entity: Entity, root: str) -> Component:
        """Return the part of one entity.

        Args:
            entity: its row.
            root: the topic above those that it may read.
        """
        sort, topic = entity.sort, f"{root}/{entity.topic.value}"
        component: Component = {"p": entity.platform, "name": entity.name}
        if entity.topic is not Topic.STATE:
            component["stat_t"] = topic
        if entity.template:
            component["val_tpl"] = entity.template
        if entity.on_off is not None:
            component["pl_on"], component["pl_off"] = entity.on_off
        if entity.attributes is not None:
            health = entity.topic is Topic.AVAILABILITY
            component["json_attr_t"] = f"{root}/{Topic.HEALTH.value}" if health else topic
        if entity.attributes:
            component["json_attr_tpl"] = entity.attributes
        optional = {
            "exp_aft": self._expire_after if _expires(entity) else None,
            "dev_cla": sort.device_class,
            "stat_cla": sort.state_class,
            "unit_of_meas": entity.unit,
            "sug_dsp_prc": sort.precision,
            "ops": list(sort.options or sort.words.values()) or None,
            "ent_cat": entity.place.category,
            "ic": sort.icon,
            "en": None if entity.place.is_on else False,
        }
        return component | {key: value for key, value in optional.items() if value is not None}

    def _meter(self, reading: Reading, names: set[str]) -> Announced:
        telegram, own_id = reading.telegram, discovery_id_of(reading)
        device = {
            "ids": [own_id],
            "name": reading.meter,
            "mf": maker_of(telegram),
            "mdl": model_of(telegram),
            "sw": telegram.decoded.fields.get(_FIRMWARE),
            "sn": None if telegram.is_header_only else telegram.meter_id,
            "via_device": self.gateway_id,
            "cu": self._page_of(reading.meter),
        }
        root = self._topics.of(reading.meter)
        online = self._topics.of(reading.meter, "availability")
        components = {
            entity.key: self._component(entities.in_country(entity, telegram.decoded.header), root)
            for entity in entities.of_meter(names | reading.record.keys())
        }
        health = [*entities.METER_HEALTH]
        if telegram.system_title is not None:
            health.append(entities.DOWNGRADE)
        for entity in health:
            components[entity.key] = self._component(entity, root)
            # It is there while the meter is not.
            components[entity.key]["avty"] = [{"topic": self._topics.status}]
        shared = self._shared(_known(device), self._topics.of(reading.meter, "state"), online)
        return self._announced(own_id, shared, components)

    def _page_of(self, meter: str) -> str | None:
        """Return the address of a meter's page; without a configured name it has another one there."""
        if self._page is None or meter not in self._named:
            return self._page
        return f"{self._page}meters/{quote(topic_part(meter), safe='')}/"

    def _mbus_device(self, reading: Reading, medium: str, device: Mapping[str, Any]) -> Announced:
        own_id, serial = discovery_id_of(reading, device), device_name(device)
        about = {
            "ids": [own_id],
            "name": f"{reading.meter} {medium.replace('_', ' ')}",
            "mf": maker_of_serial(serial),
            "sn": serial,
            "via_device": discovery_id_of(reading),
        }
        topic = self._topics.mbus(reading.meter, serial)
        components = {
            entity.key: self._component(entity, topic) for entity in entities.of_mbus_device(medium, device)
        }
        components.get("value", {}).pop("exp_aft", None)  # such a meter may be read only once a day
        shared = self._shared(_known(about), topic, self._topics.of(reading.meter, "availability"))
        return self._announced(own_id, shared, components)


class Announcements:
    """What was announced of one device and those behind it, and whether that must be done again."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._key: object = None
        self._whole: dict[str, int] = {}  # topics with sizes

    def reset(self) -> None:
        """Make everything due: there is a new connection, or Home Assistant has started."""
        self._key = None

    def due(
        self, key: object, devices: Callable[[], Iterable[Announced]], is_refused: IsRefused
    ) -> list[Message]:
        """Return what must be announced: everything, if the key has changed or the broker refuses a part.

        Args:
            key: what the devices depend on.
            devices: makes them.
            is_refused: says what is too large for the broker.
        """
        if key == self._key and not any(is_refused(*whole) for whole in self._whole.items()):
            return []
        self._key = key
        found = {device.own_id: self._discovery.messages(device, is_refused) for device in devices()}
        messages = [message for messages in found.values() for message in messages]
        whole = {self._discovery.whole_topic(own_id) for own_id in found}
        self._whole = {topic: len(payload) for topic, payload in messages if topic in whole}
        return messages


def discovery_id_of(reading: Reading, mbus_device: Mapping[str, Any] | None = None) -> str:
    """Return the id of a meter, or of a device behind it, in discovery."""
    own = reading.object_id or object_id(reading.telegram.meter_id)
    if mbus_device is None:
        return f"smarty_{own}"
    key = device_name(mbus_device)
    return f"smarty_{object_id(key if mbus_device.get('id') else f'{own}_{key}')}"


def _expires(entity: Entity) -> bool:
    """True if an old value must not be shown: what is measured, and all of the running quarter hour."""
    return entity.topic is Topic.QUARTER or (
        entity.topic is Topic.STATE and entity.sort.state_class is not None
    )


def _known(device: Mapping[str, object]) -> dict[str, Any]:
    return {key: value for key, value in device.items() if value}
