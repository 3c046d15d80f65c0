"""Dummies: what a redacted capture shows instead of the originals, in the same length and form. No I/O.

A dummy is computed from the original and a secret of this one redaction: the same original always gets the
same dummy, nothing has to be stored, and the original cannot be found from the dummy. Every digit becomes
another one, so no part of an original is left by chance.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import (
    SYSTEM_TITLE_SIZE,
    serial_from_system_title,
    system_title_from_serial,
)
from smarty_gateway.protocol.values import UnreadableError, read_time

#: Bytes that could begin a frame (DB, after DB also 08) or a telegram (/, with its parity bit AF), end a
#: telegram (!) or a line: dummy noise has none of them.
_UNFIT: Final = b"\xdb\x08/\xaf!\r\n"
_FIT: Final = bytes(byte for byte in range(256) if byte not in _UNFIT)
_TO_FIT: Final = bytes(byte if byte in _FIT else 0x55 for byte in range(256))
_FIT_HIGH: Final = "".join(chr(byte) for byte in _FIT if byte >= 0x80)
#: Serial numbers of meters of all countries: letters of the maker, then digits.
_SERIAL: Final = re.compile(r"[0-9]?[A-Z]{0,4}[0-9]+")
#: The last digits of a serial number name one meter, and are in its system title as well.
_SERIAL_NUMBER: Final = 8
_HEX_PAIRS: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_UNSET: Final = "632525252525"
#: The times of clocks that were never set; those that run began at 0, 1 or 2 o'clock.
_NEVER_SET: Final = re.compile(
    r"(?:0{12}|[Ff]{12}|632525252525|(?:00|70)01010[0-2][0-5][0-9][0-5][0-9])[A-Za-z]?"
)
_DIGITS: Final = ("0123456789",)
_HEX_DIGITS: Final = (*_DIGITS, "ABCDEF", "abcdef")


class Dummies:
    """The dummies of one redaction.

    Args:
        began: when the capture began; times are shifted to the same part of a year, summer or winter.
        randomness: the source of the secret.

    Attributes:
        changes: how many values of each kind were replaced.
        shift: is added to all times: whole weeks, so weekdays stay.
        factor: multiplies all powers, currents and consumptions.
    """

    def __init__(self, began: datetime, randomness: random.Random) -> None:
        self.changes: Counter[str] = Counter()
        self.rng = randomness
        self._secret = randomness.randbytes(32)
        self.shift = _find_shift(began, randomness)
        self.factor = randomness.uniform(0.4, 0.8)
        self._constants: dict[tuple[str, int], int] = {}

    # Identifiers and texts

    def noise(self, size: int) -> bytes:
        """Return random bytes without the beginning of a frame or telegram."""
        return self.rng.randbytes(size).translate(_TO_FIT)

    def title(self, title: bytes) -> bytes:
        """Return the dummy of a system title; it stands for the dummy of its serial number."""
        serial = serial_from_system_title(title)
        if serial is not None:
            return system_title_from_serial(self._serial(serial))
        kept = title[:3] if title[:3].isalpha() and title[:3].isascii() else b""
        digest = self._digest(title, SYSTEM_TITLE_SIZE - len(kept))
        return kept + bytes(_FIT[byte % len(_FIT)] for byte in digest)

    def identifier(self, text: str) -> str:
        """Return the dummy of an identifier, which may be written in hex. Zeros stand for none, and stay."""
        decoded = _printable(text)
        if not (text if decoded is None else decoded).strip("0 "):
            return text
        self.changes["identifiers"] += 1
        if decoded is None:
            return self._others(text, _HEX_DIGITS) if _HEX.fullmatch(text) else self._identifier(text)
        return _as_hex(self._identifier(decoded), text)

    def message(self, text: str) -> str:
        """Return the dummy of a message, which may be written in hex: only its length stays."""
        if not text:
            return text
        self.changes["messages"] += 1
        decoded = _printable(text)
        if decoded is not None:
            return _as_hex("X" * len(decoded), text)
        return self._others(text, _HEX_DIGITS) if _HEX.fullmatch(text) else self._masked(text)

    def rest_of_hex(self, text: str) -> str:
        """Return the dummy of one line of a long hex text: 3s, which are text however they pair."""
        self.changes["messages"] += 1
        return re.sub(r"[0-9A-Fa-f]", "3", text)

    def header(self, text: str) -> str:
        """Return the dummy of a header line: the maker and the baud rate stay, other digits are replaced.

        A header has no bracket. If there is one, a line end was lost, and the bracket is of another line.
        """
        self.changes["header lines"] += 1
        at = max(5, text.find("(")) if "(" in text else len(text)
        return text[:5] + self._others(text[5:at]) + self._masked(text[at:])

    def masked(self, text: str) -> str:
        """Return the dummy of a text of unknown meaning: other digits, and X for letters."""
        result = self._masked(text)
        self.changes["unknown values"] += result != text
        return result

    def _identifier(self, text: str) -> str:
        try:
            system_title_from_serial(text)
        except KeyFormatError:
            pass
        else:
            return self._serial(text)
        return self._others(text) if _SERIAL.fullmatch(text.strip()) else self._masked(text)

    def _serial(self, serial: str) -> str:
        """Return the dummy of a serial number that stands for a system title; maker and type stay."""
        core = serial.strip()
        at = serial.index(core) + len(core) - _SERIAL_NUMBER
        return serial[:at] + self._others(serial[at : at + _SERIAL_NUMBER]) + serial[at + _SERIAL_NUMBER :]

    def _masked(self, text: str) -> str:
        return re.sub(r"[a-z]", "x", re.sub(r"[A-Z]", "X", self._others(text)))

    def _others(self, text: str, alphabets: Sequence[str] = _DIGITS) -> str:
        """Replace every character of an alphabet by another one of it, and damaged bytes by harmless ones."""
        characters = list(text)
        for at, step in enumerate(self._digest(text.encode("latin-1"), len(text))):
            if not text[at].isascii():
                characters[at] = _FIT_HIGH[step % len(_FIT_HIGH)]
            for alphabet in alphabets:
                if (place := alphabet.find(text[at])) >= 0:
                    characters[at] = alphabet[(place + 1 + step % (len(alphabet) - 1)) % len(alphabet)]
        return "".join(characters)

    def _digest(self, original: bytes, size: int) -> bytes:
        return hashlib.shake_256(self._secret + original).digest(size)

    # Times and readings

    def time(self, text: str) -> str | None:
        """Shift a time (YYMMDDhhmmss, perhaps with S or W); None if it is not one. An unset one stays."""
        if _NEVER_SET.fullmatch(text):
            return text
        try:
            moment = read_time(text)
        except UnreadableError:
            return None
        letter = text[12:]
        if moment is None:
            return _UNSET + letter  # the year alone may be damaged, and the rest of a true date must not stay
        self.changes["times"] += 1
        return f"{datetime.fromisoformat(moment) + self.shift:%y%m%d%H%M%S}{letter}"

    def scaled(self, digits: str) -> str:
        """Multiply a power or current; zero stays zero, and nothing else becomes zero."""
        value = _as_integer(digits)
        if not value:
            return digits
        self.changes["readings"] += 1
        return _written_like(max(1, round(value * self.factor)), digits)

    def register(self, name: str, digits: str) -> str:
        """Shift a register; the consumption between two of its readings is scaled as powers are."""
        return self._shifted(name, digits, self.factor)

    def count(self, name: str, digits: str) -> str:
        """Shift a count, such as that of power failures."""
        return self._shifted(name, digits, 1.0)

    def _shifted(self, name: str, digits: str, factor: float) -> str:
        value = _as_integer(digits)
        size = len(digits.replace(".", ""))
        if not value:
            return digits
        self.changes["readings"] += 1
        scaled = round(value * factor)
        if (name, size) not in self._constants:
            # In the lower half of the register's range, so that it does not overflow within the capture.
            target = self.rng.randrange(10**size // 20, 10**size // 2) if size > 1 else 1 + value % 9
            target += target == value
            self._constants[name, size] = target - scaled
        return _written_like((scaled + self._constants[name, size]) % 10**size, digits)


def _find_shift(began: datetime, randomness: random.Random) -> timedelta:
    """Choose whole weeks, back to the same season of an earlier year: S and W stay right for most times."""
    shifts = [
        timedelta(weeks=-52 * years + weeks)
        for years in range(1, 7)
        for weeks in range(-4, 5)
        if _is_summer(began - timedelta(weeks=52 * years - weeks)) == _is_summer(began)
    ]
    return randomness.choice(shifts or [timedelta(weeks=-52)])


def _is_summer(moment: datetime) -> bool:
    """True in the European Union's summer time: from the last Sunday of March to that of October."""

    def last_sunday(month: int) -> datetime:
        last = moment.replace(month=month, day=31, hour=1, minute=0, second=0, microsecond=0)
        return last - timedelta(days=(last.weekday() + 1) % 7)

    return last_sunday(3) <= moment < last_sunday(10)


def _printable(text: str) -> str | None:
    """Decode a hex text; None if it is not one, or not printable."""
    if not _HEX_PAIRS.fullmatch(text):
        return None
    decoded = bytes.fromhex(text).decode("latin-1")
    return decoded if decoded.isascii() and decoded.isprintable() else None


def _as_hex(text: str, like: str) -> str:
    digits = text.encode("ascii").hex()
    return digits if like == like.lower() and like != like.upper() else digits.upper()


def _as_integer(digits: str) -> int:
    return int(digits.replace(".", ""))


def _written_like(value: int, digits: str) -> str:
    """Write a number with as many digits as another one, and its decimal point."""
    text = f"{value:0{len(digits.replace('.', ''))}d}"
    point = digits.find(".")
    return text if point < 0 else f"{text[:point]}.{text[point:]}"
