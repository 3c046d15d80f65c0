"""The format of captures: bytes of a source with their arrival times, as text (docs/capture-format.md).

    # smarty-gateway capture 1, source /dev/ttyUSB0, began 2026-11-21T07:30:00+00:00
    0.000000 db0853414767700030398202...
    0.016210 7a30000000...

Text, because people paste captures into issues and look at them with an editor, and a line per chunk,
because a capture that ends in the middle of a line (kill -9, a full disk) has lost no more than that
line. Neither the writer nor the reader touches a file.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from smarty_gateway.safe_text import printable

#: What the first line begins with; neither raw bytes of a meter nor a hex dump do.
SIGNATURE: Final = b"# smarty-gateway capture "
_VERSION: Final = 1
#: The writer splits what is larger.
_CHUNK_MAX: Final = 1 << 16
#: The longest line that is read, so that an endless one needs no more memory than this.
_LINE_MAX: Final = 1 << 18

_FIRST: Final = re.compile(re.escape(SIGNATURE) + rb"[0-9]+, source (.*), began ([^ ,]+)")
_SECONDS: Final = rb"([0-9]{1,12}(?:\.[0-9]{1,9})?)"
_LINE: Final = re.compile(_SECONDS + rb"[ \t]+([0-9A-Fa-f]++)")
#: What a line may look like that was not written to its end.
_CUT_LINE: Final = re.compile(_SECONDS + rb"(?:[ \t]+([0-9A-Fa-f]*+))?|[0-9]{1,12}\.")

#: Seconds since the beginning, and the bytes that came then.
Chunk = tuple[float, bytes]


class CaptureWriter:
    """Writes a capture, beginning with its first line.

    Args:
        write: takes the bytes of the file, whole lines at a time.
        source: what was captured, for people.
        began: the moment that all times count from; with an offset.
    """

    def __init__(self, write: Callable[[bytes], object], source: str, began: datetime) -> None:
        self._write = write
        when = began.astimezone(UTC).isoformat(timespec="milliseconds")
        first = f"{SIGNATURE.decode()}{_VERSION}, source {_one_line(source)}, began {when}\n"
        write(first.encode())

    def chunk(self, seconds: float, data: bytes) -> None:
        """Write what arrived at once."""
        for start in range(0, len(data), _CHUNK_MAX):
            self._write(f"{seconds:.6f} {data[start : start + _CHUNK_MAX].hex()}\n".encode())

    def comment(self, text: str) -> None:
        """Write a line for people."""
        self._write(f"# {_one_line(text)}\n".encode())


class CaptureReader:
    """Reads a capture as it comes in. Nothing that it is fed makes it raise.

    Attributes:
        source: what was captured, as the first line says it; "" before it was read.
        began: when, None where it does not say.
        unreadable_lines: how many lines hold something else and were skipped. A last line that was
            cut short is none of them: what is whole in it is given.
    """

    def __init__(self) -> None:
        self.source = ""
        self.began: datetime | None = None
        self.unreadable_lines = 0
        self._held = b""
        self._skips = False  # the rest of a line that is too long

    def feed(self, data: bytes) -> list[Chunk]:
        """Take a piece of the file, and give the chunks that are complete with it."""
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
        """Take note of the end of the file, and give what is whole in a last line without an end."""
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
        """Count a line that is too long; only its beginning may be here, and chunks must not matter."""
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
        """Read the first line. Of captures that were joined, the first one tells when all began."""
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
