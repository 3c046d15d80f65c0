"""The history of all meters: their telegrams in, their quarter hours in history.sqlite3.

Readers bring telegrams and never wait for the disk. A thread reads what is stored of a meter when its first
telegram has come, and writes what has become known, a few seconds after each quarter hour. An SD card wears
out by writing, so the frame counters are written at the same moment.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.config.clock_sync import is_synchronised
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.fault_log import Condition, until_it_works
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.history.boundary import Boundary, Change, Notice, SetBack
from smarty_gateway.history.local_time import begin_of
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.rows import By
from smarty_gateway.history.running_quarter import RunningQuarter, RunningSums, running_quarter
from smarty_gateway.history.sample import Sample
from smarty_gateway.logs import crash_of
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.safe_text import printable, topic_part
from smarty_gateway.state.history_file import HistoryFile
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.sqlite_file import StateBusyError, StateError

_log = logging.getLogger(__name__)

#: Writes into a history before it is used; see `HistoryKeeper.prepare`.
Prepare = Callable[[HistoryFile, Callable[[], bool]], None]

#: Seconds after which what has become known is written; what becomes known meanwhile is written with it.
_WRITE_AFTER: Final = 8.0
_AGAIN_AFTER: Final = 30.0
#: Times as long as reading the sums of one meter took until those of the next are read: of a hundred meters
#: with a year each that is half a minute of the processor, and readings come first.
_SUMS_PAUSE: Final = 2
_DAY: Final = 86_400
#: Telegrams of a meter that wait until what is stored of it was read.
_WAITING_MAX: Final = 600
#: Boundaries of all meters that wait for a disk on which nothing can be written: of four meters a month.
_KEPT_MAX: Final = 10_000
_KEPT_LEAST: Final = 8
#: Of each meter; a hostile source must not fill the log.
_NOTICES_MAX: Final = 20


@dataclass(slots=True)
class _Course:
    """The history of one meter as it goes on.

    Attributes:
        name: in the file, as in topics.
        tracker: None until what is stored was read.
        sums: of its day, month and year; None until they were read.
        waiting: telegrams that came before the tracker was there.
        changes: what is to be written.
    """

    name: str
    plausible_power: int
    reference: ReferencePower | None
    tracker: QuarterTracker | None = None
    sums: RunningSums | None = None
    waiting: list[Sample] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notices: int = 0
    is_misdated: bool = False


class HistoryKeeper:
    """Keeps the history of every meter that the configuration names or a key authenticates.

    Args:
        config: names the meters.
        file: where the history is kept; closed by `stop`.
        clock_is_right: whether the gateway's clock may be believed.

    Attributes:
        prepare: called by the thread before anything is read, with the file and what says whether to stop.
        save_counters: writes the frame counters; called with each transaction.
        failure: why the thread died.
    """

    def __init__(
        self, config: Config, file: HistoryFile, clock_is_right: Callable[[], bool] = is_synchronised
    ) -> None:
        self.prepare: Prepare = lambda *_: None
        self.save_counters: Callable[[], None] = lambda: None
        self.failure: str | None = None
        self._config = config
        self._zone = zone_of(config)
        self._file = file
        self._clock_is_right = clock_is_right
        self._courses: dict[str, _Course] = {}
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._write_at: float | None = None
        self._unread: deque[_Course] = deque()
        self._read_at = 0.0
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="history", daemon=True)
        self._fault = Condition(_log.error, cleared=_log.info)
        self._unreadable = Condition(_log.error, cleared=_log.info)
        self._noticed = 0
        self._log_notices()

    @property
    def is_kept(self) -> bool:
        """True if what becomes known outlives the process."""
        return self._file.is_kept and not (self._fault.is_on or self._unreadable.is_on)

    def _log_notices(self) -> None:
        """Log what the file has to say since the last call."""
        for notice in self._file.notices[self._noticed :]:
            self._noticed += 1
            _log.error("%s", printable(notice))

    # What readers call

    def sample_of(self, telegram: MeterTelegram, received: datetime) -> Sample | None:
        """Return what the history needs of a telegram, dated by the clock that is believed."""
        sample = sample_of(telegram, received, self._zone)
        return None if sample is None else self._dated(sample, received)

    def _dated(self, sample: Sample, received: datetime) -> Sample:
        """Return a telegram by the gateway's clock, if the meter's is wrong by more than a day."""
        arrived = int(received.timestamp())
        late = arrived - sample.time
        if abs(late) <= _DAY or not self._clock_is_right():
            return sample
        devices = tuple(replace(device, dated=device.dated + late) for device in sample.devices)
        return replace(sample, time=arrived, devices=devices, peaks=())

    def add(self, meter: Meter, telegram: MeterTelegram, received: datetime) -> RunningQuarter | None:
        """Count a telegram of a live source, and return the running quarter of its meter.

        What was held back of the meter before is counted first.
        """
        if meter.sources is None and telegram.security is not Security.AUTHENTICATED:
            meter.held = []
            return None
        sample = sample_of(telegram, received, self._zone)
        with self._lock:
            course = self._courses.get(meter.name) or self._begin(meter.name, telegram.meter_id)
            held, meter.held = meter.held, []
            for earlier in held:
                self._count(course, earlier)
            if sample is not None:
                dated = self._dated(sample, received)
                if self._is_doubtful(course, dated, received):
                    self._warn_of_clock(
                        course,
                        "behind its history, and the gateway's is not synchronised; the history leaves its "
                        "readings out until one of them is right",
                    )
                else:
                    if dated is not sample:
                        self._warn_of_clock(
                            course,
                            "off the gateway's, which is synchronised; the history dates its readings by the "
                            "gateway's clock",
                        )
                    self._count(course, dated)
                sample = dated
            quarter = running_quarter(sample, course.tracker, self._zone, course.reference, course.sums)
        self._flush()
        return quarter

    def _is_doubtful(self, course: _Course, sample: Sample, received: datetime) -> bool:
        """True if a meter is a day behind its history, which agrees with a clock that is not synchronised.

        After a start without network, a meter that was dated by the gateway's clock must remove nothing.
        """
        newest = None if course.tracker is None else course.tracker.start
        return (
            newest is not None
            and sample.time < newest.end - _DAY
            and abs(received.timestamp() - newest.end) <= _DAY
            and not self._clock_is_right()
        )

    def _warn_of_clock(self, course: _Course, what: str) -> None:
        if not course.is_misdated:
            course.is_misdated = True
            self._lines.append(f"{printable(course.name)}: its clock is more than a day {what}")

    def _begin(self, meter: str, meter_id: str) -> _Course:
        entry = self._config.entry_of(meter, meter_id)
        course = self._courses[meter] = _Course(
            topic_part(meter),
            MeterConfig(()).plausible_watts if entry is None else entry.plausible_watts,
            None if entry is None else entry.reference_power,
        )
        self._unread.append(course)
        self._wake.set()
        return course

    def _count(self, course: _Course, sample: Sample) -> None:
        if course.tracker is None:
            if len(course.waiting) < _WAITING_MAX:
                course.waiting.append(sample)
            return
        for event in course.tracker.add(sample):
            self._note(course, event)

    def _note(self, course: _Course, event: Boundary | SetBack | Notice) -> None:
        if isinstance(event, Notice):
            course.notices += 1
            if course.notices <= _NOTICES_MAX:
                self._lines.append(f"{printable(course.name)}: {printable(event.text)}")
            return
        if isinstance(event, SetBack):
            course.sums = None  # read again when this is written
        elif course.sums is not None:
            course.sums.add(event)
        course.changes.append(event)
        if self._write_at is None:
            self._write_at = time.monotonic() + _WRITE_AFTER
            self._wake.set()

    def _flush(self) -> None:
        """Log what was collected; without the lock, because the reader of the log may be slow."""
        while self._lines:
            with self._lock:
                lines, self._lines = self._lines, []
            for line in lines:
                _log.warning("%s", line)

    # What the supervisor calls

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what is known, and wait for that."""
        self._stopping.set()
        self._wake.set()
        self._thread.join(seconds)

    # The thread

    def _run(self) -> None:
        if crash := crash_of(self._keep):
            self.failure = f"the history failed: {crash}"

    def _keep(self) -> None:
        with closing(self._file):
            self.prepare(self._file, self._stopping.is_set)
            while not self._stopping.is_set():
                now = time.monotonic()
                if self._write_at is not None and now >= self._write_at:
                    self._write()
                elif self._unread and now >= self._read_at:
                    self._read(self._unread[0])
                else:
                    self._wake.wait(self._seconds_to_wait(now))
                    self._wake.clear()
            self._finish()

    def _seconds_to_wait(self, now: float) -> float | None:
        due = [] if self._write_at is None else [self._write_at]
        due += [self._read_at] if self._unread else []
        return max(0.0, min(due) - now) if due else None

    def _read(self, course: _Course) -> None:
        """Read what is stored of a meter: its newest boundary, and when all meters have that, its sums."""
        try:
            if course.tracker is None:
                self._open(course)
                self._unread.append(course)
            else:
                began = time.monotonic()
                self._read_sums(course)
                now = time.monotonic()
                self._read_at = now + _SUMS_PAUSE * (now - began)
        except (sqlite3.Error, StateError, StateBusyError) as error:
            self._read_at = time.monotonic() + _AGAIN_AFTER
            self._unread.rotate(-1)  # only the rows of this meter may be damaged
            self._unreadable.begin(until_it_works(f"the history {self._file.path} cannot be read: {error}"))
            return
        self._unreadable.end("the history can be read again")
        self._unread.popleft()

    def _open(self, course: _Course) -> None:
        file, name = self._file, course.name
        stored = file.newest(name), file.newest_devices(name), file.newest_series(name)
        with self._lock:
            course.tracker = QuarterTracker(course.plausible_power, *stored)
            waiting, course.waiting = course.waiting, []
            for sample in waiting:
                self._count(course, sample)
        self._flush()

    def _read_sums(self, course: _Course) -> None:
        sums = sums_in(self._file, course.name, self._zone, course.reference)
        with self._lock:
            if any(isinstance(change, SetBack) for change in course.changes):
                return  # read again when that is written
            for change in course.changes:
                if isinstance(change, Boundary):
                    sums.add(change)
            course.sums = sums

    def _write(self) -> None:
        """Write what has become known in one transaction; what cannot be written is kept for later."""
        with self._lock:
            courses = [course for course in self._courses.values() if course.changes]
            taken = {course.name: course.changes for course in courses}
            for course in courses:
                course.changes = []
            self._write_at = None
        if not taken:
            return
        try:
            self._file.write(taken)
        except sqlite3.Error as error:
            self._fault.begin(until_it_works(f"the history cannot be saved in {self._file.path}: {error}"))
            self._put_back(courses, taken)
            return
        self._fault.end("the history is saved again")
        self._log_notices()
        self._unread.extend(
            c for c in courses if any(isinstance(change, SetBack) for change in taken[c.name])
        )
        self.save_counters()

    def _put_back(self, courses: Iterable[_Course], taken: Mapping[str, list[Change]]) -> None:
        with self._lock:
            most = max(_KEPT_LEAST, _KEPT_MAX // len(self._courses))
            for course in courses:
                changes = taken[course.name] + course.changes
                older = (change for change in changes[:-most] if isinstance(change, SetBack))
                course.changes = [*older, *changes[-most:]]
            self._write_at = time.monotonic() + _AGAIN_AFTER

    def _finish(self) -> None:
        """Write all that is known, also of meters that were heard for the first time a moment ago."""
        with suppress(sqlite3.Error):
            for course in list(self._unread):
                if course.tracker is None:
                    self._open(course)
        with self._lock:
            for course in self._courses.values():
                for event in () if course.tracker is None else course.tracker.finish():
                    self._note(course, event)
        self._write()


def sums_in(file: HistoryFile, meter: str, zone: ZoneInfo, reference: ReferencePower | None) -> RunningSums:
    """Return the sums of a meter up to its newest boundary that is stored."""
    newest = file.newest(meter)
    if newest is None:
        return RunningSums(zone, reference)
    reader, end = HistoryReader(file.connection, zone), newest.end
    day, month, year = (begin_of(by, end, zone) for by in (By.DAY, By.MONTH, By.YEAR))
    # Only the excess needs the days of a year, which take a while.
    days = [] if reference is None else reader.rows(meter, By.DAY, year, day, end, reference)
    return RunningSums(
        zone,
        reference,
        newest,
        quarters=reader.rows(meter, By.QUARTER, day, end, end, reference),
        days=days,
        peak=next(iter(reader.peaks(meter, month, end)), None),
    )
