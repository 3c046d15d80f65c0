"""Collects the messages of page, report and mail, and compiles what they are in French and German.

`python -m tests.languages.catalogues` writes each catalogue again: it keeps the translations of messages that
are still there, adds new messages with an empty translation, and drops the others. Translate what is empty in
the .po files, then run it once more, so that the .mo files follow. Each run gives the same bytes.
"""

import io
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

import smarty_gateway
from smarty_gateway.languages.language import CODES
from smarty_gateway.outputs.labels import label_of
from smarty_gateway.protocol.obis import BY_NAME, MEDIA

PACKAGE: Final = Path(smarty_gateway.__file__).parent
COMMAND: Final = "python -m tests.languages.catalogues"
#: Messages are English, so there is no English catalogue.
TRANSLATED: Final = CODES[1:]
#: What has a message as its first argument; `ngettext` has its plural as the second one.
_KEYWORDS: Final = {"_": None, "gettext": None, "ngettext": (1, 2), "Sentence": None}
_JINJA: Final = "jinja2.ext:babel_extract"
#: A meter has up to four M-Bus channels, so as many devices of one kind.
_CHANNELS: Final = 4
_WIDTH: Final = 100

#: A message, or one thing and several of it.
MessageId = str | tuple[str, ...]


@cache
def collected() -> dict[MessageId, set[str]]:
    """Return all messages with the files that they are in."""
    found: dict[MessageId, set[str]] = {}
    for path in sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("templates/*")]):
        for message in _messages_of(path):
            found.setdefault(message, set()).add(f"smarty_gateway/{path.relative_to(PACKAGE)}")
    for label in _labels():
        found.setdefault(label, set()).add("smarty_gateway/outputs/labels.py")
    for path in sorted(PACKAGE.glob("tariffs/*.yaml")):
        for text in _texts_of(yaml.safe_load(path.read_text("utf-8"))):
            found.setdefault(text, set()).add(f"smarty_gateway/tariffs/{path.name}")
    return found


def _messages_of(path: Path) -> Iterator[MessageId]:
    method, options = ("python", {}) if path.suffix == ".py" else (_JINJA, {"silent": "false"})
    with path.open("rb") as file:
        for _line, message, _comments, _context in extract(method, file, _KEYWORDS, options=options):
            yield message


def _labels() -> Iterator[str]:
    """Yield what is translated by the name of a value, not as a literal text."""
    yield from map(label_of, BY_NAME)
    for medium in {*MEDIA.values(), "device_unknown"}:
        yield label_of(medium)
        yield from (label_of(f"{medium}_{number}") for number in range(2, _CHANNELS + 1))


def _texts_of(tariff: Mapping[str, object]) -> Iterator[str]:
    """Yield the name of a tariff, its doubts, and the names of doubtful prices, as notes show them."""
    yield str(tariff["name"])
    nodes: list[object] = [tariff]
    for node in nodes:
        if isinstance(node, Mapping):
            nodes += node.values()
            if "doubt" in node:
                yield from (str(node[key]) for key in ("doubt", "name") if key in node)
        elif isinstance(node, list):
            nodes += node


class _Catalogue(Catalog):
    """A catalogue without dates, names and versions in its head."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        """The head of the file."""
        return [
            ("Language", str(self.locale)),
            ("MIME-Version", "1.0"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Transfer-Encoding", "8bit"),
            ("Plural-Forms", self.plural_forms),
        ]


def po_file(code: str) -> Path:
    """Return the catalogue that people edit."""
    return PACKAGE / "languages" / code / "LC_MESSAGES" / "smarty_gateway.po"


def mo_file(code: str) -> Path:
    """Return the catalogue that the program reads."""
    return po_file(code).with_suffix(".mo")


def written(code: str) -> Catalog:
    """Return the catalogue as it stands; an empty one of a language that has none."""
    if not po_file(code).exists():
        return Catalog(locale=code)
    with po_file(code).open("rb") as file:
        return read_po(file, locale=code)


def updated(code: str) -> Catalog:
    """Return the catalogue with the messages that there are now, and the translations that it has."""
    old, new = written(code), _Catalogue(locale=code, fuzzy=False, header_comment=f"# {COMMAND}")
    for message, files in sorted(collected().items(), key=lambda item: str(item[0])):
        known = old.get(message) or Message(message)
        added = new.add(
            message, known.string, locations=[(file, 0) for file in sorted(files)], flags=known.flags
        )
        # A percent sign in a message is no field of it.
        added.flags -= {"python-format", "python-brace-format"}
    return new


def po_text(catalogue: Catalog) -> bytes:
    """Return a catalogue as people edit it."""
    file = io.BytesIO()
    write_po(file, catalogue, width=_WIDTH, include_lineno=False)
    return file.getvalue()


def mo_data(catalogue: Catalog) -> bytes:
    """Return a catalogue as the program reads it."""
    file = io.BytesIO()
    write_mo(file, catalogue)
    return file.getvalue()


def is_translated(message: Message) -> bool:
    """Return whether a message has all its translations, and nobody doubts them."""
    strings = message.string if isinstance(message.string, tuple | list) else [message.string]
    return all(strings) and not message.fuzzy


def main() -> None:
    """Write all catalogues."""
    for code in TRANSLATED:
        catalogue = updated(code)
        po_file(code).parent.mkdir(parents=True, exist_ok=True)
        po_file(code).write_bytes(po_text(catalogue))
        mo_file(code).write_bytes(mo_data(catalogue))
        missing = [message for message in catalogue if message.id and not is_translated(message)]
        sys.stdout.write(f"{code}: {len(catalogue)} messages, {len(missing)} to be translated\n")


if __name__ == "__main__":
    main()
