"""The keys of the meters: values that cannot be printed, found by system title.

A key has no repr, no str and no pickle that shows it, so that no log line, traceback or state file
can contain it by accident.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NoReturn

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import serial_from_system_title

KEY_SIZE: Final = 16
#: "The same for all metering devices", and public: Luxmetering P1 specification 1.1.3, clause 3.4.1.
LUXEMBOURG_AUTHENTICATION_KEY: Final = bytes.fromhex("00112233445566778899AABBCCDDEEFF")


class Verification(Enum):
    """What must hold before a decrypted telegram counts."""

    REQUIRED = "required"  #: the GCM tag, then the telegram's CRC
    CRC_ONLY = "crc-only"  #: the CRC alone, for a meter whose authentication key is not known


class Secret:
    """Sixteen bytes that show themselves to nobody who does not ask for them by name."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if len(value) != KEY_SIZE:
            raise KeyFormatError(f"a key has {KEY_SIZE * 2} hex digits, this one has {len(value) * 2}")
        self._value = bytes(value)

    def reveal(self) -> bytes:
        """Give the bytes themselves; only the decryption stage has a reason to call this."""
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
    """One encryption key with the authentication key and the policy that go with it.

    Attributes:
        fingerprint: names the encryption key without telling it, so that counters can be kept per key.
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


class KeyRing:
    """All keys of one keys.yaml: those of named meters, and those for any other.

    Args:
        by_title: the keys of each meter that has an entry of its own, the newest first.
        others: the keys for every system title without such an entry.
    """

    def __init__(
        self, by_title: Mapping[bytes, Iterable[MeterKey]] | None = None, others: Iterable[MeterKey] = ()
    ) -> None:
        self._by_title = {title: tuple(keys) for title, keys in (by_title or {}).items()}
        self._others = tuple(others)
        self._serials = {serial_from_system_title(title) for title in self._by_title} - {None}

    def keys_for(self, system_title: bytes) -> tuple[MeterKey, ...]:
        """Give the keys to try for a frame, the newest first; none if the meter is not known."""
        return self._by_title.get(system_title, self._others)

    def entries(self) -> dict[bytes | None, tuple[MeterKey, ...]]:
        """Give the keys of each system title that has an entry, those for any other under None."""
        found: dict[bytes | None, tuple[MeterKey, ...]] = dict(self._by_title.items())
        if self._others:
            found[None] = self._others
        return found

    def has_entry_for(self, logical_device_name: str) -> bool:
        """Tell whether the meter of this COSEM logical device name has an entry of its own."""
        return logical_device_name.upper() in self._serials

    def has_entry_of(self, system_title: bytes) -> bool:
        """True if the meter of this system title has an entry of its own."""
        return system_title in self._by_title

    def __bool__(self) -> bool:
        return bool(self._by_title or self._others)

    def __repr__(self) -> str:
        return f"KeyRing({len(self._by_title)} meters, {len(self._others)} keys for any other)"
