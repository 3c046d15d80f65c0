"""How much of a meter goes into the history: as much as a meter sends, and what a bridge had stored.

A P1 port gives 11.5 kB a second at most. Whoever sends more than that for long is no meter, and must fill
neither memory nor disk nor the broker. Time is an argument.
"""

import logging
from typing import Final

_log = logging.getLogger(__name__)

_BYTES_A_SECOND: Final = 25_000
#: A day of a meter that sends 2 kB every 10 s, as a bridge may hand over what it has stored.
_BURST: Final = 17_000_000
#: For all meters together that no entry names.
_BURST_OF_OTHERS: Final = 2_000_000
_OTHERS: Final = ""


class TelegramBudget:
    """Keeps account of bytes.

    Attributes:
        dropped: telegrams for which there was no room.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._left: dict[str, tuple[float, float]] = {}  # bytes, and since when

    def allows(self, topic: str, size: int, now: float) -> bool:
        """True if a telegram may go into the history.

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
                    "%s sends more telegrams than any meter; what is too much is left out of the history",
                    topic or "a meter that gateway.yaml does not name",
                )
            self.dropped += 1
        return is_allowed
