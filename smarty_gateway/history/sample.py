"""What the history needs of a telegram: absolute registers, and the second at which they were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

#: Seconds. Boundaries are where UTC seconds are divisible by this: the quarter hours of the grid operators.
QUARTER: Final = 900
TARIFFS: Final = (1, 2, 3, 4)
#: The registers that have columns of their own, by their names in the JSON object.
REGISTERS: Final = (
    "energy_import",
    *(f"energy_import_tariff_{tariff}" for tariff in TARIFFS),
    "energy_export",
    *(f"energy_export_tariff_{tariff}" for tariff in TARIFFS),
    "reactive_energy_import",
    "reactive_energy_export",
)
IMPORT_TOTAL: Final = 0
IMPORT_TARIFFS: Final = slice(1, 5)
EXPORT_TOTAL: Final = 5
EXPORT_TARIFFS: Final = slice(6, 10)

#: In the order of `REGISTERS`, in Wh and varh; None for one that the meter does not send.
Registers = tuple[int | None, ...]


def import_of(registers: Registers) -> int | None:
    """Return the register of import in Wh: the total, else the sum of the tariffs; None without any."""
    return _total_of(registers[IMPORT_TOTAL], registers[IMPORT_TARIFFS])


def export_of(registers: Registers) -> int | None:
    """Return the register of export in Wh, likewise."""
    return _total_of(registers[EXPORT_TOTAL], registers[EXPORT_TARIFFS])


def _total_of(total: int | None, tariffs: Registers) -> int | None:
    if total is not None:
        return total
    sent = [register for register in tariffs if register is not None]
    return sum(sent) if sent else None


@dataclass(frozen=True, slots=True)
class DeviceValue:
    """The register of one M-Bus device.

    Attributes:
        device: its id.
        column: its key in the JSON object when it was first seen, such as `gas`; it keeps it.
        unit: of the JSON object, such as m³.
        value: in thousandths of the unit: litres, MJ, Wh.
        dated: when it was read.
    """

    device: str
    column: str
    unit: str
    value: int
    dated: int


@dataclass(frozen=True, slots=True)
class MeterPeak:
    """The highest quarter hour of a month, as the meter itself says (1-0:1.6.0, 0-0:98.1.0).

    Attributes:
        month: as 202610.
        power: in W.
        ended: when the quarter ended.
    """

    month: int
    power: int
    ended: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One telegram, as far as the history needs it.

    Attributes:
        meter_id: of the electricity meter; another one begins a new series.
        time: of the meter, else of the arrival.
        registers: in the order of `REGISTERS`.
        others: the registers that few meters send, by their names in the JSON object.
        power_import: in W; None if the meter does not send it.
        net_power: import less export in W; None if the meter sends neither.
        demand: mean power of the running quarter so far, times its share (1-0:1.4.0), in W.
        peaks: of the months, as the meter says.
    """

    meter_id: str
    time: int
    registers: Registers
    others: Mapping[str, int] = field(default_factory=dict)
    power_import: int | None = None
    net_power: int | None = None
    demand: int | None = None
    devices: tuple[DeviceValue, ...] = ()
    peaks: tuple[MeterPeak, ...] = ()
