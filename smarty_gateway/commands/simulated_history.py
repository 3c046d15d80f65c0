"""`simulate --into STATE`: the history of a simulated house, for demos and tests, written in seconds."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import midnight_of
from smarty_gateway.history.rows import HistoryMeter
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import SimulatedMeter
from smarty_gateway.simulator.year import boundaries
from smarty_gateway.state.history_file import HistoryFile, history_errors, open_history
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_schema import FILE_NAME

_NAME: Final = "simulated-house"
_ZONE: Final = ZoneInfo("Europe/Luxembourg")
#: Written at once: about a month. A gateway that uses the file does not wait long.
_AT_ONCE: Final = 3_000


class SimulatedHistoryError(GatewayError):
    """This history cannot be written."""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when a history goes.

    Attributes:
        days: how many whole days.
        until: the day before whose beginning it ends; None for "up to now".
        has_gaps: the gateway was away for some hours of some days.
    """

    days: int
    until: date | None
    has_gaps: bool

    def seconds(self, now: datetime) -> range:
        """Return begin and end in seconds since 1970.

        Raises:
            SimulatedHistoryError: it begins before simulated meters do, or ends in the future.
        """
        until = now.astimezone(_ZONE).date() if self.until is None else self.until
        if (until - BEGINNING.date()).days < self.days:
            raise SimulatedHistoryError(
                f"simulated meters begin on {BEGINNING.date()}, which is less than {self.days} days before "
                f"{until}; fewer --days or a later --until is needed"
            )
        end = midnight_of(until, _ZONE)
        if end > now.timestamp():
            raise SimulatedHistoryError(f"--until {until} lies in the future; leave it out to end now")
        if self.until is None:
            end = int(now.timestamp()) // QUARTER * QUARTER
        return range(midnight_of(until - timedelta(days=self.days), _ZONE), end)


def write_histories(folder: Path, meters: Sequence[SimulatedMeter], seed: int, span: Span) -> None:
    """Write the history of each meter in place of what was simulated before, and print a line for each.

    Raises:
        GatewayError: a meter of the same name has been measured, or the file cannot be written.
    """
    seconds = span.seconds(datetime.now(UTC))
    names = [_NAME if meter.number == 1 else f"{_NAME}-{meter.number}" for meter in meters]
    with history_errors(folder / FILE_NAME):
        measured = {meter.name for meter in _meters_in(folder) if not meter.is_simulated}
        if taken := measured.intersection(names):
            raise SimulatedHistoryError(
                f"{folder} has a measured history of {min(taken)}; name another folder, or another --number"
            )
        # A gateway may use the folder: only it may replace a damaged file.
        with contextlib.closing(HistoryFile(folder, repairs=False)) as history:
            for name, meter in zip(names, meters, strict=True):
                found = boundaries(meter, seed, _ZONE, seconds, has_gaps=span.has_gaps)
                count = _replace(history, name, found)
                print(printable(f"{name:17}  {meter.kind:11}  {count} quarter hours in {history.path}"))


def _replace(history: HistoryFile, name: str, found: Iterator[Boundary]) -> int:
    """Write a history in place of an earlier one, and return how many quarter hours it has."""
    history.forget(name)
    history.mark_simulated(name)
    count = 0
    while chunk := list(islice(found, _AT_ONCE)):
        history.write({name: chunk})
        count += len(chunk)
    return count


def _meters_in(folder: Path) -> list[HistoryMeter]:
    connection = open_history(folder)
    if connection is None:
        return []
    with contextlib.closing(connection):
        return HistoryReader(connection, _ZONE).meters()
