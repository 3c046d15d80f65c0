"""Wiring and supervision: the readers, the outputs, the state file, and who looks after all of them.

The main thread only supervises. A thread that dies or hangs takes the process down with a reason, and
the service manager starts it again: half a gateway that says nothing is worse than none.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from smarty_gateway.config.values import Config, Durability, MeterConfig, Pace
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.meter_registry import MeterRegistry
from smarty_gateway.gateway.reader import SourceReader
from smarty_gateway.gateway.systemd import notify, watchdog_seconds
from smarty_gateway.outputs.output import GatewayHealth, Output, Reading
from smarty_gateway.protocol.identities import Identities, Owner, fold
from smarty_gateway.signals import SignalEvent
from smarty_gateway.sources.address import Address
from smarty_gateway.sources.opening import source_for
from smarty_gateway.state.store import Holder, Store, StoredCounter

_log = logging.getLogger(__name__)

#: Seconds. The card wears out by writing, so frame counters are written rarely; but soon after the first
#: frame of a run, or each crash would open the whole run to replays.
_SAVE_EVERY: Final = 900.0
_FIRST_SAVE_AFTER: Final = 55.0
_LOOK_EVERY: Final = 1.0
_FINISH_LOOK_EVERY: Final = 0.05
#: Five seconds for a stop in all. A reader that opens a connection at this moment is not waited for.
_READERS_STOP_WITHIN: Final = 1.5
_OUTPUTS_STOP_WITHIN: Final = 3.0
#: A reader shows a sign of life every few seconds, whatever its source does. A machine that was asleep
#: or out of memory makes all of them late, and is no reason to end.
_HANGS_AFTER: Final = 300.0


class Gateway:
    """Runs until it is stopped, until its recordings are read, or until a part of it dies.

    Attributes:
        outputs: all that get the readings; filled before it runs.

    Args:
        store: for what must last; None where no source is live.
        options: that `reset-counter` needs to find the same state file.
    """

    def __init__(
        self,
        config: Config,
        keys: KeysInForce,
        store: Store | None = None,
        options: str = "",
    ) -> None:
        self.outputs: list[Output] = []
        meters = _with_one_name_a_source(config.meters)
        # Recordings alone are read as if for the first time, however often, and leave nothing behind.
        self._store = store if any(meter.is_live for meter in meters) else None
        self._options = options
        self._keys = keys
        self._saves_each = config.mqtt is not None and config.mqtt.durability is Durability.EACH
        self._stopping = SignalEvent()
        self._wake = SignalEvent()
        self._read_keys_again = SignalEvent()
        if self._store is not None:
            self._store.unsaved_counters = self.counters
        kept, names = self._store, {meter.name or meter.id for meter in meters}
        stored = [] if kept is None else kept.all_counters()
        owners = {} if kept is None else kept.owners()
        holders = {} if kept is None else kept.holders()
        self._stored = {row.title: row for row in stored}
        self._saved = {(row.title, row.fingerprint): row.counter for row in stored}
        self._saved_in_this_run: set[tuple[bytes, str]] = set()
        self._identities = Identities(
            None if kept is None else kept.counters(),
            {
                identity: owner
                for identity, owner in owners.items()
                if isinstance(owner, bytes) or owner in names
            },
            encrypted_ids=[m.id for m in meters if m.encrypted and m.id is not None],
            reserved=_sources_of_ids(meters),
            guard=threading.Lock(),
        )
        self._registry = MeterRegistry(
            meters,
            self._identities,
            lambda line: _log.warning("%s", line),
            topic="smarty" if config.mqtt is None else config.mqtt.topic,
            holders={name: held for name, held in holders.items() if name in names},
            titles={row.title: row.source for row in stored},
            started=time.monotonic(),
        )
        self._save_lock = threading.Lock()
        self._saved_owners = self._owners()
        self._next_save = time.monotonic() + _SAVE_EVERY
        self._store_is_broken = False
        self.readers = [self._reader(address, entries) for address, entries in _by_source(meters)]

    def _reader(self, address: Address, meters: Sequence[MeterConfig]) -> SourceReader:
        recorded = any(meter.pace is Pace.RECORDED for meter in meters)
        return SourceReader(
            address,
            meters,
            lambda line: source_for(address, line, recorded_pace=recorded),
            self._keys.ring,
            self._identities,
            self._registry,
            self._deliver,
            self._wake.set,
            self._options,
        )

    def _deliver(self, reading: Reading) -> None:
        """Hand a reading to every output."""
        if self._saves_each and reading.is_live and reading.telegram.system_title is not None:
            self._save()
        for output in self.outputs:
            output.publish(reading)

    # What signals call

    def stop(self) -> None:
        """End, soon and cleanly."""
        self._stopping.set()
        self._wake.set()

    def read_keys_again(self) -> None:
        """Read the key file again."""
        self._read_keys_again.set()

    # The main thread

    def run(self) -> ExitStatus:
        """Run; gives the exit status of the process."""
        for output in self.outputs:
            output.start()
        for reader in self.readers:
            reader.start()
        notify("READY=1")
        failure = self._supervise()
        notify("STOPPING=1")
        self._end()
        failure = failure or next((output.failure for output in self.outputs if output.failure), None)
        if failure is not None:
            _log.error("%s", failure)
            return ExitStatus.REJECTED
        return self._result_of_recordings()

    def _result_of_recordings(self) -> ExitStatus:
        """Say what is wrong with recordings; a port has no result, and nor has what was stopped."""
        status = ExitStatus.GOOD
        for reader in self.readers:
            if reader.address.is_live or not reader.is_over or self._stopping.is_set():
                continue
            if reader.lost_input:
                _log.error("%s", reader.lost_input)
                status = ExitStatus.WRONG_USAGE
            elif not reader.has_delivered:
                _log.error("%s: no telegram that can be believed was found in it", reader.address)
                status = status or ExitStatus.REJECTED
            elif reader.has_rejected:
                status = status or ExitStatus.REJECTED
        return status

    def _supervise(self) -> str | None:
        """Look after everything until it ends; give the reason if that is a failure.

        After the last recording, whoever is slow to take what was read is waited for.
        """
        watchdog = watchdog_seconds()
        look_every = min(_LOOK_EVERY, watchdog or _LOOK_EVERY)
        before = time.monotonic()
        while not self._stopping.is_set():
            self._wake.wait(look_every)
            self._wake.clear()
            now = time.monotonic()
            slept, before = now - before, now
            failure = self._failure(now, slept)
            if failure is not None:
                return failure
            if all(reader.is_over for reader in self.readers):
                look_every = _FINISH_LOOK_EVERY
                if not any(output.is_busy for output in self.outputs):
                    return None
            if any(output.is_over for output in self.outputs):
                return None
            if watchdog is not None:
                notify("WATCHDOG=1")
            self._report()
            self._look_at_keys()
            self._look_at_store(now)
            for name in self._registry.tick(now):
                for output in self.outputs:
                    output.forget(name)
        return None

    def _failure(self, now: float, slept: float) -> str | None:
        for output in self.outputs:
            if output.failure is not None:
                return output.failure
            if output.beat is not None and now - slept - output.beat > _HANGS_AFTER:
                return f"{type(output).__name__} hangs"
        for reader in self.readers:
            if reader.failure is not None:
                return reader.failure
            # A recording may wait for whoever reads the output, such as `less`.
            hangs = now - slept - reader.beat > _HANGS_AFTER
            if hangs and reader.address.is_live and not reader.is_over:
                return f"{reader.thread.name} hangs"
        return None

    def _end(self) -> None:
        until = time.monotonic() + _READERS_STOP_WITHIN
        for reader in self.readers:
            reader.stop()
        for reader in self.readers:
            reader.thread.join(max(0.0, until - time.monotonic()))
        self._save()
        # All at once, so that none waits for another that is blocked.
        last_steps = [
            threading.Thread(target=output.stop, args=(_OUTPUTS_STOP_WITHIN,), daemon=True)
            for output in self.outputs
        ]
        self._report()
        for thread in last_steps:
            thread.start()
        for thread in last_steps:
            thread.join()

    def _report(self) -> None:
        """Tell every output how meters and gateway fare."""
        health = self._registry.health()
        for reader in self.readers:
            reader.add_health(health)
        gateway = GatewayHealth(
            counters_kept=self._store is None or (self._store.is_kept and not self._store_is_broken),
            outputs={output.name: output.state for output in self.outputs},
        )
        for output in self.outputs:
            output.report(health, gateway)

    def _look_at_keys(self) -> None:
        asked = self._read_keys_again.is_set()
        if asked:
            self._read_keys_again.clear()
        if self._keys.refresh(asked=asked):
            for reader in self.readers:
                reader.stream.keys = self._keys.ring

    # What must last

    def counters(self) -> list[StoredCounter]:
        """Return the frame counters that changed since they were stored, as they are now."""
        if self._store is None:
            return []
        last = self._identities.counters.last.copy()
        return [
            self._row(title, fingerprint, counter)
            for (title, fingerprint), counter in last.items()
            if self._saved.get((title, fingerprint)) != counter
        ]

    def _row(self, title: bytes, fingerprint: str, counter: int) -> StoredCounter:
        before = self._stored.get(title)
        name, source = self._registry.place_of_title(title)
        if not name:
            name, source = (before.meter, before.source) if before is not None else (title.hex().upper(), "")
        return StoredCounter(title, fingerprint, counter, name, source)

    def _look_at_store(self, now: float) -> None:
        if self._store is None:
            return
        with suppress(sqlite3.Error):  # a file that is locked for a moment is asked again in a second
            for title in self._store.take_resets():
                self._identities.counters.reset(title)
                _log.warning("the frame counter of %s begins anew, as you asked", title.hex().upper())
        is_new = any(
            key not in self._saved_in_this_run and self._saved.get(key) != counter
            for key, counter in self._identities.counters.last.copy().items()
        )
        if is_new or self._owners() != self._saved_owners:
            self._next_save = min(self._next_save, now + _FIRST_SAVE_AFTER)
        if now >= self._next_save:
            self._save()

    def _save(self) -> None:
        """Store the frame counters, and who is who."""
        if self._store is not None:
            with self._save_lock:
                self._save_in(self._store)

    def _save_in(self, store: Store) -> None:
        self._next_save = time.monotonic() + _SAVE_EVERY
        rows, owners = self.counters(), self._owners()
        try:
            if rows:
                store.write(rows)
            if owners != self._saved_owners:
                store.write_owners(*owners)
        except sqlite3.Error as error:
            if not self._store_is_broken:
                _log.error("frame counters cannot be saved in %s: %s", store.path, error)
            self._store_is_broken = True
            return
        self._saved |= {(row.title, row.fingerprint): row.counter for row in rows}
        self._saved_in_this_run |= {(row.title, row.fingerprint) for row in rows}
        self._saved_owners = owners
        if self._store_is_broken:
            _log.warning("frame counters are saved again")
        self._store_is_broken = False

    def _owners(self) -> tuple[dict[str, Owner], dict[str, Holder]]:
        return self._identities.owners(), self._registry.holders()


def _sources_of_ids(meters: Sequence[MeterConfig]) -> dict[str, set[str]]:
    """Return on which sources the meter of each configured id may speak, by the form of `fold`."""
    found: dict[str, set[str]] = {}
    for meter in meters:
        if meter.id is not None:
            found.setdefault(fold(meter.id), set()).update(source.text for source in meter.sources)
    return found


def _with_one_name_a_source(meters: Sequence[MeterConfig]) -> list[MeterConfig]:
    """Let all entries call a source by the same text, however each of them spells it."""
    first: dict[object, Address] = {}
    return [
        replace(meter, sources=tuple(first.setdefault(source.identity, source) for source in meter.sources))
        for meter in meters
    ]


def _by_source(meters: Sequence[MeterConfig]) -> list[tuple[Address, list[MeterConfig]]]:
    """Put together the meters on one source."""
    groups: dict[object, tuple[Address, list[MeterConfig]]] = {}
    for meter in meters:
        for source in meter.sources:
            groups.setdefault(source.identity, (source, []))[1].append(meter)
    return list(groups.values())
