"""An explained frame as text, one field a line: offset, bytes, field, meaning."""

from collections.abc import Iterable

from smarty_gateway.protocol.explanation import Explained
from smarty_gateway.safe_text import printable


def print_fields(fields: Iterable[Explained]) -> None:
    """Print an explanation on standard output; text from the meter is shown escaped."""
    for row in fields:
        offset = "" if row.offset is None else str(row.offset)
        print(printable(f"{offset:>8}  {row.data:<61}  {row.field:<16}  {row.meaning}".rstrip()))
    print()
