"""One simulated meter: its identity, its dummy key, and what it sends at any moment.

A telegram is a function of the time: the same second gives the same text, in this run and in the next. The
frame counter rises by one a telegram (Luxmetering P1 specification 1.1.3, clause 3.2.5). A simulation begins
to count at the seconds since 2020, so that it rises across restarts too, also with another period. Only after
a run whose `--speed` was above its period does it fall back.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from smarty_gateway.protocol.dummy_keys import SIMULATED_SERIAL, dummy_key
from smarty_gateway.protocol.frame import AUTHENTICATED_AND_ENCRYPTED, FRAME_PREFIX, TAG_SIZE
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.simulator.household import BEGINNING, Household
from smarty_gateway.simulator.telegrams import BelgianText, DutchText, LuxembourgText

#: The first line of a key file written here, by which it is recognised.
KEYS_HEAD: Final = "# Dummy keys of simulated meters, written by smarty-gateway simulate."
MAX_NUMBER: Final = 99_999_999

_SECURITY: Final = bytes([AUTHENTICATED_AND_ENCRYPTED])
_AAD: Final = _SECURITY + LUXEMBOURG_AUTHENTICATION_KEY


class MeterKind(StrEnum):
    """The country of a meter, which decides what it sends, how often, and whether encrypted."""

    LUXEMBOURG = "luxembourg"
    BELGIUM = "belgium"
    NETHERLANDS = "netherlands"


#: The kinds of `--kind mixed`, in turns: one that encrypts and one that does not.
MIXED: Final = (MeterKind.LUXEMBOURG, MeterKind.BELGIUM)


class SimulatedMeter:
    """A meter of a simulated household.

    Args:
        number: 1 to 99999999; kind and number decide identity and key.
        seed: another seed gives another household behind the same identity.
        gas_number: decides the identity of the gas meter; by default the number.
        household: behind the meter; by default that of kind, number and seed.

    Attributes:
        meter_id: the identity under which the gateway reads it.
        title: the system title, None for a meter that does not encrypt.
        key: the encryption key, None for a meter that does not encrypt.
        period: seconds between two telegrams.
    """

    def __init__(
        self,
        kind: MeterKind,
        number: int,
        seed: int = 0,
        *,
        gas_number: int | None = None,
        household: Household | None = None,
    ) -> None:
        gas_number = number if gas_number is None else gas_number
        if not 1 <= min(number, gas_number) <= max(number, gas_number) <= MAX_NUMBER:
            raise ValueError(f"a simulated meter has a number from 1 to {MAX_NUMBER}")
        self.kind = kind
        self.number = number
        self.title: bytes | None = None
        self.key: bytes | None = None
        self.period = 1.0
        self._text: LuxembourgText | BelgianText | DutchText
        household = household or Household(f"{kind} {number} {seed}")
        if kind is MeterKind.LUXEMBOURG:
            self.meter_id = f"{SIMULATED_SERIAL}{number:08d}"
            self.period = 10.0
            self.title = system_title_from_serial(self.meter_id)
            self.key = dummy_key(number)
            self._text = LuxembourgText(self.meter_id, number, gas_number, household)
        elif kind is MeterKind.BELGIUM:
            self.meter_id = f"1SAG11{number:08d}"
            self._text = BelgianText(self.meter_id, number, gas_number, household)
        else:
            self.meter_id = f"E0043{number:012d}"
            self._text = DutchText(self.meter_id, number, gas_number, household)

    def telegram(self, at: datetime) -> bytes:
        """Return the plaintext telegram of a moment, with its CRC."""
        return self._text.write(seconds_since_2020(at))

    def frame(self, at: datetime, *, begin: datetime = BEGINNING, under_wrong_key: bool = False) -> bytes:
        """Return what the meter sends at a moment: an encrypted frame, or a plaintext telegram.

        Luxmetering P1 specification 1.1.3, clause 3.2.5.

        Args:
            at: the moment.
            begin: the frames since then are counted.
            under_wrong_key: encrypt with another key than the meter's.
        """
        telegram = self.telegram(at)
        if self.title is None or self.key is None:
            return telegram
        key = bytes(byte ^ 0xFF for byte in self.key) if under_wrong_key else self.key
        frames = (at - begin) // timedelta(seconds=self.period)
        counter = (seconds_since_2020(begin) + frames).to_bytes(4, "big")
        # The library writes a tag of 16 bytes; a shorter tag is its beginning (NIST SP 800-38D, 7.1).
        sealed = AESGCM(key).encrypt(self.title + counter, telegram, _AAD)[: TAG_SIZE - 16]
        content = _SECURITY + counter + sealed
        return FRAME_PREFIX + self.title + b"\x82" + len(content).to_bytes(2, "big") + content


def keys_yaml(meters: Iterable[SimulatedMeter]) -> str:
    """Write a keys.yaml for the meters that encrypt."""
    lines = [
        KEYS_HEAD,
        "# They are computed from the meters' numbers, protect nothing and fit no real meter.",
        "keys:",
        *(f'  {meter.meter_id}: "{meter.key.hex().upper()}"' for meter in meters if meter.key is not None),
    ]
    return "\n".join(lines) + "\n"


def seconds_since_2020(at: datetime) -> int:
    """Return the whole seconds since the beginning of 2020."""
    return (at - BEGINNING) // timedelta(seconds=1)
