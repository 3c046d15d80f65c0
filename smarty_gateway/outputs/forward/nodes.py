"""Which node of the cluster is next, and when. Pure."""

import random
from collections.abc import Sequence
from typing import Final

from smarty_gateway.config.consumers import ForwardNode
from smarty_gateway.fault_log import Backoff

#: Seconds between two rounds through all nodes.
_DELAYS: Final = (1.0, 2.0, 5.0, 10.0, 20.0)


class Nodes:
    """The nodes in a random order, so that edges spread over them, and over the others when one fails.

    Attributes:
        failures: attempts since the last acknowledgement.
    """

    def __init__(self, nodes: Sequence[ForwardNode]) -> None:
        self._nodes = random.sample(nodes, len(nodes))
        self._at = 0
        self._backoff = Backoff(*_DELAYS)
        self.failures = 0

    @property
    def current(self) -> ForwardNode:
        """The node to connect to."""
        return self._nodes[self._at]

    @property
    def is_away(self) -> bool:
        """True if no node has taken anything in a whole round."""
        return self.failures >= len(self._nodes)

    def next_after_failure(self) -> float:
        """Go on to the next node; return the seconds to wait before: none within a round."""
        self._at = (self._at + 1) % len(self._nodes)
        self.failures += 1
        return 0.0 if self.failures % len(self._nodes) else self._backoff.next_delay()

    def note_success(self) -> None:
        """Record that the current node takes messages."""
        self.failures = 0
        self._backoff.reset()
