"""Writes the tables of entities in docs/home-assistant.md: `python -m tests.docs.entities_table`."""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from smarty_gateway.outputs.mqtt import entities
from smarty_gateway.outputs.mqtt.entities import Entity
from tests.support.commands import ROOT

PAGE: Final = ROOT / "docs/home-assistant.md"
_TABLE: Final = re.compile(r"(?<=entities\.py -->\n).*?(?=<!-- end of entities -->)", re.DOTALL)
#: What tells entities of one row apart, in names and in descriptions.
_NUMBER: Final = re.compile(r" ([LQ]?\d)$")
_NUMBERED: Final = re.compile(r",? (tariff |quadrant |channel )?[LQ]?\d$")
_HEAD: Final = "| entity | unit | on at first | what it means |\n| --- | --- | --- | --- |\n"


def entities_table() -> str:
    """Return the tables, one for each kind of device."""
    meter = (*entities.METER, *entities.METER_HEALTH, entities.DOWNGRADE)
    mbus = (entities.register_of("gas", "m³"), entities.MBUS_TIME, entities.MBUS_VALVE)
    gateway = (*entities.GATEWAY, entities.meter_problem_of("", "NAME"))
    return (
        "".join(
            f"\n### {title}\n\n{_HEAD}{''.join(_rows(rows))}"
            for title, rows in (
                ("A meter", sorted(meter, key=lambda entity: not entity.place.is_on)),
                ("A gas, water, heat or other meter behind it", mbus),
                ("The gateway itself", gateway),
            )
        )
        + "\n"
    )


def _rows(rows: Iterable[Entity]) -> Iterator[str]:
    for (name, _), group in groupby(rows, _row_of):
        first, *others = group
        numbers = [found[1] for entity in (first, *others) if (found := _NUMBER.search(entity.name or ""))]
        shown = f"{name} {', '.join(numbers)}".rstrip()
        meaning = _NUMBERED.sub("", first.meaning) if others else first.meaning
        unit = first.unit or ""
        if first.name is None:
            unit = "m³, kWh, GJ"
        yield f"| {shown} | {unit} | {'yes' if first.place.is_on else 'no'} | {meaning} |\n"


def _row_of(entity: Entity) -> tuple[str, bool]:
    """Return the name without its number, and whether it has one."""
    name = entity.name or "(as the device)"
    return _NUMBER.sub("", name), _NUMBER.search(name) is not None


def written_table() -> str:
    """Return the tables as they stand in the page."""
    (found,) = _TABLE.findall(PAGE.read_text("utf-8"))
    return str(found)


if __name__ == "__main__":
    PAGE.write_text(_TABLE.sub(lambda _: entities_table(), PAGE.read_text("utf-8")), "utf-8")
