"""The rejections of one source: counted by meter and reason, logged with advice."""

import logging
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from smarty_gateway.fault_log import RejectionLog
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.outputs.output import Health
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.safe_text import printable
from smarty_gateway.sources.address import Address
from smarty_gateway.sources.container import configuration_name, is_home_assistant_app

_log = logging.getLogger(__name__)

#: A frame counter that fell back is worth a question only if no frame of the meter was accepted for this
#: long; until then it is more likely that old frames were sent again.
_RESET_ADVISED_AFTER: Final = 600.0
#: Every frame must have failed for so many seconds, and so many of them, before the key is suspected.
_KEY_SUSPECTED_AFTER: Final = 120.0
_KEY_SUSPECTED_FRAMES: Final = 5
#: Meters; a source can invent any number.
_ADVISED_MAX: Final = 50


class Rejections:
    """What one source sent that was rejected.

    Args:
        address: of the source.
        state: what is known about meters.
        log: takes lines for the log.
        now: the time of the monotonic clock, here and in all methods.
        options: what a user must add to `reset-counter`, so that it finds the same state file.
        key_file: with the keys in use; None if there is none.
    """

    __slots__ = (
        "_address", "_counts", "_failing", "_key_advised", "_key_file", "_log", "_options",
        "_reset_advised", "_seen", "_started", "_state",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - what its lines name
        self,
        address: Address,
        state: StateKeeper,
        log: Callable[[str], None],
        now: float,
        options: str,
        key_file: Path | None = None,
    ) -> None:
        self._address = address
        self._state = state
        self._log = log
        self._started = now
        self._options = options
        self._key_file = key_file
        self._seen = RejectionLog(_log.warning, cleared=_log.info)
        self._counts: dict[tuple[str, str], int] = {}
        self._reset_advised: frozenset[bytes] = frozenset()
        self._key_advised: frozenset[bytes] = frozenset()
        #: Since when all frames of a title have failed, and how many.
        self._failing: dict[bytes, tuple[float, int]] = {}

    def __bool__(self) -> bool:
        """True if anything was rejected."""
        return bool(self._counts)

    def add(self, rejection: Rejection, now: float) -> None:
        """Count a rejection, and log it unless it was logged before."""
        registry, source, title = self._state.registry, self._address.text, rejection.system_title
        name, is_own = registry.name_for_rejection(title, source)
        advice = ""
        if is_home_assistant_app():
            rejection = _in_words_of_app(rejection)
        if title is not None and rejection.reason is Reason.PLAINTEXT:
            registry.note_plaintext(title, source, now)
        if title is not None and rejection.reason is Reason.REPLAY and is_own and self._address.is_live:
            advice = self._reset_advice(title, name, now)
        key = name, rejection.reason.value
        self._counts[key] = self._counts.get(key, 0) + 1
        if not self._seen.note(name, rejection, now, advice) and advice:
            self._log(f"frames are still rejected as replays{advice}")
        if (
            title is not None
            and rejection.reason is Reason.AUTHENTICATION
            and is_own
            and self._address.is_live
        ):
            self._advise_on_key(title, name, rejection.hint, now)

    def note_accepted(self, title: bytes) -> None:
        """Record that a frame of a meter was accepted: the next time its counter falls is a new one."""
        self._reset_advised -= {title}
        self._key_advised -= {title}

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
        is_new = title not in self._reset_advised and len(self._reset_advised) < _ADVISED_MAX
        if not is_new or now - (accepted or self._started) < _RESET_ADVISED_AFTER:
            return ""
        self._reset_advised |= {title}
        return (
            "; if your grid operator (DSO) has reset the meter, accept that with: "
            f"smarty-gateway reset-counter {shlex.quote(printable(name))}{self._options}"
        )

    def _advise_on_key(self, title: bytes, name: str, hint: Hint | None, now: float) -> None:
        """Log once what to do about a key that is probably wrong, or was changed by the grid operator."""
        is_app = is_home_assistant_app()
        place = configuration_name() if is_app else "keys.yaml"
        if hint is not Hint.CORRUPT:
            why = f"compare the key in {place} with the letter of your grid operator"
        elif self._has_failed_for_long(title, now):
            why = (
                f"no frame has verified for {_KEY_SUSPECTED_AFTER / 60:.0f} minutes: your grid operator has "
                f"probably changed the key; ask for the new one and write it into {place}"
            )
        else:
            return
        if title in self._key_advised or len(self._key_advised) >= _ADVISED_MAX:
            return
        self._key_advised |= {title}
        if is_app:  # which ends with this program
            _log.warning("%s: %s", printable(name), why)
            return
        keys = "" if self._key_file is None else f" --keys {shlex.quote(str(self._key_file))}"
        _log.warning(
            "%s: %s. To find out what is wrong, stop this program and type: smarty-gateway doctor %s%s",
            printable(name), why, shlex.quote(self._address.text), keys,
        )  # fmt: skip

    def _has_failed_for_long(self, title: bytes, now: float) -> bool:
        """Count a frame, and return True if none of its meter has verified for a while."""
        since, number = self._failing.get(title, (now, 0))
        accepted = self._state.identities.last_accepted_at(title)
        if accepted is not None and accepted >= since:
            since, number = now, 0
        if title in self._failing or len(self._failing) < _ADVISED_MAX:
            self._failing[title] = since, number + 1
        return now - since >= _KEY_SUSPECTED_AFTER and number + 1 >= _KEY_SUSPECTED_FRAMES


def _in_words_of_app(rejection: Rejection) -> Rejection:
    """Return a rejection as the log of the Home Assistant app explains it, where no file has the keys."""
    place = configuration_name()
    message = rejection.message.replace("add it to keys.yaml", f"enter it in {place}")
    if rejection.reason is Reason.PLAINTEXT and rejection.system_title is None:
        message += f"; if it never encrypts, as in Belgium, empty its field key in {place}"
    return replace(rejection, message=message.replace("keys.yaml", place))
