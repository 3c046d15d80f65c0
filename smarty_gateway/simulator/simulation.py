"""Runs simulated meters: one thread sends for each when it is due."""

import random
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heapify, heapreplace
from typing import Final, Self

from smarty_gateway.simulator.faults import Fault, FaultyLine
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import SimulatedMeter
from smarty_gateway.simulator.ports import Port

_MICROSECONDS: Final = 1_000_000


class Simulation:
    """Makes meters send on ports until it is stopped.

    The meters' clock starts at the real time and runs `speed` times as fast. A telegram is that of the moment
    at which it was due, not of the one at which the thread got to it, so the frame counter rises with every
    telegram; that is also why a period is at least a second.

    Args:
        ports: one for each meter, in the same order; several meters may share one. They are closed
            at the end.
        speed: how many seconds pass for the meters in one second.
        faults: the share of telegrams with each fault, from 0 to 1.
        seed: another seed gives other telegrams the faults.

    Attributes:
        sent: how many telegrams were sent, damaged ones included.
        skipped: how many were left out because the machine could not keep up.
    """

    def __init__(
        self,
        meters: Sequence[SimulatedMeter],
        ports: Iterable[Port],
        *,
        speed: float = 1.0,
        faults: Mapping[Fault, float] | None = None,
        seed: int = 0,
    ) -> None:
        if speed <= 0 or any(meter.period < 1 for meter in meters):
            raise ValueError("a simulation needs a speed above 0 and periods of one second at least")
        self.sent = 0
        self.skipped = 0
        self._meters = meters
        self._ports = list(ports)
        if len(self._ports) != len(meters):
            raise ValueError("a simulation needs one port for each meter")
        self._speed = speed
        self._lines = [
            FaultyLine(faults or {}, random.Random(f"{seed} {meter.meter_id}"))  # noqa: S311 - no secret
            for meter in meters
        ]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated meters", daemon=True)
        self._started = False

    def start(self) -> None:
        """Start to send; the first telegrams are spread over one period."""
        self._started = True
        self._thread.start()

    def stop(self) -> None:
        """Stop sending, and close the ports."""
        self._stopping.set()
        if self._started:
            self._thread.join()
        for port in self._ports:
            port.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        # Times are whole microseconds of the meters' clock: with a sum of fractions a frame counter could
        # stay the same. A computer whose clock was never set starts in 1970, before a simulated meter can.
        begin = max(0, (datetime.now(UTC) - BEGINNING) // timedelta(microseconds=1))
        started = time.monotonic()
        periods = [timedelta(seconds=meter.period) // timedelta(microseconds=1) for meter in self._meters]
        due = [(begin + period * n // len(periods), n) for n, period in enumerate(periods)]
        heapify(due)
        while due:
            at, n = due[0]
            wait = (at - begin) / _MICROSECONDS / self._speed - (time.monotonic() - started)
            # Also without anything to wait for, or a fast simulation could not be stopped.
            if self._stopping.wait(max(0.0, wait)):
                return
            self._send(n, _moment(at), _moment(begin))
            behind = int((time.monotonic() - started) * self._speed * _MICROSECONDS) + begin - at
            missed = max(0, behind // periods[n] - 1)
            self.skipped += missed
            heapreplace(due, (at + periods[n] * (1 + missed), n))

    def _send(self, n: int, at: datetime, begin: datetime) -> None:
        meter, line = self._meters[n], self._lines[n]
        fault = line.next_fault()
        frame = meter.frame(at, begin=begin, under_wrong_key=fault is Fault.WRONG_KEY)
        data = line.send(frame, fault)
        if data:
            self._ports[n].write(data)
            self.sent += 1


def _moment(microseconds: int) -> datetime:
    return BEGINNING + timedelta(microseconds=microseconds)
