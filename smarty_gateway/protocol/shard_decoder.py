"""The meters of one shard: judges and decodes what edges have forwarded, one frame or telegram at a time.

The checks are those of a gateway (`judge.Judge`) with three rules of a pool:

* A frame counter need not rise; it is judged by `replay_window`.
* A frame names its meter only by what is computed from its system title: the serial number as it is printed,
  or the title itself. What a worker has heard from other meters decides nothing, because it hears only some
  of them.
* Plaintext is believed only from the meters that are listed, by the very meter_id, each from one edge user,
  and never from a meter that has a key, by any identity in the telegram.

Keys retire as in a gateway: after the first frame under a newer key of a meter, frames under its older keys
are refused, even those that were sent before and come late. Somebody else may know an old key, the tenant
before for instance, and a frame of theirs looks like a late one. A meter changes its key once in years. What
is lost if the change and a partition coincide are some powers; the registers in the next frame include the
rest.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from smarty_gateway.protocol.candidates import Candidate, Malformed, PlainText
from smarty_gateway.protocol.frame import FRAME_PREFIX, HEADER_MAX, Frame, Header, cut_frame, read_header
from smarty_gateway.protocol.identities import Admission, names_of_title, title_of_identity
from smarty_gateway.protocol.judge import Judge, rejection_of
from smarty_gateway.protocol.key_ring import KeyRing, meter_name
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.protocol.replay_window import WINDOW, ReplayWindow
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.protocol.telegram import parse_telegram

#: Meters whose telegrams are remembered: almost twice as many as a shard of a pool with 300,000 meters has.
_METERS: Final = 8192
#: The bytes of a frame that hold its system title.
_TITLE: Final = slice(2, 10)


class PoolReading(NamedTuple):
    """A telegram that passed every check.

    Attributes:
        title: the system title; of a plaintext meter its meter_id in UTF-8.
        fingerprint: of the key; None for plaintext.
        counter: the frame counter; None for plaintext.
    """

    telegram: MeterTelegram
    title: bytes
    fingerprint: str | None
    counter: int | None


def title_of(data: bytes) -> bytes | None:
    """Return the system title that forwarded bytes state, None if they begin as no frame does."""
    title = data[_TITLE]
    return title if data.startswith(FRAME_PREFIX) and len(title) == _TITLE.stop - _TITLE.start else None


class ShardDecoder:
    """Judges what was forwarded of the meters of one shard.

    Args:
        keys: of these meters.
        highest: the highest counter that was accepted, by system title and key fingerprint.
        plaintext: the meters that may send plaintext, by meter_id, and the edge user that each is believed
            from.
        encrypted_ids: identities of all meters of the pool that have a key, in the form of `fold`; asked
            about plaintext of listed meters only. What it raises comes out of `judge`.
    """

    def __init__(
        self,
        keys: KeyRing,
        highest: Mapping[tuple[bytes, str], int],
        plaintext: Mapping[str, str],
        encrypted_ids: Container[str] = (),
    ) -> None:
        self._titles = _Titles(highest, encrypted_ids)
        self._judge = _PoolJudge(keys, self._titles, plaintext)

    def replace_keys(self, keys: KeyRing, encrypted_ids: Container[str] = ()) -> None:
        """Use other keys from now on; the arguments are those of the class."""
        self._judge.keys = keys
        self._titles.encrypted_ids = encrypted_ids

    def judge(self, data: bytes, user: str | None = None) -> PoolReading | Rejection:
        """Judge one frame, or one plaintext telegram.

        From now on a frame that becomes a reading counts as seen. So a refusal must not be acknowledged
        before all readings that were returned earlier are kept: it may be of the same frame, delivered again.

        Args:
            data: its bytes, and nothing around them.
            user: the edge user who sent it; None where that is not known, and then plaintext is refused.
        """
        self._judge.user = user
        verdict = self._judge.judge(_candidate_of(data), None)
        event = self._judge.event_of(verdict)
        if isinstance(event, MeterTelegram):
            title = event.system_title or event.meter_id.encode()
            if event.system_title is not None and event.meter_id != meter_name(title):
                # Written in any other way, one meter could have any number of names.
                event = replace(event, has_foreign_identity=True)
            return PoolReading(event, title, verdict.fingerprint, event.frame_counter)
        assert event is not None  # noqa: S101 - only where sources are told apart there are duplicates
        return event

    def was_accepted(self, rejection: Rejection) -> bool:
        """True if a frame was refused only because it was accepted before: it is within the window."""
        title, counter = rejection.system_title, rejection.frame_counter
        if rejection.reason is not Reason.REPLAY or title is None or counter is None:
            return False
        last = (
            self._titles.counters.last_accepted(title, key.fingerprint)
            for key in self._judge.keys.keys_for(title)
        )
        return any(highest is not None and 0 <= highest - counter < WINDOW for highest in last)


class _PoolJudge(Judge):
    """Makes the checks; `user` is who sent what is judged next."""

    user: str | None = None

    def __init__(self, keys: KeyRing, titles: "_Titles", plaintext: Mapping[str, str]) -> None:
        super().__init__(keys, titles, MeterDecoder(_METERS))
        self._users = plaintext

    def _why_not_in_plaintext(self, telegram: MeterTelegram, identities: tuple[str, ...]) -> str | None:
        # First, because the other answer may take long, and not every edge shall be able to ask for it.
        if self.user is None or self._users.get(telegram.meter_id) != self.user:
            return "pool.yaml does not list this meter with this edge user, so its plaintext is rejected"
        return super()._why_not_in_plaintext(telegram, identities)

    def _no_key(self, frame: Frame) -> Rejection:
        # Without a search for entries like this one: it takes long among thousands of meters.
        file = f"shard-{shard_of(frame.system_title):02d}.yaml"
        message = f"no key for this meter: ask its grid operator (DSO) for it and add it to {file}"
        return rejection_of(frame, Reason.NO_KEY, message)


class _Titles:
    """What is known about the meters of a shard: their frame counters, and the names of their titles."""

    def __init__(self, highest: Mapping[tuple[bytes, str], int], encrypted_ids: Container[str]) -> None:
        self.counters = ReplayWindow(highest)
        self.encrypted_ids = encrypted_ids

    def is_duplicate(self, _frame: Frame, _source: str, _now: float | None) -> bool:
        """False: in a pool a copy of a frame is one that was seen before, wherever it came from."""
        return False

    def admit(
        self,
        frame: Frame,
        fingerprint: str,
        _source: str,
        _now: float | None,
        *,
        is_good: bool,  # noqa: ARG002 - what is seen again is refused, whatever it was
    ) -> Admission:
        """Judge and record the frame counter of a frame that has verified."""
        if self.counters.is_replay(frame.system_title, fingerprint, frame.frame_counter):
            return Admission.REPLAY
        self.counters.advance(frame.system_title, fingerprint, frame.frame_counter)
        return Admission.FRESH

    def claim(self, owner: bytes, identities: Sequence[str], _source: str) -> bool:
        """Return whether the first identity, if there is one, is a name of the title."""
        return not identities or identities[0] in names_of_title(owner)

    def speaks_for(
        self,
        title: bytes,
        identity: str,
        *,
        is_authenticated: bool,  # noqa: ARG002 - a name that is computed needs no proof
    ) -> bool:
        """True if an identity is a name of the title."""
        return identity in names_of_title(title)

    def title_behind(self, identities: Iterable[str], keys: KeyRing) -> bytes | None:
        """Return the first title with one of these names that has a key or has verified."""
        for title in map(title_of_identity, identities):
            if title is not None and (keys.has_entry_of(title) or self.counters.has_title(title)):
                return title
        return None

    def is_never_plaintext(self, identities: Iterable[str]) -> bool:
        """True if one of these identities belongs to a meter with a key."""
        return any(identity in self.encrypted_ids for identity in identities)


def _candidate_of(data: bytes) -> Candidate:
    header = read_header(data[:HEADER_MAX]) if data.startswith(FRAME_PREFIX) else None
    if isinstance(header, Header) and header.size + header.length == len(data):
        return cut_frame(0, data, header)
    telegram = parse_telegram(data)
    if telegram is not None and telegram.raw == data:
        return PlainText(0, len(data), data, telegram.checksum)
    return Malformed(0, len(data), "the message does not hold exactly one frame or plaintext telegram")
