"""`/metrics`: the newest readings and the health, in Prometheus' base units.

What is not known has no value: a meter that is silent keeps its health only. So no graph goes on with an old
power, and a counter that is absent for a while makes no rate of 0.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple

from smarty_gateway.history.running_quarter import RunningQuarter
from smarty_gateway.pages.public_names import public_devices
from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow
from smarty_gateway.protocol.obis import BY_NAME, Kind, ObisObject
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.web.exposition import Metrics

_KWH: Final = 3_600_000
#: Name and factor of the base unit for each unit of the JSON object.
_BASE: Final[Mapping[str | None, tuple[str, int]]] = {
    "kWh": ("joules", _KWH),
    "GJ": ("joules", 10**9),
    "kvarh": ("var_seconds", _KWH),
    "kW": ("watts", 1000),
    "kvar": ("vars", 1000),
    "kVA": ("voltamperes", 1000),
    "V": ("volts", 1),
    "A": ("amperes", 1),
    "Hz": ("hertz", 1),
    "m³": ("cubic_metres", 1),
    None: ("", 1),
}
#: Registers and counts, which only grow.
_COUNTERS: Final = (Kind.ENERGY, Kind.REACTIVE_ENERGY, Kind.EVENTS)
#: Names that differ only in the number of a part of the meter are one metric with a label.
_PARTS: Final = (
    (re.compile(r"(?P<of>.+)_tariff_(?P<number>[1-4])"), "tariff", ""),
    (re.compile(r"(?P<of>.+)_l(?P<number>[1-3])"), "phase", "L"),
    (re.compile(r"relay_(?P<number>[1-4])_(?P<of>state)"), "relay", ""),
)
#: In the description of such a name.
_NUMBERED: Final = re.compile(r",? tariff [1-4]|,? L[1-3]|(?<=Relay) [1-4]")


def add_metrics(gateway: GatewayNow, found: Metrics) -> None:
    """Add what is known of a gateway at this moment."""
    _add_gateway(found, gateway)
    for meter in gateway.meters:
        _add_health(found, meter)
        if meter.availability is Availability.ONLINE and meter.reading is not None:
            decoded = meter.reading.telegram.decoded
            _add_fields(found, meter.name, decoded.fields)
            _add_devices(found, meter.name, public_devices(decoded.devices))
            _add_quarter(found, meter.name, meter.reading.quarter)


def _add_gateway(found: Metrics, gateway: GatewayNow) -> None:
    found.gauge("build_info", "The version of the gateway.", 1, version=gateway.version)
    found.gauge("start_time_seconds", "When the gateway started.", gateway.started.timestamp())
    found.gauge("alive", "1 while all threads of the gateway live.", gateway.is_alive)
    found.gauge(
        "counters_kept", "1 if frame counters outlive the process, so that a restart allows no replays.",
        gateway.counters_kept,
    )  # fmt: skip
    for output, state in gateway.outputs.items():
        found.gauge("output_up", "1 while an output works.", state == "ok", output=output)


def _add_health(found: Metrics, meter: MeterNow) -> None:
    name, health = meter.name, meter.health
    is_up = None if meter.availability is Availability.STARTING else meter.availability is Availability.ONLINE
    found.gauge(
        "meter_up", "1 while a meter is heard, 0 while it is silent; absent before.", is_up, meter=name
    )
    last = None if health.last_telegram is None else health.last_telegram.timestamp()
    found.gauge("last_telegram_time_seconds", "When the newest telegram arrived.", last, meter=name)
    found.counter("telegrams", "Accepted telegrams.", health.telegrams, meter=name)
    for reason in Reason:
        found.counter(
            "rejected_telegrams", "What was rejected, by reason (docs/reference.md).",
            health.rejected.get(reason, 0), meter=name, reason=reason,
        )  # fmt: skip
    found.counter("noise_bytes", "Bytes that belong to no telegram.", health.noise_bytes, meter=name)
    found.counter("frame_gaps", "Gaps in the frame counter: lost frames.", health.counter_gaps, meter=name)
    found.counter("duplicates", "Frames that another source delivered before.", health.duplicates, meter=name)
    found.counter("elsewhere", "Telegrams on a source that is not the meter's.", health.elsewhere, meter=name)
    found.counter("reconnects", "How often the source was opened again.", health.reconnects, meter=name)
    found.gauge(
        "downgraded", "1 while a meter that must encrypt sends plaintext.", health.is_downgraded, meter=name
    )


# Readings


class _Form(NamedTuple):
    """How a field of the JSON object is exposed."""

    name: str
    text: str
    labels: Mapping[str, str]
    factor: int
    is_counter: bool


@cache
def _form_of(name: str) -> _Form | None:
    """Return the form of a field; None for one that the table does not know."""
    known = BY_NAME.get(name)
    if known is None or known.quantity.unit not in _BASE:
        return None
    unit, factor = _base_of(known)
    text = f"{known.description}."
    for pattern, part, prefix in _PARTS:
        match = pattern.fullmatch(name)
        if match is not None:
            name, number = f"{part}_{match['of']}", f"{prefix}{match['number']}"
            text = _NUMBERED.sub("", text)
            return _Form(_joined(name, unit), text, {part: number}, factor, known.quantity.kind in _COUNTERS)
    return _Form(_joined(name, unit), text, {}, factor, known.quantity.kind in _COUNTERS)


def _base_of(known: ObisObject) -> tuple[str, int]:
    return ("ratio", 1) if known.quantity.kind is Kind.POWER_FACTOR else _BASE[known.quantity.unit]


def _joined(name: str, unit: str) -> str:
    return f"{name}_{unit}" if unit else name


def _add_fields(found: Metrics, meter: str, fields: Mapping[str, Any]) -> None:
    for name, sent in fields.items():
        # A peak is a value with its time.
        value = sent.get("value") if isinstance(sent, Mapping) else sent
        form = _form_of(name)
        if form is not None and isinstance(value, int | float):
            add = found.counter if form.is_counter else found.gauge
            add(form.name, form.text, _scaled(value, form.factor), meter=meter, **form.labels)


def _add_devices(found: Metrics, meter: str, devices: Mapping[str, Mapping[str, Any]]) -> None:
    for device in devices.values():
        unit, factor = _BASE.get(device.get("unit"), ("", 1))
        if not unit or "value" not in device:
            continue
        value, name = _scaled(device["value"], factor), device["name"]
        found.counter(f"mbus_{unit}", "The register of an M-Bus device.", value, meter=meter, device=name)
        read = datetime.fromisoformat(device["timestamp"])
        at = None if read.tzinfo is None else read.timestamp()
        text = "When an M-Bus device was read."
        found.gauge("mbus_read_time_seconds", text, at, meter=meter, device=name)


def _add_quarter(found: Metrics, meter: str, quarter: RunningQuarter | None) -> None:
    if quarter is None:
        return
    energy = None if quarter.energy is None else quarter.energy * 3600
    quarters = {
        "import_joules": ("Energy imported in the running quarter hour so far.", energy),
        "mean_power_watts": ("Mean import power of the running quarter hour so far.", quarter.mean_power),
        "forecast_power_watts": (
            "Mean power of the whole quarter hour if the present power stays.", quarter.forecast_power,
        ),
        "allowed_power_watts": (
            "Power from now on with which the quarter hour reaches its limit.", quarter.allowed_power,
        ),
        "limit_watts": ("What the mean should not exceed: reference power, or peak.", quarter.limit),
        "will_exceed": ("1 if the forecast is above the limit.", quarter.will_exceed),
    }  # fmt: skip
    for name, (text, value) in quarters.items():
        found.gauge(f"quarter_{name}", text, value, meter=meter)


def _scaled(value: float, factor: int) -> float:
    """Return a value in the base unit, exact as the meter wrote it."""
    return float(Decimal(str(value)) * factor)
