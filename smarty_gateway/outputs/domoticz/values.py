"""What Domoticz gets of a reading: the text (`svalue`) of a device with a number (`idx`), and when.

Domoticz stores a counter and shows the differences. One false value, such as a 0 for a register that a
telegram lacks, would stay in its day, month and year for ever. So a device gets nothing from a telegram that
does not have all its values.

The forms are those of Domoticz' own P1 meter (`hardware/P1MeterBase.cpp`): tariff 1 of the meter is usage 1,
also where that is the day's as in Belgium, and a meter with one register for all tariffs has usage 2 = 0.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from smarty_gateway.config.values import Config
from smarty_gateway.fault_log import Condition
from smarty_gateway.outputs.chosen_meter import readings_of
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.pace import Pace
from smarty_gateway.protocol.decoder import DecodedTelegram

_log = logging.getLogger(__name__)

#: Seconds after which Domoticz gets the same gas value again, as from its own P1 meter: else it shows the
#: device as silent.
_REPEAT_GAS: Final = 300.0
#: Seconds without the former registers, or the former gas meter, after which others take their place. For a
#: shorter time they may only be missing in some telegrams.
_REPLACED_AFTER: Final = 3600.0
#: In kWh, kW or m³; more than a P1 telegram can say.
_MOST: Final = 10**9


class _NoValueError(Exception):
    """A telegram has no value for a device; the text is the end of a sentence about the telegrams."""


@dataclass(frozen=True, slots=True)
class _Value:
    """The value of a device.

    Attributes:
        source: the registers or the gas meter that it comes from.
        news: differs from the one before if there is something new to send.
    """

    svalue: str
    source: object
    news: object = None


def _electricity(decoded: DecodedTelegram) -> _Value:
    """Return `USAGE1;USAGE2;RETURN1;RETURN2;USAGE;RETURN` in Wh and W."""
    fields = decoded.fields
    sources, numbers = [], []
    for direction in ("import", "export"):
        names = _registers(fields, f"energy_{direction}")
        sources += names
        numbers += [_thousandths(fields, name) for name in names] + [0] * (2 - len(names))
    numbers += [_thousandths(fields, name) for name in ("power_import", "power_export")]
    return _Value(";".join(map(str, numbers)), tuple(sources))


def _registers(fields: Mapping[str, Any], total: str) -> list[str]:
    """Return the two tariff registers, or the one for all tariffs where there are not exactly two."""
    tariffs = [name for number in (1, 2, 3, 4) if (name := f"{total}_tariff_{number}") in fields]
    return tariffs if tariffs == [f"{total}_tariff_1", f"{total}_tariff_2"] else [total]


def _gas(decoded: DecodedTelegram) -> _Value:
    """Return the litres of the gas meter."""
    gas: Mapping[str, Any] = decoded.devices.get("gas", {})
    value = _thousandths(gas, "value", "gas value")
    if gas.get("unit") != "m³":
        raise _NoValueError("have the gas in another unit than m³")
    return _Value(str(value), gas.get("id"), (value, gas.get("timestamp")))


def _thousandths(fields: Mapping[str, Any], name: str, shown: str = "") -> int:
    value = fields.get(name)
    if not isinstance(value, int | float) or not 0 <= value <= _MOST:
        raise _NoValueError(f"have no {shown or name}")
    return round(value * 1000)


class Device:
    """A device of Domoticz; time is an argument.

    Args:
        idx: its number.
        label: of the device, for messages.
        is_own: whether it shows the meter of a reading.
        value_of: returns its value; raises _NoValueError.
        interval: the shortest time between two values, in seconds.
        repeat_after: seconds after which it gets a value that is not new.

    Attributes:
        idx: its number.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what the two kinds differ in
        self,
        idx: int,
        label: str,
        is_own: Callable[[Reading], bool],
        value_of: Callable[[DecodedTelegram], _Value],
        interval: float,
        repeat_after: float,
    ) -> None:
        self.idx = idx
        self._label = label
        self._is_own = is_own
        self._value_of = value_of
        self._pace = Pace(interval)
        self._repeat_after = repeat_after
        self._fault = Condition(_log.warning, cleared=_log.info)
        self._source: object = None
        self._source_seen = float("-inf")
        self._news: object = None
        self._sent_news: object = None
        self._sent = float("-inf")

    def due(self, reading: Reading, now: float) -> str | None:
        """Return the svalue to send; None if this reading brings none, or none that is due."""
        if not self._is_own(reading):
            return None
        try:
            value = self._checked(self._value_of(reading.telegram.decoded), now)
        except _NoValueError as why:
            message = f"{self._label} gets no values: the telegrams {why}"
            self._fault.begin(message, message)
            return None
        self._fault.end(f"{self._label} gets values now")
        self._pace.arrive(now)
        self._news = value.news
        is_new = value.news != self._sent_news or now - self._sent >= self._repeat_after
        return value.svalue if is_new and now >= self._pace.due_at else None

    def note_sent(self, now: float) -> None:
        """Record that Domoticz has the newest value."""
        self._pace.note_sent()
        self._sent_news, self._sent = self._news, now

    def _checked(self, value: _Value, now: float) -> _Value:
        if value.source != self._source and now - self._source_seen < _REPLACED_AFTER:
            raise _NoValueError("have other registers, or another gas meter, than within the last hour")
        self._source, self._source_seen = value.source, now
        return value


def devices_of(config: Config) -> list[Device]:
    """Return the devices that the configuration names."""
    domoticz = config.outputs.domoticz
    found = []
    for entry in () if domoticz is None else domoticz.devices:
        is_own = readings_of(config, entry.meter)
        for idx, value_of, repeat_after in (
            (entry.electricity, _electricity, 0.0),
            (entry.gas, _gas, _REPEAT_GAS),
        ):
            if idx is not None and domoticz is not None:
                label = f"{entry.meter}: the Domoticz device {idx}"
                found.append(Device(idx, label, is_own, value_of, domoticz.interval, repeat_after))
    return found
