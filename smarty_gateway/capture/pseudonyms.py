"""What a redacted capture shows instead of the originals: dummies of equal length and form. Pure.

A dummy follows from a secret of this one redaction and the original, so the same original always gets
the same dummy, nothing must be remembered, and nobody who has the dummy finds the original. Every
digit becomes another one, so nothing of an original is left by chance.
"""

import hashlib
import random
import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import (
    SYSTEM_TITLE_SIZE,
    serial_from_system_title,
    system_title_from_serial,
)

#: What could begin a frame (DB, after DB also 08) or a telegram (/, with its parity bit AF), end one
#: (!), or a line: none of it is in noise of ours.
_UNFIT: Final = b"\xdb\x08/\xaf!\r\n"
_FIT: Final = bytes(byte for byte in range(256) if byte not in _UNFIT)
_TO_FIT: Final = bytes(byte if byte in _FIT else 0x55 for byte in range(256))
#: Those beyond ASCII.
_FIT_HIGH: Final = bytes(byte for byte in _FIT if byte >= 0x80)
#: Serial numbers as meters of all countries have them: letters of the maker, then digits.
_SERIAL: Final = re.compile(r"[0-9]?[A-Z]{0,4}[0-9]+")
#: The part of a serial number that names one meter, where a system title has it, too.
_SERIAL_NUMBER: Final = 8
_HEX_PAIRS: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_TIME: Final = re.compile(r"([0-9]{12})([A-Za-z]?)")
#: As `values` has it: years from 70 on, and those before 2005, are of a clock that was never set.
_PIVOT: Final = "70"
_FIRST_YEAR: Final = 2005
_UNSET: Final = "632525252525"
#: What clocks show that were never set; those that begin to count do so at 0, 1 or 2 o'clock.
_NEVER_SET: Final = re.compile(
    r"(?:0{12}|[Ff]{12}|632525252525|(?:00|70)01010[0-2][0-5][0-9][0-5][0-9])[A-Za-z]?"
)
_UPPER_HEX: Final = "ABCDEF"


class Dummies:
    """The dummies of one redaction.

    Args:
        began: when the capture began; the shift of times keeps its summer or winter time right.
        randomness: where the secret comes from.

    Attributes:
        changes: how many values of each kind were replaced.
        shift: what all times are moved by: whole weeks, so that weekdays stay.
        factor: what all powers, currents and consumptions are multiplied by.
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
        """Give random bytes that form no header of a frame and no telegram."""
        return self.rng.randbytes(size).translate(_TO_FIT)

    def title(self, title: bytes) -> bytes:
        """Give the dummy of a system title; that of its serial number is the same meter's."""
        serial = serial_from_system_title(title)
        if serial is not None:
            return system_title_from_serial(self._serial(serial))
        kept = title[:3] if title[:3].isalpha() and title[:3].isascii() else b""
        while True:
            noise = self._noise_of("title", title)
            if noise[len(kept) :] != title[len(kept) :]:
                return kept + noise[len(kept) :]

    def identifier(self, text: str) -> str:
        """Give the dummy of an identifier, which may be written in hex. Zeros stand for none, and stay."""
        decoded = _printable(text)
        if not (text if decoded is None else decoded).strip("0 "):
            return text
        self.changes["identifiers"] += 1
        if decoded is None:
            return self._hex_digits(text) if _HEX.fullmatch(text) else self._identifier(text)
        return _as_hex(self._identifier(decoded), text)

    def message(self, text: str) -> str:
        """Give the dummy of a message, which may be written in hex: nothing but its length is kept."""
        if not text:
            return text
        self.changes["messages"] += 1
        decoded = _printable(text)
        if decoded is not None:
            return _as_hex("X" * len(decoded), text)
        return self._hex_digits(text) if _HEX.fullmatch(text) else self._masked(text)

    def rest_of_hex(self, text: str) -> str:
        """Give the dummy of a piece of a hex text that goes over several lines: 3s, which are 33 or 3."""
        self.changes["messages"] += 1
        return re.sub(r"[0-9A-Fa-f]", "3", text)

    def header(self, text: str) -> str:
        """Give the dummy of a header line: the maker and the baud rate stay, then digits become others.

        A bracket is in none; behind one stands what followed a line end that was lost.
        """
        self.changes["header lines"] += 1
        at = max(5, text.find("(")) if "(" in text else len(text)
        return text[:5] + self._low(self._digits(text[5:at]), text[5:at]) + self._masked(text[at:])

    def masked(self, text: str) -> str:
        """Give the dummy of what nobody knows: digits become others, letters X."""
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
        stripped = text.strip()
        return self._digits(text) if _SERIAL.fullmatch(stripped) else self._masked(text)

    def _serial(self, serial: str) -> str:
        """Give the dummy of a serial number that stands for a system title, with its maker and type."""
        core = serial.strip()
        at = serial.index(core) + len(core) - _SERIAL_NUMBER
        return serial[:at] + self._digits(serial[at : at + _SERIAL_NUMBER]) + serial[at + _SERIAL_NUMBER :]

    def _masked(self, text: str) -> str:
        masked = self._low(self._digits(text), text)
        return re.sub(r"[a-z]", "x", re.sub(r"[A-Z]", "X", masked))

    def _low(self, text: str, original: str) -> str:
        """Replace what is not ASCII: damaged bytes, which are a beginning of nothing afterwards."""
        if text.isascii():
            return text
        digest = self._digest("high", original, len(text))
        return "".join(
            character if ord(character) < 0x80 else chr(_FIT_HIGH[byte % len(_FIT_HIGH)])
            for character, byte in zip(text, digest, strict=True)
        )

    def _digits(self, text: str) -> str:
        """Make every digit another one."""
        steps = self._digest("digits", text, len(text))
        return "".join(
            str((int(character) + 1 + step % 9) % 10) if "0" <= character <= "9" else character
            for character, step in zip(text, steps, strict=True)
        )

    def _hex_digits(self, text: str) -> str:
        """Make every hex digit another one of its kind."""
        steps = self._digest("hex", text, len(text))
        letters = [
            _UPPER_HEX[(_UPPER_HEX.index(character.upper()) + 1 + step % 5) % 6]
            if character.upper() in _UPPER_HEX
            else character
            for character, step in zip(text, steps, strict=True)
        ]
        joined = self._digits("".join(letters))
        return joined.lower() if text == text.lower() else joined

    def _digest(self, kind: str, text: str, size: int) -> bytes:
        return hashlib.shake_256(self._secret + kind.encode() + text.encode("latin-1")).digest(size)

    def _noise_of(self, kind: str, data: bytes) -> bytes:
        digest = hashlib.shake_256(self._secret + kind.encode() + data).digest(SYSTEM_TITLE_SIZE)
        return bytes(_FIT[byte % len(_FIT)] for byte in digest)

    # Times and readings

    def time(self, text: str) -> str | None:
        """Move a time (YYMMDDhhmmss, perhaps with S or W); None for what is none. An unset one stays so."""
        if _NEVER_SET.fullmatch(text):
            return text
        match = _TIME.fullmatch(text)
        if match is None:
            return None
        digits, letter = match.groups()
        try:
            moment = datetime.strptime(f"20{digits}", "%Y%m%d%H%M%S")  # noqa: DTZ007 - the meter's own time
        except ValueError:
            return _UNSET + letter
        if digits[:2] >= _PIVOT or moment.year < _FIRST_YEAR:
            return _UNSET + letter  # damage to the year alone would leave all the rest of a true date
        self.changes["times"] += 1
        return (moment + self.shift).strftime("%y%m%d%H%M%S") + letter

    def scaled(self, digits: str) -> str:
        """Multiply a power or current; zero stays zero, and nothing else becomes it."""
        value = _as_integer(digits)
        if not value:
            return digits
        self.changes["readings"] += 1
        return _written_like(max(1, round(value * self.factor)), digits)

    def register(self, name: str, digits: str) -> str:
        """Shift a register; what was consumed between two of its readings is scaled as the power is."""
        return self._shifted(name, digits, self.factor)

    def count(self, name: str, digits: str) -> str:
        """Shift a count, such as that of power failures."""
        return self._shifted(name, digits, 1.0)

    def _shifted(self, name: str, digits: str, factor: float) -> str:
        value = _as_integer(digits)
        size = sum(map(str.isdigit, digits))
        if not value:
            return digits
        self.changes["readings"] += 1
        scaled = round(value * factor)
        if (name, size) not in self._constants:
            # Anywhere in the register's lower half, so that it does not overflow while we look.
            target = self.rng.randrange(10**size // 20, 10**size // 2) if size > 1 else 1 + value % 9
            target += target == value
            self._constants[name, size] = target - scaled
        return _written_like((scaled + self._constants[name, size]) % 10**size, digits)


def _find_shift(began: datetime, randomness: random.Random) -> timedelta:
    """Choose whole weeks, years back, with the season that it is: S and W stay right for most times."""
    shifts = [
        timedelta(weeks=-52 * years + weeks)
        for years in range(1, 7)
        for weeks in range(-4, 5)
        if _is_summer(began - timedelta(weeks=52 * years - weeks)) == _is_summer(began)
    ]
    return randomness.choice(shifts or [timedelta(weeks=-52)])


def _is_summer(moment: datetime) -> bool:
    """Tell whether the European Union has summer time: from the last Sunday of March to that of October."""

    def last_sunday(month: int) -> datetime:
        last = moment.replace(month=month, day=31, hour=1, minute=0, second=0, microsecond=0)
        return last - timedelta(days=(last.weekday() + 1) % 7)

    return last_sunday(3) <= moment < last_sunday(10)


def _printable(text: str) -> str | None:
    """Give what a hex text says, None where it is none."""
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
    """Write a number with the digits, and the point, of another one."""
    size = sum(map(str.isdigit, digits))
    text = f"{value:0{size}d}"
    if "." in digits:
        decimals = len(digits) - digits.index(".") - 1
        text = f"{text[: size - decimals]}.{text[size - decimals :]}"
    return text
