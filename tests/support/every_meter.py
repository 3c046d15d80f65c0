"""A telegram of every kind of meter: of the project's vectors, of the simulator, and of the published ones.

The published telegrams lie outside this repository for their licences; without them the others are used.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.streams import read, telegrams
from vectors.building_blocks import frame
from vectors.layouts import LAYOUTS, PLAIN_LAYOUTS, QUIRKS

_PUBLISHED: Final = Path(__file__).resolve().parents[3] / "shared/vectors/telegrams.json"
#: At noon the sun feeds in, at midnight it does not.
_MOMENTS: Final = (datetime(2026, 6, 21, 11, 30, tzinfo=UTC), datetime(2026, 1, 1, 23, 30, tzinfo=UTC))
_IDS: Final = (
    "equipment_id", "serial_number", "logical_device_name", "ean", "meter_id", "system_title", "header",
)  # fmt: skip
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)")


def _every_kind() -> dict[str, MeterTelegram]:
    texts = {layout.name: layout.text for layout in (*PLAIN_LAYOUTS, *QUIRKS)}
    texts |= {layout.name: frame(layout.text) for layout in LAYOUTS}
    for kind in MeterKind:
        for moment in _MOMENTS:
            texts[f"simulated-{kind}-{moment.hour}"] = SimulatedMeter(kind, 1).telegram(moment)
    if _PUBLISHED.exists():
        for record in json.loads(_PUBLISHED.read_text("utf-8")):
            texts[record["id"]] = record["telegram_text"].encode("latin-1")
    found = {name: telegrams(read(text)) for name, text in texts.items()}
    return {name: accepted[0] for name, accepted in found.items() if accepted}


EVERY_KIND: Final = _every_kind()


def secrets_of(telegram: MeterTelegram) -> Iterator[str]:
    """Yield all that says which meter or device it is, and that is longer than what is shown of it."""
    record = telegram.as_object()
    found = [record.get(name) for name in _IDS]
    found += [device.get(name) for device in telegram.decoded.devices.values() for name in ("id", "ean")]
    yield from (text for text in found if text is not None and len(text) > 4)


def measured(telegram: MeterTelegram) -> dict[str, str]:
    """Return each value of the JSON object that has a unit, written with it, by its name."""
    record = telegram.as_object()
    found = {}
    for name, value in record.items():
        if (
            name in BY_NAME
            and (unit := BY_NAME[name].quantity.unit)
            and isinstance(value, dict | int | float)
        ):
            found[name] = f"{value['value'] if isinstance(value, dict) else value} {unit}"
        elif isinstance(value, dict) and "value" in value and "channel" in value:
            found[name] = f"{value['value']} {value.get('unit', '')}".strip()
    return found


def times(telegram: MeterTelegram) -> set[str]:
    """Return each time of the JSON object, without its offset, as people write it."""
    record = json.dumps(telegram.as_object())
    return {f"{day} {clock}" for day, clock in _TIME.findall(record)}
