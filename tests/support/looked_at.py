"""Counts the bytes that the core looks at: a measure of its work that does not depend on the machine.

The extractor's buffer, and all that is cut out of it, become types that count what is copied, searched
and compared. The compiled patterns and the CRC in the modules of the core count, too. For a pattern it is
an upper bound: the bytes it goes over, and for each place where it may begin as many as it can match.
Not counted: decryption, which goes over each frame once, and what is read through a memoryview.
"""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final
from unittest.mock import patch

from smarty_gateway.protocol.byte_stream import ByteStream
from smarty_gateway.protocol.checksum import arc
from tests.support.streams import drain

Data = bytes | bytearray

#: Knows how a pattern begins and how much it can match. There is no public way to ask.
_PATTERN_PARSER: Any = importlib.import_module("re._parser")


class _LookedAt:
    size = 0


class _Bytes(bytes):
    """Bytes that count what is looked at; the other methods are set below."""

    def __bytes__(self) -> bytes:
        return _copy(self)

    def __reversed__(self) -> Iterator[int]:
        return reversed(memoryview(_copy(self)))


class _Buffer(bytearray):
    """A buffer that counts what is looked at; the other methods are set below."""

    def __bytes__(self) -> bytes:
        return _copy(self)

    def __reversed__(self) -> Iterator[int]:
        return reversed(memoryview(_copy(self)))


def _counting(value: object) -> object:
    """Return bytes as bytes that count, anything else as it is."""
    if type(value) is bytearray:
        return _Buffer(value)
    return _Bytes(value) if type(value) is bytes else value


def _counting_method(name: str, method: Callable[..., object]) -> Callable[..., object]:
    def count(self: Data, *arguments: object) -> object:
        result = _counting(method(self, *arguments))
        _LookedAt.size += _cost(name, self, arguments, result)
        return result

    return count


def _cost(name: str, data: Data, arguments: tuple[Any, ...], result: object) -> int:
    """Return how many bytes a call of a method looks at, in doubt all."""
    if name in {"find", "rfind"} and isinstance(result, int):
        start, end = (*arguments[1:], None, None)[:2]
        first, last, _ = slice(start, end).indices(len(data))
        if result >= 0 and name == "find":
            last = result + len(arguments[0])
        elif result >= 0:
            first = result
        return max(0, last - first)
    if name in {"startswith", "endswith", "__iadd__"}:
        return len(arguments[0])
    if name == "__getitem__":
        return len(result) if isinstance(result, Data) else 1
    return len(data) + (len(result) if isinstance(result, Data) else 0)


def _copy(data: Data) -> bytes:
    _LookedAt.size += len(data)
    return _Bytes(memoryview(data))


_METHODS: Final = {name for name in dir(bytes) if not name.startswith("_")} | {
    "__add__", "__contains__", "__eq__", "__getitem__", "__iadd__", "__iter__", "__ne__"
}  # fmt: skip
for _type, _base in ((_Bytes, bytes), (_Buffer, bytearray)):
    for _name in _METHODS & set(dir(_base)):
        setattr(_type, _name, _counting_method(_name, getattr(_base, _name)))


class _Pattern:
    """A compiled pattern that counts what is looked at."""

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        parsed = _PATTERN_PARSER.parse(pattern.pattern)
        self._longest: int = parsed.getwidth()[1]
        kind, first = parsed.data[0]
        literals = first if str(kind) == "IN" else [(kind, first)]
        assert all(str(kind) == "LITERAL" for kind, _ in literals), (
            "it may begin anywhere, which is not counted"
        )
        self._first = [bytes([byte]) for _, byte in literals]

    def match(self, data: Data, start: int = 0) -> re.Match[bytes] | None:
        _LookedAt.size += min(self._longest, len(data) - start)
        return self._pattern.match(data, start)

    def search(self, data: Data, start: int = 0) -> re.Match[bytes] | None:
        match = self._pattern.search(data, start)
        self._count(data, start, len(data) if match is None else match.end())
        return match

    def finditer(self, data: Data, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[bytes]]:
        self._count(data, start, min(end, len(data)))
        return self._pattern.finditer(data, start, end)

    def _count(self, data: Data, start: int, end: int) -> None:
        searched = memoryview(data)[start:end].tobytes()
        beginnings = sum(searched.count(byte) for byte in self._first)
        _LookedAt.size += end - start + beginnings * min(self._longest, end - start)


def _counting_arc(data: bytes) -> int:
    _LookedAt.size += len(data)
    return arc(data)


def _replacement(value: object) -> object:
    """Return what counts in place of a value of a module, None if it looks at nothing."""
    if isinstance(value, re.Pattern) and isinstance(value.pattern, bytes):
        return _Pattern(value)
    if isinstance(value, dict) and any(isinstance(each, re.Pattern) for each in value.values()):
        return {key: _replacement(each) for key, each in value.items()}
    return _counting_arc if value is arc else None


def bytes_looked_at(stream: ByteStream[Any], chunks: Iterable[bytes]) -> int:
    """Read a stream, and return how many bytes the core looked at."""
    buffers = {name: _Buffer(value) for name, value in vars(stream).items() if type(value) is bytearray}
    assert buffers, "nothing here can count"
    vars(stream).update(buffers)
    core = [module for name, module in sys.modules.items() if name.startswith("smarty_gateway.protocol.")]
    before = _LookedAt.size
    with ExitStack() as patches:
        for module in core:
            for name, value in list(vars(module).items()):
                if (replacement := _replacement(value)) is not None:
                    patches.enter_context(patch.object(module, name, replacement))
        for chunk in chunks:
            stream.receive_data(_Bytes(chunk))
            drain(stream)
    return _LookedAt.size - before
