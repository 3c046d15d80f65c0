"""The table of all keys of gateway.yaml.

`python -m smarty_gateway.config.reference >docs/gateway-yaml.md` writes the page.
"""

import sys
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, is_dataclass
from typing import Final

from smarty_gateway.config.settings import settings_of
from smarty_gateway.config.values import Config

_HEAD: Final = """\
# All keys of gateway.yaml

Made by `python -m smarty_gateway.config.reference` from `smarty_gateway/config/values.py`. A dot leads to
a key one level below, `[]` to the items of a list; METER stands for the name of a meter. Relative paths count
from the folder of the file.

| key | value | default | meaning |
| --- | --- | --- | --- |
"""


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
    """Return the table with its heading, as Markdown."""
    return _HEAD + "".join(
        f"| `{row.path}` | {row.values} | {row.default} | {row.meaning} |\n" for row in rows()
    )


if __name__ == "__main__":
    sys.stdout.write(page())
