"""The entities of Home Assistant, as a table: one row for each value, with how it is shown.

Names come from outputs/labels.py, units from the OBIS table. docs/home-assistant.md is made from this table.
What is new is off unless a household needs it. The key of a row is part of unique ids: a changed key
loses the history of an entity.

Templates yield `None` for what is missing or not known, which Home Assistant shows as unknown. An empty text
would leave the old value there, and is a warning in its log for a time. Domoticz reads the templates of
numbers and words too: it cuts them at the first `|` and understands a table of words in front of the value.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.meter_telegram import Security
from smarty_gateway.protocol.obis import BY_NAME, Form


class Place(Enum):
    """Where an entity stands on the page of its device, and whether it is on until a user decides."""

    MAIN = True, None
    MORE = False, None
    DIAGNOSTIC = True, "diagnostic"
    DETAIL = False, "diagnostic"

    def __init__(self, is_on: bool, category: str | None) -> None:  # noqa: FBT001 - from the lines above
        self.is_on = is_on
        self.category = category


class Topic(Enum):
    """What an entity reads: a topic below that of its meter or M-Bus device, or the gateway."""

    STATE = "state"
    QUARTER = "quarter"
    HEALTH = "health"
    STATUS = "status"
    AVAILABILITY = "availability"


@dataclass(frozen=True, slots=True)
class Sort:
    """What entities of one sort have in common.

    Attributes:
        precision: digits behind the point, where the default of Home Assistant hides some or shows too many.
        icon: only where there is no device class that brings one.
        words: what the numbers of a state mean.
        options: the words that are sent as they are.
    """

    device_class: str | None = None
    state_class: str | None = None
    precision: int | None = None
    icon: str | None = None
    words: Mapping[int, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entity:
    """One row of the table.

    Attributes:
        key: tells the entities of a device apart.
        name: None where the entity is called as its device.
        template: makes the state from the payload.
        meaning: in words, for the documentation.
        platform: `sensor` or `binary_sensor`.
        on_off: what a binary sensor shows as on and off, unless that is `ON` and `OFF`.
        attributes: the template of its attributes; "" for the payload as it is, None for no attributes.
        needs: the fields that a meter must have sent, if it is not the one of its key.
    """

    key: str
    name: str | None
    sort: Sort
    place: Place
    template: str
    meaning: str
    unit: str | None = None
    platform: str = "sensor"
    topic: Topic = Topic.STATE
    on_off: tuple[str, str] | None = None
    attributes: str | None = None
    needs: tuple[str, ...] = ()


ENERGY: Final = Sort("energy", "total_increasing")
#: A register that may also fall.
BALANCE: Final = Sort("energy", "total")
REACTIVE_ENERGY: Final = Sort("reactive_energy", "total_increasing")
POWER: Final = Sort("power", "measurement")
REACTIVE_POWER: Final = Sort("reactive_power", "measurement")
APPARENT_POWER: Final = Sort("apparent_power", "measurement")
VOLTAGE: Final = Sort("voltage", "measurement", 1)
CURRENT: Final = Sort("current", "measurement", 2)
POWER_FACTOR: Final = Sort("power_factor", "measurement")
FREQUENCY: Final = Sort("frequency", "measurement", 2)
#: Settings of the meter, which need no statistics.
SET_POWER: Final = Sort("power")
SET_APPARENT_POWER: Final = Sort("apparent_power")
SET_CURRENT: Final = Sort("current", None, 2)
SET_VOLTAGE: Final = Sort("voltage", None, 0)
SAGS: Final = Sort(None, "total_increasing", None, "mdi:pulse")
FAILURES: Final = Sort(None, "total_increasing", None, "mdi:flash-off")
TIME: Final = Sort("timestamp")
TEXT: Final = Sort(icon="mdi:information-outline")
MESSAGE: Final = Sort(icon="mdi:message-text-outline")
COUNTER: Final = Sort(icon="mdi:counter")
PROBLEM: Final = Sort("problem")
SHARE: Final = Sort(None, "measurement", 2, "mdi:percent-outline")
#: DLMS, class 70 (disconnect control): the control state.
SWITCH: Final = Sort(
    "enum",
    icon="mdi:electric-switch",
    words={0: "disconnected", 1: "connected", 2: "ready"},
)
VALVE: Final = Sort("enum", icon="mdi:pipe-valve", words=SWITCH.words)
#: What a tariff means differs from country to country, so most have numbers.
TARIFF: Final = Sort(
    "enum", icon="mdi:calendar-clock", words={number: f"tariff {number}" for number in range(1, 5)}
)
SECURITY: Final = Sort("enum", icon="mdi:shield-key", options=tuple(Security))

#: Fields that are no state of an entity; they are in the JSON object only.
NO_STATE: Final = frozenset({"power_failure_log", "peak_demand_history", "month_end"})
#: A state has 255 characters at most, a message of a grid operator 1024.
_LONGEST_STATE: Final = 255
#: The length of a time without its offset, which Home Assistant refuses.
_LOCAL_TIME: Final = len("2026-01-30T10:21:22")


def template_of(path: str) -> str:
    """Return the template of a number or a word."""
    return f"{{{{value_json.{path}|d('None')}}}}"


def time_template_of(path: str) -> str:
    """Return the template of a time; one without an offset is unknown."""
    has_offset = f"(value_json.{path}|d(''))[{_LOCAL_TIME}:]"
    return f"{{{{value_json.{path}|d('None') if {has_offset} else None}}}}"


def words_template_of(key: str, words: Mapping[int, str]) -> str:
    """Return the template of a number that stands for a word; one without a word is unknown."""
    table = ",".join(f"{number}:'{word}'" for number, word in words.items())
    return f"{{{{ {{{table}}}[value_json.{key}|d(-1)]|d('None')}}}}"


def quarter_template_of(name: str) -> str:
    """Return the template of a value of the running quarter hour; its topic may be emptied under it."""
    return f"{{{{value_json.{name}|d('None')if value else None}}}}"


def yes_no_template_of(name: str) -> str:
    """Return the same for a value that is true or false: as in JSON, which is what Domoticz compares."""
    return f"{{{{value_json.{name}|tojson if '{name}' in (value_json|d({{}})) else None}}}}"


def _template(name: str, sort: Sort) -> str:
    if sort.words:
        return words_template_of(name, sort.words)
    form = BY_NAME[name].quantity.form
    if form is Form.TIME:
        return time_template_of(name)
    if form in (Form.TEXT, Form.HEX_TEXT):
        return f"{{{{(value_json.{name}|d('None'))[:{_LONGEST_STATE}]}}}}"
    return template_of(name)


#: Where the words of the specification, which name a field elsewhere, do not help a household.
_MEANINGS: Final = {
    **{
        f"energy_{way}_tariff_{number}": "The same, while this tariff holds"
        for way in ("import", "export")
        for number in range(1, 5)
    },
    "energy_import": "Energy from the grid: the meter's register, for the energy dashboard",
    "energy_export": "Energy to the grid",
    "power_import": "Power from the grid now; 0 while the house exports",
    "power_export": "Power to the grid now; 0 while the house imports",
    "tariff": "The tariff that holds now: normal or low in Belgium, a number elsewhere",
    "demand_import": "Import of the running quarter hour so far, divided by 15 minutes: begins at 0",
    "demand_import_last": "Mean power from the grid in the quarter hour before",
    "demand_export": "Export of the running quarter hour so far, divided by 15 minutes: begins at 0",
    "peak_demand_month": "The highest quarter hour of this month",
    "breaker_state": "The main switch in the meter: connected, disconnected or ready (for reconnection)",
    "relay_1_state": "A switch that the grid operator controls: connected, disconnected or ready",
    "grid_voltage": "The voltage for which the meter is set up",
}


def _fields(*rows: tuple[str, Sort, Place]) -> Iterator[Entity]:
    """Return the rows of fields of the telegram."""
    for name, sort, place in rows:
        found = BY_NAME[name]
        yield Entity(
            name,
            label_of(name),
            sort,
            place,
            _template(name, sort),
            _MEANINGS.get(name, found.description),
            found.quantity.unit,
        )


def _of_quarter(*rows: tuple[str, Sort, Place, str | None, str, str]) -> Iterator[Entity]:
    """Return the rows of values of the running quarter hour.

    Its energies begin at 0 again with each quarter hour, day, month or year, as `total_increasing` allows.
    """
    for name, sort, place, unit, needs, meaning in rows:
        key, is_binary = f"quarter_{name}", sort is PROBLEM
        yield Entity(
            key,
            label_of(key),
            sort,
            place,
            yes_no_template_of(name) if is_binary else quarter_template_of(name),
            meaning,
            unit,
            platform="binary_sensor" if is_binary else "sensor",
            topic=Topic.QUARTER,
            on_off=("true", "false") if is_binary else None,
            needs=(needs,),
        )


_MAIN, _MORE, _DIAGNOSTIC, _DETAIL = Place

#: What entities of the running quarter hour need: any, a reference power, any limit to keep to, and a meter
#: that does not send the month's peak itself.
_ANY: Final = "quarter_start"
_LEVEL: Final = "quarter_reference_power"
_LIMIT: Final = "quarter_limit"
_OWN_PEAK: Final = "quarter_peak"

_KEEP_WITHIN: Final = (
    "for the rest of this quarter hour within the limit: the reference power, in Flanders the month's peak, "
    "at least 2.5 kW"
)

_PEAK: Final = "(value_json.peak_demand_month|d({}))"
_MONTHS: Final = "value_json.get('peak_demand_history',[])|sort(attribute='period_end')"

#: What the state of a meter has.
METER: Final = (
    *_fields(
        # Energy
        ("energy_import", ENERGY, _MAIN),
        ("energy_import_tariff_1", ENERGY, _MAIN),
        ("energy_import_tariff_2", ENERGY, _MAIN),
        ("energy_import_tariff_3", ENERGY, _MAIN),
        ("energy_import_tariff_4", ENERGY, _MAIN),
        ("energy_export", ENERGY, _MAIN),
        ("energy_export_tariff_1", ENERGY, _MAIN),
        ("energy_export_tariff_2", ENERGY, _MAIN),
        ("energy_export_tariff_3", ENERGY, _MAIN),
        ("energy_export_tariff_4", ENERGY, _MAIN),
        ("energy_combined", BALANCE, _MAIN),
        ("reactive_energy_import", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_import_tariff_1", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_import_tariff_2", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_import_tariff_3", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_import_tariff_4", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_export", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_export_tariff_1", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_export_tariff_2", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_export_tariff_3", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_export_tariff_4", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_q1", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_q2", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_q3", REACTIVE_ENERGY, _MORE),
        ("reactive_energy_q4", REACTIVE_ENERGY, _MORE),
        # Power
        ("power_import", POWER, _MAIN),
        ("power_export", POWER, _MAIN),
        ("power_combined", POWER, _MORE),
        ("reactive_power_import", REACTIVE_POWER, _MORE),
        ("reactive_power_export", REACTIVE_POWER, _MORE),
        ("reactive_power_q1", REACTIVE_POWER, _MORE),
        ("reactive_power_q2", REACTIVE_POWER, _MORE),
        ("reactive_power_q3", REACTIVE_POWER, _MORE),
        ("reactive_power_q4", REACTIVE_POWER, _MORE),
        ("apparent_power_import", APPARENT_POWER, _MORE),
        ("apparent_power_export", APPARENT_POWER, _MORE),
        ("power_factor", POWER_FACTOR, _DETAIL),
        ("frequency", FREQUENCY, _DETAIL),
        ("tariff", TARIFF, _MAIN),
        # Quarter hours and peaks
        ("demand_import", POWER, _MAIN),
        ("demand_export", POWER, _MORE),
        ("demand_import_last", POWER, _MAIN),
        ("demand_export_last", POWER, _MORE),
        ("reactive_demand_import", REACTIVE_POWER, _MORE),
        ("reactive_demand_export", REACTIVE_POWER, _MORE),
        ("reactive_demand_import_last", REACTIVE_POWER, _MORE),
        ("reactive_demand_export_last", REACTIVE_POWER, _MORE),
        ("apparent_demand_import", APPARENT_POWER, _MORE),
        ("apparent_demand_export", APPARENT_POWER, _MORE),
        ("apparent_demand_import_last", APPARENT_POWER, _MORE),
        ("apparent_demand_export_last", APPARENT_POWER, _MORE),
        # Phases
        ("voltage_l1", VOLTAGE, _DIAGNOSTIC),
        ("voltage_l2", VOLTAGE, _DIAGNOSTIC),
        ("voltage_l3", VOLTAGE, _DIAGNOSTIC),
        ("current_l1", CURRENT, _DIAGNOSTIC),
        ("current_l2", CURRENT, _DIAGNOSTIC),
        ("current_l3", CURRENT, _DIAGNOSTIC),
        ("power_import_l1", POWER, _MORE),
        ("power_import_l2", POWER, _MORE),
        ("power_import_l3", POWER, _MORE),
        ("power_export_l1", POWER, _MORE),
        ("power_export_l2", POWER, _MORE),
        ("power_export_l3", POWER, _MORE),
        ("reactive_power_import_l1", REACTIVE_POWER, _MORE),
        ("reactive_power_import_l2", REACTIVE_POWER, _MORE),
        ("reactive_power_import_l3", REACTIVE_POWER, _MORE),
        ("reactive_power_export_l1", REACTIVE_POWER, _MORE),
        ("reactive_power_export_l2", REACTIVE_POWER, _MORE),
        ("reactive_power_export_l3", REACTIVE_POWER, _MORE),
        ("apparent_power_import_l1", APPARENT_POWER, _MORE),
        ("apparent_power_import_l2", APPARENT_POWER, _MORE),
        ("apparent_power_import_l3", APPARENT_POWER, _MORE),
        ("apparent_power_export_l1", APPARENT_POWER, _MORE),
        ("apparent_power_export_l2", APPARENT_POWER, _MORE),
        ("apparent_power_export_l3", APPARENT_POWER, _MORE),
        ("power_factor_l1", POWER_FACTOR, _DETAIL),
        ("power_factor_l2", POWER_FACTOR, _DETAIL),
        ("power_factor_l3", POWER_FACTOR, _DETAIL),
        # Supply quality
        ("power_failures", FAILURES, _DETAIL),
        ("long_power_failures", FAILURES, _DETAIL),
        ("voltage_sags_l1", SAGS, _DETAIL),
        ("voltage_sags_l2", SAGS, _DETAIL),
        ("voltage_sags_l3", SAGS, _DETAIL),
        ("voltage_swells_l1", SAGS, _DETAIL),
        ("voltage_swells_l2", SAGS, _DETAIL),
        ("voltage_swells_l3", SAGS, _DETAIL),
        # Switches and limits
        ("breaker_state", SWITCH, _DIAGNOSTIC),
        ("relay_1_state", SWITCH, _DETAIL),
        ("relay_2_state", SWITCH, _DETAIL),
        ("relay_3_state", SWITCH, _DETAIL),
        ("relay_4_state", SWITCH, _DETAIL),
        ("power_threshold", SET_POWER, _DETAIL),
        ("apparent_power_threshold", SET_APPARENT_POWER, _DETAIL),
        ("current_threshold", SET_CURRENT, _DETAIL),
        ("current_threshold_import", SET_CURRENT, _DETAIL),
        ("current_threshold_export", SET_CURRENT, _DETAIL),
        ("fuse_threshold", SET_CURRENT, _DETAIL),
        ("fuse_threshold_l2", SET_CURRENT, _DETAIL),
        ("fuse_threshold_l3", SET_CURRENT, _DETAIL),
        ("grid_voltage", SET_VOLTAGE, _DETAIL),
        # Messages and texts
        ("message", MESSAGE, _DETAIL),
        ("message_code", MESSAGE, _DETAIL),
        ("message_2", MESSAGE, _DETAIL),
        ("message_3", MESSAGE, _DETAIL),
        ("message_4", MESSAGE, _DETAIL),
        ("message_5", MESSAGE, _DETAIL),
        ("p1_version", TEXT, _DETAIL),
        ("logical_device_name", TEXT, _DETAIL),
        ("equipment_id", TEXT, _DETAIL),
        ("serial_number", TEXT, _DETAIL),
        ("firmware_version", TEXT, _DETAIL),
        ("firmware_signature", TEXT, _DETAIL),
        ("firmware_module_version", TEXT, _DETAIL),
        ("firmware_module_signature", TEXT, _DETAIL),
        ("ean", TEXT, _DETAIL),
        ("timestamp", TIME, _DETAIL),
    ),
    Entity(
        "peak_demand_month", label_of("peak_demand_month"), POWER, _MAIN,
        f"{{{{{_PEAK}.value|d('None')}}}}", _MEANINGS["peak_demand_month"], "kW",
    ),
    Entity(
        "peak_demand_month_timestamp", "Time of peak demand this month", TIME, _DIAGNOSTIC,
        f"{{% set t={_PEAK}.timestamp|d('') %}}{{{{t if t[{_LOCAL_TIME}:] else None}}}}",
        "When this month's highest quarter hour was", needs=("peak_demand_month",),
    ),
    Entity(
        "security", label_of("security"), SECURITY, _DIAGNOSTIC, template_of("security"),
        "How the telegram was verified: authenticated, unauthenticated (`crc-only`) or plaintext",
    ),
    Entity(
        "frame_counter", label_of("frame_counter"), COUNTER, _DETAIL, template_of("frame_counter"),
        "The number of the encrypted frame",
    ),
    # Only where a meter sends both; one that sends import alone has nothing to subtract.
    Entity(
        "power_net", "Net power", POWER, _MAIN,
        "{{(value_json.power_import-value_json.power_export)|round(3) "
        "if 'power_import' in value_json and 'power_export' in value_json else None}}",
        "Import minus export: below 0 while the house exports", "kW",
        needs=("power_import", "power_export"),
    ),
    # As the meter reports them: the operator's minimum of 2.5 kW a month is not applied.
    Entity(
        "peak_demand_average", "Average peak demand", replace(POWER, precision=3), _MAIN,
        f"{{{{({_MONTHS}|map(attribute='value')|list)[-12:]|average('None')}}}}",
        "Mean of the last twelve monthly peaks, or of as many as there are; its attributes are the months",
        "kW", attributes=f"{{{{{{'months':{_MONTHS}|list}}|tojson}}}}", needs=("peak_demand_history",),
    ),
    *_of_quarter(
        ("mean_power", POWER, _MAIN, "kW", _ANY, "Mean power from the grid since this quarter hour began"),
        ("forecast_power", POWER, _MAIN, "kW", _ANY, "Mean power of this quarter hour if all goes on as now"),
        ("allowed_power", POWER, _MAIN, "kW", _LIMIT, f"What may be drawn from the grid {_KEEP_WITHIN}"),
        ("will_exceed", PROBLEM, _MAIN, None, _LIMIT, "A problem while the forecast is above this limit"),
        ("import", ENERGY, _MORE, "kWh", _ANY, "Energy from the grid since this quarter hour began"),
        ("excess", ENERGY, _MORE, "kWh", _LEVEL, "Energy beyond the reference power in this quarter hour"),
        ("excess_day", ENERGY, _MAIN, "kWh", _LEVEL, "Energy beyond the reference power today"),
        ("excess_month", ENERGY, _MAIN, "kWh", _LEVEL, "Energy beyond the reference power this month"),
        ("excess_year", ENERGY, _MAIN, "kWh", _LEVEL, "Energy beyond the reference power this year"),
        ("peak_month", POWER, _MAIN, "kW", _OWN_PEAK, "The highest quarter hour of this month"),
        ("peak_month_time", TIME, _DETAIL, None, _OWN_PEAK, "When this month's highest quarter hour was"),
        ("import_day", ENERGY, _MORE, "kWh", _ANY, "Energy from the grid today"),
        ("export_day", ENERGY, _MORE, "kWh", _ANY, "Energy to the grid today"),
        ("covered_day", SHARE, _DETAIL, None, _ANY, "The share of today whose quarter hours are known"),
        ("reference_power", SET_POWER, _DETAIL, "kW", _LEVEL, "The reference power, as configured"),
    ),
)  # fmt: skip

#: Fluvius' header, which all Belgian meters have. e-MUCS P1 1.7.1, table 4: the numbers mean the opposite in
#: the Netherlands (DSMR 5.0.2 P1, 6.12), and no header belongs to Dutch meters alone.
_BELGIAN_HEADER: Final = "FLU5"
_BELGIAN_TARIFF: Final = Sort("enum", icon=TARIFF.icon, words={1: "normal", 2: "low"})


def in_country(entity: Entity, header: str) -> Entity:
    """Return an entity with the words that are certain for the meters with this header."""
    if entity.sort is not TARIFF or not header.startswith(_BELGIAN_HEADER):
        return entity
    return replace(
        entity, sort=_BELGIAN_TARIFF, template=words_template_of(entity.key, _BELGIAN_TARIFF.words)
    )


def of_meter(names: Collection[str]) -> list[Entity]:
    """Return the entities of a meter that has sent these fields, `names_in` its quarter hours included."""
    known = set(names)
    has_peak = "peak_demand_month" in known
    if _LEVEL in known or (_ANY in known and has_peak):
        known.add(_LIMIT)
    if _ANY in known and not has_peak:
        known.add(_OWN_PEAK)
    return [entity for entity in METER if known.issuperset(entity.needs or (entity.key,))]


def names_in(quarter: Mapping[str, object]) -> list[str]:
    """Return which entities a quarter hour can ever have, by names for `of_meter`.

    Its other values come and go, as those of the first seconds do, and their entities must stay.
    """
    return [f"quarter_{name}" for name in ("start", "reference_power") if name in quarter]


#: What the health of a meter has. It is there while the meter is not, so it depends on the gateway only.
#: A frame is rejected now if there are more rejections than in the message before, and no telegram was
#: accepted since; it stays so until a message has no new rejection. One comes every minute and on change.
METER_HEALTH: Final = (
    Entity(
        "received", "Last telegram", TIME, _DIAGNOSTIC, template_of("last_telegram"),
        "When the last valid telegram arrived, by the gateway's clock; to the minute", topic=Topic.HEALTH,
    ),
    Entity(
        "rejected", "Rejected frames", PROBLEM, _DIAGNOSTIC,
        "{{'ON' if value_json.rejected.values()|sum>"
        "(this.attributes.rejected|d(value_json.rejected)).values()|sum "
        "and (this.state=='on' or value_json.last_telegram==this.attributes.last_telegram|d(0)) "
        "else 'OFF'}}",
        "A problem while frames are rejected and none is accepted; the reasons and their counts are its "
        "attributes", platform="binary_sensor", topic=Topic.HEALTH, attributes="",
    ),
    Entity(
        "rejected_frames", "Rejected frame count",
        Sort(None, "total_increasing", None, "mdi:close-octagon-outline"), _DIAGNOSTIC,
        "{{value_json.rejected.values()|sum}}", "Frames that were rejected since the gateway started",
        topic=Topic.HEALTH,
    ),
)  # fmt: skip

#: Only for meters that send encrypted frames.
DOWNGRADE: Final = Entity(
    "downgraded", "Downgrade", PROBLEM, _DIAGNOSTIC, "{{'ON' if value_json.downgraded else 'OFF'}}",
    "A problem while a meter that must send encrypted frames sends plaintext",
    platform="binary_sensor", topic=Topic.HEALTH,
)  # fmt: skip

#: What an M-Bus device has beside its register.
MBUS_TIME: Final = Entity(
    "timestamp", "Read at", TIME, _DETAIL, time_template_of("timestamp"), "When the register was read"
)
MBUS_VALVE: Final = Entity(
    "valve_state", "Valve", VALVE, _DETAIL, words_template_of("valve_state", VALVE.words),
    "The valve of a gas or water meter",
)  # fmt: skip


def register_of(medium: str, unit: str | None) -> Entity:
    """Return the register of an M-Bus device.

    A gas meter may count energy and a heat meter volume; Home Assistant refuses a device class that does not
    match the unit.
    """
    medium = medium.rstrip("0123456789").rstrip("_")
    device_class: str | None = None
    if unit in ("kWh", "GJ"):
        device_class = "energy"
    elif unit == "m³":
        device_class = {"gas": "gas"}.get(medium, "water" if medium.endswith("water") else None)
    icon = None if device_class else "mdi:gauge"
    sort = Sort(device_class, "total_increasing", 3 if unit == "m³" else None, icon)
    return Entity("value", None, sort, _MAIN, template_of("value"), "The register of the device", unit)


def of_mbus_device(medium: str, device: Mapping[str, Any]) -> list[Entity]:
    """Return the entities of an M-Bus device with these values."""
    found = []
    if "value" in device:
        found.append(register_of(medium, device.get("unit")))
        if len(str(device.get("timestamp", ""))) > _LOCAL_TIME:
            found.append(MBUS_TIME)
    if "valve_state" in device:
        found.append(MBUS_VALVE)
    return found


#: The gateway itself. `sensor` comes first: Home Assistant adds the entities of one platform in order, so
#: that this device is there before a meter refers to it.
GATEWAY: Final = (
    Entity(
        "put_aside", "Messages put aside", Sort(None, "measurement", None, "mdi:email-off-outline"),
        _DIAGNOSTIC, template_of("put_aside"), "Topics whose messages the broker refuses", topic=Topic.HEALTH,
    ),
    Entity(
        "status", "Connection", Sort("connectivity"), _DIAGNOSTIC, "", "Whether the gateway is connected to "
        "the broker", platform="binary_sensor", topic=Topic.STATUS, on_off=("online", "offline"),
    ),
    Entity(
        "health", "Health", PROBLEM, _DIAGNOSTIC,
        "{{'OFF' if value_json.outputs.values()|unique|list in ([],['ok']) and value_json.counters_kept "
        "and value_json.history_kept and not value_json.put_aside else 'ON'}}",
        "A problem while an output does not work, messages are put aside, or frame counters or quarter hours "
        "cannot be stored; its attributes say which", platform="binary_sensor", topic=Topic.HEALTH,
        attributes="",
    ),
)  # fmt: skip


def meter_problem_of(key: str, name: str) -> Entity:
    """Return the entity of a named meter on the gateway's device; it is there before the first telegram."""
    return Entity(
        f"{key}_meter", f"Meter {name}", PROBLEM, _DIAGNOSTIC, "",
        "A problem while no valid telegram arrives from this meter; rejected frames are its attributes",
        platform="binary_sensor", topic=Topic.AVAILABILITY, on_off=("offline", "online"), attributes="",
    )  # fmt: skip
