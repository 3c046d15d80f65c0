"""Announcements with which a meter appears in Home Assistant by itself, ready for the energy dashboard.

Pure: readings go in, topics and payloads come out. The rules are those of Home Assistant's MQTT
discovery (2024.11 and newer for devices): `dev` and `o` are mandatory, `expire_after` belongs into
each component, a cubic metre is `m³`, an entity's name does not begin with its device's. The names
of tariffs carry numbers, because what they mean differs from country to country.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from smarty_gateway import __version__
from smarty_gateway.config.values import HomeAssistantConfig, Style
from smarty_gateway.outputs.mqtt.topics import Topics, device_name
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.obis import BY_NAME, Form, Kind
from smarty_gateway.safe_text import object_id

Component = dict[str, Any]
_Classes = tuple[str | None, str | None]

_PRECISION: Final = {
    "kWh": 3,
    "kvarh": 3,
    "kW": 3,
    "kvar": 3,
    "kVA": 3,
    "V": 1,
    "A": 2,
    "Hz": 2,
    "m³": 3,
    "GJ": 3,
}
#: Sections whose values rarely change and interest few people.
_DIAGNOSTIC: Final = frozenset({"Meter", "Supply quality", "Switches and limits", "Messages"})
_ALWAYS_SHOWN: Final = frozenset({"tariff"})
#: Diagnostics that would only fill the database: disabled until a user enables them.
_OFF: Final = frozenset(
    {"timestamp", "received", "frame_counter", "header", "p1_version", "logical_device_name", "equipment_id",
     "serial_number", "ean", "message_code", "grid_voltage"}
)  # fmt: skip
#: Beside the fields of the telegram.
_OWN: Final[Mapping[str, tuple[str, str | None]]] = {
    "security": ("Proof of the readings", None),
    "frame_counter": ("Frame counter", None),
    "received": ("Last telegram", "timestamp"),
}
#: Home Assistant's device class and state class of each kind of value.
CLASSES: Final[Mapping[Kind, _Classes]] = {
    Kind.ENERGY: ("energy", "total_increasing"),
    Kind.REACTIVE_ENERGY: ("reactive_energy", "total_increasing"),
    Kind.ENERGY_BALANCE: ("energy", "total"),
    Kind.POWER: ("power", "measurement"),
    Kind.REACTIVE_POWER: ("reactive_power", "measurement"),
    Kind.APPARENT_POWER: ("apparent_power", "measurement"),
    Kind.PEAK_POWER: ("power", None),
    Kind.CURRENT: ("current", "measurement"),
    Kind.VOLTAGE: ("voltage", "measurement"),
    Kind.POWER_FACTOR: ("power_factor", "measurement"),
    Kind.FREQUENCY: ("frequency", "measurement"),
    Kind.EVENTS: (None, "total_increasing"),
    Kind.OTHER: (None, None),
}
_DEVICE_CLASS_OF_MEDIUM: Final = {
    "gas": "gas", "water": "water", "warm_water": "water", "hot_water": "water", "cold_water": "water",
    "electricity_submeter": "energy", "heat": "energy", "cold": "energy",
}  # fmt: skip


class Discovery:
    """Announces meters and their M-Bus devices.

    Args:
        expire_after: seconds without a state after which a value becomes unavailable.
    """

    def __init__(self, config: HomeAssistantConfig, topics: Topics, expire_after: int) -> None:
        self._config = config
        self._topics = topics
        self._expire_after = expire_after

    @property
    def birth_topic(self) -> str:
        """The topic on which Home Assistant announces its start."""
        return f"{self._config.prefix}/status"

    def messages(
        self, reading: Reading, names: Iterable[str], devices: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> dict[str, dict[str, Any]]:
        """Return the announcements of a meter: topics with their payloads.

        Args:
            reading: the newest one.
            names: all fields that this meter has sent so far.
            devices: its M-Bus devices by medium, with all that was sent of each so far.
        """
        found = dict(self._announce(discovery_id_of(reading), *self._meter(reading, names)))
        for medium, device in devices:
            own = discovery_id_of(reading, device)
            found |= self._announce(own, *self._mbus_device(reading, medium, device, own))
        return found

    def ids(self, reading: Reading) -> list[str]:
        """Return the ids of a meter and of the devices that a reading names."""
        return [
            discovery_id_of(reading),
            *(discovery_id_of(reading, device) for device in reading.telegram.decoded.devices.values()),
        ]

    def left_by_others(self, topics: Iterable[str], reading: Reading) -> list[str]:
        """Return the announcements of the meter that had this name before; none if there was no other.

        Args:
            topics: all that were published under the name of the meter.
            reading: of the new meter; the old one may have had some of its M-Bus devices.
        """
        owners = {topic: own for topic in topics if (own := self.device_of(topic)) is not None}
        own_id, *still_here = self.ids(reading)
        if own_id in owners.values():
            return []
        return [topic for topic, own in owners.items() if own not in still_here]

    def in_other_style(self, topics: Iterable[str]) -> list[str]:
        """Return the announcements that another style has left."""
        other = "sensor" if self._config.style is Style.DEVICE else "device"
        return [topic for topic in topics if topic.startswith(f"{self._config.prefix}/{other}/smarty_")]

    def device_of(self, topic: str) -> str | None:
        """Return the id of the device that is announced on a topic; None for other topics."""
        found = re.match(r"/(?:device|sensor)/(smarty_[^/]+)/", topic.removeprefix(self._config.prefix))
        return found[1] if found and topic.startswith(self._config.prefix) else None

    def _announce(
        self, own_id: str, shared: dict[str, Any], components: dict[str, Component]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        prefix = self._config.prefix
        if not components:
            return  # a device of which nothing but the id is known
        for key, component in components.items():
            component["unique_id"] = f"{own_id}_{key}"
        # Home Assistant cuts off the name of a device where one of its entities begins with it.
        device = shared["dev"]
        if any(component["name"].startswith(device["name"]) for component in components.values()):
            device["name"] += " (meter)"
        if self._config.style is Style.DEVICE:
            yield f"{prefix}/device/{own_id}/config", {**shared, "cmps": components}
            return
        for key, component in components.items():
            alone = {name: value for name, value in component.items() if name != "p"}
            yield f"{prefix}/sensor/{own_id}/{object_id(key)}/config", {**shared, **alone}

    def _shared(self, reading: Reading, device: dict[str, Any], state_topic: str) -> dict[str, Any]:
        online = (self._topics.status, self._topics.of(reading.meter, "availability"))
        return {
            "dev": device,
            "o": {"name": "smarty-gateway", "sw": __version__},
            "stat_t": state_topic,
            "avty": [{"topic": topic} for topic in online],  # Domoticz knows no short name here
            "avty_mode": "all",
            "qos": 1,
        }

    def _meter(self, reading: Reading, names: Iterable[str]) -> tuple[dict[str, Any], dict[str, Component]]:
        telegram = reading.telegram
        device = {
            "ids": [discovery_id_of(reading)],
            "name": reading.meter,
            "mdl": telegram.decoded.header,
        }
        if not telegram.is_header_only:
            device["sn"] = telegram.meter_id
        components: dict[str, Component] = {}
        for name in names:
            components |= self._field(name)
        fields = telegram.decoded.fields
        times = {f"{name}_timestamp": v.get("timestamp") for name, v in fields.items() if isinstance(v, dict)}
        for key, time in {"timestamp": fields.get("timestamp"), **times}.items():
            if isinstance(time, str) and not _has_offset(time):
                components.pop(key, None)  # Home Assistant refuses a time without a zone
        for name, (label, device_class) in _OWN.items():
            if name in reading.record:
                components[name] = self._component(label, name, device_class=device_class, diagnostic=True)
        for name in _OFF & components.keys():
            components[name]["en"] = False
        return self._shared(reading, device, self._topics.of(reading.meter, "state")), components

    def _field(self, name: str) -> dict[str, Component]:
        found = BY_NAME.get(name)
        if found is None or found.quantity.form in (Form.FAILURE_LOG, Form.PEAK_HISTORY, Form.MONTH_END):
            return {}  # a list is not a state; it is in the JSON object
        label = found.description if ", " not in found.name else name.replace("_", " ").capitalize()
        quantity = found.quantity
        classes = CLASSES[quantity.kind]
        diagnostic = found.section in _DIAGNOSTIC and name not in _ALWAYS_SHOWN
        if quantity.form is Form.PEAK:
            at = self._component(
                f"{label}, time", f"{name}.timestamp", device_class="timestamp", diagnostic=True
            )
            number = self._number(label, f"{name}.value", quantity.unit, classes)
            return {name: number, f"{name}_timestamp": at}
        if quantity.form is Form.TIME:
            component = self._component(label, name, device_class="timestamp", diagnostic=True)
        elif quantity.unit is not None or quantity.kind is not Kind.OTHER:
            component = self._number(label, name, quantity.unit, classes, diagnostic=diagnostic)
        else:
            component = self._component(label, name, diagnostic=diagnostic)
            if quantity.form in (Form.TEXT, Form.HEX_TEXT):
                # A state has 255 characters at most, a message of a grid operator 1024.
                component["val_tpl"] = f"{{{{ (value_json.{name} | default(''))[:255] }}}}"
        return {name: component}

    def _number(
        self,
        label: str,
        path: str,
        unit: str | None,
        classes: _Classes,
        *,
        diagnostic: bool = False,
    ) -> Component:
        device_class, state_class = classes
        component = self._component(label, path, device_class=device_class, diagnostic=diagnostic)
        if unit is not None:
            component["unit_of_meas"] = unit
            if unit in _PRECISION:
                component["sug_dsp_prc"] = _PRECISION[unit]
        if state_class is not None:
            component["stat_cla"] = state_class
        return component

    def _component(
        self, label: str, path: str, *, device_class: str | None = None, diagnostic: bool = False
    ) -> Component:
        # A value that is missing in this telegram becomes an empty text, which leaves the state as it was.
        parent, _, child = path.rpartition(".")
        value = f"(value_json.{parent} | default({{}})).{child}" if parent else f"value_json.{path}"
        component: Component = {
            "p": "sensor",
            "name": label,
            "val_tpl": f"{{{{ {value} | default('') }}}}",
            "exp_aft": self._expire_after,
        }
        if device_class is not None:
            component["dev_cla"] = device_class
        if diagnostic:
            component["ent_cat"] = "diagnostic"
        return component

    def _mbus_device(
        self, reading: Reading, medium: str, device: Mapping[str, Any], own_id: str
    ) -> tuple[dict[str, Any], dict[str, Component]]:
        label = medium.replace("_", " ").capitalize()
        about = {
            "ids": [own_id],
            "name": f"{reading.meter} {label.lower()}",
            "sn": device_name(device),
            "via_device": discovery_id_of(reading),
        }
        components: dict[str, Component] = {}
        if "value" in device:
            kind = _DEVICE_CLASS_OF_MEDIUM.get(medium.rstrip("0123456789").rstrip("_"))
            unit = device.get("unit")
            # A gas meter may count energy and a heat meter volume; Home Assistant refuses a device class that
            # does not match the unit.
            if unit in ("kWh", "GJ"):
                kind = "energy"
            elif kind == "energy":
                kind = None
            classes = (kind if unit else None, "total_increasing")
            components["value"] = self._number("Register", "value", unit, classes)
            components["timestamp"] = self._component(
                "Read at", "timestamp", device_class="timestamp", diagnostic=True
            )
            if not _has_offset(str(device.get("timestamp", ""))):
                del components["timestamp"]  # Home Assistant refuses a time without a zone
        if "valve_state" in device:
            components["valve_state"] = self._component("Valve state", "valve_state", diagnostic=True)
        for component in components.values():
            del component["exp_aft"]  # such a meter may be read only once a day
        return self._shared(reading, about, self._topics.mbus(reading.meter, device_name(device))), components


def discovery_id_of(reading: Reading, mbus_device: Mapping[str, Any] | None = None) -> str:
    """Return the id of a meter, or of a device behind it, in discovery."""
    own = reading.object_id or object_id(reading.telegram.meter_id)
    if mbus_device is None:
        return f"smarty_{own}"
    key = device_name(mbus_device)
    return f"smarty_{object_id(key if mbus_device.get('id') else f'{own}_{key}')}"


def _has_offset(time: str) -> bool:
    return time.endswith("Z") or "+" in time[10:] or "-" in time[10:]
