"""Which meter a telegram comes from, and under which name it goes out.

The core says what is proven (see `protocol.identities`); here the configuration is added. A configured meter
belongs to the sources of its entry. Whatever else a source brings costs only that source: an identity that
belongs elsewhere is dropped and counted, and the meters that nobody configured are bounded in number.

Time is an argument, so all of it can be tested without waiting. The readers of all sources share one
registry; its lock is held for some microseconds, and lines are logged after it is released.
"""

import statistics
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from smarty_gateway.config import UNNAMED_METERS, MeterConfig
from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.identities import Identities, fold, identities_of, names_of_title
from smarty_gateway.protocol.meter import MeterTelegram, Security
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.safe_text import discovery_id, printable, topic_part
from smarty_gateway.store import Holder

#: A P1 port speaks every 10 s at least, so a plaintext meter that was silent for longer may be elsewhere.
SILENT_SECONDS: Final = 30.0
#: For how long a second meter on the source of a named one is held back, if not for three of its periods.
HELD_SECONDS: Final = 120.0
_HELD_PERIODS: Final = 3
#: A meter that nobody configured is forgotten after a day of silence.
FORGOTTEN_SECONDS: Final = 86_400.0
_HOUR: Final = 3600.0
#: How many unconfigured meters of a source are named in the log; the rest are counted hourly.
_NAMED_IN_LOG: Final = 5
#: How much else is said, each thing once; the rest is counted hourly.
_SAID_MAX: Final = 50
_LONGEST_IN_LOG: Final = 64
#: What the gateway itself publishes beside the meters.
_TAKEN_NAMES: Final = ("status", "health")


@dataclass(slots=True, eq=False)
class Meter:
    """A meter that goes out under a name.

    Attributes:
        name: in topics and readings.
        sources: those of its entry, by their text; None for a meter that no entry names.
        source: where it was last accepted.
        last: when, by the monotonic clock; None before the first time in this run.
        meter_id: of its last telegram.
        object_id: what identifies it in discovery.
    """

    name: str
    sources: frozenset[str] | None = None
    source: str = ""
    last: float | None = None
    is_authenticated: bool = False
    meter_id: str = ""
    object_id: str = ""
    health: Health = field(default_factory=Health)
    _intervals: deque[float] = field(default_factory=lambda: deque(maxlen=10))

    def accept(self, source: str, now: float) -> None:
        """Record a telegram."""
        if self.last is not None:
            self._intervals.append(now - self.last)
        self.source, self.last = source, now

    def belongs_to(self, source: str) -> bool:
        """True if a source is one of its entry, or the one where it was last heard."""
        return source == self.source if self.sources is None else source in self.sources

    def sends_elsewhere(self, source: str, now: float) -> bool:
        """True if it was heard on another source a moment ago."""
        return self.source != source and self.last is not None and now - self.last < SILENT_SECONDS

    @property
    def period(self) -> float:
        """Return the median of its last ten intervals, in seconds; 0 before there is one."""
        return statistics.median(self._intervals) if self._intervals else 0.0


@dataclass(frozen=True, slots=True)
class _Sender:
    """Who a telegram says it comes from.

    Attributes:
        key: the system title if that is proven, else an identity, else the header with its source.
        identities: that lend it something; none where the first one belongs to another meter.
    """

    key: str
    identities: tuple[str, ...]
    telegram: MeterTelegram
    source: str
    is_live: bool

    @property
    def is_authenticated(self) -> bool:
        return self.telegram.security is Security.AUTHENTICATED

    @property
    def shown(self) -> str:
        return printable(self.telegram.meter_id[:_LONGEST_IN_LOG])


@dataclass(slots=True)
class _Second:
    """Another meter on the source of a named one.

    Attributes:
        since: when it was first heard.
        is_beside: it was heard while the named meter spoke, too, so it does not replace it.
    """

    since: float
    last: float
    is_beside: bool = False


class _Claim(Enum):
    """Whether a meter gets the name of an entry."""

    GRANTED = "granted"
    HELD = "held"  #: nobody knows yet
    REFUSED = "refused"


class MeterRegistry:
    """Knows every meter of the process.

    Args:
        entries: the configured meters.
        identities: what the core knows.
        log: takes lines for the log.
        topic: the first level of the gateway's topics.
        holders: who held the configured names before.
        titles: the sources on which system titles were read before.
        started: the time of the monotonic clock.
    """

    def __init__(  # noqa: PLR0913 - what a process knows when it starts
        self,
        entries: Iterable[MeterConfig],
        identities: Identities,
        log: Callable[[str], None],
        *,
        topic: str = "smarty",
        holders: Mapping[str, Holder] | None = None,
        titles: Mapping[bytes, str] | None = None,
        started: float = 0.0,
    ) -> None:
        self._identities = identities
        self._log = log
        self._topic = topic
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._said: set[str] = set()
        self._unsaid = 0
        self._next_hour = started + _HOUR
        self._holders = dict(holders or {})
        self._source_of_title = dict(titles or {})
        self._configured: list[Meter] = []
        self._unnamed: dict[str, Meter] = {}  # by key
        self._forgotten: list[str] = []
        self._of_key: dict[str, Meter] = {}
        self._of_id: dict[str, list[Meter]] = {}
        self._of_name: dict[str, Meter] = {}
        self._of_topic: dict[str, Meter | None] = dict.fromkeys(_TAKEN_NAMES)
        self._of_object_id: dict[str, Meter] = {}
        #: The only entry of a source, if it names no id: whoever speaks there may get its name.
        self._open_to_all: dict[str, Meter | None] = {}
        self._first: dict[str, Meter] = {}
        self._limits: dict[str, int] = {}
        self._seconds: dict[str, dict[str, _Second]] = {}  # by name, then by key
        self._named_in_log: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        for config in entries:
            self._add_entry(config)

    def _add_entry(self, config: MeterConfig) -> None:
        name = config.name or config.id
        meter = None
        if name is not None:
            meter = Meter(name, frozenset(source.text for source in config.sources))
            self._configured.append(meter)
            self._of_topic[topic_part(name).casefold()] = self._of_name[name] = meter
            held = self._holders.get(name)
            if held is not None:
                self._of_key[held.meter] = meter
            for identity in _forms_of(config.id) if config.id is not None else ():
                self._of_id.setdefault(identity, []).append(meter)
        for source in config.sources:
            self._limits[source.text] = config.unnamed
            if config.id is None:
                self._open_to_all[source.text] = meter
            if meter is not None:
                self._first.setdefault(source.text, meter)

    # What readers ask

    def place(
        self, telegram: MeterTelegram, source: str, now: float, *, is_live: bool = True
    ) -> Meter | None:
        """Return the meter as which a telegram goes out; None if it is dropped, which is counted.

        Args:
            telegram: passed all checks of the core.
            source: where it came from, in the words of the configuration.
            now: seconds of the monotonic clock.
            is_live: it comes from a port; a recording is not held back.
        """
        identities = () if telegram.has_foreign_identity else identities_of(telegram.readings)
        sender = _Sender(_key_of(telegram, identities, source), identities, telegram, source, is_live)
        with self._lock:
            meter = self._place(sender, now)
            if meter is not None:
                self._accept(meter, sender, now)
        self._flush()
        return meter

    def note_duplicate(self, title: bytes, source: str) -> None:
        """Count a frame that another source brought a moment before."""
        with self._lock:
            meter = self._meter_of_title(title) or self._first.get(source)
            if meter is not None:
                meter.health.duplicates += 1

    def note_plaintext(self, title: bytes, source: str) -> None:
        """Record plaintext of a meter that must encrypt; on its own source that is a downgrade."""
        with self._lock:
            meter = self._meter_of_title(title)
            if meter is not None and meter.belongs_to(source) and not meter.health.is_downgraded:
                meter.health.is_downgraded = True
                self._lines.append(
                    f"{printable(meter.name)} must send encrypted frames and now sends plaintext, which "
                    "anybody could write, so it is refused: ask your grid operator (DSO) whether encryption "
                    "was switched off"
                )
        self._flush()

    def name_for_rejection(self, title: bytes | None, source: str) -> tuple[str, bool]:
        """Return the name under which a rejection on a source counts, and whether it is the meter's own.

        What is sent in the name of a meter on another source counts for that source.
        """
        with self._lock:
            meter = None if title is None else self._meter_of_title(title)
            if meter is not None and meter.belongs_to(source):
                return meter.name, True
            first = self._first.get(source)
            is_own = (
                meter is None and title is not None and self._source_of_title.get(title, source) == source
            )
            return (first.name if first is not None else source), is_own

    def place_of_title(self, title: bytes) -> tuple[str, str]:
        """Return name and source of the meter behind a system title; two empty texts if it is not known."""
        with self._lock:
            meter = self._meter_of_title(title)
            return ("", "") if meter is None else (meter.name, meter.source)

    def first_on(self, source: str) -> str | None:
        """Return the meter that stands for a source: the first one configured, else the first one heard."""
        with self._lock:
            first = self._first.get(source)
            return None if first is None else first.name

    # What the supervisor asks

    def health(self) -> dict[str, Health]:
        """Return how all meters fare, as far as telegrams tell."""
        with self._lock:
            return {meter.name: meter.health.copy() for meter in (*self._configured, *self._unnamed.values())}

    def holders(self) -> dict[str, Holder]:
        """Return who holds the configured names, for the state file."""
        with self._lock:
            return dict(self._holders)

    def tick(self, now: float) -> list[str]:
        """Log what is due, and return the names of unconfigured meters that are gone since the last call."""
        with self._lock:
            for key, meter in list(self._unnamed.items()):
                if not meter.is_authenticated and now - (meter.last or 0.0) >= FORGOTTEN_SECONDS:
                    self._remove_unnamed(key)
            for seconds in self._seconds.values():
                for key, second in list(seconds.items()):
                    if now - second.last >= FORGOTTEN_SECONDS:
                        del seconds[key]
            if now >= self._next_hour:
                self._next_hour = now + _HOUR
                self._count_hourly()
            forgotten, self._forgotten = self._forgotten, []
        self._flush()
        return forgotten

    # Under the lock

    def _place(self, sender: _Sender, now: float) -> Meter | None:
        if sender.telegram.has_foreign_identity:
            self._say_once(
                f"{sender.source}: the meter {sender.shown} sends an identity that belongs to another meter; "
                f"its readings go out as {sender.shown}"
            )
        meter = self._configured_meter(sender)
        if meter is None:
            meter = self._open_to_all.get(sender.source)
            claim = _Claim.REFUSED if meter is None else self._claim_name(meter, sender, now)
            if claim is _Claim.HELD:
                return None
            return meter if claim is _Claim.GRANTED else self._place_unnamed(sender, now)
        if not sender.is_authenticated:
            if not meter.belongs_to(sender.source):
                meter.health.elsewhere += 1
                self._say_once(
                    f"{sender.source}: what calls itself {sender.shown} is ignored here, because it is the "
                    f"meter {printable(meter.name)}, which has another source in gateway.yaml; if the meter "
                    "was moved, change its source there"
                )
                return None
            if meter.sends_elsewhere(sender.source, now):
                meter.health.duplicates += 1  # one meter over several bridges
                return None
        if meter.name not in self._holders:
            self._take_name(meter, sender)
        return meter

    def _configured_meter(self, sender: _Sender) -> Meter | None:
        """Return the configured meter that a sender is: by id, key, or a known identity."""
        names = sender.identities
        if sender.telegram.system_title is not None:
            names = (*names, *names_of_title(sender.telegram.system_title))
        found = [meter for name in names for meter in self._of_id.get(name, ())]
        if found:
            return next((meter for meter in found if meter.belongs_to(sender.source)), found[0])
        if sender.key in self._of_key:
            return self._of_key[sender.key]
        owners = map(self._identities.owner_of, sender.identities)
        return next(
            (self._of_name[owner] for owner in owners if isinstance(owner, str) and owner in self._of_name),
            None,
        )

    def _claim_name(self, meter: Meter, sender: _Sender, now: float) -> _Claim:
        """Decide whether a sender that no entry names gets the name of the only entry on its source."""
        held = self._holders.get(meter.name)
        if held is None or (sender.is_authenticated and not held.is_authenticated):
            self._take_name(meter, sender)
            return _Claim.GRANTED
        if not sender.is_live:
            return _Claim.REFUSED
        seconds = self._seconds.setdefault(meter.name, {})
        second = seconds.get(sender.key)
        if second is None:
            if len(seconds) >= self._limits[sender.source] and not sender.is_authenticated:
                self._refused[sender.source] = self._refused.get(sender.source, 0) + 1
                return _Claim.HELD
            second = seconds[sender.key] = _Second(now, now)
            self._say_once(
                f"{sender.source}: another meter, {sender.shown}, speaks where {printable(meter.name)} is "
                "read; its readings are held back for two minutes, to see whether it replaces that meter"
            )
        second.last = now
        second.is_beside = second.is_beside or (meter.last is not None and meter.last >= second.since)
        if now - second.since < max(HELD_SECONDS, _HELD_PERIODS * meter.period):
            return _Claim.HELD
        if second.is_beside or (held.is_authenticated and not sender.is_authenticated):
            if held.second is None:
                self._holders[meter.name] = replace(held, second=sender.shown)
                self._lines.append(two_meters(meter.name, sender.shown, sender.source))
            return _Claim.REFUSED
        self._take_name(meter, sender)
        return _Claim.GRANTED

    def _take_name(self, meter: Meter, sender: _Sender) -> None:
        held = self._holders.get(meter.name)
        if held is not None:
            self._lines.append(
                f"{printable(meter.name)} is now the meter {sender.shown} (was {printable(held.meter)})"
            )
            self._of_key.pop(held.meter, None)
            self._identities.forget(meter.name)
        if sender.key in self._unnamed:
            self._remove_unnamed(sender.key)
        self._holders[meter.name] = Holder(sender.key, sender.is_authenticated)
        self._of_key[sender.key] = meter
        self._seconds.pop(meter.name, None)

    def _place_unnamed(self, sender: _Sender, now: float) -> Meter | None:
        meter = self._unnamed.get(sender.key)
        if meter is None:
            return self._new_unnamed(sender)
        if not sender.is_authenticated and meter.sends_elsewhere(sender.source, now):
            meter.health.elsewhere += 1
            self._say_once(
                f"{sender.source}: {meter.source} sends the meter {sender.shown} already; as long as it "
                f"does, the readings from {sender.source} are ignored"
            )
            return None
        return meter

    def _new_unnamed(self, sender: _Sender) -> Meter | None:
        source = sender.source
        brought = [
            meter for meter in self._unnamed.values() if meter.source == source and not meter.is_authenticated
        ]
        if not sender.is_authenticated and len(brought) >= self._limits.get(source, UNNAMED_METERS):
            self._refused[source] = self._refused.get(source, 0) + 1
            self._say_once(
                f"{source}: more than {len(brought)} meters without an entry in gateway.yaml speak here; the "
                "rest is ignored and counted hourly; raise `unnamed` of this source if they are yours"
            )
            return None
        meter = Meter(sender.telegram.meter_id)
        topic, object_id = topic_part(meter.name).casefold(), self._object_id(meter, sender.telegram)
        if topic in self._of_topic or object_id.casefold() in self._of_object_id:
            self._say_once(
                f"{source}: the meter {sender.shown} is ignored, because another meter has its name; give it "
                "an entry with its `id` and a `name` in gateway.yaml"
            )
            return None
        self._unnamed[sender.key] = self._of_topic[topic] = meter
        if source in self._first or source not in self._open_to_all:
            self._name_in_log(sender)
        self._first.setdefault(source, meter)
        return meter

    def _accept(self, meter: Meter, sender: _Sender, now: float) -> None:
        meter.accept(sender.source, now)
        meter.is_authenticated = sender.is_authenticated
        health = meter.health
        health.telegrams += 1
        title = sender.telegram.system_title
        if title is not None:
            health.counter_gaps = self._identities.counters.missed.get(title, 0)
            if health.is_downgraded:
                health.is_downgraded = False
                self._lines.append(f"{printable(meter.name)} sends encrypted frames again")
        if meter.sources is not None and not sender.is_authenticated:
            self._identities.claim(meter.name, sender.identities)
        if meter.meter_id != sender.telegram.meter_id:
            self._name_in_discovery(meter, sender.telegram)

    def _name_in_discovery(self, meter: Meter, telegram: MeterTelegram) -> None:
        """Record what identifies a meter in discovery; of two with the same id the configured one has it."""
        if self._of_object_id.get(meter.object_id.casefold()) is meter:
            del self._of_object_id[meter.object_id.casefold()]
        meter.meter_id, meter.object_id = telegram.meter_id, self._object_id(meter, telegram)
        other = self._of_object_id.get(meter.object_id.casefold())
        if other is not None and other.sources is None:
            self._remove_unnamed(next(key for key, found in self._unnamed.items() if found is other))
        self._of_object_id.setdefault(meter.object_id.casefold(), meter)

    def _object_id(self, meter: Meter, telegram: MeterTelegram) -> str:
        is_named = meter.sources is not None and telegram.is_header_only
        return discovery_id(self._topic, meter.name, None if is_named else telegram.meter_id)

    def _remove_unnamed(self, key: str) -> None:
        meter = self._unnamed.pop(key)
        self._of_topic.pop(topic_part(meter.name).casefold(), None)
        if self._of_object_id.get(meter.object_id.casefold()) is meter:
            del self._of_object_id[meter.object_id.casefold()]
        if self._first.get(meter.source) is meter:
            del self._first[meter.source]
        self._forgotten.append(meter.name)

    def _meter_of_title(self, title: bytes) -> Meter | None:
        key = title.hex()
        found = self._of_key.get(key) or self._unnamed.get(key)
        if found is None:
            named = (meter for name in names_of_title(title) for meter in self._of_id.get(name, ()))
            found = next(named, None)
        return found

    # What is logged

    def _name_in_log(self, sender: _Sender) -> None:
        number = self._named_in_log[sender.source] = self._named_in_log.get(sender.source, 0) + 1
        if number <= _NAMED_IN_LOG:
            self._lines.append(
                f"{sender.source}: unconfigured meter on this source; publishing it as {sender.shown}"
            )

    def _say_once(self, line: str) -> None:
        if line in self._said:
            return
        if len(self._said) < _SAID_MAX:
            self._said.add(line)
            self._lines.append(line)
        else:
            self._unsaid += 1

    def _count_hourly(self) -> None:
        for source, number in self._named_in_log.items():
            if number > _NAMED_IN_LOG:
                more = number - _NAMED_IN_LOG
                self._lines.append(f"{source}: {more} more unconfigured meters in the last hour")
        for source, number in self._refused.items():
            self._lines.append(
                f"{source}: {number} telegrams of too many unconfigured meters were ignored in the last hour"
            )
        if self._unsaid:
            self._lines.append(f"{self._unsaid} more telegrams of meters that belong elsewhere were ignored")
        self._named_in_log.clear()
        self._refused.clear()
        self._unsaid = 0

    def _flush(self) -> None:
        """Log what was collected; without the lock, because whoever reads the log may be slow."""
        while self._lines:
            with self._lock:
                lines, self._lines = self._lines, []
            for line in lines:
                self._log(line)


def warnings(entries: Iterable[MeterConfig], holders: Mapping[str, Holder]) -> list[str]:
    """Return what an earlier run found out about the entries, one line each."""
    return [
        two_meters(entry.name, held.second, ", ".join(source.text for source in entry.sources))
        for entry in entries
        if entry.name is not None and entry.id is None
        if (held := holders.get(entry.name)) is not None and held.second is not None
    ]


def two_meters(name: str, second: str, source: str) -> str:
    """Return what to tell a user about a source that has brought two meters."""
    return (
        f"{source} brings two meters, {printable(name)} and {printable(second)}: give each an entry with its "
        "`id` in gateway.yaml"
    )


def _forms_of(identity: str) -> set[str]:
    """Return the ways in which the id of an entry may be written: a serial number and its title are one."""
    folded = fold(identity)
    try:
        return {folded, system_title_from_serial(folded).hex()}
    except KeyFormatError:
        return {folded}


def _key_of(telegram: MeterTelegram, identities: tuple[str, ...], source: str) -> str:
    """Return who a telegram comes from, in one text."""
    title = telegram.system_title
    if title is not None and (telegram.security is Security.AUTHENTICATED or not identities):
        return title.hex()
    return identities[0] if identities else f"{fold(telegram.readings.header)} on {source}"
