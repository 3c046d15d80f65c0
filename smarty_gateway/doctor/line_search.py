"""Finds the settings of a serial line: decides which bursts are garbage, and what to try next.

Garbage is a burst that began after the port was opened, is over, and held no frame, no telegram and not
even the beginning of one. Bytes right after the opening may be the rest of a telegram that began before,
so they are not counted.
"""

from typing import Final

from smarty_gateway.doctor.signal_faults import BEGINNING, Kind, examine, looks_like_text
from smarty_gateway.sources.address import DSMR2_LINE, DSMR4_LINE, LineSettings

#: Tried in this order on a serial port while only garbage comes; M-Bus readers in Austria send at 2400 8E1.
LINES_TO_TRY: Final = (DSMR4_LINE, DSMR2_LINE, LineSettings(19200, "8N1"), LineSettings(2400, "8E1"))

#: Seconds of silence that end a burst.
_PAUSE: Final = 0.3
_GARBAGE_BYTES: Final = 30
#: This much without a telegram is garbage even if the line never pauses.
_ENDLESS_BYTES: Final = 4000
_KEPT_BYTES: Final = 16384


class LineSearch:
    """The settings of one line.

    Attributes:
        line: the present settings.
        tried: all settings used so far.
        proven: the settings at which a frame or telegram came; None before the first.
        sample: the first bytes that came at the present settings.
    """

    def __init__(self) -> None:
        self.line = DSMR4_LINE
        self.tried = [DSMR4_LINE]
        self.proven: LineSettings | None = None
        self.sample = bytearray()
        self._samples: dict[LineSettings, bytes] = {}
        self._began: float | None = None
        self._last_data: float | None = None
        self._since_proof = 0
        self._is_rest = False  # of a telegram that began before the port was opened
        self._rest = 0

    @property
    def samples(self) -> list[bytes]:
        """What came at each of the settings, the present ones first."""
        return [bytes(self.sample), *self._samples.values()]

    def begin_listening(self, now: float) -> None:
        """Record that the port was opened."""
        self._began = now
        self._last_data = None
        self._since_proof = self._rest = 0

    def take(self, data: bytes, now: float | None) -> None:
        """Take what arrived; `now` is None for a recording."""
        self.sample += data[: _KEPT_BYTES - len(self.sample)]
        if now is None or not data:
            return
        if self._last_data is None:
            self._is_rest = self._began is None or now - self._began < _PAUSE
        elif now - self._last_data >= _PAUSE:
            self._is_rest = False
        self._last_data = now
        if self._is_rest:
            self._rest += len(data)
        else:
            self._since_proof += len(data)

    def note_proof(self) -> None:
        """Record that a frame or a telegram came."""
        self._since_proof = self._rest = 0
        self.proven = self.line

    def advance(self, now: float) -> bool:
        """Change to other settings; False, with no change, while the present ones may be right."""
        if self.proven is not None or not self._is_garbage(now):
            return False
        sample = bytes(self.sample)
        if BEGINNING.search(sample):
            return False  # a damaged telegram: at other settings its beginning would not be there
        signal = examine(sample)
        if looks_like_text(sample) or (signal is not None and signal.kind is not Kind.LINE_SETTINGS):
            return False  # the speed is right, and something else is wrong
        self._samples[self.line] = sample
        guess = signal.line if signal is not None else None
        untried = [line for line in (guess, *LINES_TO_TRY) if line is not None and line not in self._samples]
        self.line = untried[0] if untried else LINES_TO_TRY[0]
        if self.line not in self.tried:
            self.tried.append(self.line)
        if not untried:
            self._samples.clear()
        self.sample.clear()
        return True

    def _is_garbage(self, now: float) -> bool:
        if self._last_data is None:
            return False
        is_over = now - self._last_data >= _PAUSE
        is_endless = self._since_proof + self._rest >= _ENDLESS_BYTES
        return is_endless or (is_over and self._since_proof >= _GARBAGE_BYTES)
