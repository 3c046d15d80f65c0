"""Telegrams for the outputs that serve them, told apart by a number."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

from smarty_gateway.outputs.output import Output, Reading
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.streams import read, telegrams


@cache
def _telegram() -> MeterTelegram:
    text = SimulatedMeter(MeterKind.BELGIUM, 1).telegram(datetime(2026, 6, 21, 11, 30, tzinfo=UTC))
    return telegrams(read(text))[0]


def raw_of(number: int, size: int = 1000) -> bytes:
    """Return the text of a telegram with this number, of this size."""
    head, end = b"/FLU5%08d\r\n\r\n" % number, b"!ABCD\r\n"
    return head + b"x" * (size - len(head) - len(end)) + end


def reading_of(number: int, size: int = 1000, meter: str = "house", *, is_configured: bool = True) -> Reading:
    """Return a reading with such a telegram."""
    telegram = replace(_telegram(), raw=raw_of(number, size))
    return Reading(meter, telegram, datetime(2026, 6, 21, tzinfo=UTC), is_configured=is_configured)


def numbers_in(data: bytes, size: int = 1000) -> list[int]:
    """Return the numbers of the telegrams in a stream, in order; it must hold nothing but whole ones."""
    assert len(data) % size == 0
    assert re.fullmatch(rb"(/FLU5\d{8}\r\n\r\nx*!ABCD\r\n)*", data), f"torn: {data[:60]!r} … {data[-60:]!r}"
    return [int(number) for number in re.findall(rb"/FLU5(\d{8})", data)]


@contextmanager
def serving(output: Output) -> Iterator[None]:
    """Run an output."""
    output.start()
    try:
        yield
    finally:
        output.stop(2.0)
    assert output.failure is None
