"""What the extractor cuts out of a stream, before anything of it is believed."""

from dataclasses import dataclass
from typing import Protocol, TypeVar

from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.telegram import Checksum


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text from a slash to an end line, as it stood in the stream."""

    offset: int
    size: int
    text: bytes
    checksum: Checksum

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Malformed:
    """A faulty or truncated header or frame where one was due."""

    offset: int
    size: int
    message: str

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        return self.offset + self.size


Candidate = Frame | PlainText | Malformed


class Verdict(Protocol):
    """What a judge decides about a candidate."""

    @property
    def verified(self) -> bool:
        """True if the candidate is what it seems; its bytes are consumed, even if it is rejected."""
        ...


V = TypeVar("V", bound=Verdict)
