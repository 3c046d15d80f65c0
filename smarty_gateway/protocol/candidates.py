"""What the extractor takes out of a stream, before anything of it is believed, and what may become of it."""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from smarty_gateway.protocol.frame import Frame, Header
from smarty_gateway.protocol.telegram import Checksum


@dataclass(frozen=True, slots=True)
class PlainText:
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


Candidate = Frame | PlainText | Malformed


class Verdict(Protocol):
    """What a judge says of a candidate."""

    @property
    def verified(self) -> bool:
        """Whether it has verified; then its bytes are consumed, whatever else is thought of it."""
        ...


V = TypeVar("V", bound=Verdict)


@dataclass(slots=True)
class OpenFrame:
    """A frame whose header is complete and whose end may not have come; a heap of them is one by end."""

    start: int
    end: int
    header: Header
    closed: bool = False

    def __lt__(self, other: "OpenFrame") -> bool:
        return self.end < other.end


@dataclass(slots=True)
class FalseCandidate(Generic[V]):
    """A candidate that is not genuine, as long as it is not clear whether it is to be reported."""

    candidate: Candidate
    verdict: V | None
    #: reported only where a frame is due
    only_if_due: bool = False

    @property
    def start(self) -> int:
        """Give the offset of its first byte."""
        return self.candidate.offset

    @property
    def end(self) -> int:
        """Give the offset behind its last byte."""
        return self.candidate.offset + self.candidate.size


def start_of(false: FalseCandidate[V]) -> int:
    """Give where it begins; by this they are kept in order."""
    return false.start
