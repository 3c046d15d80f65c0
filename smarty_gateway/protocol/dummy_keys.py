"""The dummy keys that are published with this project. They protect nothing and open no real meter.

A key file that holds no others needs no protection, and one in which they were left by mistake can be
recognised.
"""

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, Hash

from smarty_gateway.protocol.key_ring import (
    KEY_SIZE,
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
)
from smarty_gateway.protocol.system_title import serial_from_system_title

_DEFAULT: Final = Secret(LUXEMBOURG_AUTHENTICATION_KEY)
#: The first digits of the serial numbers of simulated Luxembourg meters; eight digits with a number follow.
SIMULATED_SERIAL: Final = "SAG10307"
#: Of keys.example.yaml and vectors/sample.keys.yaml.
_PUBLISHED: Final = frozenset(
    Secret(bytes.fromhex(key))
    for key in (
        "0F1E2D3C4B5A69788796A5B4C3D2E1F0",
        "102132435465768798A9BACBDCEDFE0F",
        "000102030405060708090A0B0C0D0E0F",
        "101112131415161718191A1B1C1D1E1F",
        "A0A1A2A3A4A5A6A7A8A9AAABACADAEAF",
    )
)


def dummy_key(number: int) -> bytes:
    """Return the key of a simulated Luxembourg meter, which anyone can compute, so it protects nothing."""
    # Not hashlib, which loads a second library of four megabytes.
    digest = Hash(SHA256())
    digest.update(b"smarty-gateway simulated meter, a dummy key %d" % number)
    return digest.finalize()[:KEY_SIZE]


def is_dummy(system_title: bytes | None, key: MeterKey) -> bool:
    """True if a key is published; None for the title stands for the entry `any`."""
    if key.encryption_key in _PUBLISHED:
        return True
    serial = None if system_title is None else serial_from_system_title(system_title)
    if serial is None or not serial.startswith(SIMULATED_SERIAL):
        return False
    return key.encryption_key == Secret(dummy_key(int(serial.removeprefix(SIMULATED_SERIAL))))


def holds_only_dummies(keys: KeyRing) -> bool:
    """True if there is nothing secret among these keys; False too where there are none."""
    return bool(keys) and all(
        is_dummy(title, key) and key.authentication_key == _DEFAULT
        for title, of_meter in keys.entries().items()
        for key in of_meter
    )
