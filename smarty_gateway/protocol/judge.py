"""The checks that a frame or a telegram must pass, in one order.

It is that of `docs/reference.md` ("What is accepted, what is rejected, what is noise"), and the first check
that fails is the reason that is reported. The streams of a gateway (`meter`) and the shards of a pool
(`shard_decoder`) make the same ones. Nothing of a refused plaintext leaves this module.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from smarty_gateway.protocol.candidates import Candidate, Malformed, PlainText
from smarty_gateway.protocol.counters import ReplayRule
from smarty_gateway.protocol.decoder import DecodedTelegram
from smarty_gateway.protocol.decryption import (
    decrypt,
    fits_encryption_key,
    read_by_crc,
    reads_as_text,
)
from smarty_gateway.protocol.frame import AUTHENTICATED_AND_ENCRYPTED, Frame
from smarty_gateway.protocol.identities import Admission, fold, identities_of, names_in_header
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Verification
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram, Security
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.protocol.telegram import Checksum, crc_is_due, is_text, parse_telegram

_MUST_ENCRYPT: Final = "this meter must send encrypted frames, so its plaintext telegrams are rejected"


@dataclass(frozen=True, slots=True)
class _FailedTag:
    """A frame whose tag does not verify. Few are reported, and only for those the cause is sought.

    Attributes:
        verified_before: whether a frame had verified under this title and key. Recorded at once,
            because others may verify before this one is reported.
    """

    frame: Frame
    verified_before: bool


@dataclass(frozen=True, slots=True)
class _NoKey:
    """A frame for which there is no key. The entries are searched for a typo only if it is reported."""

    frame: Frame


class Verdict(NamedTuple):
    """What a judge decides about a candidate.

    Attributes:
        event: None for a duplicate.
        fingerprint: of the key under which an accepted frame has verified.
    """

    verified: bool
    event: Event | _FailedTag | _NoKey | None
    fingerprint: str | None = None


class WhoIsWho(Protocol):
    """What a judge asks about meters: `Identities` in a gateway."""

    @property
    def counters(self) -> ReplayRule:
        """The frame counters of every title that has verified."""
        ...

    def is_duplicate(self, frame: Frame, source: str, now: float | None) -> bool:
        """True if this very frame was accepted on another source a moment ago."""
        ...

    def admit(
        self, frame: Frame, fingerprint: str, source: str, now: float | None, *, is_good: bool
    ) -> Admission:
        """Judge and record the frame counter of a frame that has verified."""
        ...

    def claim(self, owner: bytes, identities: Sequence[str], source: str) -> bool:
        """Record that a meter sent these identities; False if the first one does not name it."""
        ...

    def speaks_for(self, title: bytes, identity: str, *, is_authenticated: bool) -> bool:
        """True if an identity inside a frame says who its meter is."""
        ...

    def title_behind(self, identities: Iterable[str], keys: KeyRing) -> bytes | None:
        """Return the title of the encrypted meter that plaintext with these identities pretends to be."""
        ...

    def is_never_plaintext(self, identities: Iterable[str]) -> bool:
        """True if the meter of one of these identities is known to encrypt."""
        ...


class Judge:
    """Makes the checks of all candidates of one source.

    Args:
        keys: all keys there are; they may be replaced at any time.
        identities: what is known about meters; it is changed in place.
        decoder: reads the lines of telegrams.
        source: what the candidates come from, where several share `identities`.
        must_be_encrypted: refuse plaintext telegrams even of meters without an entry in `keys`.
        plaintext_ids: the meters to which that does not apply, by meter_id in the form of `fold`.
        on_duplicate: is called with each frame that came from another source a moment ago.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that streams of one process share or do not
        self,
        keys: KeyRing,
        identities: WhoIsWho,
        decoder: MeterDecoder,
        *,
        source: str = "",
        must_be_encrypted: bool = False,
        plaintext_ids: Container[str] = (),
        on_duplicate: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        self.keys = keys
        self.identities = identities
        self._decoder = decoder
        self._source = source
        self._must_be_encrypted = must_be_encrypted
        self._plaintext_ids = plaintext_ids
        self._on_duplicate = on_duplicate

    def judge(self, candidate: Candidate, now: float | None) -> Verdict:
        """Decide about a candidate.

        Args:
            candidate: what came.
            now: seconds of a clock that all sources share; None where there is no clock.
        """
        if isinstance(candidate, Malformed):
            return Verdict(
                verified=False,
                event=Rejection(Reason.MALFORMED, candidate.offset, candidate.size, candidate.message),
            )
        if isinstance(candidate, PlainText):
            return self._judge_plaintext(candidate)
        return self._judge_frame(candidate, now)

    def event_of(self, verdict: Verdict) -> Event | None:
        """Return what becomes of a candidate, with the cause if it was rejected."""
        event = verdict.event
        if isinstance(event, _FailedTag):
            return self._authentication_failed(event)
        return self._no_key(event.frame) if isinstance(event, _NoKey) else event

    # The checks

    def _judge_frame(self, frame: Frame, now: float | None) -> Verdict:
        if self.identities.is_duplicate(frame, self._source, now):
            return self._duplicate(frame)
        if frame.security != AUTHENTICATED_AND_ENCRYPTED:
            message = (
                f"security byte {frame.security:02X} instead of 30: the frame is not authenticated and "
                "encrypted, and is never decoded"
            )
            return self._refuse(frame, Reason.SECURITY, message)
        keys = self._keys_in_use(frame.system_title)
        if not keys:
            return Verdict(verified=False, event=_NoKey(frame))
        for key in keys:
            plaintext = (
                decrypt(frame, key) if key.verification is Verification.REQUIRED else read_by_crc(frame, key)
            )
            if plaintext is not None:
                return self._judge_verified(frame, key, plaintext, now)
        if keys[0].verification is Verification.REQUIRED:
            before = any(self._has_verified_before(frame, key) for key in keys)
            return Verdict(verified=False, event=_FailedTag(frame, before))
        return self._refuse_without_tag(frame, keys)

    def _judge_verified(self, frame: Frame, key: MeterKey, plaintext: bytes, now: float | None) -> Verdict:
        """Check what is inside a frame that has verified, and move the frame counter on."""
        telegram = parse_telegram(plaintext)
        admission = self.identities.admit(
            frame,
            key.fingerprint,
            self._source,
            now,
            is_good=telegram is not None and telegram.checksum is Checksum.RIGHT,
        )
        if admission is Admission.DUPLICATE:
            return self._duplicate(frame)
        if telegram is None:
            message = "the frame is authentic, but does not contain a P1 telegram"
            return self._refuse(frame, Reason.MALFORMED, message, verified=True)
        if admission is Admission.REPLAY:
            return self._refuse(frame, Reason.REPLAY, self._replay_message(frame, key), verified=True)
        if telegram.checksum is not Checksum.RIGHT:
            message = f"the frame is authentic, but the CRC of its telegram is {telegram.checksum.value}"
            return self._refuse(frame, Reason.CHECKSUM, message, verified=True)
        authenticated = key.verification is Verification.REQUIRED
        decoded = self._decoder.decode(telegram)
        accepted = MeterTelegram(
            offset=frame.offset,
            size=frame.size,
            raw=telegram.raw,
            decoded=decoded,
            security=Security.AUTHENTICATED if authenticated else Security.UNAUTHENTICATED,
            system_title=frame.system_title,
            frame_counter=frame.frame_counter,
            has_foreign_identity=self._has_foreign_identity(
                frame.system_title, decoded, authenticated=authenticated
            ),
        )
        return Verdict(verified=True, event=accepted, fingerprint=key.fingerprint)

    def _has_foreign_identity(self, title: bytes, decoded: DecodedTelegram, *, authenticated: bool) -> bool:
        identities = identities_of(decoded)
        if authenticated:
            return not self.identities.claim(title, identities, self._source)
        # Without a tag nothing is proven, so such a frame gains no identity of its own.
        return bool(identities) and not self.identities.speaks_for(
            title, identities[0], is_authenticated=False
        )

    def _duplicate(self, frame: Frame) -> Verdict:
        self._on_duplicate(frame)
        return Verdict(verified=True, event=None)

    def _judge_plaintext(self, candidate: PlainText) -> Verdict:
        telegram = parse_telegram(candidate.text)
        if telegram is None or candidate.checksum is Checksum.WRONG:
            return self._refuse(candidate, Reason.CHECKSUM, "the CRC of this plaintext telegram is wrong")
        if candidate.checksum is Checksum.MISSING:
            if crc_is_due(candidate.text):
                message = "this plaintext telegram has no CRC, and a meter of its kind sends one"
                return self._refuse(candidate, Reason.CHECKSUM, message)
            if not is_text(candidate.text):
                message = "this plaintext telegram has no CRC and contains bytes that are not text"
                return self._refuse(candidate, Reason.CHECKSUM, message)
        decoded = self._decoder.decode(telegram)
        accepted = MeterTelegram(candidate.offset, candidate.size, telegram.raw, decoded, Security.PLAINTEXT)
        identities = identities_of(decoded) + names_in_header(decoded.header)
        title = self.identities.title_behind(identities, self.keys)
        why = _MUST_ENCRYPT if title is not None else self._why_not_in_plaintext(accepted, identities)
        if why is not None:
            return self._refuse(candidate, Reason.PLAINTEXT, why, verified=True, title=title)
        return Verdict(verified=True, event=accepted)

    def _why_not_in_plaintext(self, telegram: MeterTelegram, identities: tuple[str, ...]) -> str | None:
        """Return why a meter without a key may not send plaintext, None if it may."""
        if self.identities.is_never_plaintext(identities):
            return _MUST_ENCRYPT
        names = {fold(telegram.meter_id), *identities}
        if self._must_be_encrypted and not any(name in self._plaintext_ids for name in names):
            return _MUST_ENCRYPT
        return None

    # Rejections

    def _refuse(
        self,
        candidate: Frame | PlainText,
        reason: Reason,
        message: str,
        *,
        verified: bool = False,
        title: bytes | None = None,
    ) -> Verdict:
        if isinstance(candidate, PlainText):
            rejection = Rejection(reason, candidate.offset, candidate.size, message, system_title=title)
            return Verdict(verified, rejection)
        return Verdict(verified, rejection_of(candidate, reason, message))

    def _refuse_without_tag(self, frame: Frame, keys: tuple[MeterKey, ...]) -> Verdict:
        """Refuse a frame under crc-only, where no tag says what is wrong."""
        for key in keys:
            if self.identities.counters.is_replay(frame.system_title, key.fingerprint, frame.frame_counter):
                return self._refuse(frame, Reason.REPLAY, self._replay_message(frame, key))
        message = "no telegram with a right CRC comes out (crc-only): a wrong encryption key or damaged bytes"
        return self._refuse(frame, Reason.CHECKSUM, message)

    def _no_key(self, frame: Frame) -> Rejection:
        near = self.keys.entry_like(frame.system_title)
        message = (
            "no key for this meter: ask its grid operator (DSO) for it and add it to keys.yaml"
            if near is None
            else f"no key for this meter, but keys.yaml has an entry {near}: if that is a typo, correct it"
        )
        return rejection_of(frame, Reason.NO_KEY, message)

    def _replay_message(self, frame: Frame, key: MeterKey) -> str:
        return self.identities.counters.why_replay(frame.system_title, key.fingerprint, frame.frame_counter)

    def _authentication_failed(self, failed: _FailedTag) -> Rejection:
        frame = failed.frame
        keys = self._keys_in_use(frame.system_title)
        retired = self.keys.keys_for(frame.system_title)[len(keys) :]
        if any(decrypt(frame, key) is not None for key in retired):
            hint, message = (
                Hint.WRONG_ENCRYPTION_KEY,
                "it verifies under a key listed after the one in use; if that is the new key, put it first",
            )
        elif any(fits_encryption_key(frame, key) for key in keys):
            hint, message = (
                Hint.WRONG_AUTHENTICATION_KEY,
                "the encryption key is right, the authentication key is not",
            )
        elif any(reads_as_text(frame, key) for key in keys):
            hint, message = (
                Hint.CORRUPT,
                "the frame was damaged on its way; check cable and adapter if this continues",
            )
        elif failed.verified_before:
            hint, message = (
                Hint.CORRUPT,
                "the frame was damaged on its way; if every frame fails, the operator has changed the key",
            )
        else:
            hint, message = Hint.WRONG_ENCRYPTION_KEY, "the encryption key is probably not this meter's"
        return rejection_of(frame, Reason.AUTHENTICATION, f"the tag does not verify; {message}", hint)

    def _keys_in_use(self, title: bytes) -> tuple[MeterKey, ...]:
        """Return the keys to try, the newest first; with the first frame under a key the older ones retire.

        The frame counters show under which keys frames have verified, so a key stays retired after a restart.
        """
        keys = self.keys.keys_for(title)
        for number, key in enumerate(keys[:-1], 1):
            if self.identities.counters.last_accepted(title, key.fingerprint) is not None:
                return keys[:number]
        return keys

    def _has_verified_before(self, frame: Frame, key: MeterKey) -> bool:
        return self.identities.counters.last_accepted(frame.system_title, key.fingerprint) is not None


def rejection_of(frame: Frame, reason: Reason, message: str, hint: Hint | None = None) -> Rejection:
    """Return the rejection of a frame, with the name of its meter."""
    return Rejection(
        reason,
        frame.offset,
        frame.size,
        f"{_name_of(frame)}: {message}",
        hint,
        frame.system_title,
        frame.frame_counter,
    )


def _name_of(frame: Frame) -> str:
    """Return the title of a frame's meter with the serial number that is printed on it."""
    serial = serial_from_system_title(frame.system_title)
    title = frame.system_title.hex().upper()
    return f"meter {title}" if serial is None else f"meter {title} (serial {serial})"
