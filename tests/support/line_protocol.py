"""Reads line protocol as its reference describes it; written without a look at what writes it.

https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
"""

from dataclasses import dataclass
from typing import Final

_ESCAPED_IN_NAMES: Final = ",= "


@dataclass(frozen=True)
class Point:
    """A point as InfluxDB stores it."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, float | str]
    time: int


class _Characters:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._text)

    def peek(self) -> str:
        return self._text[self._at]

    def take(self, expected: str = "") -> str:
        """Return the next character."""
        found = self._text[self._at]
        assert not expected or found in expected, f"{found!r} where one of {expected!r} is due"
        self._at += 1
        return found

    def name(self, ends: str) -> str:
        """Return a measurement, a key or the value of a tag."""
        found = ""
        while self.peek() not in ends:
            one = self.take()
            assert one.isprintable(), repr(one)
            if one == "\\":
                # What follows decides, and generations of InfluxDB differ for two in a row.
                assert self.peek() != "\\", "two backslashes outside of a text"
                one = self.take() if self.peek() in _ESCAPED_IN_NAMES else one
            found += one
        assert found, "an empty name"
        return found

    def value(self) -> float | str:
        """Return the value of a field."""
        if self.peek() != '"':
            return float(self.name(", "))
        self.take()
        found = ""
        while (one := self.take()) != '"':
            found += self.take() if one == "\\" and self.peek() in '"\\' else one
        return found


def read_point(line: str) -> Point:
    """Return the point of a line."""
    rest = _Characters(line)
    measurement, tags, fields = rest.name(", "), {}, {}
    while rest.take(", ") == ",":
        key = rest.name("=,")
        rest.take("=")
        assert key not in tags, f"{key} twice"
        tags[key] = rest.name(", =")
    more = ","
    while more == ",":
        key = rest.name("=")
        rest.take("=")
        assert key not in fields, f"{key} twice"
        fields[key] = rest.value()
        more = rest.take(", ")
    time = ""
    while not rest.is_over:
        time += rest.take("-0123456789")
    return Point(measurement, tags, fields, int(time))


def read_points(text: str) -> list[Point]:
    """Return the points of a batch."""
    return [read_point(line) for line in text.split("\n")]
