"""Faults of a line and of a meter, so that users and tests can see how the gateway answers.

Pure: what goes out is computed from what the meter would send and a random generator. A telegram has
one fault at most, so whatever the gateway says has one cause.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from smarty_gateway.protocol.errors import GatewayError

DEFAULT_RATE: Final = 0.1
_SILENT_PERIODS: Final = 3
#: What a line picks up: any bytes, and in their midst two that look like the beginning of a frame.
_FALSE_MARK: Final = b"\xdb\x08"


class Fault(StrEnum):
    """What can go wrong; the gateway's answer stands beside it."""

    NOISE = "noise"  #: random bytes around the telegram: counted, and nothing is lost
    CUT = "cut"  #: bytes are missing in the middle or at the end: malformed, authentication, checksum
    REPLAY = "replay"  #: an earlier frame comes once more: replay
    WRONG_KEY = "wrong-key"  #: encrypted with another key: authentication
    SILENCE = "silence"  #: nothing is sent for three periods: the meter becomes unavailable


class FaultError(GatewayError):
    """A fault was asked for that is none."""


@dataclass(frozen=True, slots=True)
class Genuine:
    """What a meter sends if nothing is wrong, and what it would under a wrong key (if it encrypts)."""

    frame: bytes
    with_wrong_key: bytes | None = None


def parse_fault(text: str) -> tuple[Fault, float]:
    """Read `KIND` or `KIND=RATE`.

    Raises:
        FaultError: there is no such kind, or the rate is not from 0 to 1.
    """
    name, equals, written = text.partition("=")
    if name not in list(Fault):
        raise FaultError(f"{name!r} is no fault; there are {', '.join(Fault)}")
    try:
        rate = float(written) if equals else DEFAULT_RATE
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= 1:
        raise FaultError(
            f"{text!r}: the rate is how many telegrams it strikes, from 0 to 1, such as {name}=0.1"
        )
    return Fault(name), rate


class FaultyLine:
    """The line of one meter.

    Args:
        rates: how many telegrams each fault strikes, from 0 to 1.
        rng: decides which; the same one gives the same faults.
    """

    def __init__(self, rates: Mapping[Fault, float], rng: random.Random) -> None:
        self._rates = rates
        self._rng = rng
        self._last_whole: bytes | None = None
        self._silent_for = 0

    def next_fault(self) -> Fault | None:
        """Decide what is wrong with the next telegram, None if nothing is."""
        if self._silent_for:
            self._silent_for -= 1
            return Fault.SILENCE
        for fault, rate in self._rates.items():
            if self._rng.random() < rate:
                if fault is Fault.SILENCE:
                    self._silent_for = _SILENT_PERIODS - 1
                return fault
        return None

    def send(self, genuine: Genuine, fault: Fault | None) -> bytes:
        """Give the bytes that go out instead of a genuine telegram; none in a silence.

        A wrong key does nothing to a meter that does not encrypt.
        """
        frame = genuine.frame
        if fault is Fault.SILENCE:
            return b""
        if fault is Fault.CUT:
            return self._cut(frame)
        if fault is Fault.WRONG_KEY and genuine.with_wrong_key is not None:
            return genuine.with_wrong_key
        earlier, self._last_whole = self._last_whole, frame
        if fault is Fault.REPLAY:
            # Behind the genuine one, so that its counter is behind for certain.
            return frame + (earlier or frame)
        if fault is Fault.NOISE:
            return self._noise() + frame + self._noise()
        return frame

    def _cut(self, frame: bytes) -> bytes:
        begin = self._rng.randrange(1, len(frame) - 1)
        end = len(frame) if self._rng.random() < 0.5 else self._rng.randrange(begin + 1, len(frame))
        return frame[:begin] + frame[end:]

    def _noise(self) -> bytes:
        # It begins as no frame and no telegram does. Right behind a frame a faulty beginning would
        # count as a frame that is malformed, and this is to be noise and nothing else.
        before = self._rng.randbytes(self._rng.randrange(0, 40))
        behind = self._rng.randbytes(self._rng.randrange(8, 40))
        return b"\xff" + before + _FALSE_MARK + behind
