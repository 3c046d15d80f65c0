"""The history of the configured meters: rows, costs and levels, for commands, the page and the report."""

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache, partial
from heapq import nlargest
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from smarty_gateway.config.tariff_file import load_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.costs import PricedRow, cost_of, left_out
from smarty_gateway.history.levels import PricedLevel, compare_levels, span_of_levels, verdict
from smarty_gateway.history.local_time import (
    begin_of,
    end_of,
    first_day,
    following,
    local_date,
    midnight_of,
    month_of,
)
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, HistoryMeter, LevelCost, Peak, RegisterReading, Row
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.history.sentences import Sentence
from smarty_gateway.history.spans import sum_of
from smarty_gateway.history.stretches import Stretch, span_stretch
from smarty_gateway.history.tariffs import Tariff
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_file import history_errors, open_history
from smarty_gateway.state.history_memory import Memory
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_schema import FILE_NAME
from smarty_gateway.state.sqlite_file import PATIENCE

#: The tariff that comes with the program and has levels.
_LUXEMBOURG: Final = "lu"
_HIGHEST: Final = 10

T = TypeVar("T")

#: What a month came to takes about 1 kB, its days 30 kB: five years of several meters, and two years.
_MEMORIES: Final = {By.MONTH: Memory(2000), By.DAY: Memory(50)}


class NoHistoryError(GatewayError):
    """There is nothing to show."""

    exit_status = ExitStatus.REJECTED


class NoTariffError(GatewayError):
    """There is nothing to compare with."""

    exit_status = ExitStatus.UNUSABLE_FILE


@contextmanager
def opened_history(
    folder: Path, config: Config | None, now: int, patience: float = PATIENCE
) -> Iterator["History"]:
    """Open the history in a state folder for reading.

    Args:
        folder: of the gateway.
        config: names the meters, their reference powers and tariffs; None without a gateway.yaml.
        now: the present time in UTC seconds.
        patience: seconds to wait for another program that has locked it.

    Raises:
        NoHistoryError: there is none.
        StateBusyError: it is locked, which passes.
        GatewayError: it cannot be read.
    """
    connection = open_history(folder, patience)
    if connection is None:
        raise no_history(folder)
    zone = zone_of(config)
    with history_errors(folder / FILE_NAME), closing(connection):
        yield History(HistoryReader(connection, zone), config, zone, folder, now)


def no_history(folder: Path) -> NoHistoryError:
    """Return the error for a state folder without a history."""
    return NoHistoryError(
        f"there is no history in {folder} yet: is `smarty-gateway run` running with this state folder, or is "
        "another one needed (--state DIR)? `smarty-gateway history import FILE` reads recordings"
    )


@dataclass(frozen=True, slots=True)
class History:
    """An open history.

    Attributes:
        reader: of its file.
        config: None without a gateway.yaml.
        zone: of days, months and years.
        folder: the state folder.
        now: the present time in UTC seconds.
    """

    reader: HistoryReader
    config: Config | None
    zone: ZoneInfo
    folder: Path
    now: int
    _stored: dict[tuple[str, int, int], Hashable] = field(default_factory=dict, repr=False)

    def reference_of(self, meter: HistoryMeter) -> ReferencePower | None:
        """Return the reference power of a meter."""
        entry = self.entry_of(meter)
        return None if entry is None else entry.reference_power

    def entry_of(self, meter: HistoryMeter) -> MeterConfig | None:
        """Return the entry of a meter in the configuration."""
        return None if self.config is None else self.config.entry_of(meter.name, meter.meter_id)

    def rows(self, meter: HistoryMeter, stretch: Stretch) -> list[Row]:
        """Return the spans of a stretch, with the excess over the reference power of the meter."""
        return self._by_month(meter, stretch, self._rows)

    def span(self, meter: HistoryMeter, by: By, day: date) -> Row | None:
        """Return the day, month or year of a date as one row; None if nothing is known of it."""
        stretch = span_stretch(by, day, self.zone)
        first, last = midnight_of(first_day(by, day), self.zone), midnight_of(following(by, day), self.zone)
        if by is By.YEAR:
            key = ("devices", self._state_of(meter, first, last))
            devices = _MEMORIES[By.MONTH].of(key, partial(self.reader.devices, meter.name, first, last))
            return sum_of(self.rows(meter, stretch), range(first, last), self.now, devices)
        # A gap may lie beside it.
        rows = self.rows(meter, replace(stretch, by=by))
        return next((row for row in rows if (row.start, row.end) == (first, last)), None)

    def peaks(self, meter: HistoryMeter, first: int | None, last: int | None) -> list[Peak]:
        """Return the highest quarter hour of each month: that of the meter, if it says it."""
        return self._by_month(meter, Stretch(first, last, By.MONTH), self._peaks)

    def highest(self, meter: HistoryMeter, first: int | None, last: int | None) -> list[Peak]:
        """Return the highest quarter hours of all months together, the highest first."""
        months = self._by_month(meter, Stretch(first, last, By.MONTH), self._highest)
        return nlargest(_HIGHEST, months, key=lambda peak: peak.power)

    def registers_at(self, meter: HistoryMeter, times: Iterable[int]) -> list[RegisterReading]:
        """Return the registers at some local midnights, where they are known."""
        return [
            reading
            for time in times
            for reading in self.reader.registers(meter.name, time, time + QUARTER)
            if reading.at == time
        ]

    def lowest_power(self, meter: HistoryMeter, first: int, last: int) -> int | None:
        """Return the lowest net power in W that was seen; negative while exporting."""
        return min(self._by_month(meter, Stretch(first, last, By.MONTH), self._lowest), default=None)

    def levels(self, meter: HistoryMeter) -> list[PricedLevel]:
        """Return what each level of the meter's tariff would have meant.

        Raises:
            NoTariffError: there is no tariff, or it has no levels.
            UnusableFileError: the file of the tariff cannot be used.
        """
        tariff = _needed(self.level_tariff_of(meter), meter)
        first, last = span_of_levels(self.now, self.zone)

        def compared() -> list[LevelCost]:
            quarters = self.reader.quarters(meter.name, first, last)
            return compare_levels(tariff, quarters, self.now, self.zone)

        costs = _MEMORIES[By.MONTH].of((tariff, self._state_of(meter, first, last)), compared)
        if not costs:
            raise NoTariffError(f"the tariff {tariff.file} of {meter.name} has no levels to compare")
        return [PricedLevel(tariff, cost) for cost in costs]

    def priced(self, meter: HistoryMeter, stretch: Stretch) -> list[PricedRow]:
        """Return the spans of a stretch with their costs.

        Raises:
            NoTariffError: the configuration names no tariff.
            UnusableFileError: the file of the tariff cannot be used.
        """
        tariff = _needed(self.tariff_of(meter), meter)
        return self._by_month(meter, stretch, self._priced, tariff)

    def cost_notes(self, meter: HistoryMeter, priced: Sequence[PricedRow]) -> list[Sentence]:
        """Return what the costs of spans lack, and where their prices are from."""
        first, last = (local_date(at, self.zone) for at in (priced[0].row.start, priced[-1].row.end - 1))
        tariff = priced[0].tariff
        return [*left_out(tariff, self.reference_of(meter), first, last), *tariff.notes(first, last)]

    def peak_notes(self, meter: HistoryMeter, peaks: Sequence[Peak]) -> list[Sentence]:
        """Return which power is paid for, where the tariff counts the peaks of the months (Flanders)."""
        tariff = self.tariff_of(meter)
        months: dict[int, float] = {}
        for peak in peaks:
            months[peak.month] = max(peak.power, months.get(peak.month, 0.0))
        today = local_date(self.now, self.zone)
        return [] if tariff is None else tariff.peak_notes(today, list(months.values()))

    def _rows(self, meter: HistoryMeter, stretch: Stretch) -> list[Row]:
        reference = self.reference_of(meter)
        return self.reader.rows(meter.name, stretch.by, stretch.first, stretch.last, self.now, reference)

    def _priced(self, meter: HistoryMeter, stretch: Stretch) -> list[PricedRow]:
        tariff, reference = _needed(self.tariff_of(meter), meter), self.reference_of(meter)
        quarters = self.reader.quarters(meter.name, stretch.first, stretch.last)
        found = []
        for row in self._rows(meter, stretch):
            begin, end = (bisect_left(quarters, (time,)) for time in (row.start, row.end))
            costs = cost_of(tariff, quarters[begin:end], self.zone, reference)
            has_prices = tariff.on(local_date(row.start, self.zone)) is not None
            found.append(PricedRow(tariff, row, costs, is_whole=row.complete and has_prices))
        return found

    def _peaks(self, meter: HistoryMeter, month: Stretch) -> list[Peak]:
        return self.reader.peaks(meter.name, month.first, month.last)

    def _highest(self, meter: HistoryMeter, month: Stretch) -> list[Peak]:
        quarters = self.reader.quarters(meter.name, month.first, month.last)
        number = 0 if month.first is None else month_of(local_date(month.first, self.zone))
        highest = nlargest(_HIGHEST, quarters, key=lambda quarter: quarter[1])
        return [Peak(number, start, 4 * import_) for start, import_ in highest]

    def _lowest(self, meter: HistoryMeter, month: Stretch) -> list[int]:
        lowest = self.reader.lowest_power(meter.name, month.first, month.last)
        return [] if lowest is None else [lowest]

    def _by_month(
        self,
        meter: HistoryMeter,
        stretch: Stretch,
        found_in: Callable[[HistoryMeter, Stretch], list[T]],
        tariff: Tariff | None = None,
    ) -> list[T]:
        """Return what is found in a stretch; of days and months month by month, and it is remembered."""
        memory = _MEMORIES.get(stretch.by)
        if memory is None:
            return found_in(meter, stretch)
        begin = begin_of(By.MONTH, meter.first, self.zone)
        begin = begin if stretch.first is None else max(begin, stretch.first)
        last = max(meter.last, self.now) if stretch.last is None else stretch.last
        found: list[T] = []
        while begin < min(last, meter.last):
            end = min(last, end_of(By.MONTH, begin, self.zone))
            # Of a month that is running, the share that is known depends on the time.
            quarter = self.now // QUARTER if end > self.now else None
            key = (found_in.__name__, quarter, tariff, self._state_of(meter, begin, end))
            month = replace(stretch, first=begin, last=end)
            found += memory.of(key, partial(found_in, meter, month))
            begin = end
        return found

    def _state_of(self, meter: HistoryMeter, first: int, last: int) -> Hashable:
        """Return what the results of some time depend on, apart from a tariff: they change when this does."""
        time = (meter.name, first, last)
        if time not in self._stored:
            self._stored[time] = self.reader.fingerprint(*time)
        return self.folder, time, self._stored[time], str(self.zone), self.reference_of(meter)

    def level_tariff_of(self, meter: HistoryMeter) -> Tariff | None:
        """Return the tariff whose levels are compared: where none is named, the only one that has levels.

        It is that of Luxembourg, where no meter has registers for day and night.
        """
        newest = self.reader.rows(meter.name, By.QUARTER, meter.last - QUARTER, meter.last, self.now)
        is_elsewhere = any(row.tariffs for row in newest)
        return self.tariff_of(meter) or (None if is_elsewhere else _loaded(shipped_tariffs()[_LUXEMBOURG]))

    def level_of(self, meter: HistoryMeter) -> int | None:
        """Return the present reference power of a meter in W."""
        reference = self.reference_of(meter)
        return None if reference is None else reference.on(local_date(self.now, self.zone))

    def notes(self, meter: HistoryMeter, compared: Sequence[PricedLevel]) -> list[Sentence]:
        """Return what a comparison of levels says in words, and where its prices are from."""
        first, last = (local_date(at, self.zone) for at in span_of_levels(self.now, self.zone))
        costs = [priced.cost for priced in compared]
        assumed = (
            []
            if self.tariff_of(meter)
            else [Sentence("gateway.yaml names no tariff, so {tariff} is used.", tariff=_LUXEMBOURG)]
        )
        return [verdict(costs), *assumed, *compared[0].tariff.notes(first, last - timedelta(days=1))]

    def tariff_of(self, meter: HistoryMeter) -> Tariff | None:
        """Return the tariff of a meter.

        Raises:
            UnusableFileError: its file cannot be used.
        """
        entry = self.entry_of(meter)
        return None if entry is None or entry.tariff is None else _loaded(entry.tariff)


def _loaded(path: Path) -> Tariff:
    """Read a tariff, again only if its file has changed."""
    try:
        found = path.stat()
    except OSError:
        return load_tariff(path)
    return _load_version(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=16)
def _load_version(path: Path, _changed: int, _size: int) -> Tariff:
    return load_tariff(path)


def _needed(tariff: Tariff | None, meter: HistoryMeter) -> Tariff:
    """Raise NoTariffError if there is none."""
    if tariff is None:
        raise NoTariffError(
            f"no tariff is known for {meter.name}; add `tariff: lu` or the path of a file to its entry "
            "in gateway.yaml (docs/tariffs.md)"
        )
    return tariff
