"""The reference power of a connection: what a quarter hour draws beyond it costs extra (Luxembourg)."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class ReferencePower:
    """The levels on the bills of a connection.

    Attributes:
        levels: from which local date on which power in W holds, by date; None for "always".
    """

    levels: tuple[tuple[date | None, int], ...]

    def on(self, day: date) -> int | None:
        """Return the power in W on a local date; None before the first one."""
        valid = [power for begin, power in self.levels if begin is None or begin <= day]
        return valid[-1] if valid else None
