"""The keys of all tests are canaries: no form of them may appear in anything that the program puts out.

`tests.commands` and `tests.running` ask here about the output, the log, the state and the arguments
of every process that a test starts, so the whole suite is the test.
"""

import base64
from pathlib import Path
from typing import Final

from vectors.building_blocks import BARN_KEY, HOUSE_KEY

KEYS: Final = (HOUSE_KEY, BARN_KEY)


def forms_of(key: bytes) -> set[bytes]:
    """Give the ways in which a key could be written, each in lower case; raw bytes as they are."""
    hexed = key.hex()
    pairs = [hexed[at : at + 2] for at in range(0, len(hexed), 2)]
    texts = {hexed, *(mark.join(pairs) for mark in (" ", ":", "-", ",", ", ", "_")), "\\x".join(pairs)}
    texts |= {
        " ".join(hexed[at : at + 8] for at in range(0, 32, 8)),
        ", ".join(f"0x{pair}" for pair in pairs),
    }
    texts |= {str(list(key)), repr(key)[2:-1], str(int.from_bytes(key, "big"))}
    texts |= {base64.b64encode(key).decode().rstrip("="), base64.urlsafe_b64encode(key).decode().rstrip("=")}
    return {key, *(text.lower().encode() for text in texts)}


def assert_no_key(data: bytes, where: str) -> None:
    """Fail if any form of a key is in there; the message does not show it either."""
    lowered = data.lower()
    for number, key in enumerate(KEYS):
        for form in forms_of(key):
            if form in (data if form == key else lowered):
                raise AssertionError(f"key number {number} is in {where}")


def assert_no_key_in_state(folder: Path) -> None:
    """Fail if any file below a folder holds a key."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert_no_key(path.read_bytes(), str(path))
