"""What the page knows of the present: the newest reading of each meter, its health, and its recent power.

The readers write here and the threads of the server read. The lock is held for some microseconds only.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain
from typing import Final

from smarty_gateway import __version__
from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.history.registers import net_power_of
from smarty_gateway.outputs.availability import Rhythm
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.snapshots import Availability, GatewayNow, MeterNow, PowerCurve
from smarty_gateway.web.power_memory import PowerMemory

#: The supervisor reports once a second, unless a slow disk stops it. It gives up a thread that hangs, so
#: nobody needs to look at the threads here. This clock stands still while the machine sleeps.
_REPORTED_WITHIN: Final = 60.0
_REPORTS_AGAIN_WITHIN: Final = 2.0
#: Seconds after a rejection in which its reason is a trouble.
_TROUBLE_SECONDS: Final = 900.0


class _Meter:
    """A meter that was heard."""

    __slots__ = ("reading", "rhythm")

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.rhythm = Rhythm()


class Live:
    """Collects what the readers deliver; asked by the threads of the server.

    Args:
        config: names the meters; its sources have one text each.
        names: under which they are shown.
        clock: returns seconds; it stands still while the machine sleeps.
        memory: of the power; a new one by default.
    """

    def __init__(
        self,
        config: Config,
        names: PublicNames,
        clock: Callable[[], float] = time.monotonic,
        memory: PowerMemory | None = None,
    ) -> None:
        self._entries = config.meters
        self._names = names
        self._clock = clock
        #: In the order of the configuration.
        self._named = dict.fromkeys(filter(None, map(_own_name, config.meters)))
        self._memory = PowerMemory(self._named) if memory is None else memory
        self._lock = threading.Lock()
        self._heard: dict[str, _Meter] = {}
        self._forwarded: dict[str, Rhythm] = {}  # of frames that only a pool can read
        self._health: Mapping[str, Health] = {}
        self._gateway = GatewayHealth(counters_kept=True, outputs={})
        self._troubles: dict[str, dict[str, float]] = {}
        self._has_reported = threading.Event()
        self._started_at = datetime.now(UTC)
        self._started = self._reported = clock()

    # Called by the readers and the supervisor

    def take(self, reading: Reading) -> None:
        """Take a reading."""
        power = net_power_of(reading.telegram.decoded.fields) if reading.is_live else None
        now = self._clock()
        with self._lock:
            meter = self._heard.get(reading.meter)
            if meter is None:
                meter = self._heard[reading.meter] = _Meter(reading)
            patience = meter.rhythm.patience
            meter.rhythm.arrive(now)
            meter.reading = reading
        if power is not None:
            self._memory.add(reading.meter, power, patience)

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Take the health of meters and gateway; the supervisor calls this about once a second."""
        now = self._clock()
        for name, found in chain(health.items(), gateway.unheard.items()):
            before = self._health.get(name) or self._gateway.unheard.get(name) or Health()
            if found.rejected != before.rejected:
                risen = {r: now for r, n in found.rejected.items() if n > before.rejected.get(r, 0)}
                self._troubles[name] = self._troubles.get(name, {}) | risen
            if found.last_telegram != before.last_telegram and name not in self._heard:
                self._forwarded.setdefault(name, Rhythm()).arrive(now)
        self._health, self._gateway, self._reported = health, gateway, now
        self._has_reported.set()

    def forget(self, meter: str) -> None:
        """Remove a meter that is gone."""
        with self._lock:
            self._heard.pop(meter, None)
            self._forwarded.pop(meter, None)
            self._troubles.pop(meter, None)
        self._memory.forget(meter)
        self._names.forget(meter)

    # Called by the server

    def now(self) -> GatewayNow:
        """Return the gateway as it is at this moment."""
        now = self._clock()
        return GatewayNow(
            version=__version__,
            started=self._started_at,
            is_alive=self._is_alive(now),
            counters_kept=self._gateway.counters_kept,
            history_kept=self._gateway.history_kept,
            outputs=self._gateway.outputs,
            meters=tuple(self._meters(now)),
        )

    def lives(self) -> bool:
        """True if the supervisor has reported a moment ago, or does so now.

        After a pause of the process the supervisor may be a moment behind the server.
        """
        if not self._is_alive(self._clock()):
            self._has_reported.clear()
            self._has_reported.wait(_REPORTS_AGAIN_WITHIN)
        return self._is_alive(self._clock())

    def _is_alive(self, now: float) -> bool:
        return now - self._reported < _REPORTED_WITHIN

    def curve(self, own_name: str) -> PowerCurve:
        """Return the recent power of a meter."""
        return self._memory.curve(own_name)

    def _meters(self, now: float) -> Iterator[MeterNow]:
        """Yield those of the configuration first, in its order."""
        with self._lock:
            heard = self._heard.copy()
        unnamed: dict[str, list[str]] = {}
        for name, meter in heard.items():
            if name not in self._named:
                unnamed.setdefault(meter.reading.source, []).append(name)
        for entry in self._entries:
            own_name = _own_name(entry)
            if own_name is not None:
                yield self._meter(own_name, heard.get(own_name), now, entry)
                continue
            own = [name for source in entry.sources for name in unnamed.pop(source.text, ())]
            yield from (self._meter(name, heard[name], now, entry) for name in own)
            if not own:
                yield self._unheard(entry, now)
        for name in chain.from_iterable(unnamed.values()):
            yield self._meter(name, heard[name], now, None)

    def _meter(self, name: str, meter: _Meter | None, now: float, entry: MeterConfig | None) -> MeterNow:
        return MeterNow(
            name=self._names.of(name, is_unnamed=entry is None or entry.name is None),
            own_name=name,
            is_expected=entry is not None and entry.is_live,
            availability=self._availability(
                self._forwarded.get(name) if meter is None else meter.rhythm, now
            ),
            reading=None if meter is None else meter.reading,
            health=self._health.get(name) or Health(),
            troubles=self._troubles_of(name, now),
        )

    def _unheard(self, entry: MeterConfig, now: float) -> MeterNow:
        """Return what stands for the meter of an entry without a name until it is heard."""
        source = entry.sources[0].text
        return MeterNow(
            name=self._names.of_unheard(source),
            own_name="",
            is_expected=entry.is_live,
            availability=self._availability(self._forwarded.get(source), now),
            health=self._gateway.unheard.get(source) or Health(),
            troubles=self._troubles_of(source, now),
        )

    def _availability(self, rhythm: Rhythm | None, now: float) -> Availability:
        rhythm = rhythm or Rhythm()
        if rhythm.is_silent(now, self._started):
            return Availability.SILENT
        return Availability.STARTING if rhythm.last is None else Availability.ONLINE

    def _troubles_of(self, name: str, now: float) -> tuple[str, ...]:
        risen = self._troubles.get(name, {})
        return tuple(reason for reason, at in risen.items() if now - at < _TROUBLE_SECONDS)


def _own_name(entry: MeterConfig) -> str | None:
    """Return the name of its meter in readings; None for an entry that stands for any meter of its source."""
    return entry.name or entry.id
