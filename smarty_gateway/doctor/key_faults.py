"""Finds out why encrypted frames do not verify: the wrong key, the wrong order of keys, or bit errors.

A whole frame that a key turns into random bytes has bit errors in its frame counter, or is under another
key; the meter's frames before and after it decide. A frame that failed is decrypted to see whether another
key fits, and nothing but the yes or no is kept.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from smarty_gateway.doctor import key_findings
from smarty_gateway.doctor.finding import Finding, Weighted, entry_name
from smarty_gateway.protocol.decryption import decrypt, fits_encryption_key, reads_as_text
from smarty_gateway.protocol.dummy_keys import is_dummy
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.key_ring import MeterKey, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.rejection import Hint, Reason

#: Bit errors make a whole frame unreadable only if they hit one of a few bytes. This many such frames in
#: a row, with rising counters, are under another key.
_ANOTHER_KEY: Final = 3
#: How many frames are kept until one verifies: their system titles may turn out to be damaged.
_KEPT_FRAMES: Final = 32


@dataclass(slots=True)
class TitleFrames:
    """The frames of one system title.

    Attributes:
        failed: frames that failed; where others verified, they are damaged (except replays).
        securities: frames with another security byte than 30, by that byte.
        verified: frames that were accepted.
        opener: the entry whose key opens frames that the meter's own key does not; None if none was found.
        sample: a frame that failed, of some titles only.
        retired: frames under a key that was dropped when one before it in the list was used.
        older: frames under another key before the first that verified.
        unproven: frames that were accepted although their tag does not verify.
        default_fits: whether the public authentication key would verify these.
    """

    failed: Counter[Reason | Hint] = field(default_factory=Counter)
    securities: Counter[int] = field(default_factory=Counter)
    verified: int = 0
    opener: str | None = None
    sample: Frame | None = None
    retired: int = 0
    older: int = 0
    unproven: int = 0
    default_fits: bool = False
    _unreadable: int = 0  # in a row, with rising counters, up to the last frame
    _counter: int = 0

    def take_readable(self) -> None:
        """Record that the key was right for the last frame, damaged or not."""
        self._unreadable = 0

    def take_verified(self) -> None:
        """Count a frame that verified."""
        if not self.verified:
            self.older = self.newer
        self.verified += 1
        self.take_readable()

    def take_unreadable(self, counter: int) -> None:
        """Count a whole frame that the key turns into random bytes."""
        self.failed[Hint.WRONG_ENCRYPTION_KEY] += 1
        self._unreadable = self._unreadable + 1 if counter > self._counter else 1
        self._counter = counter

    @property
    def newer(self) -> int:
        """The frames at the end that are under another key than those before."""
        return self._unreadable if self._unreadable >= _ANOTHER_KEY else 0

    @property
    def damaged(self) -> int:
        """The frames that failed and must be damaged, because others verified."""
        if not self.verified:
            return 0
        failed = self.failed[Hint.WRONG_ENCRYPTION_KEY] + self.failed[Hint.WRONG_AUTHENTICATION_KEY]
        return failed - self.older - self.newer + self.securities.total() * self.has_damaged_security

    @property
    def has_damaged_security(self) -> bool:
        """True if the other security bytes are bit errors."""
        return self.securities.total() <= self.verified

    @property
    def is_unproven(self) -> bool:
        """True if frames were accepted, and none of their tags verifies."""
        return 0 < self.verified <= self.unproven


class KeyFaults:
    """The encrypted frames of one source, and what their fate says about its keys.

    Args:
        stream: the one that judges the frames, with the keys in it.

    Attributes:
        is_edge: frames are forwarded to a pool, which has the keys.
    """

    def __init__(self, stream: MeterStream) -> None:
        self.is_edge = False
        self._keys = stream.keys
        self._counters = stream.identities.counters
        self._entries = stream.keys.entries()
        self._titles: dict[bytes, TitleFrames] = {}
        self._verified_titles: list[bytes] = []
        self._samples = 0

    def of(self, title: bytes) -> TitleFrames:
        """Return what is known about the frames of a system title."""
        return self._titles.setdefault(title, TitleFrames())

    def entry_name(self, title: bytes) -> str:
        """Name the entry of keys.yaml that a system title falls under."""
        return entry_name(title if title in self._entries else None)

    # Frames that were accepted

    def take_verified(self, title: bytes) -> None:
        """Count a frame that was accepted."""
        seen = self.of(title)
        seen.take_verified()
        if seen.verified == 1:
            self._verified_titles.append(title)

    def check_tag(self, frame: Frame) -> None:
        """Find out whether the tag of a frame verifies that was accepted under `crc-only`."""
        keys = self._keys.keys_for(frame.system_title)
        if not any(decrypt(frame, key) for key in keys):
            seen = self.of(frame.system_title)
            seen.unproven += 1
            seen.default_fits = any(decrypt(frame, MeterKey(key.encryption_key)) for key in keys)

    # Frames that were rejected

    def is_opened(self, frame: Frame) -> bool:
        """True if a key of this meter opens a frame; also a key that was dropped."""
        return any(_is_opened_by(key, frame) for key in self._keys.keys_for(frame.system_title))

    def is_verified_by_tag(self, title: bytes) -> bool:
        """True if the keys of a meter require the tag to verify."""
        return any(key.verification is Verification.REQUIRED for key in self._keys.keys_for(title))

    def has_damaged_title(self, frame: Frame) -> bool:
        """True if a frame becomes readable with the system title of a meter that is read."""
        return frame.system_title not in self._verified_titles and any(
            self._reads_as_text(frame._replace(system_title=title)) for title in self._verified_titles
        )

    def take_rejected(self, frame: Frame, reason: Reason, hint: Hint | None) -> bool:
        """Count a whole frame that the key in use does not open; False if it only has bit errors."""
        seen = self.of(frame.system_title)
        if reason is Reason.NO_KEY or hint is Hint.WRONG_AUTHENTICATION_KEY:
            seen.failed[hint or reason] += 1
        elif self.is_opened(frame):
            seen.retired += 1
            return True
        elif self._reads_as_text(frame):
            seen.take_readable()
            return False
        else:
            seen.take_unreadable(frame.frame_counter)
        if seen.opener is None:
            seen.opener = self._other_entry_that_opens(frame)
        if seen.sample is None and not self._verified_titles and self._samples < _KEPT_FRAMES:
            self._samples += 1
            seen.sample = frame
        return True

    def is_forwarded(self, title: bytes) -> bool:
        """True if it is no fault that there is no key for a meter: the pool has it."""
        return (
            self.is_edge
            and self.of(title).opener is None
            and not self._keys.keys_for(title)
            and self._keys.entry_like(title) is None
        )

    def _reads_as_text(self, frame: Frame) -> bool:
        return any(reads_as_text(frame, key) for key in self._keys.keys_for(frame.system_title))

    def _other_entry_that_opens(self, frame: Frame) -> str | None:
        own = frame.system_title if frame.system_title in self._entries else None
        for entry, keys in self._entries.items():
            if entry != own and any(_is_opened_by(key, frame) for key in keys):
                return entry_name(entry)
        return None

    # What came of it

    @property
    def damaged(self) -> int:
        """The frames that failed because of bit errors."""
        return sum(
            seen.failed.total() if self._is_damaged_title(title) else seen.damaged
            for title, seen in self._titles.items()
        )

    @property
    def forwarded(self) -> list[int]:
        """How many frames came without a fault from each meter whose key only the pool has."""
        return [
            seen.failed[Reason.NO_KEY]
            for title, seen in self._titles.items()
            if seen.failed[Reason.NO_KEY] and self.is_forwarded(title) and not self._is_damaged_title(title)
        ]

    def findings(self) -> Iterator[Weighted]:
        """Yield what was found about the keys, for each system title."""
        for title, seen in self._titles.items():
            if self._is_damaged_title(title):
                continue
            yield from self._key_changes(title, seen)
            for what, count in seen.failed.items():
                if what is Reason.REPLAY:
                    yield count, key_findings.replay(entry_name(title), count)
                elif self.is_forwarded(title):
                    yield count, key_findings.forwarded(title)
                elif not seen.verified:
                    yield count, self._none_verified(title, seen, what, count)

    def security_findings(self) -> Iterator[Weighted]:
        """Yield what was found about frames with another security byte, unless that is a bit error."""
        securities: Counter[int] = Counter()
        for seen in self._titles.values():
            if not seen.has_damaged_security:
                securities += seen.securities
        if count := securities.total():
            yield count, key_findings.other_security(sorted(securities), count)

    def _key_changes(self, title: bytes, seen: TitleFrames) -> Iterator[Weighted]:
        """Look for a change of key, and for keys in the wrong order."""
        entry = self.entry_name(title)
        if seen.verified and seen.newer and seen.opener is not None:
            yield seen.newer, key_findings.opened_by_other(title, seen.opener, entry)
        elif seen.verified and seen.newer:
            yield seen.newer, key_findings.new_key(title, entry, seen.newer)
        if seen.older:
            yield seen.older, key_findings.older_key(title, entry, seen.older)
        keys = self._entries.get(title, ())
        used = [self._counters.last_accepted(title, key.fingerprint) is not None for key in keys]
        if any(used) and (not used[0] or seen.retired):
            number = len(keys) if used[0] else used.index(True) + 1
            yield seen.retired, key_findings.key_order(title, entry, number, seen.retired)

    def _none_verified(self, title: bytes, seen: TitleFrames, what: Reason | Hint, count: int) -> Finding:
        """Return why no frame of a meter verified."""
        entry = self.entry_name(title)
        if seen.opener is not None:
            return key_findings.opened_by_other(
                title, seen.opener, entry if self._keys.keys_for(title) else None
            )
        if what is Hint.WRONG_AUTHENTICATION_KEY:
            return key_findings.wrong_authentication_key(title, entry, count)
        keys = self._keys.keys_for(title)
        if keys and all(is_dummy(title, key) for key in keys):
            return key_findings.dummy_key(title, entry)
        near = None if title in self._entries else self._keys.entry_like(title)
        if near is not None:
            return key_findings.serial_typo(title, near)
        if keys:
            return key_findings.wrong_encryption_key(title, entry, count)
        others = [entry_name(other) for other in self._entries]
        return key_findings.no_entry(title, others) if others else key_findings.no_key(title)

    def _is_damaged_title(self, title: bytes) -> bool:
        """True if a title is that of a meter that is read, with bit errors."""
        seen = self._titles[title]
        return not seen.verified and seen.sample is not None and self.has_damaged_title(seen.sample)


def _is_opened_by(key: MeterKey, frame: Frame) -> bool:
    return decrypt(frame, key) is not None or fits_encryption_key(frame, key)
