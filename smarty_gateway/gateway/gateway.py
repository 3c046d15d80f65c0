"""Wiring and supervision: the readers, the outputs, the state file, and who looks after all of them.

The main thread only supervises. A thread that dies or hangs takes the process down with a reason, and
the service manager starts it again: half a gateway that says nothing is worse than none.
"""

import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from smarty_gateway.config import Config, MeterConfig, Pace
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.keys_in_force import KeysInForce
from smarty_gateway.gateway.reader import SourceReader
from smarty_gateway.gateway.service import notify, watchdog_seconds
from smarty_gateway.outputs.output import Health, Output, Reading
from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.sources.opening import source_for
from smarty_gateway.store import Store, StoredCounter

_log = logging.getLogger(__name__)

#: Seconds. The card wears out by writing, so the counters are written rarely (contract.md).
_SAVE_EVERY: Final = 900.0
_LOOK_EVERY: Final = 1.0
_FINISH_LOOK_EVERY: Final = 0.05
_STOP_WITHIN: Final = 4.5
#: A reader shows a sign of life every few seconds, whatever its source does. A machine that was asleep
#: or out of memory makes all of them late, and is no reason to end.
_HANGS_AFTER: Final = 300.0


class Gateway:
    """Runs until it is stopped, until its recordings are read, or until a part of it dies.

    Attributes:
        outputs: all that get the readings; filled before it runs.

    Args:
        store: for frame counters; None where no source is live.
    """

    def __init__(
        self,
        config: Config,
        keys: KeysInForce,
        store: Store | None = None,
    ) -> None:
        self.outputs: list[Output] = []
        self._store = store
        self._keys = keys
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._read_keys_again = threading.Event()
        self._owners: dict[str, SourceReader] = {}
        self._owners_lock = threading.Lock()
        self._next_save = time.monotonic() + _SAVE_EVERY
        self._store_is_broken = False
        self.readers = [self._reader(meters) for meters in _by_source(config.meters)]

    def _reader(self, meters: Sequence[MeterConfig]) -> SourceReader:
        address = meters[0].source
        counters = FrameCounters()
        if self._store is not None and address.is_live:
            counters = self._store.counters_of(address.text)
        recorded = any(meter.pace is Pace.RECORDED for meter in meters)
        return SourceReader(
            meters,
            lambda line: source_for(address, line, recorded_pace=recorded),
            self._keys.ring,
            counters,
            self._deliver,
            self._wake.set,
        )

    def _deliver(self, reader: SourceReader, reading: Reading) -> None:
        """Hand a reading to every output, unless another source has the same meter."""
        owner = self._owners.get(reading.meter)
        if owner is not reader:
            with self._owners_lock:
                owner = self._owners.setdefault(reading.meter, reader)
                if owner is not reader:
                    key = f"{reader.address} {reading.meter}"
                    if key not in self._owners:
                        self._owners[key] = reader
                        _log.error(
                            "%s: %s sends a meter of this name already; the readings from %s are left out "
                            "until you give the two names of their own in gateway.yaml",
                            reading.meter, owner.address, reader.address,
                        )  # fmt: skip
                    return
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
        if failure is None:
            self._let_outputs_finish()
        notify("STOPPING=1")
        self._end()
        if failure is not None:
            _log.error("%s", failure)
            return ExitStatus.REJECTED
        lost = [reader.lost_input for reader in self.readers if reader.lost_input]
        for words in lost:
            _log.error("%s", words)
        return ExitStatus.WRONG_USAGE if lost else ExitStatus.GOOD

    def _supervise(self) -> str | None:
        """Look after everything until it ends; give the reason if that is a failure."""
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
                return None
            if any(output.is_over for output in self.outputs):
                return None
            if watchdog is not None:
                notify("WATCHDOG=1")
            health = self.health()
            for output in self.outputs:
                output.report(health)
            self._look_at_keys()
            self._look_at_store(now)
        return None

    def _let_outputs_finish(self) -> None:
        """After the last recording, wait for whoever is slow to take what was read."""
        while not self._stopping.is_set() and any(output.is_busy for output in self.outputs):
            self._wake.wait(_FINISH_LOOK_EVERY)
            self._wake.clear()

    def _failure(self, now: float, slept: float) -> str | None:
        for output in self.outputs:
            if output.failure is not None:
                return output.failure
        for reader in self.readers:
            if reader.failure is not None:
                return reader.failure
            if not reader.is_over and now - slept - reader.beat > _HANGS_AFTER:
                return f"{reader.thread.name} hangs"
        return None

    def _end(self) -> None:
        deadline = time.monotonic() + _STOP_WITHIN
        for reader in self.readers:
            reader.stop()
        for reader in self.readers:
            reader.thread.join(max(0.0, deadline - time.monotonic()))
        self._save_counters()
        for output in self.outputs:
            output.stop(max(0.5, deadline - time.monotonic()))

    def health(self) -> dict[str, Health]:
        """Say how every meter fares."""
        found: dict[str, Health] = {}
        for reader in self.readers:
            found |= reader.health()
        return found

    def _look_at_keys(self) -> None:
        asked = self._read_keys_again.is_set()
        self._read_keys_again.clear()
        if self._keys.refresh(asked=asked):
            for reader in self.readers:
                reader.stream.keys = self._keys.ring

    # Frame counters

    def counters(self) -> list[StoredCounter]:
        """Give the counters of all live sources, as they are now."""
        return [
            StoredCounter(reader.address.text, title, fingerprint, counter, reader.name_of_title(title))
            for reader in self.readers
            if reader.address.is_live
            for (title, fingerprint), counter in reader.stream.counters.last.copy().items()
        ]

    def _look_at_store(self, now: float) -> None:
        if self._store is None:
            return
        with suppress(sqlite3.Error):  # a file that is locked for a moment is asked again in a second
            for source, title in self._store.take_resets():
                for reader in self.readers:
                    if reader.address.text == source:
                        reader.reset_counter(title)
        if now >= self._next_save:
            self._next_save = now + _SAVE_EVERY
            self._save_counters()

    def _save_counters(self) -> None:
        if self._store is None:
            return
        try:
            self._store.write(self.counters())
        except sqlite3.Error as error:
            if not self._store_is_broken:
                _log.error("frame counters cannot be saved in %s: %s", self._store.path, error)
            self._store_is_broken = True
        else:
            if self._store_is_broken:
                _log.warning("frame counters are saved again")
            self._store_is_broken = False


def _by_source(meters: Sequence[MeterConfig]) -> list[list[MeterConfig]]:
    groups: dict[tuple[str, object], list[MeterConfig]] = defaultdict(list)
    for meter in meters:
        groups[meter.source.identity].append(meter)
    return list(groups.values())
