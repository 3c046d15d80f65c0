"""What a span of time costs with a tariff: as far as its prices and quarter hours are known."""

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import Row
from smarty_gateway.history.sentences import Sentence
from smarty_gateway.history.tariffs import DAY, Period, Reading, Tariff

#: Of what is returned; nothing is rounded before.
_STEP: Final = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class PricedRow:
    """A span, what it costs (see `cost_of`), and the tariff that says so.

    Attributes:
        is_whole: all of its quarter hours are known, and the tariff has prices since its beginning; otherwise
            the costs are a lower bound.
    """

    tariff: Tariff
    row: Row
    costs: Mapping[str, Decimal]
    is_whole: bool


def cost_of(
    tariff: Tariff,
    quarters: Iterable[tuple[int, int]],
    zone: ZoneInfo,
    reference: ReferencePower | None = None,
) -> dict[str, Decimal]:
    """Return the columns that a tariff adds to a span of whole days, in its currency.

    What is not measured is left out, and so is the fixed price of days without a complete quarter hour: the
    costs of a span that is not complete are a lower bound. The columns, as far as the tariff has prices:

    * band_NAME: kWh of each time band.
    * cost_energy, cost_volume, cost_fixed: without VAT.
    * cost_excess, cost_vat, cost: what excess adds, VAT, and all of it together. Where it is not known what
      the price for excess means, they come twice: cost_added, cost_instead …

    Args:
        tariff: the prices.
        quarters: beginning and import in Wh of each complete quarter hour.
        zone: of days and bands.
        reference: the reference power of the connection; without one there is no excess, and no level to pay.
    """
    bills: dict[date, _Bill] = {}
    days: dict[date, tuple[_Bill | None, int | None]] = {}
    for start, import_ in quarters:
        local = datetime.fromtimestamp(start, zone)
        day = local.date()
        if day not in days:
            days[day] = _of_day(day, tariff, bills, reference)
        bill, watts = days[day]
        if bill is not None:
            bill.add(local, import_, watts)
    return _columns(list(bills.values()), is_excess_known=reference is not None)


def left_out(tariff: Tariff, reference: ReferencePower | None, first: date, last: date) -> list[Sentence]:
    """Return in words what the costs of a span lack because of the reference power, if anything."""
    begins = [] if reference is None else [begin for begin, _ in reference.levels if begin is not None]
    changes = [*begins, *(period.valid_from for period in tariff.periods)]
    found: dict[Sentence, None] = {}
    for day in sorted({first, *(change for change in changes if first < change <= last)}):
        period = tariff.on(day)
        if period is None or not (period.levels or period.excess):
            continue
        watts = None if reference is None else reference.on(day)
        level = None if watts is None else period.level_of(watts)
        if watts is None:
            lack = Sentence(
                "Without a reference power these costs have no excess and no price of a level: add "
                "`reference_power: 7`, in kW as on the bill, to the meter in gateway.yaml."
            )
            found[lack] = None
        elif period.levels and (level is None or level.price is None):
            lack = Sentence(
                "The tariff has no price for a level of {level:g} kW: these costs lack it.",
                level=watts / 1000,
            )
            found[lack] = None
    return list(found)


@dataclass(slots=True)
class _Bill:
    """What was drawn in one period.

    Attributes:
        slots: Wh by quarter hour of the week.
        days: by month and reference power.
        excess: in quarters of a Wh, which are whole.
    """

    period: Period
    slots: Counter[int] = field(default_factory=Counter)
    days: Counter[tuple[int, int, int | None]] = field(default_factory=Counter)
    excess: int = 0

    def add(self, local: datetime, import_: int, watts: int | None) -> None:
        self.slots[local.weekday() * DAY + local.hour * 4 + local.minute // 15] += import_
        if watts is not None:
            self.excess += max(0, 4 * import_ - watts)

    def bands(self) -> Iterator[tuple[str, Decimal]]:
        for price in self.period.energy:
            if price.is_band:
                yield f"band_{price.name}", self._kilowatt_hours(price.slots())

    def sure(self) -> Iterator[tuple[str, Decimal]]:
        """Yield the costs on which the reading of the excess price has no effect."""
        period = self.period
        for price in period.energy:
            if price.price is not None:
                yield "cost_energy", self._kilowatt_hours(price.slots()) * price.price
        if period.volume is not None:
            yield "cost_volume", self._kilowatt_hours(self.slots) * period.volume.price
        for (year, month, watts), days in self.days.items():
            level = None if watts is None else period.level_of(watts)
            monthly = [price.price for price in period.fixed]
            if level is not None and level.price is not None:
                monthly.append(level.price)
            if monthly:
                yield "cost_fixed", sum(monthly) * days / Decimal(monthrange(year, month)[1])

    def rest(self, reading: Reading, *, is_excess_known: bool) -> Iterator[tuple[str, Decimal]]:
        """Yield the costs under one reading."""
        period, costs = self.period, [amount for _, amount in self.sure()]
        if period.excess is not None and is_excess_known:
            costs.append(Decimal(self.excess) / 4000 * period.excess.surcharge(reading, period.volume))
            yield "cost_excess", costs[-1]
        if costs and period.vat is not None:
            costs.append(sum(costs) * period.vat.percent / 100)
            yield "cost_vat", costs[-1]
        if costs:
            yield "cost", Decimal(sum(costs))

    def _kilowatt_hours(self, slots: Iterable[int]) -> Decimal:
        return Decimal(sum(self.slots.get(slot, 0) for slot in slots)) / 1000


def _of_day(
    day: date, tariff: Tariff, bills: dict[date, _Bill], reference: ReferencePower | None
) -> tuple[_Bill | None, int | None]:
    """Return the bill of a day, and its reference power."""
    period = tariff.on(day)
    if period is None:
        return None, None
    watts = None if reference is None else reference.on(day)
    bill = bills.setdefault(period.valid_from, _Bill(period))
    bill.days[day.year, day.month, watts] += 1
    return bill, watts


def _columns(bills: list[_Bill], *, is_excess_known: bool) -> dict[str, Decimal]:
    readings: dict[str, Reading] = {"": Reading.ADDED}
    if is_excess_known and any(bill.period.is_doubtful for bill in bills):
        readings = {f"_{reading}": reading for reading in Reading}
    columns: dict[str, Decimal] = {}
    for bill in bills:
        _add(columns, bill.bands())
        _add(columns, bill.sure())
    for suffix, reading in readings.items():
        for bill in bills:
            rest = bill.rest(reading, is_excess_known=is_excess_known)
            _add(columns, ((f"{name}{suffix}", amount) for name, amount in rest))
    return {name: amount.quantize(_STEP, ROUND_HALF_UP) for name, amount in columns.items()}


def _add(columns: dict[str, Decimal], amounts: Iterable[tuple[str, Decimal]]) -> None:
    for name, amount in amounts:
        columns[name] = columns.get(name, Decimal()) + amount
