"""Which topic may send next, and which one makes the nodes hang up. Pure: topics and the time go in.

Each topic has one message in flight at most, so its frames stay in order. MQTT 3.1.1 can refuse a message
only by closing the connection: RabbitMQ does that when the queue of a shard is full, and for a topic that the
user may not write to. The message must neither be lost nor keep the other topics from their turn:

    hang-up --another one with the same topics in flight--> suspects, which go one at a time, after the others
    alone in flight and hang-up for the second time--> held for 10 s, then 30 s … 5 min, and tried alone again
    acknowledged--> as if nothing had been

A node that dies hangs up, too; the second hang-up tells the two apart.
"""

from dataclasses import dataclass, field
from typing import Final

#: Seconds that a topic is held, after one hang-up after the other.
_HELD_FOR: Final = (10.0, 30.0, 60.0, 120.0, 300.0)
#: Seconds on a new connection in which the others go before the suspects.
_OTHERS_FIRST: Final = 1.0


@dataclass(slots=True)
class _Suspect:
    hang_ups: int = 0  # while it was alone in flight
    until: float = field(default=float("-inf"))  # it is held


class Turns:
    """The topics that are in flight, suspected and held.

    Args:
        window: how many messages may be in flight.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._in_flight: set[str] = set()
        self._before: frozenset[str] = frozenset()  # in flight at the last hang-up, not acknowledged since
        self._late: frozenset[str] = frozenset()  # not acknowledged in time: they come after the others
        self._suspects: dict[str, _Suspect] = {}
        self._others_until = float("-inf")

    @property
    def in_flight(self) -> int:
        """The number of messages in flight."""
        return len(self._in_flight)

    @property
    def has_held(self) -> bool:
        """True if the nodes refuse a topic."""
        return any(suspect.hang_ups > 1 for suspect in self._suspects.values())

    def is_held(self, topic: str, now: float) -> bool:
        """True if the messages of a topic must wait."""
        suspect = self._suspects.get(topic)
        return suspect is not None and now < suspect.until

    def is_turn(self, topic: str, now: float) -> bool:
        """True if a message of this topic may go out beside others."""
        return self._has_room(topic) and topic not in self._late and not self._is_trial_due(now)

    def is_late_turn(self, topic: str, now: float) -> bool:
        """Like `is_turn`, for a topic that was not acknowledged in time on the connection before."""
        return self._has_room(topic) and not self._is_trial_due(now)

    def is_trial(self, topic: str) -> bool:
        """True if a message of this topic may go out alone."""
        return not self._in_flight and topic in self._suspects

    def _has_room(self, topic: str) -> bool:
        is_free = topic not in self._in_flight and topic not in self._suspects
        return (
            is_free
            and len(self._in_flight) < self._window
            and self._suspects.keys().isdisjoint(self._in_flight)
        )

    def _is_trial_due(self, now: float) -> bool:
        return now >= self._others_until and any(now >= each.until for each in self._suspects.values())

    def note_connected(self, now: float) -> None:
        """Record that a node has accepted the connection."""
        self._others_until = now + _OTHERS_FIRST

    def note_sent(self, topic: str) -> None:
        """Record that a message is in flight."""
        self._in_flight.add(topic)

    def note_no_trial(self, now: float, *, is_empty: bool = False) -> None:
        """Record that nothing of a suspect could be sent: the others need not wait for it.

        Args:
            now: the time.
            is_empty: there is no message of any topic, as where the outbox was full, and so no suspect.
        """
        self._others_until = now + _OTHERS_FIRST
        if is_empty:
            self._suspects.clear()

    def note_acknowledged(self, topic: str) -> bool:
        """Record that a node has a message; True if the topic was held before."""
        self._in_flight.discard(topic)
        self._before -= {topic}
        self._late -= {topic}
        suspect = self._suspects.pop(topic, None)
        return suspect is not None and suspect.hang_ups > 1

    def note_end(self) -> None:
        """Record that the connection has ended, and no message is to blame."""
        self._in_flight.clear()

    def note_silence(self) -> None:
        """Record that the connection was given up because no acknowledgement came.

        A suspect that was alone in flight is none: it makes nobody hang up.
        """
        self._late |= self._in_flight
        for topic in self._in_flight:
            self._suspects.pop(topic, None)
        self._in_flight.clear()

    def note_hang_up(self, now: float) -> str | None:
        """Record that the node has closed the connection; return a topic that is held from now on."""
        flying, self._in_flight = frozenset(self._in_flight), set()
        again, self._before = flying & self._before, flying
        if len(flying) != 1:
            for topic in sorted(again):
                self._suspects.setdefault(topic, _Suspect())
            return None
        (topic,) = flying
        if topic not in self._suspects and not again:
            return None
        suspect = self._suspects.setdefault(topic, _Suspect(1))
        suspect.hang_ups += 1
        if suspect.hang_ups < 2:
            return None
        suspect.until = now + _HELD_FOR[min(suspect.hang_ups - 2, len(_HELD_FOR) - 1)]
        return topic if suspect.hang_ups == 2 else None
