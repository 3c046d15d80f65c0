"""Diagnoses a source from the bytes that came, their times, and the ports that were lost.

No I/O: bytes, times and lost ports go in by method calls. The same checks as in the gateway (`MeterStream`)
decide what is a telegram, so doctor cannot disagree with `run`.

To add a finding, describe its kind in `kinds.py`, write its text in `findings.py` or `key_findings.py`, and
yield it where its cause is known:

    healthy_meter   telegrams that were accepted
    key_faults      frames that do not verify
    damage          telegrams with bit errors, too short, or cut
    signal_faults   bytes that hold no telegram
    diagnosis       everything else, and the order: the finding that concerns most telegrams comes first
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.values import MeterConfig
from smarty_gateway.doctor import findings
from smarty_gateway.doctor.damage import Damage
from smarty_gateway.doctor.finding import Finding, Weighted
from smarty_gateway.doctor.healthy_meter import SeenMeter
from smarty_gateway.doctor.key_faults import KeyFaults
from smarty_gateway.doctor.kinds import Code
from smarty_gateway.doctor.line_search import LineSearch
from smarty_gateway.doctor.signal_faults import Kind, examine, looks_like_text, parity_of, wrapping
from smarty_gateway.protocol.identities import fold
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.protocol.window import Window
from smarty_gateway.sources.address import DSMR4_LINE, LineSettings
from smarty_gateway.sources.capture_format import SIGNATURE
from smarty_gateway.sources.parity import ParityFilter
from smarty_gateway.sources.source import Cause, SourceLost

#: Two telegrams show the period of a meter as well.
_CLEAR_TELEGRAMS: Final = 2
#: The weight of a finding that explains all others, whose weight is a number of telegrams.
_FIRST: Final = 1_000_000
_CODES: Final = {
    Cause.AWAY: Code.MISSING,
    Cause.BUSY: Code.BUSY,
    Cause.PERMISSION: Code.PERMISSION,
    Cause.UNFIT: Code.UNFIT,
}


class Diagnosis:
    """What was observed on one source, and the findings that follow from it.

    Args:
        source: its name, as shown to the user.
        keys: the keys of the key file.
        is_live: True for a port or bridge, False for a recording.
        is_serial: True if speed and framing matter.
        configured: the meters of gateway.yaml on this source.
    """

    def __init__(
        self,
        source: str,
        keys: KeyRing,
        *,
        is_live: bool,
        is_serial: bool = False,
        configured: Sequence[MeterConfig] = (),
    ) -> None:
        self.size = 0
        self.telegrams = 0
        self.rejected: Counter[Reason] = Counter()
        self._source = source
        self._is_live = is_live
        self._is_serial = is_serial
        self._configured = [meter.line for meter in configured]
        self._stream = MeterStream(
            keys,
            must_be_encrypted=any(meter.encrypted for meter in configured),
            plaintext_ids={fold(m.id) for m in configured if m.id is not None and not m.encrypted},
        )
        self._parity = ParityFilter()
        self._window = Window()
        self._damage = Damage(self._window)
        self._keys = KeyFaults(self._stream)
        self._meters: dict[str, SeenMeter] = {}
        self._odd_content = 0
        self._meter_checksums = 0
        self._plaintext = 0
        self._cannot_open: SourceLost | None = None
        self._lost: list[str] = []
        self._seconds = 0.0
        self._search = LineSearch()
        self._unreadable_lines = 0
        self._of_files: list[Finding] = []
        self._new_events: list[Event] = []

    # What is observed

    def begin_listening(self, now: float) -> None:
        """Record that the source was opened."""
        self._search.begin_listening(now)

    def receive(self, data: bytes, now: float | None = None) -> Iterator[Event]:
        """Take what arrived, and return the events that follow from it.

        Args:
            data: any bytes, also none.
            now: seconds of a monotonic clock; None for a recording.
        """
        self.size += len(data)
        self._search.take(data, now)
        self._read(data, now)
        self._take_events(now)
        return self.take_new_events()

    def take_new_events(self) -> Iterator[Event]:
        """Return the events that were not returned yet, as after a loss or a change of settings."""
        new, self._new_events = self._new_events, []
        return iter(new)

    def _read(self, data: bytes, now: float | None = None) -> None:
        data = self._parity.strip(data)
        self._window.add(data)
        if data or now is not None:
            self._stream.receive_data(data, now)

    def _settle(self) -> None:
        self._read(b"")
        self._stream.receive_silence()

    def finish(self, seconds: float | None = None, *, at_end: bool = True) -> Iterator[Event]:
        """End the observation, and return the last events.

        Args:
            seconds: how long it took, None for a recording.
            at_end: False if only the time ran out; a telegram that is still incomplete is no fault then.
        """
        self._seconds = seconds or 0.0
        if at_end:
            self._settle()
        self._take_events(None)
        if at_end:
            self._damage.take_rest(self.size)
        return self.take_new_events()

    def note_lost(self, lost: SourceLost, *, while_listening: bool) -> None:
        """Record that the source could not be opened, or went away."""
        if while_listening:
            self._lost.append(str(lost))
            self._settle()
            self._take_events(None)
        else:
            self._cannot_open = lost

    def note_unreadable_lines(self, count: int) -> None:
        """Record how many lines of a capture or hex dump could not be read."""
        self._unreadable_lines = count

    def note_configuration(self, path: Path, errors: list[str]) -> None:
        """Record the faults of the configuration."""
        self._of_files.append(findings.configuration(path, errors))

    def note_forwarding(self) -> None:
        """Record that `run` forwards frames to a pool, which has the keys."""
        self._keys.is_edge = True

    def note_key_file_mode(self, path: Path) -> None:
        """Record that others can read the key file."""
        self._of_files.append(findings.key_file_mode(path))

    def next_line(self, now: float) -> LineSettings | None:
        """Return other line settings to try, None while the present ones may be right."""
        if not self._is_serial or not self._search.advance(now):
            return None
        self._settle()
        self._take_events(None)
        return self._search.line

    @property
    def is_clear(self) -> bool:
        """True if all is well and two telegrams or frames of every meter came, so listening may end."""
        forwarded = self._keys.forwarded
        counts = [*(meter.count for meter in self._meters.values()), *forwarded]
        is_faultless = self.rejected.total() == sum(forwarded) and not self._lost
        return is_faultless and bool(counts) and min(counts) >= _CLEAR_TELEGRAMS

    def is_forwarded(self, rejection: Rejection) -> bool:
        """True if a frame was rejected only because the pool has its key."""
        title = rejection.system_title
        return rejection.reason is Reason.NO_KEY and title is not None and self._keys.is_forwarded(title)

    # What follows from it

    def _take_events(self, now: float | None) -> None:
        while (event := self._stream.next_event()) is not None:
            if isinstance(event, MeterTelegram):
                self._take_telegram(event, now)
            else:
                self._take_rejection(event)
            self._new_events.append(event)

    def _take_telegram(self, telegram: MeterTelegram, now: float | None) -> None:
        self._search.note_proof()
        self.telegrams += 1
        damaged = self._damage.count
        self._damage.take_good(telegram.offset, telegram.size)
        if self._damage.count != damaged:
            self._interrupt_periods()
        meter = self._meters.setdefault(telegram.meter_id, SeenMeter(telegram))
        meter.add(telegram, now)
        if telegram.system_title is not None:
            self._keys.take_verified(telegram.system_title)
            frame = self._window.frame(telegram.offset, telegram.size)
            if telegram.security is Security.UNAUTHENTICATED and frame is not None:
                self._keys.check_tag(frame)

    def _interrupt_periods(self) -> None:
        for meter in self._meters.values():
            meter.interrupt()

    def _take_rejection(self, rejection: Rejection) -> None:
        self._interrupt_periods()
        self.rejected[rejection.reason] += 1
        title, reason = rejection.system_title, rejection.reason
        if reason is Reason.MALFORMED and title is None:
            at_end = not self._is_live and rejection.offset + rejection.size == self.size
            take = self._damage.take_end if at_end else self._damage.take_malformed
            take(rejection.offset, rejection.size)
            return
        self._search.note_proof()
        self._damage.pass_over(rejection.offset, rejection.size)
        if reason is Reason.PLAINTEXT:
            self._plaintext += 1
        elif title is None:
            self._damage.take_text(rejection.offset, rejection.size)
        else:
            self._take_frame(rejection, title)

    def _take_frame(self, rejection: Rejection, title: bytes) -> None:
        """Count a frame that was rejected under its cause: the meter, the keys, or damage."""
        reason = rejection.reason
        frame = self._window.frame(rejection.offset, rejection.size)
        if reason is Reason.MALFORMED:
            self._odd_content += 1
        elif reason is Reason.SECURITY and frame is not None:
            self._keys.of(title).securities[frame.security] += 1
        elif self._damage.take_frame_with_another_inside(rejection.offset, rejection.size, title):
            pass
        elif reason is Reason.CHECKSUM and self._keys.is_verified_by_tag(title):
            self._meter_checksums += 1
        elif reason is Reason.REPLAY and (frame is None or self._keys.is_opened(frame)):
            self._keys.of(title).failed[reason] += 1
        elif (
            frame is None
            or self._keys.has_damaged_title(frame)
            or not self._keys.take_rejected(frame, reason, rejection.hint)
        ):
            self._damage.bit_errors += 1

    def findings(self) -> list[Finding]:
        """Return what was found out, the likeliest cause first."""
        if self._cannot_open is not None and not self.size:
            code = _CODES[self._cannot_open.cause]
            found = [findings.cannot_open(code, self._source, str(self._cannot_open))]
            return [*found, *self._of_files]
        damage = self._damage.findings(self._keys.damaged, self.telegrams)
        weighted = [*self._of_recording(), *self._keys.findings(), *damage]
        weighted += [*self._of_content(), *self._keys.security_findings()]
        of_line = list(self._of_line())
        alone = not weighted and not self._lost and not self._of_files
        alone = alone and not any(finding.is_fault for _, finding in of_line)
        weighted += [(meter.count, self._of_meter(meter, alone=alone)) for meter in self._meters.values()]
        if not weighted:
            weighted += self._of_signal()
        weighted += of_line
        if self._lost:
            weight = 0 if self.size else 1
            weighted.append((weight, findings.lost(self._source, len(self._lost), self._lost[-1])))
        if not weighted:
            weighted.append((1, findings.too_short(is_live=self._is_live)))
        weighted += [(0, finding) for finding in self._of_files]
        return [finding for _, finding in sorted(weighted, key=lambda pair: -pair[0])]

    def _of_recording(self) -> Iterator[Weighted]:
        """Look for what makes every frame fail, whatever is in it."""
        samples = self._search.samples
        if self._unreadable_lines:
            yield self._unreadable_lines, findings.unreadable_lines(self._unreadable_lines)
        elif not self._is_live and any(SIGNATURE in sample for sample in samples):
            yield _FIRST, findings.unreadable_lines(None)
        if not self._meters:
            for signal in list(filter(None, map(wrapping, samples)))[:1]:
                yield _FIRST, findings.not_p1(signal.name)

    def _of_meter(self, meter: SeenMeter, *, alone: bool) -> Finding:
        title = meter.last.system_title
        if title is None or not self._keys.of(title).is_unproven:
            return meter.finding(alone=alone)
        return meter.unproven_finding(
            self._keys.entry_name(title), default_fits=self._keys.of(title).default_fits
        )

    def _of_content(self) -> Iterator[Weighted]:
        if self._plaintext:
            # Worth more than its number: it may be an attack, and it is never an accident of the line.
            yield _FIRST + self._plaintext, findings.plaintext(self._plaintext)
        if self._odd_content:
            yield self._odd_content, findings.odd_content(self._odd_content)
        if self._meter_checksums:
            yield self._meter_checksums, findings.wrong_checksum(self._meter_checksums)
        for meter in self._meters.values():
            title = meter.last.system_title
            if title is None or Security.UNAUTHENTICATED not in meter.securities:
                continue
            if not self._keys.of(title).is_unproven:
                yield 0, findings.needlessly_unauthenticated(self._keys.entry_name(title))

    def _of_signal(self) -> Iterator[Weighted]:
        """Look at the bytes themselves, where no telegram and no frame came."""
        if not self.size:
            if not self._lost:
                seconds = self._seconds if self._is_live else None
                yield 1, findings.silent(self._source, seconds, self._search.tried, is_serial=self._is_serial)
            return
        samples = self._search.samples
        for signal in filter(None, map(examine, samples)):
            if signal.kind is Kind.INVERTED:
                yield 1, findings.inverted(signal.name)
            elif signal.line is not None:
                yield 1, findings.line_settings_guessed(signal.name, signal.line)
            else:
                yield 1, findings.not_p1(signal.name)
            return
        if self._damage.count or any(map(looks_like_text, samples)):
            return
        lines = self._search.tried if self._is_serial else []
        yield 1, findings.garbage(self.size, lines, is_live=self._is_live)

    def _of_line(self) -> Iterator[Weighted]:
        if not self._meters and not self._keys.forwarded:
            return
        line = self._search.proven
        if self._is_serial and line is not None and line != DSMR4_LINE:
            yield 0, findings.line_settings_found(line, DSMR4_LINE, is_configured=line in self._configured)
        elif (parity := parity_of(bytes(self._search.sample))) is not None:
            yield 0, findings.parity_read_as_eight_bits(parity)

    def summary(self) -> dict[str, Any]:
        """Return the numbers behind the findings, for programs."""
        return {
            "source": self._source,
            "seconds": round(self._seconds, 1) if self._is_live else None,
            "line": str(self._search.line) if self._is_serial else None,
            "bytes": self.size,
            "noise_bytes": self._stream.noise_bytes,
            "telegrams": self.telegrams,
            "rejected": {reason.value: count for reason, count in self.rejected.items()},
            "meters": [meter.as_object() for meter in self._meters.values()],
        }
