"""A budget for the telegrams that are kept.

Anyone who can write to a source can invent meters and send without pause. Neither may fill memory, disk or
broker.
"""

import logging
from typing import Final

_log = logging.getLogger(__name__)

#: A P1 port delivers 11.5 kB a second at most.
_BYTES_A_SECOND: Final = 25_000
#: A day of a meter that sends 2 kB every 10 s, which a bridge may have stored and deliver at once.
_BURST: Final = 17_000_000
#: For all meters together that no entry names.
_BURST_OF_OTHERS: Final = 2_000_000
_OTHERS: Final = ""


class TelegramBudget:
    """How many bytes of telegrams each meter may add to the outbox. Time is an argument.

    Attributes:
        dropped: telegrams beyond the budget.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._left: dict[str, tuple[float, float]] = {}  # bytes, and since when

    def allows(self, topic: str, size: int, now: float) -> bool:
        """True if a telegram is within the budget, and then counted.

        Args:
            topic: of a configured meter; "" for any other.
            size: in bytes.
            now: seconds.
        """
        most = _BURST if topic != _OTHERS else _BURST_OF_OTHERS
        left, since = self._left.get(topic, (most, now))
        left = min(float(most), left + (now - since) * _BYTES_A_SECOND)
        is_allowed = left >= size
        self._left[topic] = (left - size if is_allowed else left, now)
        if not is_allowed:
            if not self.dropped:
                _log.error(
                    "%s sends more telegrams than any meter can; those beyond are left out of the history",
                    topic or "a meter that gateway.yaml does not name",
                )
            self.dropped += 1
        return is_allowed
