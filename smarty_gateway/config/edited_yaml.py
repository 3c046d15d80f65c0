"""Changes single entries of keys.yaml and gateway.yaml as text, so that comments and layout stay.

PyYAML finds the places and forgets comments when it writes. Not every layout can be changed in this way, so
the caller reads the result back before it replaces a file.
"""

from collections.abc import Container, Iterable
from typing import Final

import yaml

from smarty_gateway.protocol.errors import GatewayError, KeyFormatError
from smarty_gateway.protocol.key_text import system_title_from_text

#: Of texts that end where another line begins.
_BLOCKS: Final = ("|", ">")


class UneditableError(GatewayError):
    """The file is laid out in a way that only a person can change."""


def with_key(text: str, name: str, key: str) -> str:
    """Return a key file with the key of a meter: in place of the one it has, else behind the last entry.

    Args:
        text: of the key file.
        name: of the entry, as it is to be written.
        key: in hex.

    Raises:
        UneditableError: the layout does not allow it.
    """
    keys = _child(_root(text), "keys")
    if not isinstance(keys, yaml.MappingNode):  # nothing is below `keys:`
        return _insert(text, keys, f'  {name}: "{key}"\n')
    for entry, value in keys.value:
        if _title(entry.value) == _title(name):
            old = _child(value, "encryption_key") if isinstance(value, yaml.MappingNode) else value
            if isinstance(old, yaml.CollectionNode) and not old.flow_style:
                raise UneditableError("the key of this meter is a list with a line for each")
            if isinstance(old, yaml.ScalarNode) and old.style in _BLOCKS:
                raise UneditableError("the key of this meter begins in the line below its name")
            return f'{text[: old.start_mark.index]}"{key}"{text[old.end_mark.index :]}'
    return _insert(text, keys, f'{_indent(keys)}{name}: "{key}"\n')


def with_entries(text: str, entries: Iterable[str]) -> str:
    """Return a key file with more entries behind the last; none of them may be there.

    Args:
        text: of the key file.
        entries: as they are to be written, each in one line.

    Raises:
        UneditableError: the layout does not allow it.
    """
    keys = _child(_root(text), "keys")
    return _insert(text, keys, "".join(f"{_indent(keys)}{entry}\n" for entry in entries))


def without_keys_of(text: str, titles: Container[bytes | None]) -> str:
    """Return a key file without the entries of these system titles; None stands for `any`."""
    keys = _child(_root(text), "keys")
    for entry, value in reversed(keys.value):
        if _title(entry.value) in titles:
            start = text.rfind("\n", 0, entry.start_mark.index) + 1
            text = text[:start] + text[_line_end(text, value) :]
    return text


def with_meter(text: str, lines: list[str]) -> str:
    """Return a configuration with one more meter behind the last.

    Args:
        text: of the configuration.
        lines: of the entry, without the dash and its indentation.

    Raises:
        UneditableError: the layout does not allow it.
    """
    meters = _child(_root(text), "meters")
    indent = _indent(meters)
    marks = ["- ", *["  "] * (len(lines) - 1)]
    return _insert(
        text, meters, "".join(f"{indent}{mark}{line}\n" for mark, line in zip(marks, lines, strict=True))
    )


def _root(text: str) -> yaml.Node:
    root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        raise UneditableError("the file is empty")
    return root


def _child(node: yaml.Node, name: str) -> yaml.Node:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == name:
            found: yaml.Node = value
            return found
    raise UneditableError(f"{name} is missing")


def _indent(node: yaml.Node) -> str:
    if not isinstance(node, yaml.CollectionNode) or node.flow_style:
        raise UneditableError("the entries stand in one line")
    return " " * int(node.start_mark.column)


def _title(name: str) -> bytes | str | None:
    try:
        return system_title_from_text(name)
    except KeyFormatError:
        return name


def _insert(text: str, behind: yaml.Node, new: str) -> str:
    """Insert lines behind the one in which a node ends."""
    end = _line_end(text, behind)
    gap = "" if text[:end].endswith("\n") else "\n"
    return text[:end] + gap + new + text[end:]


def _line_end(text: str, node: yaml.Node) -> int:
    """Return where the next line begins behind the last value in a node."""
    while isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        # A block ends where the next one begins, behind all comments between them.
        node = node.value[-1][1] if isinstance(node, yaml.MappingNode) else node.value[-1]
    if isinstance(node, yaml.ScalarNode) and node.style in _BLOCKS:
        return int(node.end_mark.index)
    return text.find("\n", node.end_mark.index) + 1 or len(text)
