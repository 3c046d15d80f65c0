"""Opens the history for reading, beside a running gateway too."""

import argparse
import difflib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from smarty_gateway.commands.chosen import chosen_config
from smarty_gateway.commands.history_range import Stretch
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, HistoryMeter, LevelCost, Peak, RegisterReading, Row
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.history_file import open_history
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.state_file import state_folder

#: More names than these are not listed in an error.
_MOST_NAMES: Final = 20


class NoHistoryError(GatewayError):
    """There is nothing to show."""

    exit_status = ExitStatus.REJECTED


class NoSuchMeterError(GatewayError):
    """The history knows no meter of this name."""


class Reader(Protocol):
    """What the commands need of the history."""

    def meters(self) -> list[HistoryMeter]:
        """Return the meters that have a history."""

    def rows(
        self,
        meter: str,
        by: By,
        first: int | None,
        last: int | None,
        now: int,
        reference: ReferencePower | None = None,
    ) -> list[Row]:
        """Return the spans of a stretch."""

    def peaks(self, meter: str, first: int | None, last: int | None, count: int = 1) -> list[Peak]:
        """Return the highest quarter hours of each month."""

    def registers(self, meter: str, first: int | None, last: int | None) -> list[RegisterReading]:
        """Return the registers at the beginning of each day."""


@dataclass(frozen=True, slots=True)
class History:
    """An open history.

    Attributes:
        reader: of its file.
        config: None without a gateway.yaml.
        zone: of days, months and years.
        folder: the state folder.
    """

    reader: Reader
    config: Config | None
    zone: ZoneInfo
    folder: Path

    def reference_of(self, meter: HistoryMeter) -> ReferencePower | None:
        """Return the reference power of a meter."""
        entries = () if self.config is None else self.config.meters
        for entry in entries:
            name = None if entry.name is None else topic_part(entry.name)
            is_only = len(entries) == 1 and entry.name is entry.id is None
            if is_only or name == meter.name or (name is None and entry.id in (meter.name, meter.meter_id)):
                return entry.reference_power
        return None

    def rows(self, meter: HistoryMeter, by: By, stretch: Stretch, now: int) -> list[Row]:
        """Return the spans of a stretch, with the excess over the reference power of the meter."""
        reference = self.reference_of(meter)
        return self.reader.rows(meter.name, by, stretch.first, stretch.last, now, reference)

    def levels(self, meter: HistoryMeter, now: int) -> list[LevelCost]:
        """Return the comparison of levels."""
        raise NotImplementedError

    def extent(self, meter: HistoryMeter) -> str:
        """Return which time the history of a meter covers."""
        first, last = (datetime.fromtimestamp(at, self.zone) for at in (meter.first, meter.last))
        return f"{meter.name} from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"

    def chosen(self, name: str | None, subcommands: Iterable[str]) -> list[HistoryMeter]:
        """Return the named meter, else all of them.

        Raises:
            NoHistoryError: there is none yet.
            NoSuchMeterError: none has this name.
        """
        meters = self.reader.meters()
        if not meters:
            raise _no_history(self.folder)
        found = [meter for meter in meters if name in (None, meter.name)]
        if found:
            return found
        names = [meter.name for meter in meters]
        close = difflib.get_close_matches(str(name), [*names, *subcommands], 1)
        meant = f"did you mean {close[0]}? " if close else ""
        more = " …" if len(names) > _MOST_NAMES else ""
        raise NoSuchMeterError(
            f"the history in {self.folder} has no meter {name!r}; {meant}known are: "
            f"{', '.join(names[:_MOST_NAMES])}{more}"
        )


@contextmanager
def open_reader(args: argparse.Namespace) -> Iterator[History]:
    """Open the history that the options name.

    Raises:
        NoHistoryError: there is none.
        UnusableFileError: the configuration cannot be used.
    """
    config = chosen_config(args)
    folder = state_folder(args.state or (None if config is None else config.state))
    connection = open_history(folder)
    if connection is None:
        raise _no_history(folder)
    zone = zone_of(config)
    with closing(connection):
        yield History(HistoryReader(connection, zone), config, zone, folder)


def _no_history(folder: Path) -> NoHistoryError:
    return NoHistoryError(
        f"there is no history in {folder} yet: is `smarty-gateway run` running with this state folder, or is "
        "another one needed (--state DIR)? `smarty-gateway history import FILE` reads recordings"
    )
