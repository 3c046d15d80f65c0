"""When a value may be sent that is wanted once an interval, with time as an argument."""

from typing import Final

#: Seconds that a state may come before its time.
_EARLY_MOST: Final = 1.0


class Pace:
    """When a state may be sent: at most one in each interval, without falling behind the meter.

    A meter that sends once an interval does so a little early or late. Each of its telegrams goes out at
    once, as the times for them are a grid, which a late one does not shift.

    Args:
        interval: in seconds.

    Attributes:
        due_at: when the newest state may be sent.
    """

    __slots__ = ("_arrived", "_early", "_interval", "_is_hurried", "_next", "due_at")

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._early = min(_EARLY_MOST, interval / 10)
        self._next = float("-inf")  # on the grid
        self._arrived = float("-inf")
        self._is_hurried = False
        self.due_at = float("-inf")

    def arrive(self, now: float) -> None:
        """Record a new state."""
        self._arrived = now
        if not self._is_hurried:
            self.due_at = now if now > self._next - self._early else self._next

    def hurry(self) -> None:
        """Make the newest state due at once."""
        self._is_hurried = True
        self.due_at = float("-inf")

    def note_sent(self) -> None:
        """Record that the newest state was sent."""
        self._is_hurried = False
        is_in_step = -self._early < self._arrived - self._next < self._interval
        self._next = (self._next if is_in_step else self._arrived) + self._interval
