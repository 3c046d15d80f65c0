"""Guessing passwords: an address that failed five times within a minute has to wait."""

import logging
import math
import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from smarty_gateway.fault_log import Condition
from smarty_gateway.web.addresses import Address, owner_of

_log = logging.getLogger(__name__)

_FAILURES: Final = 5
_SECONDS: Final = 60.0
#: More addresses than that need a botnet; the one that failed longest ago is forgotten.
_ADDRESSES_MAX: Final = 1000


class Throttle:
    """Counts the failures of each address; threads share it.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: dict[object, list[float]] = {}
        self._lock = Lock()
        self._failed_at = -math.inf
        self._guessing = Condition(_log.warning, clock, cleared=_log.info)

    def attempt(self, client: Address | None, *, is_right: bool) -> int:
        """Count an attempt; return the seconds to wait, 0 if the address may try.

        An address that has to wait waits with the right password, too. Otherwise guessing would go on, and
        the wait would only hide the answers that are wrong.
        """
        now = self._clock()
        with self._lock:
            owner = owner_of(client)
            recent = [at for at in self._failures.get(owner, ()) if now - at < _SECONDS]
            if len(recent) >= _FAILURES:
                return math.ceil(recent[0] + _SECONDS - now)
            if is_right:
                if now - self._failed_at >= _SECONDS:
                    self._guessing.end("http: no wrong password for a minute")
                return 0
            self._failed_at = now
            self._failures.pop(owner, None)
            self._failures[owner] = [*recent, now]
            if len(self._failures) > _ADDRESSES_MAX:
                del self._failures[next(iter(self._failures))]
            if len(recent) + 1 == _FAILURES:
                self._guessing.begin(
                    f"http: {client} gave {_FAILURES} wrong passwords within a minute", client
                )
            return 0
