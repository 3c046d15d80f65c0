"""Reads a telegram as a sample of the history: registers in whole units, times in seconds."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.local_time import local_date, month_of
from smarty_gateway.history.sample import EXPORT_TARIFFS, REGISTERS, DeviceValue, MeterPeak, Sample
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.obis import OBJECTS, Kind

#: Registers that few meters send; they are stored and shown as they are.
_OTHERS: Final = frozenset(
    found.name
    for found in OBJECTS
    if found.quantity.kind in (Kind.ENERGY, Kind.REACTIVE_ENERGY, Kind.ENERGY_BALANCE)
    and found.name not in REGISTERS
)
#: On one meter at a time (docs/reference.md, "Who is who").
_DEVICES_MAX: Final = 8
#: Of a register in Wh, of a device in thousandths of its unit: a million years of a household.
_MOST: Final = 10**13
#: How many of the registers are of active energy; they come first.
_ACTIVE: Final = EXPORT_TARIFFS.stop
_NO_ENERGY: Final = (None,) * _ACTIVE
#: Made once: this is asked a dozen times a telegram.
_NUMBERS: Final = (int, float)


def sample_of(telegram: MeterTelegram, received: datetime, zone: ZoneInfo) -> Sample | None:
    """Return what the history needs of a telegram; None if it has no register of active energy.

    Args:
        telegram: passed all checks.
        received: when, with its offset; dates what has no time of its own.
        zone: of times that do not say whether it is summer.
    """
    decoded = telegram.decoded
    fields = decoded.fields
    registers = tuple([_thousandths(fields[name]) if name in fields else None for name in REGISTERS])
    if registers[:_ACTIVE] == _NO_ENERGY:
        return None
    time = seconds_of(fields.get("timestamp"), received, zone)
    time = int(received.timestamp()) if time is None else time
    return Sample(
        telegram.meter_id,
        time,
        registers,
        {n: value for n in _OTHERS & fields.keys() if (value := _thousandths(fields[n])) is not None},
        _thousandths(fields.get("power_import")),
        net_power_of(fields),
        _thousandths(fields.get("demand_import")),
        tuple(_devices(decoded.devices, time, received, zone)) if decoded.devices else (),
        tuple(_peaks(fields, received, zone)),
    )


def net_power_of(fields: Mapping[str, Any]) -> int | None:
    """Return import less export in W; None if the meter sends neither."""
    power_import, power_export = (_thousandths(fields.get(n)) for n in ("power_import", "power_export"))
    if power_import is None and power_export is None:
        return None
    return (power_import or 0) - (power_export or 0)


def seconds_of(text: object, received: datetime, zone: ZoneInfo) -> int | None:
    """Return a time of the JSON object in seconds since 1970; None for anything else.

    A time without offset is local time; in the hour that exists twice, it is the one nearer to its arrival.
    """
    if not isinstance(text, str):
        return None
    return _seconds(text) if text[-6:-5] in ("+", "-") else _local_seconds(text, received, zone)


@lru_cache(maxsize=4096)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _local_seconds(text: str, received: datetime, zone: ZoneInfo) -> int:
    local = datetime.fromisoformat(text).replace(tzinfo=zone)
    found = (int(local.timestamp()), int(local.replace(fold=1).timestamp()))
    arrived = received.timestamp()
    return min(found, key=lambda seconds: abs(seconds - arrived))


def _thousandths(value: object) -> int | None:
    """Return a number of the JSON object in thousandths; None for anything else, or out of all bounds."""
    if not isinstance(value, _NUMBERS):
        return None
    found = round(value * 1000)
    return found if abs(found) <= _MOST else None


def _devices(
    devices: Mapping[str, Mapping[str, Any]], time: int, received: datetime, zone: ZoneInfo
) -> Iterator[DeviceValue]:
    for column, device in list(devices.items())[:_DEVICES_MAX]:
        value = _thousandths(device.get("value"))
        if value is None or value < 0:
            continue
        dated = seconds_of(device.get("timestamp"), received, zone)
        name = device.get("id") or f"channel {device.get('channel')}"
        yield DeviceValue(name, column, device.get("unit", ""), value, time if dated is None else dated)


def _peaks(fields: Mapping[str, Any], received: datetime, zone: ZoneInfo) -> Iterator[MeterPeak]:
    """Yield the peaks of 1-0:1.6.0 and 0-0:98.1.0 (e-MUCS P1)."""
    for row in fields.get("peak_demand_history", ()):
        yield from _peak(row, "period_end", received, zone)
    if isinstance(row := fields.get("peak_demand_month"), Mapping):
        yield from _peak(row, "timestamp", received, zone)


def _peak(row: Mapping[str, Any], dated_by: str, received: datetime, zone: ZoneInfo) -> Iterator[MeterPeak]:
    power = _thousandths(row.get("value"))
    ended, period = (seconds_of(row.get(name), received, zone) for name in ("timestamp", dated_by))
    if power is not None and ended is not None and period is not None:
        yield MeterPeak(_month_before(period, zone), power, ended)


@lru_cache(maxsize=4096)
def _month_before(time: int, zone: ZoneInfo) -> int:
    """Return the month in which a period ends; its first instant still belongs to the month before."""
    return month_of(local_date(time - 1, zone))
