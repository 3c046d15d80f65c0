"""Plays a recording on a simulated port, as the meter sent it.

A capture has the times of its chunks, which are kept, or divided by a speed. A recording without times is
sent at the speed of a P1 line. The replay starts when a reader is there; before, bytes would be lost.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.signals import SignalEvent
from smarty_gateway.simulator.ports import Port
from smarty_gateway.sources.hexdump import InputDecoder, TimedBytes

_CHUNK: Final = 65536
#: 115200 baud, ten bits a byte.
_BYTES_A_SECOND: Final = 11_520
#: The bytes that one read of a port usually returns.
_PIECE: Final = 64
_POLL_SECONDS: Final = 0.02
_SETTLING_SECONDS: Final = 0.5


class ReplayError(GatewayError):
    """The recording cannot be read; the text says why."""


def replay(path: Path, port: Port, speed: float, ended: SignalEvent) -> None:
    """Play a recording once.

    Args:
        path: a capture, raw bytes, or a hex dump.
        port: the port to send on.
        speed: how many seconds of the recording pass in one.
        ended: ends the replay early.

    Raises:
        ReplayError: there is no such recording.
    """
    while not port.is_read:
        if ended.wait(_POLL_SECONDS):
            return
    # A reader flushes the port after opening it, and loses unread bytes when the port closes. Neither can be
    # observed from here, so both get some time.
    ended.wait(_SETTLING_SECONDS)
    before = 0.0
    for seconds, data in _pieces(path):
        if ended.wait(max(0.0, (seconds - before) / speed)):
            return
        before = seconds
        port.write(data)
    ended.wait(_SETTLING_SECONDS)


def _pieces(path: Path) -> Iterator[tuple[float, bytes]]:
    """Yield the pieces of a recording, and the second at which each is due."""
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
