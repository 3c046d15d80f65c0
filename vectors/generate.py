"""Generates the vector files in this folder, always the same: `python -m vectors.generate`.

`building_blocks` builds the frames, `layouts` has the telegrams and what they decode to, and the cases are
listed here. A case has one fault, and everything else in it is right.
"""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from vectors.building_blocks import (
    AUTHENTICATION_KEY,
    BARN_KEY,
    BARN_TITLE,
    HOUSE_KEY,
    HOUSE_TITLE,
    belgium,
    crc16,
    frame,
    hex_text,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
    with_parity,
)
from vectors.layouts import (
    AUSTRIA,
    BELGIUM_50217,
    LAYOUTS,
    LUXEMBOURG,
    LUXEMBOURG_2018,
    LUXEMBOURG_MINIMAL,
    NETHERLANDS_42,
    PLAIN_LAYOUTS,
    QUIRKS,
    Layout,
    quirk,
    row,
)

HERE: Final = Path(__file__).resolve().parent
FORMAT: Final = "smarty-gateway-vectors"

NEW_KEY: Final = bytes(range(0x50, 0x60))
WRONG_KEY: Final = bytes(range(0x60, 0x70))
OWN_AUTHENTICATION_KEY: Final = bytes(range(0xD0, 0xE0))

FLAGS: Final = {
    "Layout": "a telegram as meters of one country and year write it",
    "LengthForm": "the length is in the short form, or after 81 or 82, also in a longer form than necessary",
    "Size": "the smallest and largest frames",
    "Stream": "several frames or telegrams, or noise, in one stream",
    "Chunks": "the stream arrives in pieces; the pieces must not matter",
    "KeyChoice": "the key is chosen by system title, among several, or for any title",
    "KeyChange": "the frame counter starts again under a new key",
    "OwnAuthenticationKey": "the meter has an authentication key of its own",
    "CrcOnly": "the user configured that the CRC decides, because the authentication key is not known",
    "CounterRange": "the lowest and highest frame counters",
    "Quirk": "a deviation from the specification by a meter, an adapter or a copy",
    "Parity": "a port of seven bits and even parity, read with eight bits",
    "LineEnds": "unusual blank lines and line ends, with a CRC that is still right",
    "Flip": "one byte of a good frame is changed",
    "SecurityByte": "the security byte is not suite 0, authenticated and encrypted",
    "Length": "the length has an illegal form, is out of bounds, or is not that of the frame",
    "Truncated": "the frame ends too early",
    "WrongEncryptionKey": "the key is not the one that encrypted the frame",
    "WrongAuthenticationKey": "the encryption key is right, the authentication key is not",
    "NoKey": "no key is known for the system title",
    "Replay": "the frame counter does not rise",
    "NonceReuse": "the same title and counter with another text",
    "Crc": "the CRC of a telegram is wrong, or missing where it is required",
    "Plaintext": "plaintext from a meter that must be encrypted",
    "NoTelegram": "an authentic frame without a telegram inside",
    "Splice": "parts of two good frames in one frame",
    "Order": "two faults: the first check that fails gives the reason",
    "Noise": "the stream holds no frame and no telegram, and nothing is reported",
}

Case = dict[str, Any]

SHORT: Final = LUXEMBOURG_MINIMAL
TEXT: Final = LUXEMBOURG_2018
#: Values that are in no other layout, as sent and as decoded.
SECRETS: Final = {
    TEXT.name: ["000066.950", "66.95", "77.376"],
    LUXEMBOURG.name: ["001234.567", "1234.567", "GFLO2133031470"],
}


def title_text(title: bytes) -> str:
    return title.hex().upper()


def meter_keys(
    *encryption_keys: bytes,
    title: bytes | None = HOUSE_TITLE,
    authentication_key: bytes = AUTHENTICATION_KEY,
    verification: str = "required",
) -> list[dict[str, Any]]:
    """Return the keys of one meter, or of any meter if the title is None."""
    return [
        {
            "system_title": None if title is None else title_text(title),
            "encryption_keys": [key.hex() for key in encryption_keys],
            "authentication_key": authentication_key.hex(),
            "verification": verification,
        }
    ]


HOUSE: Final = meter_keys(HOUSE_KEY)


def encrypted(layout: Layout, counter: int, title: bytes = HOUSE_TITLE, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return the object that a frame with this layout decodes to."""
    fields = {"system_title": title_text(title), "security": "authenticated", "frame_counter": counter}
    return layout.expected(**(fields | changes))


def plain(layout: Layout) -> dict[str, Any]:
    return layout.expected(security="plaintext")


def accept(
    name: str,
    flags: str,
    note: str,
    stream: bytes,
    telegrams: list[dict[str, Any]],
    keys: list[dict[str, Any]] | None = None,
    chunks: list[int] | None = None,
) -> Case:
    """Return a case in which everything is right."""
    case: Case = {
        "id": name,
        "note": note,
        "flags": flags.split(),
        "keys": HOUSE if keys is None else keys,
        "stream": stream.hex(),
        "expect": "decoded",
        "telegrams": telegrams,
        "rejections": [],
        "must_not_release": [],
    }
    if chunks is not None:
        case["chunks"] = chunks
    return case


def refuse(
    name: str,
    flags: str,
    note: str,
    stream: bytes,
    reason: str,
    *,
    keys: list[dict[str, Any]] | None = None,
    hint: str | None = None,
    offset: int = 0,
    before: list[dict[str, Any]] | None = None,
    secret: Layout | None = None,
) -> Case:
    """Return a case with one fault: a rejection for this reason, or nothing for `noise`.

    Args:
        before: what good frames before the fault decode to.
        secret: the content of the rejected frame, whose values must not be released.
    """
    rejection: dict[str, Any] = {"reason": reason, "offset": offset}
    if hint is not None:
        rejection["hint"] = hint
    return {
        "id": name,
        "note": note,
        "flags": flags.split(),
        "keys": HOUSE if keys is None else keys,
        "stream": stream.hex(),
        "expect": reason,
        "telegrams": before or [],
        "rejections": [] if reason == "noise" else [rejection],
        "must_not_release": [] if secret is None else SECRETS[secret.name],
    }


# Cases to decode


def decoded_cases() -> Iterator[Case]:
    """Yield every case in which everything is decoded."""
    for number, layout in enumerate(LAYOUTS):
        counter = 1000 + number
        stream = frame(layout.text, counter=counter)
        yield accept(f"encrypted-{layout.name}", "Layout", layout.note, stream, [encrypted(layout, counter)])
        yield accept(f"plain-{layout.name}", "Layout", layout.note, layout.text, [plain(layout)], keys=[])
    for layout in PLAIN_LAYOUTS:
        yield accept(f"plain-{layout.name}", "Layout", layout.note, layout.text, [plain(layout)], keys=[])
        name = f"parity-{layout.name}"
        note = "seven bits and even parity, read with eight bits"
        yield accept(name, "Layout Parity", note, with_parity(layout.text), [plain(layout)], keys=[])
    for layout in QUIRKS:
        yield accept(layout.name, "Quirk", layout.note, layout.text, [plain(layout)], keys=[])
    yield from _other_quirks()
    yield from _sizes()
    yield from _streams()
    yield from _keys()
    yield from _line_ends()


def _other_quirks() -> Iterator[Case]:
    parity = with_parity(NETHERLANDS_42.text)
    expected = [plain(NETHERLANDS_42)]
    yield accept("parity-with-crc", "Parity", "the CRC is right without parity bits", parity, expected, [])
    text = BELGIUM_50217.text
    nul = text.replace(b"1-0:", b"1\x00-0\x00:")
    yield accept("quirk-nul", "Quirk", "NULs between the characters", nul, [plain(BELGIUM_50217)], [])
    moved = [
        quirk("channel", "", row(f"0-{channel}:24.1.0(003)", gas={"channel": channel, "device_type": 3}),
              row(f"0-{channel}:96.1.0({hex_text('GAS1')})", gas={"id": "GAS1"}))
        for channel in (1, 3)
    ]  # fmt: skip
    stream = b"".join(layout.text for layout in moved)
    note = "a gas meter moves to another channel and keeps its identity"
    yield accept("quirk-channel-changed", "Quirk", note, stream, [plain(layout) for layout in moved], [])


def _sizes() -> Iterator[Case]:
    for form, name in ((0, "short"), (0x81, "81"), (0x82, "82")):
        stream = frame(SHORT.text, form=form)
        yield accept(f"length-{name}", "LengthForm", f"the {name} form", stream, [encrypted(SHORT, 1)])
    austria = frame(AUSTRIA.text, form=0x81)
    yield accept("length-81-long", "LengthForm", "the 81 form above 127", austria, [encrypted(AUSTRIA, 1)])
    for size in (127, 128, 129, 255, 256, 257, 1024, 1025, 2048, 4096, 12288, 16384):
        layout = _filled(size - 17)
        stream = frame(layout.text)
        yield accept(f"size-{size}", "Size", f"a length of {size}", stream, [encrypted(layout, 1)])
    layout = Layout("tiny", "", "L", (), None)
    yield accept("size-tiny", "Size", "a header and an end", frame(layout.text), [encrypted(layout, 1)])


def _filled(size: int) -> Layout:
    """Return a telegram of exactly this size, filled with text messages that the specification allows."""
    rows: list[tuple[str, dict[str, Any]]] = []
    rest = size - len(telegram("Lux5\\253000001_D"))
    for number in range(9, 1000):
        if rest == 0:
            break
        digits = min(rest - 16, 2048)
        if 0 < rest - 16 - digits < 18:
            digits -= 18
        code = f"1-0:99.{number:03d}.0"
        rows.append((f"{code}({'7' * digits})", {"unknown": {code: [f"({'7' * digits})"]}}))
        rest -= digits + 16
    layout = Layout(f"filled-{size}", "", "Lux5\\253000001_D", tuple(rows), None)
    if len(layout.text) != size:
        raise ValueError(f"{len(layout.text)} instead of {size}")
    return layout


def _streams() -> Iterator[Case]:
    first, second = frame(LUXEMBOURG.text, counter=1), frame(TEXT.text, counter=2)
    both = [encrypted(LUXEMBOURG, 1), encrypted(TEXT, 2)]
    noise = random.Random("noise of the vectors").randbytes(64)  # noqa: S311 - the same on every run
    false_header = b"\xdb\x08" + HOUSE_TITLE + b"\x82\x40\x00\x30"
    for name, note, stream in (
        ("two-frames", "one right after the other", first + second),
        ("noise-before", "64 bytes of noise first", noise + first + second),
        ("noise-between", "64 bytes of noise between them", first + noise + second),
        ("noise-behind", "64 bytes of noise at the end", first + second + noise),
        ("mark-before", "half a header before a frame", first + b"x\xdb\x08" + second),
        (
            "false-header",
            "a false header over all that follows",
            b"x" + false_header + first + second,
        ),
        ("false-headers", "three of them, nested", b"x" + false_header * 3 + first + second),
        ("tail-of-a-frame", "the recording began inside a frame", first[300:] + first + second),
        ("cut-then-whole", "a cut frame, then whole ones", first[:500] + first + second),
        (
            "lost-byte-then-whole",
            "a frame without its last byte, then whole ones",
            first[:-1] + first + second,
        ),
        ("slash-before", "a slash that does not begin a telegram", first + b"x/ab" + second),
    ):
        yield accept(f"stream-{name}", "Stream", note, stream, both)
    barn = Layout("barn", "", TEXT.header, (TEXT.rows[0], *TEXT.rows[3:]), None)
    keys = HOUSE + meter_keys(BARN_KEY, title=BARN_TITLE)
    mixed = [
        (frame(LUXEMBOURG.text, counter=9), encrypted(LUXEMBOURG, 9)),
        (frame(barn.text, key=BARN_KEY, title=BARN_TITLE, counter=3), encrypted(barn, 3, BARN_TITLE)),
        (BELGIUM_50217.text, plain(BELGIUM_50217)),
        (frame(LUXEMBOURG.text, counter=10), encrypted(LUXEMBOURG, 10)),
        (frame(barn.text, key=BARN_KEY, title=BARN_TITLE, counter=4), encrypted(barn, 4, BARN_TITLE)),
        (BELGIUM_50217.text, plain(BELGIUM_50217)),
    ]
    stream = b"".join(part for part, _ in mixed)
    expected = [found for _, found in mixed]
    yield accept("stream-interleaved", "Stream KeyChoice", "two meters and plaintext", stream, expected, keys)
    for size in (1, 2, 3, 7, 13, 14, 64, 1000):
        yield accept(
            f"chunks-of-{size}", "Chunks Stream", f"{size} bytes at a time", stream, expected, keys, [size]
        )
    cuts = [2, 8, 1, 2, 1, 4, len(first) - 30, 12]
    yield accept("chunks-at-borders", "Chunks", "cut at every field border", first + second, both, None, cuts)
    plain_both = [plain(BELGIUM_50217), plain(BELGIUM_50217)]
    yield accept("stream-plain", "Stream", "two telegrams", BELGIUM_50217.text * 2, plain_both, [])
    cut = BELGIUM_50217.text[:300] + BELGIUM_50217.text
    yield accept(
        "stream-plain-cut", "Stream", "one that is cut short, then a whole one", cut, plain_both[:1], []
    )


def _keys() -> Iterator[Case]:
    stream = frame(TEXT.text)
    expected = [encrypted(TEXT, 1)]
    any_key = meter_keys(HOUSE_KEY, title=None)
    yield accept("key-any", "KeyChoice", "a key for any title", stream, expected, any_key)
    own_first = HOUSE + meter_keys(WRONG_KEY, title=None)
    yield accept(
        "key-own-before-any", "KeyChoice", "the meter's own key is used", stream, expected, own_first
    )
    two = meter_keys(NEW_KEY, HOUSE_KEY)
    yield accept("key-old-of-two", "KeyChoice", "the second of two keys is right", stream, expected, two)
    change = frame(TEXT.text, counter=90000) + frame(TEXT.text, key=NEW_KEY, counter=0)
    after = [encrypted(TEXT, 90000), encrypted(TEXT, 0)]
    yield accept("key-change", "KeyChange", "the counter is 0 again under the new key", change, after, two)
    own = frame(TEXT.text, authentication_key=OWN_AUTHENTICATION_KEY)
    own_keys = meter_keys(HOUSE_KEY, authentication_key=OWN_AUTHENTICATION_KEY)
    yield accept("own-authentication-key", "OwnAuthenticationKey", "as in Austria", own, expected, own_keys)
    crc_only = meter_keys(HOUSE_KEY, verification="crc-only")
    unproven = [encrypted(TEXT, 1, security="unauthenticated")]
    yield accept(
        "crc-only", "CrcOnly", "the tag was made with another authentication key", own, unproven, crc_only
    )
    yield accept("crc-only-right-tag", "CrcOnly", "a right tag does not count", stream, unproven, crc_only)
    for counter in (0, 2, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
        found = [encrypted(SHORT, counter)]
        yield accept(f"counter-{counter}", "CounterRange", "", frame(SHORT.text, counter=counter), found)
    gap = frame(SHORT.text, counter=5) + frame(SHORT.text, counter=5000)
    found = [encrypted(SHORT, 5), encrypted(SHORT, 5000)]
    yield accept("counter-gap", "CounterRange", "frames between them were missed", gap, found)


def _line_ends() -> Iterator[Case]:
    text = TEXT.text
    as_is = [plain(TEXT)]
    yield accept("lf-only", "LineEnds", "CRs were lost by copying", text.replace(b"\r\n", b"\n"), as_is, [])
    no_end = text.rstrip(b"\r\n")
    yield accept("no-last-line-end", "LineEnds", "the stream ends after the CRC", no_end, as_is, [])
    lower = text[:-6] + text[-6:].lower()
    yield accept("crc-lower-case", "LineEnds", "the CRC in lower case", lower, as_is, [])
    for name, old, new in (
        ("no-blank-line", b"\r\n\r\n", b"\r\n"),
        ("two-blank-lines", b"\r\n\r\n", b"\r\n\r\n\r\n"),
    ):
        body = text[: text.rindex(b"!") + 1].replace(old, new, 1)
        yield accept(name, "LineEnds", name.replace("-", " "), _with_crc(body), as_is, [])
    for number in range(1, 2000):  # one of them has a CRC that begins with a zero
        layout = Layout("short-crc", "", f"Lux5\\2530{number:05d}_D", LUXEMBOURG_MINIMAL.rows, None)
        if crc16(layout.text[: layout.text.rindex(b"!") + 1]) < 0x1000:
            body = layout.text[: layout.text.rindex(b"!") + 1]
            stream = body + f"{crc16(body):X}\r\n".encode("ascii")
            yield accept(
                "crc-without-its-zero",
                "LineEnds",
                "the leading zero of the CRC is not written",
                stream,
                [plain(layout)],
                [],
            )
            return


def _with_crc(body: bytes) -> bytes:
    return body + f"{crc16(body):04X}\r\n".encode("ascii")


# Cases to reject


def refused_cases() -> Iterator[Case]:
    """Yield every case with a fault."""
    yield from _flips()
    yield from _security_bytes()
    yield from _lengths()
    yield from _truncations()
    yield from _wrong_keys()
    yield from _replays()
    yield from _checksums()
    yield from _plaintexts()
    yield from _no_telegrams()
    yield from _splices()
    yield from _orders()
    yield from _noises()


def _flips() -> Iterator[Case]:
    good = frame(TEXT.text)
    any_key = meter_keys(HOUSE_KEY, title=None)

    def flipped(position: int, bits: int) -> bytes:
        changed = bytearray(good)
        changed[position] ^= bits
        return bytes(changed)

    yield refuse("flip-mark", "Flip Noise", "without DB there is no frame", flipped(0, 0x01), "noise")
    for bits in (0x01, 0x02, 0x08, 0x80):
        note = "the length of the system title"
        yield refuse(f"flip-title-length-{bits:02x}", "Flip", note, flipped(1, bits), "malformed")
    for position in range(2, 10):
        yield refuse(
            f"flip-title-{position}", "Flip", "the system title, under a key for any",
            flipped(position, 0x01), "authentication", keys=any_key, hint="wrong-encryption-key", secret=TEXT,
        )  # fmt: skip
        note = "the system title, so that its key is not found"
        yield refuse(f"flip-title-{position}-no-key", "Flip NoKey", note, flipped(position, 0x10), "no-key")
    for position in range(14, 18):
        yield refuse(
            f"flip-counter-{position}", "Flip", "the frame counter",
            flipped(position, 0x40), "authentication", hint="wrong-encryption-key", secret=TEXT,
        )  # fmt: skip
    end = len(good) - 12
    for position in (18, 19, 30, 31, 32, 50, 100, 200, end - 8, end - 3, end - 2, end - 1):
        yield refuse(
            f"flip-ciphertext-{position}", "Flip", "the text stays readable except for one character",
            flipped(position, 0x20), "authentication", secret=TEXT,
            hint="corrupt",
        )  # fmt: skip
    for position in range(12):
        yield refuse(
            f"flip-tag-{position}", "Flip", "the text and its CRC are right, the tag is not",
            flipped(end + position, 0x80), "authentication", hint="wrong-authentication-key", secret=TEXT,
        )  # fmt: skip


def _security_bytes() -> Iterator[Case]:
    for security in range(256):
        if security != 0x30:
            stream = frame(TEXT.text, security=security)
            note = "authentic under this security byte, which is not that of a P1 port"
            name = f"security-{security:02x}"
            yield refuse(name, "SecurityByte", note, stream, "security", secret=TEXT)


def _lengths() -> Iterator[Case]:
    good = frame(TEXT.text)
    length = len(good) - 13
    for form in (0x80, *range(0x83, 0x90), 0xFF):
        stream = good[:10] + bytes([form]) + good[11:]
        yield refuse(f"length-form-{form:02x}", "Length", "an illegal form", stream, "malformed", secret=TEXT)
    four = good[:10] + b"\x83\x00" + good[11:]
    yield refuse("length-83", "Length", "three bytes after 83, the value is right", four, "malformed")
    five = good[:10] + b"\x84\x00\x00" + good[11:]
    yield refuse("length-84", "Length", "four bytes after 84, the value is right", five, "malformed")
    for value in (0, 1, 5, 16, 17, 16385, 32768, 65535):
        stream = good[:11] + value.to_bytes(2, "big") + good[13:]
        yield refuse(f"length-value-{value}", "Length", "out of bounds", stream, "malformed", secret=TEXT)
    for value in (0, 17):
        stream = good[:10] + bytes([value]) + good[13:]
        yield refuse(
            f"length-short-{value}", "Length", "out of bounds in the short form", stream, "malformed"
        )
        stream = good[:10] + bytes([0x81, value]) + good[13:]
        yield refuse(f"length-81-{value}", "Length", "out of bounds after 81", stream, "malformed")
    beyond = frame(_filled(16385 - 17).text)
    note = "one byte beyond the bound, otherwise right"
    yield refuse("length-beyond", "Length Size", note, beyond, "malformed")
    empty = frame(b"")
    yield refuse("length-empty", "Length Size", "a frame without text", empty, "malformed")
    # With one byte less or more the text and its CRC are right, which suggests the authentication key.
    for value, hint in ((18, "corrupt"), (100, "corrupt"), (length - 1, "wrong-authentication-key")):
        stream = good[:11] + value.to_bytes(2, "big") + good[13:]
        yield refuse(
            f"length-less-{value}", "Length", "too small: the tag is taken from the middle",
            stream, "authentication", hint=hint, secret=TEXT,
        )  # fmt: skip
    for value in (length + 1, 4096, 16384):
        stream = good[:11] + value.to_bytes(2, "big") + good[13:]
        note = "too large: the frame never ends"
        yield refuse(f"length-more-{value}", "Length Truncated", note, stream, "malformed", secret=TEXT)
    one_more = good[:11] + (length + 1).to_bytes(2, "big") + good[13:] + b"\x00"
    yield refuse(
        "length-one-more", "Length", "one byte more, and the stream has one byte more",
        one_more, "authentication", hint="wrong-authentication-key", secret=TEXT,
    )  # fmt: skip


def _truncations() -> Iterator[Case]:
    good = frame(TEXT.text)
    borders = {
        "mark": 1, "title-length": 2, "title": 9, "title-end": 10, "length-form": 11, "length": 12,
        "length-end": 13, "security": 14, "counter": 16, "counter-end": 18, "first-byte": 19, "text": 200,
        "text-end": len(good) - 12, "tag": len(good) - 6, "last-byte": len(good) - 1,
    }  # fmt: skip
    for name, size in borders.items():
        yield refuse(f"cut-{name}", "Truncated", "", good[:size], "malformed", secret=TEXT)
        yield refuse(
            f"cut-behind-a-frame-{name}", "Truncated", "where a frame is due",
            frame(SHORT.text) + good[:size], "malformed", offset=len(frame(SHORT.text)),
            before=[encrypted(SHORT, 1)], secret=TEXT,
        )  # fmt: skip


def _wrong_keys() -> Iterator[Case]:
    good = frame(TEXT.text)
    wrong = meter_keys(WRONG_KEY)
    hint = "wrong-encryption-key"
    yield refuse(
        "key-wrong", "WrongEncryptionKey", "", good, "authentication", keys=wrong, hint=hint, secret=TEXT
    )
    two = meter_keys(WRONG_KEY, NEW_KEY)
    yield refuse(
        "key-both-wrong", "WrongEncryptionKey", "neither of two", good, "authentication", keys=two, hint=hint
    )
    own_wrong = wrong + meter_keys(HOUSE_KEY, title=None)
    note = "the meter's own key is used, though the one for any meter would be right"
    yield refuse(
        "key-own-wrong", "WrongEncryptionKey", note, good, "authentication", keys=own_wrong, hint=hint
    )
    for bit in (0, 63, 127):
        nearly = (int.from_bytes(HOUSE_KEY, "big") ^ 1 << bit).to_bytes(16, "big")
        yield refuse(
            f"key-bit-{bit}", "WrongEncryptionKey", "one bit of the key", good, "authentication",
            keys=meter_keys(nearly), hint=hint,
        )  # fmt: skip
    for name, key in (
        ("own", OWN_AUTHENTICATION_KEY), ("zero", bytes(16)), ("reversed", AUTHENTICATION_KEY[::-1])
    ):  # fmt: skip
        yield refuse(
            f"authentication-key-{name}", "WrongAuthenticationKey", "", frame(TEXT.text, authentication_key=key),
            "authentication", hint="wrong-authentication-key", secret=TEXT,
        )  # fmt: skip
    own = meter_keys(HOUSE_KEY, authentication_key=OWN_AUTHENTICATION_KEY)
    yield refuse(
        "authentication-key-configured", "WrongAuthenticationKey", "the user configured another one",
        good, "authentication", keys=own, hint="wrong-authentication-key", secret=TEXT,
    )  # fmt: skip
    yield refuse("no-key-at-all", "NoKey", "", good, "no-key", keys=[], secret=TEXT)
    other = meter_keys(BARN_KEY, title=BARN_TITLE)
    yield refuse("no-key-for-this-meter", "NoKey", "only another meter has one", good, "no-key", keys=other)
    crc_only = meter_keys(WRONG_KEY, verification="crc-only")
    yield refuse("crc-only-wrong-key", "CrcOnly WrongEncryptionKey", "", good, "checksum", keys=crc_only)


def _replays() -> Iterator[Case]:
    for first, second in (
        (7, 7),
        (7, 6),
        (7, 0),
        (0, 0),
        (0xFFFFFFFF, 1),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (256, 255),
    ):
        start = frame(TEXT.text, counter=first)
        stream = start + frame(LUXEMBOURG.text, counter=second)
        flags = "Replay NonceReuse" if first == second else "Replay"
        yield refuse(
            f"replay-{first}-{second}", flags, f"counter {second} after {first}", stream, "replay",
            offset=len(start), before=[encrypted(TEXT, first)], secret=LUXEMBOURG,
        )  # fmt: skip
    again = frame(TEXT.text, counter=7) * 2
    yield refuse(
        "replay-same-frame", "Replay", "the very same frame twice", again, "replay",
        offset=len(again) // 2, before=[encrypted(TEXT, 7)],
    )  # fmt: skip
    parts = [frame(SHORT.text, counter=9), frame(TEXT.text, counter=10), frame(LUXEMBOURG.text, counter=9)]
    yield refuse(
        "replay-of-the-last-but-one", "Replay", "", b"".join(parts), "replay",
        offset=len(parts[0] + parts[1]), before=[encrypted(SHORT, 9), encrypted(TEXT, 10)],
    )  # fmt: skip
    parts = [frame(SHORT.text, counter=7), frame(TEXT.text, counter=3), frame(TEXT.text, counter=5)]
    between = refuse(
        "replay-between", "Replay", "a replayed counter does not set the last one back", b"".join(parts), "replay",
        offset=len(parts[0]), before=[encrypted(SHORT, 7)], secret=TEXT,
    )  # fmt: skip
    between["rejections"].append({"reason": "replay", "offset": len(parts[0] + parts[1])})
    yield between
    crc_only = meter_keys(HOUSE_KEY, verification="crc-only")
    start = frame(SHORT.text, counter=7)
    yield refuse(
        "replay-crc-only", "Replay CrcOnly", "", start + frame(TEXT.text, counter=7), "replay",
        keys=crc_only, offset=len(start), before=[encrypted(SHORT, 7, security="unauthenticated")],
    )  # fmt: skip
    two = meter_keys(NEW_KEY, HOUSE_KEY)
    parts = [frame(SHORT.text, counter=7), frame(SHORT.text, key=NEW_KEY, counter=0)]
    yield refuse(
        "replay-under-the-new-key", "Replay KeyChange", "", b"".join(parts) + frame(TEXT.text, key=NEW_KEY, counter=0),
        "replay", keys=two, offset=len(b"".join(parts)), before=[encrypted(SHORT, 7), encrypted(SHORT, 0)],
    )  # fmt: skip


def _checksums() -> Iterator[Case]:
    body = TEXT.text[: TEXT.text.rindex(b"!") + 1]
    right = crc16(body)
    for name, end in (
        ("zero", b"0000"), ("one-bit", f"{right ^ 1:04X}".encode()), ("high-bit", f"{right ^ 0x8000:04X}".encode()),
        ("bytes-swapped", f"{right & 0xFF:02X}{right >> 8:02X}".encode()), ("three-digits", f"{right:04X}"[1:].encode()),
        ("missing", b"")
    ):  # fmt: skip
        text = body + end + b"\r\n"
        note = "the frame is authentic, its telegram's CRC is not right"
        yield refuse(f"crc-{name}", "Crc", note, frame(text), "checksum", secret=TEXT)
        yield refuse(f"crc-plain-{name}", "Crc", "a telegram that must have a CRC", text, "checksum", keys=[])
        crc_only = meter_keys(HOUSE_KEY, verification="crc-only")
        yield refuse(
            f"crc-only-{name}", "Crc CrcOnly", "", frame(text), "checksum", keys=crc_only, secret=TEXT
        )
    changed = body.replace(b"000066.950", b"000066.951") + f"{right:04X}\r\n".encode()
    yield refuse("crc-of-a-changed-value", "Crc", "", frame(changed), "checksum", secret=TEXT)
    yield refuse("crc-plain-of-a-changed-value", "Crc", "", changed, "checksum", keys=[])
    for mark in ("1-3:0.2.8(42)", "0-0:96.1.4(50217)", "0-0:1.0.0(260130102001W)"):
        text = f"/FLU5\\253000003_A\r\n\r\n1-0:1.8.0(000001.000*kWh)\r\n{mark}\r\n!\r\n".encode()
        name = f"crc-due-{mark.partition('(')[0]}"
        yield refuse(name, "Crc", "this line alone requires a CRC", text, "checksum", keys=[])
    flipped = bytearray(frame(TEXT.text))
    flipped[100] ^= 0x55
    crc_only = meter_keys(HOUSE_KEY, verification="crc-only")
    note = "no tag is required, and the CRC is wrong"
    yield refuse(
        "crc-only-flip", "Flip CrcOnly", note, bytes(flipped), "checksum", keys=crc_only, secret=TEXT
    )


def _plaintexts() -> Iterator[Case]:
    note = "the meter of this name has a key of its own"
    for layout in (LUXEMBOURG, LUXEMBOURG_2018):
        yield refuse(f"plaintext-{layout.name}", "Plaintext", note, layout.text, "plaintext", secret=layout)
    behind = frame(SHORT.text)
    yield refuse(
        "plaintext-behind-encrypted", "Plaintext", note, behind + TEXT.text, "plaintext",
        offset=len(behind), before=[encrypted(SHORT, 1)], secret=TEXT,
    )  # fmt: skip


def _no_telegrams() -> Iterator[Case]:
    for name, text in (
        ("one-byte", b"x"), ("text", b"no telegram at all"), ("zeros", bytes(100)),
        ("cosem", bytes.fromhex("C0010000080000010000FF0200")), ("no-slash", TEXT.text[1:]),
        ("no-end", TEXT.text[: TEXT.text.rindex(b"!")]), ("only-end", b"!0000\r\n")
    ):  # fmt: skip
        yield refuse(f"no-telegram-{name}", "NoTelegram", "the tag is right", frame(text), "malformed")


def _splices() -> Iterator[Case]:
    one, two = frame(LUXEMBOURG.text, counter=1), frame(LUXEMBOURG.text, counter=2)
    hint = "wrong-encryption-key"
    for name, at, guess in (
        ("counter", 18, hint), ("text", 400, "corrupt"), ("tag", len(one) - 12, "wrong-authentication-key")
    ):  # fmt: skip
        yield refuse(
            f"splice-{name}", "Splice", "the beginning of one frame, the rest of another",
            one[:at] + two[at:], "authentication", hint=guess, secret=LUXEMBOURG,
        )  # fmt: skip
    barn = frame(LUXEMBOURG.text, key=BARN_KEY, title=BARN_TITLE)
    yield refuse(
        "splice-meters", "Splice", "the header of one meter, the content of another",
        one[:13] + barn[13:], "authentication", hint=hint, secret=LUXEMBOURG,
    )  # fmt: skip


def _orders() -> Iterator[Case]:
    """Yield the cases with two faults: the first check that fails gives the reason."""
    wrong_crc = TEXT.text.replace(b"66.950", b"66.951")
    no_key = frame(TEXT.text, security=0x21)
    yield refuse(
        "order-security-before-key", "Order", "another security byte, and no key", no_key, "security", keys=[]
    )
    wrong_key = meter_keys(WRONG_KEY)
    yield refuse(
        "order-security-before-tag",
        "Order",
        "another security byte, and a wrong key",
        no_key,
        "security",
        keys=wrong_key,
    )
    cut = no_key[:-1]
    yield refuse(
        "order-malformed-before-security", "Order", "another security byte, and cut short", cut, "malformed"
    )
    start = frame(SHORT.text, counter=7)
    before = [encrypted(SHORT, 7)]
    note = "a wrong CRC, and a counter that did not rise"
    yield refuse(
        "order-replay-before-crc",
        "Order",
        note,
        start + frame(wrong_crc, counter=7),
        "replay",
        offset=len(start),
        before=before,
        secret=TEXT,
    )
    note = "no telegram inside, and a counter that did not rise"
    yield refuse(
        "order-malformed-before-replay",
        "Order",
        note,
        start + frame(b"no telegram", counter=7),
        "malformed",
        offset=len(start),
        before=before,
    )
    note = "a tag that does not verify, and a counter that did not rise"
    forged = bytearray(frame(TEXT.text, counter=7))
    forged[-1] ^= 1
    yield refuse(
        "order-tag-before-replay",
        "Order",
        note,
        start + bytes(forged),
        "authentication",
        offset=len(start),
        before=before,
        hint="wrong-authentication-key",
        secret=TEXT,
    )
    note = "plaintext of an encrypted meter, and a wrong CRC"
    yield refuse("order-crc-before-plaintext", "Order", note, wrong_crc, "checksum", secret=TEXT)


def _noises() -> Iterator[Case]:
    rng = random.Random("noise cases")  # noqa: S311 - the same on every run
    for name, stream in (
        ("empty", b""), ("line-ends", b"\r\n" * 20), ("fill", b"\xff" * 300), ("random", b"\x00" + rng.randbytes(800)),
        ("inverted", bytes(byte ^ 0xFF for byte in BELGIUM_50217.text)), ("half-telegram", BELGIUM_50217.text[:400]),
        ("end-of-telegram", BELGIUM_50217.text[400:-8]), ("no-header", b"x" + frame(TEXT.text)[1:]),
        ("header-in-noise", b"noise\xdb\x07" + rng.randbytes(60)), ("cut-in-noise", b"noise" + frame(TEXT.text)[:200])
    ):  # fmt: skip
        yield refuse(f"noise-{name}", "Noise", "", stream, "noise", keys=[])


# The files


def sample_recording() -> bytes:
    """Return half a minute of two Luxembourg meters, a Belgian and a Dutch one, with noise."""
    noise = random.Random("noise between telegrams")  # noqa: S311 - the same on every run, not secret
    parts = [
        luxembourg(0)[400:],  # the recording began within a telegram
        frame(luxembourg(10, 1234.571), counter=4711),
        belgium(11),
        b"\xdb\x08" + bytes(noise.randbytes(8)) + b"\x82\x30\x00\x30",  # looks like a long frame
        frame(luxembourg_of_2018(14), key=BARN_KEY, title=BARN_TITLE, counter=99),
        noise.randbytes(40),
        frame(luxembourg(20, 1234.575), counter=4712),
        belgium(21),
        netherlands(22),
        b"\x00\xff" * 8,
        frame(luxembourg_of_2018(24), key=BARN_KEY, title=BARN_TITLE, counter=100),
        frame(luxembourg(30, 1234.579), counter=4713),
        belgium(31),
    ]
    return b"".join(parts)


SAMPLE_KEYS: Final = f"""\
# Dummy keys for sample.bin; they fit no real meter.
keys:
  SAG1030700012345: {HOUSE_KEY.hex(" ", 4).upper()}
  "{BARN_TITLE.hex().upper()}": {BARN_KEY.hex().upper()}
"""


def _as_file(note: str, cases: Iterator[Case]) -> bytes:
    listed = list(cases)
    used = {flag for case in listed for flag in case["flags"]}
    content = {
        "format": FORMAT,
        "version": 1,
        "note": note,
        "flags": {flag: meaning for flag, meaning in FLAGS.items() if flag in used},
    }
    head = json.dumps(content, ensure_ascii=False, indent=1)[:-2]
    # One case a line, so that a change of one case changes one line.
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in listed)
    return f'{head},\n "cases": [\n  {lines}\n ]\n}}\n'.encode()


def files() -> dict[str, bytes]:
    """Return the content of every file, by name."""
    return {
        "decoded.json": _as_file("streams in which everything must be decoded", decoded_cases()),
        "refused.json": _as_file("streams with one fault each, which must be rejected", refused_cases()),
        "sample.bin": sample_recording(),
        "sample.keys.yaml": SAMPLE_KEYS.encode("ascii"),
    }


if __name__ == "__main__":
    for name, content in files().items():
        (HERE / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes", file=sys.stderr)  # noqa: T201 - a script reports
