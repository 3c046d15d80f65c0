"""Reads keys.yaml and gateway.yaml, and reports every fault with its line.

YAML would turn a key of digits only, or one like 1E10…, into a number, and silently take the second of
two equal names. So this reads the nodes of YAML instead of its values: a scalar stays the text that is in
the file. Faults are collected, so that a user can correct all of them at once. No message shows what could
be a part of a key or a password.
"""

import codecs
import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

import yaml

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.yaml_faults import explain
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError


class UnusableFileError(GatewayError):
    """A file of keys or settings cannot be used; the text is one line: file, line, message.

    Attributes:
        line: counted from 1; None where the fault is that of the file as a whole.
        message: what is wrong and what to write instead.
    """

    exit_status = ExitStatus.UNUSABLE_FILE

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        self.path = path
        self.line = line
        self.message = message
        super().__init__(f"{path}:{line}: {message}" if line is not None else f"{path}: {message}")

    def __reduce__(self) -> tuple[type["UnusableFileError"], tuple[Path, int | None, str]]:
        # Pickled to another process, an exception is made again from its arguments.
        return type(self), (self.path, self.line, self.message)


def first_existing(candidates: Iterable[Path]) -> Path | None:
    """Return the first file that exists, None if none does."""
    return next((path for path in candidates if _exists(path)), None)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False  # a folder that this user cannot enter holds no file of this user


def shown(name: str) -> str:
    """Quote a name from the file, unless it could be a key in the wrong place."""
    return repr(name) if len(name) <= 24 and not re.search(r"[0-9]", name) else "this name"


class YamlFile:
    """One file as YAML nodes; every fault becomes an error with its line.

    Args:
        what: what the file is called in messages.
        error: the class of its errors.

    Attributes:
        errors: the faults found so far.
        key_place: where keys belong, for messages about a key that is elsewhere.
    """

    key_place = "keys.yaml"

    def __init__(self, path: Path, what: str, error: type[UnusableFileError] = UnusableFileError) -> None:
        self.errors: list[UnusableFileError] = []
        self.path = path
        self.folder = path.absolute().parent
        self._what = what
        self._error = error

    def compose(self) -> yaml.Node:
        """Return the root node of the file, for an empty file that of an empty mapping.

        Raises:
            UnusableFileError: it cannot be read or is not YAML; nothing of its content is shown.
        """
        try:
            data = read_small_file(self.path)
        except UnreadableFileError as error:
            self.fail(None, f"the {self._what} cannot be read: {error}")
        try:
            root = yaml.compose(self.as_yaml(data), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            self.fail(*explain(_text_of(data), error))
        except yaml.reader.ReaderError as error:
            if "special characters" in error.reason:
                line = _text_of(data).count("\n", 0, error.position) + 1
                self.fail(line, "there is an invisible control character here; type this line again")
            self.fail(None, "this is not UTF-8 text; save the file as UTF-8")
        except (yaml.YAMLError, UnicodeDecodeError):
            self.fail(None, "this is not UTF-8 text; save the file as UTF-8")
        except RecursionError:
            self.fail(None, f"this is not a {self._what}: it is nested too deeply")
        except (ValueError, OverflowError):  # PyYAML does not convert them, as for "\UFFFFFFFF"
            self.fail(None, "this is not valid YAML; look for a \\ in double quotes, or a % at the beginning")
        return root or yaml.MappingNode("", [], yaml.Mark("", 0, 0, 0, None, 0))

    def as_yaml(self, data: bytes) -> bytes:
        """Return what YAML can read for the content of the file."""
        return data

    def fail(self, place: yaml.Node | int | None, message: str) -> NoReturn:
        """Stop reading the current value; reading continues behind the enclosing `collected`.

        Raises:
            UnusableFileError: always.
        """
        raise self._new_error(place, message) from None

    def note(self, place: yaml.Node | int | None, message: str) -> None:
        """Record a fault and continue."""
        self.errors.append(self._new_error(place, message))

    @contextlib.contextmanager
    def collected(self) -> Iterator[None]:
        """Record the fault that ends the block, and continue behind it."""
        try:
            yield
        except UnusableFileError as error:
            # Tracebacks keep alive what was being read, which may be a key.
            error.__context__ = None
            self.errors.append(error.with_traceback(None))

    def pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Yield the names and values of a mapping; a repeated name is a fault."""
        lines: dict[str, int] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self.note(name, "a name is needed here, before the colon")
            elif name.value in lines:
                is_list = isinstance(value, yaml.SequenceNode)
                advice = "write all entries below that line" if is_list else "keep one of the two"
                self.note(name, f"{shown(name.value)} is already in line {lines[name.value]}; {advice}")
            else:
                lines[name.value] = line_of(name)
                yield name, value

    def where(self, node: yaml.Node) -> str:
        """Return where a node is, for messages about another one."""
        return f"line {line_of(node)}"

    def _new_error(self, place: yaml.Node | int | None, message: str) -> UnusableFileError:
        return self._error(self.path, line_of(place) if isinstance(place, yaml.Node) else place, message)


def lacks_blank(text: str, names: Iterable[str]) -> bool:
    """True if a text is `name:value` with one of these names, so that YAML took it for a name or value."""
    return text.partition(":")[0].strip() in names and ":" in text


def _text_of(data: bytes) -> str:
    """Return the text as the YAML reader counts it, with a byte order mark."""
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    return data.decode("utf-8", "replace")


def line_of(node: yaml.Node) -> int:
    """Return the line of a node, counted from 1."""
    return int(node.start_mark.line) + 1
