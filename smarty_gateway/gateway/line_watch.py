"""Watches what comes from one source: nothing, only garbage, or too much of it.

A fault is logged once when it starts and once when it clears. On a serial port whose settings nobody has
configured, garbage also means to try the other usual ones.
"""

from collections.abc import Callable
from typing import Final

from smarty_gateway.fault_log import Condition, until_it_works
from smarty_gateway.sources.address import DSMR2_LINE, DSMR4_LINE, Address, Kind, LineSettings
from smarty_gateway.sources.source import SourceLost

#: A P1 port sends every 1 or 10 s.
_SILENT_SECONDS: Final = 60.0
#: Two telegrams of a meter that sends every 10 s, and more than the rest of one that began before.
GARBAGE_SECONDS: Final = 25.0
_GARBAGE_BYTES: Final = 200
#: Longer than a busy bridge takes to say so and to close.
_STEADY_SECONDS: Final = 10.0
#: A line of 115200 baud carries 11.5 kB a second.
_FLOOD_BYTES: Final = 60_000
_FLOOD_BYTES_A_SECOND: Final = 20_000


class LineWatch:
    """The faults of one source.

    Args:
        address: of the source.
        line: its configured settings; None on a serial port means to find them.
        condition: makes one that logs a kind of fault.
        now: the time of the monotonic clock, here and in all methods.
        garbage_seconds: without a telegram, after which garbage is a fault.

    Attributes:
        line: the settings in use.
        reconnects: how often the source came back.
    """

    __slots__ = (
        "_address", "_finds_line", "_garbage", "_garbage_seconds", "_lost", "_noise_before", "_opened",
        "_proven", "_silent", "_spoke", "line", "reconnects",
    )  # fmt: skip

    def __init__(
        self,
        address: Address,
        line: LineSettings | None,
        condition: Callable[[], Condition],
        now: float,
        garbage_seconds: float,
    ) -> None:
        self.line = line or DSMR4_LINE
        self.reconnects = 0
        self._address = address
        self._garbage_seconds = garbage_seconds
        self._finds_line = line is None and address.kind is Kind.SERIAL
        self._lost = condition()
        self._silent = condition()
        self._garbage = condition()
        self._opened = self._spoke = self._proven = now
        self._noise_before = 0

    def note_open(self, now: float, noise: int) -> None:
        """Record that the source was opened; `noise` counts its noise bytes so far, here and below."""
        self._opened = self._spoke = self._proven = now
        self._noise_before = noise

    def note_lost(self, lost: SourceLost) -> None:
        """Record that the source was lost, and will be opened again."""
        self._lost.begin(until_it_works(str(lost)), lost.cause)

    def note_bytes(self, now: float) -> None:
        """Record that bytes came. The first ones do not end an outage: they may be the last ones, too."""
        self._spoke = now
        if now - self._opened >= _STEADY_SECONDS:
            self._end_outage()
        self._silent.end(f"bytes come from {self._address} again")

    def note_proof(self, now: float, noise: int) -> None:
        """Record that a frame or a telegram came through, so the line settings are right."""
        self._end_outage()
        self._proven, self._noise_before = now, noise
        if self._garbage.is_on:
            at = f" at {self.line}" if self._finds_line else ""
            advice = f"; write `speed: {self.line.speed}` and `framing: {self.line.framing}` to its entry"
            self._garbage.end(
                f"telegrams come through from {self._address}{at}{'' if self.line == DSMR4_LINE else advice}"
            )

    def look(self, now: float, noise: int) -> bool:
        """Look for silence, floods and garbage; True if the source must be opened again at `line`.

        Raises:
            SourceLost: a new connection may help.
        """
        self._look_at_silence(now)
        self._look_at_flood(now, noise)
        return self._look_at_garbage(now, noise)

    def _end_outage(self) -> None:
        self.reconnects += self._lost.is_on
        self._lost.end(f"{self._address} is back")

    def _look_at_silence(self, now: float) -> None:
        if now - self._spoke < _SILENT_SECONDS:
            return
        self._spoke = now
        if self._address.kind is not Kind.SERIAL:
            # A peer that vanished without a word looks the same; only a new connection tells.
            raise SourceLost(
                f"nothing has come for {_SILENT_SECONDS:.0f} s: is the bridge alive and plugged in?"
            )
        self._silent.begin(
            f"nothing has come from {self._address} for {_SILENT_SECONDS:.0f} s: is the cable in the "
            "meter's P1 port, and has your grid operator enabled the port?"
        )

    def _look_at_flood(self, now: float, noise: int) -> None:
        """Leave a peer that sends noise faster than any meter: what waits in between is old by then."""
        new = noise - self._noise_before
        if new > _FLOOD_BYTES and new > (now - max(self._opened, self._proven)) * _FLOOD_BYTES_A_SECOND:
            raise SourceLost("what comes is not P1 and is faster than any meter: is it a P1 bridge?")

    def _look_at_garbage(self, now: float, noise: int) -> bool:
        if now - self._proven < self._garbage_seconds or noise - self._noise_before < _GARBAGE_BYTES:
            return False
        self._proven, self._noise_before = now, noise
        if not self._finds_line:
            self._garbage.begin(
                f"what comes from {self._address} is neither a P1 telegram nor a frame: is it a P1 port, and "
                "is its speed right?"
            )
            return False
        before, self.line = self.line, DSMR2_LINE if self.line == DSMR4_LINE else DSMR4_LINE
        self._garbage.begin(
            f"only garbage comes from {self._address} at {before}; trying {self.line}. If that does not help "
            "either, look at the cable: P1 needs an inverted signal"
        )
        return True
