"""What is stored: the registers of a meter at the boundaries of quarter hours."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from smarty_gateway.history.sample import DeviceValue, MeterPeak, Registers


@dataclass(frozen=True, slots=True)
class Boundary:
    """The registers of a meter at the end of a quarter hour, which is the beginning of the next.

    Attributes:
        end: divisible by 900.
        meter_id: of the electricity meter.
        series: counts the series of a name, from 1. Between two of them the growth is not known.
        registers: in the order of `REGISTERS`; of a series, the same ones are known at each boundary.
        others: the registers that few meters send.
        max_power: highest net power in W of the quarter that ends here; None if the process was not up
            throughout.
        min_power: the lowest, likewise.
        telegrams: how many counted in this quarter.
        devices: their newest values at this boundary. The same boundary comes again if one changes until
            the next boundary.
        peaks: of months, as far as they have changed since the last boundary.
    """

    end: int
    meter_id: str
    series: int
    registers: Registers
    others: Mapping[str, int] = field(default_factory=dict)
    max_power: int | None = None
    min_power: int | None = None
    telegrams: int = 0
    devices: tuple[DeviceValue, ...] = ()
    peaks: tuple[MeterPeak, ...] = ()


@dataclass(frozen=True, slots=True)
class SetBack:
    """The clock of the meter was set back: what is stored behind this time is not valid any more."""

    after: int


@dataclass(frozen=True, slots=True)
class Notice:
    """What a user should know, such as why a new series begins; without the name of the meter."""

    text: str


Change = Boundary | SetBack
