"""Reads one source, for months: opens it, reads, opens it again; its readings go to one function.

One blocking thread per source (see "The edges" in the project's design notes). Waiting between two
attempts is 3.5 s at most, so that a meter is back within 5 s of its return, and begins anew only when
a valid telegram has come: a peer that accepts and closes makes no hot loop.
"""

import logging
import random
import shlex
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from smarty_gateway.config import MeterConfig
from smarty_gateway.gateway.conditions import Condition, RejectionLog
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.keyring import KeyRing
from smarty_gateway.protocol.meter import MeterStream, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.sources.address import MODERN, OLD, Kind, LineSettings
from smarty_gateway.sources.source import READ_SECONDS, Source, SourceEnded, SourceLost

_log = logging.getLogger(__name__)

#: Seconds between attempts, before the jitter of a quarter.
_DELAYS: Final = (0.5, 1.0, 2.0, 2.8)
#: A P1 port speaks every 1 or 10 s.
_SILENT_SECONDS: Final = 60.0
#: Short enough for all else that a reader looks at.
_IDLE_SECONDS: Final = 10.0
#: Two telegrams of a meter that sends every 10 s, and more than the rest of one that began before.
_GARBAGE_SECONDS: Final = 25.0
_GARBAGE_BYTES: Final = 200
#: Longer than a peer takes to say that it is busy, and to close.
_STEADY_SECONDS: Final = 10.0
#: A line of 115200 baud carries 11.5 kB a second.
_FLOOD_BYTES: Final = 60_000
_FLOOD_BYTES_A_SECOND: Final = 20_000


@dataclass(slots=True)
class _Meter:
    name: str
    health: Health


class SourceReader:
    """The thread of one source, which one meter or several share.

    Args:
        meters: those configured on this source.
        make_source: gives the source with these line settings; None stands for the usual ones.
        deliver: takes each reading.
        ended: is called when the thread ends.
        options: that `reset-counter` needs to find the same state file.

    Attributes:
        connection: counts how often the source was lost.
        beat: when the thread last showed a sign of life, by the monotonic clock.
        lost_input: why a recording could not be read to its end.
        wants_save: a replay was said, and whoever follows the advice needs the counters on disk.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing that a test replaces
        self,
        meters: Sequence[MeterConfig],
        make_source: Callable[[LineSettings | None], Source],
        keys: KeyRing,
        counters: FrameCounters,
        deliver: Callable[["SourceReader", Reading], None],
        ended: Callable[[], None] = lambda: None,
        options: str = "",
    ) -> None:
        self.address = meters[0].source
        self.stream = MeterStream(
            keys,
            counters,
            must_be_encrypted=any(m.encrypted for m in meters),
            plaintext_ids={m.id.casefold() for m in meters if m.id is not None and not m.encrypted},
        )
        self.beat = time.monotonic()
        self.is_open = False
        self.connection = 0
        self.is_over = False
        self.failure: str | None = None
        self.lost_input: str | None = None
        self.wants_save = False
        self.thread = threading.Thread(target=self._run, name=f"reader of {self.address}", daemon=True)
        self._configured = meters
        self._make_source = make_source
        self._line = meters[0].line or MODERN
        self._source = make_source(meters[0].line)
        self._deliver = deliver
        self._ended = ended
        self._options = options
        self._stopping = threading.Event()
        self._lost = Condition(self._say)
        self._silent = Condition(self._say)
        self._garbage = Condition(self._say)
        self._rejections = RejectionLog(_log.warning)
        self._meters: dict[str, _Meter] = {}  # by meter_id
        self._names_of_titles: dict[bytes, str] = {}
        self._primary = _Meter(meters[0].name or "", Health())
        # Whoever has a frame counter from an earlier run has sent frames.
        self._encrypted_ids = {serial_from_system_title(title) for title, _ in counters.last}
        self._finds_line = meters[0].line is None and self.address.kind is Kind.SERIAL
        self._attempt = 0
        self._spoke = self._proven = self._opened = self.beat
        self._noise_before = 0

    # For others

    @property
    def name(self) -> str:
        """Name the source as a user knows it: by its meter if it has a name."""
        return self._primary.name or str(self.address)

    def start(self) -> None:
        """Begin to read."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does within two seconds."""
        self._stopping.set()
        self._source.interrupt()

    def reset_counter(self, system_title: bytes) -> None:
        """Forget the frame counters of a meter, because a user accepts that they fell back."""
        self.stream.counters.begin_anew(system_title)
        self._say(f"the frame counter of {system_title.hex().upper()} begins anew, as you asked")

    def health(self) -> dict[str, Health]:
        """Say how the meters of this source fare; before the first telegram, those with a name."""
        self._primary.health.noise_bytes = self.stream.noise_bytes
        self._primary.health.counter_gaps = self.stream.counters.gaps
        found = {meter.name: meter.health for meter in list(self._meters.values())}
        return {self._primary.name: self._primary.health} | found if self._primary.name else found

    @property
    def has_rejected(self) -> bool:
        """Tell whether anything was, under whichever name."""
        return any(meter.health.rejected for meter in (self._primary, *list(self._meters.values())))

    def name_of_title(self, title: bytes) -> str:
        """Name the meter behind a system title, as far as that is known."""
        known = (
            self._names_of_titles.get(title) or self._configured_name_of_title(title) or self._primary.name
        )
        return known or serial_from_system_title(title) or title.hex().upper()

    # The thread

    def _run(self) -> None:
        try:
            while not self._stopping.is_set() and self._read_until_lost():
                pass
        except Exception as error:  # noqa: BLE001 - the supervisor ends the process with this reason
            _log.debug("%s", traceback.format_exc())
            self.failure = f"the reader of {self.name} failed: {error!r}"
        finally:
            self.is_over = True
            self._ended()

    def _read_until_lost(self) -> bool:
        """Open the source and read it until it is lost; False at the end of a recording."""
        lost: SourceLost | None = None
        try:
            self._source.open()
            self.is_open = True
            _log.debug("%s: %s is open", self.name, self.address)
            self._read()
        except SourceLost as caught:
            self._silence()
            lost = caught
        except SourceEnded:
            self._silence()
            return False
        finally:
            self._close()
        if lost is not None:
            if not self.address.is_live and not self._stopping.is_set():
                self.lost_input = str(lost)
                return False
            if not self._stopping.is_set():
                self._lost.begin(f"{lost}; trying again until it works", lost.cause)
                self._wait()
        return True

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.connection += 1
            _log.debug("%s: %s is closed", self.name, self.address)
        self._source.close()

    def _wait(self) -> None:
        delay = _DELAYS[min(self._attempt, len(_DELAYS) - 1)]
        self._attempt += 1
        self._stopping.wait(delay * random.uniform(0.75, 1.25))  # noqa: S311 - jitter, not a secret
        self.beat = time.monotonic()

    def _read(self) -> None:
        self._spoke = self._proven = time.monotonic()
        self._opened = self._spoke
        self._noise_before = self.stream.noise_bytes
        while not self._stopping.is_set():
            # A silence settles what is open; where nothing is, waking up would only cost.
            data = self._source.read(READ_SECONDS if self.stream.is_waiting else _IDLE_SECONDS)
            now = self.beat = time.monotonic()
            if data:
                self._spoke = now
                if now - self._opened >= _STEADY_SECONDS:
                    self._is_back()
                self._silent.end(f"{self.address} speaks again")
            if self.stream.receive_data(data, now if self.address.is_live else None):
                self._hand_on(now)
            self._rejections.tick(now)
            if self.address.is_live:
                self._look_at_silence(now)
                self._look_at_flood(now)
                self._look_at_garbage(now)
        self._silence()

    def _silence(self) -> None:
        """Take note that what was still open is cut short."""
        self.stream.receive_silence()
        self._hand_on(time.monotonic())

    def _hand_on(self, now: float) -> None:
        while (event := self.stream.next_event()) is not None:
            if isinstance(event, Rejection):
                self._note_rejection(event, now)
                continue
            self._attempt = 0
            self._note_proof(now)
            meter = self._meter_of(event)
            received = datetime.now(UTC)
            self._look_at_proof(meter, event)
            meter.health.telegrams += 1
            meter.health.last_telegram = received
            self._deliver(self, Reading(meter.name, event, received, self.address.is_live))

    def _look_at_proof(self, meter: _Meter, telegram: MeterTelegram) -> None:
        """Report a meter that once sent authenticated frames and now sends plaintext."""
        if telegram.security is Security.PLAINTEXT:
            if telegram.meter_id in self._encrypted_ids and not meter.health.is_downgraded:
                meter.health.is_downgraded = True
                self._say(
                    f"{meter.name} once sent encrypted frames and now sends plaintext, which anybody could "
                    "write; ask your grid operator, or refuse it with `encrypted: true` in gateway.yaml"
                )
            return
        self._encrypted_ids.add(telegram.meter_id)
        if meter.health.is_downgraded:
            meter.health.is_downgraded = False
            self._say(f"{meter.name} sends encrypted frames again")

    # Whose telegram, and under which name

    def _meter_of(self, telegram: MeterTelegram) -> _Meter:
        found = self._meters.get(telegram.meter_id)
        if found is None:
            found = self._meters[telegram.meter_id] = self._new_meter(telegram)
            if telegram.system_title is not None:
                self._names_of_titles[telegram.system_title] = found.name
        return found

    def _new_meter(self, telegram: MeterTelegram) -> _Meter:
        identities = {telegram.meter_id}
        if telegram.system_title is not None:
            identities |= _names_of_title(telegram.system_title)
        for config in self._configured:
            if config.id is not None and config.id.casefold() in map(str.casefold, identities):
                return self._first_or_new(config.name or telegram.meter_id)
        if not self._meters and self._configured[0].id is None:
            self._primary.name = self._primary.name or telegram.meter_id
            return self._primary
        self._say(
            f"a meter that gateway.yaml does not name speaks here; its readings go out as {telegram.meter_id}"
        )
        return self._first_or_new(telegram.meter_id)

    def _first_or_new(self, name: str) -> _Meter:
        """What is known of the source as a whole (noise, reconnects) is told of its first meter."""
        return self._primary if name == self._primary.name else _Meter(name, Health())

    def _configured_name_of_title(self, title: bytes) -> str | None:
        names = _names_of_title(title)
        configured = (config for config in self._configured if config.id is not None)
        return next((config.name for config in configured if (config.id or "").upper() in names), None)

    def _note_rejection(self, rejection: Rejection, now: float) -> None:
        name, advice = self.name, ""
        if rejection.system_title is not None:
            name = self.name_of_title(rejection.system_title)
        if rejection.reason is not Reason.MALFORMED:
            self._note_proof(now)
        if rejection.reason is Reason.REPLAY and self.address.is_live:
            advice = (
                "; if the meter was replaced or its counter was set back, accept that with: "
                f"smarty-gateway reset-counter {shlex.quote(name)}{self._options}"
            )
        health = next((m.health for m in self._meters.values() if m.name == name), self._primary.health)
        health.rejected[rejection.reason] = health.rejected.get(rejection.reason, 0) + 1
        is_said = self._rejections.note(name, rejection, now, advice)
        self.wants_save = self.wants_save or bool(is_said and advice)

    # Silence and garbage

    def _note_proof(self, now: float) -> None:
        """Take note that the line settings are right: a frame or a telegram came through."""
        self._is_back()
        self._proven = now
        self._noise_before = self.stream.noise_bytes
        if self._garbage.is_on:
            advice = f"; write `speed: {self._line.speed}` and `framing: {self._line.framing}` to its entry"
            at = f" at {self._line}" if self._finds_line else ""
            self._garbage.end(
                f"telegrams come through from {self.address}{at}{'' if self._line == MODERN else advice}"
            )

    def _is_back(self) -> None:
        """Take note that the source is there again: not at its first byte, which may be its last."""
        self._primary.health.reconnects += self._lost.is_on
        self._lost.end(f"{self.address} is back")

    def _look_at_flood(self, now: float) -> None:
        """Leave a peer that sends noise faster than any meter, for what waits in between is old by then."""
        noise = self.stream.noise_bytes - self._noise_before
        if noise > _FLOOD_BYTES and noise > (now - max(self._opened, self._proven)) * _FLOOD_BYTES_A_SECOND:
            raise SourceLost("what comes is no P1 telegram, and faster than any meter: is it a P1 bridge?")

    def _look_at_silence(self, now: float) -> None:
        if now - self._spoke < _SILENT_SECONDS:
            return
        self._spoke = now
        if self.address.kind is Kind.SERIAL:
            self._silent.begin(
                f"nothing has come from {self.address} for {_SILENT_SECONDS:.0f} s: is the cable in the "
                "meter's P1 port, and has your grid operator enabled the port?"
            )
        else:
            # A peer that vanished without a word looks just the same; a new connection tells.
            raise SourceLost(
                f"nothing has come for {_SILENT_SECONDS:.0f} s: is the bridge alive and plugged in?"
            )

    def _look_at_garbage(self, now: float) -> None:
        if now - self._proven < _GARBAGE_SECONDS:
            return
        if self.stream.noise_bytes - self._noise_before < _GARBAGE_BYTES:
            return
        self._proven, self._noise_before = now, self.stream.noise_bytes
        if not self._finds_line:
            self._garbage.begin(
                f"what comes from {self.address} is no P1 telegram and no frame: is it a P1 port, and is its "
                "speed right?"
            )
            return
        other = OLD if self._line == MODERN else MODERN
        self._garbage.begin(
            f"only garbage comes from {self.address} at {self._line}; trying {other}. If that does not help "
            "either, look at the cable: P1 needs an inverted signal"
        )
        self._silence()
        self._source.close()
        self._line = other
        self._source = self._make_source(other)
        self._source.open()

    def _say(self, words: str) -> None:
        _log.warning("%s: %s", self.name, words)


def _names_of_title(title: bytes) -> set[str]:
    serial = serial_from_system_title(title)
    return {title.hex().upper()} | ({serial} if serial else set())
