"""The system title in a frame and the serial number printed on the meter name the same meter.

    53 41 47   67    7   001BD54        the 8 bytes of a system title
    'S' 'A' 'G' 103   07  00114004       the serial number: SAG 103 07 00114004

Three letters of the manufacturer, one byte written with three digits, four bits written with two,
28 bits written with eight. Users know the serial number, frames carry the title, so keys may be
filed under either. The rule is not specified: it was inferred from frames of real meters, whose telegrams
also carry the serial number. DLMS itself (Green Book 4.3.4) only fixes the length and the three letters.
"""

import re

from smarty_gateway.protocol.errors import KeyFormatError

SYSTEM_TITLE_SIZE = 8

_SERIAL = re.compile(r"([A-Z]{3})([0-9]{3})([0-9]{2})([0-9]{8})")
_SERIAL_BITS = 28


def system_title_from_serial(serial: str) -> bytes:
    """Return the system title of the meter with a printed serial number, such as SAG1030700114004.

    Raises:
        KeyFormatError: the text is not of that form, or one of its numbers is too large for a title.
    """
    match = _SERIAL.fullmatch(serial.strip().upper())
    if match is None:
        raise KeyFormatError(f"{serial!r} is no serial number: three letters and 13 digits are needed")
    letters, kind, variant, number = match.groups()
    if int(kind) > 0xFF or int(variant) > 0xF or int(number) >= 1 << _SERIAL_BITS:
        raise KeyFormatError(f"{serial!r} stands for no system title; write the system title instead")
    packed = int(variant) << _SERIAL_BITS | int(number)
    return letters.encode("ascii") + bytes([int(kind)]) + packed.to_bytes(4, "big")


def serial_from_system_title(title: bytes) -> str | None:
    """Return the serial number that a system title stands for, None if it follows another scheme."""
    letters = title[:3]
    if len(title) != SYSTEM_TITLE_SIZE or not (letters.isalpha() and letters.isascii() and letters.isupper()):
        return None
    packed = int.from_bytes(title[4:], "big")
    number = packed & ((1 << _SERIAL_BITS) - 1)
    if number > 99_999_999:
        return None
    return f"{letters.decode('ascii')}{title[3]:03d}{packed >> _SERIAL_BITS:02d}{number:08d}"
