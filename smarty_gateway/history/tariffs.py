"""What a connection pays, as dated data: prices by time band, per month and level, for excess and for peaks.

All prices are without VAT. A figure that is not known is None, and what it would cost is left out: nothing is
ever guessed. docs/tariffs.md describes the file that these come from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Final

from smarty_gateway.history.sentences import Sentence, Value

#: Quarter hours of a day and of a week, in local time.
DAY: Final = 96
WEEK: Final = 7 * DAY


class Reading(StrEnum):
    """What the price for excess means, where the source allows two readings."""

    ADDED = "added"  #: excess pays it on top of the volume price
    INSTEAD = "instead"  #: excess pays it in place of the volume price


@dataclass(frozen=True, slots=True)
class Source:
    """Where figures come from.

    Attributes:
        id: to which the figures refer.
        checked: the day on which somebody last compared them.
    """

    id: str
    title: str
    url: str | None
    checked: date


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its origin.

    Attributes:
        source: the id of a `Source`.
        doubt: why it may be wrong; shown with all money.
    """

    source: str | None
    doubt: str | None


@dataclass(frozen=True, slots=True)
class EnergyPrice(Figure):
    """The price of a kWh in a time band. All that apply to a quarter hour are added.

    Attributes:
        begin: the first quarter hour of the day, from 0.
        end: the one behind the last; a band of `begin` >= `end` goes on over midnight.
        days: of the week, 0 for Monday; of the quarter hours themselves, also those behind midnight.
    """

    name: str
    price: Decimal | None
    begin: int
    end: int
    days: tuple[int, ...]

    @property
    def is_band(self) -> bool:
        """True if it does not apply at all times."""
        return len(set(self.slots())) < WEEK

    def slots(self) -> Iterator[int]:
        """Yield the quarter hours of the week, from 0 for Monday's first."""
        span = self.end - self.begin if self.begin < self.end else self.end - self.begin + DAY
        for day in self.days:
            yield from (day * DAY + (self.begin + step) % DAY for step in range(span))


@dataclass(frozen=True, slots=True)
class VolumePrice(Figure):
    """What the grid costs for each kWh."""

    price: Decimal


@dataclass(frozen=True, slots=True)
class FixedPrice(Figure):
    """A price per month."""

    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class Level(Figure):
    """A reference power in kW that one can have, and its price per month."""

    kilowatts: Decimal
    price: Decimal | None

    @property
    def watts(self) -> int:
        """The reference power in W."""
        return int(self.kilowatts * 1000)


@dataclass(frozen=True, slots=True)
class ExcessPrice(Figure):
    """What a kWh over the reference power costs.

    Attributes:
        reading: None where it is not known which one holds: then both are shown.
    """

    price: Decimal
    reading: Reading | None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All that may hold."""
        return tuple(Reading) if self.reading is None else (self.reading,)

    def surcharge(self, reading: Reading, volume: VolumePrice | None) -> Decimal:
        """Return what a kWh of excess costs more than another; a reading that is known wins."""
        if (self.reading or reading) is Reading.ADDED or volume is None:
            return self.price
        return self.price - volume.price


@dataclass(frozen=True, slots=True)
class CapacityPrice(Figure):
    """What the highest quarter hours of the months cost (Flanders).

    Attributes:
        price: per kW and year, of the mean of the months.
        minimum: in kW; a month below it counts as this.
        months: how many, up to the newest one, the mean is taken of.
    """

    price: Decimal | None
    minimum: Decimal
    months: int

    def billed(self, peaks: Sequence[float]) -> Decimal | None:
        """Return the power in kW that is paid for, from the peaks of the months in W, in order."""
        powers = [max(Decimal(peak) / 1000, self.minimum) for peak in peaks[-self.months :]]
        return sum(powers, Decimal()) / len(powers) if powers else None


@dataclass(frozen=True, slots=True)
class Vat(Figure):
    """The value added tax on everything."""

    percent: Decimal


@dataclass(frozen=True, slots=True)
class Period:
    """What holds from a local date on, until the next period begins."""

    valid_from: date
    energy: tuple[EnergyPrice, ...]
    volume: VolumePrice | None
    excess: ExcessPrice | None
    levels: tuple[Level, ...]
    fixed: tuple[FixedPrice, ...]
    capacity: CapacityPrice | None
    vat: Vat | None

    @property
    def figures(self) -> Iterator[tuple[Sentence, Figure]]:
        """All figures, by what they are called in a sentence."""
        yield from ((Sentence("energy price {name}", name=price.name), price) for price in self.energy)
        for name, one in (
            (Sentence("volume price"), self.volume),
            (Sentence("excess price"), self.excess),
            (Sentence("capacity price"), self.capacity),
            (Sentence("VAT"), self.vat),
        ):
            if one is not None:
                yield name, one
        yield from ((Sentence("prices of the levels"), level) for level in self.levels)
        yield from ((Sentence("fixed price {name}", name=price.name), price) for price in self.fixed)

    @property
    def is_doubtful(self) -> bool:
        """True if the price for excess has two readings."""
        return self.excess is not None and self.excess.reading is None

    @property
    def with_vat(self) -> Decimal:
        """The factor from a price without VAT to one with it."""
        return 1 + (self.vat.percent / 100 if self.vat is not None else Decimal())

    def level_of(self, watts: int) -> Level | None:
        """Return the level with this reference power; None if there is none."""
        return next((level for level in self.levels if level.watts == watts), None)


@dataclass(frozen=True, slots=True)
class Tariff:
    """The prices of one file.

    Attributes:
        file: the name of a tariff that comes with the program, or of its file; it is shown with all money.
        name: what it is and what it covers.
        currency: as EUR.
        periods: by date.
    """

    file: str
    name: str
    currency: str
    periods: tuple[Period, ...]
    sources: tuple[Source, ...]

    def on(self, day: date) -> Period | None:
        """Return what holds on a local date; None before the first period."""
        valid = [period for period in self.periods if period.valid_from <= day]
        return valid[-1] if valid else None

    def notes(self, first: date, last: date) -> list[Sentence]:
        """Return what has to be said with all money of a span: the file, since when it holds, its doubts."""
        used = [self.on(first), *(one for one in self.periods if first < one.valid_from <= last)]
        periods = [period for period in used if period is not None]
        named = {"file": self.file, "name": self.name}
        if not periods:
            return [Sentence("Tariff {file}: {name}; it has no prices for these days.", **named)]
        doubts: dict[str, dict[Sentence, None]] = {}
        for period in periods:
            for name, figure in period.figures:
                if figure.doubt is not None:
                    doubts.setdefault(figure.doubt, {})[name] = None
        return [
            self._origin(periods),
            *(
                Sentence("Doubtful: {figures}: {doubt}.", figures=tuple(names), doubt=doubt)
                for doubt, names in doubts.items()
            ),
        ]

    def _origin(self, periods: Sequence[Period]) -> Sentence:
        """Return the file of some periods, their dates, and when somebody last checked their figures."""
        named = {"file": self.file, "name": self.name}
        dates = tuple(period.valid_from for period in periods)
        used = {figure.source for period in periods for _, figure in period.figures}
        checked = [source.checked for source in self.sources if source.id in used]
        if not checked:
            return Sentence("Tariff {file}: {name}; prices since {dates}.", dates=dates, **named)
        return Sentence(
            "Tariff {file}: {name}; prices since {dates}, checked on {checked}.",
            dates=dates,
            checked=min(checked),
            **named,
        )

    def peak_notes(self, day: date, peaks: Sequence[float]) -> list[Sentence]:
        """Return which power is paid for on a day, and what it costs, where peaks count (Flanders).

        Args:
            day: its prices are taken.
            peaks: of the months in W, in order.
        """
        period = self.on(day)
        capacity = None if period is None else period.capacity
        billed = None if capacity is None else capacity.billed(peaks)
        if period is None or capacity is None or billed is None:
            return []
        notes = [
            Sentence(
                "Tariff {file}: {billed:.3f} kW is the mean of the months above (of the newest {months}); a "
                "month counts as at least {least} kW. The bill takes the mean of {months} months.",
                file=self.file,
                billed=billed,
                months=capacity.months,
                least=capacity.minimum,
            )
        ]
        if capacity.price is not None:
            values: dict[str, Value] = {
                "price": capacity.price,
                "currency": self.currency,
                "cost": billed * capacity.price * period.with_vat,
            }
            notes.append(
                Sentence(
                    "At {price} {currency} per kW and year that would be {cost:.2f} {currency} a year, "
                    "without VAT.",
                    **values,
                )
                if period.vat is None
                else Sentence(
                    "At {price} {currency} per kW and year that would be {cost:.2f} {currency} a year, "
                    "with VAT.",
                    **values,
                )
            )
        if capacity.doubt is not None:
            notes.append(Sentence("Doubtful: capacity price: {doubt}.", doubt=capacity.doubt))
        return notes
