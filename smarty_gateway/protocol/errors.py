"""The one root of all errors that this project raises on purpose.

Whatever else escapes from the core is a bug. Faulty input is no exception at all: it is an event
(see `rejection`), because a stream goes on behind a damaged frame.
"""


class GatewayError(Exception):
    """Something is wrong that the user can mend; the text is one line that says how."""


class KeyFormatError(GatewayError):
    """What was given as a key, a system title or a serial number is none."""
