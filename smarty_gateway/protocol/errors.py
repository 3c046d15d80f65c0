"""The root of all errors that this project raises on purpose.

Any other exception that leaves the core is a bug. Faulty input raises nothing: it is an event (see
`rejection`), because the stream goes on behind a damaged frame.
"""

from typing import ClassVar


class GatewayError(Exception):
    """Something is wrong that the user can correct; the text is one line that says how.

    Attributes:
        exit_status: of a command that fails with this error; 2 stands for wrong usage.
    """

    exit_status: ClassVar[int] = 2


class KeyFormatError(GatewayError):
    """A key, a system title or a serial number is malformed."""
