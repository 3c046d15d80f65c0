"""A fault that several parts of a worker notice: one line when it begins, one when nobody has it any more."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from smarty_gateway.fault_log import Condition

Who = TypeVar("Who", bound=Hashable)


class SharedFault(Generic[Who]):
    """Whether something works, as seen by several; any thread may report.

    Args:
        log: takes the line of the fault.
        cleared: takes the other line.
        works_again: the other line.
    """

    def __init__(self, log: Callable[[str], None], cleared: Callable[[str], None], works_again: str) -> None:
        self._fault = Condition(log, cleared=cleared)
        self._works_again = works_again
        self._lock = threading.Lock()
        self._who: set[Who] = set()

    @property
    def who(self) -> frozenset[Who]:
        """All who have it."""
        return frozenset(self._who.copy())

    @property
    def is_on(self) -> bool:
        """True while anybody has it."""
        return bool(self._who)

    def begin(self, who: Who, line: str) -> None:
        """Record that somebody has it; `line` says what is wrong and what to do."""
        with self._lock:
            self._who.add(who)
            self._fault.begin(line, line)

    def end(self, who: Who) -> None:
        """Record that somebody does not have it any more."""
        if who not in self._who:
            return
        with self._lock:
            self._who.discard(who)
            if not self._who:
                self._fault.end(self._works_again)
