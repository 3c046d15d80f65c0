"""The quarter hour that is not over yet: what it has drawn, and what it will have drawn.

With it come the sums of the running day, month and year, which go on with each boundary.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.local_time import begin_of, end_of, local_date, month_of
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, Peak, Row
from smarty_gateway.history.sample import QUARTER, MeterPeak, Registers, Sample, export_of, import_of

#: W. In Flanders a month whose peak is lower is billed as if it had this one.
FLEMISH_MINIMUM_PEAK: Final = 2500
_HOUR: Final = 3600
#: Before this many seconds of a quarter hour have passed, its mean says little.
_MEAN_AFTER: Final = 10
#: What a quarter hour may still draw is spread over at least this many seconds.
_LEAST_REST: Final = 60


class Totals(NamedTuple):
    """What the running day, month and year have brought, in Wh.

    Attributes:
        excess_day: over complete quarters, as for month and year; None before its first known boundary.
        import_day: from the first known boundary of the day to the newest telegram.
        covered_day: the share of the quarters of the day so far that are complete.
        peak: the highest complete quarter of the month.
    """

    excess_day: float | None
    excess_month: float | None
    excess_year: float | None
    import_day: int | None
    export_day: int | None
    covered_day: float
    peak: Peak | None


@dataclass(frozen=True, slots=True)
class RunningQuarter:
    """The running quarter of a meter at its newest telegram (docs/reference.md, "Over MQTT").

    Attributes:
        zone: of the times in the JSON object.
        start: of the quarter.
        elapsed: seconds of the quarter so far.
        energy: imported so far in Wh.
        power: present import power in W.
        reference: the reference power in W.
        limit: what the mean should not exceed, in W: the reference power or the month's peak.
        peak: the highest quarter of the month.
        totals: of the running day, month and year; None while they are not known.
    """

    zone: ZoneInfo
    start: int
    elapsed: int
    energy: float | None = None
    power: int | None = None
    reference: float | None = None
    limit: float | None = None
    peak: Peak | None = None
    totals: Totals | None = None

    @property
    def mean_power(self) -> float | None:
        """Return the mean import power so far in W; None in the first seconds."""
        if self.energy is None or self.elapsed < _MEAN_AFTER:
            return None
        return self.energy * _HOUR / self.elapsed

    @property
    def forecast_power(self) -> float | None:
        """Return the mean of the whole quarter in W if the power stays as it is."""
        if self.energy is None or self.power is None:
            return None
        return (self.energy * _HOUR + max(0, self.power) * (QUARTER - self.elapsed)) / QUARTER

    @property
    def allowed_power(self) -> float | None:
        """Return the power in W from now on with which the quarter reaches its limit."""
        if self.energy is None or self.limit is None:
            return None
        rest = max(_LEAST_REST, QUARTER - self.elapsed)
        return max(0.0, (self.limit * QUARTER - self.energy * _HOUR) / rest)

    @property
    def excess(self) -> float | None:
        """Return the energy so far beyond the reference power in Wh."""
        if self.energy is None or self.reference is None:
            return None
        return max(0.0, self.energy - self.reference / 4)

    @property
    def will_exceed(self) -> bool | None:
        """True if the forecast is above the limit."""
        forecast = self.forecast_power
        return None if forecast is None or self.limit is None else forecast > self.limit

    def as_object(self) -> dict[str, Any]:
        """Return the JSON object of `METER/quarter`, with what is known of it, in kWh and kW."""
        totals, excess = self.totals, None if self.reference is None else self.totals
        found = {
            "start": self._local(self.start),
            "import": _thousandth(self.energy),
            "mean_power": _thousandth(self.mean_power),
            "forecast_power": _thousandth(self.forecast_power),
            "allowed_power": _thousandth(self.allowed_power),
            "reference_power": _thousandth(self.reference),
            "excess": _thousandth(self.excess),
            "excess_day": _thousandth(excess and excess.excess_day),
            "excess_month": _thousandth(excess and excess.excess_month),
            "excess_year": _thousandth(excess and excess.excess_year),
            "peak_month": None if self.peak is None else _thousandth(self.peak.power),
            "peak_month_time": None if self.peak is None else self._local(self.peak.start),
            "import_day": _thousandth(totals and totals.import_day),
            "export_day": _thousandth(totals and totals.export_day),
            "covered_day": totals and round(totals.covered_day, 3),
            "will_exceed": self.will_exceed,
        }
        return {name: value for name, value in found.items() if value is not None}

    def _local(self, time: int) -> str:
        return datetime.fromtimestamp(time, self.zone).isoformat()


@dataclass(slots=True)
class _Span:
    """A running day, month or year.

    Attributes:
        excess: of its complete quarters in Wh.
    """

    by: By
    begin: int = 0
    end: int = 0
    excess: float = 0.0


class RunningSums:
    """What the running day, month and year of one meter have brought, up to its newest boundary.

    Args:
        zone: of the days.
        reference: the reference power, if there is one.
        last: the newest boundary that is stored, where the sums go on.
        quarters: the rows by quarter of its day up to there.
        days: the rows by day of its year, without its own day; their excess counts.
        peak: the highest quarter of its month so far.

    Attributes:
        last: the newest boundary that is counted.
    """

    __slots__ = ("_complete", "_exported", "_imported", "_peak", "_reference", "_spans", "_zone", "last")

    def __init__(  # noqa: PLR0913 - what a file holds of a meter
        self,
        zone: ZoneInfo,
        reference: ReferencePower | None = None,
        last: Boundary | None = None,
        *,
        quarters: Iterable[Row] = (),
        days: Iterable[Row] = (),
        peak: Peak | None = None,
    ) -> None:
        self.last = last
        self._zone = zone
        self._reference = reference
        self._spans = tuple(_Span(by) for by in (By.DAY, By.MONTH, By.YEAR))
        self._imported = self._exported = self._complete = 0
        if last is not None:
            self._roll(last.end)
        for row in quarters:
            self._imported += row.import_ or 0
            self._exported += row.export or 0
            self._complete += QUARTER if row.complete else 0
            self._add_excess(row.start, row.excess or 0.0)
        for row in days:
            self._add_excess(row.start, row.excess or 0.0)
        self._peak = peak

    def _roll(self, time: int) -> None:
        """Go on to the day of a time, unless it is an earlier one."""
        day, month, _ = self._spans
        if time < day.end:
            return
        self._imported = self._exported = self._complete = 0
        if time >= month.end:
            self._peak = None
        for span in self._spans:
            if time >= span.end:
                span.begin, span.end = begin_of(span.by, time, self._zone), end_of(span.by, time, self._zone)
                span.excess = 0.0

    def _add_excess(self, start: int, excess: float) -> None:
        for span in self._spans:
            if start >= span.begin:
                span.excess += excess

    def add(self, boundary: Boundary) -> None:
        """Go on to a boundary; one that comes again changes nothing."""
        last = self.last
        if last is not None and boundary.end <= last.end:
            return
        self.last = boundary
        start = boundary.end - QUARTER
        self._roll(start)
        if last is None or last.series != boundary.series:
            return
        imported, exported = _growth(last.registers, boundary.registers)
        day = self._spans[0]
        if last.end >= day.begin:
            self._imported += imported or 0
            self._exported += exported or 0
            self._complete += QUARTER if last.end == start else 0
        if last.end == start and imported is not None:
            self._add_import(start, imported)

    def _add_import(self, start: int, imported: int) -> None:
        """Add what a complete quarter imported."""
        day = local_date(start, self._zone)
        reference = None if self._reference is None else self._reference.on(day)
        if reference is not None:
            self._add_excess(start, max(0.0, imported - reference / 4))
        power = imported * _HOUR / QUARTER
        if start >= self._spans[1].begin and (self._peak is None or power > self._peak.power):
            self._peak = Peak(month_of(day), start, power)

    def at(self, sample: Sample, series: int) -> Totals:
        """Return the sums up to a telegram of a series."""
        start = sample.time - sample.time % QUARTER
        self._roll(start)
        last, day = self.last, self._spans[0]
        excess_day, excess_month, excess_year = (
            span.excess if last is not None and last.end >= span.begin else None for span in self._spans
        )
        imported = exported = None
        if last is not None and last.end >= day.begin:
            more = _growth(last.registers, sample.registers) if last.series == series else (0, 0)
            imported, exported = (
                None if growth is None else before + growth
                for before, growth in zip((self._imported, self._exported), more, strict=True)
            )
        covered = self._complete / (start - day.begin) if start > day.begin else 1.0
        return Totals(excess_day, excess_month, excess_year, imported, exported, covered, self._peak)


def running_quarter(
    newest: Sample | None,
    tracker: QuarterTracker | None,
    zone: ZoneInfo,
    reference: ReferencePower | None,
    sums: RunningSums | None,
) -> RunningQuarter | None:
    """Return the running quarter of a meter; None before its first telegram.

    Args:
        newest: its telegram; the newest one that counts takes its place, if there is one.
        tracker: of the meter; None while it is not known what is stored.
        zone: of its days.
        reference: its reference power, if there is one.
        sums: of the meter; None while they are not known.
    """
    counted = None if tracker is None else tracker.sample
    sample = newest if counted is None else counted
    if sample is None:
        return None
    start = sample.time - sample.time % QUARTER
    day = local_date(start, zone)
    # What does not count may have any time, and sums never go back.
    totals = None if tracker is None or counted is None or sums is None else sums.at(counted, tracker.series)
    month = month_of(day)
    peak = next((_as_peak(found) for found in sample.peaks if found.month == month), None)
    if peak is None and totals is not None:
        peak = totals.peak
    power: float | None = None if reference is None else reference.on(day)
    limit = power
    if limit is None and sample.peaks:
        limit = max(FLEMISH_MINIMUM_PEAK, 0 if peak is None else peak.power)
    begin = None if tracker is None else tracker.running
    return RunningQuarter(
        zone, start, sample.time - start, _energy(begin, sample), sample.power_import, power, limit, peak,
        totals,
    )  # fmt: skip


def _energy(begin: Registers | None, sample: Sample) -> float | None:
    """Return what the quarter has imported since its beginning in Wh."""
    imported = None if begin is None else _growth(begin, sample.registers)[0]
    if imported is None and sample.demand is not None:
        return sample.demand * QUARTER / _HOUR
    return imported


def _growth(before: Registers, after: Registers) -> tuple[int | None, int | None]:
    """Return import and export between two telegrams of a series in Wh, as far as it sends them."""
    imported, exported = (
        None if first is None or last is None else last - first
        for first, last in (
            (import_of(before), import_of(after)),
            (export_of(before), export_of(after)),
        )
    )
    return imported, exported


def _as_peak(found: MeterPeak) -> Peak:
    return Peak(found.month, found.ended - QUARTER, found.power, is_of_meter=True)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else round(value / 1000, 3)
