"""Which points a reading becomes: one of the meter, and one of each M-Bus device that has a new value."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.registers import seconds_of
from smarty_gateway.outputs.influxdb.line_protocol import fields_of, line
from smarty_gateway.outputs.output import Reading

_METER: Final = "smarty"
_DEVICE: Final = "smarty_mbus"
#: The tag, and what dates the point.
_NO_FIELDS: Final = ("meter", "timestamp")
_PEAK: Final = "peak_demand_month"


class Points:
    """Makes points of readings, and remembers when each device was last read by its meter.

    Args:
        zone: of times that do not say whether it is summer.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._written: dict[str, dict[str, object]] = {}

    def of(self, reading: Reading) -> str:
        """Return the lines of a reading."""
        values = reading.telegram.as_object(reading.meter)
        time = self._seconds(values.get("timestamp"), reading)
        time = int(reading.received.timestamp()) if time is None else time
        fields = fields_of({name: value for name, value in values.items() if name not in _NO_FIELDS})
        if isinstance(peak := values.get(_PEAK), Mapping):
            fields |= fields_of({_PEAK: peak.get("value")})
        return "\n".join(
            [line(_METER, {"meter": reading.meter}, fields, time), *self._devices(reading, time)]
        )

    def forget(self, meter: str) -> None:
        """Forget the devices of a meter."""
        self._written.pop(meter, None)

    def _seconds(self, text: object, reading: Reading) -> int | None:
        return seconds_of(text, reading.received, self._zone)

    def _devices(self, reading: Reading, meter_time: int) -> Iterator[str]:
        written = self._written.setdefault(reading.meter, {})
        for name, device in reading.telegram.decoded.devices.items():
            version = _version(device)
            if version is None or version == written.get(name):
                continue
            written[name] = version
            time = self._seconds(device.get("timestamp"), reading)
            fields = fields_of({key: value for key, value in device.items() if key != "timestamp"})
            tags = {"device": name, "meter": reading.meter}
            yield line(_DEVICE, tags, fields, meter_time if time is None else time)


def _version(device: Mapping[str, Any]) -> object:
    """Return what changes with each new value: its time; where the meter sends none, the value itself."""
    return device.get("timestamp", device.get("value"))
