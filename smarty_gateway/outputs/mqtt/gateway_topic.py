"""What the gateway says of itself, on `smarty/health`."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from smarty_gateway import __version__
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.outputs.output import GatewayHealth

_EVERY: Final = 60.0


class PutAside(NamedTuple):
    """What the broker refuses.

    Attributes:
        topics: that are put aside now.
        dropped: messages that were not sent for that reason, since the start.
    """

    topics: int
    dropped: int


class GatewayTopic:
    """The message, every minute and when something changes."""

    def __init__(self, root: str) -> None:
        self._topic = f"{root}/health"
        self._sent: object = None
        self._next = 0.0

    def reset(self) -> None:
        """Send it again: there is a new connection."""
        self._sent = None

    def due(self, health: GatewayHealth, put_aside: PutAside, now: float) -> Iterator[tuple[str, bytes]]:
        """Yield the message if it is due."""
        content = {
            "version": __version__,
            "put_aside": put_aside.topics,
            "counters_kept": health.counters_kept,
            "outputs": dict(health.outputs),
        }
        if content != self._sent or now >= self._next:
            self._sent, self._next = content, now + _EVERY
            yield self._topic, to_json_bytes({**content, "dropped": put_aside.dropped})
