"""Reads keys.yaml and gateway.yaml as people write them, with a line for every fault.

YAML would turn a key of digits only, or one like 1E10…, into a number, and quietly take the second of
two equal names. So this reads YAML's nodes instead of its values: every scalar stays the text that
stands in the file. Faults are collected, so that a user can mend all of them at once. No message ever
shows what could be a part of a key or a password.
"""

import contextlib
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import looks_like_key

_NULL: Final = "tag:yaml.org,2002:null"


class UnusableFileError(GatewayError):
    """A file of keys or settings cannot be used; the text is one line: file, line, words.

    Attributes:
        line: counted from 1; None where the fault is that of the file as a whole.
        words: what is wrong and what to write instead.
    """

    exit_status = ExitStatus.UNUSABLE_FILE

    def __init__(self, path: Path, line: int | None, words: str) -> None:
        self.path = path
        self.line = line
        self.words = words
        super().__init__(f"{path}:{line}: {words}" if line is not None else f"{path}: {words}")


def first_existing(candidates: Iterable[Path]) -> Path | None:
    """Give the first file that is there, None if there is none."""
    return next((path for path in candidates if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False  # in a folder that is not this user's business, so it is not this user's file


def shown(name: str) -> str:
    """Quote a name from the file, unless it could be a key that slipped to the wrong place."""
    return repr(name) if len(name) <= 24 and not re.search(r"[0-9]", name) else "this name"


@dataclass(frozen=True, slots=True)
class Section:
    """What a mapping with fixed names holds.

    Attributes:
        values: of the names that are there and without fault.
        nodes: of all names that are there.
    """

    node: yaml.Node
    values: dict[str, Any] = field(default_factory=dict)
    nodes: dict[str, yaml.Node] = field(default_factory=dict)


class YamlReader:
    """Walks the nodes of one file; every fault becomes an error with its line.

    Args:
        what: what the file is called in messages.
        error: the class of its errors.

    Attributes:
        errors: what was found wrong so far, in the order in which it was found.
    """

    def __init__(self, path: Path, what: str, error: type[UnusableFileError] = UnusableFileError) -> None:
        self.errors: list[UnusableFileError] = []
        self.path = path
        self._what = what
        self._error = error

    def compose(self) -> yaml.Node | None:
        """Read the file as YAML nodes, None if it is empty.

        Raises:
            UnusableFileError: it cannot be read, or is no YAML; nothing of its content is shown.
        """
        try:
            text = read_small_file(self.path)
        except UnreadableFileError as error:
            self.fail(None, f"the {self._what} cannot be read: {error}")
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words = "look at indents, quotes, colons and tabs in this line and before"
            self.fail(None if mark is None else mark.line + 1, f"this is not valid YAML; {words}")
        except (yaml.YAMLError, UnicodeDecodeError):
            self.fail(None, "this is no text in UTF-8; save it as UTF-8")
        except RecursionError:
            self.fail(None, f"this is no {self._what}, it is nested far too deeply")
        except (ValueError, OverflowError):  # PyYAML lets them through, as for "\UFFFFFFFF"
            self.fail(None, "this is not valid YAML; look for a \\ in double quotes, or for a % in front")
        return root

    def fail(self, place: yaml.Node | int | None, words: str) -> NoReturn:
        """Give up on what is being read; `collected` decides where reading goes on.

        Raises:
            UnusableFileError: always.
        """
        raise self._new_error(place, words) from None

    def note(self, place: yaml.Node | int | None, words: str) -> None:
        """Take a fault down and go on."""
        self.errors.append(self._new_error(place, words))

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Take down the fault that ends what is done inside, and go on behind it."""
        try:
            yield
        except UnusableFileError as error:
            # Without its traceback, which would keep alive what was being read: keys, perhaps.
            self.errors.append(error.with_traceback(None))

    def pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Yield names and values of a mapping; a name that stands there twice is a fault."""
        lines: dict[str, int] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self.note(name, "a name is needed here, before the colon")
            elif name.value in lines:
                words = f"stands here already in line {lines[name.value]}; keep one of the two"
                self.note(name, f"{shown(name.value)} {words}")
            else:
                lines[name.value] = line_of(name)
                yield name, value

    def mapping(self, node: yaml.Node, what: str, known: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the values of a mapping whose names are fixed; any other name is a fault.

        Raises:
            UnusableFileError: it is no mapping.
        """
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"{what} needs lines of the form `name: value`, with one of: {', '.join(known)}")
        for name, value in self.pairs(node):
            if name.value in known:
                yield name.value, value
            else:
                near = difflib.get_close_matches(name.value[:100].lower(), known, n=1, cutoff=0.0)
                self.note(name, f"{shown(name.value)} is not known here; did you mean {near[0]!r}?")

    def section(
        self, node: yaml.Node, what: str, readers: Mapping[str, Callable[[yaml.Node], object]]
    ) -> Section:
        """Read a mapping with a reader for each of its names.

        Raises:
            UnusableFileError: it is no mapping.
        """
        found = Section(node)
        for name, value in self.mapping(node, what, tuple(readers)):
            found.nodes[name] = value
            with self.collected():
                found.values[name] = readers[name](value)
        return found

    def text(self, node: yaml.Node, what: str, *, may_be_hex: bool = False) -> str:
        """Read a text that is not empty.

        Args:
            node: where it stands.
            what: what is needed, for the message.
            may_be_hex: it is no wonder if it looks like a key.

        Raises:
            UnusableFileError: it is something else, or looks like a key in the wrong place.
        """
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, f"{what} is needed here, in one line")
        text = str(node.value)
        if not text.strip() or (node.tag == _NULL and node.style is None):
            self.fail(node, f"nothing is written here; {what} is needed")
        if not text.isprintable():
            self.fail(node, f"{what} is needed here, without line breaks and unseen characters")
        if not may_be_hex and looks_like_key(text):
            self.fail(node, f"this looks like a key, which belongs in keys.yaml; {what} is needed here")
        return text

    def choice(self, node: yaml.Node, what: str, known: Iterable[str]) -> str:
        """Read one of a few words.

        Raises:
            UnusableFileError: it is none of them.
        """
        words = tuple(map(str, known))
        text = str(node.value) if isinstance(node, yaml.ScalarNode) else ""
        if text not in words:
            # Only what is much alike: no guess may lead to a setting that was not meant.
            near = difflib.get_close_matches(text[:100].lower(), words, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            self.fail(node, f"{what} is one of: {', '.join(words)}{hint}")
        return text

    def boolean(self, node: yaml.Node) -> bool:
        """Read a yes or no.

        Raises:
            UnusableFileError: it is neither.
        """
        text = node.value.lower() if isinstance(node, yaml.ScalarNode) else ""
        if text not in ("true", "yes", "on", "false", "no", "off"):
            self.fail(node, "write true or false here")
        return text in ("true", "yes", "on")

    def number(self, node: yaml.Node, what: str, low: int, high: int) -> int:
        """Read a whole number.

        Raises:
            UnusableFileError: it is none, or outside these bounds.
        """
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            self.fail(node, f"{what} is a whole number from {low} to {high}")
        return int(text)

    def _new_error(self, place: yaml.Node | int | None, words: str) -> UnusableFileError:
        return self._error(self.path, line_of(place) if isinstance(place, yaml.Node) else place, words)


def line_of(node: yaml.Node) -> int:
    """Give the line of a node, counted from 1."""
    return int(node.start_mark.line) + 1
