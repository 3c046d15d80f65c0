"""What an edge does with the bytes of one source: it cuts frames out of them and hands them on as they came.

An edge needs no keys and judges no counter, as a forged high one would lock a meter out; the pool does both.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.frame_cutter import CutFrame, CutTelegram, FrameCutter

_MILLISECONDS: Final = 1000
#: Milliseconds by which a clock may be set back without an effect here. A pool accepts a clock that is this
#: far ahead.
_SET_BACK: Final = 60_000


class Forward(Protocol):
    """The door of the output `forward`."""

    def __call__(self, cut: CutFrame | CutTelegram, arrived: int, *, is_live: bool) -> None:
        """Take a frame or a telegram that arrived this many milliseconds after 1970."""


class Forwarding:
    """Forwards what one source brings.

    No two times of arrival are the same: of telegrams that are not encrypted, a pool knows by them which ones
    it has, and a recording or a line that was stalled brings several within a millisecond.

    Args:
        forward: takes it.
        is_live: the source is a port.
    """

    def __init__(self, forward: Forward, *, is_live: bool) -> None:
        self._forward = forward
        self._is_live = is_live
        self._cutter = FrameCutter()
        self._arrived = 0
        self._counts: dict[str, tuple[int, datetime]] = {}

    @property
    def is_waiting(self) -> bool:
        """True if bytes are here that a silence would settle."""
        return self._cutter.is_waiting

    def receive_data(self, data: bytes, now: float | None) -> bool:
        """Forward what bytes complete; True if there was anything. `now` as in `MeterStream`."""
        self._cutter.receive_data(data, now)
        has_forwarded = False
        while (cut := self._cutter.next_event()) is not None:
            self._forward(cut, self._next_arrival(), is_live=self._is_live)
            has_forwarded = True
        return has_forwarded

    def _next_arrival(self) -> int:
        now = int(time.time() * _MILLISECONDS)
        is_set_back = self._is_live and self._arrived - now > _SET_BACK
        self._arrived = now if is_set_back else max(now, self._arrived + 1)
        return self._arrived

    def count(self, name: str) -> None:
        """Count a frame that only the pool can read, for the meter with this name."""
        number, _ = self._counts.get(name, (0, None))
        self._counts[name] = number + 1, datetime.now(UTC)

    def add_to(self, *health: Mapping[str, Health]) -> None:
        """Add the counts to the health of meters: a forwarded frame is a sign of life."""
        for name, (number, last) in self._counts.copy().items():
            for found in (each[name] for each in health if name in each):
                found.telegrams += number
                found.last_telegram = max(last, found.last_telegram or last)
