"""The table of OBIS codes, as data: what each object of a telegram is called and how it is read.

One table for every country; what differs between them is which lines a meter sends. The names are
the project's own and public (`docs/reference.md`, "The JSON object"), and every output takes names,
units and kinds from here. Sources: the OBIS tables of Luxmetering P1 1.1.3, e-MUCS P1 1.7.1 and 2.1.1,
DSMR 3.0 to 5.0.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from types import MappingProxyType
from typing import Final


class Form(Enum):
    """How the values of a line are written."""

    NUMBER = auto()  #: one number, perhaps with a unit
    COUNT = auto()  #: one whole number, without unit
    TEXT = auto()  #: as it stands
    HEX_TEXT = auto()  #: text written as hex digits
    TIME = auto()  #: YYMMDDhhmmss with S or W
    THRESHOLD = auto()  #: a number that stands for "off" when it is all nines
    THRESHOLD_PAIR = auto()  #: two of them, for import and export
    PEAK = auto()  #: a time and a number
    PEAK_HISTORY = auto()  #: a count, two codes, then rows of two times and a number
    MONTH_END = auto()  #: a time and the values of MONTH_END_VALUES
    FAILURE_LOG = auto()  #: a count, a code, then rows of a time and a duration


class Kind(Enum):
    """What a value measures. Outputs choose its presentation by this, redaction whether it is private."""

    ENERGY = auto()  #: a register, which only grows
    REACTIVE_ENERGY = auto()  #: likewise
    ENERGY_BALANCE = auto()  #: a register that may also fall
    POWER = auto()
    REACTIVE_POWER = auto()
    APPARENT_POWER = auto()
    PEAK_POWER = auto()  #: the highest mean of a period
    CURRENT = auto()
    VOLTAGE = auto()
    POWER_FACTOR = auto()
    FREQUENCY = auto()
    EVENTS = auto()  #: a number of events, which only grows
    OTHER = auto()  #: a setting, a state, a text or a time


@dataclass(frozen=True, slots=True)
class Quantity:
    """What the objects of one sort have in common."""

    form: Form
    unit: str | None = None
    kind: Kind = Kind.OTHER


@dataclass(frozen=True, slots=True)
class ObisObject:
    """One object that a meter may send.

    Attributes:
        code: without the F group, as the specifications write it.
        name: the field of the JSON object; a pair of values has both names, separated by ", ".
        section: the heading it stands under in human-readable output.
    """

    code: str
    name: str
    description: str
    quantity: Quantity
    section: str


ENERGY: Final = Quantity(Form.NUMBER, "kWh", Kind.ENERGY)
ENERGY_BALANCE: Final = Quantity(Form.NUMBER, "kWh", Kind.ENERGY_BALANCE)
REACTIVE_ENERGY: Final = Quantity(Form.NUMBER, "kvarh", Kind.REACTIVE_ENERGY)
POWER: Final = Quantity(Form.NUMBER, "kW", Kind.POWER)
REACTIVE_POWER: Final = Quantity(Form.NUMBER, "kvar", Kind.REACTIVE_POWER)
APPARENT_POWER: Final = Quantity(Form.NUMBER, "kVA", Kind.APPARENT_POWER)
POWER_FACTOR: Final = Quantity(Form.NUMBER, None, Kind.POWER_FACTOR)
FREQUENCY: Final = Quantity(Form.NUMBER, "Hz", Kind.FREQUENCY)
VOLTAGE: Final = Quantity(Form.NUMBER, "V", Kind.VOLTAGE)
CURRENT: Final = Quantity(Form.NUMBER, "A", Kind.CURRENT)
NOMINAL_VOLTAGE: Final = Quantity(Form.NUMBER, "V")
COUNT: Final = Quantity(Form.COUNT, None, Kind.EVENTS)
STATE: Final = Quantity(Form.COUNT)
TEXT: Final = Quantity(Form.TEXT)
HEX_TEXT: Final = Quantity(Form.HEX_TEXT)
TIME: Final = Quantity(Form.TIME)
POWER_LIMIT: Final = Quantity(Form.THRESHOLD, "kW")
APPARENT_POWER_LIMIT: Final = Quantity(Form.THRESHOLD, "kVA")
CURRENT_LIMIT: Final = Quantity(Form.THRESHOLD, "A")
CURRENT_LIMIT_PAIR: Final = Quantity(Form.THRESHOLD_PAIR, "A")
PEAK: Final = Quantity(Form.PEAK, "kW", Kind.PEAK_POWER)
PEAK_HISTORY: Final = Quantity(Form.PEAK_HISTORY, "kW")
FAILURE_LOG: Final = Quantity(Form.FAILURE_LOG, "s")
AT_MONTH_END: Final = Quantity(Form.MONTH_END)

# fmt: off
_SECTIONS: Final[Mapping[str, tuple[tuple[str, str, str, Quantity], ...]]] = {
    "Meter": (
        ("1-3:0.2.8", "p1_version", "P1 version", TEXT),
        ("0-0:96.1.4", "p1_version", "P1 version (e-MUCS)", TEXT),
        ("0-0:1.0.0", "timestamp", "Meter date and time", TIME),
        ("0-0:42.0.0", "logical_device_name", "COSEM logical device name", HEX_TEXT),
        ("0-0:96.1.1", "equipment_id", "Equipment identifier of the electricity meter", HEX_TEXT),
        ("0-0:96.1.0", "serial_number", "Serial number of the electricity meter", HEX_TEXT),
        ("0-0:96.1.2", "ean", "EAN of the access point", HEX_TEXT),
        ("1-0:0.2.0", "firmware_version", "Firmware version", TEXT),
        ("1-0:0.2.8", "firmware_signature", "Firmware signature", TEXT),
        ("1-1:0.2.0", "firmware_module_version", "Firmware version of the module", TEXT),
        ("1-1:0.2.8", "firmware_module_signature", "Firmware signature of the module", TEXT),
        ("1-0:94.32.1", "grid_voltage", "Grid configuration", NOMINAL_VOLTAGE),
        ("0-0:96.14.0", "tariff", "Active tariff", STATE),
    ),
    "Energy": (
        ("1-0:1.8.0", "energy_import", "Active energy imported, total", ENERGY),
        ("1-0:1.8.1", "energy_import_tariff_1", "Active energy imported, tariff 1", ENERGY),
        ("1-0:1.8.2", "energy_import_tariff_2", "Active energy imported, tariff 2", ENERGY),
        ("1-0:1.8.3", "energy_import_tariff_3", "Active energy imported, tariff 3", ENERGY),
        ("1-0:1.8.4", "energy_import_tariff_4", "Active energy imported, tariff 4", ENERGY),
        ("1-0:3.8.0", "reactive_energy_import", "Reactive energy imported, total", REACTIVE_ENERGY),
        ("1-0:3.8.1", "reactive_energy_import_tariff_1", "Reactive energy imported, tariff 1", REACTIVE_ENERGY),
        ("1-0:3.8.2", "reactive_energy_import_tariff_2", "Reactive energy imported, tariff 2", REACTIVE_ENERGY),
        ("1-0:3.8.3", "reactive_energy_import_tariff_3", "Reactive energy imported, tariff 3", REACTIVE_ENERGY),
        ("1-0:3.8.4", "reactive_energy_import_tariff_4", "Reactive energy imported, tariff 4", REACTIVE_ENERGY),
        ("1-0:2.8.0", "energy_export", "Active energy exported, total", ENERGY),
        ("1-0:2.8.1", "energy_export_tariff_1", "Active energy exported, tariff 1", ENERGY),
        ("1-0:2.8.2", "energy_export_tariff_2", "Active energy exported, tariff 2", ENERGY),
        ("1-0:2.8.3", "energy_export_tariff_3", "Active energy exported, tariff 3", ENERGY),
        ("1-0:2.8.4", "energy_export_tariff_4", "Active energy exported, tariff 4", ENERGY),
        ("1-0:4.8.0", "reactive_energy_export", "Reactive energy exported, total", REACTIVE_ENERGY),
        ("1-0:4.8.1", "reactive_energy_export_tariff_1", "Reactive energy exported, tariff 1", REACTIVE_ENERGY),
        ("1-0:4.8.2", "reactive_energy_export_tariff_2", "Reactive energy exported, tariff 2", REACTIVE_ENERGY),
        ("1-0:4.8.3", "reactive_energy_export_tariff_3", "Reactive energy exported, tariff 3", REACTIVE_ENERGY),
        ("1-0:4.8.4", "reactive_energy_export_tariff_4", "Reactive energy exported, tariff 4", REACTIVE_ENERGY),
        ("1-0:5.8.0", "reactive_energy_q1", "Reactive energy, quadrant 1", REACTIVE_ENERGY),
        ("1-0:6.8.0", "reactive_energy_q2", "Reactive energy, quadrant 2", REACTIVE_ENERGY),
        ("1-0:7.8.0", "reactive_energy_q3", "Reactive energy, quadrant 3", REACTIVE_ENERGY),
        ("1-0:8.8.0", "reactive_energy_q4", "Reactive energy, quadrant 4", REACTIVE_ENERGY),
        ("1-0:15.8.0", "energy_combined", "Active energy, combined", ENERGY_BALANCE),
        ("0-0:98.1.0", "month_end", "Values at the end of the last month", AT_MONTH_END),
    ),
    "Power": (
        ("1-0:1.7.0", "power_import", "Active power, import", POWER),
        ("1-0:3.7.0", "reactive_power_import", "Reactive power, import", REACTIVE_POWER),
        ("1-0:9.7.0", "apparent_power_import", "Apparent power, import", APPARENT_POWER),
        ("1-0:2.7.0", "power_export", "Active power, export", POWER),
        ("1-0:4.7.0", "reactive_power_export", "Reactive power, export", REACTIVE_POWER),
        ("1-0:10.7.0", "apparent_power_export", "Apparent power, export", APPARENT_POWER),
        ("1-0:5.7.0", "reactive_power_q1", "Reactive power, quadrant 1", REACTIVE_POWER),
        ("1-0:6.7.0", "reactive_power_q2", "Reactive power, quadrant 2", REACTIVE_POWER),
        ("1-0:7.7.0", "reactive_power_q3", "Reactive power, quadrant 3", REACTIVE_POWER),
        ("1-0:8.7.0", "reactive_power_q4", "Reactive power, quadrant 4", REACTIVE_POWER),
        ("1-0:15.7.0", "power_combined", "Active power, combined", POWER),
        ("1-0:13.7.0", "power_factor", "Power factor", POWER_FACTOR),
        ("1-0:14.7.0", "frequency", "Grid frequency", FREQUENCY),
    ),
    "Demand": (
        ("1-0:1.4.0", "demand_import", "Average demand of the running period, import", POWER),
        ("1-0:2.4.0", "demand_export", "Average demand of the running period, export", POWER),
        ("1-0:3.4.0", "reactive_demand_import", "Average reactive demand of the running period, import", REACTIVE_POWER),
        ("1-0:4.4.0", "reactive_demand_export", "Average reactive demand of the running period, export", REACTIVE_POWER),
        ("1-0:9.4.0", "apparent_demand_import", "Average apparent demand of the running period, import", APPARENT_POWER),
        ("1-0:10.4.0", "apparent_demand_export", "Average apparent demand of the running period, export", APPARENT_POWER),
        ("1-0:1.5.0", "demand_import_last", "Average demand of the last period, import", POWER),
        ("1-0:2.5.0", "demand_export_last", "Average demand of the last period, export", POWER),
        ("1-0:3.5.0", "reactive_demand_import_last", "Average reactive demand of the last period, import", REACTIVE_POWER),
        ("1-0:4.5.0", "reactive_demand_export_last", "Average reactive demand of the last period, export", REACTIVE_POWER),
        ("1-0:9.5.0", "apparent_demand_import_last", "Average apparent demand of the last period, import", APPARENT_POWER),
        ("1-0:10.5.0", "apparent_demand_export_last", "Average apparent demand of the last period, export", APPARENT_POWER),
        ("1-0:1.6.0", "peak_demand_month", "Highest quarter-hour demand of the running month", PEAK),
        ("0-0:98.1.0", "peak_demand_history", "Highest demand of the last 13 months", PEAK_HISTORY),
    ),
    "Phases": (
        ("1-0:21.7.0", "power_import_l1", "Active power import, L1", POWER),
        ("1-0:22.7.0", "power_export_l1", "Active power export, L1", POWER),
        ("1-0:23.7.0", "reactive_power_import_l1", "Reactive power import, L1", REACTIVE_POWER),
        ("1-0:24.7.0", "reactive_power_export_l1", "Reactive power export, L1", REACTIVE_POWER),
        ("1-0:29.7.0", "apparent_power_import_l1", "Apparent power import, L1", APPARENT_POWER),
        ("1-0:30.7.0", "apparent_power_export_l1", "Apparent power export, L1", APPARENT_POWER),
        ("1-0:32.7.0", "voltage_l1", "Voltage L1", VOLTAGE),
        ("1-0:31.7.0", "current_l1", "Current L1", CURRENT),
        ("1-0:33.7.0", "power_factor_l1", "Power factor L1", POWER_FACTOR),
        ("1-0:41.7.0", "power_import_l2", "Active power import, L2", POWER),
        ("1-0:42.7.0", "power_export_l2", "Active power export, L2", POWER),
        ("1-0:43.7.0", "reactive_power_import_l2", "Reactive power import, L2", REACTIVE_POWER),
        ("1-0:44.7.0", "reactive_power_export_l2", "Reactive power export, L2", REACTIVE_POWER),
        ("1-0:49.7.0", "apparent_power_import_l2", "Apparent power import, L2", APPARENT_POWER),
        ("1-0:50.7.0", "apparent_power_export_l2", "Apparent power export, L2", APPARENT_POWER),
        ("1-0:52.7.0", "voltage_l2", "Voltage L2", VOLTAGE),
        ("1-0:51.7.0", "current_l2", "Current L2", CURRENT),
        ("1-0:53.7.0", "power_factor_l2", "Power factor L2", POWER_FACTOR),
        ("1-0:61.7.0", "power_import_l3", "Active power import, L3", POWER),
        ("1-0:62.7.0", "power_export_l3", "Active power export, L3", POWER),
        ("1-0:63.7.0", "reactive_power_import_l3", "Reactive power import, L3", REACTIVE_POWER),
        ("1-0:64.7.0", "reactive_power_export_l3", "Reactive power export, L3", REACTIVE_POWER),
        ("1-0:69.7.0", "apparent_power_import_l3", "Apparent power import, L3", APPARENT_POWER),
        ("1-0:70.7.0", "apparent_power_export_l3", "Apparent power export, L3", APPARENT_POWER),
        ("1-0:72.7.0", "voltage_l3", "Voltage L3", VOLTAGE),
        ("1-0:71.7.0", "current_l3", "Current L3", CURRENT),
        ("1-0:73.7.0", "power_factor_l3", "Power factor L3", POWER_FACTOR),
    ),
    "Supply quality": (
        ("1-0:32.32.0", "voltage_sags_l1", "Voltage sags, L1", COUNT),
        ("1-0:32.36.0", "voltage_swells_l1", "Voltage swells, L1", COUNT),
        ("1-0:52.32.0", "voltage_sags_l2", "Voltage sags, L2", COUNT),
        ("1-0:52.36.0", "voltage_swells_l2", "Voltage swells, L2", COUNT),
        ("1-0:72.32.0", "voltage_sags_l3", "Voltage sags, L3", COUNT),
        ("1-0:72.36.0", "voltage_swells_l3", "Voltage swells, L3", COUNT),
        ("0-0:96.7.21", "power_failures", "Power failures", COUNT),
        ("0-0:96.7.9", "long_power_failures", "Long power failures", COUNT),
        ("1-0:99.97.0", "power_failure_log", "Long power failure log", FAILURE_LOG),
    ),
    "Switches and limits": (
        (
            "1-1:31.4.0",
            "current_threshold_import, current_threshold_export",
            "Current thresholds, import and export",
            CURRENT_LIMIT_PAIR,
        ),
        ("0-0:96.3.10", "breaker_state", "Breaker state (0 open, 1 closed, 2 ready for reconnection)", STATE),
        ("0-1:96.3.10", "relay_1_state", "Relay 1 state", STATE),
        ("0-2:96.3.10", "relay_2_state", "Relay 2 state", STATE),
        ("0-3:96.3.10", "relay_3_state", "Relay 3 state", STATE),
        ("0-4:96.3.10", "relay_4_state", "Relay 4 state", STATE),
        ("0-0:17.0.0", "power_threshold", "Active power threshold", POWER_LIMIT),
        ("0-0:17.0.0", "apparent_power_threshold", "Apparent power threshold", APPARENT_POWER_LIMIT),
        ("0-0:17.0.0", "current_threshold", "Current threshold", CURRENT_LIMIT),
        ("1-0:31.4.0", "fuse_threshold", "Fuse supervision threshold", CURRENT_LIMIT),
        ("1-0:51.4.0", "fuse_threshold_l2", "Fuse supervision threshold, L2", CURRENT_LIMIT),
        ("1-0:71.4.0", "fuse_threshold_l3", "Fuse supervision threshold, L3", CURRENT_LIMIT),
    ),
    "Messages": (
        ("0-0:96.13.0", "message", "Text message", HEX_TEXT),
        ("0-0:96.13.1", "message_code", "Message code", HEX_TEXT),
        ("0-0:96.13.2", "message_2", "Text message, channel 2", HEX_TEXT),
        ("0-0:96.13.3", "message_3", "Text message, channel 3", HEX_TEXT),
        ("0-0:96.13.4", "message_4", "Text message, channel 4", HEX_TEXT),
        ("0-0:96.13.5", "message_5", "Text message, channel 5", HEX_TEXT),
    ),
}
# fmt: on

OBJECTS: Final = tuple(
    ObisObject(code, name, description, quantity, section)
    for section, rows in _SECTIONS.items()
    for code, name, description, quantity in rows
)

#: In Hungary 0-0:98.1.0 has the registers and peaks at the end of the last month, in this order
#: (MVM, customer information on the Sagemcom MA110M and MA309M); elsewhere it is the history of peaks.
MONTH_END: Final = "month_end"
MONTH_END_VALUES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "energy_import": "kWh",
        "energy_import_tariff_1": "kWh",
        "energy_import_tariff_2": "kWh",
        "energy_export": "kWh",
        "energy_export_tariff_1": "kWh",
        "energy_export_tariff_2": "kWh",
        "reactive_energy_import": "kvarh",
        "reactive_energy_export": "kvarh",
        "reactive_energy_q1": "kvarh",
        "reactive_energy_q2": "kvarh",
        "reactive_energy_q3": "kvarh",
        "reactive_energy_q4": "kvarh",
        "energy_combined": "kWh",
        "peak_demand_import": "kW",
        "peak_demand_import_tariff_1": "kW",
        "peak_demand_import_tariff_2": "kW",
        "peak_demand_export": "kW",
        "peak_demand_export_tariff_1": "kW",
        "peak_demand_export_tariff_2": "kW",
    }
)

#: 0-0:17.0.0 has another meaning in each country, and its unit tells which. Only Luxembourg's firmware
#: of 2018 sends no unit, and means kVA.
THRESHOLD_CODE: Final = "0-0:17.0.0"
THRESHOLD_BY_UNIT: Final[Mapping[str | None, ObisObject]] = MappingProxyType(
    {o.quantity.unit: o for o in OBJECTS if o.code == THRESHOLD_CODE}
    | {None: next(o for o in OBJECTS if o.name == "apparent_power_threshold")}
)

#: Objects that some meters send under other codes than their own: errata of the Luxembourg specification's table 3.1.
_ALIASES: Final = {
    "1-1:34.4.0": "1-1:31.4.0",
    **{
        f"0-0:{phase}.{kind}.0": f"1-0:{phase}.{kind}.0"
        for phase in ("32", "52", "72")
        for kind in ("32", "36")
    },
}

#: Of the codes with several meanings one object stands here, and its reader chooses.
_BY_CODE: Final = {o.code: o for o in OBJECTS}
BY_CODE: Final[Mapping[str, ObisObject]] = MappingProxyType(
    _BY_CODE | {alias: _BY_CODE[code] for alias, code in _ALIASES.items()}
)
BY_NAME: Final[Mapping[str, ObisObject]] = MappingProxyType(
    {name: o for o in reversed(OBJECTS) for name in o.name.split(", ")}
)


class MBusField(StrEnum):
    """What a line of an M-Bus channel, 0-n:…, says about the device on it."""

    DEVICE_TYPE = "device_type"
    ID = "id"
    EAN = "ean"
    VALUE = "value"
    VALVE_STATE = "valve_state"


#: The register of DSMR 2.2 and 3.0, which has a form of its own.
HOURLY_REGISTER: Final = "24.3.0"
#: The part of the code behind the channel. 24.2.3 is gas that is not temperature corrected (e-MUCS).
MBUS_FIELDS: Final[Mapping[str, MBusField]] = MappingProxyType(
    {
        "24.1.0": MBusField.DEVICE_TYPE,
        "96.1.0": MBusField.ID,
        "96.1.1": MBusField.ID,
        "96.1.2": MBusField.EAN,
        "24.2.1": MBusField.VALUE,
        "24.2.3": MBusField.VALUE,
        "24.3.0": MBusField.VALUE,
        "24.4.0": MBusField.VALVE_STATE,
    }
)

#: Medium by device type, after EN 13757-3.
MEDIA: Final[Mapping[int, str]] = MappingProxyType(
    {
        2: "electricity_submeter",
        3: "gas",
        4: "heat",
        6: "warm_water",
        7: "water",
        9: "compressed_air",
        10: "cold",
        11: "cold",
        12: "heat",
        13: "heat",
        21: "hot_water",
        22: "cold_water",
    }
)

#: The unit of a device whose line has none.
UNIT_OF_MEDIUM: Final[Mapping[str, str]] = MappingProxyType(
    {
        "electricity_submeter": "kWh",
        "gas": "m³",
        "heat": "GJ",
        "cold": "GJ",
        "water": "m³",
        "warm_water": "m³",
        "hot_water": "m³",
        "cold_water": "m³",
    }
)

#: For each unit, what may stand on the wire (in lower case) and by which power of ten it is turned
#: into that unit. Meters write kVArh, kWh and KWH alike.
SCALES: Final[Mapping[str | None, Mapping[str, int]]] = MappingProxyType(
    {
        "kWh": {"kwh": 0, "wh": -3},
        "kvarh": {"kvarh": 0, "varh": -3},
        "kW": {"kw": 0, "w": -3},
        "kvar": {"kvar": 0, "var": -3},
        "kVA": {"kva": 0, "va": -3},
        "V": {"v": 0},
        "A": {"a": 0},
        "Hz": {"hz": 0},
        "s": {"s": 0},
        "m³": {"m3": 0, "m³": 0},
        "GJ": {"gj": 0},
        None: {},
    }
)
