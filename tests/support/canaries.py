"""The keys of all tests are canaries: no form of them may appear in any output of the program.

`commands` and `running` check the output, the log, the state and the arguments of every command that a test
runs, and `tests.conftest` checks what the tests' own process prints and logs: the whole suite is the test.
"""

import base64
import os
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.dummy_keys import dummy_key
from tests.support.streams import OTHER_KEY
from vectors.building_blocks import BARN_KEY, HOUSE_KEY

#: All keys but the public authentication key of Luxembourg; a test checks that none is missing.
KEYS: Final = (
    HOUSE_KEY,
    BARN_KEY,
    OTHER_KEY,
    bytes(range(0xC0, 0xD0)),  # NOBODYS_KEY of `tests.support.doctor_runs`, which imports this module
    bytes.fromhex("0F1E2D3C4B5A69788796A5B4C3D2E1F0"),  # of the template, and of files that tests write
    bytes(range(16)),  # likewise
    bytes.fromhex("4D3C2B1A09F8E7D6C5B4A39281706F5E"),  # of files in which it may not be a published dummy
    *(bytes(range(first, first + 16)) for first in (0x50, 0x60, 0xD0)),  # of the vectors
    *map(dummy_key, range(1, 5)),  # of simulated meters
)


def forms_of(key: bytes) -> set[bytes]:
    """Return the ways in which a key could be written, in lower case; the raw bytes unchanged."""
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


_FORMS: Final = {key: forms_of(key) for key in KEYS}


def assert_no_key(data: bytes, where: str) -> None:
    """Fail if any form of a key is in there; the message does not show it either."""
    lowered = data.lower()
    for number, (key, forms) in enumerate(_FORMS.items()):
        for form in forms:
            if form in (data if form == key else lowered):
                raise AssertionError(f"key number {number} is in {where}")


def assert_no_key_in_arguments(arguments: tuple[object, ...]) -> None:
    """Fail if an argument of a process is, or holds, a key."""
    assert_no_key(b"\0".join(os.fsencode(str(argument)) for argument in arguments), "the arguments")


def assert_no_key_in_state(folder: Path) -> None:
    """Fail if any file below a folder holds a key."""
    for path in folder.rglob("*"):
        if path.is_file():
            assert_no_key(path.read_bytes(), str(path))
