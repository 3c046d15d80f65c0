"""`history import`: fills the history from recordings, or from a copy that `history export` wrote.

It works beside a running gateway. Frame counters are those of each recording alone: a recording is old, and
what the gateway has read since says nothing about it.
"""

import argparse
import os
import stat
from collections import Counter
from collections.abc import Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from smarty_gateway.commands.chosen import chosen_config, load_keys_from
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.progress import with_progress
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import MeterConfig, checked_name
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.boundary import Boundary, Notice, SetBack
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.sample import Sample
from smarty_gateway.library import InputError, InputReader, chunks_of_file, open_input
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.identities import fold, forms_of, identities_of, names_of_title
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.safe_text import printable, topic_part
from smarty_gateway.state.history_file import HistoryFile, history_errors, open_copy, open_history
from smarty_gateway.state.history_rows import boundaries_of, select
from smarty_gateway.state.sqlite_file import StateError
from smarty_gateway.state.state_file import state_folder
from smarty_gateway.state.store import holders_in

_SQLITE: Final = b"SQLite format 3\0"
#: Lines about one meter.
_NOTICES_MAX: Final = 20
#: Meters in one import; in a message.
_METERS_MAX: Final = 1000
_SHOWN: Final = 5
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class UnplacedMeterError(GatewayError):
    """It is not known under which name a recorded meter goes."""


def add_import_parser(subparsers: Subparsers) -> None:
    """Describe the command and its options."""
    parser = subparsers.add_parser(
        "import",
        help="fill the history from recordings or from an export",
        description="Reads recordings of a P1 port (raw bytes, a hex dump or a capture), or a .sqlite file "
        "of history export, and adds the quarter hours that the history does not have. The gateway may run "
        "meanwhile.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="in any order")
    parser.add_argument(
        "--meter",
        type=_meter_name,
        metavar="NAME",
        help="where a meter goes that neither gateway.yaml nor the history knows",
    )
    add_shared(parser, "--keys", "--config", "--state")


def _meter_name(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("a meter needs a name, such as house")
    try:
        return topic_part(checked_name(text))
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute_import(args: argparse.Namespace) -> ExitStatus:
    """Import files.

    Raises:
        InputError: a file does not exist or cannot be read.
        UnusableFileError: the configuration or the key file cannot be used.
        UnplacedMeterError: no meter of the recordings has a name.
        StateError: the history cannot be written.
    """
    config = chosen_config(args)
    keys = load_keys_from(args.keys or (None if config is None else config.keys))
    is_copy = {path: _is_copy(path) for path in args.files}
    copies = [_copied(path) for path in is_copy if is_copy[path]]
    recordings = [path for path in is_copy if not is_copy[path]]
    reading = _Reading(keys, zone_of(config), () if config is None else config.meters)
    reading.read(recordings)
    reading.report()
    recorded = list(reading.meters.values())
    if not copies and not recorded:
        return ExitStatus.REJECTED
    folder = state_folder(args.state or (None if config is None else config.state))
    known = _known_in(folder)
    names = _names_of(recorded, known, () if config is None else config.meters, args.meter)
    restored = [copied for copy in copies for copied in copy if known.may_take(copied)]
    if not names and not restored:
        return ExitStatus.REJECTED
    with closing(HistoryFile(folder, repairs=False)) as history, history_errors(history.path):
        for copied in restored:
            if copied.is_simulated:
                history.mark_simulated(copied.name)
            _fill(history, copied.name, str(copied.path), [copied.boundaries])
        for meter, name in names:
            _fill(history, name, meter.meter_id, meter.runs)
        for notice in history.notices:
            say(notice)
    return ExitStatus.GOOD


def _is_copy(path: Path) -> bool:
    """True if a file is a database, such as `history export` writes.

    Raises:
        InputError: it cannot be read again and again, as a file can.
    """
    with suppress(OSError):  # which opening it reports
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise InputError(f"{path} is no file; record a port with smarty-gateway capture first")
    with open_input(path) as file:
        return file.read(len(_SQLITE)) == _SQLITE


# Recordings


@dataclass(slots=True)
class _RecordedMeter:
    """A meter of the recordings.

    Attributes:
        meter_id: what it calls itself.
        identities: by which `id` of the configuration may name it.
        is_plaintext: at least a part of its telegrams.
        runs: its boundaries by their ends. A recording that begins before the one in front of it has ended
            is a run of its own.
        newest: the time of the newest telegram.
        notices: the number of lines about it.
    """

    meter_id: str
    identities: set[str] = field(default_factory=set)
    is_plaintext: bool = False
    runs: list[dict[int, Boundary]] = field(default_factory=list)
    tracker: QuarterTracker | None = None
    newest: int | None = None
    notices: int = 0

    def take(self, events: Iterable[Boundary | SetBack | Notice]) -> None:
        """Keep what the tracker has found out."""
        run = self.runs[-1]
        for event in events:
            if isinstance(event, Notice):
                self.notices += 1
                if self.notices <= _NOTICES_MAX:
                    say(f"{self.meter_id}: {event.text}")
            elif isinstance(event, SetBack):
                for end in [end for end in run if end > event.after]:
                    del run[end]
            else:
                before = run.get(event.end)  # it comes again with newer values of devices
                run[event.end] = event if before is None else replace(event, peaks=before.peaks + event.peaks)

    def finish(self) -> None:
        """End a run of telegrams."""
        if self.tracker is not None:
            self.take(self.tracker.finish())
            self.tracker = None


class _Reading:
    """Reads recordings in the order of their times.

    Attributes:
        meters: that were found, by meter_id.
        rejected: the number of rejections by reason.
        undated: meters whose telegrams have no time, in recordings that have none either.
    """

    def __init__(self, keys: KeyRing, zone: ZoneInfo, entries: Sequence[MeterConfig]) -> None:
        self.meters: dict[str, _RecordedMeter] = {}
        self.rejected: Counter[Reason] = Counter()
        self.undated: set[str] = set()
        self._keys = keys
        self._zone = zone
        self._entries = entries
        self._noise: list[Path] = []  # without a telegram

    def read(self, paths: Iterable[Path]) -> None:
        """Read all recordings."""
        first = {path: time for path in paths if (time := self._first_time(path)) is not None}
        for path in sorted(first, key=lambda path: first[path]):
            behind = {meter: recorded.newest for meter, recorded in self.meters.items()}
            for telegram, sample in self._samples(path, self.rejected):
                self._add(telegram, sample, behind.pop(sample.meter_id, None))
        for meter in self.meters.values():
            meter.finish()

    def report(self) -> None:
        """Print what was not read."""
        for path in self._noise:
            advice = "smarty-gateway decode shows why"
            if path.suffix == ".csv":
                advice = (
                    "a CSV cannot be imported; a backup is a .sqlite file of smarty-gateway history export"
                )
            say(f"{path}: there is no valid telegram with a time in it; {advice}")
        for meter_id in sorted(self.undated - self.meters.keys()):
            say(
                f"{meter_id} sends no time, so its telegrams are left out; record it with smarty-gateway "
                "capture, which notes when they arrive"
            )
        for meter in self.meters.values():
            if meter.notices > _NOTICES_MAX:
                say(f"{meter.meter_id}: and {meter.notices - _NOTICES_MAX} such lines more")
        if self.rejected:
            reasons = ", ".join(f"{reason.value} {count}" for reason, count in sorted(self.rejected.items()))
            say(f"rejected: {self.rejected.total()} ({reasons})")

    def _first_time(self, path: Path) -> int | None:
        """Return the time at which a recording begins; None for one without any telegram to import."""
        rejected: Counter[Reason] = Counter()
        with closing(self._samples(path, rejected)) as samples:
            for _, sample in samples:
                return sample.time
        self.rejected += rejected
        self._noise.append(path)
        return None

    def _samples(
        self, path: Path, rejected: Counter[Reason]
    ) -> Generator[tuple[MeterTelegram, Sample], None, None]:
        newest: dict[str, datetime] = {}
        with (
            open_input(path) as file,
            closing(
                with_progress(chunks_of_file(file, str(path)), os.fstat(file.fileno()).st_size, path.name)
            ) as chunks,
        ):
            reader = InputReader(chunks, self._keys, lambda rejection: rejected.update([rejection.reason]))
            for telegram in reader:
                arrived = reader.arrived
                if arrived is None and "timestamp" not in telegram.decoded.fields:
                    self.undated.add(telegram.meter_id)
                    continue
                # Without its arrival, a time in the hour that exists twice is nearest to the one before.
                sample = sample_of(telegram, arrived or newest.get(telegram.meter_id, _EPOCH), self._zone)
                if sample is not None:
                    newest[telegram.meter_id] = datetime.fromtimestamp(sample.time, UTC)
                    yield telegram, sample
        if reader.unreadable_lines:
            say(f"warning: {reader.unreadable_lines} lines of {path} cannot be read and were skipped")

    def _add(self, telegram: MeterTelegram, sample: Sample, behind: int | None) -> None:
        """Count a telegram.

        Args:
            telegram: passed all checks.
            sample: what the history needs of it.
            behind: for the first telegram of a meter in a recording, the newest one in those before.
        """
        if sample.meter_id not in self.meters and len(self.meters) >= _METERS_MAX:
            return
        meter = self.meters.setdefault(sample.meter_id, _RecordedMeter(sample.meter_id))
        if telegram.security is Security.PLAINTEXT:
            meter.is_plaintext = True
        if not meter.identities:
            meter.identities = _identities_of(telegram)
        if behind is not None and sample.time <= behind:
            meter.finish()
        if meter.tracker is None:
            meter.tracker = QuarterTracker(self._plausible_watts(meter))
            meter.runs.append({})
        meter.newest = max(sample.time, meter.newest or sample.time)
        meter.take(meter.tracker.add(sample))

    def _plausible_watts(self, meter: _RecordedMeter) -> int:
        entry = _entry_of(meter, self._entries)
        entries = self._entries if entry is None else (entry,)
        return max(entry.plausible_watts for entry in (*entries, MeterConfig(sources=())))


def _identities_of(telegram: MeterTelegram) -> set[str]:
    found = set() if telegram.has_foreign_identity else set(identities_of(telegram.decoded))
    if telegram.system_title is not None:
        found |= names_of_title(telegram.system_title)
    return found | {fold(telegram.meter_id)}


def _entry_of(meter: _RecordedMeter, entries: Iterable[MeterConfig]) -> MeterConfig | None:
    """Return the entry whose `id` names a meter."""
    return next(
        (entry for entry in entries if entry.id is not None and forms_of(entry.id) & meter.identities), None
    )


# Names


@dataclass(frozen=True, slots=True)
class _Known:
    """The meters of the history.

    Attributes:
        names: of them, and whether they are simulated.
        by_id: their names by the meter_id of each of their series, in the form of `fold`.
        authenticated: the names under which the gateway has read encrypted frames that verified.
    """

    names: Mapping[str, bool] = field(default_factory=dict)
    by_id: Mapping[str, str] = field(default_factory=dict)
    authenticated: AbstractSet[str] = frozenset()

    def may_take(self, copied: "_CopiedMeter") -> bool:
        """True, else with a line, unless what is simulated would get among what was measured."""
        if self.names.get(copied.name, copied.is_simulated) == copied.is_simulated:
            return True
        say(
            f"{copied.name} of {copied.path}: left out, because only one of it and the meter of this name in "
            "the history is simulated"
        )
        return False


def _known_in(folder: Path) -> _Known:
    holders = holders_in(folder).items()
    authenticated = {topic_part(name) for name, holder in holders if holder.is_authenticated}
    connection = open_history(folder)
    if connection is None:
        return _Known(authenticated=authenticated)
    with closing(connection), history_errors(folder):
        meters = list(select(connection, "meters"))
        numbers = {number: name for number, name, _ in meters}
        by_id = {
            fold(meter_id): numbers[number]
            for number, _, meter_id in select(connection, "series")
            if number in numbers
        }
    return _Known({name: bool(is_simulated) for _, name, is_simulated in meters}, by_id, authenticated)


def _names_of(
    recorded: Sequence[_RecordedMeter], known: _Known, entries: Sequence[MeterConfig], wanted: str | None
) -> list[tuple[_RecordedMeter, str]]:
    """Return the recorded meters that have a name in the history, and print which have none.

    Raises:
        UnplacedMeterError: none of them has one.
    """
    placed = {meter.meter_id: _name_of(meter, known, entries) for meter in recorded}
    left = [meter for meter in recorded if placed[meter.meter_id] is None]
    for meter_id, name in placed.items():
        if wanted is not None and name not in (None, wanted):
            say(f"{meter_id} goes to {name}, as gateway.yaml or the history says, and not to {wanted}")
    if len(left) == 1:
        other = None if len(recorded) > 1 else _only_name_without_history(left[0], known, entries)
        placed[left[0].meter_id] = other if wanted is None else wanted
    unknown = [meter for meter in left if placed[meter.meter_id] is None]
    if unknown and len(unknown) == len(recorded):
        raise UnplacedMeterError(_unplaced(unknown))
    if unknown:
        say(f"{_unplaced(unknown)}; left out")
    return [
        (meter, name)
        for meter in recorded
        if (name := placed[meter.meter_id]) is not None and not _is_refused(meter, name, known, entries)
    ]


def _name_of(meter: _RecordedMeter, known: _Known, entries: Iterable[MeterConfig]) -> str | None:
    """Return the name of the entry that has the meter's `id`, else of the series that has its meter_id."""
    entry = _entry_of(meter, entries)
    return known.by_id.get(fold(meter.meter_id)) if entry is None else _topic_of(entry, meter)


def _only_name_without_history(
    meter: _RecordedMeter, known: _Known, entries: Iterable[MeterConfig]
) -> str | None:
    """Return the configured name that has no history, if that leaves no choice."""
    names = {_topic_of(entry, meter) for entry in entries if entry.id is None} - known.names.keys()
    return names.pop() if len(names) == 1 else None


def _topic_of(entry: MeterConfig, meter: _RecordedMeter) -> str:
    """Return the name under which a meter of an entry is stored."""
    return topic_part(entry.name or entry.id or meter.meter_id)


def _is_refused(meter: _RecordedMeter, name: str, known: _Known, entries: Iterable[MeterConfig]) -> bool:
    """True, with a line, for plaintext under a name whose meter encrypts."""
    must_encrypt = any(entry.encrypted and _topic_of(entry, meter) == name for entry in entries)
    if meter.is_plaintext and (must_encrypt or name in known.authenticated):
        why = "is `encrypted: true`" if must_encrypt else "sends encrypted frames"
        say(f"{meter.meter_id}: left out, because plaintext was recorded and {name} {why}")
        return True
    return False


def _unplaced(meters: Sequence[_RecordedMeter]) -> str:
    """Return what is wrong where it is not known which meters these are, and what to do."""
    found = ", ".join(meter.meter_id for meter in meters[:_SHOWN])
    more = " …" if len(meters) > _SHOWN else ""
    advice = "add --meter NAME"
    if len(meters) > 1:
        advice = (
            "write the `id` of each into gateway.yaml, or import the files of one at a time with --meter NAME"
        )
    return f"neither gateway.yaml nor the history knows {found}{more}: {advice}"


# The history


def _fill(history: HistoryFile, name: str, meter_id: str, runs: Iterable[Mapping[int, Boundary]]) -> None:
    """Add what the history does not have, and print what became of it."""
    added = present = left_out = 0
    for run in runs:
        filled = history.fill(name, [run[end] for end in sorted(run)])
        added, present, left_out = added + filled.added, present + filled.present, left_out + filled.left_out
    print(
        printable(
            f"{name} ({meter_id}): registers at {added + present + left_out} quarter-hour boundaries, "
            f"{added} added, {present} already there, {left_out} left out"
        )
    )


@dataclass(frozen=True, slots=True)
class _CopiedMeter:
    """A meter in a copy of a history."""

    path: Path
    name: str
    is_simulated: bool
    boundaries: Mapping[int, Boundary]


def _copied(path: Path) -> list[_CopiedMeter]:
    """Return the meters of a copy.

    Raises:
        InputError: it is no history that can be read.
    """
    try:
        copy = open_copy(path)
        if copy is None:
            raise InputError(f"{path} holds no history")
        with closing(copy), history_errors(path):
            return [
                _CopiedMeter(
                    path, name, bool(is_simulated), {found.end: found for found in boundaries_of(copy, name)}
                )
                for _, name, is_simulated in select(copy, "meters")
            ]
    except StateError as error:  # its advice is for the gateway's own file
        raise InputError(str(error).partition(";")[0]) from None
