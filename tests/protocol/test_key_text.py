"""Keys and meter names as people type them, without a file."""

import pytest

from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY, MeterKey, Secret
from smarty_gateway.protocol.key_text import key_from_text, system_title_from_text

KEY = "0F1E2D3C4B5A69788796A5B4C3D2E1F0"


@pytest.mark.parametrize(
    "text", [KEY, KEY.lower(), f"0x{KEY}", " ".join(KEY[at : at + 8] for at in range(0, 32, 8))]
)
def test_a_key_is_read_in_every_spelling(text: str) -> None:
    assert key_from_text(text) == bytes.fromhex(KEY)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no key is written here"),
        (" - ", "no key is written here"),
        (KEY[:-1], "32 hex digits, this one has 31"),
        (KEY + "0", "32 hex digits, this one has 33"),
        (KEY[:-1] + "G", "0 to 9 and the letters A to F"),
        (KEY[:-1] + "O", "the letter O for a zero"),
        (KEY[:-1] + "٣", "0 to 9"),
    ],
)
def test_what_is_not_a_key_is_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(KeyFormatError, match=message) as caught:
        key_from_text(text)
    assert KEY[:6] not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["SAG1030700012345", "sag 103 07 00012345", "5341476770003039", "0x53 41 47 67 70 00 30 39"]
)
def test_a_meter_is_named_by_serial_number_or_system_title(name: str) -> None:
    assert system_title_from_text(name) == bytes.fromhex("5341476770003039")


def test_any_names_no_single_meter() -> None:
    assert system_title_from_text("Any") is None


@pytest.mark.parametrize("name", ["", "house", KEY, "SAG9990700012345", "534147677000303"])
def test_what_names_no_meter_is_refused_without_repeating_it(name: str) -> None:
    with pytest.raises(KeyFormatError, match=r"serial number .* system title .* any") as caught:
        system_title_from_text(name)
    assert not name or name not in str(caught.value)


def test_the_public_authentication_key_is_refused_as_encryption_key() -> None:
    with pytest.raises(KeyFormatError, match="DSO"):
        MeterKey(Secret(LUXEMBOURG_AUTHENTICATION_KEY))
