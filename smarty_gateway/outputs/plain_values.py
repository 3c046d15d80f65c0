"""The values of the JSON object one by one, as text that every program reads.

Numbers are plain decimals: `1e-05` is no number to a Miniserver or a spreadsheet.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from smarty_gateway.safe_text import printable

Value = str | int | float

#: Of an object, such as an M-Bus device, the value that stands for it.
_VALUE: Final = "value"
_UNKNOWN: Final = "unknown"


def plain(value: Value) -> str:
    """Return a value as text on one line."""
    if isinstance(value, str):
        return printable(value)
    text = repr(value)
    return f"{Decimal(text):f}" if "e" in text else text


def value_at(record: Mapping[str, Any], name: str) -> Value | None:
    """Return a value by its name; None if there is none.

    Args:
        record: the JSON object.
        name: such as `power_import`; `gas` or `gas.value`, `gas.timestamp` for the values of an object.
    """
    found: Any = record
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        found = found.get(_VALUE)
    return found if isinstance(found, Value) else None


def flat(record: Mapping[str, Any]) -> dict[str, Value]:
    """Return all single values by name: `gas`, `gas_unit`, `gas_timestamp` are those of an object.

    Lists are left out, and what the gateway does not know.
    """
    return dict(_flat(record))


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    for name, value in record.items():
        if isinstance(value, Value):
            yield name, value
        elif isinstance(value, Mapping) and name != _UNKNOWN:
            for inner, single in value.items():
                if isinstance(single, Value):
                    yield name if inner == _VALUE else f"{name}_{inner}", single
