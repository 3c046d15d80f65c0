"""What an edge sends to a pool: frames and plaintext telegrams as they came, each with the time of arrival.

    01 | arrival (8) | length (4) | bytes | arrival (8) | length (4) | bytes | ...

The first byte is the version. Arrival is in milliseconds since 1970 in UTC, by the clock of the edge. All
numbers are big-endian. One message holds one frame, or several of one meter that waited.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, NamedTuple

from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.frame import HEADER_MAX, MAX_LENGTH

#: The version of this form, and the first byte of each message.
VERSION: Final = b"\x01"
#: Bytes of the longest frame or telegram.
MOST_BYTES: Final = HEADER_MAX + MAX_LENGTH
#: Bytes of the longest message; a worker of a pool has thousands of them in memory.
MESSAGE_BYTES: Final = 65_536
_HEAD: Final = Struct(">QI")


class ForwardedFormatError(GatewayError):
    """A message does not have the form of this module."""


class Forwarded(NamedTuple):
    """A frame or a plaintext telegram on its way from an edge to a pool.

    Attributes:
        arrived: milliseconds since 1970 in UTC, by the clock of the edge.
        data: its bytes, as they came.
    """

    arrived: int
    data: bytes


def pack(forwarded: Iterable[Forwarded]) -> bytes:
    """Return the message that holds these frames."""
    return VERSION + b"".join(_HEAD.pack(each.arrived, len(each.data)) + each.data for each in forwarded)


def join(messages: Iterable[bytes]) -> bytes:
    """Return one message that holds what several hold, in the same order."""
    return VERSION + b"".join(message[len(VERSION) :] for message in messages)


def unpack(message: bytes) -> list[Forwarded]:
    """Return what a message holds.

    Raises:
        ForwardedFormatError: it has another form; then nothing of it counts.
    """
    if not message.startswith(VERSION):
        raise ForwardedFormatError("the message has a version that is not known here")
    if len(message) > MESSAGE_BYTES:
        raise ForwardedFormatError(f"the message is longer than {MESSAGE_BYTES} bytes")
    found = []
    at = len(VERSION)
    while at < len(message):
        if at + _HEAD.size > len(message):
            raise ForwardedFormatError("the message is cut short")
        arrived, length = _HEAD.unpack_from(message, at)
        at += _HEAD.size
        if not 0 < length <= MOST_BYTES or at + length > len(message):
            raise ForwardedFormatError("the message states a length that it does not have")
        found.append(Forwarded(arrived, message[at : at + length]))
        at += length
    return found
