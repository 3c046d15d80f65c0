"""The tariff of a meter, as a user names it: one that comes with this program, or a file."""

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from smarty_gateway.config.settings import Form, read_path, read_text
from smarty_gateway.config.yaml_file import YamlFile

_FOLDER: Final = Path(__file__).parents[1] / "tariffs"
_WHAT: Final = "the name of a tariff, or the path of a file"


@cache
def shipped_tariffs() -> dict[str, Path]:
    """Return the files that come with this program by the names of their tariffs."""
    return {file.stem: file for file in sorted(_FOLDER.glob("*.yaml"), key=lambda file: file.stem)}


def tariff_name(file: Path) -> str:
    """Return what a tariff is called where it is shown: the name of a shipped one, else that of its file.

    The folders of the machine are nothing for the page, the API and a report.
    """
    return file.stem if file.parent == _FOLDER else file.name


def _read_tariff(file: YamlFile, node: yaml.Node, _: str) -> Path:
    text = read_text(file, node, _WHAT)
    if re.search(r"[./]", text):
        return read_path(file, node, _WHAT)
    shipped = shipped_tariffs()
    if text not in shipped:
        near = difflib.get_close_matches(text[:100].lower(), shipped, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(shipped)}."
        file.fail(node, f"there is no tariff of this name; {hint} A file has a dot or a slash in its path")
    return shipped[text]


TARIFF: Final[Form[Path]] = Form(
    f"{', '.join(shipped_tariffs())}; or, with a dot or a slash, a file", _read_tariff
)
