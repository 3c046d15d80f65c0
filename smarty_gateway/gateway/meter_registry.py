"""Which meter a telegram comes from, and under which name it goes out.

The core says what is proven (see `protocol.identities`); here the configuration is added:

* *Named.* A telegram belongs to the entry whose `id`, or whose holder, is among its identities or behind
  its system title. Without `id`, an entry's name goes to a meter on its source (see `name_claims`).
* *Elsewhere.* A configured meter belongs to the sources of its entry. Plaintext that names it on another
  source is dropped and counted; authenticated frames count under its own name on any source. A meter without
  an entry belongs to the source that brought it until it has been silent there for 30 s.
* *One meter over several bridges.* What a second source of the entry brings is dropped as a duplicate while
  the first one sends.
* *Unnamed.* Any other meter goes out under what it calls itself. A source may bring `unnamed` of them that no
  key authenticates. One that is silent for a day is forgotten.
  A later run goes on with them, as far as their sources are still configured.
* *Names.* No two meters share a topic or a discovery id, regardless of case. Configured meters come first,
  then authenticated ones, then whichever came first.

So a source can spoil only its own readings. Time is an argument, so that all of it can be tested without
waiting. The readers of all sources share one registry; its lock is held for some microseconds, and lines are
logged after it is released.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from smarty_gateway.config.values import FORGOTTEN_SECONDS, TAKEN_NAMES, UNNAMED_METERS, MeterConfig
from smarty_gateway.gateway.discovery_ids import DiscoveryIds
from smarty_gateway.gateway.meter import Meter
from smarty_gateway.gateway.name_claims import Claim, NameClaims, SampleOf
from smarty_gateway.gateway.sender import Sender, is_header, is_named_by, key_of, on_source
from smarty_gateway.gateway.source_log import SourceLog
from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.identities import Identities, forms_of, identities_of, names_of_title
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.safe_text import object_id, printable, topic_part
from smarty_gateway.sources.container import configuration_name
from smarty_gateway.state.store_rows import Holder, UnnamedMeter

#: Most meters that a key authenticates and no entry names; more than anybody has behind one gateway.
_AUTHENTICATED_MAX: Final = 5000
#: A downgrade is over when no plaintext came for this long.
_DOWNGRADE_SECONDS: Final = 300.0
_HOUR: Final = 3600.0
#: Of a meter that goes out under what it calls itself; no genuine identity is longer.
_LONGEST_NAME: Final = 96


class MeterRegistry:
    """Knows every meter of the process.

    Args:
        entries: the configured meters.
        identities: what the core knows.
        log: takes lines for the log.
        topic: the first level of the gateway's topics.
        holders: who held the configured names before.
        titles: the sources on which system titles were read before.
        unnamed: the meters of earlier runs that no entry names.
        started: the time of the monotonic clock.
        sample_of: returns what the history needs of a telegram that is held back; None without a history.
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
        unnamed: Iterable[UnnamedMeter] = (),
        started: float = 0.0,
        sample_of: SampleOf | None = None,
    ) -> None:
        self._identities = identities
        self._log = log
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._sources = SourceLog(self._lines.append, started)
        self._claims = NameClaims(holders or {}, self._sources, self._lines.append, sample_of)
        self._ids = DiscoveryIds(topic)
        self._source_of_title = dict(titles or {})
        self._unnamed: dict[str, Meter] = {}  # by key
        self._forgotten: list[str] = []
        self._of_key: dict[str, Meter] = {}
        self._of_id: dict[str, list[Meter]] = {}
        self._of_name: dict[str, Meter] = {}
        self._of_topic: dict[str, Meter | None] = dict.fromkeys(TAKEN_NAMES)
        #: The only entry of a source, if it names no id: any meter there may get its name.
        self._open_to_all: dict[str, Meter | None] = {}
        self._first: dict[str, Meter] = {}
        self._limits: dict[str, int] = {}
        self._of_title: dict[bytes, Meter] = {}
        #: All sources of an entry without id that has several; a header is the same on each of them.
        self._bridges: dict[str, str] = {}
        for config in entries:
            self._add_entry(config)
        for row in unnamed:
            self._add_unnamed(row, started)

    def _add_entry(self, config: MeterConfig) -> None:
        name = config.name or config.id
        bridges = " ".join(sorted(source.text for source in config.sources))
        meter = None
        if name is not None:
            meter = Meter(name, frozenset(source.text for source in config.sources))
            self._ids.reserve(meter)
            self._of_topic[topic_part(name).casefold()] = self._of_name[name] = meter
            held = self._claims.holders.get(name)
            if held is not None:
                held = replace(held, meter=on_source(held.meter, bridges))  # the port may have another name
                self._claims.holders[name] = held
                if config.id is None or self._has_id(held, name, config.id):
                    self._of_key[held.meter] = meter
                else:  # the entry names another meter now
                    self._identities.forget(name)
            for identity in forms_of(config.id) if config.id is not None else ():
                self._of_id.setdefault(identity, []).append(meter)
        for source in config.sources:
            self._bridges.setdefault(source.text, bridges if config.id is None else source.text)
            self._limits[source.text] = config.unnamed
            if config.id is None:
                self._open_to_all[source.text] = meter
            if meter is not None:
                self._first.setdefault(source.text, meter)

    def _has_id(self, held: Holder, name: str, meter_id: str) -> bool:
        """True if the `id` of an entry names the meter that has held its name."""
        forms = forms_of(meter_id)
        owners = map(self._identities.owner_of, forms)
        return is_named_by(held.meter, forms) or any(
            owner == name or (isinstance(owner, bytes) and owner.hex() == held.meter) for owner in owners
        )

    def _add_unnamed(self, row: UnnamedMeter, started: float) -> None:
        """Go on with a meter of an earlier run, if there would be room for it today."""
        meter = Meter(
            row.name,
            source=row.source,
            heard_before=row.heard,
            expected_since=started,
            is_authenticated=row.is_authenticated,
            key=row.key,
        )
        is_known = row.key in self._of_key or row.key in self._unnamed
        if row.source in self._limits and not is_known and self._has_room_for(meter):
            self._enter(meter, object_id(row.name))

    # What readers ask

    def place(
        self, telegram: MeterTelegram, source: str, now: float, *, is_live: bool = True
    ) -> Meter | None:
        """Return the meter that a telegram goes out as; None if it is dropped, which is counted.

        Args:
            telegram: passed all checks of the core.
            source: where it came from, in the words of the configuration.
            now: seconds of the monotonic clock.
            is_live: it comes from a port; a recording is not held back.
        """
        identities = self._identities_of(telegram)
        key = key_of(telegram, identities, self._bridges.get(source, source))
        sender = Sender(key, identities, telegram, source, is_live)
        with self._lock:
            meter = self._place(sender, now)
            held = self._claims.take_held()
            if meter is not None:
                self._accept(meter, sender, now)
                meter.held += held
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
            if now - meter.downgrade_logged_at >= _HOUR:
                meter.downgrade_logged_at = now
                self._lines.append(
                    f"{printable(meter.name)} must send encrypted frames but now sends plaintext, which "
                    "anybody could have written and which is rejected: ask your grid operator (DSO) whether "
                    "encryption was switched off"
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

    def health(self, open_sources: Collection[str] = ()) -> dict[str, Health]:
        """Return the health of all meters, as far as telegrams and the sources that are open show it."""
        with self._lock:
            meters = (*self._of_name.values(), *self._unnamed.values())
            for meter in meters:
                meter.health.is_connected = meter.is_on_any(open_sources)
            return {meter.name: meter.health.copy() for meter in meters}

    def holders(self) -> dict[str, Holder]:
        """Return who holds the configured names, for the state file."""
        with self._lock:
            return self._claims.holders.copy()

    def unnamed(self) -> list[UnnamedMeter]:
        """Return the meters that no entry names by their keys, for the state file."""
        with self._lock:
            return [
                UnnamedMeter(key, m.name, m.source, m.is_authenticated, m.heard)
                for key, m in sorted(self._unnamed.items())
            ]

    def tick(self, now: float) -> list[str]:
        """Log what is due, and return the names of unconfigured meters that are gone since the last call."""
        with self._lock:
            for key, meter in list(self._unnamed.items()):
                if not meter.is_authenticated and now - meter.heard >= FORGOTTEN_SECONDS:
                    self._remove_unnamed(key)
            self._claims.tick(now)
            self._sources.tick(now)
            gone, self._forgotten = self._forgotten, []
            forgotten = [name for name in gone if topic_part(name).casefold() not in self._of_topic]
        self._flush()
        return forgotten

    # Under the lock

    def _place(self, sender: Sender, now: float) -> Meter | None:
        if sender.telegram.has_foreign_identity:
            self._sources.log_once(
                sender.source,
                f"meter {sender.shown} sends an identity that belongs to another meter; publishing it as "
                f"{sender.shown}",
            )
        meters = self._configured_meters(sender)
        if not meters:
            return self._place_by_source(sender, now)
        meter = meters[0]
        if not sender.is_authenticated:
            # What names a meter of another source is dropped here, even if it names one of this source, too.
            elsewhere = next((found for found in meters if not found.belongs_to(sender.source)), None)
            if elsewhere is not None:
                elsewhere.health.elsewhere += 1
                self._sources.log_once(
                    sender.source,
                    f"ignoring {sender.shown} on this source, because it names the meter "
                    f"{printable(elsewhere.name)}, which has another source in {configuration_name()}; if "
                    "that meter was moved, change its source there",
                )
                return None
            if meter.sends_elsewhere(sender.source, now):
                meter.health.duplicates += 1  # one meter over several bridges
                return None
        if self._gets_name(meter, sender):
            self._take_name(meter, sender)
        return meter

    def _gets_name(self, meter: Meter, sender: Sender) -> bool:
        """True if a sender that an entry names is not its holder: the first one, or another by its `id`."""
        held = self._claims.holders.get(meter.name)
        if held is None:
            return True
        is_weaker = held.is_authenticated and not sender.is_authenticated
        is_holder = held.meter == sender.key or meter in self._known_meters(sender)
        return not is_holder and not is_weaker and meter in self._meters_of_ids(sender)

    def _place_by_source(self, sender: Sender, now: float) -> Meter | None:
        """Return the meter of a sender that no entry names."""
        known = self._unnamed.get(sender.key)
        if known is not None and not sender.is_authenticated and known.sends_elsewhere(sender.source, now):
            known.health.elsewhere += 1
            self._sources.log_once(
                sender.source,
                f"ignoring {sender.shown} on this source as long as {known.source} sends it, too",
            )
            return None
        meter = self._open_to_all.get(sender.source)
        is_beside = known is not None and known.source == sender.source
        claim = (
            Claim.REFUSED if meter is None else self._claims.judge(meter, sender, now, is_beside=is_beside)
        )
        if meter is not None and claim is Claim.GRANTED:
            self._take_name(meter, sender)
            return meter
        if claim is Claim.HELD:
            return None
        if known is None:
            known = self._new_unnamed(sender)
        if known is not None and known.last is None:  # for the first time in this run
            if sender.source in self._first or sender.source not in self._open_to_all:
                self._sources.name_unconfigured(sender.source, sender.shown)
            self._first.setdefault(sender.source, known)
        return known

    def _identities_of(self, telegram: MeterTelegram) -> tuple[str, ...]:
        """Return the identities that a telegram may use."""
        identities, title = identities_of(telegram.decoded), telegram.system_title
        if title is None:
            return identities
        is_authenticated = telegram.security is Security.AUTHENTICATED
        speaks_for = self._identities.speaks_for
        return tuple([i for i in identities if speaks_for(title, i, is_authenticated=is_authenticated)])

    def _configured_meters(self, sender: Sender) -> list[Meter]:
        """Return the configured meters that a sender may be: by title, key, id or a known identity.

        There is more than one only where plaintext names several.
        """
        return list(dict.fromkeys([*self._meters_of_ids(sender), *self._known_meters(sender)]))

    def _meters_of_ids(self, sender: Sender) -> list[Meter]:
        """Return the meters whose `id` names a sender: of several with one id the one of its source."""
        title = sender.telegram.system_title
        found = []
        for name in (*(() if title is None else names_of_title(title)), *sender.identities):
            meters = self._of_id.get(name, [])
            found += [meter for meter in meters if meter.belongs_to(sender.source)][:1] or meters[:1]
        return found

    def _known_meters(self, sender: Sender) -> list[Meter]:
        """Return the meters whose holder a sender is, or whose identities it has."""
        title = sender.telegram.system_title
        keys = (sender.key,) if title is None else (sender.key, title.hex())
        found = [self._of_key[key] for key in keys if key in self._of_key]
        owners = map(self._identities.owner_of, sender.identities)
        return found + [self._of_name[n] for n in owners if isinstance(n, str) and n in self._of_name]

    def _take_name(self, meter: Meter, sender: Sender) -> None:
        before = self._claims.take(meter, sender)
        if before is not None:
            self._of_key.pop(before.meter, None)
            self._of_title = {title: found for title, found in self._of_title.items() if found is not meter}
            self._identities.forget(meter.name)
        if sender.key in self._unnamed:
            self._remove_unnamed(sender.key)
        self._of_key[sender.key] = meter

    def _new_unnamed(self, sender: Sender) -> Meter | None:
        source = sender.source
        meter = Meter(
            sender.telegram.meter_id[:_LONGEST_NAME],
            source=source,
            is_authenticated=sender.is_authenticated,
            key=sender.key,
        )
        topic, own_id = topic_part(meter.name).casefold(), object_id(meter.name)
        if self._is_taken(topic, own_id):  # asked first, because a source may invent any number of meters
            self._remove_pretenders(meter, topic, own_id)
        if not self._has_room_for(meter):
            self._sources.count_refused(source)
            if not meter.is_authenticated:
                self._sources.log_once(source, _too_many(self._limits.get(source, UNNAMED_METERS)))
            return None
        if self._is_taken(topic, own_id):
            advice = (
                "give its source a `name`"
                if is_header(sender.key)
                else "give it an entry with its `id` and a `name`"
            )
            self._sources.log_once(
                source,
                f"meter {sender.shown} is ignored, because another meter has its name; {advice} in "
                f"{configuration_name()}",
            )
            return None
        self._enter(meter, own_id)
        return meter

    def _has_room_for(self, meter: Meter) -> bool:
        """True if there may be one more meter that no entry names."""
        if len(self._unnamed) >= _AUTHENTICATED_MAX:
            return False
        brought = sum(
            other.source == meter.source and not other.is_authenticated for other in self._unnamed.values()
        )
        return meter.is_authenticated or brought < self._limits.get(meter.source, UNNAMED_METERS)

    def _is_taken(self, topic: str, own_id: str) -> bool:
        return topic in self._of_topic or not self._ids.is_free(own_id)

    def _enter(self, meter: Meter, own_id: str) -> None:
        """Add a meter that no entry names, unless another has its name or id."""
        topic = topic_part(meter.name).casefold()
        if not self._is_taken(topic, own_id):
            self._unnamed[meter.key] = self._of_topic[topic] = meter
            self._ids.assign(meter, own_id)

    def _remove_pretenders(self, meter: Meter, topic: str, own_id: str) -> None:
        """Remove unconfigured plaintext meters that have the name of one whose frames verify.

        One that was not heard in this run gives way to any that its source brings and that proves as much.
        """
        for key, other in list(self._unnamed.items()):
            has_name = (
                topic == topic_part(other.name).casefold() or own_id.casefold() == other.object_id.casefold()
            )
            is_silent = other.last is None and other.source == meter.source
            is_alike = other.is_authenticated == meter.is_authenticated
            if has_name and (is_silent if is_alike else meter.is_authenticated):
                self._remove_unnamed(key)

    def _accept(self, meter: Meter, sender: Sender, now: float) -> None:
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
        key = sender.key if meter.sources is None else self._claims.holders[meter.name].meter
        if meter.key != key:
            meter.key = key
            other = self._ids.assign(meter, self._ids.id_for(meter, sender.telegram))
            if other is not None:
                self._remove_unnamed(next(k for k, found in self._unnamed.items() if found is other))

    def _remove_unnamed(self, key: str) -> None:
        meter = self._unnamed.pop(key)
        self._of_topic.pop(topic_part(meter.name).casefold(), None)
        self._ids.release(meter)
        self._first = {source: found for source, found in self._first.items() if found is not meter}
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
        """Log what was collected; without the lock, because the reader of the log may be slow."""
        while self._lines:
            with self._lock:
                lines = self._lines.copy()
                self._lines.clear()
            for line in lines:
                self._log(line)


def _too_many(most: int) -> str:
    return (
        f"more than {most} meters without an entry in {configuration_name()} send on this source; the others "
        "are ignored and counted hourly; if they are yours, raise `unnamed` of this source"
    )
