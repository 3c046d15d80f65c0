"""Boundaries of meters, and files of them as a gateway would have written them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import QUARTER, REGISTERS, DeviceValue, Registers
from smarty_gateway.state.history_file import HistoryFile

ZONE = ZoneInfo("Europe/Luxembourg")
#: Quarter hours since 1970, in 2024.
FIRST = 1_900_000


def second_of(text: str) -> int:
    """Return the UTC second of a local time, such as 2026-10-25."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


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
    """Return the boundary of a quarter hour, counted from `FIRST`: each draws 100 Wh and delivers 50 Wh."""
    imported = 1000 + quarter * 100 if wh is None else wh
    return Boundary(
        (FIRST + quarter) * QUARTER, meter_id, series,
        registers(energy_import=imported, energy_export=quarter * 50), others or {}, 4000, -500, 90,
        tuple(devices),
    )  # fmt: skip


def gas(quarter: int, litres: int, device: str = "G1", column: str = "gas") -> DeviceValue:
    """Return a value of a gas meter that is dated at a boundary."""
    return DeviceValue(device, column, "m³", litres, (FIRST + quarter) * QUARTER)


def boundaries(
    begin: int, quarters: int, *, energy: int = 100, export: int = 0, series: int = 1
) -> Iterator[Boundary]:
    """Yield the boundaries of quarter hours that have the same energies, with gas in each of them."""
    for number in range(quarters + 1):
        end = begin + number * QUARTER
        known = registers(
            energy_import=5_000_000 * series + energy * number,
            energy_export=2_000_000 * series + export * number,
        )
        devices = (DeviceValue("GFLO2133031470", "gas", "m³", 435_000 + 10 * number, end),)
        yield Boundary(end, f"SAG{series}", series, known, {}, 4 * energy, 0, 90, devices)


def write_history(
    folder: Path, meter: str, changes: Iterable[Boundary], *, is_simulated: bool = False
) -> None:
    """Add the history of a meter to a state folder."""
    with closing(HistoryFile(folder)) as file:
        file.write({meter: list(changes)})
        if is_simulated:
            file.mark_simulated(meter)
