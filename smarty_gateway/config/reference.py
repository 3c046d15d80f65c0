"""The tables of all keys of gateway.yaml and pool.yaml.

`python -m smarty_gateway.config.reference >docs/gateway-yaml.md` writes the one page, with `pool` behind it
`>docs/pool-yaml.md` the other.
"""

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from typing import Final

from smarty_gateway.config.pool_values import NOT_IN_POOLS, PoolConfig
from smarty_gateway.config.settings import settings_of
from smarty_gateway.config.values import Config

_HEAD: Final = """\
# All keys of {file}

{about}

| key | value | default | meaning |
| --- | --- | --- | --- |
"""
_ABOUT: Final = (
    "Made by `python -m smarty_gateway.config.reference{argument}` from `smarty_gateway/config/{module}`. A "
    "dot leads to a key one level below, `[]` to the items of a list{names}. Relative paths count from the "
    "folder of the file."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One key: where it is, what may be written, what holds without it, and what it means."""

    path: str
    values: str
    default: str
    meaning: str


def rows(kind: type = Config, above: str = "") -> Iterator[Row]:
    """Yield all keys of a dataclass of settings and those below them."""
    for key, setting in settings_of(kind).items():
        form = setting.form
        default = setting.default if setting.default is MISSING else setting.example or setting.default
        yield Row(above + key, form.description, _shown(default), setting.meaning)
        if form.section is not None:
            items = "[]" if form.is_list else f".{form.names}" if form.names else ""
            yield from rows(form.section, f"{above}{key}{items}.")


def _shown(default: object) -> str:
    if default is MISSING:
        return "required"
    if default is None or default == () or is_dataclass(default):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def page() -> str:
    """Return the table of gateway.yaml with its heading, as Markdown."""
    names = "; METER stands for the name of a meter"
    return _page("gateway.yaml", _ABOUT.format(argument="", module="values.py", names=names), rows())


def pool_page() -> str:
    """Return the table of pool.yaml with its heading, as Markdown."""
    return _page("pool.yaml", _ABOUT.format(argument=" pool", module="pool_values.py", names=""), pool_rows())


def pool_rows() -> Iterator[Row]:
    """Yield all keys that a pool can have."""
    refused = tuple(f"outputs.mqtt.{key}" for key in NOT_IN_POOLS)
    return (row for row in rows(PoolConfig) if not row.path.startswith(refused))


def _page(file: str, about: str, shown: Iterator[Row]) -> str:
    head = _HEAD.format(file=file, about=textwrap.fill(about, 110, break_on_hyphens=False))
    return head + "".join(
        f"| `{row.path}` | {row.values} | {row.default} | {row.meaning} |\n" for row in shown
    )


if __name__ == "__main__":
    sys.stdout.write(pool_page() if sys.argv[1:] == ["pool"] else page())
