"""The bytes of a P1 port: nothing false is accepted, nothing genuine is lost, however they are cut."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from smarty_gateway.protocol.key_ring import KeyRing, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.sources.parity import ParityFilter
from tests.fuzz.picker import Picker
from tests.support.canaries import assert_no_key
from tests.support.streams import OTHER_KEY, meter_key, telegrams
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    crc16,
    frame,
    hex_text,
    length_field,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
    with_parity,
)

SHED_TITLE: Final = b"SHED\x00\x01\x02\x03"
KEYS: Final = KeyRing({
    HOUSE_TITLE: [meter_key()],
    BARN_TITLE: [meter_key(BARN_KEY), meter_key(OTHER_KEY)],
    SHED_TITLE: [meter_key(OTHER_KEY, verification=Verification.CRC_ONLY)],
})  # fmt: skip
_METERS: Final = ((HOUSE_TITLE, HOUSE_KEY), (BARN_TITLE, BARN_KEY), (SHED_TITLE, OTHER_KEY))

_SHORT: Final = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", "0-0:1.0.0(260130102010W)")
_ENCRYPTED: Final = (_SHORT, luxembourg_of_2018(1), _SHORT, luxembourg(1))
_HOUSE_NAME: Final = hex_text("SAG1030700012345").encode()
#: Of a meter that has a key: it must not be believed.
_REFUSED: Final = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", f"0-0:42.0.0({_HOUSE_NAME.decode()})")
_PLAIN: Final = (_SHORT, belgium(1), with_parity(_SHORT), netherlands(1), _SHORT, with_parity(belgium(1)))
#: DSMR 2.2 sends no CRC.
_OLD: Final = b"/ISk5\\2MT382-1\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n0-0:96.14.0(1)\r\n!\r\n"
#: Of a kind that sends one.
_WITHOUT_CRC: Final = _SHORT[:-6] + b"\r\n"
_TEXTS: Final = frozenset({*_ENCRYPTED, *_PLAIN, belgium(1), _OLD})
#: Plaintext of frames that are genuine, and hold no telegram or one that is refused.
_NO_TELEGRAMS: Final = (b"253000001", b"\x00", _SHORT[:-6] + b"FFFF\r\n", _WITHOUT_CRC, _OLD, b"/\n!")
_SNIPPETS: Final = (
    b"\xdb", b"\xdb\x08", b"\xdb\x07", b"/", b"\n!", b"\n!\r\n", b"\r\n!12AB\r\n", b"/abc/",
    b"/abc\r\n\r\n1-0:1.",
    b"\xaf", b"\xafab", b"\x00", b"\r\n", b"!", b"\xaf\xaf\xe1\xe2\x0a!\x0a",
    b"\xdb\x08" + HOUSE_TITLE + b"\x83",
    b"\xdb\x08" + HOUSE_TITLE + b"\x11\x30", b"\xdb\x08" + HOUSE_TITLE, b"0-0:42.0.0(",
)  # fmt: skip
_LENGTHS: Final = (18, 40, 200, 1000, 16384)
_CRC_IS_DUE: Final = re.compile(
    rb"\n(?:1-[13][:.]0[.:]2[.:]8|0-0[:.]96[.:]1[.:]4|0-0[:.]1[.:]0[.:]0)(?![0-9.:])"
)
#: A frame as long as they may be with its header.
_HELD_MAX: Final = 16384 + 14

Place = tuple[int, int]


@dataclass
class Input:
    """A stream, and what is known of it.

    Attributes:
        segments: parts of the stream with a silence behind each.
        genuine: where what must be accepted lies, and its text.
        frames: key and text of all frames that were made, by system title and frame counter.
    """

    segments: list[bytes] = field(default_factory=list)
    genuine: dict[Place, bytes] = field(default_factory=dict)
    frames: dict[tuple[bytes, int], tuple[bytes, bytes]] = field(default_factory=dict)


class _Builder:
    """Makes a stream out of parts that are good, damaged, cut, inside each other, or noise."""

    def __init__(self, picker: Picker) -> None:
        self._picker = picker
        self._counter = 0
        self.made = Input()
        self._size = 0
        self._frames: list[bytes] = []

    def build(self) -> Input:
        """Return the stream."""
        for segment in self._picker.items(3, self._segment):
            self.made.segments.append(segment)
        return self.made

    def _segment(self) -> bytes:
        parts = []
        for part, text in self._picker.items(7, self._part):
            if text is not None:
                self.made.genuine[self._size, len(part)] = text
            parts.append(part)
            self._size += len(part)
        return b"".join(parts)

    def _part(self) -> tuple[bytes, bytes | None]:
        """Return bytes, and the text that must be accepted for them as a whole."""
        kinds: tuple[Callable[[], tuple[bytes, bytes | None]], ...] = (
            self._frame, self._text, self._frame, self._spoiled, self._spoiled, self._refused, self._noise,
        )  # fmt: skip
        return self._picker.choice(kinds)()

    def _frame(self) -> tuple[bytes, bytes]:
        text = self._picker.choice(_ENCRYPTED)
        title, key = self._picker.choice(_METERS)
        form = self._picker.choice((0x82, 0x81, 0)) if text is _SHORT else 0x82
        return self._encrypted(text, key, title, form), text

    def _encrypted(self, text: bytes, key: bytes, title: bytes, form: int = 0x82) -> bytes:
        self._counter += self._picker.number(1, 3)
        self.made.frames[title, self._counter] = key, text
        self._frames.append(frame(text, key=key, title=title, counter=self._counter, form=form))
        return self._frames[-1]

    def _text(self) -> tuple[bytes, bytes]:
        text = self._picker.choice(_PLAIN)
        return text, bytes(byte & 0x7F for byte in text) if text.startswith(b"\xaf") else text

    def _spoiled(self) -> tuple[bytes, None]:
        picker = self._picker
        good = picker.choice((self._frame, self._text))()[0]
        at = picker.number(0, len(good))
        kind = picker.number(0, 6)
        if kind == 0:
            return good[:at], None
        if kind == 1:
            return good[at:], None
        if kind == 2:  # inside another one
            outer = picker.choice((self._frame, self._text))()[0]
            at = picker.number(0, len(outer))
            return outer[:at] + good + outer[at + picker.choice((0, len(good))) :], None
        if kind == 3:
            return picker.choice((_OLD, _REFUSED, _WITHOUT_CRC)), None
        return picker.damaged(good), None

    def _refused(self) -> tuple[bytes, None]:
        picker = self._picker
        kind = picker.number(0, 4)
        if kind == 0 and self._frames:
            return picker.choice(self._frames), None
        if kind == 1:
            self._counter += 1
            return frame(_SHORT, title=picker.take(8).ljust(8, b"?"), counter=self._counter), None
        if kind == 2:
            title, key = picker.choice(_METERS)
            return self._encrypted(picker.choice(_NO_TELEGRAMS), key, title), None
        if kind == 3:  # the key before the present one
            return self._encrypted(_SHORT, OTHER_KEY, BARN_TITLE), None
        security, wrong = picker.choice((0x20, 0x30, 0x00)), picker.take(16).ljust(16)
        return frame(_SHORT, authentication_key=wrong, security=security, counter=self._counter), None

    def _noise(self) -> tuple[bytes, None]:
        picker = self._picker
        kind = picker.number(0, 4)
        if kind == 0:
            return picker.choice(_SNIPPETS), None
        if kind == 1:
            return picker.take(picker.number(1, 30)), None
        if kind == 2:
            title = picker.choice(_METERS)[0]
            length = picker.number(10, picker.choice(_LENGTHS))
            return b"\xdb\x08" + title + length_field(length) + picker.choice((b"\x30", b"\x20", b"")), None
        if kind == 3:
            return picker.choice(_SNIPPETS) * picker.number(1, 40), None
        return picker.noise(picker.number(1, 300) if not picker.one_in(64) else 40_000), None


def check_one(data: bytes) -> None:
    """Raise an exception if a stream made of this is not read as it should be."""
    picker = Picker(data)
    made = _Builder(picker).build()
    stream = b"".join(made.segments)
    whole = _read([segment] for segment in made.segments)
    _check_order(whole, len(stream))
    for event in whole.events:
        _check_event(event, stream, made)
    _check_counters(telegrams(whole.events), made)
    _check_found(whole.events, made.genuine)
    said = "\n".join(str(event) for event in whole.events if isinstance(event, Rejection)).encode()
    assert_no_key(said, "a rejection")
    assert b"253000001" not in said, "a rejection shows plaintext"
    for way in (_bytes_of, picker.chunks) if len(stream) < 500 else (picker.chunks,):
        cut = _read(way(segment) for segment in made.segments)
        assert telegrams(cut.events) == telegrams(whole.events), "chunks change what is accepted"
        assert cut.events == whole.events, "chunks change what is rejected"
        assert cut.noise == whole.noise, "chunks change what counts as noise"


@dataclass
class _Outcome:
    events: list[Event]
    noise: int


def _read(segments: Iterable[Iterable[bytes]]) -> _Outcome:
    """Read a stream that is silent behind each segment."""
    stream, parity = MeterStream(KEYS), ParityFilter()
    events: list[Event] = []
    now = size = 0
    for segment in segments:
        now += 10
        for number, chunk in enumerate(segment):
            size += len(chunk)
            stream.receive_data(parity.strip(chunk), now)
            while (event := stream.next_event()) is not None:
                events.append(event)
            if number % 32 == 0:
                assert _held_by(stream) <= _HELD_MAX + len(chunk), "the buffer grows"
                assert 0 <= stream.noise_bytes <= size, "more noise than bytes"
        stream.receive_data(parity.strip(b""), now)
    stream.receive_silence()
    while (event := stream.next_event()) is not None:
        events.append(event)
    assert not stream.is_waiting
    return _Outcome(events, stream.noise_bytes)


def _held_by(stream: MeterStream) -> int:
    return len(stream._buffer)


def _bytes_of(segment: bytes) -> Iterable[bytes]:
    return (segment[at : at + 1] for at in range(len(segment)))


def _check_order(outcome: _Outcome, size: int) -> None:
    """Each byte is noise or belongs to one event."""
    events = outcome.events
    assert all(event.offset >= 0 and event.size > 0 for event in events)
    assert all(first.offset + first.size <= second.offset for first, second in pairwise(events))
    assert outcome.noise + sum(event.size for event in events) == size, "bytes are lost or counted twice"


def _check_event(event: Event, stream: bytes, made: Input) -> None:
    if isinstance(event, Rejection):
        assert str(event).isprintable()
        return
    seen = stream[event.offset : event.offset + event.size]
    if event.security is Security.PLAINTEXT:
        assert seen[:1] in (b"/", b"\xaf")
        assert _HOUSE_NAME not in event.raw, "plaintext of a meter that has a key"
        assert _is_proven(event.raw, may_lack_crc=True), "a false plaintext telegram"
        return
    assert event.system_title is not None
    assert event.frame_counter is not None
    assert seen.startswith(b"\xdb\x08" + event.system_title)
    _, text = made.frames.get((event.system_title, event.frame_counter), (b"", b""))
    if event.raw == text:
        return
    assert event.security is Security.UNAUTHENTICATED, "a false frame"
    assert event.system_title == SHED_TITLE
    assert _is_proven(event.raw, may_lack_crc=False), "a false frame under crc-only"


def _is_proven(text: bytes, *, may_lack_crc: bool) -> bool:
    """True if a text has a right CRC, or is of a kind that needs none."""
    if text in _TEXTS:
        return True
    at = text.rindex(b"!") + 1
    digits = text[at:].strip(b" \x00\r\n")
    body = text[:at]
    if not digits:
        return may_lack_crc and _CRC_IS_DUE.search(body) is None and body.replace(b"\x00", b"").isascii()
    repaired = body.replace(b"\x00", b"").replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return int(digits, 16) in (crc16(body), crc16(repaired))


def _check_counters(found: list[MeterTelegram], made: Input) -> None:
    """No frame is accepted twice, nor one that is older than another under the same key."""
    last: dict[tuple[bytes, bytes], int] = {}
    for event in found:
        if event.system_title is None or event.frame_counter is None:
            continue
        key, _ = made.frames.get((event.system_title, event.frame_counter), (b"", b""))
        assert event.frame_counter > last.get((event.system_title, key), -1), "a replay"
        last[event.system_title, key] = event.frame_counter


def _check_found(events: list[Event], genuine: dict[Place, bytes]) -> None:
    """Everything genuine is accepted, unless something else with a right CRC took its bytes by chance."""
    found = {(event.offset, event.size): event for event in events}
    for (start, size), text in genuine.items():
        event = found.get((start, size))
        if isinstance(event, MeterTelegram):
            assert event.raw == text
            continue
        overlapping = [e for e in events if e.offset < start + size and start < e.offset + e.size]
        by_chance = [
            e
            for e in overlapping
            if (isinstance(e, MeterTelegram) and e.security is not Security.AUTHENTICATED)
            or (isinstance(e, Rejection) and e.reason is Reason.PLAINTEXT)
        ]
        assert by_chance, f"what begins at {start} is lost"
