"""What every source can do, and the two ways in which one ends.

Exceptions of the operating system and of libraries become `SourceLost` in the sources and nowhere
else, with words that tell a user what to do. Who reads decides when to open again.
"""

from enum import Enum
from typing import Final, Protocol

from smarty_gateway.protocol.errors import GatewayError

#: Shorter than the silence that ends a frame: what the parity filter holds back must come before it.
READ_SECONDS: Final = 1.0


class Cause(Enum):
    """Why a source cannot be read."""

    AWAY = "away"  #: pulled out, switched off, not there yet
    BUSY = "busy"
    PERMISSION = "permission"
    UNFIT = "unfit"  #: what is there is no port, or cannot do what is asked


class SourceLost(GatewayError):  # noqa: N818 - what happened, not a fault
    """The source is not there, or not any more; it may come back. The text says why and what to do.

    Attributes:
        cause: what kind of fault it is; of several words for one fault only the first are shown.
    """

    def __init__(self, words: str, cause: Cause | None = None) -> None:
        super().__init__(words)
        self.cause = cause or Cause.AWAY


class SourceEnded(GatewayError):  # noqa: N818 - what happened, not a fault
    """A recording is at its end."""


class Source(Protocol):
    """A stream of bytes that can be opened again and again."""

    def open(self) -> None:
        """Open it.

        Raises:
            SourceLost: it is not there, is in use, or may not be read.
        """

    def read(self, seconds: float = READ_SECONDS) -> bytes:
        """Give what has arrived; wait for it, but hardly longer than so many seconds, then give nothing.

        Raises:
            SourceLost: it has gone.
            SourceEnded: nothing more will ever come.
        """

    def close(self) -> None:
        """Close it; closing twice does no harm."""

    def interrupt(self) -> None:
        """Let a `read` that is waiting in another thread come back soon."""
