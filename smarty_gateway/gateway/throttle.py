"""Slows a source down by what its bytes cost, unless they turn out to be readings.

A meter's line carries 11.5 kB a second, but a peer on the network can send a thousand times as much. What
verifies is read at full speed, however many meters share a source. For everything else a source gets a share
of a processor, so that it cannot take the processor from the other meters: it is read later, and nothing is
lost.
"""

from typing import Final

#: Of one processor, for what does not verify.
_SHARE: Final = 0.1
#: Seconds of processor time that may be used at once, as for what a bridge has stored.
_BURST: Final = 1.0
#: How much of its cost counts for plaintext with a right CRC, which anybody can write. A concentrator of a
#: hundred Belgian meters takes a tenth of what that leaves, on a small computer half of it.
_PLAINTEXT: Final = 0.5
_LONGEST_WAIT: Final = 2.0


class Throttle:
    """Keeps account of one source; seconds are those of the processor unless said otherwise.

    Args:
        now: the time of the monotonic clock.
    """

    __slots__ = ("_allowance", "_charged", "_classified", "_last", "_open")

    def __init__(self, now: float) -> None:
        self._allowance = _BURST
        self._last = now
        self._open = 0.0  # spent on bytes that are not classified yet
        self._classified = 0
        self._charged = 0.0  # of the classified bytes

    def add_reading(self, size: int, *, is_authenticated: bool) -> None:
        """Record bytes that became a reading that was handed on."""
        self._classified += size
        self._charged += 0 if is_authenticated else _PLAINTEXT * size

    def add_wasted(self, size: int) -> None:
        """Record bytes that were noise, or were rejected."""
        self._classified += size
        self._charged += size

    def settle(self, cost: float, now: float) -> float:
        """Charge what was spent, and return the seconds for which the source should not be read.

        Args:
            cost: spent since the last call.
            now: the time of the monotonic clock.
        """
        self._open += cost
        self._allowance = min(_BURST, self._allowance + (now - self._last) * _SHARE)
        self._last = now
        if self._classified:
            self._allowance -= self._open * self._charged / self._classified
            self._open = self._charged = 0.0
            self._classified = 0
        return 0.0 if self._allowance >= 0 else min(_LONGEST_WAIT, -self._allowance / _SHARE)
