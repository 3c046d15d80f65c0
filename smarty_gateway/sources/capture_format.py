"""Reads and writes captures: bytes of a source with their arrival times, as text (docs/capture-format.md).

    # smarty-gateway capture 1, source /dev/ttyUSB0, began 2026-11-21T07:30:00+00:00
    0.000000 db0853414767700030398202...
    0.016210 7a30000000...

Text can be pasted into issues and read in an editor. With a line for each chunk, a capture that ends in the
middle of a line (kill -9, a full disk) has lost no more than that line. No I/O.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from smarty_gateway.safe_text import printable

#: The beginning of the first line, by which a capture is told from raw bytes and hex dumps.
SIGNATURE: Final = b"# smarty-gateway capture "
_VERSION: Final = 1
#: The writer splits larger chunks.
_CHUNK_MAX: Final = 1 << 16
#: The longest line that is read, which bounds the memory that a line can take.
_LINE_MAX: Final = 1 << 18

_FIRST: Final = re.compile(re.escape(SIGNATURE) + rb"[0-9]+, source (.*), began ([^ ,]+)")
_SECONDS: Final = rb"([0-9]{1,12}(?:\.[0-9]{1,9})?)"
_LINE: Final = re.compile(_SECONDS + rb"[ \t]+([0-9A-Fa-f]++)")
#: A last line that was not written to its end.
_CUT_LINE: Final = re.compile(_SECONDS + rb"(?:[ \t]+([0-9A-Fa-f]*+))?|[0-9]{1,12}\.")

#: Seconds since the beginning, and the bytes that arrived then.
Chunk = tuple[float, bytes]


class CaptureWriter:
    """Writes a capture, starting with its first line.

    Args:
        write: is called with whole lines of the file.
        source: what is captured, in human-readable form.
        began: the moment from which all times count; with an offset.
    """

    def __init__(self, write: Callable[[bytes], object], source: str, began: datetime) -> None:
        self._write = write
        when = began.astimezone(UTC).isoformat(timespec="milliseconds")
        first = f"{SIGNATURE.decode()}{_VERSION}, source {_one_line(source)}, began {when}\n"
        write(first.encode())

    def chunk(self, seconds: float, data: bytes) -> None:
        """Write bytes that arrived together."""
        for start in range(0, len(data), _CHUNK_MAX):
            self._write(f"{seconds:.6f} {data[start : start + _CHUNK_MAX].hex()}\n".encode())

    def comment(self, text: str) -> None:
        """Write a comment line."""
        self._write(f"# {_one_line(text)}\n".encode())


class CaptureReader:
    """Reads a capture as it comes in. It never raises, whatever it is fed.

    Attributes:
        source: what was captured, according to the first line; "" before that was read.
        began: when it began; None if the first line does not say.
        unreadable_lines: how many lines were skipped because they hold something else. A last line that
            was cut short is not counted: its complete bytes are returned.
    """

    def __init__(self) -> None:
        self.source = ""
        self.began: datetime | None = None
        self.unreadable_lines = 0
        self._held = b""
        self._skips = False  # the rest of a line that is too long

    def feed(self, data: bytes) -> list[Chunk]:
        """Take a piece of the file, and return the chunks that it completes."""
        *lines, self._held = (self._held + data).split(b"\n")
        if lines and self._skips:
            self._skips = False
            lines = lines[1:]
        chunks = [chunk for line in lines if (chunk := self._read(line)) is not None]
        if self._skips:
            self._held = b""
        elif len(self._held) > _LINE_MAX:
            self._count_long(self._held)
            self._held = b""
            self._skips = True
        return chunks

    def finish(self) -> list[Chunk]:
        """End the file, and return the complete bytes of a last line without an end."""
        line, self._held = self._held.strip(), b""
        if not line or line.startswith(b"#") or self._skips:
            return []
        match = _CUT_LINE.fullmatch(line)
        if match is None:
            self.unreadable_lines += 1
            return []
        digits = match[2] or b""
        data = bytes.fromhex(digits[: len(digits) & ~1].decode())
        return [(float(match[1]), data)] if data else []

    def _count_long(self, line: bytes) -> None:
        """Count a line that is too long, by its beginning alone, so that the pieces do not matter."""
        self.unreadable_lines += not line.startswith(b"#")

    def _read(self, line: bytes) -> Chunk | None:
        if len(line) > _LINE_MAX:
            self._count_long(line)
            return None
        line = line.strip()
        if line.startswith(b"#"):
            self._read_comment(line)
            return None
        if not line:
            return None
        match = _LINE.fullmatch(line)
        if match is None or len(match[2]) % 2:
            self.unreadable_lines += 1
            return None
        return float(match[1]), bytes.fromhex(match[2].decode())

    def _read_comment(self, line: bytes) -> None:
        """Read the first line. For captures that were joined, that of the first one holds."""
        match = _FIRST.fullmatch(line)
        if match is None or self.source:
            return
        self.source = match[1].decode(errors="replace")
        try:
            began = datetime.fromisoformat(match[2].decode("ascii", "replace"))
        except ValueError:
            return
        self.began = began if began.tzinfo else began.replace(tzinfo=UTC)


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
