"""Shared by the tests of the core: feeding a stream in chunks, and sorting its events."""

from collections.abc import Iterable

from smarty_gateway.protocol.byte_stream import ByteStream, E
from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.identities import Identities
from smarty_gateway.protocol.key_ring import (
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
    Verification,
)
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.rejection import Rejection
from smarty_gateway.sources.parity import ParityFilter
from vectors.building_blocks import BARN_KEY, BARN_TITLE, HOUSE_KEY, HOUSE_TITLE

OTHER_KEY = bytes(range(0x40, 0x50))


def meter_key(
    key: bytes = HOUSE_KEY,
    authentication_key: bytes = LUXEMBOURG_AUTHENTICATION_KEY,
    verification: Verification = Verification.REQUIRED,
) -> MeterKey:
    """Return a key with the policy of most meters."""
    return MeterKey(Secret(key), Secret(authentication_key), verification)


def sample_keys() -> KeyRing:
    """Return the keys of the two meters of the sample recording."""
    return KeyRing({HOUSE_TITLE: [meter_key()], BARN_TITLE: [meter_key(BARN_KEY)]})


def chunks_of(data: bytes, size: int) -> Iterable[bytes]:
    """Cut data into chunks of one size."""
    return (data[start : start + size] for start in range(0, len(data), size))


def stripped(data: bytes, size: int | None = None) -> bytes:
    """Take the parity bits off a stream, in chunks of one size or as a whole."""
    parity = ParityFilter()
    return b"".join(map(parity.strip, chunks_of(data, size or len(data) or 1))) + parity.strip(b"")


def drain(stream: ByteStream[E]) -> list[E]:
    """Return all events that are ready."""
    events = []
    while (event := stream.next_event()) is not None:
        events.append(event)
    return events


def read(
    data: bytes | Iterable[bytes],
    keys: KeyRing | None = None,
    counters: FrameCounters | None = None,
    *,
    must_be_encrypted: bool = False,
) -> list[Event]:
    """Read a whole recording, in one chunk or in those given."""
    stream = MeterStream(
        sample_keys() if keys is None else keys, Identities(counters), must_be_encrypted=must_be_encrypted
    )
    events = []
    for chunk in [data] if isinstance(data, bytes) else data:
        stream.receive_data(chunk)
        events += drain(stream)
    stream.receive_silence()
    return events + drain(stream)


def telegrams(events: Iterable[Event]) -> list[MeterTelegram]:
    """Return the telegrams."""
    return [event for event in events if isinstance(event, MeterTelegram)]


def rejections(events: Iterable[Event]) -> list[Rejection]:
    """Return the rejections."""
    return [event for event in events if isinstance(event, Rejection)]


def reasons(events: Iterable[Event]) -> list[str]:
    """Return the reasons of all rejections, in order."""
    return [rejection.reason.value for rejection in rejections(events)]
