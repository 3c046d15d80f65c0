"""Capture files, and what redaction makes of them: nothing of an original is left, all faults are."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from smarty_gateway.capture.redact_stream import Redactor
from smarty_gateway.config.key_file import load_key_ring
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_telegram import Event
from smarty_gateway.sources.capture_format import CaptureWriter, Chunk
from smarty_gateway.sources.hexdump import InputDecoder, TimedBytes
from tests.capture.test_redaction import (
    BEGAN,
    NAMES,
    STRANGER,
    TITLES,
    VALUES,
    everything_in,
    fault_of,
    forms,
)
from tests.fuzz.folder import written
from tests.fuzz.picker import Picker
from tests.support.canaries import assert_no_key
from tests.support.streams import OTHER_KEY, meter_key, rejections, sample_keys, stripped
from tests.support.streams import read as events_of
from vectors.building_blocks import (
    BARN_KEY,
    BARN_TITLE,
    HOUSE_TITLE,
    belgium,
    frame,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    with_parity,
)

_FRAMES: Final = (
    frame(luxembourg(1), counter=1), frame(luxembourg(2), counter=2), frame(luxembourg(4), counter=4),
    frame(luxembourg_of_2018(3), key=BARN_KEY, title=BARN_TITLE, counter=3),
    frame(luxembourg(5), title=STRANGER), frame(luxembourg(6), key=OTHER_KEY, counter=6),
    frame(b"of SAG1030700012345", counter=7),
)  # fmt: skip
_TEXTS: Final = (belgium(4), netherlands(5), luxembourg(6), with_parity(belgium(1)))
_RINGS: Final = (
    sample_keys(), KeyRing(), KeyRing({HOUSE_TITLE: [meter_key()]}, [meter_key(BARN_KEY)]),
    KeyRing(None, [meter_key()])
)  # fmt: skip
_PIECES: Final = (
    b"# smarty-gateway capture 1, source x, began 2026-11-21T07:30:00+00:00\n", b"0.000000 db08\n",
    b"1 2", b" ", b"\n", b"\r\n", b"99999999999999.9 00\n", b"# comment\n", b"0.5 db0\n", b"0.", b"1.5\t",
    b"ff" * 70_000, b"\x00", b"# smarty-gateway capture ", b"began x", b"-1.0 00\n", b"1e5 00\n", b"nan 00\n",
)  # fmt: skip
_FORMS: Final = [form for text in (*NAMES, *VALUES) for form in forms(text)]
_SECRETS: Final = [
    form for title in TITLES for form in (title, title.hex().encode(), title.hex().upper().encode())
]
#: The longest line.
_HELD_MAX: Final = 1 << 18


def check_one(data: bytes) -> None:
    """Raise an exception if a capture made of this is not read, or not redacted, as it should be."""
    picker = Picker(data)
    kind = picker.number(0, 3)
    if kind == 0:
        _check_any(picker, b"".join(picker.items(30, lambda: picker.choice(_PIECES))))
        return
    chunks = picker.items(6, lambda: _chunk(picker))
    if kind == 1:
        text = _written([(0.001 * number, chunk) for number, chunk in enumerate(chunks)])
        _check_any(picker, picker.damaged(text, edits=5))
        return
    if kind == 2:
        timed = [(picker.number(0, 2**31) / 1000, chunk) for chunk in chunks]
        read, skipped = _read([_written(timed)])
        assert read == timed, "a capture does not give what was written"
        assert not skipped
        return
    _check_redaction(picker, b"".join(chunks))


def _chunk(picker: Picker) -> bytes:
    good = picker.choice(_FRAMES) if picker.one_in(2) else picker.choice(_TEXTS)
    kind = picker.number(0, 4)
    at, lost = picker.number(0, 700), picker.number(1, 90)
    if kind == 0:
        return good[:at] + good[at + lost :]
    if kind == 1:
        return good[: at + 1]
    if kind == 2:
        return (b"\xdb\x08" + HOUSE_TITLE + b"\x82\x00\x40\x30", b"\x00\xff" * 20, b"\r\n")[at % 3]
    return good


def _written(chunks: list[Chunk]) -> bytes:
    lines: list[bytes] = []
    writer = CaptureWriter(lines.append, "/dev/ttyUSB0", BEGAN)
    for seconds, data in chunks:
        writer.chunk(seconds, data)
    return b"".join(lines)


def _read(chunks: Iterable[bytes]) -> tuple[list[TimedBytes], int]:
    decoder = InputDecoder()
    found = []
    for chunk in chunks:
        found += decoder.feed_timed(chunk)
        if decoder.capture is not None:
            assert len(decoder.capture._held) <= _HELD_MAX, "an endless line fills the memory"
    return found + decoder.finish_timed(), decoder.unreadable_lines


def _check_any(picker: Picker, text: bytes) -> None:
    """Raise an exception if chunks change what is read."""
    whole, skipped = _read([text])
    cut, cut_skipped = _read(picker.chunks(text))
    if whole and whole[0][0] is None:  # no capture: such bytes come out as they are fed
        whole = [(None, b"".join(data for _, data in whole))]
        cut = [(None, b"".join(data for _, data in cut))]
    assert (cut, cut_skipped) == (whole, skipped), "chunks change a capture"
    assert all(seconds is None or 0 <= seconds < 1e12 for seconds, _ in whole)


def _check_redaction(picker: Picker, stream: bytes) -> None:
    keys = picker.choice(_RINGS)
    began = datetime(2001 + picker.number(0, 60), 1, 1, tzinfo=UTC) + timedelta(days=picker.number(0, 365))
    redactor = Redactor(keys, began, fault_of)
    chunks = [(float(number), chunk) for number, chunk in enumerate(picker.chunks(stream))]
    redacted = [found for chunk in chunks for found in redactor.feed(*chunk)] + redactor.finish()
    assert [(seconds, len(data)) for seconds, data in redacted] == [
        (seconds, len(data)) for seconds, data in chunks
    ]
    data = b"".join(data for _, data in redacted)
    dummy_keys = KeyRing()
    if redactor.key_file:
        dummy_keys = load_key_ring(written(redactor.key_file.encode(), "dummy.keys.yaml"))
    before, after = events_of(stripped(stream), keys), events_of(data, dummy_keys)
    assert _outline(after) == _outline(before), "a redacted stream does not fare as its original"
    said = "\n".join([*redactor.take_notes(), redactor.key_file, *map(str, rejections(after))]).encode()
    shown = everything_in(data, dummy_keys) + said
    assert_no_key(shown, "a redacted stream")
    for number, form in enumerate((*_FORMS, *_SECRETS)):
        assert form not in shown, f"original number {number} is left"


def _outline(events: list[Event]) -> list[tuple[object, ...]]:
    return [(event.offset, event.size, getattr(event, "reason", None)) for event in events]
