"""keys.yaml: every fault has its line, no part of a key is ever shown, and what is read can be used."""

from typing import Final

from smarty_gateway.config.key_file import KeyFileError, load_key_ring, read_key_file
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.protocol.key_ring import KEY_SIZE, KeyRing, MeterKey, Verification
from tests.fuzz.folder import written
from tests.fuzz.picker import Picker
from tests.fuzz.secrets import assert_no_secret
from tests.fuzz.yaml_text import finished, key_text, scalar

_METERS: Final = (
    "SAG1030700012345", '"5341476770003039"', "any", "sag1030700012345", "5341476770003040", "ANY",
    "SAG 1030700012352",
    "LGZ1030655933512", "keys", "SAG10307000123456", "0x5341476770003039", "SAG1030799999999",
)  # fmt: skip
_NAMES: Final = ("encryption_key", "authentication_key", "verification", "encryption-key", "key", "name")
_VERIFICATIONS: Final = ("required", "crc-only", "none", "Required", "crc_only")
_AUTHENTICATION_KEY: Final = "00112233445566778899AABBCCDDEEFF"


def check_one(data: bytes) -> None:
    """Raise an exception if a key file made of this is read wrongly."""
    picker = Picker(data)
    content = picker.take(600) if picker.one_in(20) else finished(picker, _file(picker))
    path = written(content, "keys.yaml")
    ring, errors = read_key_file(path)
    for error in errors:
        _check_error(error, content)
    _check_ring(ring, may_be_empty=bool(errors))
    try:
        loaded = load_key_ring(path)
    except KeyFileError as error:
        assert errors
        assert str(error) == str(errors[0])
    else:
        assert not errors
        assert loaded.entries() == ring.entries()
        assert loaded, "a file without a key and without a fault"


def _file(picker: Picker) -> str:
    """Return a key file with the mistakes that people make."""
    lines = [
        picker.choice(("keys:", "keys:", "keys:", "Keys:", "---\nkeys:", "# keys\nkeys: ", "", "- keys:"))
    ]
    for entry in picker.items(5, lambda: _entry(picker)):
        lines += entry
    if picker.one_in(10):
        lines.append(picker.choice(("keys:", "...", "key: x", "--- a", "any: x")))
    return picker.choice(("\n", "\n", "\r\n")).join(lines) + "\n"


def _entry(picker: Picker) -> list[str]:
    name = picker.choice(_METERS) if not picker.one_in(10) else scalar(picker, _METERS)
    kind = picker.number(0, 3)
    if kind == 0:
        return [f"  {name}: {_key(picker)}"]
    if kind == 1:
        keys = picker.items(4, lambda: _key(picker))
        return [f"  {name}:", *(f"    - {key}" for key in keys)]
    if kind == 2:
        return [f"  {name}: [{', '.join(picker.items(3, lambda: _key(picker)))}]"]
    lines = [f"  {name}:"]
    for _ in range(picker.number(1, 4)):
        field = picker.choice(_NAMES)
        usual = _VERIFICATIONS if field == "verification" else (key_text(picker), _AUTHENTICATION_KEY)
        lines.append(f"    {field}: {scalar(picker, usual)}")
    return lines


def _key(picker: Picker) -> str:
    return scalar(picker, (key_text(picker), _AUTHENTICATION_KEY, key_text(picker)))


def _check_error(error: UnusableFileError, content: bytes) -> None:
    assert isinstance(error, KeyFileError)
    assert str(error).isprintable(), "an error is more than one line"
    assert_no_secret(error.message)
    # YAML ends lines at more places than others do.
    lines = content.decode("utf-8", "replace").splitlines() if b"\x00" not in content[:4] else []
    assert error.line is None or not lines or 1 <= error.line <= len(lines) + 1, "there is no such line"


def _check_ring(ring: KeyRing, *, may_be_empty: bool) -> None:
    assert_no_secret(repr(ring))
    for title, keys in ring.entries().items():
        assert keys or may_be_empty
        assert title is None or len(title) == 8
        for key in keys:
            _check_key(key)
            assert_no_secret(repr(key))
        if title is not None:
            assert ring.keys_for(title) == keys


def _check_key(key: MeterKey) -> None:
    assert len(key.encryption_key.reveal()) == len(key.authentication_key.reveal()) == KEY_SIZE
    assert isinstance(key.verification, Verification)
