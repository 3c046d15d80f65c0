"""The lines that InfluxDB reads: `measurement,tag=value field=1.5,text="…" 1769764882`.

What stands in tags and texts comes from meters and users. The three generations of InfluxDB read some
backslashes differently, so no line has one where they differ.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from smarty_gateway.safe_text import printable

#: Characters of a tag: far beyond the longest genuine name.
_LONGEST_TAG: Final = 256
#: Characters of a text: what a meter sends is shorter, and InfluxDB 1 takes 64 KB.
_LONGEST_TEXT: Final = 8192
#: No tag can end with a backslash, nor have one before what needs one: there is no escape for it.
_BACKSLASH_THAT_ESCAPES: Final = re.compile(r"\\(?=[\\ ,=]|\Z)")
_SPECIAL_IN_TAG: Final = re.compile(r"([ ,=])")
_SPECIAL_IN_TEXT: Final = re.compile(r'(["\\])')

Field = float | str


def line(measurement: str, tags: Mapping[str, str], fields: Mapping[str, Field], time: int) -> str:
    """Return one point.

    Args:
        measurement: our own word, like the names of tags and fields; they need no escaping.
        tags: by name.
        fields: by name; at least one.
        time: in seconds since 1970.
    """
    series = ",".join([measurement, *(f"{name}={_tag(value)}" for name, value in tags.items())])
    return f"{series} {','.join(f'{name}={_field(value)}' for name, value in fields.items())} {time}"


def field_of(value: object) -> Field | None:
    """Return a value of the JSON object as a field; None for what no field can hold.

    Every number is a float: InfluxDB refuses a field that is an integer once and a float later.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def fields_of(values: Mapping[str, Any]) -> dict[str, Field]:
    """Return all values that a field can hold."""
    return {name: field for name, value in values.items() if (field := field_of(value)) is not None}


def _tag(value: str) -> str:
    text = _BACKSLASH_THAT_ESCAPES.sub("_", printable(value[:_LONGEST_TAG]) or "_")
    return _SPECIAL_IN_TAG.sub(r"\\\1", text)


def _field(value: Field) -> str:
    if isinstance(value, float):
        return repr(value)
    text = _SPECIAL_IN_TEXT.sub(r"\\\1", printable(value[:_LONGEST_TEXT]))
    return f'"{text}"'
