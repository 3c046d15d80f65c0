"""Histories to print: what a gateway would have written, as files."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.sample import QUARTER, REGISTERS, DeviceValue
from smarty_gateway.state.history_file import HistoryFile

ZONE = ZoneInfo("Europe/Luxembourg")


def second_of(text: str) -> int:
    """Return the UTC second of a local time, such as 2026-10-25."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def boundaries(
    begin: int, quarters: int, *, energy: int = 100, export: int = 0, series: int = 1
) -> Iterator[Boundary]:
    """Yield the boundaries of quarter hours that have the same energies, with gas in each of them."""
    for number in range(quarters + 1):
        end = begin + number * QUARTER
        known = {
            "energy_import": 5_000_000 * series + energy * number,
            "energy_export": 2_000_000 * series + export * number,
        }
        gas = DeviceValue("GFLO2133031470", "gas", "m³", 435_000 + 10 * number, end)
        yield Boundary(
            end,
            f"SAG{series}",
            series,
            tuple(known.get(name) for name in REGISTERS),
            max_power=4 * energy,
            min_power=0,
            telegrams=90,
            devices=(gas,),
        )


def write_history(
    folder: Path, meter: str, changes: Iterator[Boundary] | list[Boundary], *, is_simulated: bool = False
) -> None:
    """Add the history of a meter to a state folder."""
    file = HistoryFile(folder)
    file.write({meter: list(changes)})
    if is_simulated:
        file.mark_simulated(meter)
    file.close()
