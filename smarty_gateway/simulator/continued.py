"""A live meter that goes on from a simulated history, for demonstrations.

The history of a house and the household of a live meter are drawn independently. Here they agree: the live
day is that of the house today, the registers of the history are shifted so that the last ones are those of
the meter, and the meter knows the peaks of its months.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from operator import sub
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import HOUR, local_date, midnight_of, month_of
from smarty_gateway.history.sample import MeterPeak
from smarty_gateway.simulator.house import SLOT, Day, House
from smarty_gateway.simulator.household import (
    BEGINNING,
    WINTER_OFFSET,
    Counter,
    Household,
    Peak,
    Phases,
    start_of_day,
)
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.year import Counted, boundaries, house_of

_SEED: Final = 0
_EPOCH: Final = int(BEGINNING.timestamp())
_DAY: Final = 86_400
#: Wh and litres that a meter has counted before its history begins: more than some years add.
_EARLIER_ENERGY: Final = 50_000_000
_EARLIER_VOLUME: Final = 10_000_000
#: A meter tells the peaks of its month and of the two before, which began at most this many days ago.
_DAYS_OF_PEAKS: Final = 92
_NOTHING: Final = Counted((0, 0), (0, 0), 0, 0)


@dataclass(frozen=True, slots=True)
class ContinuedMeter:
    """A live meter and the history that it goes on from.

    Attributes:
        household: behind the meter.
        newest: the last boundary of the history, in seconds since 1970.
        zone: of the days in the house.
    """

    meter: SimulatedMeter
    household: Household
    newest: int
    zone: ZoneInfo

    def history(self, days: int) -> Iterator[Boundary]:
        """Yield the boundaries of some days and of today; the last has the registers of the meter."""
        begin = local_date(self.newest, self.zone) - timedelta(days=days)
        span = range(midnight_of(begin, self.zone), self.newest)
        (grown,) = self._drawn(begin, range(self.newest, self.newest), _NOTHING)
        return self._drawn(begin, span, self._before(grown))

    def _drawn(self, since: date, span: range, before: Counted) -> Iterator[Boundary]:
        return boundaries(self.meter, _SEED, self.zone, span, since=since, before=before)

    def _before(self, grown: Boundary) -> Counted:
        """Return what the meter had counted before a history in which it has grown by this."""
        flow = self.household.flow(self.newest - _EPOCH)
        hour = self.newest - self.newest % HOUR - _EPOCH  # at which the history dates gas and water
        registers = [register for register in grown.registers if register is not None]
        gas, *water = (device.value for device in grown.devices)
        if self.meter.kind is MeterKind.BELGIUM:
            shown = (*flow.energy_import_tariffs, *flow.energy_export_tariffs)
            by_day_in, by_night_in, by_day_out, by_night_out = map(sub, shown, registers)
        else:
            by_day_in, by_day_out = flow.energy_import - registers[0], flow.energy_export - registers[1]
            by_night_in = by_night_out = 0
        return Counted(
            (by_day_in, by_night_in),
            (by_day_out, by_night_out),
            self.household.gas.at(hour) - gas,
            self.household.water.at(hour) - sum(water),
        )


def continued_meter(kind: MeterKind, number: int, newest: int, zone: ZoneInfo) -> ContinuedMeter:
    """Return a meter of Luxembourg or Belgium that goes on from its history.

    Args:
        kind: of the meter.
        number: decides identity and house.
        newest: the last boundary of the history, in seconds since 1970.
        zone: of the days in the house.
    """
    peaks = _peaks(SimulatedMeter(kind, number), newest, zone) if kind is MeterKind.BELGIUM else {}
    household = _HouseholdOfToday(house_of(kind, number, _SEED), f"{kind} {number}", newest, zone, peaks)
    return ContinuedMeter(SimulatedMeter(kind, number, household=household), household, newest, zone)


def _peaks(meter: SimulatedMeter, newest: int, zone: ZoneInfo) -> dict[int, MeterPeak]:
    """Return the peaks that a meter tells, by month."""
    since = local_date(newest, zone) - timedelta(days=_DAYS_OF_PEAKS)
    span = range(midnight_of(since, zone), newest)
    drawn = boundaries(meter, _SEED, zone, span, since=since)
    return {peak.month: peak for boundary in drawn for peak in boundary.peaks}


class _HouseholdOfToday(Household):
    """A household whose days are all like that of a house today."""

    def __init__(
        self, house: House, seed: str, newest: int, zone: ZoneInfo, peaks: dict[int, MeterPeak]
    ) -> None:
        self._first_day = start_of_day(newest - _EPOCH)
        today = _day_from(house, _EPOCH + self._first_day, zone)
        super().__init__(seed, [_on_three_phases(watts) for watts in today.powers])
        self._start_import += _EARLIER_ENERGY
        self._start_export += _EARLIER_ENERGY
        self.gas = Counter(_EARLIER_VOLUME, today.gas)
        self.water = Counter(_EARLIER_VOLUME, today.water)
        self._told = peaks

    def peak_of_month(self, month: int, second: int) -> Peak:
        """Return the highest quarter of a month: that of its history, unless a later one is higher."""
        found = []
        if (told := self._told.get(_month_at(month))) is not None:
            found.append(Peak(told.power, told.ended - _EPOCH))
        first = max(month, self._first_day)
        if _month_at(first) == _month_at(month):
            found.append(super().peak_of_month(first, second))
        return max(found, key=lambda peak: peak.watts)


def _day_from(house: House, begin: int, zone: ZoneInfo) -> Day:
    """Return what a house draws in 24 hours, which may be parts of two local days."""
    powers: list[int] = []
    gas: list[int] = []
    water: list[int] = []
    for day in sorted({local_date(begin, zone), local_date(begin + _DAY - 1, zone)}):
        midnight, end = midnight_of(day, zone), midnight_of(day + timedelta(days=1), zone)
        drawn = house.day(day, midnight, (end - midnight) // SLOT)
        first, last = max(begin, midnight) - midnight, min(begin + _DAY, end) - midnight
        powers += drawn.powers[first // SLOT : last // SLOT]
        gas += drawn.gas[first // HOUR : last // HOUR]
        water += drawn.water[first // HOUR : last // HOUR]
    return Day(powers, gas, water)


def _on_three_phases(watts: int) -> Phases:
    one, two = watts // 2, watts // 3
    return one, two, watts - one - two


def _month_at(second: int) -> int:
    """Return the month of a second since `BEGINNING` on a meter's own clock, such as 202610."""
    return month_of((BEGINNING + timedelta(seconds=second + WINTER_OFFSET)).date())
