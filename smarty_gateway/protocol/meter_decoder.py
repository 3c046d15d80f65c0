"""Decodes the telegrams of meters that send again and again: lines that stay the same are read once.

A meter writes the same lines every time, and between two telegrams only the time, some registers and
some powers change. So the lines of one telegram of each meter are remembered, and of the next one only
those that differ are read:

1. Where each of them is the same number or field with another value, the new values replace the old ones.
2. Otherwise all lines, remembered and new, are put together again, as `decode` does it.

Both give exactly what `decode` gives (a property test shows it), because what a line says does not depend
on the lines around it, and how lines are put together depends on their codes and names only, not on their
values. This is kept for its factor over `decode`: FACTOR.
"""

import re
from collections.abc import Callable, Mapping
from itertools import compress, count
from operator import ne
from typing import Final, NamedTuple

from smarty_gateway.protocol.decoder import (
    IDENTITIES,
    DecodedTelegram,
    Line,
    ReadOnlyDict,
    Value,
    assemble,
    read_line,
)
from smarty_gateway.protocol.obis import BY_NAME, Form
from smarty_gateway.protocol.telegram import ParsedTelegram
from smarty_gateway.protocol.values import read_time

#: Meters remembered at a time, each with some 20 kB; the oldest is dropped.
_METERS: Final = 64
#: Beyond any real telegram; telegrams of more lines are not remembered.
_LINES: Final = 256
#: What tells the meters of a stream apart; a wrong guess costs time, but never a wrong value.
_IDENTITY: Final = re.compile(rb"\n0-0:(?:42\.0\.0|96\.1\.[01])\([^\r\n]{0,96}")
#: Digits and point; whether a longer number can be read depends on its leading zeros.
_ALWAYS_EXACT: Final = 15
_ANY_DIGIT: Final = bytes.maketrans(b"123456789", b"000000000")


class MeterDecoder:
    """Returns what `decode` returns, and sooner for meters whose telegrams it has seen before."""

    def __init__(self) -> None:
        self._meters: dict[bytes, _Remembered] = {}

    def decode(self, telegram: ParsedTelegram) -> DecodedTelegram:
        """Read every line of a telegram, see the function of this name."""
        body = telegram.body
        lines = body.split(b"\r\n")
        identity = _IDENTITY.search(body)
        meter = lines[0] if identity is None else identity[0]
        remembered = self._meters.get(meter)
        if remembered is None:
            remembered = _Remembered()
        else:
            decoded = remembered.with_other_values(lines)
            if decoded is not None:
                return decoded
            del self._meters[meter]
        decoded = remembered.read_again(telegram, lines)
        if len(lines) <= _LINES:
            self._meters[meter] = remembered
        if len(self._meters) > _METERS:
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

    It does not change while telegrams differ from it by values only.
    """

    __slots__ = ("_decoded", "_lines", "_numbers", "_read")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._read: dict[str, Line] = {}
        #: By place in the telegram, and only of lines that have differed.
        self._numbers: dict[int, _Number] = {}
        self._decoded: DecodedTelegram

    def read_again(self, telegram: ParsedTelegram, lines: list[bytes]) -> DecodedTelegram:
        """Read a telegram, but not the lines that were in the last one, and remember it."""
        header, texts = telegram.split()
        known = self._read
        read = [known.get(text) or read_line(text) for text in texts]
        self._lines, self._read, self._numbers = lines, dict(zip(texts, read, strict=True)), {}
        self._decoded = assemble(header, read)
        return self._decoded

    def with_other_values(self, lines: list[bytes]) -> DecodedTelegram | None:
        """Read a telegram that says the same with other values; None if it is any other."""
        if len(lines) != len(self._lines):
            return None
        values: dict[str, Value] = {}
        for at in compress(count(), map(ne, lines, self._lines)):
            line = lines[at]
            number = self._numbers.get(at) or self._number_at(at)
            if line.translate(_ANY_DIGIT) == number.shape and line.startswith(number.start):
                value = number.read(line[number.value])
                if value is None:
                    return None
                values[number.name] = value
            else:
                fields = self._fields_of(line, self._lines[at])
                if fields is None:
                    return None
                values |= fields
        last = self._decoded
        return DecodedTelegram(
            last.header,
            ReadOnlyDict(last.fields, **values),
            last.codes,
            last.devices,
            last.unknown,
            last.identity,
        )

    def _number_at(self, at: int) -> _Number:
        """Return how to read what stands at this place if it is a plain number or a time."""
        line = self._lines[at]
        known = self._known(line)
        found = None if known is None or not known.name else _number_in(line, known)
        self._numbers[at] = found or _NO_NUMBER
        return self._numbers[at]

    def _fields_of(self, line: bytes, before: bytes) -> Mapping[str, Value] | None:
        """Return the fields of a line if they are those that another line gave in its place."""
        known = self._known(before)
        text = line.decode("latin-1")
        if known is None or not text.isprintable():  # where a line ends may depend on the others
            return None
        read = read_line(text)
        if read.code != known.code or read.name != known.name or read.name in IDENTITIES:
            return None
        if read.name:
            return {read.name: read.value}
        is_same = isinstance(read.value, dict) and isinstance(known.value, dict)
        return read.value if is_same and [*read.value] == [*known.value] else None

    def _known(self, line: bytes) -> Line | None:
        """Return what a remembered line says, None if it says nothing or repeats what another said."""
        read = self._read.get(line.decode("latin-1"))
        return None if read is None or read.code in self._decoded.unknown else read


def _number_in(line: bytes, known: Line) -> _Number | None:
    quantity = BY_NAME[known.name].quantity
    start = line.index(b"(") + 1
    digits, star, unit = line[start:-1].partition(b"*")
    read: Callable[[bytes], Value | None]
    if quantity.form is Form.TIME:
        read = _read_time
    elif (
        quantity.form is Form.NUMBER
        and star
        and unit.decode() == quantity.unit
        and digits[:1].isdigit()  # no sign
        and len(digits) <= _ALWAYS_EXACT
    ):
        read = float if b"." in digits else int
    else:
        return None
    value = slice(start, start + len(digits))
    return _Number(known.name, line[:start], line.translate(_ANY_DIGIT), value, read)


def _read_time(text: bytes) -> str | None:
    return read_time(text.decode())
