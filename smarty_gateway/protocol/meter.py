"""One stream of a P1 port, from bytes to verified readings: extractor, decryption, replay rule, decoder.

The checks run in the order of `docs/reference.md` ("What is accepted, what is rejected, what is noise"),
and the first that fails is the reason that is reported.
Nothing of a refused plaintext leaves this module.
"""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from smarty_gateway.protocol.candidates import Candidate, Malformed, PlainText
from smarty_gateway.protocol.decoder import DecodedTelegram
from smarty_gateway.protocol.decryption import (
    decrypt,
    fits_encryption_key,
    read_by_crc,
    reads_as_text,
)
from smarty_gateway.protocol.extractor import Extractor
from smarty_gateway.protocol.frame import AUTHENTICATED_AND_ENCRYPTED, Frame
from smarty_gateway.protocol.identities import Admission, Identities, fold, identities_of, names_in_header
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Verification
from smarty_gateway.protocol.meter_decoder import MeterDecoder
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.protocol.telegram import Checksum, crc_is_due, is_text, parse_telegram


class Security(StrEnum):
    """How far a telegram is proven; it travels with every reading."""

    AUTHENTICATED = "authenticated"  #: the GCM tag verified
    UNAUTHENTICATED = "unauthenticated"  #: decrypted with crc-only, as the user asked
    PLAINTEXT = "plaintext"  #: never encrypted


@dataclass(frozen=True, eq=False)
class MeterTelegram(Mapping[str, Any]):
    """A telegram that passed every check.

    As a mapping it is the JSON object (docs/reference.md, "The JSON object"): `telegram["energy_import"]`,
    `dict(telegram)`. What it hands out is a copy, so nothing can change a telegram. It equals a mapping
    that has the same values, and another telegram whose attributes are the same; like a dict it has no hash.

    Attributes:
        offset: where its frame begins, in bytes from the start of the input.
        size: the size of the frame, or of the text of a plaintext telegram.
        raw: the plaintext as the meter wrote it, from the slash to the end of the last line.
        decoded: the values and their OBIS codes, for this project's own modules.
        security: how the telegram was verified.
        system_title: of the frame that carried it; None for a plaintext telegram.
        frame_counter: likewise.
        has_foreign_identity: the identity in it belongs to another meter, so it does not name this one.
    """

    offset: int
    size: int
    raw: bytes
    decoded: DecodedTelegram
    security: Security
    system_title: bytes | None = None
    frame_counter: int | None = None
    has_foreign_identity: bool = False

    @property
    def meter_id(self) -> str:
        """The identity in the telegram, else the system title, else the header."""
        if self.decoded.identity is not None and not self.has_foreign_identity:
            return self.decoded.identity
        if self.system_title is not None:
            return self.system_title.hex().upper()
        return self.decoded.header

    @property
    def timestamp(self) -> datetime | None:
        """The meter's own time with its offset; None if the meter sends none, or not whether it is summer."""
        text = self.decoded.fields.get("timestamp")
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if time is None or time.tzinfo is None else time

    @property
    def is_header_only(self) -> bool:
        """True if only the header, which names a model, tells this meter from others."""
        return self.decoded.identity is None and self.system_title is None

    def as_object(self, meter: str | None = None) -> dict[str, Any]:
        """Return the JSON object; its inner objects are shared with other telegrams and must not be changed.

        Args:
            meter: the configured name; the meter_id where there is none.
        """
        decoded, meter_id = self.decoded, self.meter_id
        fields = decoded.fields
        result: dict[str, Any] = {"meter": meter or meter_id, "meter_id": meter_id}
        if self.system_title is not None:
            result["system_title"] = self.system_title.hex().upper()
        if "timestamp" in fields:
            result["timestamp"] = fields["timestamp"]
        result["security"] = self.security.value
        if self.frame_counter is not None:
            result["frame_counter"] = self.frame_counter
        result["header"] = decoded.header
        result |= fields
        result |= decoded.devices
        if decoded.unknown:
            result["unknown"] = decoded.unknown
        return result

    @cached_property
    def _object(self) -> dict[str, Any]:
        return self.as_object()

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a value of JSON
        return _copy_of(self._object[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._object)

    def __len__(self) -> int:
        return len(self._object)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, MeterTelegram):
            return all(getattr(self, field.name) == getattr(other, field.name) for field in fields(self))
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment] # as Python has it for what is compared by value


def _copy_of(value: Any) -> Any:  # noqa: ANN401 - a value of JSON
    if isinstance(value, Mapping):
        return {name: _copy_of(inner) for name, inner in value.items()}
    return [_copy_of(inner) for inner in value] if isinstance(value, list | tuple) else value


Event = MeterTelegram | Rejection


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


class _Verdict(NamedTuple):
    """Whether a candidate has verified, and its event; a duplicate has none."""

    verified: bool
    event: Event | _FailedTag | _NoKey | None


class MeterStream(Extractor[_Verdict, Event]):
    """Reads the stream of one source, which one meter or several may share.

    Args:
        keys: all keys there are; they may be replaced at any time.
        identities: what is known about meters, which several streams may share; it is changed in place.
        source: what the bytes come from, where several streams share `identities`.
        must_be_encrypted: refuse plaintext telegrams even of meters without an entry in `keys`.
        plaintext_ids: the meters to which that does not apply, by meter_id in the form of `fold`.
        on_duplicate: is called with each frame that another stream has accepted a moment ago; such a frame
            is no event.
    """

    def __init__(  # noqa: PLR0913 - one for each thing that streams of one process share or do not
        self,
        keys: KeyRing,
        identities: Identities | None = None,
        *,
        source: str = "",
        must_be_encrypted: bool = False,
        plaintext_ids: Container[str] = (),
        on_duplicate: Callable[[Frame], None] = lambda _: None,
    ) -> None:
        if not isinstance(keys, KeyRing):
            raise TypeError(f"keys are a KeyRing, not {type(keys).__name__}")
        super().__init__()
        self.keys = keys
        self.identities = Identities() if identities is None else identities
        self._source = source
        self._must_be_encrypted = must_be_encrypted
        self._plaintext_ids = plaintext_ids
        self._on_duplicate = on_duplicate
        self._decoder = MeterDecoder()

    # The checks

    def _judge(self, candidate: Candidate) -> _Verdict:
        if isinstance(candidate, Malformed):
            return _Verdict(
                verified=False,
                event=Rejection(Reason.MALFORMED, candidate.offset, candidate.size, candidate.message),
            )
        if isinstance(candidate, PlainText):
            return self._judge_plaintext(candidate)
        return self._judge_frame(candidate)

    def _judge_frame(self, frame: Frame) -> _Verdict:
        if self.identities.is_duplicate(frame, self._source, self.last_data):
            return self._duplicate(frame)
        if frame.security != AUTHENTICATED_AND_ENCRYPTED:
            message = (
                f"security byte {frame.security:02X} instead of 30: the frame is not authenticated and "
                "encrypted, and is never decoded"
            )
            return self._refuse(frame, Reason.SECURITY, message)
        keys = self._keys_in_use(frame.system_title)
        if not keys:
            return _Verdict(verified=False, event=_NoKey(frame))
        for key in keys:
            plaintext = (
                decrypt(frame, key) if key.verification is Verification.REQUIRED else read_by_crc(frame, key)
            )
            if plaintext is not None:
                return self._judge_verified(frame, key, plaintext)
        if keys[0].verification is Verification.REQUIRED:
            before = any(self._has_verified_before(frame, key) for key in keys)
            return _Verdict(verified=False, event=_FailedTag(frame, before))
        return self._refuse_without_tag(frame, keys)

    def _judge_verified(self, frame: Frame, key: MeterKey, plaintext: bytes) -> _Verdict:
        """Check what is inside a frame that has verified, and move the frame counter on."""
        telegram = parse_telegram(plaintext)
        admission = self.identities.admit(
            frame,
            key.fingerprint,
            self._source,
            self.last_data,
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
        return _Verdict(verified=True, event=accepted)

    def _has_foreign_identity(self, title: bytes, decoded: DecodedTelegram, *, authenticated: bool) -> bool:
        identities = identities_of(decoded)
        if authenticated:
            return not self.identities.claim(title, identities, self._source)
        # Without a tag nothing is proven, so such a frame gains no identity of its own.
        return bool(identities) and not self.identities.speaks_for(
            title, identities[0], is_authenticated=False
        )

    def _duplicate(self, frame: Frame) -> _Verdict:
        self._on_duplicate(frame)
        return _Verdict(verified=True, event=None)

    def _judge_plaintext(self, candidate: PlainText) -> _Verdict:
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
        if title is not None or self._is_refused_as_plaintext(accepted, identities):
            message = "this meter must send encrypted frames, so its plaintext telegrams are rejected"
            return self._refuse(candidate, Reason.PLAINTEXT, message, verified=True, title=title)
        return _Verdict(verified=True, event=accepted)

    def _is_refused_as_plaintext(self, telegram: MeterTelegram, identities: tuple[str, ...]) -> bool:
        if self.identities.is_never_plaintext(identities):
            return True
        if not self._must_be_encrypted:
            return False
        names = {fold(telegram.meter_id), *identities}
        return not any(name in self._plaintext_ids for name in names)

    def _event_of(self, verdict: _Verdict) -> Event | None:
        event = verdict.event
        if isinstance(event, _FailedTag):
            return self._authentication_failed(event)
        return self._no_key(event.frame) if isinstance(event, _NoKey) else event

    # Rejections

    def _refuse(
        self,
        candidate: Frame | PlainText,
        reason: Reason,
        message: str,
        *,
        verified: bool = False,
        title: bytes | None = None,
    ) -> _Verdict:
        if isinstance(candidate, PlainText):
            rejection = Rejection(reason, candidate.offset, candidate.size, message, system_title=title)
            return _Verdict(verified, rejection)
        return _Verdict(verified, _rejection_of(candidate, reason, message))

    def _refuse_without_tag(self, frame: Frame, keys: tuple[MeterKey, ...]) -> _Verdict:
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
        return _rejection_of(frame, Reason.NO_KEY, message)

    def _replay_message(self, frame: Frame, key: MeterKey) -> str:
        last = self.identities.counters.last_accepted(frame.system_title, key.fingerprint)
        return f"frame counter {frame.frame_counter} is not above {last}, the last one accepted"

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
        return _rejection_of(frame, Reason.AUTHENTICATION, f"the tag does not verify; {message}", hint)

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


def _rejection_of(frame: Frame, reason: Reason, message: str, hint: Hint | None = None) -> Rejection:
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
