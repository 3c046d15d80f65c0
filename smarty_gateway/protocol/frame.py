"""One general-glo-ciphering frame: its layout and its header.

    DB 08 | 8 bytes      | 82 hh ll | 30       | 4 bytes       | ...        | 12 bytes
          | system title | length   | security | frame counter | ciphertext | GCM tag
                                    '------------ the length counts these -----------'

Luxmetering P1 specification 1.1.3, clause 3.2.5; the length is written in one byte below 0x80, or
in one or two bytes behind 81 or 82 (IEC 61334-6). Luxembourg's meters write 82, Austria's also 81.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

TAG_SIZE: Final = 12
#: Security byte, frame counter, one byte of ciphertext, tag.
MIN_LENGTH: Final = 1 + 4 + 1 + TAG_SIZE
#: The largest length a frame may state, and the size of the longest plaintext telegram. Five text
#: messages of 2048 hex digits each make telegrams of some 12 kB legal (Luxmetering P1 1.1.3, table
#: 3.1); this bounds the extractor's buffer, too, so more would only let noise hold more memory.
MAX_LENGTH: Final = 16384
#: Suite 0, authenticated and encrypted, unicast key: the one security byte of a P1 port.
AUTHENTICATED_AND_ENCRYPTED: Final = 0x30
#: The first bytes of every frame.
FRAME_PREFIX: Final = b"\xdb\x08"
#: The longest header, with the security byte.
HEADER_MAX: Final = 14

_TITLE_SIZE: Final = 8
#: How many bytes follow a first length byte of this form. Below 0x80 it is the length itself.
_LENGTH_BYTES: Final = {0x81: 1, 0x82: 2}


class Frame(NamedTuple):
    """A complete frame; nothing of it is verified yet."""

    offset: int
    size: int
    system_title: bytes
    security: int
    frame_counter: int
    ciphertext: bytes
    tag: bytes

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.size


class Header(NamedTuple):
    """A header that is legal as a whole; the security byte may still be another one.

    Attributes:
        size: of everything before the security byte.
        length: of everything from the security byte on.
    """

    size: int
    length: int
    security: int


@dataclass(frozen=True, slots=True)
class FaultyHeader:
    """What is wrong with a header, and the number of bytes that show it."""

    size: int
    message: str


def read_header(head: bytes | bytearray) -> Header | FaultyHeader | None:
    """Return the header of a frame, None if more bytes are needed.

    Args:
        head: bytes from a `DB` on; no more than `HEADER_MAX` of them matter.
    """
    if len(head) > 1 and head[1] != _TITLE_SIZE:
        return FaultyHeader(2, f"a system title has 8 bytes, this header states {head[1]}")
    if len(head) < 11:
        return None
    form = head[10]
    if form >= 0x80 and form not in _LENGTH_BYTES:
        return FaultyHeader(11, f"a length of the form {form:02X} is not legal")
    size = 11 + _LENGTH_BYTES.get(form, 0)
    if len(head) <= size:
        return None
    length = form if size == 11 else int.from_bytes(head[11:size], "big")
    if not MIN_LENGTH <= length <= MAX_LENGTH:
        return FaultyHeader(size, f"a length of {length} bytes is not within {MIN_LENGTH} to {MAX_LENGTH}")
    return Header(size, length, head[size])


def cut_frame(offset: int, data: bytes, header: Header) -> Frame:
    """Return the fields of a complete frame, whose header was read."""
    content = header.size
    counter = int.from_bytes(data[content + 1 : content + 5], "big")
    ciphertext, tag = data[content + 5 : -TAG_SIZE], data[-TAG_SIZE:]
    return Frame(offset, len(data), data[2:10], header.security, counter, ciphertext, tag)
