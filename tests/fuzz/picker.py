"""Turns any bytes into choices, so that a small change of the bytes is a small change of the input."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

#: What parsers look for: bounds of numbers, ends of lines, beginnings of frames and telegrams.
_TOKENS: Final = (
    b"\x00", b"\xff", b"\r", b"\n", b"\r\n", b" ", b"\t", b"/", b"!", b"\xdb\x08", b"\xdb", b"\xaf", b"(",
    b")", b":", b"*", b"#", b"-", b"0x", b"'", b'"', b"\\", b"%", b"[", b"{", b"&a", b"*a", b"~", b"\xc3",
    "é".encode(), "\u2028".encode(), "\u200b".encode(), "\ufeff".encode(), b"99999999999999999999",
)  # fmt: skip


class Picker:
    """Takes choices from bytes; behind their end every choice is the first one."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def has_more(self) -> bool:
        """True as long as bytes are left."""
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        """Return the next bytes, or as many as there are."""
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken

    def number(self, low: int, high: int) -> int:
        """Return a number within bounds, the bounds included."""
        span = high - low + 1
        taken = self.take((span - 1).bit_length() + 7 >> 3)
        return low + int.from_bytes(taken, "little") % span

    def one_in(self, count: int) -> bool:
        """True once in this many times."""
        return self.number(1, count) == count

    def choice(self, options: Sequence[T]) -> T:
        """Return one of a few."""
        return options[self.number(0, len(options) - 1)]

    def noise(self, count: int) -> bytes:
        """Return bytes without a pattern, which cost only a few of those that are picked from."""
        return random.Random(self.number(0, 0xFFFF)).randbytes(count)

    def items(self, most: int, make: Callable[[], T]) -> list[T]:
        """Return what a function makes, several times, as long as bytes are left."""
        found: list[T] = []
        for _ in range(self.number(1, most)):
            found.append(make())
            if not self.has_more:
                break
        return found

    def damaged(self, data: bytes, edits: int = 3) -> bytes:
        """Return data with a few bytes changed, left out, repeated or put in."""
        result = bytearray(data)
        for _ in range(self.number(1, edits)):
            at = self.number(0, len(result))
            kind = self.number(0, 5)
            if kind == 0:
                result[at : at + 1] = bytes(byte ^ 1 << self.number(0, 7) for byte in result[at : at + 1])
            elif kind == 1:
                result[at : at + 1] = self.take(1)
            elif kind == 2:
                result[at:at] = self.choice(_TOKENS)
            elif kind == 3:
                del result[at : at + self.number(1, 20)]
            elif kind == 4:
                result[at:at] = result[at : at + self.number(1, 40)]
            else:
                result[at:at] = self.take(self.number(1, 8))
        return bytes(result)

    def chunks(self, data: bytes) -> Iterator[bytes]:
        """Yield data in pieces of a few sizes that take turns."""
        most = self.choice((2, 16, 300, 3000))
        least = 1 + len(data) // 1000  # what is long would take long
        sizes = [self.number(least, least + most - 1) for _ in range(self.number(1, 4))]
        at = turn = 0
        while at < len(data):
            size = sizes[turn % len(sizes)]
            yield data[at : at + size]
            at += size
            turn += 1
