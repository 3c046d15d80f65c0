r"""Decodes the telegrams of meters that send again and again: what stays the same is read once.

A meter writes the same lines every time; from one telegram to the next the time, some registers and some
powers change. So one telegram of each meter is remembered line by line, and of the next one only what
differs is read, in the first of these ways that fits:

1. Only digits differ, and only in numbers that have differed before: these are cut out of the whole text.

       1-0:1.8.0( 001234.567 *kWh)\r\n1-0:2.8.0( 000890.123 *kWh)\r\n ...
       fixed      moving     fixed              moving     fixed

2. Lines differ, but each gives the same fields as the one in its place, with other values: they are read.
3. Otherwise the lines that were not in the last telegram are read, and all are put together again, as
   `decode` does it. This telegram is the one that is remembered from then on.

All give exactly what `decode` gives, because what a line says does not depend on the lines around it, and
how lines are put together depends on their codes and names, not on their values. Property tests show it.
This is kept for its factor over `decode`, which takes 155 µs for a telegram of Luxembourg with moving
registers and powers: 8 µs in the first way, some 30 in the second, up to 75 in the third.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from smarty_gateway.protocol.decoder import (
    IDENTITIES,
    DecodedTelegram,
    Line,
    MBusRegister,
    ReadOnlyDict,
    Value,
    assemble,
    read_line,
)
from smarty_gateway.protocol.obis import BY_NAME, Form
from smarty_gateway.protocol.telegram import ParsedTelegram
from smarty_gateway.protocol.values import read_time

#: Meters remembered at a time, each with some 5 kB.
_METERS: Final = 64
#: Beyond any real telegram; telegrams of more lines are not remembered.
_LINES: Final = 256
#: Lines that meters have in common, such as limits and states, are read and kept once: a thousand meters take
#: 8 MB less by it. A meter may send lines of any length, so only short ones are shared: 3 MB at most.
_SHARED: Final = 4096
_SHARED_LENGTH: Final = 80
#: Layouts of telegrams: one for each model of meters, or a few.
_LAYOUTS: Final = 256
#: What tells the meters of a stream apart; a wrong guess costs time, but never a wrong value.
_IDENTITY: Final = re.compile(rb"\n0-0:(?:42\.0\.0|96\.1\.[01])\([^\r\n]{0,96}")
#: Characters; whether a longer number is read depends on its leading zeros.
_ALWAYS_READ: Final = 15
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"000000000")


class MeterDecoder:
    """Returns what `decode` returns, and sooner for meters whose telegrams it has seen before.

    Args:
        meters: how many are remembered at a time; then the one that was not heard for longest is dropped.
    """

    def __init__(self, meters: int = _METERS) -> None:
        self._most = meters
        self._meters: dict[bytes, _Remembered] = {}

    def decode(self, telegram: ParsedTelegram) -> DecodedTelegram:
        """Read every line of a telegram, see the function of this name."""
        body = telegram.body
        identity = _IDENTITY.search(body)
        meter = body[: body.find(b"\n")] if identity is None else identity[0]
        remembered = self._meters.pop(meter, None)
        if remembered is not None:
            decoded = remembered.with_other_digits(body) or remembered.with_other_values(body)
            if decoded is not None:
                self._meters[meter] = remembered
                return decoded
        remembered = _Remembered()
        decoded = remembered.read_again(telegram, body)
        if body.count(b"\n") < _LINES:
            self._meters[meter] = remembered
        if len(self._meters) > self._most:
            del self._meters[next(iter(self._meters))]
        return decoded


class _Number(NamedTuple):
    """A line that holds one number or time.

    Attributes:
        name: of the field.
        start: the line up to its bracket.
        shape: the line with a 0 for each digit; a line of this shape is read in the same way.
        value: where the value stands.
        read: the value from its digits, None for a time that is not set.
    """

    name: str
    start: bytes
    shape: bytes
    value: slice
    read: Callable[[bytes], Value | None]


#: In place of a line that is not one: no line has the shape "1".
_NO_NUMBER: Final = _Number("", b"", b"1", slice(0), float)


class _Remembered:
    """The lines of one telegram of a meter, and what they say.

    They do not change while telegrams differ from it by values only. A worker of a pool has a hundred
    thousand of these, so little is kept: what is needed now and then is read again.
    """

    __slots__ = ("_body", "_cut", "_decoded", "_moving", "_numbers")

    _body: bytes
    _decoded: DecodedTelegram

    def read_again(self, telegram: ParsedTelegram, body: bytes) -> DecodedTelegram:
        """Read a telegram, and remember it."""
        header, texts = telegram.split()
        decoded = assemble(header, [_read(text) for text in texts])
        self._decoded = decoded._replace(codes=_shared_codes(tuple(decoded.codes.items())))
        self._body = body
        # Only lines that have differed are looked at closely.
        self._numbers: dict[int, _Number] = {}
        self._moving: list[_Number] = []
        self._cut = Struct("")
        return self._decoded

    def with_other_digits(self, body: bytes) -> DecodedTelegram | None:
        """Read a telegram where only digits of the numbers in `_moving` differ; None if it is any other."""
        if len(body) != self._cut.size:
            return None
        parts = self._cut.unpack(body)  # fixed, number, fixed, number … fixed
        before = self._cut.unpack(self._body)
        numbers = parts[1::2]
        if parts[::2] != before[::2] or _shape_of(numbers) != _shape_of(before[1::2]):
            return None
        values = {}
        for number, digits in zip(self._moving, numbers, strict=True):
            value = number.read(digits)
            if value is None:
                return None
            values[number.name] = value
        return self._decoded_with(values, self._decoded.devices)

    def with_other_values(self, body: bytes) -> DecodedTelegram | None:
        """Read a telegram where lines say the same with other values; None if it is any other."""
        lines, lines_before = body.split(b"\r\n"), self._body.split(b"\r\n")
        if len(lines) != len(lines_before):
            return None
        known = len(self._numbers)
        values: dict[str, Value] = {}
        devices: dict[str, ReadOnlyDict] = {}
        for at, (line, before) in enumerate(zip(lines, lines_before, strict=True)):
            if line == before:
                continue
            number = self._numbers.get(at) or self._number_at(at, before)
            if line.translate(_ANY_DIGIT) == number.shape and line.startswith(number.start):
                value = number.read(line[number.value])
                if value is None:
                    return None
                values[number.name] = value
            elif not self._read_instead(line, before, values, devices):
                return None
        if len(self._numbers) > known:
            self._cut_numbers(lines_before)
        unchanged = self._decoded.devices
        return self._decoded_with(values, ReadOnlyDict(unchanged, **devices) if devices else unchanged)

    def _decoded_with(self, values: dict[str, Value], devices: Mapping[str, ReadOnlyDict]) -> DecodedTelegram:
        header, fields, codes, _, unknown, identity = self._decoded
        return DecodedTelegram(header, ReadOnlyDict(fields, **values), codes, devices, unknown, identity)

    def _cut_numbers(self, lines: list[bytes]) -> None:
        """Note where the numbers that have moved stand in the whole telegram."""
        self._moving, sizes, start, end = [], [], 0, 0
        for at, line in enumerate(lines):
            number = self._numbers.get(at, _NO_NUMBER)
            if number is not _NO_NUMBER:
                self._moving.append(number)
                value = number.value
                sizes += [start + value.start - end, value.stop - value.start]
                end = start + value.stop
            start += len(line) + 2
        self._cut = _cut_of((*sizes, len(self._body) - end))

    def _number_at(self, at: int, line: bytes) -> _Number:
        """Return how to read what stands at this place if it is a plain number or a time."""
        known = self._known(line)
        found = None if known is None or not known.name else _number_in(line, known.name)
        self._numbers[at] = found or _NO_NUMBER
        return self._numbers[at]

    def _read_instead(
        self, line: bytes, before: bytes, values: dict[str, Value], devices: dict[str, ReadOnlyDict]
    ) -> bool:
        """Read a line that stands in place of another; False unless it says the same with another value."""
        known, text = self._known(before), line.decode("latin-1")
        if known is None or not text.isprintable():  # where a line ends may depend on the others
            return False
        read = read_line(text)
        if read.code != known.code or read.name != known.name or read.name in IDENTITIES:
            return False
        old, new = known.value, read.value
        if read.name:
            values[read.name] = new
        elif isinstance(old, dict) and isinstance(new, dict) and [*old] == [*new]:
            values |= new
        elif isinstance(old, MBusRegister) and isinstance(new, MBusRegister) and old.unit == new.unit:
            name, device = next(d for d in self._decoded.devices.items() if d[1]["channel"] == read.channel)
            devices[name] = ReadOnlyDict(device, value=new.value, timestamp=new.timestamp)
        else:  # such as a register that was never read
            return old is not None and old == new
        return True

    def _known(self, line: bytes) -> Line | None:
        """Return what a remembered line says, None if it says nothing or repeats what another said."""
        text = line.decode("latin-1")
        if not text.isprintable():  # where it ends may depend on the others
            return None
        read = _read(text)
        return None if read.code in self._decoded.unknown else read


def _shape_of(numbers: tuple[bytes, ...]) -> bytes:
    return b"".join(numbers).translate(_ANY_DIGIT)


# What follows is the same for many meters and kept once for all of them.


def _read(text: str) -> Line:
    """Return what a line says; if it is short, as the same object for all meters that write it."""
    return _read_shared(text) if len(text) <= _SHARED_LENGTH else read_line(text)


@lru_cache(maxsize=_SHARED)
def _read_shared(text: str) -> Line:
    return read_line(text)


@lru_cache(maxsize=_LAYOUTS)
def _shared_codes(codes: tuple[tuple[str, str], ...]) -> ReadOnlyDict:
    return ReadOnlyDict(codes)


@lru_cache(maxsize=_LAYOUTS)
def _cut_of(sizes: tuple[int, ...]) -> Struct:
    return Struct("".join([f"{size}s" for size in sizes]))


def _number_in(line: bytes, name: str) -> _Number | None:
    quantity = BY_NAME[name].quantity
    start = line.index(b"(") + 1
    digits, _, unit = line[start:-1].partition(b"*")
    read: Callable[[bytes], Value | None]
    if quantity.form is Form.TIME:
        read = _read_time
    elif (
        quantity.form is Form.NUMBER
        and (unit.decode() or None) == quantity.unit
        and digits[:1].isdigit()  # not a sign: a minus zero is a zero
        and len(digits) <= _ALWAYS_READ
    ):
        read = float if b"." in digits else int
    else:
        return None
    return _shared_number(name, line[:start], line.translate(_ANY_DIGIT), len(digits), read)


@lru_cache(maxsize=_SHARED)
def _shared_number(
    name: str, start: bytes, shape: bytes, size: int, read: Callable[[bytes], Value | None]
) -> _Number:
    return _Number(name, start, shape, slice(len(start), len(start) + size), read)


def _read_time(text: bytes) -> str | None:
    return read_time(text.decode())
