"""What RabbitMQ has delivered and nobody has taken yet, between the two threads of a worker.

The thread of the connection must answer heartbeats, so it only puts messages in here. The other one takes
them in batches, because a transaction costs the same for one row as for a hundred. RabbitMQ bounds what
waits: it delivers no more than `PREFETCH` messages of a shard that are not acknowledged.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

#: Messages of a shard that a worker may hold. With one frame a message, all shards together take 3 MB; with
#: as many as fit into one (64 kB), which edges send after an outage, 134 MB.
PREFETCH: Final = 32
#: A batch is written once it has this many messages, this many bytes, or is this old (seconds).
BATCH_MESSAGES: Final = 500
BATCH_BYTES: Final = 1_000_000
BATCH_SECONDS: Final = 0.3


@dataclass(slots=True, eq=False)
class Subscription:
    """What delivers the messages of a shard: one channel, from its opening to its end.

    Attributes:
        channel: as the library has it; for the thread of the connection only.
        is_open: False once nothing can be acknowledged any more; RabbitMQ then delivers it again.
        waiting: its messages in the inbox.
    """

    shard: int
    channel: Any
    is_open: bool = True
    waiting: int = 0


class Delivery(NamedTuple):
    """A message.

    Attributes:
        tag: its number in the subscription; they rise.
        topic: as RabbitMQ has it, with dots; empty if it did not come by the exchange of edges.
    """

    subscription: Subscription
    tag: int
    topic: str
    body: bytes


class Inbox:
    """Takes messages from one thread and hands them to another, in order.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._bytes = 0
        self._since = 0.0
        self._is_due = False

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    def put(self, delivery: Delivery) -> None:
        """Add a message."""
        with self._changed:
            is_first = not self._waiting
            if is_first:
                self._since = self._clock()
            self._waiting.append(delivery)
            self._bytes += len(delivery.body)
            delivery.subscription.waiting += 1
            if is_first or self._is_full(delivery.subscription):
                self._is_due = self._is_due or not is_first
                self._changed.notify()

    def put_back(self, deliveries: Sequence[Delivery]) -> None:
        """Put messages that could not be written yet before all others; they are due at once."""
        if not deliveries:
            return
        with self._changed:
            self._waiting.extendleft(reversed(deliveries))
            self._bytes += sum(len(delivery.body) for delivery in deliveries)
            for delivery in deliveries:
                delivery.subscription.waiting += 1
            self._is_due = True

    def drop_what_is_over(self) -> None:
        """Drop the messages of subscriptions that are over; they come again."""
        with self._changed:
            kept = deque(delivery for delivery in self._waiting if delivery.subscription.is_open)
            self._waiting = kept
            self._bytes = sum(len(delivery.body) for delivery in kept)

    def wake(self) -> None:
        """End a `take` that waits."""
        with self._changed:
            self._is_due = True
            self._changed.notify()

    def take(self, seconds: float) -> list[Delivery]:
        """Return the messages of a batch; wait for the first one at most this long.

        What came by a subscription that is over is left out: it comes again.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_due, seconds)
            if self._waiting and not self._is_due:
                due_in = self._since + BATCH_SECONDS - self._clock()
                self._changed.wait_for(lambda: self._is_due, due_in)
            return self._taken()

    def _taken(self) -> list[Delivery]:
        taken: list[Delivery] = []
        size = 0
        while self._waiting and len(taken) < BATCH_MESSAGES and size < BATCH_BYTES:
            delivery = self._waiting.popleft()
            delivery.subscription.waiting -= 1
            size += len(delivery.body)
            if delivery.subscription.is_open:
                taken.append(delivery)
        self._bytes -= size
        self._since = self._clock()
        self._is_due = len(self._waiting) >= BATCH_MESSAGES or self._bytes >= BATCH_BYTES
        return taken

    def _is_full(self, subscription: Subscription) -> bool:
        return (
            subscription.waiting >= PREFETCH
            or len(self._waiting) >= BATCH_MESSAGES
            or self._bytes >= BATCH_BYTES
        )
