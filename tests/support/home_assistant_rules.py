"""What Home Assistant takes: keys of a discovery payload, units and state classes of a device class.

And how it renders a template: with filters of its own, and `this`, the entity's state before the message.
"""

import statistics
from collections.abc import Iterable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import jinja2

# Home Assistant 2026.2: homeassistant/components/mqtt (abbreviations, schemas) and sensor/const
DEVICE_KEYS: Final = {
    "ids", "cns", "name", "mf", "mdl", "mdl_id", "sn", "sw", "hw", "cu", "sa", "via_device",
}  # fmt: skip
SHARED_KEYS: Final = {
    "dev", "o", "cmps", "stat_t", "cmd_t", "avty", "avty_mode", "avty_t", "avty_tpl", "pl_avail",
    "pl_not_avail", "qos", "e",
}  # fmt: skip
COMPONENT_KEYS: Final = {
    "p", "name", "unique_id", "uniq_id", "val_tpl", "exp_aft", "dev_cla", "en", "ent_cat", "stat_t", "ic",
    "default_entity_id", "frc_upd", "json_attr_t", "json_attr_tpl", "qos", "avty", "avty_mode", "avty_t",
}  # fmt: skip
PLATFORM_KEYS: Final = {
    "sensor": COMPONENT_KEYS | {"stat_cla", "unit_of_meas", "sug_dsp_prc", "ops", "lrst_val_tpl"},
    "binary_sensor": COMPONENT_KEYS | {"pl_on", "pl_off", "off_dly"},
}
BINARY_CLASSES: Final = {"connectivity", "problem"}
VOLUME: Final[set[str | None]] = {"m³", "ft³", "CCF", "L", "MCF"}
UNITS: Final[dict[str | None, set[str | None]]] = {
    "energy": {
        "J", "kJ", "MJ", "GJ", "mWh", "Wh", "kWh", "MWh", "GWh", "TWh", "cal", "kcal", "Mcal", "Gcal",
    },
    "power": {"mW", "W", "kW", "MW", "GW", "TW", "BTU/h"},
    "reactive_energy": {"varh", "kvarh"},
    "reactive_power": {"mvar", "var", "kvar"},
    "apparent_power": {"mVA", "VA", "kVA"},
    "voltage": {"µV", "mV", "V", "kV", "MV"},
    "current": {"A", "mA"},
    "frequency": {"Hz", "kHz", "MHz", "GHz"},
    "power_factor": {"%", None},
    "gas": VOLUME,
    "water": VOLUME | {"gal"},
    "timestamp": {None},
    "enum": {None},
}  # fmt: skip
_METERED: Final[set[str | None]] = {"total", "total_increasing", None}
_MEASURED: Final[set[str | None]] = {"measurement", None}
STATE_CLASSES: Final[dict[str | None, set[str | None]]] = {
    "energy": _METERED, "reactive_energy": _METERED, "gas": _METERED, "water": _METERED,
    "power": _MEASURED, "reactive_power": _MEASURED, "apparent_power": _MEASURED, "voltage": _MEASURED,
    "current": _MEASURED, "frequency": _MEASURED, "power_factor": _MEASURED, "timestamp": {None},
    "enum": {None},
    None: {"measurement", "total", "total_increasing", None},
}  # fmt: skip
#: The digits that are shown without a suggestion: those of the device class in its smallest unit, converted.
DEFAULT_PRECISION: Final = {
    ("energy", "kWh"): 3, ("energy", "GJ"): 9, ("power", "kW"): 3, ("reactive_power", "kvar"): 3,
    ("apparent_power", "kVA"): 3, ("voltage", "V"): 0, ("current", "A"): 3, ("frequency", "Hz"): 0,
    ("gas", "m³"): 6, ("water", "m³"): 6,
}  # fmt: skip


def render(
    template: str,
    payload: Any,  # noqa: ANN401 - any JSON
    state: str = "unknown",
    attributes: Mapping[str, Any] = {},
    message: str = "{…}",
) -> str:
    """Render as Home Assistant does, only less patient with what is not there.

    Args:
        template: of a state or of attributes.
        payload: the parsed JSON.
        state: of the entity before.
        attributes: likewise.
        message: the text that was parsed; an empty one is no JSON.
    """
    this = SimpleNamespace(state=state, attributes=dict(attributes))
    known = {"value_json": payload} if message else {}
    return _template(template).render(value=message, this=this, **known)


@cache
def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    environment.filters["average"] = _average
    return environment.from_string(text)


def _average(values: Iterable[float], default: object) -> object:
    found = list(values)
    return statistics.fmean(found) if found else default
