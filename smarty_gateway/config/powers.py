"""Powers in kW, as a user writes them in gateway.yaml."""

from dataclasses import dataclass
from datetime import date
from typing import Final

import yaml

from smarty_gateway.config.settings import DATE, Form, Section, decimal_number, setting
from smarty_gateway.config.yaml_file import YamlFile
from smarty_gateway.history.reference_power import ReferencePower


def kilowatts(low: int, high: int) -> Form[float]:
    """Return the form of a power in kW, to the watt."""
    return decimal_number("a number of kW", low, high)


#: No more, because somebody may write watts.
_LEVEL: Final = kilowatts(1, 1000)


@dataclass(frozen=True, slots=True)
class _DatedLevel:
    """One item of the list."""

    begin: date = setting(DATE, "the first day of this level", key="from", example="2026-01-01")
    kilowatts: float = setting(_LEVEL, "the level", key="kw", example="7")


def _read_reference_power(file: YamlFile, node: yaml.Node, name: str) -> ReferencePower:
    if isinstance(node, yaml.ScalarNode):
        _LEVEL.read(file, node, name)
        return ReferencePower(((None, _watts(float(node.value))),))
    if not isinstance(node, yaml.SequenceNode) or not node.value:
        file.fail(node, f"{name} is {REFERENCE_POWER.description}")
    levels: dict[date, int] = {}
    for item in node.value:
        with file.collected():
            keys = Section(file, item, _DatedLevel, "a level")
            level = keys.build()
            if level is not None and level.begin in levels:
                file.fail(keys.nodes["from"], "this date is in the list twice; keep one of the two")
            if level is not None:
                levels[level.begin] = _watts(level.kilowatts)
    return ReferencePower(tuple(sorted(levels.items())))


def _watts(kilowatts: float) -> int:
    return round(kilowatts * 1000)


REFERENCE_POWER: Final[Form[ReferencePower]] = Form(
    f"{_LEVEL.description}, or a list such as `[{{from: 2026-01-01, kw: 7}}]`",
    _read_reference_power,
    _DatedLevel,
    is_list=True,
)
