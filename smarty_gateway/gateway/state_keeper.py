"""What the process knows about meters and must outlive it: frame counters, and which meter is which.

It is read from the state file at the start and written back while the gateway runs. An SD card wears out by
writing, so counters are written rarely, but soon after the first frame of a run: otherwise each crash would
open the whole run to replays.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.fault_log import Condition
from smarty_gateway.gateway.history_keeper import HistoryKeeper
from smarty_gateway.gateway.meter_registry import MeterRegistry
from smarty_gateway.protocol.identities import Identities, Owner, fold
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, StoredCounter, UnnamedMeter

_log = logging.getLogger(__name__)

_SAVE_EVERY: Final = 900.0
#: More with a history, which is written at about each quarter hour, and the counters at the same moment.
_GRACE: Final = 60.0
_FIRST_SAVE_AFTER: Final = 55.0
#: How far the stored time at which a meter was last heard may lag behind.
_HEARD_WITHIN: Final = 3600.0

_WhoIsWho = tuple[dict[str, Owner], dict[str, Holder], list[UnnamedMeter]]


class StateKeeper:
    """The table of identities and the registry of meters, kept in step with the state file.

    Args:
        config: names the meters.
        store: the state file; None keeps everything in memory. It is not used where all sources are
            recordings: those are read as if for the first time, however often, and leave nothing behind.
        history: what telegrams of live sources go into; None where no history is kept.

    Attributes:
        history: likewise.
        identities: what the core knows about meters.
        registry: which meter a telegram comes from.
    """

    def __init__(
        self, config: Config, store: Store | None = None, history: HistoryKeeper | None = None
    ) -> None:
        meters = config.meters
        self.history = history
        self._save_every = _SAVE_EVERY
        if history is not None:
            history.save_counters = self.save
            self._save_every += _GRACE
        self._store = store if any(meter.is_live for meter in meters) else None
        if self._store is not None:
            self._store.unsaved_counters = self.counters
        rows = [] if self._store is None else self._store.all_counters()
        owners = {} if self._store is None else self._store.owners()
        holders = {} if self._store is None else self._store.holders()
        unnamed = [] if self._store is None else self._store.unnamed()
        names = {meter.name or meter.id for meter in meters}
        self._stored = {row.title: row for row in rows}
        self._saved = {(row.title, row.fingerprint): row.counter for row in rows}
        self._saved_in_this_run: set[tuple[bytes, str]] = set()
        self.identities = Identities(
            None if self._store is None else self._store.counters(),
            {key: owner for key, owner in owners.items() if isinstance(owner, bytes) or owner in names},
            encrypted_ids=[m.id for m in meters if m.encrypted and m.id is not None],
            reserved=_sources_of_ids(meters),
            guard=threading.Lock(),
        )
        self.registry = MeterRegistry(
            meters,
            self.identities,
            lambda line: _log.warning("%s", line),
            topic="smarty" if config.outputs.mqtt is None else config.outputs.mqtt.topic,
            holders={name: held for name, held in holders.items() if name in names},
            titles={row.title: row.source for row in rows},
            unnamed=unnamed,
            started=time.monotonic(),
            sample_of=None if history is None else history.sample_of,
        )
        self._lock = threading.Lock()
        # A meter whose source is gone from the configuration is stored still.
        self._saved_owners = (*self._owners()[:2], unnamed)
        self._next_save = time.monotonic() + self._save_every
        self._fault = Condition(_log.error, cleared=_log.info)

    @property
    def counters_are_kept(self) -> bool:
        """True if frame counters outlive the process, or there are none to keep."""
        return self._store is None or (self._store.is_kept and not self._fault.is_on)

    def counters(self) -> list[StoredCounter]:
        """Return the frame counters that changed since they were stored, as they are now."""
        if self._store is None:
            return []
        last = self.identities.counters.last.copy()
        return [
            self._row(title, fingerprint, counter)
            for (title, fingerprint), counter in last.items()
            if self._saved.get((title, fingerprint)) != counter
        ]

    def tick(self, now: float) -> None:
        """Reset the counters that a user has reset, and save what is due."""
        if self._store is None:
            return
        with suppress(sqlite3.Error):  # a file that is locked for a moment is asked again in a second
            for title in self._store.take_resets():
                self.identities.counters.reset(title)
                _log.info("frame counter of %s reset as requested", title.hex().upper())
        is_new = any(
            key not in self._saved_in_this_run and self._saved.get(key) != counter
            for key, counter in self.identities.counters.last.copy().items()
        )
        if is_new or self._owners() != self._saved_owners:
            self._next_save = min(self._next_save, now + _FIRST_SAVE_AFTER)
        if now >= self._next_save:
            self.save()

    def save(self) -> None:
        """Write what changed to the state file."""
        if self._store is not None:
            with self._lock:
                self._save_in(self._store)

    def _save_in(self, store: Store) -> None:
        self._next_save = time.monotonic() + self._save_every
        rows, owners = self.counters(), self._owners()
        try:
            if rows:
                store.write(rows)
            if owners != self._saved_owners or _is_old(owners[2], self._saved_owners[2]):
                store.write_owners(*owners)
        except sqlite3.Error as error:
            self._fault.begin(f"frame counters cannot be saved in {store.path}: {error}")
            return
        self._saved |= {(row.title, row.fingerprint): row.counter for row in rows}
        self._saved_in_this_run |= {(row.title, row.fingerprint) for row in rows}
        self._saved_owners = owners
        self._fault.end("frame counters are saved again")

    def _row(self, title: bytes, fingerprint: str, counter: int) -> StoredCounter:
        name, source = self.registry.place_of_title(title)
        if not name:
            before = self._stored.get(title)
            name, source = (title.hex().upper(), "") if before is None else (before.meter, before.source)
        return StoredCounter(title, fingerprint, counter, name, source)

    def _owners(self) -> _WhoIsWho:
        return self.identities.owners(), self.registry.holders(), self.registry.unnamed()


def _is_old(meters: Sequence[UnnamedMeter], stored: Sequence[UnnamedMeter]) -> bool:
    """True if one of the same meters was heard on another source, or long after the time that is stored."""
    return any(
        now.source != then.source or (not now.is_authenticated and now.heard - then.heard >= _HEARD_WITHIN)
        for now, then in zip(meters, stored, strict=True)
    )


def _sources_of_ids(meters: Sequence[MeterConfig]) -> dict[str, set[str]]:
    """Return the sources that the meter of each configured id may be read on, by the form of `fold`."""
    found: dict[str, set[str]] = {}
    for meter in meters:
        if meter.id is not None:
            found.setdefault(fold(meter.id), set()).update(source.text for source in meter.sources)
    return found
