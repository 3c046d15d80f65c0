"""Settings: fields of dataclasses that say what may be written in a file and what it means.

    days: int = setting(number(1, 36_500), "delete undelivered messages after this many days", default=30)

Such a field is all there is to a new key: from it come its reading, its errors (see `Section`) and its row
in docs/gateway-yaml.md (see `reference`).
"""

import contextlib
import dataclasses
import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, Generic, TypeVar, overload

import yaml

from smarty_gateway.config.other_words import advice_for
from smarty_gateway.config.yaml_file import YamlFile, lacks_blank, line_of, shown
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import looks_like_key

T = TypeVar("T")
Number = TypeVar("Number", int, float)
T_co = TypeVar("T_co", covariant=True)
_NULL: Final = "tag:yaml.org,2002:null"


class SettingError(GatewayError):
    """A setting or an option cannot be used; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Form(Generic[T_co]):
    """What may be written for a key; the type is that of the field.

    Attributes:
        description: of the permitted values, for messages and the reference.
        read: returns the value of a node with the given name, or its Section; raises UnusableFileError.
        section: the dataclass of the keys below this one, if there are any.
        is_list: they are those of each item of a list.
        names: what the names are between this key and those below it, such as METER.
    """

    description: str
    read: Callable[[YamlFile, yaml.Node, str], object]
    section: type | None = None
    is_list: bool = False
    names: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a file; see `setting`.

    Attributes:
        default: of the field; MISSING where the key is required.
        field: the name of the dataclass field that takes the value.
    """

    key: str
    form: Form[object]
    meaning: str
    default: object
    example: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Rest:
    """What may stand beside the keys of a dataclass; see `rest`.

    Attributes:
        form_of: returns what may be written below a name, None where nothing may.
        names: returns all such names.
    """

    form_of: Callable[[yaml.ScalarNode], Form[Any] | None]
    names: Callable[[], Iterable[str]]


def rest(found: Rest) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a field for what stands under names that are no keys: a tuple, in the order of the file."""
    return dataclasses.field(default=(), metadata={"rest": found})


@overload
def setting(form: Form[T], meaning: str, *, key: str = ..., example: str) -> T: ...
@overload
def setting(form: Form[T], meaning: str, *, key: str = ..., default: None) -> T | None: ...
@overload
def setting(form: Form[T], meaning: str, *, key: str = ..., default: T, example: str = ...) -> T: ...
def setting(
    form: Form[object], meaning: str, *, key: str = "", default: object = MISSING, example: str = ""
) -> object:
    """Declare a field that is read from a file.

    Args:
        form: what may be written.
        meaning: one line for the reference.
        key: its name in the file, if that is not the name of the field.
        default: the value where the key is missing; without a default it is required.
        example: a value to show where a required key is missing, or where the default is not what one writes.
    """
    found = Setting(key, form, meaning, default, example)
    return dataclasses.field(default=default, metadata={"setting": found})


def settings_of(kind: type) -> dict[str, Setting]:
    """Return the settings of a dataclass by their keys in the file."""
    return {
        found.key or field.name: dataclasses.replace(found, field=field.name)
        for field in dataclasses.fields(kind)
        if (found := field.metadata.get("setting")) is not None
    }


class Section(Generic[T]):
    """The keys of one dataclass as they are in the file.

    They become the dataclass only after the checks between settings, which need the lines.

    Attributes:
        node: the whole section.
        values: by key, those without a fault; sections inside are Section objects.
        nodes: by key, also those with a fault.
    """

    def __init__(self, file: YamlFile, node: yaml.Node, kind: type[T], what: str) -> None:
        self.node = node
        self.values: dict[str, Any] = {}
        self.nodes: dict[str, yaml.Node] = {}
        self._file = file
        self._kind = kind
        self._advice: list[str] = []
        self._rest: list[object] = []
        known = settings_of(kind)
        if not isinstance(node, yaml.MappingNode):
            if isinstance(node, yaml.ScalarNode) and lacks_blank(node.value, known):
                file.fail(node, "a blank is missing behind the colon; write `name: value`")
            where = " below it, further to the right" if node.tag == _NULL else ""
            file.fail(node, f"{what} needs lines of the form `name: value`{where}, {_lines_of(known)}")
        for name, value in file.pairs(node):
            if name.value not in known:
                if (form := _form_of_rest(kind, name)) is not None:
                    with file.collected():
                        self._rest.append(form.read(file, value, name.value))
                    continue
                self._advice.append(_meant(name.value, kind, [*known, *_names_of_rest(kind)]))
                file.note(name, f"{shown(name.value)} is not a known key; {self._advice[-1]}")
                continue
            self.nodes[name.value] = value
            with file.collected():
                self.values[name.value] = known[name.value].form.read(file, value, name.value)
        for key, one in known.items():
            is_advised = any(f"`{key}" in words for words in self._advice)
            if one.default is MISSING and key not in self.nodes and not is_advised:
                file.note(node, f"{key} is missing; add a line such as `{key}: {one.example}`")

    def is_advised(self, *keys: str) -> bool:
        """True if a name that is not known was perhaps meant to be one of these keys."""
        return any(re.search(rf"[`']{key}\b", words) for words in self._advice for key in keys)

    def line(self, key: str) -> int:
        """Return the line of a key that is there, counted from 1."""
        return line_of(self.nodes[key])

    def where(self, key: str) -> str:
        """Return where a key is that is there, for messages."""
        return self._file.where(self.nodes[key])

    def build(self) -> T | None:
        """Return the dataclass, None where a required value is missing or faulty.

        A value that is a mapping sets the fields it names, as the URL of a broker does.
        """
        known = settings_of(self._kind)
        arguments: dict[str, Any] = {}
        for key, value in self.values.items():
            built = _built(value)
            if isinstance(built, Mapping):
                arguments |= built
            elif built is not None:
                arguments[known[key].field] = built
        if any(one.default is MISSING and one.field not in arguments for one in known.values()):
            return None
        if self._rest and (field := _rest_field(self._kind)) is not None:
            arguments[field.name] = _built(self._rest)
        return self._kind(**arguments)


def _lines_of(known: Mapping[str, Setting]) -> str:
    """Return which lines a section may have, with the first one that it needs as an example."""
    for key, one in known.items():
        if one.default is MISSING:
            return f"such as `{key}: {one.example}`; the keys here are: {', '.join(known)}"
    return f"with one of: {', '.join(known)}"


def _rest_field(kind: type) -> "dataclasses.Field[Any] | None":
    return next((field for field in dataclasses.fields(kind) if "rest" in field.metadata), None)


def _form_of_rest(kind: type, name: yaml.ScalarNode) -> Form[Any] | None:
    field = _rest_field(kind)
    return None if field is None else field.metadata["rest"].form_of(name)


def _names_of_rest(kind: type) -> Iterable[str]:
    field = _rest_field(kind)
    return () if field is None else field.metadata["rest"].names()


def _meant(name: str, kind: type, known: Collection[str]) -> str:
    """Return what to write instead of a name that is not known."""
    if lacks_blank(name, known):
        return "a blank is missing behind the colon; write `name: value`"
    if (stripped := name.lstrip("-\u2013\u2014\u00a0 ")) != name and stripped in known:
        return f"write blanks, or a dash and a blank, before `{stripped}`"
    if (advice := advice_for(kind.__name__, name)) is not None:
        return advice
    near = difflib.get_close_matches(name[:100].lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"the keys here are: {', '.join(known)}"


def _built(value: object) -> object:
    if isinstance(value, Section):
        return value.build()
    if isinstance(value, list):
        return tuple(built for built in map(_built, value) if built is not None)
    return value


# The forms.


def read_text(file: YamlFile, node: yaml.Node, what: str, *, may_be_hex: bool = False) -> str:
    """Return a text that is not empty.

    Args:
        file: that holds it.
        node: where it is.
        what: what is needed, for the message.
        may_be_hex: accept a text that looks like a key.

    Raises:
        UnusableFileError: it is something else, or looks like a key in the wrong place.
    """
    if not isinstance(node, yaml.ScalarNode):
        file.fail(node, f"{what} is needed here, in one line")
    value = str(node.value)
    if not value.strip() or (node.tag == _NULL and node.style is None):
        file.fail(node, f"nothing is written here; {what} is needed")
    if not value.isprintable():
        file.fail(node, f"{what} is needed here, without line breaks and invisible characters")
    if not may_be_hex and looks_like_key(value):
        file.fail(node, f"this looks like a key, which belongs in {file.key_place}; {what} is needed here")
    return value


def parsed(what: str, parse: Callable[[str], T], *, may_be_hex: bool = False) -> Form[T]:
    """Return the form of a text that a function turns into a value or refuses with a SettingError."""

    def read(file: YamlFile, node: yaml.Node, _: str) -> T:
        try:
            return parse(read_text(file, node, what, may_be_hex=may_be_hex))
        except SettingError as error:
            file.fail(node, str(error))

    return Form(what, read)


def choice(options: Iterable[T]) -> Form[T]:
    """Return the form of one of a few words, numbers or members of an enumeration."""
    by_word = {str(getattr(option, "value", option)): option for option in options}
    # Not with commas, or ten baud rates would look like a key, which `check` hides.
    listed = " or ".join(by_word)

    def read(file: YamlFile, node: yaml.Node, name: str) -> T:
        word = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if word not in by_word:
            # Only a similar word: no hint may lead to a setting that was not meant.
            near = difflib.get_close_matches(word[:100].lower(), by_word, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            file.fail(node, f"{name} is {listed}{hint}")
        return by_word[word]

    return Form(listed, read)


def number(low: int, high: int) -> Form[int]:
    """Return the form of a whole number."""
    return _number(f"a whole number from {low} to {high}", r"[0-9]{1,9}", int, low, high)


def seconds(high: int) -> Form[float]:
    """Return the form of a time in seconds, which may have decimals."""
    return _number(f"a number of seconds from 0 to {high}", r"[0-9]{1,9}(\.[0-9]{1,9})?", float, 0, high)


def decimal_number(what: str, low: int, high: int) -> Form[float]:
    """Return the form of a number that may have up to three decimals."""
    return _number(f"{what} from {low} to {high}", r"[0-9]{1,9}(\.[0-9]{1,3})?", float, low, high)


def _read_date(file: YamlFile, node: yaml.Node, name: str) -> date:
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    try:
        # Another form of ISO 8601, such as 2026-W01-1, is a typing error.
        return date.fromisoformat(text if re.fullmatch(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}", text) else "")
    except ValueError:
        file.fail(node, f"{name} is a date of this century, such as 2026-01-31")


DATE: Final[Form[date]] = Form("a date such as 2026-01-31", _read_date)


def _number(
    description: str, pattern: str, kind: Callable[[str], Number], low: int, high: int
) -> Form[Number]:
    def read(file: YamlFile, node: yaml.Node, name: str) -> Number:
        digits = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch(pattern, digits) or not low <= kind(digits) <= high:
            file.fail(node, f"{name} is {description}")
        return kind(digits)

    return Form(description, read)


def _read_boolean(file: YamlFile, node: yaml.Node, name: str, or_else: str = "") -> bool:
    word = node.value.lower() if isinstance(node, yaml.ScalarNode) else ""
    if word not in ("true", "yes", "on", "false", "no", "off"):
        file.fail(node, f"write true or false for {name}{or_else}")
    return word in ("true", "yes", "on")


BOOLEAN: Final[Form[bool]] = Form("true or false", _read_boolean)


def read_path(file: YamlFile, node: yaml.Node, what: str) -> Path:
    """Return a path; a relative one counts from the folder of the file.

    Raises:
        UnusableFileError: it is something else.
    """
    try:
        return file.folder / Path(read_text(file, node, what)).expanduser()
    except RuntimeError:
        file.fail(node, "there is no such user as the one after `~`; write the path in full")


def path(what: str) -> Form[Path]:
    """Return the form of a path; a relative one counts from the folder of the file."""
    return Form(what, lambda file, node, _: read_path(file, node, what))


def folder(what: str) -> Form[Path]:
    """Return the form of the path of a folder, which need not exist."""

    def read(file: YamlFile, node: yaml.Node, name: str) -> Path:
        found = read_path(file, node, what)
        with contextlib.suppress(OSError):  # `run` reports why the folder cannot be used
            if found.is_file():
                file.fail(node, f"{name} names a folder, and this is a file")
        return found

    return Form(what, read)


def section(kind: type[T]) -> Form[T]:
    """Return the form of a mapping with the settings of a dataclass."""

    def read(file: YamlFile, node: yaml.Node, name: str) -> Section[T]:
        return Section(file, node, kind, name)

    return Form("", read, kind)


def switch(kind: type[T]) -> Form[T | None]:
    """Return the form of a section that `true` stands for with all its defaults, and `false` for none."""

    def read(file: YamlFile, node: yaml.Node, name: str) -> Section[T] | T | None:
        if isinstance(node, yaml.MappingNode):
            return Section(file, node, kind, name)
        keys = ", ".join(settings_of(kind))
        below = f", or lines of the form `name: value` below it, with one of: {keys}"
        return kind() if _read_boolean(file, node, name, below) else None

    return Form("true or false, or its settings", read, kind)


def list_of(item: Form[T], one: str, example: str, most: int = 10_000) -> Form[tuple[T, ...]]:
    """Return the form of a list that is not empty.

    Args:
        item: the form of each item.
        one: what an item is called in messages.
        example: the first line of an item.
        most: how many there may be.
    """
    description = f"a list; begin each {one} with `- `, as in `- {example}`"

    def read(file: YamlFile, node: yaml.Node, name: str) -> list[object]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            file.fail(node, f"{name} is {description}")
        if len(node.value) > most:
            file.fail(node, f"{name} has {len(node.value)} entries; {most} are possible")
        found = []
        for each in node.value:
            with file.collected():
                found.append(item.read(file, each, f"a {one}"))
        return found

    return Form(description, read, item.section, is_list=True)


def by_name(kind: type[T], field: str, example: str, most: int = 10_000) -> Form[tuple[T, ...]]:
    """Return the form of a mapping from names to settings of a dataclass, which is not empty.

    Args:
        kind: the dataclass.
        field: the one of its fields that takes the name; it is also what the name is of.
        example: a line of the mapping.
        most: how many there may be.
    """
    description = f"a line for each {field}, such as `{example}`"

    def read(file: YamlFile, node: yaml.Node, name: str) -> list[Section[T]]:
        if not isinstance(node, yaml.MappingNode) or not node.value:
            file.fail(node, f"{name} needs {description}")
        if len(node.value) > most:
            file.fail(node, f"{name} has {len(node.value)} entries; {most} are possible")
        found = []
        for each, value in file.pairs(node):
            with file.collected():
                text = read_text(file, each, f"the name of a {field}", may_be_hex=True)
                if not isinstance(value, yaml.MappingNode):
                    file.fail(value, f"{name} needs {description}")
                one = Section(file, value, kind, name)
                one.nodes[field], one.values[field] = each, {field: text}
                found.append(one)
        return found

    return Form(description, read, kind, names=field.upper())


def one_or_list(item: Form[T], one: str, example: str, *, least: int = 0) -> Form[tuple[T, ...]]:
    """Return the form of one item, or of a list of them.

    Args:
        item: the form of each item.
        one: what an item is called in messages.
        example: an item.
        least: how many there must be.
    """
    several = list_of(item, one, example)

    def read(file: YamlFile, node: yaml.Node, name: str) -> object:
        if isinstance(node, yaml.ScalarNode):
            return [item.read(file, node, name)]
        if least == 0 and isinstance(node, yaml.SequenceNode) and not node.value:
            return []
        return several.read(file, node, name)

    return Form(f"{item.description}, or a list of them", read)
