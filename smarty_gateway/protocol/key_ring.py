"""The keys of the meters, by system title.

No repr, str or pickle of a key shows its value, so that no log line, traceback or state file can contain
it by accident.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NoReturn, TypeVar

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_text import is_typo, key_from_text, system_title_from_text
from smarty_gateway.protocol.system_title import SYSTEM_TITLE_SIZE, serial_from_system_title

KEY_SIZE: Final = 16
#: "The same for all metering devices", and public: Luxmetering P1 specification 1.1.3, clause 3.4.1.
LUXEMBOURG_AUTHENTICATION_KEY: Final = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


class Verification(Enum):
    """What must be right before a decrypted telegram is accepted."""

    REQUIRED = "required"  #: the GCM tag and the telegram's CRC
    CRC_ONLY = "crc-only"  #: the CRC alone, for a meter whose authentication key is unknown


class Secret:
    """The 16 bytes of a key, which only `reveal` returns."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != KEY_SIZE:
            raise KeyFormatError(f"a key has {KEY_SIZE} bytes, this one has {len(value)}")
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Return the bytes of the key; only decryption has a reason to call this."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never stored")


@dataclass(frozen=True, slots=True)
class MeterKey:
    """One encryption key with its authentication key and verification policy.

    Attributes:
        fingerprint: identifies the encryption key without revealing it; frame counters are kept per key.
    """

    encryption_key: Secret
    authentication_key: Secret = field(default_factory=lambda: Secret(LUXEMBOURG_AUTHENTICATION_KEY))
    verification: Verification = Verification.REQUIRED
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        if self.encryption_key.reveal() == LUXEMBOURG_AUTHENTICATION_KEY:
            raise KeyFormatError(
                "this is the authentication key, which is public and the same for every meter; "
                "the encryption key comes from your grid operator (DSO)"
            )
        # The library that decrypts has it; hashlib would load a second one of four megabytes.
        digest = Hash(SHA256())
        digest.update(b"smarty-gateway fingerprint" + self.encryption_key.reveal())
        object.__setattr__(self, "fingerprint", digest.finalize().hex()[:16])


#: The keys of one meter: hex text as in keys.yaml, 16 bytes, or several of these, the newest first.
KeyEntry = str | bytes | MeterKey | Iterable[str | bytes | MeterKey]
_Name = TypeVar("_Name", str, bytes)
#: The keys of each meter, by its serial number or system title.
KeyMapping = Mapping[_Name, KeyEntry]


class KeyRing:
    """The keys of all meters.

    Args:
        keys: the keys of each meter, by the serial number printed on it or by its system title (hex text or
            8 bytes), and under `any` those for every other meter. The tolerance and the refusals are those
            of keys.yaml (docs/reference.md, "keys.yaml").
        others: the same as an entry `any`.

    Raises:
        KeyFormatError: a key, a serial number or a system title is malformed, or a meter has two entries.
        TypeError: something else than text, bytes or keys was passed.
    """

    def __init__(
        self,
        keys: KeyMapping[_Name] | None = None,
        others: Iterable[MeterKey] = (),
    ) -> None:
        if keys is not None and not isinstance(keys, Mapping):
            raise TypeError(f"keys are a mapping of serial numbers to keys, not {type(keys).__name__}")
        self._by_title: dict[bytes, tuple[MeterKey, ...]] = {}
        self._others = tuple(map(_meter_key, others))
        for name, entry in (keys or {}).items():
            title = _system_title(name)
            if title in self._by_title or (title is None and self._others):
                raise KeyFormatError(f"{_shown(title)} has two entries; keep one of them")
            found = _meter_keys(title, entry)
            if title is None:
                self._others = found
            else:
                self._by_title[title] = found
        self._serials = {serial_from_system_title(title) for title in self._by_title} - {None}
        self._names = tuple(map(meter_name, self._by_title))

    def keys_for(self, system_title: bytes) -> tuple[MeterKey, ...]:
        """Return the keys to try for a frame, the newest first; empty for an unknown meter."""
        return self._by_title.get(system_title, self._others)

    def entries(self) -> dict[bytes | None, tuple[MeterKey, ...]]:
        """Return the keys of each system title that has an entry, and under None those for any other."""
        found: dict[bytes | None, tuple[MeterKey, ...]] = dict(self._by_title.items())
        if self._others:
            found[None] = self._others
        return found

    def has_entry_for(self, logical_device_name: str) -> bool:
        """True if the meter of this COSEM logical device name has an entry of its own."""
        return logical_device_name.upper() in self._serials

    def has_entry_of(self, system_title: bytes) -> bool:
        """True if the meter of this system title has an entry of its own."""
        return system_title in self._by_title

    def entry_like(self, system_title: bytes) -> str | None:
        """Return the name of an entry that may be this meter's, with a typo in it; None if there is none."""
        name = meter_name(system_title)
        return next((entry for entry in self._names if is_typo(entry, name)), None)

    def __bool__(self) -> bool:
        return bool(self._by_title or self._others)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._by_title)} meters, {len(self._others)} keys for any other)"


def meter_name(system_title: bytes) -> str:
    """Return the serial number that is printed on a meter, for other meters the system title in hex."""
    return serial_from_system_title(system_title) or system_title.hex().upper()


def _system_title(name: object) -> bytes | None:
    if isinstance(name, str):
        return system_title_from_text(name)
    if not isinstance(name, bytes):
        raise TypeError(f"a meter is named by text or by 8 bytes, not by {type(name).__name__}")
    if len(name) != SYSTEM_TITLE_SIZE:
        raise KeyFormatError(f"a system title has {SYSTEM_TITLE_SIZE} bytes, this one has {len(name)}")
    return name


def _meter_keys(title: bytes | None, entry: KeyEntry) -> tuple[MeterKey, ...]:
    if isinstance(entry, Mapping):
        raise TypeError("authentication_key and verification are set in keys.yaml, which load_keys reads")
    if not isinstance(entry, Iterable) or isinstance(entry, str | bytes):
        entry = (entry,)
    try:
        keys = tuple(map(_meter_key, entry))
    except KeyFormatError as error:
        raise KeyFormatError(f"{_shown(title)}: {error}") from None
    if not keys:
        raise KeyFormatError(f"{_shown(title)}: no key is written here")
    return keys


def _meter_key(key: object) -> MeterKey:
    if isinstance(key, MeterKey):
        return key
    if isinstance(key, str):
        return MeterKey(Secret(key_from_text(key)))
    if isinstance(key, bytes):
        return MeterKey(Secret(key))
    raise TypeError(f"a key is hex text or {KEY_SIZE} bytes, not {type(key).__name__}")


def _shown(title: bytes | None) -> str:
    return "the entry `any`" if title is None else f"meter {meter_name(title)}"
