"""Hex dumps, captures and raw bytes: the same comes out however they are cut, and what goes in comes back."""

from collections.abc import Iterable
from typing import Final

from smarty_gateway.sources.hexdump import InputDecoder
from tests.fuzz.picker import Picker
from tests.sources.test_hexdump import FORMS, canonical, od, squeezed, words
from vectors.building_blocks import belgium, frame, telegram

_STREAMS: Final = (
    frame(telegram("Lux5\\253000001_D", "1-3:0.2.8(42)")), belgium(1)[:200], bytes(40), b"\xdb\x08" * 100,
)  # fmt: skip
_REPEATED: Final = b"0123456789ABCDEF"
#: What dumps are written with, and what breaks them.
_PIECES: Final = (
    b"00000000", b"0000010", b"00000010: ", b"  ", b" ", b"\n", b"\r\n", b"*\n", b"|..|", b">..<", b"0x",
    b"0X0",
    b"db", b"DB08 ", b"5341", b", ", b":", b"-", b"\t", b"*", b"7", b"08db 4153", b"fffffff0  ",
    b"00100000\n",
    b"x", b"/", b"\x00", b"\xff", b"# ", b"\x0b", b"\x1c", b"\x85",
)  # fmt: skip
#: A line that is too long to be read at once, what is held to know the form, and a last `*`.
_HELD_MAX: Final = 2048 + 512
_SHOWN_MAX: Final = 1 << 24


def check_one(data: bytes) -> None:
    """Raise an exception if a dump made of this does not come out as it should."""
    picker = Picker(data)
    kind = picker.number(0, 4)
    if kind == 0:
        raw = _raw(picker)
        text = picker.choice(FORMS)(raw)
        assert _decoded([text]) == (raw, True, 0), "a dump does not give the bytes it shows"
    elif kind == 1:
        raw = _REPEATED * picker.number(1, 40) + picker.take(picker.number(0, 15))
        text = squeezed(picker.choice((canonical, words, od)), raw)
        assert _decoded([text]) == (raw, True, 0), "the lines behind a * are not what they stand for"
    elif kind == 2:
        text = picker.damaged(picker.choice(FORMS)(_raw(picker)), edits=6)
    elif kind == 3:
        text = b"".join(picker.items(60, lambda: picker.choice(_PIECES) * picker.choice((1, 1, 1, 2, 900))))
    else:
        text = _raw(picker)
    whole = _decoded([text])
    assert _decoded(picker.chunks(text)) == whole, "chunks change a dump"
    if len(text) < 600:
        assert _decoded(text[at : at + 1] for at in range(len(text))) == whole, "single bytes change a dump"
    decoder = InputDecoder()
    timed = [*decoder.feed_timed(text), *decoder.finish_timed()]
    assert b"".join(piece for _, piece in timed) == whole[0]
    assert len(whole[0]) <= len(text) + _SHOWN_MAX
    assert whole[1] or whole[0] == text, "raw bytes are changed"


def _raw(picker: Picker) -> bytes:
    return picker.choice(_STREAMS) if picker.one_in(2) else picker.take(picker.number(1, 200)) or b"\0"


def _decoded(chunks: Iterable[bytes]) -> tuple[bytes, bool | None, int]:
    decoder = InputDecoder()
    out = []
    for chunk in chunks:
        out.append(decoder.feed(chunk))
        assert len(decoder._held) <= _HELD_MAX, "an endless line fills the memory"
    out.append(decoder.finish())
    return b"".join(out), decoder.is_hex, decoder.unreadable_lines
