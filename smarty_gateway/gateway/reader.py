"""Reads one source for months: opens it, reads it, opens it again, and hands its readings on.

Each source has one blocking thread. The wait between two attempts is 3.5 s at most, so that a meter is back
within 5 s of its return. It starts short again only when a valid telegram has come: a peer that accepts and
closes makes no hot loop.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from smarty_gateway.config.values import MeterConfig
from smarty_gateway.fault_log import Backoff, Condition
from smarty_gateway.gateway.forwarding import Forward, Forwarding
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.line_watch import GARBAGE_SECONDS, LineWatch
from smarty_gateway.gateway.rejections import Rejections
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.gateway.throttle import Throttle
from smarty_gateway.logs import crash_of
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.identities import fold
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.safe_text import printable
from smarty_gateway.signals import SignalEvent
from smarty_gateway.sources.address import Address, LineSettings
from smarty_gateway.sources.parity import ParityFilter
from smarty_gateway.sources.source import READ_SECONDS, Source, SourceEnded, SourceLost

_log = logging.getLogger(__name__)

#: Seconds between attempts, before the jitter of a quarter.
_DELAYS: Final = (0.5, 1.0, 2.0, 2.8)
#: Short enough for all else that a reader looks at.
_IDLE_SECONDS: Final = 10.0


class SourceReader:
    """The thread of one source, which one meter or several share.

    Args:
        address: of the source.
        meters: those configured on this source.
        make_source: returns the source with these line settings; None stands for the usual ones.
        keys: of all meters; the reader asks for them whenever bytes have come.
        state: what is known about meters.
        deliver: takes each reading.
        ended: is called when the thread ends.
        options: what a user must add to `reset-counter`, so that it finds the same state file.
        garbage_seconds: as in `LineWatch`.
        forward: takes each frame as it came; None if there is no such output.

    Attributes:
        beat: when the thread last showed a sign of life, by the monotonic clock.
        failure: why the thread died.
        lost_input: why a recording could not be read to its end.
        has_delivered: a reading came from the source, or something to forward.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a reader needs of the gateway
        self,
        address: Address,
        meters: Sequence[MeterConfig],
        make_source: Callable[[LineSettings | None], Source],
        keys: KeysInForce,
        state: StateKeeper,
        deliver: Callable[[Reading], None],
        ended: Callable[[], None] = lambda: None,
        options: str = "",
        garbage_seconds: float = GARBAGE_SECONDS,
        forward: Forward | None = None,
    ) -> None:
        self.address = address
        self.beat = time.monotonic()
        self.is_open = False
        self.is_over = False
        self.failure: str | None = None
        self.lost_input: str | None = None
        self.has_delivered = False
        self.thread = threading.Thread(target=self._run, name=f"reader of {address}", daemon=True)
        self._keys = keys
        self._registry = state.registry
        self._history = state.history if address.is_live else None
        self._stream = MeterStream(
            keys.ring,
            state.identities,
            source=address.text,
            must_be_encrypted=any(m.encrypted for m in meters),
            plaintext_ids={fold(m.id) for m in meters if m.id is not None and not m.encrypted},
            on_duplicate=self._note_duplicate,
        )
        self._make_source = make_source
        self._source = make_source(meters[0].line)
        self._parity = ParityFilter()
        self._forwarding = None if forward is None else Forwarding(forward, is_live=address.is_live)
        self._deliver = deliver
        self._ended = ended
        self._stopping = SignalEvent()  # takes less memory than a threading.Event, and one thread waits
        self._backoff = Backoff(*_DELAYS)
        self._watch = LineWatch(address, meters[0].line, self._condition, self.beat, garbage_seconds)
        self._rejections = Rejections(address, state, self._log, self.beat, options, keys.path)
        self._throttle = Throttle(self.beat)  # for all connections: a new one gets no new allowance

    # For others

    @property
    def name(self) -> str:
        """Return the source as a user knows it: by its meter if it has a name."""
        return self._registry.first_on(self.address.text) or str(self.address)

    @property
    def has_rejected(self) -> bool:
        """True if anything was rejected, under any name."""
        return bool(self._rejections)

    def start(self) -> None:
        """Begin to read."""
        self.thread.start()

    def stop(self) -> None:
        """Ask the thread to end, which it does within two seconds."""
        self._stopping.set()
        self._source.interrupt()

    def add_health(self, found: dict[str, Health], unheard: dict[str, Health]) -> None:
        """Add what the source knows about the health of meters: noise and reconnects to its first one.

        Args:
            found: of all meters.
            unheard: of sources that stand for a meter because they have brought none yet.
        """
        first = self._registry.first_on(self.address.text)
        if first is None:
            first, found = self.address.text, unheard
            found[first] = Health(is_connected=self.is_open)
        if first in found:
            found[first].noise_bytes += self._stream.noise_bytes
            found[first].reconnects += self._watch.reconnects
        self._rejections.add_to(found)
        if self._forwarding is not None:
            self._forwarding.add_to(found, unheard)

    # The thread

    def _run(self) -> None:
        if crash := crash_of(self._read_until_over):
            self.failure = f"the reader of {self.name} failed: {crash}"
        self.is_over = True
        self._ended()

    def _read_until_over(self) -> None:
        while not self._stopping.is_set():
            try:
                self._source.open()
                self.is_open = True
                _log.debug("%s", self._with_name(f"{self.address} is open"))
                self._read()
            except SourceEnded:
                self._end_of_line()
                return
            except SourceLost as lost:
                self._end_of_line()
                if self._stopping.is_set():
                    return
                if not self.address.is_live:
                    self.lost_input = str(lost)
                    return
                self._watch.note_lost(lost)
            finally:
                self._close()
            self._stopping.wait(self._backoff.next_delay())
            self.beat = time.monotonic()

    def _close(self) -> None:
        if self.is_open:
            self.is_open = False
            _log.debug("%s", self._with_name(f"{self.address} is closed"))
        self._source.close()

    def _read(self) -> None:
        self._watch.note_open(time.monotonic(), self._stream.noise_bytes)
        while not self._stopping.is_set():
            # A silence settles what is open; where nothing is, waking up would only cost.
            began, noise = time.thread_time(), self._stream.noise_bytes
            is_waiting = self._stream.is_waiting or self._parity.is_holding
            if self._forwarding is not None:
                is_waiting = is_waiting or self._forwarding.is_waiting
            data = self._source.read(READ_SECONDS if is_waiting else _IDLE_SECONDS)
            now = self.beat = time.monotonic()
            self._stream.keys = self._keys.ring
            if data:
                self._watch.note_bytes(now)
            else:
                self._throttle.add_wasted(1)  # what came, if anything, was skipped, such as telnet commands
            was_held, data = not data, self._parity.strip(data)
            if data or self.address.is_live:
                # What was held back arrived before the silence that has released it.
                arrived = self._stream.last_data or now if was_held and data else now
                self._stream.receive_data(data, arrived if self.address.is_live else None)
                data += self._parity.complete_frame(self._stream)
                self._forward(data, arrived if self.address.is_live else None)
                self._hand_on(now)
            self._rejections.tick(now)
            if self.address.is_live:
                if self._watch.look(now, self._stream.noise_bytes):
                    self._change_line(self._watch.line)
                self._throttle.add_wasted(max(0, self._stream.noise_bytes - noise))
                wait = self._throttle.settle(time.thread_time() - began, now)
                if wait:
                    self._stopping.wait(wait)
        self._end_of_line()

    def _change_line(self, line: LineSettings) -> None:
        self._end_of_line()
        self._source.close()
        self._source = self._make_source(line)
        self._source.open()

    def _end_of_line(self) -> None:
        """Settle what is still open: it was cut short."""
        if rest := self._parity.strip(b""):
            self._stream.receive_data(rest)
            self._forward(rest, None)
        self._stream.receive_silence()
        self._forward(b"", None)
        self._hand_on(time.monotonic())

    def _forward(self, data: bytes, now: float | None) -> None:
        """Forward the frames that these bytes complete; of no bytes, without a time, what is open is over."""
        if self._forwarding is not None and self._forwarding.receive_data(data, now):
            self.has_delivered = True
            self._note_success(self.beat)

    def _hand_on(self, now: float) -> None:
        while (event := self._stream.next_event()) is not None:
            if isinstance(event, Rejection):
                if self._forwarding is not None and event.reason is Reason.NO_KEY:
                    # The pool has the key.
                    name, _ = self._registry.name_for_rejection(event.system_title, self.address.text)
                    self._forwarding.count(name)
                    self._throttle.add_reading(event.size, is_authenticated=False)
                    continue
                self._throttle.add_wasted(event.size)
                if event.reason is not Reason.MALFORMED:
                    self._watch.note_proof(now, self._stream.noise_bytes)
                self._rejections.add(event, now)
                continue
            self._note_success(now)
            if self._deliver_telegram(event, now):
                self._throttle.add_reading(
                    event.size, is_authenticated=event.security is Security.AUTHENTICATED
                )
            else:
                self._throttle.add_wasted(event.size)

    def _note_success(self, now: float) -> None:
        self._backoff.reset()
        self._watch.note_proof(now, self._stream.noise_bytes)

    def _deliver_telegram(self, telegram: MeterTelegram, now: float) -> bool:
        """Hand a telegram on under the name of its meter; False if it is not for here."""
        is_live = self.address.is_live
        meter = self._registry.place(telegram, self.address.text, now, is_live=is_live)
        if meter is None:
            return False
        if telegram.system_title is not None:
            self._rejections.note_accepted(telegram.system_title)
        self.has_delivered = True
        is_first = meter.health.last_telegram is None
        received = meter.health.last_telegram = datetime.now(UTC)
        history = self._history
        self._deliver(
            Reading(
                meter.name,
                telegram,
                received,
                is_live=is_live,
                is_configured=meter.sources is not None,
                object_id=meter.object_id,
                is_first=is_first,
                source=self.address.text,
                quarter=None if history is None else history.add(meter, telegram, received),
            )
        )
        return True

    def _note_duplicate(self, frame: Frame) -> None:
        """Record that the source is alive: it brings what another source brought a moment before."""
        self._note_success(self.beat)
        self._throttle.add_reading(frame.size, is_authenticated=False)  # its tag is not checked again
        self._registry.note_duplicate(frame.system_title, self.address.text)

    def _log(self, message: str) -> None:
        _log.warning("%s", self._with_name(message))

    def _condition(self) -> Condition:
        return Condition(self._log, cleared=lambda message: _log.info("%s", self._with_name(message)))

    def _with_name(self, message: str) -> str:
        """Return a message that names the source or its meter, but not the source twice."""
        address, name = self.address, self.name
        is_named = name == str(address) and (address.host or str(address)) in message
        return message if is_named else f"{printable(name)}: {message}"
