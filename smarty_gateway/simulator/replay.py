"""Plays a recording on a simulated port, as the meter sent it.

A capture has the times of its chunks, which are kept, or shortened by a speed. A recording without
times goes out at the speed of a P1 line. It begins when somebody listens, because the first bytes
would be lost otherwise.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.signals import SignalEvent
from smarty_gateway.simulator.ports import Port
from smarty_gateway.sources.hexdump import InputDecoder, TimedBytes

_CHUNK: Final = 65536
#: 115200 baud, ten bits a byte; and as much of it as a read of a port usually gives.
_BYTES_A_SECOND: Final = 11_520
_PIECE: Final = 64
_LOOK_EVERY: Final = 0.02
_MOMENT: Final = 0.5


class ReplayError(GatewayError):
    """The recording cannot be read; the text says why."""


def replay(path: Path, port: Port, speed: float, ended: SignalEvent) -> None:
    """Play a recording once.

    Args:
        path: a capture, raw bytes, or a hex dump.
        port: where it goes.
        speed: how many seconds of the recording pass in one.
        ended: ends it early.

    Raises:
        ReplayError: there is no such recording.
    """
    while not port.is_read:
        if ended.wait(_LOOK_EVERY):
            return
    # Whoever opens a port empties it first, and what is unread when it goes away is lost; neither can
    # be seen from here.
    ended.wait(_MOMENT)
    before = 0.0
    for seconds, data in _pieces(path):
        if ended.wait(max(0.0, (seconds - before) / speed)):
            return
        before = seconds
        port.write(data)
    ended.wait(_MOMENT)


def _pieces(path: Path) -> Iterator[tuple[float, bytes]]:
    """Give the bytes of a recording, and when each piece is due from its beginning on."""
    decoder = InputDecoder()
    sent = 0
    for chunks in _chunks(path, decoder):
        for seconds, data in chunks:
            if seconds is not None:
                yield seconds, data
                continue
            for at in range(0, len(data), _PIECE):
                sent += len(data[at : at + _PIECE])
                yield sent / _BYTES_A_SECOND, data[at : at + _PIECE]


def _chunks(path: Path, decoder: InputDecoder) -> Iterator[list[TimedBytes]]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield decoder.feed_timed(chunk)
            yield decoder.finish_timed()
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from None
