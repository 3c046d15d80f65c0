"""The replay rule of a gateway: a frame counter must rise. That of a pool is in `replay_window`.

It is kept per system title and key, because a meter starts at 0 again when its key is changed (Luxmetering P1
specification 1.1.3, clause 3.2.5). Gaps are normal, a passive reader misses frames; they are
counted. This is a plain value: the caller decides whether it lives for one file or in a store.
"""

from dataclasses import dataclass, field
from typing import Final, Protocol

#: Below every counter, and still a sign that frames have verified under a key: older ones stay retired.
BEGINS_ANEW: Final = -1


class ReplayRule(Protocol):
    """What tells frames that are new from frames that were seen before."""

    def has_title(self, system_title: bytes) -> bool:
        """True if a frame of this meter has ever verified."""
        ...

    def last_accepted(self, system_title: bytes, fingerprint: str) -> int | None:
        """Return the last or highest accepted counter of this meter under this key, None before the first."""
        ...

    def is_replay(self, system_title: bytes, fingerprint: str, counter: int) -> bool:
        """True if a verified frame with this counter was, or may have been, seen before."""
        ...

    def advance(self, system_title: bytes, fingerprint: str, counter: int) -> None:
        """Record the counter of a frame that is not a replay."""
        ...

    def why_replay(self, system_title: bytes, fingerprint: str, counter: int) -> str:
        """Return what is wrong with a counter that is a replay, for a person."""
        ...


@dataclass(slots=True)
class FrameCounters:
    """The highest frame counter that was accepted, per system title and key fingerprint."""

    last: dict[tuple[bytes, str], int] = field(default_factory=dict)
    #: frames that were never seen, by system title: the sum of all gaps between frames accepted here. What
    #: passed before the first of them was not missed: nobody listened, or the kept counter is an old one.
    missed: dict[bytes, int] = field(default_factory=dict, compare=False)
    _titles: set[bytes] = field(init=False, compare=False)
    _heard: set[tuple[bytes, str]] = field(init=False, compare=False, default_factory=set)

    def __post_init__(self) -> None:
        self._titles = {title for title, _ in self.last}

    @property
    def gaps(self) -> int:
        """Return how many frames of all meters were never seen."""
        return sum(self.missed.values())

    def has_title(self, system_title: bytes) -> bool:
        """True if a frame of this meter has ever verified."""
        return system_title in self._titles

    def last_accepted(self, system_title: bytes, fingerprint: str) -> int | None:
        """Return the last accepted counter of this meter under this key, None before the first."""
        return self.last.get((system_title, fingerprint))

    def is_replay(self, system_title: bytes, fingerprint: str, counter: int) -> bool:
        """True if a verified frame with this counter was, or may have been, seen before."""
        last = self.last.get((system_title, fingerprint))
        return last is not None and counter <= last

    def advance(self, system_title: bytes, fingerprint: str, counter: int) -> None:
        """Record the counter of a frame that is not a replay, and count the frames missed before it."""
        key = (system_title, fingerprint)
        if key in self._heard:
            self.missed[system_title] = self.missed.get(system_title, 0) + counter - self.last[key] - 1
        self._heard.add(key)
        self.last[key] = counter
        self._titles.add(system_title)

    def why_replay(self, system_title: bytes, fingerprint: str, counter: int) -> str:
        """Return what is wrong with a counter that is a replay, for a person."""
        last = self.last[system_title, fingerprint]
        return f"frame counter {counter} is not above {last}, the last one accepted"

    def reset(self, system_title: bytes) -> None:
        """Accept any counter of this meter next, but remember which keys have verified its frames.

        May be called by another thread than the one that reads.
        """
        for key in list(self.last):
            if key[0] == system_title:
                self._heard.discard(key)
                self.last[key] = BEGINS_ANEW
