"""Which meter a telegram comes from, and under which name it goes out.

The core says what is proven (see `protocol.identities`); here the configuration is added. A configured meter
belongs to the sources of its entry. Whatever else a source brings costs only that source: an identity that
belongs elsewhere is dropped and counted, and the meters that nobody configured are bounded in number.

Time is an argument, so all of it can be tested without waiting. The readers of all sources share one
registry; its lock is held for some microseconds, and lines are logged after it is released.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS, UNNAMED_METERS, MeterConfig
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.gateway.source_log import SourceLog
from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.identities import Identities, fold, forms_of, identities_of, names_of_title
from smarty_gateway.protocol.meter import MeterTelegram, Security
from smarty_gateway.protocol.system_title import SYSTEM_TITLE_SIZE, serial_from_system_title
from smarty_gateway.safe_text import discovery_id, printable, topic_part
from smarty_gateway.state.store import Holder

#: For how long a second meter on the source of a named one is held back, if not for three of its periods.
HELD_SECONDS: Final = 120.0
_HELD_PERIODS: Final = 3
#: How many meters at once may wait for the name of another, whatever `unnamed` says.
_RIVALS_MAX: Final = 50
#: Most meters that a key authenticates and no entry names; more than anybody has behind one gateway.
_AUTHENTICATED_MAX: Final = 5000
#: Plaintext that came so long ago is over.
_DOWNGRADE_SECONDS: Final = 300.0
_HOUR: Final = 3600.0
_LONGEST_IN_LOG: Final = 64
#: Of a meter that goes out under what it calls itself; no genuine identity is longer.
_LONGEST_NAME: Final = 96
#: What the gateway itself publishes beside the meters.
_TAKEN_NAMES: Final = ("status", "health")


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
class _Rival:
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
        self._sources = SourceLog(self._lines.append, started)
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
        #: What configured meters are identified by that have nothing but a header.
        self._reserved_ids: dict[str, Meter] = {}
        #: The only entry of a source, if it names no id: whoever speaks there may get its name.
        self._open_to_all: dict[str, Meter | None] = {}
        self._first: dict[str, Meter] = {}
        self._limits: dict[str, int] = {}
        self._rivals: dict[str, dict[str, _Rival]] = {}  # by name, then by key
        self._of_title: dict[bytes, Meter] = {}
        #: All sources of an entry without id that has several; a header is the same on each of them.
        self._bridges: dict[str, str] = {}
        for config in entries:
            self._add_entry(config)

    def _add_entry(self, config: MeterConfig) -> None:
        name = config.name or config.id
        meter = None
        if name is not None:
            meter = Meter(name, frozenset(source.text for source in config.sources))
            self._configured.append(meter)
            self._reserved_ids[discovery_id(self._topic, name, None).casefold()] = meter
            self._of_topic[topic_part(name).casefold()] = self._of_name[name] = meter
            held = self._holders.get(name)
            if held is not None:
                self._of_key[held.meter] = meter
            for identity in forms_of(config.id) if config.id is not None else ():
                self._of_id.setdefault(identity, []).append(meter)
        bridges = " ".join(sorted(source.text for source in config.sources))
        for source in config.sources:
            self._bridges.setdefault(source.text, bridges if config.id is None else source.text)
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
        identities = self._identities_of(telegram)
        key = _key_of(telegram, identities, self._bridges.get(source, source))
        sender = _Sender(key, identities, telegram, source, is_live)
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

    def note_plaintext(self, title: bytes, source: str, now: float) -> None:
        """Record plaintext of a meter that must encrypt; on its own source that is a downgrade."""
        with self._lock:
            meter = self._meter_of_title(title)
            if meter is None or not meter.belongs_to(source):
                return
            meter.plaintext_at = now
            meter.health.is_downgraded = True
            if now - meter.downgrade_said_at >= _HOUR:
                meter.downgrade_said_at = now
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
            for rivals in self._rivals.values():
                for key, rival in list(rivals.items()):
                    if now - rival.last >= FORGOTTEN_SECONDS:
                        del rivals[key]
            self._sources.tick(now)
            gone, self._forgotten = self._forgotten, []
            forgotten = [name for name in gone if topic_part(name).casefold() not in self._of_topic]
        self._flush()
        return forgotten

    # Under the lock

    def _place(self, sender: _Sender, now: float) -> Meter | None:
        if sender.telegram.has_foreign_identity:
            self._sources.say_once(
                sender.source,
                f"the meter {sender.shown} sends an identity that belongs to another meter; its readings go "
                f"out as {sender.shown}",
            )
        meters = self._configured_meters(sender)
        if not meters:
            return self._place_by_source(sender, now)
        meter = meters[0]
        if not sender.is_authenticated:
            # What names a meter of another source is nobody's here, whatever else it names.
            elsewhere = next((found for found in meters if not found.belongs_to(sender.source)), None)
            if elsewhere is not None:
                elsewhere.health.elsewhere += 1
                self._sources.say_once(
                    sender.source,
                    f"what calls itself {sender.shown} is ignored here, because it names the meter "
                    f"{printable(elsewhere.name)}, which has another source in gateway.yaml; if that meter "
                    "was moved, change its source there",
                )
                return None
            if meter.sends_elsewhere(sender.source, now):
                meter.health.duplicates += 1  # one meter over several bridges
                return None
        if meter.name not in self._holders:
            self._take_name(meter, sender)
        return meter

    def _place_by_source(self, sender: _Sender, now: float) -> Meter | None:
        """Return the meter of a sender that no entry names."""
        known = self._unnamed.get(sender.key)
        if known is not None and not sender.is_authenticated and known.sends_elsewhere(sender.source, now):
            known.health.elsewhere += 1
            self._sources.say_once(
                sender.source,
                f"{known.source} sends the meter {sender.shown} already; as long as it does, the readings "
                f"from {sender.source} are ignored",
            )
            return None
        meter = self._open_to_all.get(sender.source)
        claim = _Claim.REFUSED if meter is None else self._claim_name(meter, sender, now)
        if claim is _Claim.HELD:
            return None
        if claim is _Claim.GRANTED:
            return meter
        return self._new_unnamed(sender) if known is None else known

    def _identities_of(self, telegram: MeterTelegram) -> tuple[str, ...]:
        """Return the identities that say whose a telegram is."""
        identities, title = identities_of(telegram.decoded), telegram.system_title
        if title is None:
            return identities
        is_authenticated = telegram.security is Security.AUTHENTICATED
        speaks_for = self._identities.speaks_for
        return tuple([i for i in identities if speaks_for(title, i, is_authenticated=is_authenticated)])

    def _configured_meters(self, sender: _Sender) -> list[Meter]:
        """Return the configured meters that a sender may be: by title, key, id or a known identity.

        There is more than one only where plaintext names several.
        """
        title = sender.telegram.system_title
        names = (*(() if title is None else names_of_title(title)), *sender.identities)
        found = [meter for name in names for meter in self._best_of_id(name, sender.source)]
        keys = (sender.key,) if title is None else (sender.key, title.hex())
        found += [self._of_key[key] for key in keys if key in self._of_key]
        owners = map(self._identities.owner_of, sender.identities)
        found += [
            self._of_name[owner] for owner in owners if isinstance(owner, str) and owner in self._of_name
        ]
        return list(dict.fromkeys(found))

    def _best_of_id(self, name: str, source: str) -> list[Meter]:
        """Return the meter with this id: of several the one that is read on this source."""
        meters = self._of_id.get(name, [])
        return [meter for meter in meters if meter.belongs_to(source)][:1] or meters[:1]

    def _claim_name(self, meter: Meter, sender: _Sender, now: float) -> _Claim:
        """Decide whether a sender that no entry names gets the name of the only entry on its source."""
        held = self._holders.get(meter.name)
        if held is None or (sender.is_authenticated and not held.is_authenticated):
            self._take_name(meter, sender)
            return _Claim.GRANTED
        if not sender.is_live:
            return _Claim.REFUSED
        rivals = self._rivals.setdefault(meter.name, {})
        rival = rivals.get(sender.key)
        if rival is None:
            if len(rivals) >= _RIVALS_MAX:
                self._sources.count_refused(sender.source)
                return _Claim.HELD
            rival = rivals[sender.key] = _Rival(now, now)
            self._sources.say_once(
                sender.source,
                f"another meter, {sender.shown}, speaks where {printable(meter.name)} is "
                "read; its readings are held back for two minutes, to see whether it replaces that meter",
            )
        rival.last = now
        rival.is_beside = rival.is_beside or (meter.last is not None and meter.last >= rival.since)
        if now - rival.since < max(HELD_SECONDS, _HELD_PERIODS * meter.period):
            return _Claim.HELD
        if rival.is_beside or (held.is_authenticated and not sender.is_authenticated):
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
                f"{printable(meter.name)} is now the meter {sender.shown} (was {_shown_key(held.meter)})"
            )
            self._of_key.pop(held.meter, None)
            self._identities.forget(meter.name)
        if sender.key in self._unnamed:
            self._remove_unnamed(sender.key)
        self._holders[meter.name] = Holder(sender.key, sender.is_authenticated)
        self._of_key[sender.key] = meter
        self._rivals.pop(meter.name, None)

    def _new_unnamed(self, sender: _Sender) -> Meter | None:
        source = sender.source
        if len(self._unnamed) >= _AUTHENTICATED_MAX:
            self._sources.count_refused(source)
            return None
        brought = [
            meter for meter in self._unnamed.values() if meter.source == source and not meter.is_authenticated
        ]
        if not sender.is_authenticated and len(brought) >= self._limits.get(source, UNNAMED_METERS):
            self._sources.count_refused(source)
            self._sources.say_once(
                source,
                f"more than {len(brought)} meters without an entry in gateway.yaml speak here; the "
                "rest is ignored and counted hourly; raise `unnamed` of this source if they are yours",
            )
            return None
        meter = Meter(sender.telegram.meter_id[:_LONGEST_NAME])
        topic, object_id = (
            topic_part(meter.name).casefold(),
            self._object_id(meter, sender.telegram).casefold(),
        )
        if sender.is_authenticated:
            self._remove_pretenders(topic, object_id)
        if topic in self._of_topic or object_id in self._of_object_id or object_id in self._reserved_ids:
            self._sources.say_once(
                source,
                f"the meter {sender.shown} is ignored, because another meter has its name; give it "
                "an entry with its `id` and a `name` in gateway.yaml",
            )
            return None
        self._unnamed[sender.key] = self._of_topic[topic] = meter
        if source in self._first or source not in self._open_to_all:
            self._sources.name_unconfigured(source, sender.shown)
        self._first.setdefault(source, meter)
        return meter

    def _remove_pretenders(self, topic: str, object_id: str) -> None:
        """Remove unconfigured plaintext meters that have the name of one whose frames verify."""
        for key, other in list(self._unnamed.items()):
            has_name = topic == topic_part(other.name).casefold() or object_id == other.object_id.casefold()
            if has_name and not other.is_authenticated:
                self._remove_unnamed(key)

    def _accept(self, meter: Meter, sender: _Sender, now: float) -> None:
        meter.accept(sender.source, now)
        meter.is_authenticated = sender.is_authenticated
        health = meter.health
        health.telegrams += 1
        title = sender.telegram.system_title
        if title is not None:
            health.counter_gaps = self._identities.counters.missed.get(title, 0)
            self._of_title[title] = meter
            if health.is_downgraded and now - meter.plaintext_at >= _DOWNGRADE_SECONDS:
                health.is_downgraded = False
                self._lines.append(f"{printable(meter.name)} sends encrypted frames again")
        if meter.sources is not None and not sender.is_authenticated:
            self._identities.claim(meter.name, sender.identities, sender.source)
        # A meter may have several identities; what identifies it in discovery stays the same.
        key = sender.key if meter.sources is None else self._holders[meter.name].meter
        if meter.key != key:
            self._name_in_discovery(meter, sender.telegram, key)

    def _name_in_discovery(self, meter: Meter, telegram: MeterTelegram, key: str) -> None:
        """Record what identifies a meter in discovery; of two with the same id the configured one has it."""
        if self._of_object_id.get(meter.object_id.casefold()) is meter:
            del self._of_object_id[meter.object_id.casefold()]
        meter.key, meter.object_id = key, self._object_id(meter, telegram)
        other = self._of_object_id.get(meter.object_id.casefold())
        if other is not None and other.sources is None and meter.sources is not None:
            self._remove_unnamed(next(key for key, found in self._unnamed.items() if found is other))
        self._of_object_id.setdefault(meter.object_id.casefold(), meter)

    def _object_id(self, meter: Meter, telegram: MeterTelegram) -> str:
        by_name = discovery_id(self._topic, meter.name, None)
        if meter.sources is None:
            return discovery_id(self._topic, meter.name, telegram.meter_id)
        if telegram.is_header_only:
            return by_name
        by_id = discovery_id(self._topic, meter.name, telegram.meter_id)
        owner = self._of_object_id.get(by_id.casefold()) or self._reserved_ids.get(by_id.casefold())
        is_taken = owner is not None and owner is not meter and owner.sources is not None
        return by_name if is_taken else by_id

    def _remove_unnamed(self, key: str) -> None:
        meter = self._unnamed.pop(key)
        self._of_topic.pop(topic_part(meter.name).casefold(), None)
        if self._of_object_id.get(meter.object_id.casefold()) is meter:
            del self._of_object_id[meter.object_id.casefold()]
        if self._first.get(meter.source) is meter:
            del self._first[meter.source]
        self._of_title = {title: found for title, found in self._of_title.items() if found is not meter}
        self._forgotten.append(meter.name)

    def _meter_of_title(self, title: bytes) -> Meter | None:
        key = title.hex()
        found = self._of_title.get(title) or self._of_key.get(key) or self._unnamed.get(key)
        if found is None:
            named = (meter for name in names_of_title(title) for meter in self._of_id.get(name, ()))
            found = next(named, None)
        return found

    # What is logged

    def _flush(self) -> None:
        """Log what was collected; without the lock, because whoever reads the log may be slow."""
        while self._lines:
            with self._lock:
                lines = self._lines.copy()
                self._lines.clear()
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


def _shown_key(key: str) -> str:
    """Return a key as people know the meter: by its serial number, or what it calls itself."""
    kind, _, name = key.rpartition("id ")
    is_title = not kind and len(name) == 2 * SYSTEM_TITLE_SIZE and key == name
    serial = serial_from_system_title(bytes.fromhex(name)) if is_title else None
    return printable((serial or name).upper())


def _key_of(telegram: MeterTelegram, identities: tuple[str, ...], source: str) -> str:
    """Return who a telegram comes from, in one text."""
    title = telegram.system_title
    if title is not None and telegram.security is Security.AUTHENTICATED:
        return title.hex()
    # What is not proven never looks like a title.
    if title is not None and not identities:
        return f"id {title.hex()}"
    return f"id {identities[0]}" if identities else f"header {fold(telegram.decoded.header)} on {source}"
