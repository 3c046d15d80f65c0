"""Parity bits: text that is sent with seven bits and even parity (7E1), and read with eight bits (8N1).

Ports of DSMR 2.2 and 3.0 send 7E1. Read with eight bits, half of the characters have bit 7 set:

    / I S k 5 CR LF ! CR LF    is sent as    AF C9 53 EB 35 8D 0A 21 8D 0A

The filter replaces bytes one by one, so offsets stay what they are.
"""

import re
from typing import Final

from smarty_gateway.protocol.meter import MeterStream

_SLASH: Final = b"\xaf"
_FRAME_PREFIX: Final = b"\xdb\x08"
_CHARACTERS: Final = (0x00, 0x09, 0x0A, 0x0D, *range(0x20, 0x7F))
_WITH_PARITY: Final = bytes(byte | byte.bit_count() % 2 << 7 for byte in _CHARACTERS)
_WITHOUT_PARITY: Final = bytes(byte & 0x7F for byte in range(256))
#: Text up to the first byte that has no even parity, is no character, or begins a frame.
_TEXT: Final = re.compile(rb"(?:(?!%b)[%b])*+" % (re.escape(_FRAME_PREFIX), re.escape(_WITH_PARITY)))
#: Text this long that begins with a slash proves that there are parity bits. Random bytes, which a
#: ciphertext is, look like this once in 10^16.
_PROOF: Final = 32


class ParityFilter:
    """Takes the parity bits off the telegrams of a stream, and touches nothing else.

    It is on from a slash with a parity bit that begins `_PROOF` bytes of text with parity bits, to the
    first byte that contradicts it. Until it is known which, at most `_PROOF` bytes are held back; a frame
    that verifies with them need not wait (`complete_frame`).
    """

    def __init__(self) -> None:
        self._is_on = False
        self._held = b""

    @property
    def is_holding(self) -> bool:
        """True if bytes are held back; they belong to a frame if nothing follows them soon."""
        return bool(self._held)

    def strip(self, data: bytes) -> bytes:
        """Return the bytes without parity bits, as far as they are known; of no bytes those held back."""
        if not data:
            held, self._held = self._held, b""
            return held
        if not self._is_on and not self._held and _SLASH not in data:
            return data
        data, self._held = self._held + data, b""
        out = bytearray()
        at = 0
        while at < len(data):
            if not self._is_on:
                slash = data.find(_SLASH, at)
                out += data[at:] if slash < 0 else data[at:slash]
                at = len(data) if slash < 0 else slash
            at = self._strip_text(data, at, out)
        return bytes(out)

    def complete_frame(self, stream: MeterStream) -> bytes:
        """Hand a stream what its open frame lacks of the bytes held back, if it verifies; return that.

        One frame in 176 ends in what may be the beginning of a text with parity bits.
        """
        if not self._held:
            return b""
        taken = stream.complete_frame(self._held)
        complete, self._held = self._held[:taken], self._held[taken:]
        return complete

    def _strip_text(self, data: bytes, start: int, out: bytearray) -> int:
        """Append the text that starts here; return where to go on."""
        end = _TEXT.match(data, start).end()  # type: ignore[union-attr]  # matches no bytes, too
        is_open = end == len(data)
        if is_open and data.endswith(_FRAME_PREFIX[:1], start):
            end -= 1  # a frame may begin here
        if end - start >= _PROOF:
            self._is_on = True
        if not self._is_on and is_open:
            end = start
        out += data[start:end].translate(_WITHOUT_PARITY) if self._is_on else data[start:end]
        if is_open:
            self._held = data[end:]
            return len(data)
        self._is_on = False
        return end
