"""Retained messages that wait to be sent: the newest of each topic, the most important first."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from smarty_gateway.outputs.outbox import TopicTest


class Rank(IntEnum):
    """The order in which messages go out.

    States come before announcements, which some brokers find too long. What the configuration names comes
    before the rest, so that invented meters cannot delay it.
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
        expiry: seconds after which the broker deletes it, if it can (MQTT 5).
    """

    topic: str
    payload: bytes
    rank: Rank
    done: Callable[[], None] | None = None
    expiry: int | None = None

    @property
    def qos(self) -> int:
        """The quality of service with which it is sent."""
        return 0 if self.rank in UNSURE else 1


class SendQueue:
    """Messages in the order of their ranks; a new one replaces an older one on its topic."""

    def __init__(self) -> None:
        self._of: dict[Rank, dict[str, Message]] = {rank: {} for rank in Rank}

    def __contains__(self, topic: str) -> bool:
        return any(topic in messages for messages in self._of.values())

    @property
    def has_sure(self) -> bool:
        """True if a message waits that must not be lost."""
        return any(messages for rank, messages in self._of.items() if rank not in UNSURE)

    def put(self, message: Message) -> None:
        """Add a message."""
        for rank, messages in self._of.items():
            if rank is not message.rank:
                messages.pop(message.topic, None)
        self._of[message.rank][message.topic] = message

    def take(self, ranks: Iterable[Rank], is_wanted: TopicTest = lambda _: True) -> Message | None:
        """Remove and return the next message of these ranks whose topic is wanted."""
        for rank in ranks:
            messages = self._of[rank]
            topic = next(filter(is_wanted, messages), None)
            if topic is not None:
                return messages.pop(topic)
        return None

    def discard(self, topic: str) -> None:
        """Remove what waits on a topic."""
        for messages in self._of.values():
            messages.pop(topic, None)
