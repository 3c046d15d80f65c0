"""Floods of rubbish cost time in proportion to their size, and no more memory than a frame needs.

Nothing here looks at a clock: the work is counted, in bytes that are looked at and in calls, so that a
slow machine gives the same answer.
"""

import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from smarty_gateway.protocol.frame import MAX_LENGTH
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from tests.support.looked_at import bytes_looked_at
from tests.support.streams import chunks_of, drain, meter_key, telegrams
from vectors.building_blocks import HOUSE_TITLE, frame, luxembourg_of_2018, with_parity

GOOD = frame(luxembourg_of_2018(1))
KEYS = KeyRing({}, [meter_key()])

END_LINE = b"\n!1234\r\n"
HEADER = b"\xdb\x08" + HOUSE_TITLE
OBJECT = b"1-0:1.8.0(1)\r\n"

FLOODS = {
    "noise": bytes((i * 7919 + (i >> 3) * 31) % 256 for i in range(65536)),
    "marks": b"\xdb\x08" * 32768,
    "slashes without end": b"/" * 65536,
    "headers of telegrams without end": b"/ABC5\r\n" * 9400,
    "a telegram that never ends": b"/ABC5\r\n" + b"1-0:1.8.0(000001.000*kWh)\r\n" * 2400,
    "end lines": END_LINE * 8192,
    "telegrams that are all false": b"/ABC/DEF/GHI\r\n!1234\r\n" * 3100,
    "end lines that never end": b"\n!" + b" " * 65534,
    "line ends": (b"/ABC" + b"\n" * 16300 + END_LINE) * 4,
    "exclamation marks": (b"/ABC\n" + b"!" * 16300 + END_LINE) * 4,
    "slashes before end lines": (b"/A" * 8180 + END_LINE) * 4,
    "the same with a NUL": (b"\0" + b"/A" * 8180 + b"\0" + END_LINE) * 4,
    "the same in lines": (b"/A/A/A\n" * 2330 + END_LINE) * 4,
    "slashes with parity before end lines": (b"\xaf" * 16360 + with_parity(END_LINE)) * 4,
    "letters between them": (b"\xafA" * 8180 + with_parity(END_LINE)) * 4,
    "slashes with parity behind slashes": (b"/A" * 4000 + b"\xaf" * 8000 + with_parity(END_LINE)) * 4,
    "slashes behind slashes with parity": b"\xaf" * 32768 + b"/A" * 16384,
    "headers of telegrams before end lines": (b"/ABC\r\n" * 2700 + END_LINE) * 4,
    "objects before end lines with a CRC": ((b"/ABC\r\n" + OBJECT) * 770 + END_LINE) * 4,
    "objects before end lines without one": ((b"/ABC\r\n" + OBJECT) * 770 + b"!\r\n") * 4,
    "objects behind long header lines": ((b"/A" * 60 + b"\r\n" + OBJECT) * 119 + END_LINE) * 4,
    "objects behind lines that are no header lines": ((b"/A" * 60 + b"(\r\n" + OBJECT) * 119 + END_LINE) * 4,
    "false texts in a false frame": (HEADER + b"\x82\x40\x00\x30" + b"/ABC\n!1\n" * 2044) * 8,
    "telegrams where one is due": b"/\n!1\n" * 5000,
}
#: Headers of frames that claim more than there is. Each must be tried up to the end that it claims.
FLOODS_OF_HEADERS = {
    "headers with false lengths": (HEADER + b"\x82\x40\x00\x30") * 4700,
    "headers packed as tightly as can be": b"\xdb\x08A\x82\x10\x00\x30" * 9362,
    "nested headers": b"".join(
        HEADER + b"\x82" + (15400 - 15 * i).to_bytes(2, "big") + b"\x30" for i in range(500)
    )
    + bytes(8500),
}
ALL_FLOODS = FLOODS | FLOODS_OF_HEADERS
#: What they cost is measured in every run, what the others do in slow ones: measuring takes long.
QUICK = ("noise", "a telegram that never ends", "headers with false lengths", "end lines")
EACH_FLOOD = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in ALL_FLOODS]
)


def pieces(flood: bytes, count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield flood


def looks_at_each_byte(flood: bytes) -> float:
    """Return how often the core looks at each byte of a flood, on average."""
    return bytes_looked_at(MeterStream(KEYS), chunks_of(flood, 1024)) / len(flood)


@EACH_FLOOD
def test_each_byte_of_a_flood_is_looked_at_a_bounded_number_of_times(name: str) -> None:
    flood = ALL_FLOODS[name]
    once, more = looks_at_each_byte(flood), looks_at_each_byte(flood * 4)
    # Such headers may follow each other every 7 bytes, and a frame is copied three times.
    assert more < (200 if name in FLOODS else 3 * MAX_LENGTH / 7)
    assert more < 1.5 * once


def calls_made(flood: bytes, keys: KeyRing = KEYS) -> int:
    """Count the calls, of Python and of C, that reading a flood takes."""
    stream = MeterStream(keys)
    calls = 0

    def count_call(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        for chunk in chunks_of(flood, 1024):
            stream.receive_data(chunk)
            drain(stream)
    finally:
        sys.setprofile(None)
    return calls


@EACH_FLOOD
def test_each_byte_of_a_flood_costs_a_bounded_number_of_calls(name: str) -> None:
    assert calls_made(ALL_FLOODS[name]) < 50 * len(ALL_FLOODS[name])


@pytest.mark.parametrize("name", FLOODS_OF_HEADERS)
def test_the_cost_of_a_flood_does_not_grow_with_the_number_of_keys(name: str) -> None:
    few, many = (KeyRing({f"XYZ{n:013d}": f"{n + 1:032x}" for n in range(count)}) for count in (1, 500))
    assert calls_made(FLOODS_OF_HEADERS[name], many) < 1.5 * calls_made(FLOODS_OF_HEADERS[name], few)


@EACH_FLOOD
def test_the_memory_does_not_grow_with_the_flood(name: str) -> None:
    def peak(count: int) -> int:
        stream = MeterStream(KEYS)
        tracemalloc.start()
        try:
            for piece in pieces(ALL_FLOODS[name], count):
                stream.receive_data(piece)
                drain(stream)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    once, more = peak(1), peak(3)
    assert more < 8_000_000
    assert more < 1.5 * once + 1_000_000


@EACH_FLOOD
def test_a_good_frame_behind_a_flood_is_found(name: str) -> None:
    stream = MeterStream(KEYS)
    stream.receive_data(ALL_FLOODS[name])
    drain(stream)
    stream.receive_data(GOOD)
    found = drain(stream)
    stream.receive_silence()
    assert len(telegrams(found + drain(stream))) == 1


@pytest.mark.slow
def test_a_flood_in_one_piece_needs_no_more_memory_than_the_piece() -> None:
    flood = ALL_FLOODS["headers with false lengths"] * 30
    stream = MeterStream(KEYS)
    tracemalloc.start()
    try:
        stream.receive_data(flood)
        drain(stream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < len(flood) + 8_000_000
