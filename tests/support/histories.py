"""Boundaries of a meter that draws 100 Wh and delivers 50 Wh in each quarter hour."""

from collections.abc import Iterable, Mapping

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import QUARTER, REGISTERS, DeviceValue, Registers

#: Quarter hours since 1970, in 2024.
FIRST = 1_900_000


def registers(**known: int) -> Registers:
    return tuple(known.get(name) for name in REGISTERS)


def boundary(  # noqa: PLR0913 - each test changes another one
    quarter: int,
    meter_id: str = "SAG1030700012345",
    series: int = 1,
    *,
    wh: int | None = None,
    devices: Iterable[DeviceValue] = (),
    others: Mapping[str, int] | None = None,
) -> Boundary:
    """Return the boundary of a quarter hour, counted from `FIRST`."""
    imported = 1000 + quarter * 100 if wh is None else wh
    return Boundary(
        (FIRST + quarter) * QUARTER, meter_id, series,
        registers(energy_import=imported, energy_export=quarter * 50), others or {}, 4000, -500, 90,
        tuple(devices),
    )  # fmt: skip


def gas(quarter: int, litres: int, device: str = "G1", column: str = "gas") -> DeviceValue:
    """Return a value of a gas meter that is dated at a boundary."""
    return DeviceValue(device, column, "m³", litres, (FIRST + quarter) * QUARTER)
