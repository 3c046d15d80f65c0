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
from dataclasses import dataclass
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
#: Five seconds for a stop in all. A reader that opens a connection at this moment is not waited for.
_READERS_STOP_WITHIN: Final = 1.5
_OUTPUTS_STOP_WITHIN: Final = 3.0
#: A meter sends every 10 s at least; so long after its last telegram, another source may have it.
_OWNED_SECONDS: Final = 30.0
#: A reader shows a sign of life every few seconds, whatever its source does. A machine that was asleep
#: or out of memory makes all of them late, and is no reason to end.
_HANGS_AFTER: Final = 300.0


@dataclass(slots=True)
class _Owner:
    """Whose readings go out under a name; when the last one did, and over which connection."""

    reader: SourceReader
    last: float
    connection: int

    def still_sends(self, now: float) -> bool:
        """Tell whether the meter has not moved to another port, as when two adapters change places."""
        return self.reader.connection == self.connection and now - self.last < _OWNED_SECONDS


class Gateway:
    """Runs until it is stopped, until its recordings are read, or until a part of it dies.

    Attributes:
        outputs: all that get the readings; filled before it runs.

    Args:
        store: for frame counters; None where no source is live.
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
        self._store = store
        self._options = options
        self._keys = keys
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._read_keys_again = threading.Event()
        self._owners: dict[str, _Owner] = {}
        self._owners_lock = threading.Lock()
        self._left_out: set[tuple[str, str]] = set()
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
            self._options,
        )

    def _deliver(self, reader: SourceReader, reading: Reading) -> None:
        """Hand a reading to every output, unless another source sends the same meter."""
        now = time.monotonic()
        owner = self._owners.get(reading.meter)
        if owner is None or owner.reader is not reader:
            with self._owners_lock:
                owner = self._owners.get(reading.meter)
                if owner is not None and owner.reader is not reader and owner.still_sends(now):
                    self._leave_out(reader, reading.meter, owner.reader)
                    return
                owner = self._owners[reading.meter] = _Owner(reader, now, reader.connection)
        owner.last, owner.connection = now, reader.connection
        for output in self.outputs:
            output.publish(reading)

    def _leave_out(self, reader: SourceReader, meter: str, owner: SourceReader) -> None:
        if (reader.address.text, meter) not in self._left_out:
            self._left_out.add((reader.address.text, meter))
            _log.error(
                "%s: %s sends a meter of this name already; as long as it does, the readings from %s are "
                "left out; give the two names of their own in gateway.yaml",
                meter, owner.address, reader.address,
            )  # fmt: skip

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
            elif not any(health.telegrams for health in reader.health().values()):
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
            health = self.health()
            for output in self.outputs:
                output.report(health)
            self._look_at_keys()
            self._look_at_store(now)
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
        self._save_counters()
        health = self.health()
        # All at once, so that none waits for another that is blocked.
        last_steps = [
            threading.Thread(target=output.stop, args=(_OUTPUTS_STOP_WITHIN,), daemon=True)
            for output in self.outputs
        ]
        for output in self.outputs:
            output.report(health)
        for thread in last_steps:
            thread.start()
        for thread in last_steps:
            thread.join()

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
        if now >= self._next_save or any(reader.wants_save for reader in self.readers):
            for reader in self.readers:
                reader.wants_save = False
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
