"""The one root of all errors that this project raises on purpose.

Whatever else escapes from the core is a bug. Faulty input is no exception at all: it is an event
(see `rejection`), because a stream goes on behind a damaged frame.
"""

from typing import ClassVar


class GatewayError(Exception):
    """Something is wrong that the user can mend; the text is one line that says how.

    Attributes:
        exit_status: with which a command ends that fails by it; 2 stands for wrong usage.
    """

    exit_status: ClassVar[int] = 2


class KeyFormatError(GatewayError):
    """What was given as a key, a system title or a serial number is none."""
