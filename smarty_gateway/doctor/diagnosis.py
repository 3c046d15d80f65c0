"""Finds out what is wrong with a source: takes what was seen of it, gives findings, the likeliest first.

Pure: bytes, times and lost ports go in by method calls, and nothing here opens, waits or prints. The
checks themselves are those of the gateway (`MeterStream`), so doctor cannot disagree with `run`. What
it adds is memory: how often, at which length, what lay between two good telegrams, and whether a key
of another entry would have opened a frame. A frame that failed is decrypted for that last question
only, and nothing but the yes or no is kept.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from smarty_gateway.capture.format import SIGNATURE
from smarty_gateway.config.values import MeterConfig
from smarty_gateway.doctor import findings as say
from smarty_gateway.doctor.damage import Damage, TitleFrames, Window
from smarty_gateway.doctor.findings import Code, Finding
from smarty_gateway.doctor.healthy_meter import SeenMeter
from smarty_gateway.doctor.line_search import LineSearch
from smarty_gateway.doctor.signal_faults import Kind, examine, looks_like_text, parity_of, wrapping
from smarty_gateway.protocol.decryption import decrypt, fits_encryption_key, reads_as_text
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.identities import fold
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Verification
from smarty_gateway.protocol.meter import Event, MeterStream, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.sources.address import DSMR4_LINE, LineSettings
from smarty_gateway.sources.parity import ParityFilter
from smarty_gateway.sources.source import Cause, SourceLost

#: The entries of a key file; None stands for `any`.
Entries = Mapping[bytes | None, tuple[MeterKey, ...]]

_CLEAR_TELEGRAMS: Final = 2
#: Titles of which a frame is kept until some frame verifies: it may be that one's with damage.
_KEPT_FRAMES: Final = 32
#: Comes before what is counted in telegrams: all of that may follow from it.
_FIRST: Final = 1_000_000
_CODES: Final = {
    Cause.AWAY: Code.MISSING,
    Cause.BUSY: Code.BUSY,
    Cause.PERMISSION: Code.PERMISSION,
    Cause.UNFIT: Code.UNFIT,
}


class Diagnosis:
    """Everything that was seen of one source.

    Args:
        source: its name, for people.
        keys: the key file's keys.
        entries: the same by entry.
        is_live: whether it goes on for ever; else it is a recording.
        is_serial: whether speed and framing matter.
        configured: the meters of the configuration on this source.
    """

    def __init__(  # noqa: PLR0913 - all that is known beforehand
        self,
        source: str,
        keys: KeyRing,
        entries: Entries,
        *,
        is_live: bool,
        is_serial: bool = False,
        configured: Sequence[MeterConfig] = (),
    ) -> None:
        self.size = 0
        self.telegrams = 0
        self.rejected: Counter[Reason] = Counter()
        self._source = source
        self._entries = entries
        self._is_live = is_live
        self._is_serial = is_serial
        self._stream = MeterStream(
            keys,
            must_be_encrypted=any(meter.encrypted for meter in configured),
            plaintext_ids={fold(m.id) for m in configured if m.id is not None and not m.encrypted},
        )
        self._parity = ParityFilter()
        self._window = Window()
        self._damage = Damage(self._window)
        self._meters: dict[str, SeenMeter] = {}
        self._titles: dict[bytes, TitleFrames] = {}
        self._read_titles: list[bytes] = []
        self._kept = 0
        self._odd_content = 0
        self._meter_checksums = 0
        self._plaintext = 0
        self._cannot_open: SourceLost | None = None
        self._lost: list[str] = []
        self._seconds = 0.0
        self._search = LineSearch()
        self._unreadable_lines = 0
        self._configuration: Finding | None = None

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
        self._read(data, now)
        return self._take_events(now)

    def _read(self, data: bytes, now: float | None = None) -> None:
        data = self._parity.strip(data)
        self._window.add(data)
        if data or now is not None:
            self._stream.receive_data(data, now)

    def _settle(self) -> None:
        self._read(b"")
        self._stream.receive_silence()

    def finish(self, seconds: float | None = None, *, at_end: bool = True) -> Iterator[Event]:
        """Take note that listening is over.

        Args:
            seconds: how long it took, None for a recording.
            at_end: whether what is still open is cut short; it is not where only the time ran out.
        """
        self._seconds = seconds or 0.0
        if at_end:
            self._settle()
        events = self._take_events(None)
        if at_end:
            self._damage.take_rest(self.size)
        return events

    def note_lost(self, lost: SourceLost, *, while_listening: bool) -> None:
        """Take note that the source could not be opened, or went away."""
        if while_listening:
            self._lost.append(str(lost))
            self._settle()
        else:
            self._cannot_open = lost

    def note_unreadable_lines(self, count: int) -> None:
        """Take note that lines of a capture or hex dump could not be read."""
        self._unreadable_lines = count

    def note_configuration(self, path: Path, errors: list[str]) -> None:
        """Take note of what is wrong with the configuration."""
        self._configuration = say.configuration(path, errors)

    def next_line(self, now: float) -> LineSettings | None:
        """Give other line settings to try, None while the present ones may be right."""
        if not self._is_serial or not self._search.advance(now):
            return None
        self._settle()
        self._take_events(None)
        return self._search.line

    @property
    def is_clear(self) -> bool:
        """Tell whether nothing more is to be found out: all is well, and the period is known."""
        enough = all(meter.count >= _CLEAR_TELEGRAMS for meter in self._meters.values())
        return bool(self._meters) and enough and not self.rejected and not self._lost

    @property
    def is_verified(self) -> bool:
        """Tell whether readings came that are proven as far as their meter can prove them."""
        return self.telegrams > sum(seen.unproven for seen in self._titles.values())

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
        meter.add(telegram, now)
        if telegram.system_title is not None:
            seen = self._encrypted(telegram.system_title)
            seen.note_verified()
            if seen.verified == 1:
                self._read_titles.append(telegram.system_title)
            if telegram.security is Security.UNAUTHENTICATED:
                self._look_at_tag(telegram, telegram.system_title, seen)

    def _look_at_tag(self, telegram: MeterTelegram, title: bytes, seen: TitleFrames) -> None:
        """Find out whether the tag verifies of a telegram that counts without it."""
        frame = self._window.frame(telegram.offset, telegram.size)
        keys = self._stream.keys.keys_for(title)
        if frame is not None and not any(decrypt(frame, key) for key in keys):
            seen.unproven += 1
            seen.default_fits = any(decrypt(frame, MeterKey(key.encryption_key)) for key in keys)

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
        """Note a frame that was refused, and look whether another key fits."""
        reason = rejection.reason
        frame = self._window.frame(rejection.offset, rejection.size)
        if reason is Reason.MALFORMED:
            self._odd_content += 1
        elif reason is Reason.SECURITY and frame is not None:
            self._encrypted(title).securities[frame.security] += 1
        elif self._damage.take_frame_with_another_inside(rejection.offset, rejection.size, title):
            pass
        elif reason is Reason.CHECKSUM and self._is_verified_by_tag(title):
            self._meter_checksums += 1
        elif reason is Reason.REPLAY and (frame is None or self._opens(frame)):
            self._encrypted(title).counts[reason] += 1
        elif frame is None or self._has_damaged_title(frame):
            self._damage.bit_errors += 1
        else:
            self._take_unopened(frame, reason, rejection.hint)

    def _take_unopened(self, frame: Frame, reason: Reason, hint: Hint | None) -> None:
        """Note a whole frame that the key in use does not open."""
        seen = self._encrypted(frame.system_title)
        if reason is Reason.NO_KEY or hint is Hint.WRONG_AUTHENTICATION_KEY:
            seen.counts[hint or reason] += 1
        elif self._opens(frame):
            seen.retired += 1
            return
        elif self._reads_as_text(frame):
            self._damage.bit_errors += 1
            seen.note_readable()
            return
        else:
            seen.note_unreadable(frame.frame_counter)
        if seen.opener is None:
            seen.opener = self._entry_that_opens(frame)
        if seen.sample is None and not self._read_titles and self._kept < _KEPT_FRAMES:
            self._kept += 1
            seen.sample = frame

    def _has_damaged_title(self, frame: Frame) -> bool:
        """Tell whether a frame is readable once it gets the title of a meter that is read."""
        return frame.system_title not in self._read_titles and any(
            self._reads_as_text(frame._replace(system_title=title)) for title in self._read_titles
        )

    def _opens(self, frame: Frame) -> bool:
        """Tell whether a key of this meter opens a frame, be it one that has retired."""
        return any(_is_right(key, frame) for key in self._stream.keys.keys_for(frame.system_title))

    def _reads_as_text(self, frame: Frame) -> bool:
        return any(reads_as_text(frame, key) for key in self._stream.keys.keys_for(frame.system_title))

    def _is_verified_by_tag(self, title: bytes) -> bool:
        keys = self._stream.keys.keys_for(title)
        return any(key.verification is Verification.REQUIRED for key in keys)

    def _encrypted(self, title: bytes) -> TitleFrames:
        return self._titles.setdefault(title, TitleFrames())

    def _own_entry(self, title: bytes) -> bytes | None:
        return title if title in self._entries else None

    def _entry_that_opens(self, frame: Frame) -> str | None:
        own = self._own_entry(frame.system_title)
        for entry, keys in self._entries.items():
            if entry != own and any(_is_right(key, frame) for key in keys):
                return say.entry_name(entry)
        return None

    # What is said

    def findings(self) -> list[Finding]:
        """Give what was found out, the likeliest cause first."""
        if self._cannot_open is not None and not self.size:
            code = _CODES[self._cannot_open.cause]
            found = [say.cannot_open(code, self._source, str(self._cannot_open))]
            return found if self._configuration is None else [*found, self._configuration]
        weighed = [*self._of_recording(), *self._of_titles(), *self._of_damage(), *self._of_content()]
        alone = not weighed and not self._lost and self._configuration is None
        weighed += [(meter.count, self._of_meter(meter, alone=alone)) for meter in self._meters.values()]
        if not weighed:
            weighed += self._of_signal()
        weighed += self._of_line()
        if self._lost:
            weighed.append((0 if self.size else 1, say.lost(self._source, len(self._lost), self._lost[-1])))
        if not weighed:
            seconds = self._seconds if self._is_live else None
            weighed = [(1, say.too_short(seconds))]
        if self._configuration is not None:
            weighed.append((0, self._configuration))
        return [finding for _, finding in sorted(weighed, key=lambda pair: -pair[0])]

    def _of_recording(self) -> Iterator[tuple[int, Finding]]:
        """Look for what makes all frames fail, whatever is in them."""
        samples = self._search.samples
        if self._unreadable_lines:
            yield self._unreadable_lines, say.unreadable_lines(self._unreadable_lines)
        elif not self._is_live and any(SIGNATURE in sample for sample in samples):
            yield _FIRST, say.unreadable_lines(None)
        if not self._meters:
            for signal in list(filter(None, map(wrapping, samples)))[:1]:
                yield _FIRST, say.not_p1(signal.name)

    def _of_meter(self, meter: SeenMeter, *, alone: bool) -> Finding:
        title = meter.last.system_title
        seen = None if title is None else self._titles[title]
        if title is None or seen is None or seen.unproven < seen.verified:
            return meter.finding(alone=alone)
        return meter.unproven_finding(say.entry_name(self._own_entry(title)), default_fits=seen.default_fits)

    def _of_titles(self) -> Iterator[tuple[int, Finding]]:
        for title, seen in self._titles.items():
            if self._is_damaged_title(title):
                continue
            entry = say.entry_name(self._own_entry(title))
            yield from self._of_keys(title, seen, entry)
            for what, count in seen.counts.items():
                if what is Reason.REPLAY:
                    yield count, say.replay(say.entry_name(title), count)
                elif not seen.verified:
                    yield count, self._of_title(title, seen, entry, what, count)

    def _of_keys(self, title: bytes, seen: TitleFrames, entry: str) -> Iterator[tuple[int, Finding]]:
        """Look for a change of key, and for keys that stand in a wrong order."""
        if seen.verified and seen.newer and seen.opener is not None:
            yield seen.newer, say.opened_by_other(title, seen.opener, entry)
        elif seen.verified and seen.newer:
            yield seen.newer, say.new_key(title, entry, seen.newer)
        if seen.older:
            yield seen.older, say.older_key(title, entry, seen.older)
        counters = self._stream.identities.counters
        keys = self._entries.get(title, ())
        used = [counters.last_accepted(title, key.fingerprint) is not None for key in keys]
        if any(used) and (not used[0] or seen.retired):
            number = len(keys) if used[0] else used.index(True) + 1
            yield seen.retired, say.key_order(title, entry, number, seen.retired)

    def _of_title(
        self, title: bytes, seen: TitleFrames, entry: str, what: Reason | Hint, count: int
    ) -> Finding:
        """Say why no frame of a meter verified."""
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
        """Tell whether no such meter is there, but a frame of a meter that is read came with this title."""
        seen = self._titles[title]
        return not seen.verified and seen.sample is not None and self._has_damaged_title(seen.sample)

    def _of_damage(self) -> Iterator[tuple[int, Finding]]:
        turned = sum(seen.damaged for seen in self._titles.values())
        titles = [title for title in self._titles if self._is_damaged_title(title)]
        turned += sum(sum(self._titles[title].counts.values()) for title in titles)
        yield from self._damage.findings(turned, self.telegrams)

    def _of_content(self) -> Iterator[tuple[int, Finding]]:
        if self._plaintext:
            # Worth more than its number: it may be an attack, and it is never an accident of the line.
            yield _FIRST + self._plaintext, say.plaintext(self._plaintext)
        if self._odd_content:
            yield self._odd_content, say.odd_content(self._odd_content)
        if self._meter_checksums:
            yield self._meter_checksums, say.wrong_checksum(self._meter_checksums)
        securities: Counter[int] = Counter()
        for seen in self._titles.values():
            if not seen.has_damaged_security:
                securities += seen.securities
        if securities:
            count = securities.total()
            yield count, say.other_security(sorted(securities), count)
        for meter in self._meters.values():
            title = meter.last.system_title
            if Security.UNAUTHENTICATED not in meter.securities or title is None:
                continue
            if self._titles[title].unproven < self._titles[title].verified:
                yield 0, say.needlessly_unauthenticated(say.entry_name(self._own_entry(title)))

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
        if self._is_serial and line is not None and line != DSMR4_LINE:
            yield 0, say.line_settings_found(line, DSMR4_LINE)
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


def _is_right(key: MeterKey, frame: Frame) -> bool:
    return decrypt(frame, key) is not None or fits_encryption_key(frame, key)
