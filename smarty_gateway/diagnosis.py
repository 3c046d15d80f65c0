"""Finds out what is wrong with a source: takes what was seen of it, gives findings, the likeliest first.

Pure: bytes, times and lost ports go in by method calls, and nothing here opens, waits or prints. The
checks themselves are those of the gateway (`MeterStream`), so doctor cannot disagree with `run`. What
it adds is memory: how often, at which length, what lay between two good telegrams, and whether a key
of another entry would have opened a frame. A frame that failed is decrypted for that last question
only, and nothing but the yes or no is kept.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from smarty_gateway import findings as say
from smarty_gateway.damage import Damage, Window
from smarty_gateway.findings import Code, Finding
from smarty_gateway.healthy_meter import SeenMeter
from smarty_gateway.line_search import LineSearch
from smarty_gateway.protocol.decryption import decrypt, read_by_crc
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.keyring import KeyRing, MeterKey, Verification
from smarty_gateway.protocol.meter import Event, MeterStream, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.signal_faults import Kind, examine, looks_like_text, parity_of
from smarty_gateway.sources.address import MODERN, LineSettings
from smarty_gateway.sources.source import Cause, SourceLost

#: The entries of a key file; None stands for `any`.
Entries = Mapping[bytes | None, tuple[MeterKey, ...]]

_CLEAR_TELEGRAMS: Final = 2
#: System titles that differ in so few bits are one title with damage.
_DAMAGED_TITLE_BITS: Final = 8
_CODES: Final = {
    Cause.AWAY: Code.MISSING,
    Cause.BUSY: Code.BUSY,
    Cause.PERMISSION: Code.PERMISSION,
    Cause.UNFIT: Code.UNFIT,
}


@dataclass(slots=True)
class _Encrypted:
    """What became of the frames of one system title."""

    counts: Counter[Reason | Hint] = field(default_factory=Counter)
    verified: int = 0
    #: the entry whose key opens frames that the meter's own does not; unset as long as none was found
    opener: str | None = None


class Diagnosis:
    """Everything that was seen of one source.

    Args:
        source: its name, for people.
        keys: the key file's keys.
        entries: the same by entry.
        is_live: whether it goes on for ever; else it is a recording.
        is_serial: whether speed and framing matter.
    """

    def __init__(
        self, source: str, keys: KeyRing, entries: Entries, *, is_live: bool, is_serial: bool = False
    ) -> None:
        self.size = 0
        self.telegrams = 0
        self.rejected: Counter[Reason] = Counter()
        self._source = source
        self._entries = entries
        self._is_live = is_live
        self._is_serial = is_serial
        self._stream = MeterStream(keys)
        self._window = Window()
        self._damage = Damage(self._window)
        self._meters: dict[str, SeenMeter] = {}
        self._titles: dict[bytes, _Encrypted] = {}
        self._securities: Counter[int] = Counter()
        self._odd_content = 0
        self._meter_checksums = 0
        self._plaintext = 0
        self._cannot_open: SourceLost | None = None
        self._lost: list[str] = []
        self._seconds = 0.0
        self._search = LineSearch()

    # What is seen

    def begin_listening(self, now: float) -> None:
        """Take note that the source is open from now on."""
        self._search.begin_listening(now)

    def receive(self, data: bytes, now: float | None = None) -> Iterator[Event]:
        """Take what arrived, and give what came of it.

        Args:
            data: any bytes, also none.
            now: seconds of a clock that does not run backwards; None for a recording.
        """
        self.size += len(data)
        self._search.take(data, now)
        self._window.add(data)
        self._stream.receive_data(data, now)
        return self._take_events(now)

    def finish(self, seconds: float | None = None, *, at_end: bool = True) -> Iterator[Event]:
        """Take note that listening is over.

        Args:
            seconds: how long it took, None for a recording.
            at_end: whether what is still open is cut short; it is not where only the time ran out.
        """
        self._seconds = seconds or 0.0
        if at_end:
            self._stream.receive_silence()
        events = self._take_events(None)
        if at_end:
            self._damage.take_rest(self.size)
        return events

    def note_lost(self, lost: SourceLost, *, while_listening: bool) -> None:
        """Take note that the source could not be opened, or went away."""
        if while_listening:
            self._lost.append(str(lost))
            self._stream.receive_silence()
        else:
            self._cannot_open = lost

    def next_line(self, now: float) -> LineSettings | None:
        """Give other line settings to try, None while the present ones may be right."""
        if not self._is_serial or not self._search.advance(now):
            return None
        self._stream.receive_silence()
        self._take_events(None)
        return self._search.line

    @property
    def is_clear(self) -> bool:
        """Tell whether nothing more is to be found out: all is well, and the period is known."""
        enough = all(meter.count >= _CLEAR_TELEGRAMS for meter in self._meters.values())
        return bool(self._meters) and enough and not self.rejected and not self._lost

    @property
    def is_verified(self) -> bool:
        """Tell whether readings came that count."""
        return self.telegrams > 0

    # What came of it

    def _take_events(self, now: float | None) -> Iterator[Event]:
        taken = []
        while (event := self._stream.next_event()) is not None:
            if isinstance(event, MeterTelegram):
                self._take_telegram(event, now)
            else:
                self._take_rejection(event)
            taken.append(event)
        return iter(taken)

    def _take_telegram(self, telegram: MeterTelegram, now: float | None) -> None:
        self._search.note_proof()
        self.telegrams += 1
        harmed = self._damage.count
        self._damage.take_whole(telegram.offset, telegram.size)
        if self._damage.count != harmed:
            self._interrupt_periods()
        meter = self._meters.setdefault(telegram.meter_id, SeenMeter(telegram))
        if telegram.security is Security.PLAINTEXT and meter.securities - {Security.PLAINTEXT}:
            self._plaintext += 1
            self.telegrams -= 1
            return
        meter.add(telegram, now)
        if telegram.system_title is not None:
            self._encrypted(telegram.system_title).verified += 1

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
        if title is None:
            if reason is Reason.PLAINTEXT:
                self._plaintext += 1
            else:
                self._damage.take_text(rejection.offset, rejection.size)
            return
        self._take_frame(rejection, title)

    def _take_frame(self, rejection: Rejection, title: bytes) -> None:
        """Note a frame that was refused, and look whether another key fits."""
        reason = rejection.reason
        frame = self._window.frame(rejection.offset, rejection.size)
        if reason is Reason.MALFORMED:
            self._odd_content += 1
        elif reason is Reason.SECURITY and frame is not None:
            self._securities[frame.security] += 1
        elif self._damage.take_frame_with_another_inside(rejection.offset, rejection.size, title):
            pass
        elif rejection.hint is Hint.CORRUPT:
            self._damage.bit_errors += 1
        elif reason is Reason.CHECKSUM and self._is_verified_by_tag(title):
            self._meter_checksums += 1
        elif reason is Reason.CHECKSUM and self._encrypted(title).verified:
            self._damage.bit_errors += 1  # under crc-only nothing else tells it from a wrong key
        else:
            encrypted = self._encrypted(title)
            encrypted.counts[rejection.hint or reason] += 1
            if reason is not Reason.REPLAY and frame is not None and encrypted.opener is None:
                encrypted.opener = self._entry_that_opens(frame)

    def _is_verified_by_tag(self, title: bytes) -> bool:
        keys = self._stream.keys.keys_for(title)
        return any(key.verification is Verification.REQUIRED for key in keys)

    def _encrypted(self, title: bytes) -> _Encrypted:
        return self._titles.setdefault(title, _Encrypted())

    def _own_entry(self, title: bytes) -> bytes | None:
        return title if title in self._entries else None

    def _entry_that_opens(self, frame: Frame) -> str | None:
        own = self._own_entry(frame.system_title)
        for entry, keys in self._entries.items():
            if entry != own and any(decrypt(frame, key) or read_by_crc(frame, key) for key in keys):
                return say.entry_name(entry)
        return None

    # What is said

    def findings(self) -> list[Finding]:
        """Give what was found out, the likeliest cause first."""
        if self._cannot_open is not None and not self.size:
            code = _CODES[self._cannot_open.cause]
            return [say.cannot_open(code, self._source, str(self._cannot_open))]
        weighed = [*self._of_titles(), *self._of_damage(), *self._of_content()]
        alone = not weighed and not self._lost
        weighed += [(meter.count, meter.finding(alone=alone)) for meter in self._meters.values()]
        if not weighed:
            weighed += self._of_signal()
        weighed += self._of_line()
        if self._lost:
            weighed.append((0 if self.size else 1, say.lost(self._source, len(self._lost), self._lost[-1])))
        if not weighed:
            seconds = self._seconds if self._is_live else None
            weighed = [(1, say.too_short(seconds))]
        return [finding for _, finding in sorted(weighed, key=lambda pair: -pair[0])]

    def _of_titles(self) -> Iterator[tuple[int, Finding]]:
        for title, seen in self._titles.items():
            if self._is_damaged_title(title):
                continue
            entry = say.entry_name(self._own_entry(title))
            for what, count in seen.counts.items():
                yield count, self._of_title(title, seen, entry, what, count)

    def _of_title(
        self, title: bytes, seen: _Encrypted, entry: str, what: Reason | Hint, count: int
    ) -> Finding:
        if what is Reason.REPLAY:
            return say.replay(say.entry_name(title), count)
        if seen.opener is not None:
            own = entry if self._stream.keys.keys_for(title) else None
            return say.opened_by_other(title, seen.opener, own)
        if what is Hint.WRONG_AUTHENTICATION_KEY:
            return say.wrong_authentication_key(title, entry, count)
        if what is Reason.NO_KEY:
            others = [say.entry_name(other) for other in self._entries]
            return say.no_entry(title, others) if others else say.no_key(title)
        return say.wrong_encryption_key(title, entry, count)

    def _is_damaged_title(self, title: bytes) -> bool:
        """Tell whether this is the title of a meter that is read well, with some bits turned over."""
        number = int.from_bytes(title, "big")
        return not self._titles[title].verified and any(
            seen.verified
            and (number ^ int.from_bytes(other, "big")).bit_count() <= _DAMAGED_TITLE_BITS
            and sum(self._titles[title].counts.values()) < seen.verified
            and serial_from_system_title(title) not in self._meters
            for other, seen in self._titles.items()
        )

    def _of_damage(self) -> Iterator[tuple[int, Finding]]:
        titles = [title for title in self._titles if self._is_damaged_title(title)]
        turned = sum(sum(self._titles[title].counts.values()) for title in titles)
        yield from self._damage.findings(turned, self.telegrams)

    def _of_content(self) -> Iterator[tuple[int, Finding]]:
        if self._plaintext:
            # Worth more than its number: it may be an attack, and it is never an accident of the line.
            yield 1_000_000 + self._plaintext, say.plaintext(self._plaintext)
        if self._odd_content:
            yield self._odd_content, say.odd_content(self._odd_content)
        if self._meter_checksums:
            yield self._meter_checksums, say.wrong_checksum(self._meter_checksums)
        if self._securities:
            count = self._securities.total()
            yield count, say.other_security(sorted(self._securities), count)
        for meter in self._meters.values():
            title = meter.last.system_title
            if Security.UNAUTHENTICATED in meter.securities and title is not None:
                yield 0, say.unauthenticated(say.entry_name(self._own_entry(title)))

    def _of_signal(self) -> Iterator[tuple[int, Finding]]:
        """Look at the bytes themselves, where nothing came through."""
        samples = self._search.samples
        if not self.size:
            if not self._lost:
                seconds = self._seconds if self._is_live else None
                yield 1, say.silent(self._source, seconds, self._search.tried, is_serial=self._is_serial)
            return
        for signal in filter(None, map(examine, samples)):
            if signal.kind is Kind.INVERTED:
                yield 1, say.inverted(signal.name)
            elif signal.line is not None:
                yield 1, say.line_settings_guessed(signal.name, signal.line)
            else:
                yield 1, say.not_p1(signal.name)
            return
        if self._damage.count or any(map(looks_like_text, samples)):
            return
        lines = self._search.tried if self._is_serial else []
        yield 1, say.garbage(self.size, lines, is_live=self._is_live)

    def _of_line(self) -> Iterator[tuple[int, Finding]]:
        if not self._meters:
            return
        line = self._search.proven
        if self._is_serial and line is not None and line != MODERN:
            yield 0, say.line_settings_found(line, MODERN)
        elif (parity := parity_of(bytes(self._search.sample))) is not None:
            yield 0, say.parity_read_as_eight_bits(parity)

    def summary(self) -> dict[str, Any]:
        """Give the numbers behind the findings, for programs."""
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
