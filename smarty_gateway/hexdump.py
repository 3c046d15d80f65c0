"""Tells a hex dump from raw bytes, and turns it back into them, as the input comes in.

People send captures in forums as hex, printed by xxd, hexdump, od or some program of their own. A dump
is known by its beginning, so a live stream of raw bytes passes at once: neither a frame (DB) nor a
telegram (/) begins like one.
"""

import re
from typing import Final

_BEGINNING: Final = 512
_LINE_MAX: Final = 8192
#: hexdump writes `*` for lines that repeat; a hostile dump must not make that a gigabyte.
_REPEAT_MAX: Final = 1 << 24

_TEXT: Final = rb"[\t\x20-\x7e]*"
_PLAIN: Final = re.compile(rb"(?:0[xX]|[0-9A-Fa-f]|[ \t\r,:\-])*")
#: 00000000: db08 5341 4767 7001  ..SAGgp.
_XXD: Final = re.compile(
    rb"([0-9A-Fa-f]{8,16}): ((?:[0-9A-Fa-f]{2,} )*(?:[0-9A-Fa-f]{2,})?)(?: " + _TEXT + rb")?"
)
#: 00000000  db 08 53 41 47 67 70 01  bd 54 |..SAGgp..T|
_CANONICAL: Final = re.compile(rb"([0-9A-Fa-f]{6,16}) {1,2}((?:[0-9A-Fa-f]{2} {1,2})+) *[|>]" + _TEXT)
#: 0000000 08db 4153: words of 16 bits, the low byte first
_WORDS: Final = re.compile(rb"([0-9A-Fa-f]{7})((?: +[0-9A-Fa-f]{4})+) *")
#: 000000 db 08 53 41: od -A x -t x1
_BYTES: Final = re.compile(rb"([0-9A-Fa-f]{6,8}) +((?:[0-9A-Fa-f]{2} ?)+) *")
_OFFSET_ALONE: Final = re.compile(rb"[0-9A-Fa-f]{6,16}")
#: What a line may still become.
_BEGUN: Final = (
    _PLAIN,
    re.compile(rb"[0-9A-Fa-f]{8,16}: [0-9A-Fa-f ]*  " + _TEXT + rb"\r?"),
    re.compile(rb"[0-9A-Fa-f]{6,16} [0-9A-Fa-f ]+[|>]" + _TEXT + rb"\r?"),
    re.compile(rb"\*\r?"),
)
_ONE_DIGIT: Final = re.compile(rb"0[xX]([0-9A-Fa-f])(?![0-9A-Fa-f])")
_PREFIX: Final = re.compile(rb"0[xX]")
_DIGITS: Final = b"0123456789abcdefABCDEF"
_SEPARATORS: Final = b" \t\r,:-"


class InputDecoder:
    """Passes raw bytes through, and decodes hex dumps.

    Attributes:
        is_hex: None until enough has been seen to tell.
        unreadable_lines: how many lines of a dump held something else and were skipped.
    """

    def __init__(self) -> None:
        self.is_hex: bool | None = None
        self.unreadable_lines = 0
        self._held = b""  # what waits for a decision, or for the rest of its line
        self._form: re.Pattern[bytes] | None = None
        self._waiting = b""  # half a byte in plain hex, or a byte that may be padding in words
        self._count = 0  # bytes that came out of a dump with offsets, from its first offset on
        self._last = b""  # the last line's bytes, for `*`
        self._repeats = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, and give all raw bytes that are known by now."""
        if self.is_hex is False:
            return chunk
        self._held += chunk
        if self.is_hex is None:
            beginning = self._held[:_BEGINNING]
            if not _may_be_dump(beginning):
                return self._as_raw()
            if len(beginning) < _BEGINNING:
                return b""
            self.is_hex = bool(beginning.strip())
            if not self.is_hex:
                return self._as_raw()
        return self._decode_lines()

    def finish(self) -> bytes:
        """Take note of the end of the input, and give what was held back."""
        if self.is_hex is None:
            self.is_hex = bool(self._held.strip()) and _may_be_dump(self._held)
        if not self.is_hex:
            return self._as_raw()
        self._held += b"\n"
        return self._decode_lines() + (b"" if self._form is _PLAIN else self._take_waiting())

    def _as_raw(self) -> bytes:
        self.is_hex = False
        held, self._held = self._held, b""
        return held

    def _decode_lines(self) -> bytes:
        *lines, self._held = self._held.split(b"\n")
        decoded = [self._decode_line(line) for line in lines]
        if len(self._held) > _LINE_MAX and self._form in (None, _PLAIN):
            # One endless line: cut it where no byte, and no 0x, is cut in two.
            cut = max(self._held.rfind(separator) for separator in (b" ", b",", b":", b"-"))
            cut = cut if cut > 0 else len(self._held) - 2
            decoded.append(self._decode_line(self._held[:cut]))
            self._held = self._held[cut:]
        elif len(self._held) > _LINE_MAX:
            self._held = self._held[:_LINE_MAX]  # no dump has such lines, it will be skipped
        return b"".join(decoded)

    def _decode_line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if not line.strip():
            return b""
        if self._form is None:
            forms = (_XXD, _CANONICAL, _WORDS, _BYTES)
            self._form = next((form for form in forms if form.fullmatch(line)), _PLAIN)
            if self._form is _BYTES and int(line.split()[0], 16) != 0:
                self._form = _PLAIN  # six digits, then pairs: an offset only where a dump begins
        return self._decode_plain(line) if self._form is _PLAIN else self._decode_column(self._form, line)

    def _decode_column(self, form: re.Pattern[bytes], line: bytes) -> bytes:
        """Decode a line of a dump with an offset column."""
        if line == b"*" and self._last:
            self._repeats = True
            return b""
        match = form.fullmatch(line)
        if match is not None:
            return self._decode_with_offset(int(match.group(1), 16), match.group(2))
        if _OFFSET_ALONE.fullmatch(line):
            return self._fill_up_to(int(line, 16))
        self.unreadable_lines += 1
        return b""

    def _decode_plain(self, line: bytes) -> bytes:
        if b"x" in line or b"X" in line:
            line = _PREFIX.sub(b"", _ONE_DIGIT.sub(rb"0\1", line))
        digits = line.translate(None, _SEPARATORS)
        if digits.translate(None, _DIGITS):
            self.unreadable_lines += 1
            self._waiting = b""
            return b""
        digits = self._waiting + digits
        even = len(digits) & ~1
        self._waiting = digits[even:]
        return bytes.fromhex(digits[:even].decode())

    def _decode_with_offset(self, offset: int, text: bytes) -> bytes:
        data = bytes.fromhex(text.decode())
        if self._form is _WORDS:
            data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
        if not self._last:
            self._count = offset
        filled = self._fill_up_to(offset)
        self._last = data
        if self._form is _WORDS:
            # The last word of an odd number of bytes is padded; the line behind it tells, so the
            # last byte waits for that line.
            self._waiting = data[-1:]
            data = data[:-1]
        self._count = offset + len(self._last)
        return filled + data

    def _take_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        return waiting

    def _fill_up_to(self, offset: int) -> bytes:
        """Repeat the last line for a `*`, or end a dump of words at its true length."""
        missing = offset - self._count
        if self._repeats and self._last and 0 < missing <= _REPEAT_MAX:
            self._repeats = False
            self._count = offset
            return self._take_waiting() + (self._last * (missing // len(self._last) + 1))[:missing]
        self._repeats = False
        waiting = self._take_waiting()
        return b"" if missing == -1 else waiting


def _may_be_dump(beginning: bytes) -> bool:
    """Tell whether text may be the beginning of a dump."""
    *lines, last = beginning.split(b"\n")
    forms = (_PLAIN, _XXD, _CANONICAL)
    if not any(begun.fullmatch(last) for begun in _BEGUN):
        return False
    return all(
        line.rstrip(b"\r") == b"*" or any(form.fullmatch(line.rstrip(b"\r")) for form in forms)
        for line in lines
    )
