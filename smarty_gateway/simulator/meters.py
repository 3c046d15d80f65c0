"""One virtual meter: its identity, its dummy key, and what it sends at any moment.

What it sends is a function of the time: the same second gives the same bytes, in this run and in the
next. The frame counter is the number of seconds since 2020, so it rises over restarts as a genuine
meter's does; it cannot where a run at `--speed` was ahead of the real clock when it ended.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smarty_gateway.protocol.frame import AUTHENTICATED_AND_ENCRYPTED, FRAME_PREFIX, TAG_SIZE
from smarty_gateway.protocol.key_ring import KEY_SIZE, LUXEMBOURG_AUTHENTICATION_KEY
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.simulator.household import FIRST_SECOND, Household
from smarty_gateway.simulator.telegrams import BelgianText, LuxembourgText

#: The first line of every key file written here, by which it is known again.
KEYS_HEAD: Final = "# Dummy keys of simulated meters, written by smarty-gateway simulate."
MAX_NUMBER: Final = 99_999_999

_BEGINNING: Final = datetime.fromtimestamp(FIRST_SECOND, UTC)
_SECURITY: Final = bytes([AUTHENTICATED_AND_ENCRYPTED])
_AAD: Final = _SECURITY + LUXEMBOURG_AUTHENTICATION_KEY


class MeterKind(StrEnum):
    """Whose meter it is, which decides what it sends, how often, and whether encrypted."""

    LUXEMBOURG = "luxembourg"
    BELGIUM = "belgium"


class SimulatedMeter:
    """A meter with a household behind it.

    Args:
        number: 1 to 99999999; with the kind it decides identity and key.
        seed: another seed gives other households behind the same identities.

    Attributes:
        meter_id: as the gateway will name it; the serial number of a Luxembourg meter.
        title: the system title, None for a Belgian meter, which has none.
        key: the encryption key, None for a Belgian meter.
        period: seconds between two telegrams.
    """

    def __init__(self, kind: MeterKind, number: int, seed: int = 0) -> None:
        if not 1 <= number <= MAX_NUMBER:
            raise ValueError(f"a simulated meter has a number from 1 to {MAX_NUMBER}")
        self.kind = kind
        self.number = number
        self.title: bytes | None = None
        self.key: bytes | None = None
        self._sealing: _Sealing | None = None
        self._sealing_wrongly: _Sealing | None = None
        self._text: LuxembourgText | BelgianText
        household = Household(f"{kind} {number} {seed}")
        if kind is MeterKind.LUXEMBOURG:
            self.meter_id = f"SAG10307{number:08d}"
            self.period = 10.0
            self.title = system_title_from_serial(self.meter_id)
            self.key = dummy_key(number)
            self._sealing = _Sealing(self.title, self.key)
            self._sealing_wrongly = _Sealing(self.title, bytes(byte ^ 0xFF for byte in self.key))
            self._text = LuxembourgText(self.meter_id, number, household)
        else:
            self.meter_id = f"1SAG11{number:08d}"
            self.period = 1.0
            self._text = BelgianText(self.meter_id, number, household)

    def telegram(self, at: datetime) -> bytes:
        """Write the plaintext telegram of a moment, with its CRC."""
        return self._text.write(seconds_since_2020(at))

    def frame(self, at: datetime) -> bytes:
        """Give what the meter sends at a moment: an encrypted frame, or a plaintext telegram."""
        telegram = self.telegram(at)
        return telegram if self._sealing is None else self._sealing.seal(telegram, seconds_since_2020(at))

    def frame_with_wrong_key(self, at: datetime) -> bytes | None:
        """Give the same under a key that is not the meter's; None where nothing is encrypted."""
        if self._sealing_wrongly is None:
            return None
        return self._sealing_wrongly.seal(self.telegram(at), seconds_since_2020(at))


class _Sealing:
    """Encrypts under one key, as Luxembourg's meters do (Luxmetering P1 1.1.3, clause 3.2.5)."""

    def __init__(self, title: bytes, key: bytes) -> None:
        self._title = title
        self._cipher = AESGCM(key)

    def seal(self, plaintext: bytes, frame_counter: int) -> bytes:
        counter = frame_counter.to_bytes(4, "big")
        # This cipher writes a tag of 16 bytes only; a shorter tag is its beginning (SP 800-38D, 7.1).
        sealed = self._cipher.encrypt(self._title + counter, plaintext, _AAD)[: TAG_SIZE - 16]
        content = _SECURITY + counter + sealed
        return FRAME_PREFIX + self._title + b"\x82" + len(content).to_bytes(2, "big") + content


def dummy_key(number: int) -> bytes:
    """Derive the key of a simulated Luxembourg meter. Everybody can, so it protects nothing."""
    return hashlib.sha256(b"smarty-gateway simulated meter, a dummy key %d" % number).digest()[:KEY_SIZE]


def keys_yaml(meters: Iterable[SimulatedMeter]) -> str:
    """Write a keys.yaml for those of the meters that encrypt."""
    lines = [
        KEYS_HEAD,
        "# They are made from the meters' numbers, protect nothing and fit no real meter.",
        "keys:",
        *(f'  {meter.meter_id}: "{meter.key.hex().upper()}"' for meter in meters if meter.key is not None),
    ]
    return "\n".join(lines) + "\n"


def seconds_since_2020(at: datetime) -> int:
    """Count the whole seconds since 2020 began, which is the frame counter as well."""
    return (at - _BEGINNING) // timedelta(seconds=1)
