"""The rejections of one source: counted by meter and reason, logged with advice."""

import logging
import shlex
from collections.abc import Callable
from typing import Final

from smarty_gateway.fault_log import RejectionLog
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.safe_text import printable
from smarty_gateway.sources.address import Address

_log = logging.getLogger(__name__)

#: A frame counter that fell back is worth a question only if no frame of the meter was accepted for this
#: long; until then it is more likely that old frames were sent again.
_RESET_ADVISED_AFTER: Final = 600.0
_RESETS_ADVISED: Final = 50


class Rejections:
    """What one source sent that was rejected.

    Args:
        address: of the source.
        state: what is known about meters.
        log: takes lines for the log.
        now: the time of the monotonic clock, here and in all methods.
        options: what a user must add to `reset-counter`, so that it finds the same state file.
    """

    __slots__ = ("_address", "_counts", "_log", "_options", "_reset_advised", "_seen", "_started", "_state")

    def __init__(
        self, address: Address, state: StateKeeper, log: Callable[[str], None], now: float, options: str
    ) -> None:
        self._address = address
        self._state = state
        self._log = log
        self._started = now
        self._options = options
        self._seen = RejectionLog(_log.warning)
        self._counts: dict[tuple[str, str], int] = {}
        self._reset_advised: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        """True if anything was rejected."""
        return bool(self._counts)

    def add(self, rejection: Rejection, now: float) -> None:
        """Count a rejection, and log it unless it was logged before."""
        registry, source, title = self._state.registry, self._address.text, rejection.system_title
        name, is_own = registry.name_for_rejection(title, source)
        advice = ""
        if title is not None and rejection.reason is Reason.PLAINTEXT:
            registry.note_plaintext(title, source, now)
        if title is not None and rejection.reason is Reason.REPLAY and is_own and self._address.is_live:
            advice = self._reset_advice(title, name, now)
        key = name, rejection.reason.value
        self._counts[key] = self._counts.get(key, 0) + 1
        if not self._seen.note(name, rejection, now, advice) and advice:
            self._log(f"frames are still rejected as replays{advice}")

    def note_accepted(self, title: bytes) -> None:
        """Record that a frame of a meter was accepted: the next time its counter falls is a new one."""
        self._reset_advised -= {title}

    def add_to(self, health: dict[str, Health]) -> None:
        """Add the counts to the health of the meters."""
        for (name, reason), number in self._counts.copy().items():
            if name in health:
                rejected = health[name].rejected
                rejected[reason] = rejected.get(reason, 0) + number

    def tick(self, now: float) -> None:
        """Log what is due."""
        self._seen.tick(now)

    def _reset_advice(self, title: bytes, name: str, now: float) -> str:
        """Return how to accept that a frame counter fell back, once, if that is likely."""
        accepted = self._state.identities.last_accepted_at(title)
        is_new = title not in self._reset_advised and len(self._reset_advised) < _RESETS_ADVISED
        if not is_new or now - (accepted or self._started) < _RESET_ADVISED_AFTER:
            return ""
        self._reset_advised |= {title}
        return (
            "; if the meter was replaced or its counter was set back, accept that with: "
            f"smarty-gateway reset-counter {shlex.quote(printable(name))}{self._options}"
        )
