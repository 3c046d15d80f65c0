"""Hex dumps and captures: recognised by their beginning, and turned back into raw bytes as they come in.

People send captures in forums as hex, printed by xxd, hexdump, od or some program of their own. A dump
is known by its beginning, so a live stream of raw bytes passes at once: neither a frame (DB) nor a
telegram (/) begins like one.

A capture is known by its first line, see `capture.format`.

A dump is read in pieces, which are its lines, or blocks of lines that are too long. Where a piece ends
follows from the text alone, and each is decoded as a whole. So chunks cannot change the result, and an
endless line needs no more memory than a short one.
"""

import re
from typing import Final

from smarty_gateway.sources.capture_format import SIGNATURE, CaptureReader

_BEGINNING: Final = 512
#: The longest line of xxd (256 bytes, each in a group of its own) has 1,036 characters.
_PIECE_MAX: Final = 2048
#: hexdump writes `*` for lines that repeat. The bytes that all of them in a dump stand for are bounded: at
#: twenty characters each, they could fill any memory.
_REPEATED_MAX: Final = 1 << 24

# The possessive quantifiers (`++`) keep the time linear, whatever a line holds.
_TEXT: Final = rb"[^\x00-\x1f\x7f]*+"
_OFFSET: Final = rb"([0-9A-Fa-f]{6,16})"
#: 00000000: db08 5341 4767 7001  ..SAGgp.
_XXD: Final = re.compile(_OFFSET + rb"(?:: ((?:[0-9A-Fa-f]{2} ?)++)(?: " + _TEXT + rb")?)?")
#: 00000000  db 08 53 41 47 67 70 01  |..SAGgp.|, and od's 000000 db 08 53 41 >..SA<
_BYTES: Final = re.compile(_OFFSET + rb"(?:((?: {1,2}[0-9A-Fa-f]{2})++) *+(?:[|>]" + _TEXT + rb")?)?")
#: 0000000 08db 4153: words of 16 bits, the low byte first
_WORDS: Final = re.compile(_OFFSET + rb"((?: ++[0-9A-Fa-f]{4})++)?")
_PLAIN: Final = re.compile(rb"(?:0[xX]|[0-9A-Fa-f \t,:\-])*+")
#: What a line of any form begins with. All that matches also matches without its last character: only
#: so does the verdict on an input not depend on how much of it is seen at once.
_BEGUN: Final = re.compile(
    _PLAIN.pattern + rb"|[0-9A-Fa-f]{6,16}(?:: [0-9A-Fa-f ]*  | [0-9A-Fa-f ]*[|>])" + _TEXT + rb"|\*"
)
_ONE_DIGIT: Final = re.compile(rb"0[xX]([0-9A-Fa-f])(?![0-9A-Fa-f])")
_DIGITS: Final = b"0123456789abcdefABCDEF"
_SEPARATORS: Final = b" \t,:-"

#: Bytes, and the seconds that a capture says they came at.
TimedBytes = tuple[float | None, bytes]


class InputDecoder:
    """Passes raw bytes through, decodes hex dumps and captures. No input makes it raise an exception.

    Attributes:
        is_hex: whether the input is a hex dump; None until enough has been seen to tell.
        capture: the reader of a capture, None where the input is none, or not enough has been seen.
        unreadable_lines: how many lines of a dump or capture held something else and were skipped.
    """

    def __init__(self) -> None:
        self.is_hex: bool | None = None
        self.capture: CaptureReader | None = None
        self.unreadable_lines = 0
        self._held = b""  # what waits for a verdict, then for the rest of its line
        self._first = b""  # the first line of a dump: the second one tells how to read it
        self._form: re.Pattern[bytes] | None = None
        self._waiting = b""  # plain: a digit without its second one; words: a byte that may be padding
        self._last = b""  # the bytes of the last line, for `*`
        self._next = 0  # the offset behind them
        self._repeats = False
        self._may_repeat = _REPEATED_MAX

    def feed(self, chunk: bytes) -> bytes:
        """Read a chunk, and return all raw bytes that are known by now."""
        if self.capture is not None or self.is_hex is None:
            return b"".join([data for _, data in self.feed_timed(chunk)])
        return self._decode(chunk) if self.is_hex else chunk

    def feed_timed(self, chunk: bytes) -> list[TimedBytes]:
        """Do the same, and return the bytes of a capture with their arrival times."""
        if self.capture is None and self.is_hex is None:
            chunk, self._held = self._held + chunk, b""
            if not self._find_form(chunk):
                self._held = chunk
                return []
        if self.capture is not None:
            return self._from_capture(self.capture, chunk)
        data = self._decode(chunk) if self.is_hex else chunk
        return [(None, data)] if data else []

    def finish(self) -> bytes:
        """End the input, and return what was held back."""
        return b"".join([data for _, data in self.finish_timed()])

    def finish_timed(self) -> list[TimedBytes]:
        """Do the same, and return the bytes of a capture with their arrival times."""
        if self.capture is not None:
            chunks: list[TimedBytes] = [*self.capture.finish()]
            self.unreadable_lines = self.capture.unreadable_lines
            return chunks
        data = self._finish()
        return [(None, data)] if data else []

    def _find_form(self, beginning: bytes) -> bool:
        """Find out what the input is; False if more of it is needed."""
        if beginning.startswith(SIGNATURE):
            self.is_hex, self.capture = False, CaptureReader()
            return True
        if SIGNATURE.startswith(beginning):
            return False
        beginning = beginning[:_BEGINNING]
        if not _may_be_dump(beginning):
            self.is_hex = False
        elif len(beginning) == _BEGINNING:
            self.is_hex = bool(beginning.strip())
        return self.is_hex is not None

    def _from_capture(self, capture: CaptureReader, chunk: bytes) -> list[TimedBytes]:
        chunks: list[TimedBytes] = [*capture.feed(chunk)]
        self.unreadable_lines = capture.unreadable_lines
        return chunks

    def _finish(self) -> bytes:
        released = b""
        if self.is_hex is None:  # so nothing speaks against a dump, or it is the beginning of a comment
            self.is_hex = bool(self._held.strip()) and _may_be_dump(self._held)
            released = self._release()
        if not self.is_hex:
            return released
        released += self._decode(b"\n")
        if self._first:
            released += self._decode_first(b"")
        return released + (b"" if self._form is _PLAIN else self._take_waiting())

    def _release(self) -> bytes:
        held, self._held = self._held, b""
        return self._decode(held) if self.is_hex else held

    def _decode(self, chunk: bytes) -> bytes:
        *lines, rest = (self._held + chunk.replace(b"\r", b"\n")).split(b"\n")
        *blocks, self._held = _pieces(rest)
        pieces = [piece for line in lines for piece in _pieces(line)] + blocks
        return b"".join([self._decode_piece(piece.rstrip()) for piece in pieces])

    def _decode_piece(self, piece: bytes) -> bytes:
        if not piece:
            return b""
        if self._form is _PLAIN:
            return self._decode_plain(piece)
        if self._form is not None:
            return self._decode_row(piece, self._form)
        if self._first:
            return self._decode_first(piece) + self._decode_piece(piece)
        self._first = piece
        return b""

    def _decode_first(self, second: bytes) -> bytes:
        first, self._first = self._first, b""
        self._form = _form_of(first, second)
        return self._decode_piece(first)

    def _decode_plain(self, piece: bytes) -> bytes:
        if b"x" in piece or b"X" in piece:
            piece = _ONE_DIGIT.sub(rb"0\1", piece).replace(b"0x", b"").replace(b"0X", b"")
        digits = piece.translate(None, _SEPARATORS)
        if digits.translate(None, _DIGITS):
            self.unreadable_lines += 1
            self._waiting = b""
            return b""
        digits = self._waiting + digits
        even = len(digits) & ~1
        self._waiting = digits[even:]
        return bytes.fromhex(digits[:even].decode())

    def _decode_row(self, line: bytes, form: re.Pattern[bytes]) -> bytes:
        """Decode a line of a dump with offsets."""
        if line == b"*":
            self._repeats = True
            return b""
        row = form.fullmatch(line)
        if row is None:
            self.unreadable_lines += 1
            return b""
        offset = int(row[1], 16)
        if row[2] is None:
            # The offset behind the last line tells whether its last word was padded.
            if form is _WORDS and offset == self._next - 1:
                self._waiting = b""
            return self._take_waiting() + self._take_repeats(offset)
        before = self._take_waiting() + self._take_repeats(offset)
        data = bytes.fromhex(row[2].decode())
        if form is _WORDS:
            data = _swapped(data)
            self._waiting = data[-1:]
        self._last, self._next = data, offset + len(data)
        return before + data.removesuffix(self._waiting)

    def _take_waiting(self) -> bytes:
        waiting, self._waiting = self._waiting, b""
        return waiting

    def _take_repeats(self, offset: int) -> bytes:
        """Return the lines that a `*` stood for, which are those missing up to an offset."""
        if not self._repeats:
            return b""
        self._repeats = False
        missing = offset - self._next
        count, odd = divmod(missing, len(self._last))
        if odd or not 0 < missing <= self._may_repeat:
            self.unreadable_lines += 1
            return b""
        self._may_repeat -= missing
        return self._last * count


def _may_be_dump(beginning: bytes) -> bool:
    return all(_BEGUN.fullmatch(line) for line in beginning.splitlines())


def _pieces(line: bytes) -> list[bytes]:
    """Cut a line that is too long into blocks, behind separators, so that no `0x12` is cut in two."""
    pieces = []
    start = 0
    while len(line) - start > _PIECE_MAX:
        limit = start + _PIECE_MAX
        end = 1 + max(line.rfind(separator, start, limit) for separator in (b" ", b"\t", b",", b":", b"-"))
        end = end or limit
        pieces.append(line[start:end])
        start = end
    return [*pieces, line[start:]]


def _form_of(first: bytes, second: bytes) -> re.Pattern[bytes]:
    """Return the form of a dump, as its first two lines show it.

    What looks like an offset may be data: `DB085341 4767 7001`. It is an offset where the form of the line
    leaves no doubt, or else where the second line counts on from it.
    """
    for form in (_XXD, _BYTES, _WORDS):
        row = form.fullmatch(first)
        if row is None or row[2] is None:
            continue
        size = len(bytes.fromhex(row[2].decode()))
        sizes = (size, size - 1) if form is _WORDS else (size,)  # the last word may be padded
        following = form.fullmatch(second)
        if following and int(following[1], 16) - int(row[1], 16) in sizes:
            return form
        is_certain = (
            form is _XXD  # the colon
            or len(row[1]) % 2  # digits of whole bytes come in pairs
            or (form is _BYTES and (row[2].startswith(b"  ") or b">" in first))  # hexdump -C, od with text
        )
        if is_certain or second == b"*" or (not second and row[1] == b"000000"):  # od begins with six digits
            return form
    return _PLAIN


def _swapped(words: bytes) -> bytes:
    swapped = bytearray(words)
    swapped[0::2], swapped[1::2] = words[1::2], words[0::2]
    return bytes(swapped)
