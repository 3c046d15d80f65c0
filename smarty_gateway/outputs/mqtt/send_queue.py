"""Messages that wait to be sent: the newest of each topic or slot, the most important first."""

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
    """A message of which only the newest counts.

    Attributes:
        done: is called when the broker has it.
        expiry: seconds after which the broker deletes it, if it can (MQTT 5).
        slot: of a message that is not retained, as several may have one topic: it replaces those of its slot.
    """

    topic: str
    payload: bytes
    rank: Rank
    done: Callable[[], None] | None = None
    expiry: int | None = None
    slot: str = ""

    @property
    def key(self) -> str:
        """What it shares with the messages that it replaces."""
        return self.slot or self.topic

    @property
    def is_retained(self) -> bool:
        """True if the broker shall keep it."""
        return not self.slot

    @property
    def qos(self) -> int:
        """The quality of service with which it is sent."""
        return 0 if self.rank in UNSURE else 1


class SendQueue:
    """Messages in the order of their ranks; a new one replaces an older one with its key."""

    def __init__(self) -> None:
        self._of: dict[Rank, dict[str, Message]] = {rank: {} for rank in Rank}

    def __contains__(self, key: str) -> bool:
        return any(key in messages for messages in self._of.values())

    @property
    def has_sure(self) -> bool:
        """True if a message waits that must not be lost."""
        return any(messages for rank, messages in self._of.items() if rank not in UNSURE)

    def put(self, message: Message) -> None:
        """Add a message."""
        for rank, messages in self._of.items():
            if rank is not message.rank:
                messages.pop(message.key, None)
        self._of[message.rank][message.key] = message

    def take(self, ranks: Iterable[Rank], is_wanted: TopicTest = lambda _: True) -> Message | None:
        """Remove and return the next message of these ranks whose topic is wanted."""
        for rank in ranks:
            messages = self._of[rank]
            key = next((key for key, message in messages.items() if is_wanted(message.topic)), None)
            if key is not None:
                return messages.pop(key)
        return None

    def discard(self, key: str) -> None:
        """Remove the message with this key, such as that of a topic."""
        for messages in self._of.values():
            messages.pop(key, None)
