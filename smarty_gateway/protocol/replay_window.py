"""The replay rule of a pool: never the same frame counter twice, and none far behind the highest.

A cluster of brokers delivers again what was not acknowledged, and what comes again may overtake what came
later. So a counter need not rise here, as it must in `counters`; it is the anti-replay window of IPsec
(RFC 4303, 3.4.3):

     highest - 1024          highest - 1023                  highest
    ---------------------------|===================================|----------------
     older: refused            | within: refused if it was seen    | above: accepted

What came before the window was loaded counts as not seen. So whoever loads it must keep what was accepted
by title, key and counter, and ask that before anything follows from a frame: the primary key of the table
of readings does it.
"""

from collections.abc import Mapping
from typing import Final

#: Frames, which a meter sends every 10 s: almost three hours.
WINDOW: Final = 1024
_MASK: Final = (1 << WINDOW) - 1


class ReplayWindow:
    """The counters that were accepted, per system title and key fingerprint.

    Args:
        highest: the highest accepted counter of each.
    """

    def __init__(self, highest: Mapping[tuple[bytes, str], int]) -> None:
        # The highest counter, and behind it WINDOW bits: the lowest stands for the highest counter, the next
        # for the one before, and so on. One number takes less memory than several.
        self._states = {key: counter << WINDOW | 1 for key, counter in highest.items()}
        self._titles = {title for title, _ in highest}

    def has_title(self, system_title: bytes) -> bool:
        """True if a frame of this meter has ever verified."""
        return system_title in self._titles

    def last_accepted(self, system_title: bytes, fingerprint: str) -> int | None:
        """Return the highest accepted counter of this meter under this key, None before the first."""
        state = self._states.get((system_title, fingerprint))
        return None if state is None else state >> WINDOW

    def is_replay(self, system_title: bytes, fingerprint: str, counter: int) -> bool:
        """True if a verified frame with this counter was seen, or is older than the window."""
        state = self._states.get((system_title, fingerprint))
        if state is None:
            return False
        behind = (state >> WINDOW) - counter
        return behind >= WINDOW or (behind >= 0 and bool(state >> behind & 1))

    def advance(self, system_title: bytes, fingerprint: str, counter: int) -> None:
        """Record the counter of a frame that is not a replay."""
        key = (system_title, fingerprint)
        state = self._states.get(key)
        self._titles.add(system_title)
        if state is None:
            self._states[key] = counter << WINDOW | 1
            return
        above = counter - (state >> WINDOW)
        if above <= 0:
            self._states[key] = state | 1 << -above
            return
        # A gap longer than the window leaves none of the old ones; a shift by its length would take memory.
        seen = (state & _MASK) << above & _MASK if above < WINDOW else 0
        self._states[key] = counter << WINDOW | seen | 1

    def why_replay(self, system_title: bytes, fingerprint: str, counter: int) -> str:
        """Return what is wrong with a counter that is a replay, for a person."""
        highest = self._states[system_title, fingerprint] >> WINDOW
        if counter > highest - WINDOW:
            return f"frame counter {counter} was accepted before"
        return f"frame counter {counter} is {WINDOW} or more behind {highest}, the highest one accepted"
