"""Messages that wait to be sent: the newest of each topic, and those that matter most first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final


class Rank(IntEnum):
    """The order in which messages go out.

    States come before announcements, which some brokers find too long. What the configuration names
    comes before the rest, so that nobody can delay it by inventing meters.
    """

    FIRST = 0
    STATE = 1
    ANNOUNCEMENT = 2
    UNSURE = 3  # QoS 0
    OTHERS_FIRST = 4
    OTHERS_STATE = 5
    OTHERS_ANNOUNCEMENT = 6
    OTHERS_UNSURE = 7

    @property
    def of_others(self) -> "Rank":
        """The same for a meter that the configuration does not name."""
        return Rank(self % 4 + 4)


NAMED: Final = tuple(Rank)[:4]
OTHERS: Final = tuple(Rank)[4:]
UNSURE: Final = (Rank.UNSURE, Rank.OTHERS_UNSURE)


@dataclass(frozen=True, slots=True)
class Message:
    """A retained message.

    Attributes:
        done: is called when the broker has it.
    """

    topic: str
    payload: bytes
    rank: Rank
    done: Callable[[], None] | None = None

    @property
    def qos(self) -> int:
        """The quality of service with which it is sent."""
        return 0 if self.rank in UNSURE else 1


class Line:
    """Messages in the order of their ranks; a new one takes the place of an older one on its topic."""

    def __init__(self) -> None:
        self._of: dict[Rank, dict[str, Message]] = {rank: {} for rank in Rank}

    def __contains__(self, topic: str) -> bool:
        return any(topic in messages for messages in self._of.values())

    def has(self, ranks: Iterable[Rank]) -> bool:
        """True if there is a message of one of these ranks."""
        return any(self._of[rank] for rank in ranks)

    def put(self, message: Message) -> None:
        """Add a message."""
        for rank, messages in self._of.items():
            if rank is not message.rank:
                messages.pop(message.topic, None)
        self._of[message.rank][message.topic] = message

    def take(self, ranks: Iterable[Rank]) -> Message | None:
        """Remove and return the next message of these ranks."""
        for rank in ranks:
            if messages := self._of[rank]:
                return messages.pop(next(iter(messages)))
        return None

    def discard(self, topic: str) -> None:
        """Remove what waits on a topic."""
        for messages in self._of.values():
            messages.pop(topic, None)

    def clear(self) -> None:
        """Remove everything."""
        for messages in self._of.values():
            messages.clear()
