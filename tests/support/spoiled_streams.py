"""Streams of good frames and telegrams between damaged ones, false headers and noise."""

import random

from hypothesis import strategies as st

from vectors.building_blocks import (
    HOUSE_TITLE,
    belgium,
    frame,
    length_field,
    luxembourg,
    luxembourg_of_2018,
    telegram,
)

SHORT = telegram("Lux5\\253000001_D", "1-3:0.2.8(42)", "0-0:1.0.0(260130102010W)")
FALSE_HEADER = b"\xdb\x08" + HOUSE_TITLE + b"\x82\x40\x00\x30"


def spoiled(part: bytes, rng: random.Random) -> bytes:
    """Change one byte."""
    changed = bytearray(part)
    changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def false_header(rng: random.Random, most: int = 16385) -> bytes:
    """Write a header with a length below a limit."""
    return b"\xdb\x08" + HOUSE_TITLE + length_field(rng.randrange(18, most)) + b"\x30"


def _around(inner: bytes, rng: random.Random) -> bytes:
    """Write something into a frame, which is false then."""
    outer = bytearray(frame(luxembourg(1)))
    start = rng.randrange(14, len(outer))
    outer[start : start + len(inner)] = inner
    return bytes(outer)


@st.composite
def spoiled_streams(draw: st.DrawFn, *more: bytes) -> bytes:
    """Draw a stream of good parts, damaged parts, parts in false ones, cuts, false headers and noise.

    Args:
        draw: as hypothesis passes it.
        more: other good parts.
    """
    rng = random.Random(draw(st.integers(0, 2**32)))
    parts = []
    for counter in range(draw(st.integers(1, 12))):
        good = rng.choice(
            [
                frame(SHORT, counter=counter),
                frame(luxembourg_of_2018(1), counter=counter),
                SHORT,
                belgium(1),
                *more,
            ]
        )
        parts.append(
            rng.choice(
                [
                    good,
                    good,
                    spoiled(good, rng),
                    good[: rng.randrange(len(good))],
                    good[rng.randrange(len(good)) :],
                    false_header(rng),
                    false_header(rng, 400) + rng.randbytes(rng.randrange(60)),
                    _around(good, rng),
                    frame(SHORT, counter=counter, security=0x20),
                    rng.randbytes(rng.randrange(60)),
                    frame(SHORT, title=b"UNKNOWN!"),
                    b"\xdb\x07",
                    b"/abc/",
                    FALSE_HEADER[: rng.randrange(14)],
                ]
            )
        )
    return b"".join(parts)
