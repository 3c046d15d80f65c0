"""What no message may hold: keys and passwords that the inputs are made of, or a part of one."""

import re
from typing import Final

from tests.support.canaries import KEYS, assert_no_key

#: As a user might choose it; every piece of it has a digit, by which a name is told from a secret.
PASSWORD: Final = "c4n4ry7p4ssw0rd9"  # noqa: S105 - of nobody
#: A part of a secret that is this long helps an attacker.
_PART: Final = 8
_PARTS: Final = frozenset(
    text[at : at + _PART]
    for text in (PASSWORD, *(key.hex() for key in KEYS))
    for at in range(len(text) - _PART + 1)
)
#: What people write between the digits of a key.
_SEPARATORS: Final = re.compile(r"[\s:,;._-]|0x")


def assert_no_secret(text: str) -> None:
    """Fail if any part of a key or password is in a message; the failure does not show it."""
    assert_no_key(text.encode("utf-8", "backslashreplace"), "a message")
    bare = _SEPARATORS.sub("", text.lower())
    parts = {bare[at : at + _PART] for at in range(len(bare) - _PART + 1)}
    assert not parts & _PARTS, "a part of a key or password is in a message"
