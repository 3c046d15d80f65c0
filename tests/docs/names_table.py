"""Writes the table of JSON names in docs/reference.md: `python -m tests.docs.names_table`."""

import re
from itertools import groupby
from typing import Final

from smarty_gateway.protocol.obis import MONTH_END_VALUES, OBJECTS, Form
from tests.support.commands import ROOT

PAGE: Final = ROOT / "docs/reference.md"
_TABLE: Final = re.compile(r"(?<=obis\.py -->\n).*?(?=<!-- end of names -->)", re.DOTALL)
_TYPES: Final = {
    Form.NUMBER: "number",
    Form.COUNT: "integer",
    Form.TEXT: "text",
    Form.HEX_TEXT: "text",
    Form.TIME: "time",
    Form.THRESHOLD: "number",
    Form.THRESHOLD_PAIR: "number",
    Form.PEAK: "`value`, `timestamp`",
    Form.PEAK_HISTORY: "list of `period_end`, `timestamp`, `value`",
    Form.FAILURE_LOG: "list of `end`, `duration_s`",
    Form.MONTH_END: "`timestamp`, " + ", ".join(f"`{name}`" for name in MONTH_END_VALUES),
}


def names_table() -> str:
    """Return the tables, one for each section."""
    sections = groupby(OBJECTS, lambda found: found.section)
    return (
        "".join(
            f"\n### {section}\n\n| name | OBIS code | type | unit | |\n| --- | --- | --- | --- | --- |\n"
            + "".join(
                f"| `{name}` | {found.code} | {_TYPES[found.quantity.form]} | {found.quantity.unit or ''} "
                f"| {found.description} |\n"
                for found in objects
                for name in found.name.split(", ")
            )
            for section, objects in sections
        )
        + "\n"
    )


def written_table() -> str:
    """Return the tables as they stand in the page."""
    (found,) = _TABLE.findall(PAGE.read_text("utf-8"))
    return str(found)


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: names_table(), PAGE.read_text("utf-8")), "utf-8")
