"""The telegrams of simulated meters in Luxembourg, Belgium and the Netherlands.

After Luxmetering P1 1.1.3, e-MUCS 1.7.1 and DSMR P1 5.0.2. Each is the full list of a three-phase meter with
a gas meter; Belgium and the Netherlands have a water meter as well.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from smarty_gateway.protocol.checksum import arc
from smarty_gateway.simulator.household import (
    BEGINNING,
    WINTER_OFFSET,
    Counter,
    Flow,
    Household,
    Peak,
    start_of_day,
)

_HOUR: Final = 3_600
_FIVE_MINUTES: Final = 300
#: Seconds from the full five minutes until a Belgian or Dutch gas or water meter has reported.
_MBUS_DELAY: Final = 7
_WINTER: Final = timezone(timedelta(seconds=WINTER_OFFSET))


class LuxembourgText:
    """Writes the telegrams of one Luxembourg meter."""

    def __init__(self, meter_id: str, number: int, gas_number: int, household: Household) -> None:
        self._header = f"/Lux5\\253{number % 1_000_000:06d}_D\r\n"
        self._hex_id = _hex(meter_id)
        self._gas_id = _hex(f"GFLO21{gas_number:08d}")
        self._household = household

    def write(self, second: int) -> bytes:
        """Return the telegram of a second since `BEGINNING`."""
        flow = self._household.flow(second)
        hour = second - second % _HOUR
        power_import, power_export = _both_ways(flow.power)
        # Reactive power: motors draw an eighth of the active power, an inverter feeds in a sixteenth.
        return _telegram((
            self._header,
            "1-3:0.2.8(42)",
            f"0-0:1.0.0({_stamp(second)})",
            f"0-0:42.0.0({self._hex_id})",
            f"1-0:1.8.0({flow.energy_import / 1000:010.3f}*kWh)",
            f"1-0:2.8.0({flow.energy_export / 1000:010.3f}*kWh)",
            f"1-0:3.8.0({flow.energy_import // 8 / 1000:010.3f}*kvarh)",
            f"1-0:4.8.0({flow.energy_export // 16 / 1000:010.3f}*kvarh)",
            f"1-0:1.7.0({power_import:06.3f}*kW)",
            f"1-0:2.7.0({power_export:06.3f}*kW)",
            f"1-0:3.7.0({power_import / 8:06.3f}*kvar)",
            f"1-0:4.7.0({power_export / 16:06.3f}*kvar)",
            "0-0:17.0.0(027.6*kVA)",
            f"1-0:9.7.0({power_import * 1.008:06.3f}*kVA)",
            f"1-0:10.7.0({power_export * 1.002:06.3f}*kVA)",
            "1-1:31.4.0(040*A)(-040*A)",
            "0-0:96.3.10(1)",
            "0-1:96.3.10(0)",
            "0-2:96.3.10(0)",
            "0-0:96.7.21(00004)",
            "1-0:32.32.0(00002)",
            "1-0:52.32.0(00001)",
            "1-0:72.32.0(00001)",
            "1-0:32.36.0(00000)",
            "1-0:52.36.0(00000)",
            "1-0:72.36.0(00000)",
            "0-0:96.13.0()",
            "0-0:96.13.2()",
            "0-0:96.13.3()",
            "0-0:96.13.4()",
            "0-0:96.13.5()",
            *_voltages(flow),
            *_currents(flow, "03.0f"),
            *_phase_powers(flow, 1, "kW", 1_000),
            *_phase_powers(flow, 2, "kW", -1_000),
            *_phase_powers(flow, 3, "kvar", 8_000),
            *_phase_powers(flow, 4, "kvar", -16_000),
            "0-1:24.1.0(003)",
            f"0-1:96.1.0({self._gas_id})",
            f"0-1:24.2.1({_stamp(hour)})({self._household.gas.at(hour) / 1000:09.3f}*m3)",
            "0-1:24.4.0(1)",
        ))  # fmt: skip


class BelgianText:
    """Writes the telegrams of one Belgian meter."""

    def __init__(self, meter_id: str, number: int, gas_number: int, household: Household) -> None:
        self._header = f"/FLU5\\253{number % 1_000_000:06d}_A\r\n"
        self._hex_id = _hex(meter_id)
        self._gas_id = _hex(f"7FLO21{gas_number:08d}")
        self._water_id = _hex(f"8SAG12{number:08d}")
        self._household = household

    def write(self, second: int) -> bytes:
        """Return the telegram of a second since `BEGINNING`."""
        flow = self._household.flow(second)
        power_import, power_export = _both_ways(flow.power)
        read = _last_read(second)
        return _telegram((
            self._header,
            "0-0:96.1.4(50217)",
            f"0-0:96.1.1({self._hex_id})",
            f"0-0:1.0.0({_stamp(second)})",
            *_tariff_registers(flow.energy_import_tariffs, flow.energy_export_tariffs),
            f"0-0:96.14.0({'0001' if flow.is_day_tariff else '0002'})",
            f"1-0:1.4.0({flow.demand / 1000:06.3f}*kW)",
            *self._peaks(second),
            f"1-0:1.7.0({power_import:06.3f}*kW)",
            f"1-0:2.7.0({power_export:06.3f}*kW)",
            *_phase_powers(flow, 1, "kW", 1_000),
            *_phase_powers(flow, 2, "kW", -1_000),
            *_voltages(flow),
            *_currents(flow, "06.2f"),
            "0-0:96.3.10(1)",
            "0-0:17.0.0(999.9*kW)",
            "1-0:31.4.0(999*A)",
            "0-0:96.13.0()",
            "0-1:24.1.0(003)",
            f"0-1:96.1.1({self._gas_id})",
            "0-1:24.4.0(1)",
            f"0-1:24.2.3{_volume(read, self._household.gas)}",
            "0-2:24.1.0(007)",
            f"0-2:96.1.1({self._water_id})",
            f"0-2:24.2.1{_volume(read, self._household.water)}",
        ))  # fmt: skip

    def _peaks(self, second: int) -> tuple[str, str]:
        """Write the highest quarter of this month and of the two before it."""
        month, last_month, month_before = _months(start_of_day(second))
        peak_of = self._household.peak_of_month
        rows = [
            f"({_midnight_stamp(end)}){_peak(peak_of(begin, second))}"
            for begin, end in ((month_before, last_month), (last_month, month))
        ]
        return (
            f"1-0:1.6.0{_peak(peak_of(month, second))}",
            f"0-0:98.1.0(2)(1-0:1.6.0)(1-0:1.6.0){''.join(rows)}",
        )


class DutchText:
    """Writes the telegrams of one Dutch meter."""

    def __init__(self, meter_id: str, number: int, gas_number: int, household: Household) -> None:
        self._header = f"/ISK5\\2M550T-{number % 10_000:04d}\r\n"
        self._hex_id = _hex(meter_id)
        self._gas_id = _hex(f"G0039{gas_number:012d}")
        self._water_id = _hex(f"W0012{number:012d}")
        self._household = household

    def write(self, second: int) -> bytes:
        """Return the telegram of a second since `BEGINNING`."""
        flow = self._household.flow(second)
        power_import, power_export = _both_ways(flow.power)
        read = _last_read(second)
        return _telegram((
            self._header,
            "1-3:0.2.8(50)",
            f"0-0:1.0.0({_stamp(second)})",
            f"0-0:96.1.1({self._hex_id})",
            # Tariff 1 is the low one here, the high one in Belgium.
            *_tariff_registers(flow.energy_import_tariffs[::-1], flow.energy_export_tariffs[::-1]),
            f"0-0:96.14.0({'0002' if flow.is_day_tariff else '0001'})",
            f"1-0:1.7.0({power_import:06.3f}*kW)",
            f"1-0:2.7.0({power_export:06.3f}*kW)",
            "0-0:96.7.21(00004)",
            "0-0:96.7.9(00002)",
            "1-0:99.97.0(1)(0-0:96.7.19)(190326095015W)(0000002014*s)",
            "1-0:32.32.0(00002)",
            "1-0:52.32.0(00001)",
            "1-0:72.32.0(00001)",
            "1-0:32.36.0(00000)",
            "1-0:52.36.0(00000)",
            "1-0:72.36.0(00000)",
            "0-0:96.13.0()",
            *_voltages(flow),
            *_currents(flow, "03.0f"),
            *_phase_powers(flow, 1, "kW", 1_000),
            *_phase_powers(flow, 2, "kW", -1_000),
            "0-1:24.1.0(003)",
            f"0-1:96.1.0({self._gas_id})",
            f"0-1:24.2.1{_volume(read, self._household.gas)}",
            "0-2:24.1.0(007)",
            f"0-2:96.1.0({self._water_id})",
            f"0-2:24.2.1{_volume(read, self._household.water)}",
        ))  # fmt: skip


def _telegram(lines: Iterable[str]) -> bytes:
    body = ("\r\n".join(lines) + "\r\n!").encode("ascii")
    return b"%b%04X\r\n" % (body, arc(body))


def _hex(text: str) -> str:
    return text.encode("ascii").hex().upper()


def _last_read(second: int) -> int:
    """Return the full five minutes whose gas and water a Belgian or Dutch meter has got last."""
    return (second - _MBUS_DELAY) // _FIVE_MINUTES * _FIVE_MINUTES


def _volume(read: int, counter: Counter) -> str:
    return f"({_stamp(read + _MBUS_DELAY)})({counter.at(read) / 1000:09.3f}*m3)"


def _tariff_registers(imported: Sequence[int], exported: Sequence[int]) -> list[str]:
    return [
        f"1-0:{direction}.8.{tariff}({energy / 1000:010.3f}*kWh)"
        for direction, energies in ((1, imported), (2, exported))
        for tariff, energy in enumerate(energies, 1)
    ]


def _both_ways(watts: int) -> tuple[float, float]:
    """Return a power in kW as import and export."""
    return max(watts, 0) / 1000, max(-watts, 0) / 1000


def _phase_powers(flow: Flow, quantity: int, unit: str, divisor: int) -> list[str]:
    """Write a line for each phase; with a divisor below zero for what flows to the grid."""
    return [
        f"1-0:{phase}{quantity}.7.0({max(0, watts / divisor):06.3f}*{unit})"
        for phase, watts in zip("246", flow.phases, strict=True)
    ]


def _volts(flow: Flow) -> list[float]:
    """Return the voltages: solar power raises them, loads lower them, and the phases differ a little."""
    return [230.5 + phase / 2 - watts / 900 for phase, watts in enumerate(flow.phases)]


def _voltages(flow: Flow) -> list[str]:
    return [f"1-0:{group}2.7.0({volt:05.1f}*V)" for group, volt in zip("357", _volts(flow), strict=True)]


def _currents(flow: Flow, form: str) -> list[str]:
    amperes = [abs(watts) / volt * 1.008 for watts, volt in zip(flow.phases, _volts(flow), strict=True)]
    return [f"1-0:{group}1.7.0({ampere:{form}}*A)" for group, ampere in zip("357", amperes, strict=True)]


def _peak(peak: Peak) -> str:
    """Write a peak with the end of its quarter."""
    return f"({_stamp(peak.second)})({peak.watts / 1000:06.3f}*kW)"


@lru_cache(maxsize=4096)
def _stamp(second: int) -> str:
    """Write a time as in telegrams: local, with S in summer and W in winter."""
    return _written((BEGINNING + timedelta(seconds=second)).astimezone(_zone()))


def _midnight_stamp(midnight: int) -> str:
    """Write local midnight of a day that began at midnight on the meter's own clock."""
    day = (BEGINNING + timedelta(seconds=midnight)).astimezone(_WINTER)
    return _written(day.replace(tzinfo=_zone()))


def _written(local: datetime) -> str:
    return f"{local:%y%m%d%H%M%S}{'S' if local.dst() else 'W'}"


@cache
def _zone() -> tzinfo:
    try:
        return ZoneInfo("Europe/Luxembourg")
    except (ZoneInfoNotFoundError, OSError):
        return _WINTER  # a machine without time zone data; telegrams then have W all year


@lru_cache(maxsize=64)
def _months(midnight: int) -> tuple[int, int, int]:
    """Return the beginnings of a day's month and of the two before it, on the meter's own clock."""
    day = BEGINNING.astimezone(_WINTER) + timedelta(seconds=midnight)
    starts = []
    for _ in range(3):
        day = day.replace(day=1)
        starts.append((day - BEGINNING) // timedelta(seconds=1))
        day -= timedelta(days=1)
    return starts[0], starts[1], starts[2]
