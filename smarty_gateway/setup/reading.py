"""The first reading as a small table, which fits a terminal of 40 columns and 24 rows."""

from collections.abc import Iterator
from typing import Any, Final

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.safe_text import printable

#: What people compare with the display of their meter.
_SHOWN: Final = (
    "timestamp", "power_import", "power_export", "energy_import", "energy_export", "energy_import_tariff_1",
    "energy_import_tariff_2", "energy_export_tariff_1", "energy_export_tariff_2",
)  # fmt: skip
_DEVICES: Final = 4


def reading_of(telegram: MeterTelegram) -> str:
    """Return the reading as lines, with values as the meter wrote them."""
    rows = [tuple(map(printable, row)) for row in _rows(telegram)]
    labels = max(len(label) for label, _, _ in rows)
    values = max(len(value) for _, value, unit in rows if unit)
    lines = [
        f"  {label:{labels}}  {value:>{values if unit else 0}} {unit}".rstrip() for label, value, unit in rows
    ]
    return "\n".join(["The first reading:", *lines])


def _rows(telegram: MeterTelegram) -> Iterator[tuple[str, Any, str]]:
    yield "Meter", telegram.meter_id, ""
    yield "Security", telegram.security, ""
    fields, devices = telegram.decoded.fields, telegram.decoded.devices
    for name in _SHOWN:
        if name in fields:
            value = str(fields[name])[:19].replace("T", " ") if name == "timestamp" else fields[name]
            yield label_of(name), value, BY_NAME[name].quantity.unit or ""
    for name, device in list(devices.items())[:_DEVICES]:
        if "value" in device:
            yield label_of(name), device["value"], str(device.get("unit", ""))
