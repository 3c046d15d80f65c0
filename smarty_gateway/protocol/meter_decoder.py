r"""Decodes the telegrams of one meter: what stays the same from one to the next is read only once.

A meter writes the same lines every time, each as long as before. Mostly only digits differ, and only
those of registers, powers and the time:

    1-0:1.8.0( 001234.567 *kWh)\r\n1-0:2.8.0( 000890.123 *kWh)\r\n ...
    fixed      moving     fixed              moving     fixed

So a telegram that was read line by line tells where the numbers stand. If all that is fixed is the same
in the next, and digits stand where digits stood, only the numbers are read. Any other is read line by
line again. Both ways give the same, which a property test shows.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Final

from smarty_gateway.protocol.decoder import DecodedTelegram, Value, decode, find_object
from smarty_gateway.protocol.obis import Form, Quantity
from smarty_gateway.protocol.telegram import ParsedTelegram
from smarty_gateway.protocol.values import read_number, read_time

#: A line with one value that is a time, or digits and what follows them. What `decode` would drop on its
#: way, or might find too long for a number, is no part of it.
_ONE_VALUE: Final = re.compile(
    rb"\n([0-9][0-9.:*-]*)\((?:([0-9]{1,9}(?:\.[0-9]{1,5})?)([^0-9.()\r\n\x00][^()\r\n\x00]*)?|([0-9]{12}[SW]))\)(?=\r\n)"
)
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"000000000")

_Read = Callable[[bytes], Value | None]


class MeterDecoder:
    """Gives what `decode` gives, and sooner if telegrams of the same meter follow each other.

    The results of consecutive telegrams share what did not change, so nobody may write into them.
    """

    def __init__(self) -> None:
        self._layout: _Layout | None = None
        self._meter: tuple[str, str | None] | None = None

    def decode(self, telegram: ParsedTelegram) -> DecodedTelegram:
        """Read every line of a telegram, see the function of this name."""
        body = telegram.body
        if self._layout is not None:
            decoded = self._layout.read_next(body)
            if decoded is not None:
                return decoded
        decoded = decode(telegram)
        meter = decoded.header, decoded.identity
        # Where meters take turns, a layout would never fit.
        self._layout = _Layout(body, decoded) if self._meter in (None, meter) else None
        self._meter = meter
        return decoded


class _Layout:
    """Where the numbers of a telegram stand, and what all the rest of it says.

    Args:
        body: of a telegram.
        readings: what it says.
    """

    __slots__ = ("_cut", "_decoded", "_fixed", "_names", "_numbers", "_readers", "_shape")

    def __init__(self, body: bytes, decoded: DecodedTelegram) -> None:
        self._decoded = decoded
        moving: dict[str, _Read] = {}
        sizes: list[int] = []
        end = 0
        for match in _ONE_VALUE.finditer(body):
            sent_code, number, unit, time = match.groups()
            code = sent_code.decode()
            found = find_object(code)
            # Lines that repeat a code are rare, and only one of them has given the field.
            if found is None or decoded.codes.get(found.name) != code or code in decoded.unknown:
                continue
            read = _reader_of(found.quantity, number, unit)
            if read is not None and read(number or time) == decoded.fields[found.name]:
                start, stop = match.span(2 if number else 4)
                sizes += [start - end, stop - start]
                end = stop
                moving[found.name] = read
        self._names, self._readers = tuple(moving), tuple(moving.values())
        self._cut = _cutter("".join(f"{size}s" for size in [*sizes, len(body) - end]))
        parts = self._cut.unpack(body)
        self._fixed = b"".join(parts[::2])
        self._numbers = parts[1::2]
        self._shape = _shape_of(self._numbers)

    def read_next(self, body: bytes) -> DecodedTelegram | None:
        """Read a telegram that differs from the last by digits of its numbers only; None for any other."""
        if len(body) != self._cut.size:
            return None
        parts = self._cut.unpack(body)
        numbers = parts[1::2]
        if b"".join(parts[::2]) != self._fixed or _shape_of(numbers) != self._shape:
            return None
        last = self._decoded
        fields = last.fields.copy()
        for name, read, digits, before in zip(
            self._names, self._readers, numbers, self._numbers, strict=True
        ):
            if digits != before:
                value = read(digits)
                if value is None:
                    return None
                fields[name] = value
        self._numbers = numbers
        self._decoded = DecodedTelegram(
            last.header, fields, last.codes, last.devices, last.unknown, last.identity
        )
        return self._decoded


@lru_cache(maxsize=64)
def _cutter(form: str) -> Struct:
    """Give what cuts a telegram; most of a thousand meters are of the same kind, and share it."""
    return Struct(form)


def _reader_of(quantity: Quantity, number: bytes | None, unit: bytes | None) -> _Read | None:
    """Give what reads the digits of a line that could be read, None if there is more to such a value.

    Args:
        quantity: what the line holds.
        number: its digits, None where it is a time.
        unit: how it is written, with a star or without; None where it is not.
    """
    if number is None:
        return _read_time if quantity.form is Form.TIME else None
    if quantity.form not in (Form.NUMBER, Form.COUNT):
        return None
    text = (unit or b"").decode("latin-1")
    if text.removeprefix("*") in ("", quantity.unit):
        return float if b"." in number else int
    return lambda digits: read_number(digits.decode() + text, quantity.unit)


def _read_time(text: bytes) -> Value | None:
    return read_time(text.decode())


def _shape_of(numbers: tuple[bytes, ...]) -> bytes:
    return b"".join(numbers).translate(_ANY_DIGIT)
