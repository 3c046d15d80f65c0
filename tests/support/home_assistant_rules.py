"""What Home Assistant takes: keys of a discovery payload, units and state classes of a device class."""

from typing import Final

# Home Assistant 2026.2: homeassistant/components/mqtt (abbreviations, schemas) and sensor/const
DEVICE_KEYS: Final = {
    "ids", "cns", "name", "mf", "mdl", "mdl_id", "sn", "sw", "hw", "cu", "sa", "via_device",
}  # fmt: skip
SHARED_KEYS: Final = {
    "dev", "o", "cmps", "stat_t", "cmd_t", "avty", "avty_mode", "avty_t", "avty_tpl", "pl_avail",
    "pl_not_avail", "qos", "e",
}  # fmt: skip
SENSOR_KEYS: Final = {
    "p", "name", "unique_id", "uniq_id", "val_tpl", "exp_aft", "dev_cla", "stat_cla", "unit_of_meas",
    "sug_dsp_prc", "en", "ent_cat", "stat_t", "ops", "default_entity_id", "frc_upd", "ic", "l_rst_val_tpl",
    "json_attr_t", "json_attr_tpl", "qos", "avty", "avty_mode", "avty_t",
}  # fmt: skip
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
}  # fmt: skip
_METERED: Final[set[str | None]] = {"total", "total_increasing", None}
_MEASURED: Final[set[str | None]] = {"measurement", None}
STATE_CLASSES: Final[dict[str | None, set[str | None]]] = {
    "energy": _METERED, "reactive_energy": _METERED, "gas": _METERED, "water": _METERED,
    "power": _MEASURED, "reactive_power": _MEASURED, "apparent_power": _MEASURED, "voltage": _MEASURED,
    "current": _MEASURED, "frequency": _MEASURED, "power_factor": _MEASURED, "timestamp": {None},
    None: {"measurement", "total", "total_increasing", None},
}  # fmt: skip
