"""Keys and meter names as people type them.

A grid operator sends a key in a letter, a PDF file or an e-mail, so its digits come with blanks, colons,
dashes and prefixes of many kinds. No message repeats a part of a key.
"""

import re
from typing import Final

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import system_title_from_serial

#: What may stand between hex digits: white space of any kind, the invisible characters of PDF files and web
#: pages, and the marks with which people and programming languages separate bytes.
HEX_SEPARATORS: Final = re.compile(r"(?:[\s\u200b-\u200d\u2060\ufeff:,;.\-\u2010-\u2015\u2212_]|0[xX]|\\x)+")
KEY_DIGITS: Final = 32
_TYPO_DIGITS: Final = 2
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_TITLE: Final = re.compile(r"[0-9A-Fa-f]{16}")


def key_from_text(text: str) -> bytes:
    """Return the sixteen bytes of a key that is written in hex.

    Raises:
        KeyFormatError: it is not a key; the message says what to correct and shows none of it.
    """
    digits = HEX_SEPARATORS.sub("", text)
    if not digits:
        raise KeyFormatError("no key is written here")
    if not _HEX.fullmatch(digits):
        hint = " (the letter O for a zero?)" if "o" in digits.lower() else ""
        raise KeyFormatError(f"a key consists of the digits 0 to 9 and the letters A to F only{hint}")
    if len(digits) != KEY_DIGITS:
        raise KeyFormatError(f"a key has {KEY_DIGITS} hex digits, this one has {len(digits)}")
    return bytes.fromhex(digits)


def is_typo(one: str, other: str) -> bool:
    """True if two names of meters are not equal, but differ in at most two digits."""
    return len(one) == len(other) and 0 < sum(map(str.__ne__, one, other)) <= _TYPO_DIGITS


def system_title_from_text(text: str) -> bytes | None:
    """Return the system title of a meter named by its serial number or title, None for `any`.

    Raises:
        KeyFormatError: it is neither; the message does not repeat it, since it may be a key.
    """
    name = HEX_SEPARATORS.sub("", text)
    if name.lower() == "any":
        return None
    if _TITLE.fullmatch(name):
        return bytes.fromhex(name)
    try:
        return system_title_from_serial(name)
    except KeyFormatError:
        raise KeyFormatError(
            "a meter is named by its serial number (such as SAG1030700012345), "
            "its system title (16 hex digits) or the word any"
        ) from None
