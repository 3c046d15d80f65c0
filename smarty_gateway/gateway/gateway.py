"""Supervision: starts the readers and the outputs, watches them, and stops them.

The main thread only supervises. A part that dies or hangs takes the process down with a reason, and the
service manager starts it again: half a gateway that reports nothing is worse than none.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final

from smarty_gateway.config.service_manager import notify, watchdog_seconds
from smarty_gateway.config.values import Config, Durability, MeterConfig, Pace
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.first_readings import FirstReadings
from smarty_gateway.gateway.forwarding import Forward
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.reader import SourceReader
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.gateway.status_line import status_line
from smarty_gateway.outputs.output import GatewayHealth, Health, Output, Reading
from smarty_gateway.signals import SignalEvent
from smarty_gateway.sources.address import Address
from smarty_gateway.sources.opening import source_for

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 1.0
_FINISH_LOOK_EVERY: Final = 0.05
#: A stop takes five seconds at most. A reader that is opening a connection at that moment is not waited for.
_READERS_STOP_WITHIN: Final = 1.5
_OUTPUTS_STOP_WITHIN: Final = 3.0
#: One of another package may not obey.
_LATE_MOST: Final = 0.25
#: A reader shows a sign of life every few seconds, whatever its source does. A machine that was asleep
#: or out of memory makes all of them late, which is no reason to end.
_HANGS_AFTER: Final = 300.0


class Gateway:
    """Runs until it is stopped, until its recordings are read, or until a part of it dies.

    Args:
        config: its sources must have one text each (see `wiring`).
        keys: of the meters.
        state: what is known about meters.
        outputs: get every reading.
        options: what a user must add to `reset-counter`, so that it finds the same state file.
        logs_first: log the first reading of each meter.
        forward: takes frames as they came.
    """

    def __init__(  # noqa: PLR0913 - the parts that it runs, and two things for its log
        self,
        config: Config,
        keys: KeysInForce,
        state: StateKeeper,
        outputs: Sequence[Output],
        options: str = "",
        *,
        logs_first: bool = False,
        forward: Forward | None = None,
    ) -> None:
        self._keys = keys
        self._state = state
        self._outputs = outputs
        self._options = options
        self._forward = forward
        self._meters = len(config.meters)
        self._status = ""
        mqtt = config.outputs.mqtt
        self._saves_each = mqtt is not None and mqtt.durability is Durability.EACH
        self._logs_first = logs_first
        self._first_readings = FirstReadings(mqtt, _log.info, time.monotonic())
        self._stopping = SignalEvent()
        self._wake = SignalEvent()
        self._read_keys_again = SignalEvent()
        self._readers = [self._reader(address, entries) for address, entries in _by_source(config.meters)]

    def _reader(self, address: Address, meters: Sequence[MeterConfig]) -> SourceReader:
        recorded = any(meter.pace is Pace.RECORDED for meter in meters)
        return SourceReader(
            address,
            meters,
            lambda line: source_for(address, line, recorded_pace=recorded),
            self._keys,
            self._state,
            self._deliver,
            self._wake.set,
            self._options,
            forward=self._forward,
        )

    def _deliver(self, reading: Reading) -> None:
        if self._saves_each and reading.is_live and reading.telegram.system_title is not None:
            self._state.save()
        for output in self._outputs:
            output.publish(reading)
        if self._logs_first and reading.is_first and reading.is_live:
            self._first_readings.note(reading)

    # What other threads and signal handlers call

    @property
    def is_listening(self) -> bool:
        """True if every source is open."""
        return all(reader.is_open for reader in self._readers)

    def stop(self) -> None:
        """End, soon and cleanly."""
        self._stopping.set()
        self._wake.set()

    def read_keys_again(self) -> None:
        """Reload the key file."""
        self._read_keys_again.set()

    # The main thread

    def run(self) -> ExitStatus:
        """Run, and return the exit status of the process."""
        if self._state.history is not None:
            self._state.history.start()
        for output in self._outputs:
            output.start()
        for reader in self._readers:
            reader.start()
        notify("READY=1")
        failure = self._supervise()
        notify("STOPPING=1")
        self._end()
        failure = failure or next((output.failure for output in self._outputs if output.failure), None)
        if failure is not None:
            _log.error("%s", failure)
            return ExitStatus.REJECTED
        return self._result_of_recordings()

    def _result_of_recordings(self) -> ExitStatus:
        """Log what is wrong with recordings; neither a port nor what was stopped has a result."""
        status = ExitStatus.GOOD
        for reader in self._readers:
            if reader.address.is_live or not reader.is_over or self._stopping.is_set():
                continue
            if reader.lost_input:
                _log.error("%s", reader.lost_input)
                status = ExitStatus.WRONG_USAGE
            elif not reader.has_delivered:
                _log.error("%s: no valid telegram found", reader.address)
                status = status or ExitStatus.REJECTED
            elif reader.has_rejected:
                status = status or ExitStatus.REJECTED
        return status

    def _supervise(self) -> str | None:
        """Watch all parts until the end, and return the reason if that is a failure.

        After the last recording, outputs that are slow to hand on what was read are waited for.
        """
        watchdog = watchdog_seconds()
        look_every = min(_LOOK_EVERY, watchdog or _LOOK_EVERY)
        before = time.monotonic()
        while not self._stopping.is_set():
            self._wake.wait(look_every)
            self._wake.clear()
            now = time.monotonic()
            slept, before = now - before, now
            failure = self._failure(now - slept)
            if failure is not None:
                return failure
            if all(reader.is_over for reader in self._readers):
                look_every = _FINISH_LOOK_EVERY
                if not any(output.is_busy for output in self._outputs):
                    return None
            if any(output.is_over for output in self._outputs):
                return None
            if watchdog is not None:
                notify("WATCHDOG=1")
            self._look_after(now)
        return None

    def _look_after(self, now: float) -> None:
        self._report()
        asked = self._read_keys_again.is_set()
        if asked:
            self._read_keys_again.clear()
        self._keys.refresh(asked=asked)
        self._state.tick(now)
        self._first_readings.tick(now)
        for name in self._state.registry.tick(now):
            for output in self._outputs:
                output.forget(name)

    def _failure(self, looked: float) -> str | None:
        """Return why the gateway cannot go on; every part must have shown a sign of life before `looked`."""
        if self._state.history is not None and self._state.history.failure is not None:
            return self._state.history.failure
        for output in self._outputs:
            if output.failure is not None:
                return output.failure
            if output.beat is not None and looked - output.beat > _HANGS_AFTER:
                return f"the output {output.name} hangs"
        for reader in self._readers:
            if reader.failure is not None:
                return reader.failure
            # A recording may wait for a slow reader of the output, such as `less`.
            if reader.address.is_live and not reader.is_over and looked - reader.beat > _HANGS_AFTER:
                return f"{reader.thread.name} hangs"
        return None

    def _end(self) -> None:
        until = time.monotonic() + _READERS_STOP_WITHIN
        for reader in self._readers:
            reader.stop()
        for reader in self._readers:
            reader.thread.join(max(0.0, until - time.monotonic()))
        self._state.save()
        self._report()
        # All at once, so that none waits for another that is blocked.
        stops = [output.stop for output in self._outputs]
        if self._state.history is not None:
            stops.append(self._state.history.stop)
        last_steps = [
            threading.Thread(target=stop, args=(_OUTPUTS_STOP_WITHIN,), daemon=True) for stop in stops
        ]
        for thread in last_steps:
            thread.start()
        until = time.monotonic() + _OUTPUTS_STOP_WITHIN + _LATE_MOST
        for thread in last_steps:
            thread.join(max(0.0, until - time.monotonic()))

    def _report(self) -> None:
        """Report the health of meters and gateway to every output."""
        health = self._state.registry.health({r.address.text for r in self._readers if r.is_open})
        unheard: dict[str, Health] = {}
        for reader in self._readers:
            reader.add_health(health, unheard)
        gateway = GatewayHealth(
            counters_kept=self._state.counters_are_kept,
            outputs={output.name: output.state for output in self._outputs},
            history_kept=self._state.history is None or self._state.history.is_kept,
            unheard=unheard,
        )
        for output in self._outputs:
            output.report(health, gateway)
        status = status_line(self._meters, health, gateway)
        if status != self._status:
            self._status = status
            notify(f"STATUS={status}")


def _by_source(meters: Sequence[MeterConfig]) -> list[tuple[Address, list[MeterConfig]]]:
    """Return each source with the meters on it."""
    groups: dict[object, tuple[Address, list[MeterConfig]]] = {}
    for meter in meters:
        for source in meter.sources:
            groups.setdefault(source.identity, (source, []))[1].append(meter)
    return list(groups.values())
