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
from datetime import UTC, datetime
from typing import Final

from smarty_gateway.config.values import MeterConfig
from smarty_gateway.fault_log import Condition, RejectionLog
from smarty_gateway.gateway.meter_registry import MeterRegistry
from smarty_gateway.gateway.throttle import Throttle
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.identities import Identities, fold
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.safe_text import printable
from smarty_gateway.sources.address import DSMR2_LINE, DSMR4_LINE, Address, Kind, LineSettings
from smarty_gateway.sources.parity import ParityFilter
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


#: A frame counter that fell back is worth a question only if the meter has had nothing accepted for this
#: long; until then it is more likely that old frames were sent again.
_RESET_ADVISED_AFTER: Final = 600.0
_RESETS_ADVISED: Final = 50


class SourceReader:
    """The thread of one source, which one meter or several share.

    Args:
        address: of the source.
        meters: those configured on this source.
        make_source: gives the source with these line settings; None stands for the usual ones.
        keys: all keys there are.
        identities: what the process knows about meters.
        registry: says under which name a telegram goes out.
        deliver: takes each reading.
        ended: is called when the thread ends.
        options: that `reset-counter` needs to find the same state file.

    Attributes:
        beat: when the thread last showed a sign of life, by the monotonic clock.
        lost_input: why a recording could not be read to its end.
        rejected: how often, by the name it counts for and by reason.
        has_delivered: a reading came from it.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - one for each thing that a test replaces
        self,
        address: Address,
        meters: Sequence[MeterConfig],
        make_source: Callable[[LineSettings | None], Source],
        keys: KeyRing,
        identities: Identities,
        registry: MeterRegistry,
        deliver: Callable[[Reading], None],
        ended: Callable[[], None] = lambda: None,
        options: str = "",
    ) -> None:
        self.address = address
        self.stream = MeterStream(
            keys,
            identities,
            source=address.text,
            must_be_encrypted=any(m.encrypted for m in meters),
            plaintext_ids={fold(m.id) for m in meters if m.id is not None and not m.encrypted},
            on_duplicate=self._note_duplicate,
        )
        self.beat = time.monotonic()
        self.is_open = False
        self.is_over = False
        self.failure: str | None = None
        self.lost_input: str | None = None
        self.rejected: dict[str, dict[str, int]] = {}
        self.has_delivered = False
        self.thread = threading.Thread(target=self._run, name=f"reader of {self.address}", daemon=True)
        self._identities = identities
        self._registry = registry
        self._make_source = make_source
        self._line = meters[0].line or DSMR4_LINE
        self._source = make_source(meters[0].line)
        self._parity = ParityFilter()
        self._deliver = deliver
        self._ended = ended
        self._options = options
        self._stopping = threading.Event()
        self._lost = Condition(self._say)
        self._silent = Condition(self._say)
        self._garbage = Condition(self._say)
        self._rejections = RejectionLog(_log.warning)
        self._throttle = Throttle(self.beat)  # for all connections: closing one must not make it anew
        self._reconnects = 0
        self._reset_advised: frozenset[bytes] = frozenset()
        self._finds_line = meters[0].line is None and self.address.kind is Kind.SERIAL
        self._attempt = 0
        self._spoke = self._proven = self._opened = self._started = self.beat
        self._noise_before = 0

    # For others

    @property
    def name(self) -> str:
        """Return the source as a user knows it: by its meter if it has a name."""
        return self._registry.first_on(self.address.text) or str(self.address)

    def start(self) -> None:
        """Begin to read."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end; it does within two seconds."""
        self._stopping.set()
        self._source.interrupt()

    def add_health(self, found: dict[str, Health]) -> None:
        """Add what this source tells about the health of meters: noise and reconnects to its first one."""
        first = self._registry.first_on(self.address.text)
        if first in found:
            found[first].noise_bytes += self.stream.noise_bytes
            found[first].reconnects += self._reconnects
        for name, reasons in self.rejected.copy().items():
            if name in found:
                for reason, number in reasons.copy().items():
                    found[name].rejected[reason] = found[name].rejected.get(reason, 0) + number

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
            began, noise = time.thread_time(), self.stream.noise_bytes
            is_waiting = self.stream.is_waiting or self._parity.is_holding
            data = self._source.read(READ_SECONDS if is_waiting else _IDLE_SECONDS)
            now = self.beat = time.monotonic()
            if not data:
                self._throttle.add_wasted(1)  # what came, if anything, was skipped, such as telnet commands
            if data:
                self._spoke = now
                if now - self._opened >= _STEADY_SECONDS:
                    self._is_back()
                self._silent.end(f"{self.address} speaks again")
            data = self._parity.strip(data)
            if data or self.address.is_live:
                self.stream.receive_data(data, now if self.address.is_live else None)
                self._hand_on(now)
            self._rejections.tick(now)
            if self.address.is_live:
                self._look_at_silence(now)
                self._look_at_flood(now)
                self._look_at_garbage(now)
                self._throttle.add_wasted(max(0, self.stream.noise_bytes - noise))
                wait = self._throttle.settle(time.thread_time() - began, now)
                if wait:
                    self._stopping.wait(wait)
        self._silence()

    def _silence(self) -> None:
        """Settle what was still open: it is cut short."""
        if rest := self._parity.strip(b""):
            self.stream.receive_data(rest)
        self.stream.receive_silence()
        self._hand_on(time.monotonic())

    def _hand_on(self, now: float) -> None:
        while (event := self.stream.next_event()) is not None:
            if isinstance(event, Rejection):
                self._throttle.add_wasted(event.size)
                self._note_rejection(event, now)
                continue
            self._attempt = 0
            self._note_proof(now)
            if self._deliver_telegram(event, now):
                self._throttle.add_reading(
                    event.size, is_authenticated=event.security is Security.AUTHENTICATED
                )
            else:
                self._throttle.add_wasted(event.size)

    def _deliver_telegram(self, telegram: MeterTelegram, now: float) -> bool:
        """Hand a telegram on under the name of its meter; False if it is not for here."""
        meter = self._registry.place(telegram, self.address.text, now, is_live=self.address.is_live)
        if meter is None:
            return False
        if telegram.system_title is not None:
            self._reset_advised -= {telegram.system_title}
        self.has_delivered = True
        received = meter.health.last_telegram = datetime.now(UTC)
        self._deliver(
            Reading(
                meter.name,
                telegram,
                received,
                is_live=self.address.is_live,
                is_configured=meter.sources is not None,
                object_id=meter.object_id,
            )
        )
        return True

    def _note_duplicate(self, frame: Frame) -> None:
        """Record that the source is alive: it brings what another source brought a moment before."""
        self._attempt = 0
        self._note_proof(self.beat)
        self._throttle.add_reading(frame.size, is_authenticated=False)  # its tag is not checked again
        self._registry.note_duplicate(frame.system_title, self.address.text)

    @property
    def has_rejected(self) -> bool:
        """True if anything was, under whichever name."""
        return bool(self.rejected)

    def _note_rejection(self, rejection: Rejection, now: float) -> None:
        title, advice = rejection.system_title, ""
        name, is_own = self._registry.name_for_rejection(title, self.address.text)
        if rejection.reason is not Reason.MALFORMED:
            self._note_proof(now)
        if rejection.reason is Reason.PLAINTEXT and title is not None:
            self._registry.note_plaintext(title, self.address.text, now)
        if rejection.reason is Reason.REPLAY and title is not None and is_own and self.address.is_live:
            advice = self._reset_advice(title, name, now)
        reasons = self.rejected.setdefault(name, {})
        reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
        is_said = self._rejections.note(name, rejection, now, advice)
        if advice and not is_said:
            self._say(f"frames are still rejected as replays{advice}")

    def _reset_advice(self, title: bytes, name: str, now: float) -> str:
        """Return how to accept that a frame counter fell back, once, if that is likely."""
        accepted = self._identities.last_accepted_at(title)
        is_new = title not in self._reset_advised and len(self._reset_advised) < _RESETS_ADVISED
        if not is_new or now - (accepted or self._started) < _RESET_ADVISED_AFTER:
            return ""
        self._reset_advised |= {title}
        return (
            "; if the meter was replaced or its counter was set back, accept that with: "
            f"smarty-gateway reset-counter {shlex.quote(printable(name))}{self._options}"
        )

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
                f"telegrams come through from {self.address}{at}{'' if self._line == DSMR4_LINE else advice}"
            )

    def _is_back(self) -> None:
        """Take note that the source is there again: not at its first byte, which may be its last."""
        self._reconnects += self._lost.is_on
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
        other = DSMR2_LINE if self._line == DSMR4_LINE else DSMR4_LINE
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
        _log.warning("%s: %s", printable(self.name), words)
