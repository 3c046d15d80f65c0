"""The history of a simulated house: registers at the boundaries of quarter hours, for demos and tests.

The registers count from the beginning of 2020. A boundary depends on the meter, the seed and its time alone,
so two histories of one meter fit together, however long they are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import HOUR, midnight_of, month_of
from smarty_gateway.history.sample import QUARTER, DeviceValue, MeterPeak, Registers
from smarty_gateway.simulator.house import SLOT, House
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter

_FIRST_DAY: Final = BEGINNING.date()
_SLOTS: Final = QUARTER // SLOT
_QUARTERS_OF_AN_HOUR: Final = 4
_QUARTERS_OF_A_DAY: Final = 96
#: Hours of the day tariff, from Monday to Friday.
_DAY_TARIFF: Final = (7, 22)
_JOULES_PER_WH: Final = 3_600


@dataclass(frozen=True, slots=True)
class Counted:
    """What a meter has counted before its history begins.

    Attributes:
        imported: in Wh by day and by night; one without tariffs shows the sum.
        exported: likewise.
        gas: in litres.
        water: likewise.
    """

    imported: tuple[int, int] = (900_000, 700_000)
    exported: tuple[int, int] = (300_000, 100_000)
    gas: int = 900_000
    water: int = 250_000


#: What meters have counted before 2020.
_BEFORE: Final = Counted()


def house_of(kind: MeterKind, number: int, seed: int) -> House:
    """Return the house behind a meter."""
    return House(f"{kind} {number} {seed}")


def boundaries(  # noqa: PLR0913 - whose history, of which time, and what it looks like
    meter: SimulatedMeter,
    seed: int,
    zone: ZoneInfo,
    span: range,
    *,
    has_gaps: bool = False,
    since: date = _FIRST_DAY,
    before: Counted = _BEFORE,
) -> Iterator[Boundary]:
    """Yield the boundaries of a span of time, its end included.

    Args:
        meter: of Luxembourg, with gas, or of Belgium with two tariffs, gas and water.
        seed: another seed gives another house behind the same meter.
        zone: of days and tariffs, and of the clock in the house.
        span: in seconds since 1970, from 2020 on.
        has_gaps: the gateway was away for some hours of some days.
        since: a later day than the first of 2020, from which the registers count.
        before: what the meter has counted before that day.
    """
    house = house_of(meter.kind, meter.number, seed)
    registers = _Registers(meter, before)
    day, missing = since, range(0)
    is_new_peak = True  # since the last boundary; the first one has it in any case
    while (midnight := midnight_of(day, zone)) < span.stop:
        next_day = day + timedelta(days=1)
        quarters = (midnight_of(next_day, zone) - midnight) // QUARTER
        if has_gaps and missing.stop <= midnight and (gap := house.gap(day)) is not None:
            missing = range(midnight + gap.start * QUARTER, midnight + gap.stop * QUARTER)
        drawn = house.day(day, midnight, quarters * _SLOTS)
        # Minutes after the change of the clock, at 2 or 3, are those of the changed clock.
        shift = quarters - _QUARTERS_OF_A_DAY
        first, last = (hour * _QUARTERS_OF_AN_HOUR + shift for hour in _DAY_TARIFF)
        for quarter in range(quarters):
            end = midnight + (quarter + 1) * QUARTER
            powers = drawn.powers[quarter * _SLOTS : (quarter + 1) * _SLOTS]
            is_by_day = first <= quarter < last and day.weekday() < 5
            is_new_peak |= registers.add(powers, day, end, is_by_day=is_by_day)
            if end % HOUR == 0:
                hour = quarter // _QUARTERS_OF_AN_HOUR
                registers.gas += drawn.gas[hour]
                registers.water += drawn.water[hour]
            if span.start <= end <= span.stop and end not in missing:
                was_up = end - QUARTER not in missing
                yield registers.boundary(end, powers, was_up=was_up, with_peak=is_new_peak)
                is_new_peak = False
        day = next_day


class _Registers:
    """What a meter has counted so far."""

    def __init__(self, meter: SimulatedMeter, before: Counted) -> None:
        self._meter = meter
        # In watt-seconds, so that nothing is lost from one quarter to the next; by day and by night.
        self._imported = [energy * _JOULES_PER_WH for energy in before.imported]
        self._exported = [energy * _JOULES_PER_WH for energy in before.exported]
        self._peak = MeterPeak(0, 0, 0)
        self.gas = before.gas
        self.water = before.water

    def add(self, powers: list[int], day: date, end: int, *, is_by_day: bool) -> bool:
        """Count a quarter hour, and return whether it is the highest of its month so far."""
        tariff = 0 if is_by_day else 1
        imported = sum(power for power in powers if power > 0) * SLOT
        self._imported[tariff] += imported
        self._exported[tariff] += imported - sum(powers) * SLOT
        month, power = month_of(day), imported // QUARTER
        if month == self._peak.month and power <= self._peak.power:
            return False
        self._peak = MeterPeak(month, power, end)
        return True

    def boundary(self, end: int, powers: list[int], *, was_up: bool, with_peak: bool) -> Boundary:
        is_belgian = self._meter.kind is MeterKind.BELGIUM
        return Boundary(
            end,
            self._meter.meter_id,
            1,
            self._belgian() if is_belgian else self._luxembourgish(),
            # What varies within five minutes.
            max_power=max(powers) + abs(max(powers)) // 16 if was_up else None,
            min_power=min(powers) - abs(min(powers)) // 16 if was_up else None,
            telegrams=int(QUARTER // self._meter.period) if was_up else 1,
            devices=tuple(self._devices(end - end % HOUR)),
            peaks=(self._peak,) if is_belgian and with_peak else (),
        )

    def _luxembourgish(self) -> Registers:
        imported, exported = (sum(both) // _JOULES_PER_WH for both in (self._imported, self._exported))
        # Reactive power: motors draw an eighth of the active power, an inverter feeds in a sixteenth.
        return (imported, *[None] * 4, exported, *[None] * 4, imported // 8, exported // 16)

    def _belgian(self) -> Registers:
        imported, exported = (
            [energy // _JOULES_PER_WH for energy in both] for both in (self._imported, self._exported)
        )
        return (None, *imported, None, None, None, *exported, None, None, None, None)

    def _devices(self, dated: int) -> Iterator[DeviceValue]:
        number = f"{self._meter.number:08d}"
        is_belgian = self._meter.kind is MeterKind.BELGIUM
        yield DeviceValue(f"{'7FLO' if is_belgian else 'GFLO'}21{number}", "gas", "m³", self.gas, dated)
        if is_belgian:
            yield DeviceValue(f"8SAG12{number}", "water", "m³", self.water, dated)
