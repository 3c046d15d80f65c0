"""The quarter hour: telegrams of one meter in, the registers at its boundaries out.

A register at a boundary is the one stamped with that second, else the linear interpolation between the
last telegram before and the first after it, if these are at most a minute apart, else it is not known. Energy
is the difference of two registers, never a sum of powers: what is lost between two telegrams costs nothing.

What a meter sends is not believed at once where it contradicts what it sent before:

* Its time goes back by more than a minute. If all telegrams of five minutes go on from there, its clock was
  set back, and what is stored behind that time goes; otherwise they are dropped. Telegrams whose registers
  are lower as well are old ones that somebody sends again, and are never believed.
* A register falls, or grows faster than is possible. If the next telegram confirms it, a new series begins;
  otherwise that one telegram is ignored.
* A register of the series is missing. Such telegrams do not count, and after an hour a new series begins with
  the registers that are there. Export that comes in addition counts after an hour, and the series goes on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from smarty_gateway.history.boundary import Boundary, Notice, SetBack
from smarty_gateway.history.devices import DeviceValues
from smarty_gateway.history.sample import (
    EXPORT_TARIFFS,
    EXPORT_TOTAL,
    IMPORT_TARIFFS,
    IMPORT_TOTAL,
    QUARTER,
    REGISTERS,
    DeviceValue,
    MeterPeak,
    Registers,
    Sample,
)

#: Seconds between two telegrams at most, if a boundary between them is to be known.
INTERPOLATED: Final = 60
#: A step back of the clock that changes nothing.
_SMALL_STEP: Final = 60
_BELIEVED_AFTER: Final = 300
_NEW_LAYOUT_AFTER: Final = 3600
#: Of the telegrams of five minutes; no meter sends more often than once a second.
_HELD_MAX: Final = 1000
_WAYS: Final = (
    (IMPORT_TOTAL, range(*IMPORT_TARIFFS.indices(len(REGISTERS)))),
    (EXPORT_TOTAL, range(*EXPORT_TARIFFS.indices(len(REGISTERS)))),
)
_LONG_AGO: Final = -(10**12)

Layout = tuple[int, ...]
Event = Boundary | SetBack | Notice


def layout_of(registers: Registers, like: Layout = ()) -> Layout:
    """Return which registers make import and export: for each the total, else the tariffs that are sent.

    Args:
        registers: of a telegram.
        like: the registers of the series; a total that comes later does not take the place of its tariffs.
    """
    found: list[int] = []
    for total, tariffs in _WAYS:
        sent = [index for index in tariffs if registers[index] is not None]
        by_tariffs = sent and any(index in like for index in tariffs)
        if registers[total] is not None and not by_tariffs:
            found.append(total)
        else:
            found += sent
    return tuple(found)


def _adds_a_way(before: Layout, after: Layout) -> bool:
    """True if import or export comes in addition, such as export when solar panels do."""
    added = set(after).difference(before)
    return set(before) < set(after) and not any(
        added & way and way & set(before) for way in ({total, *tariffs} for total, tariffs in _WAYS)
    )


def _of_layout(registers: Registers, layout: Layout) -> Registers:
    """Return registers without those of import and export that the series does not count.

    So a row says by itself what import and export are. Tariffs stay beside a total.
    """
    dropped: set[int] = set()
    for total, tariffs in _WAYS:
        if total not in layout:
            dropped.update({total, *tariffs}.difference(layout))
    if all(registers[index] is None for index in dropped):
        return registers
    return tuple(None if index in dropped else value for index, value in enumerate(registers))


@dataclass(slots=True)
class _Quarter:
    """What is seen of the quarter that is not over yet.

    Attributes:
        is_whole: seen from its beginning.
    """

    is_whole: bool = False
    telegrams: int = 0
    max_power: int | None = None
    min_power: int | None = None

    def add(self, sample: Sample) -> None:
        """Count a telegram."""
        self.telegrams += 1
        power = sample.net_power
        if power is not None:
            self.max_power = power if self.max_power is None else max(self.max_power, power)
            self.min_power = power if self.min_power is None else min(self.min_power, power)


@dataclass(slots=True)
class _Progress:
    """How far the registers of a series have grown.

    Attributes:
        registers: the newest.
        changed: when each of them has last changed, by its index.
        step: the smallest step of the registers in Wh, as far as seen.
    """

    registers: Registers
    changed: dict[int, int] = field(default_factory=dict)
    step: int = 1000


class QuarterTracker:
    """Turns the telegrams of one name, in the order of their arrival, into boundaries.

    Args:
        plausible_power: in W; a register that grows faster is not believed.
        newest: the newest boundary that is stored, where the history goes on.
        devices: the newest stored values of M-Bus devices, also of those that are gone.
        series: the highest number of a series that is stored.

    Attributes:
        start: the newest boundary that is known, in this run or an earlier one; None before the first, and
            after the clock was set back.
        sample: the newest telegram that counted in this run; None before it.
    """

    def __init__(
        self,
        plausible_power: int,
        newest: Boundary | None = None,
        devices: Iterable[DeviceValue] = (),
        series: int = 0,
    ) -> None:
        self.start = newest
        self.sample: Sample | None = None
        self._plausible_power = plausible_power
        self._devices = DeviceValues(devices)
        self._may_change = True  # the devices of the newest boundary, until the next one
        self._peaks: dict[int, MeterPeak] = {}
        self._changed_peaks: dict[int, MeterPeak] = {}
        self._quarter = _Quarter()
        self._meter_id: str | None = None
        self._series = 0
        self._series_used = series
        self._layout: Layout = ()
        self._progress: _Progress | None = None
        self._known_until = _LONG_AGO  # no boundary up to here changes any more
        self._time: int | None = None  # of the newest telegram that counted, in this run or an earlier one
        self._behind: list[Sample] = []  # since the clock stepped back
        self._is_refusing = False
        self._suspect: Sample | None = None
        self._odd_since: int | None = None  # since when the registers are others than those of the series
        if newest is not None:
            self._meter_id, self._series = newest.meter_id, newest.series
            self._series_used = max(series, newest.series)
            self._layout = layout_of(newest.registers)
            self._known_until = self._time = newest.end
            self._progress = _Progress(newest.registers, dict.fromkeys(self._layout, newest.end))

    def add(self, sample: Sample) -> list[Event]:
        """Take a telegram, and return what has become known by it, in order.

        A boundary that was returned before may come again, with newer values of M-Bus devices.
        """
        return list(self._by_time(sample))

    def finish(self) -> list[Event]:
        """Return what is known of the newest boundary's devices: the process stops."""
        return list(self._newer_devices())

    @property
    def series(self) -> int:
        """The number of the series that runs; 0 before there is one."""
        return self._series

    @property
    def running(self) -> Registers | None:
        """The registers at the beginning of the running quarter; None if they are not known."""
        start, sample = self.start, self.sample
        if start is None or sample is None or start.series != self._series:
            return None
        return start.registers if start.end == _boundary_before(sample.time) else None

    # The time

    def _by_time(self, sample: Sample) -> Iterator[Event]:
        """Drop a telegram of another time, or go on with it."""
        held = self._behind
        is_behind = self._time is not None and sample.time < self._time - _SMALL_STEP
        if not is_behind and (not held or sample.time - held[-1].time > _SMALL_STEP):
            held.clear()
            self._is_refusing = False
            yield from self._by_registers(sample)
            return
        if held and (sample.time < held[-1].time - _SMALL_STEP or sample.meter_id != held[-1].meter_id):
            held.clear()
        if len(held) < _HELD_MAX:
            held.append(sample)
        if sample.time - held[0].time < _BELIEVED_AFTER:
            return
        samples = held.copy()
        held.clear()
        if self._are_old(samples):
            if not self._is_refusing:
                yield Notice(
                    "telegrams come whose time and registers lie behind earlier ones: somebody sends old "
                    "ones again; the history leaves them out"
                )
            self._is_refusing = True
            return
        yield from self._set_back(samples)

    def _are_old(self, samples: Iterable[Sample]) -> bool:
        """True if the same meter had higher registers before."""
        if self._progress is None:
            return False
        before = self._progress.registers
        return any(
            sample.meter_id == self._meter_id and self._falls(before, sample.registers) for sample in samples
        )

    def _falls(self, before: Registers, after: Registers) -> bool:
        return any(_less(after[index], before[index]) for index in self._layout)

    def _set_back(self, samples: Sequence[Sample]) -> Iterator[Event]:
        first = samples[0].time
        yield SetBack(first)
        yield Notice("the clock of the meter was set back; the history goes on from there")
        self.start, self.sample, self._suspect = None, None, None
        self._quarter = _Quarter()
        self._devices.set_back(first)
        self._peaks.clear()  # what is stored of them may go, and the meter may still send it
        self._known_until, self._time = first, first
        if self._progress is not None:
            # How much time has really passed is not known.
            self._progress.changed = dict.fromkeys(self._layout, _LONG_AGO)
        for sample in samples:
            yield from self._by_registers(sample)

    # The registers

    def _by_registers(self, sample: Sample) -> Iterator[Event]:
        if sample.meter_id != self._meter_id:
            if not layout_of(sample.registers):
                return
            if self._meter_id is not None:
                yield Notice(f"meter {sample.meter_id} takes the place of {self._meter_id}")
            self._begin_series(sample)
        elif (layout := layout_of(sample.registers, self._layout)) != self._layout:
            self._odd_since = sample.time if self._odd_since is None else min(self._odd_since, sample.time)
            if layout and sample.time - self._odd_since >= _NEW_LAYOUT_AFTER:
                if _adds_a_way(self._layout, layout):
                    self._layout = layout
                else:
                    yield Notice("the meter sends other registers than before; a new series begins")
                    self._begin_series(sample)
            elif not set(self._layout) <= set(layout):
                return
        else:
            self._odd_since = None
        registers = _of_layout(sample.registers, self._layout)
        if registers is not sample.registers:
            sample = replace(sample, registers=registers)
        yield from self._by_growth(sample)

    def _begin_series(self, sample: Sample) -> None:
        self._meter_id = sample.meter_id
        self._layout = layout_of(sample.registers)
        self._series = self._series_used = self._series_used + 1
        self.sample = self._progress = self._suspect = self._odd_since = None
        self._quarter = _Quarter()

    def _by_growth(self, sample: Sample) -> Iterator[Event]:
        progress, suspect = self._progress, self._suspect
        if progress is None:
            yield from self._count(sample)
            return
        doubt = self._doubt(progress, sample)
        if doubt is None:
            self._suspect = None
            yield from self._count(sample)
            return
        self._suspect = sample
        if suspect is None:
            return
        since = _Progress(suspect.registers, dict.fromkeys(self._layout, suspect.time), progress.step)
        if self._doubt(since, sample) is None:
            yield Notice(f"{doubt}; a new series begins")
            self._begin_series(suspect)
            yield from self._count(suspect)
            yield from self._count(sample)

    def _doubt(self, progress: _Progress, sample: Sample) -> str | None:
        """Return why a telegram cannot follow; None if it can."""
        slack = 0
        if self.sample is not None and sample.time <= self.sample.time:
            slack = self.sample.time - sample.time + _SMALL_STEP  # the time between them is not known
        for index in self._layout:
            before, after = progress.registers[index], sample.registers[index]
            if before is None or after is None:
                continue
            name = REGISTERS[index]
            if after < before:
                return f"{name} fell from {before / 1000:.3f} to {after / 1000:.3f} kWh"
            passed = max(0, sample.time - progress.changed[index] + slack)
            if (after - before - progress.step) * 3600 > self._plausible_power * passed:
                return (
                    f"{name} grew from {before / 1000:.3f} to {after / 1000:.3f} kWh in {passed} s, faster "
                    f"than `plausible_power` ({self._plausible_power / 1000:g} kW) allows"
                )
        return None

    def _note_progress(self, sample: Sample) -> None:
        progress = self._progress
        if progress is None:
            self._progress = progress = _Progress(sample.registers, dict.fromkeys(self._layout, sample.time))
        elif self.sample is not None and sample.time <= self.sample.time:
            step = self.sample.time - sample.time + _SMALL_STEP
            progress.changed = {index: time - step for index, time in progress.changed.items()}
        for index in self._layout:
            has_changed = sample.registers[index] != progress.registers[index]
            if has_changed or progress.changed[index] == _LONG_AGO:
                progress.changed[index] = sample.time
        progress.registers = sample.registers
        counted = [sample.registers[index] or 0 for index in self._layout]
        while progress.step > 1 and any(value % progress.step for value in counted):
            progress.step //= 10

    # The boundaries

    def _count(self, sample: Sample) -> Iterator[Event]:
        """Count a telegram of the series."""
        before = self.sample
        self._note_progress(sample)
        if self.start is not None and sample.time >= self.start.end + QUARTER:
            yield from self._newer_devices()
            self._may_change = False
        self._devices.take(sample)
        end = _boundary_before(sample.time)
        is_new = end > self._known_until
        is_exact = end == sample.time
        if is_exact:
            self._quarter.add(sample)
        if is_new and is_exact:
            yield self._begin_quarter(end, sample.registers, sample.others)
        elif is_new and before is not None and before.time < end:
            if sample.time - before.time <= INTERPOLATED:
                registers = _registers_at(end, before, sample)
                yield self._begin_quarter(end, registers, _others_at(end, before, sample))
            else:
                self._quarter = _Quarter()
        if not is_exact:
            self._quarter.add(sample)
        for peak in sample.peaks:
            if self._peaks.get(peak.month) != peak:
                self._peaks[peak.month] = self._changed_peaks[peak.month] = peak
        self.sample, self._time = sample, sample.time

    def _begin_quarter(self, end: int, registers: Registers, others: Mapping[str, int]) -> Boundary:
        done = self._quarter
        self.start = Boundary(
            end,
            self._meter_id or "",
            self._series,
            registers,
            others,
            done.max_power if done.is_whole else None,
            done.min_power if done.is_whole else None,
            done.telegrams,
            self._devices.at(end),
            tuple(self._changed_peaks.values()),
        )
        self._changed_peaks = {}
        self._quarter = _Quarter(is_whole=True)
        self._known_until, self._may_change = end, True
        return self.start

    def _newer_devices(self) -> Iterator[Boundary]:
        """Return the newest boundary again, if a value of a device has come later that is dated before it."""
        if self.start is not None and self._may_change:
            devices = self._devices.at(self.start.end)
            if set(devices) != set(self.start.devices):
                self.start = replace(self.start, devices=devices, peaks=())
                yield self.start


def _boundary_before(time: int) -> int:
    return time - time % QUARTER


def _less(after: int | None, before: int | None) -> bool:
    return after is not None and before is not None and after < before


def _registers_at(end: int, before: Sample, after: Sample) -> Registers:
    return tuple(
        None if first is None or last is None else _between(end, before.time, first, after.time, last)
        for first, last in zip(before.registers, after.registers, strict=True)
    )


def _others_at(end: int, before: Sample, after: Sample) -> dict[str, int]:
    return {
        name: _between(end, before.time, first, after.time, after.others[name])
        for name, first in before.others.items()
        if name in after.others
    }


def _between(time: int, begin: int, first: int, end: int, last: int) -> int:
    """Return the linear interpolation at a time, rounded to whole units."""
    return first + (2 * (last - first) * (time - begin) + (end - begin)) // (2 * (end - begin))
