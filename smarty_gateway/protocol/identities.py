"""Who is who: which meters have proven who they are, and which identities belong to whom.

One table serves every stream of a process, so that what was proven on one source counts on all of them:
the replay rule, the refusal of plaintext and the name of a meter ask it. It is a plain value; threads that
share it need a lock (`guard`).

* A *system title* is proven by a frame that verifies under one of its keys. Its frame counters only rise,
  whichever source the frames come from.
* A *serial number* (SAG1030700012345) belongs to the system title that it is computed from.
* Any other *identity* in a telegram (OBIS 0-0:42.0.0, 0-0:96.1.1, 0-0:96.1.0) belongs to the meter that
  first sent it: to a system title, or to a configured plaintext meter by its name.
* A header line is no identity. Two meters of one model have the same.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Final

from smarty_gateway.protocol.counters import FrameCounters
from smarty_gateway.protocol.decoder import IDENTITIES, DecodedTelegram, usual_code
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.frame import Frame
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.system_title import serial_from_system_title, system_title_from_serial
from smarty_gateway.protocol.values import read_hex_text

#: The meter that an identity belongs to: a system title, or the name of a configured plaintext meter.
Owner = bytes | str

#: Seconds within which the same frame on another source is a duplicate and not a replay.
DUPLICATE_SECONDS: Final = 600
#: A telegram carries three identities; a meter whose firmware changes one of them has a few more.
_IDENTITIES_OF_ONE: Final = 8
#: More than two a second for ten minutes; only what is newer can be a duplicate.
_ACCEPTED_OF_ONE: Final = 1500
#: No identity is longer (DSMR 5.0.2 P1, 6.12: 96 digits); what is longer is compared up to here.
LONGEST: Final = 96
_IDENTITY_CODES: Final = frozenset({"0-0:42.0.0", "0-0:96.1.1", "0-0:96.1.0"})
_SERIAL: Final = re.compile(r"[a-z]{3}[0-9]{13}")
#: Characters of a folded serial number, and of a folded title.
_NAME_SIZE: Final = 16


class Admission(Enum):
    """What the frame counter of a verified frame says about it."""

    FRESH = "fresh"
    DUPLICATE = "duplicate"  #: the same frame was accepted on another source a moment ago
    REPLAY = "replay"


class Identities:
    """The table. Values that come from a meter are compared without blanks, marks and case.

    Args:
        counters: the frame counters to go on from.
        owners: what is known about identities, as `owners` gave it; only its first entries where it is
            longer than any meter can make it.
        encrypted_ids: identities that must never be believed in plaintext, because the user says so.
        reserved: identities that the configuration gives to the meter on certain sources.
        guard: keeps other threads out while the table changes.

    Attributes:
        counters: the frame counters of every title that has verified.
    """

    def __init__(
        self,
        counters: FrameCounters | None = None,
        owners: Mapping[str, Owner] | None = None,
        *,
        encrypted_ids: Iterable[str] = (),
        reserved: Mapping[str, Container[str]] = MappingProxyType({}),
        guard: AbstractContextManager[object] | None = None,
    ) -> None:
        self.counters = FrameCounters() if counters is None else counters
        self._guard = nullcontext() if guard is None else guard
        self._owners: dict[str, Owner] = {}
        self._count_of: dict[Owner, int] = {}
        self._encrypted_ids = frozenset(form for identity in encrypted_ids for form in forms_of(identity))
        self._reserved = {fold(identity): sources for identity, sources in reserved.items()}
        self._accepted: dict[bytes, _AcceptedFrames] = {}
        self._sources: dict[str, int] = {}
        for identity, owner in (owners or {}).items():
            self._give(identity, owner)

    # Frames

    def is_duplicate(self, frame: Frame, source: str, now: float | None) -> bool:
        """True if this very frame was accepted on another source within the last ten minutes.

        Args:
            frame: title, counter and tag of it count.
            source: where it came from.
            now: seconds of a clock that all streams share; None where there is no clock.
        """
        if now is None or frame.system_title not in self._accepted:
            return False
        with self._guard:
            return self._is_copy(frame, source, now)

    def _is_copy(self, frame: Frame, source: str, now: float | None) -> bool:
        accepted = self._accepted.get(frame.system_title)
        if accepted is None or now is None:
            return False
        return accepted.has(frame, now, other_than=self._sources.get(source))

    def admit(
        self, frame: Frame, fingerprint: str, source: str, now: float | None, *, is_good: bool
    ) -> Admission:
        """Judge and record the frame counter of a frame that has verified.

        Args:
            frame: what has verified.
            fingerprint: of the key that it verified under.
            source: where it came from.
            now: as in `is_duplicate`.
            is_good: its telegram passed the other checks, so a copy of it is a duplicate.
        """
        with self._guard:
            if self.counters.is_replay(frame.system_title, fingerprint, frame.frame_counter):
                is_copy = self._is_copy(frame, source, now)
                return Admission.DUPLICATE if is_copy else Admission.REPLAY
            self.counters.advance(frame.system_title, fingerprint, frame.frame_counter)
            if is_good and now is not None:
                number = self._sources.setdefault(source, len(self._sources))
                self._accepted.setdefault(frame.system_title, _AcceptedFrames()).add(frame, number, now)
            return Admission.FRESH

    def last_accepted_at(self, title: bytes) -> float | None:
        """Return when a frame of this meter was last accepted; None before the first in this process."""
        accepted = self._accepted.get(title)
        return None if accepted is None else accepted.last_at

    # Identities

    def claim(self, owner: Owner, identities: Sequence[str], source: str) -> bool:
        """Record that a meter sent these identities; False if the first one belongs to another meter.

        Then nothing is recorded: a meter gains nothing by claiming the identity of another.

        Args:
            owner: the title under which they were authenticated, or the name of a configured plaintext meter.
            identities: as `identities_of` returns them, the one that names the meter first.
            source: where they came from.
        """
        if all(self._owners.get(identity) == owner for identity in identities):
            return True  # as in the telegram before
        with self._guard:
            if self._is_foreign(identities[0], owner, source):
                return False
            for identity in identities:
                if identity not in self._owners and not self._is_foreign(identity, owner, source):
                    self._give(identity, owner)
            return True

    def speaks_for(self, title: bytes, identity: str, *, is_authenticated: bool) -> bool:
        """True if an identity inside a frame says who its meter is.

        Args:
            title: of the frame.
            identity: in it.
            is_authenticated: the tag verified; then only what the title has claimed counts.
        """
        if identity in names_of_title(title):
            return True
        owner = self.owner_of(identity)
        if is_authenticated or isinstance(owner, bytes):
            return owner == title
        return not _is_serial(identity)

    def owner_of(self, identity: str) -> Owner | None:
        """Return the meter that an identity belongs to; None before the first that sent it."""
        title = title_of_identity(identity)
        if title is not None and self.counters.has_title(title):
            return title
        return self._owners.get(identity)

    def title_behind(self, identities: Iterable[str], keys: KeyRing) -> bytes | None:
        """Return the title of the encrypted meter that plaintext with these identities pretends to be.

        None if none of them belongs to a title that has a key of its own or has verified.
        """
        for identity in identities:
            title = title_of_identity(identity)
            if title is not None and keys.has_entry_of(title):
                return title
            owner = self.owner_of(identity)
            if isinstance(owner, bytes):
                return owner
        return None

    def is_never_plaintext(self, identities: Iterable[str]) -> bool:
        """True if the user has stated that the meter of one of these identities encrypts."""
        return not self._encrypted_ids.isdisjoint(identities)

    def forget(self, owner: Owner) -> None:
        """Drop the identities of a meter."""
        with self._guard:
            self._owners = {key: found for key, found in self._owners.items() if found != owner}
            self._count_of.pop(owner, None)

    def owners(self) -> dict[str, Owner]:
        """Return a copy of what is known about identities, for the state file."""
        with self._guard:
            return self._owners.copy()

    def _is_foreign(self, identity: str, owner: Owner, source: str) -> bool:
        reserved = self._reserved.get(identity)
        if reserved is not None and source not in reserved:
            return True
        if isinstance(owner, bytes) and _is_serial(identity):
            return title_of_identity(identity) not in (owner, None)
        return self.owner_of(identity) not in (owner, None)

    def _give(self, identity: str, owner: Owner) -> None:
        count = self._count_of.get(owner, 0)
        if count < _IDENTITIES_OF_ONE:
            self._owners[identity] = owner
            self._count_of[owner] = count + 1


def fold(identity: str) -> str:
    """Return the form in which identities are compared: letters and digits only, in lower case."""
    return "".join([c for c in identity[:LONGEST] if c.isalnum()]).casefold()


def _is_serial(identity: str) -> bool:
    return (
        len(identity) == _NAME_SIZE
        and identity[:3].isalpha()
        and identity[3:].isdigit()
        and identity.isascii()
    )


@lru_cache(maxsize=256)
def title_of_identity(identity: str) -> bytes | None:
    """Return the title that a folded serial number or title stands for, None for any other identity."""
    if len(identity) != _NAME_SIZE:
        return None
    try:
        return system_title_from_serial(identity) if _is_serial(identity) else bytes.fromhex(identity)
    except (KeyFormatError, ValueError):
        return None


@lru_cache(maxsize=256)
def names_of_title(title: bytes) -> frozenset[str]:
    """Return the identities that a system title stands for by itself, in the form of `fold`."""
    serial = serial_from_system_title(title)
    return frozenset({title.hex()} | ({serial.casefold()} if serial else set()))


def forms_of(identity: str) -> frozenset[str]:
    """Return the ways to write an identity, in the form of `fold`: a serial number and its title are one."""
    folded = fold(identity)
    title = title_of_identity(folded)
    return frozenset({folded}) if title is None else frozenset({folded}) | names_of_title(title)


def identities_of(decoded: DecodedTelegram) -> tuple[str, ...]:
    """Return every identity in a telegram, in the form of `fold`, the one that names the meter first.

    All lines with one of these codes count, so that an empty or odd one in front hides nothing.
    """
    fields = decoded.fields
    found = [str(fields[name]) for name in IDENTITIES if name in fields]
    for code, lines in decoded.unknown.items():
        if usual_code(code) in _IDENTITY_CODES:
            found += [read_hex_text(rest[1:-1]) for rest in lines]
    return _folded(tuple([text[:LONGEST] for text in found]))


def names_in_header(header: str) -> tuple[str, ...]:
    """Return what a header line says that could pass for an identity, in the form of `fold`."""
    return _names_in(header[:LONGEST])


@lru_cache(maxsize=256)
def _names_in(header: str) -> tuple[str, ...]:
    folded = fold(header)
    return (folded, *_SERIAL.findall(folded))


@lru_cache(maxsize=256)
def _folded(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return identities in the form of `fold`; a meter sends the same ones each time."""
    folded = [fold(text) for text in texts]
    return tuple(dict.fromkeys([text for text in folded if text]))


class _AcceptedFrames:
    """The frames of one meter that were accepted within the last ten minutes, 22 bytes each."""

    __slots__ = ("_records", "last_at")
    _RECORD: Final = Struct(">12sIHI")

    def __init__(self) -> None:
        self._records = bytearray()
        self.last_at = 0.0

    def add(self, frame: Frame, source: int, now: float) -> None:
        """Record a frame; sources are numbers, `now` is in seconds."""
        self.last_at = now
        self._records += self._RECORD.pack(
            frame.tag, frame.frame_counter, source & 0xFFFF, int(now) & 0xFFFFFFFF
        )
        size = self._RECORD.size
        old = max(0, len(self._records) // size - _ACCEPTED_OF_ONE)
        while self._seconds_since(old * size, now) > DUPLICATE_SECONDS:
            old += 1
        if old:
            del self._records[: old * size]

    def has(self, frame: Frame, now: float, other_than: int | None) -> bool:
        """True if the frame came from another source than this one, not too long ago."""
        wanted = frame.tag + frame.frame_counter.to_bytes(4, "big")
        size = self._RECORD.size
        at = self._records.find(wanted)
        while at >= 0 and at % size:
            at = self._records.find(wanted, at + 1)
        if at < 0:
            return False
        source = self._RECORD.unpack_from(self._records, at)[2]
        return source != other_than and self._seconds_since(at, now) <= DUPLICATE_SECONDS

    def _seconds_since(self, at: int, now: float) -> int:
        return int(now) - int(self._RECORD.unpack_from(self._records, at)[3])
