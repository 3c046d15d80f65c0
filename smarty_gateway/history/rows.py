"""What the history prints: one row for each span of time, with its energies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class By(StrEnum):
    """How long the spans are. Days, months and years are local time."""

    QUARTER = "quarter"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class DeviceEnergy:
    """What an M-Bus device counted in a span, in thousandths of its unit."""

    amount: int
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    """One span of one meter. Energies are in Wh, None where not known.

    Attributes:
        start: of the span, or of the gap.
        end: likewise.
        import_: what came from the grid; a lower bound where `covered` is below 1.
        export: what went to the grid, likewise.
        known_seconds: the time in which `import_` flowed, for its mean power.
        max_power: highest net power in W that was seen.
        excess: over the reference power, a multiple of 0.25 Wh, and so exact; None without one.
        complete: all quarter hours of the span are known, whatever the gateway's clock says.
        covered: the share of the span in complete quarters, of a running span that of what is over.
        tariffs: `import_t1` … as far as the meter has tariffs.
        devices: by column, such as `gas`, as far as they are known.
    """

    start: int
    end: int
    import_: int | None
    export: int | None
    known_seconds: int
    max_power: int | None
    excess: float | None
    complete: bool
    covered: float | None
    tariffs: Mapping[str, int] = field(default_factory=dict)
    devices: Mapping[str, DeviceEnergy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryMeter:
    """A meter that has a history.

    Attributes:
        name: as in the topics.
        first: its first boundary.
        last: its newest.
        meter_id: of its newest series.
        is_simulated: nobody has measured this; it is shown everywhere.
    """

    name: str
    first: int
    last: int
    meter_id: str
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Peak:
    """A high quarter hour.

    Attributes:
        month: as 202610.
        start: of the quarter.
        power: its mean in W.
        is_of_meter: the meter says so (1-0:1.6.0, 0-0:98.1.0), it is not computed.
    """

    month: int
    start: int
    power: float
    is_of_meter: bool = False


@dataclass(frozen=True, slots=True)
class RegisterReading:
    """The registers at one boundary, such as the beginning of a day.

    Attributes:
        values: in Wh, varh, by name: `import`, `import_t1` …, `export` …, `reactive_import` …
        devices: by column, in thousandths of the unit.
    """

    at: int
    meter_id: str
    values: Mapping[str, int]
    devices: Mapping[str, DeviceEnergy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LevelCost:
    """One level of a tariff: what the last 12 months would have cost at it.

    Attributes:
        kilowatts: the reference power.
        excess: of these months in Wh, as measured, never scaled.
        covered: the share of these months in complete quarters.
        costs: by reading of a doubtful price (see the tariff file), in the tariff's currency; empty without
            prices.
        is_cheapest: under every reading, with too little missing to change that.
    """

    kilowatts: float
    excess: float
    covered: float
    costs: Mapping[str, float] = field(default_factory=dict)
    is_cheapest: bool = False
