"""Floods of rubbish cost time in proportion to their size, and no more memory than a frame needs.

Nothing here looks at a clock: the work is counted, so that a slow machine gives the same answer.
"""

import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from smarty_gateway.protocol.keyring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from tests.streams import drain, meter_key, telegrams
from vectors.building_blocks import HOUSE_TITLE, frame, luxembourg_of_2018

GOOD = frame(luxembourg_of_2018(1))
KEYS = KeyRing({}, [meter_key()])

FLOODS = {
    "noise": bytes((i * 7919 + (i >> 3) * 31) % 256 for i in range(65536)),
    "headers with false lengths": (b"\xdb\x08" + HOUSE_TITLE + b"\x82\x40\x00\x30") * 4700,
    "headers packed as tightly as can be": b"\xdb\x08ABC\x82\x10\x00\x30" * 7300,
    "nested headers": b"".join(
        b"\xdb\x08" + HOUSE_TITLE + b"\x82" + (15400 - 15 * i).to_bytes(2, "big") + b"\x30"
        for i in range(500)
    )
    + bytes(8500),
    "marks": b"\xdb\x08" * 32768,
    "slashes without end": b"/" * 65536,
    "headers of telegrams without end": b"/ABC5\r\n" * 9400,
    "a telegram that never ends": b"/ABC5\r\n" + b"1-0:1.8.0(000001.000*kWh)\r\n" * 2400,
    "end lines": b"\n!1234\r\n" * 8192,
    "telegrams that are all false": b"/ABC/DEF/GHI\r\n!1234\r\n" * 3100,
    "end lines that never end": b"\n!" + b" " * 65534,
}


def pieces(flood: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield flood


def calls_made(flood: bytes, count: int) -> int:
    """Count the calls, of Python and of C, that reading so many pieces of a flood takes."""
    stream = MeterStream(KEYS)
    calls = 0

    def count_call(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        for piece in pieces(flood, count):
            stream.receive_data(piece)
            drain(stream)
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("name", FLOODS)
def test_the_work_grows_no_faster_than_the_flood(name: str) -> None:
    flood = FLOODS[name][:16384]
    once, more = calls_made(flood, 4), calls_made(flood, 16)
    assert more < 5 * once + 1000


@pytest.mark.parametrize("name", FLOODS)
def test_the_memory_does_not_grow_with_the_flood(name: str) -> None:
    def peak(count: int) -> int:
        stream = MeterStream(KEYS)
        tracemalloc.start()
        try:
            for piece in pieces(FLOODS[name], count):
                stream.receive_data(piece)
                drain(stream)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(6) < 1.5 * peak(2) + 1_000_000


@pytest.mark.parametrize("name", FLOODS)
def test_a_good_frame_behind_a_flood_is_found(name: str) -> None:
    stream = MeterStream(KEYS)
    stream.receive_data(FLOODS[name])
    drain(stream)
    stream.receive_data(GOOD)
    found = drain(stream)
    stream.receive_silence()
    assert len(telegrams(found + drain(stream))) == 1


def test_a_flood_in_one_piece_needs_no_more_memory_than_the_piece() -> None:
    flood = FLOODS["headers with false lengths"] * 30
    stream = MeterStream(KEYS)
    tracemalloc.start()
    try:
        stream.receive_data(flood)
        drain(stream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(flood) + 8_000_000
