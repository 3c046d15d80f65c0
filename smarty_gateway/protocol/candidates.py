"""What the extractor takes out of a stream, before anything of it is believed."""

from dataclasses import dataclass
from typing import Protocol

from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.telegram import Checksum


@dataclass(frozen=True, slots=True)
class PlainTelegram:
    """A text from a slash to an end line, as it stood in the stream."""

    offset: int
    size: int
    text: bytes
    checksum: Checksum


@dataclass(frozen=True, slots=True)
class Malformed:
    """A faulty or truncated header or frame where one was due."""

    offset: int
    size: int
    words: str


Candidate = Frame | PlainTelegram | Malformed


class Verdict(Protocol):
    """What a judge says of a candidate."""

    @property
    def genuine(self) -> bool:
        """Whether it has verified; then its bytes are consumed, whatever else is thought of it."""
        ...
