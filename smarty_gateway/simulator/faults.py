"""Faults of a line and of a meter, which show users and tests how the gateway reacts.

No I/O: the faults are computed from what the meter would send and a random generator. A telegram has at most
one fault, so every reaction of the gateway has one cause.
"""

import random
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from smarty_gateway.protocol.errors import GatewayError

DEFAULT_RATE: Final = 0.1
_SILENT_PERIODS: Final = 3
#: The beginning of a frame, which noise holds as well.
_FALSE_PREFIX: Final = b"\xdb\x08"


class Fault(StrEnum):
    """What can go wrong, and the gateway's reaction."""

    NOISE = "noise"  #: random bytes around the telegram: counted as noise, and nothing is lost
    CUT = "cut"  #: bytes are missing in the middle or at the end: malformed, authentication, checksum
    REPLAY = "replay"  #: an earlier frame comes once more: replay
    WRONG_KEY = "wrong-key"  #: encrypted with another key: authentication
    SILENCE = "silence"  #: nothing is sent for three periods: the meter becomes unavailable


class FaultError(GatewayError):
    """There is no such fault, or its rate is not one."""


def parse_fault(text: str) -> tuple[Fault, float]:
    """Read `KIND` or `KIND=RATE`.

    Raises:
        FaultError: there is no such kind, or the rate is not from 0 to 1.
    """
    name, equals, written = text.partition("=")
    if name not in list(Fault):
        raise FaultError(f"{name!r} is not a fault; the faults are {', '.join(Fault)}")
    try:
        rate = float(written) if equals else DEFAULT_RATE
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise FaultError(
            f"{text!r}: the rate is the share of telegrams with this fault, from 0 to 1, such as {name}=0.1"
        )
    return Fault(name), rate


class FaultyLine:
    """The line of one meter.

    Args:
        rates: the share of telegrams with each fault, from 0 to 1.
        rng: decides which telegrams; the same one gives the same faults.
    """

    def __init__(self, rates: Mapping[Fault, float], rng: random.Random) -> None:
        self._rates = rates
        self._rng = rng
        self._last_whole: bytes | None = None
        self._silent_for = 0

    def next_fault(self) -> Fault | None:
        """Return the fault of the next telegram, None if it has none."""
        if self._silent_for:
            self._silent_for -= 1
            return Fault.SILENCE
        for fault, rate in self._rates.items():
            if self._rng.random() < rate:
                if fault is Fault.SILENCE:
                    self._silent_for = _SILENT_PERIODS - 1
                return fault
        return None

    def send(self, frame: bytes, fault: Fault | None) -> bytes:
        """Return the bytes that are sent for a frame; none in a silence.

        Under `WRONG_KEY` the frame must have been encrypted with the wrong key already.
        """
        if fault is Fault.SILENCE:
            return b""
        if fault is Fault.CUT:
            return self._cut(frame)
        if fault is Fault.WRONG_KEY:
            return frame
        earlier, self._last_whole = self._last_whole, frame
        if fault is Fault.REPLAY:
            # After the new frame, so that its counter is certainly too low.
            return frame + (earlier or frame)
        if fault is Fault.NOISE:
            return self._noise() + frame + self._noise()
        return frame

    def _cut(self, frame: bytes) -> bytes:
        begin = self._rng.randrange(1, len(frame) - 1)
        end = len(frame) if self._rng.random() < 0.5 else self._rng.randrange(begin + 1, len(frame))
        return frame[:begin] + frame[end:]

    def _noise(self) -> bytes:
        # FF begins neither a frame nor a telegram. Right after a frame, a faulty beginning would count as a
        # malformed frame, not as noise.
        before = self._rng.randbytes(self._rng.randrange(0, 40))
        behind = self._rng.randbytes(self._rng.randrange(8, 40))
        return b"\xff" + before + _FALSE_PREFIX + behind
