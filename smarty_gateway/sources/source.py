"""The interface of all sources, and the two ways in which one ends.

Exceptions of the operating system and of libraries become `SourceLost` in the sources and nowhere else, with
a message that tells the user what to do. The reader decides when to open a source again.
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
    UNFIT = "unfit"  #: not a port, or it does not support the settings


class SourceLost(GatewayError):  # noqa: N818 - what happened, not a fault
    """The source is not there or was lost; it may come back. The text says why and what to do.

    Attributes:
        cause: the kind of fault; while it lasts, only its first message is shown.
    """

    def __init__(self, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
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
        """Return the bytes that have arrived, none if there are none within this many seconds.

        Raises:
            SourceLost: it has gone.
            SourceEnded: nothing more will ever come.
        """

    def close(self) -> None:
        """Close it; a second call does nothing."""

    def interrupt(self) -> None:
        """Make a `read` that waits in another thread return soon."""
