"""A key works however people write it; what is wrong is said with its line and without the key."""

import contextlib
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.key_file import KeyFileError, find_key_file, load_key_ring, permission_problem
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY, KeyRing, Secret, Verification
from smarty_gateway.protocol.system_title import serial_from_system_title, system_title_from_serial

ROOT = Path(__file__).resolve().parents[2]
SERIAL = "SAG1030700012345"
TITLE = bytes.fromhex("5341476770003039")
KEY = "0F1E2D3C4B5A69788796A5B4C3D2E1F0"
OTHER = "000102030405060708090A0B0C0D0E0F"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def load(path: Path, text: str) -> KeyRing:
    path.write_text(text, "utf-8")
    return load_key_ring(path)


def keys(path: Path, text: str, title: bytes = TITLE) -> list[str]:
    """Return the encryption keys of a meter, newest first, in hex."""
    return [key.encryption_key.reveal().hex().upper() for key in load(path, text).keys_for(title)]


def error(path: Path, text: str) -> str:
    with pytest.raises(KeyFileError) as caught:
        load(path, text)
    words = str(caught.value)
    assert "\n" not in words
    return words.removeprefix(f"{path}:")


@pytest.mark.parametrize(
    "spelling",
    [
        KEY, KEY.lower(), f"'{KEY}'", f'"{KEY}"', "0F1E2D3C 4B5A6978 8796A5B4 C3D2E1F0",
        "0F:1E:2D:3C:4B:5A:69:78:87:96:A5:B4:C3:D2:E1:F0", "0F-1E-2D-3C-4B-5A-69-78-87-96-A5-B4-C3-D2-E1-F0",
        "0x0F1E2D3C4B5A69788796A5B4C3D2E1F0", f"[{KEY}]", f"{{encryption_key: {KEY}}}",
        "0x0f,0x1e,0x2d,0x3c,0x4b,0x5a,0x69,0x78,0x87,0x96,0xa5,0xb4,0xc3,0xd2,0xe1,0xf0",
        "[0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78, 0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0]",
        "0F1E2D3C\u00a04B5A6978\u200b8796A5B4\u2013C3D2E1F0   # from the letter", "!!str " + KEY,
        "0F1E2D3C\n    4B5A6978 8796A5B4\n    C3D2E1F0",
    ],
)  # fmt: skip
def test_a_key_may_be_written_in_many_ways(key_file: Path, spelling: str) -> None:
    assert keys(key_file, f"keys:\n  {SERIAL}: {spelling}\n") == [KEY]


@pytest.mark.parametrize(
    "digits",
    ["12345678901234567890123456789012", "00000000000000000000000000000017",
     "1E100000000000000000000000000000", "12345678901234567890123456789E10",
     "01234567012345670123456701234567"],
)  # fmt: skip
def test_yaml_does_not_turn_a_key_into_a_number(key_file: Path, digits: str) -> None:
    assert keys(key_file, f"keys:\n  {SERIAL}: {digits}\n") == [digits]
    assert keys(key_file, f"keys:\n  any: [{digits}]\n") == [digits]


def test_yaml_does_not_turn_a_system_title_into_a_number(key_file: Path) -> None:
    assert keys(key_file, f"keys:\n  5341476770003039: {KEY}\n") == [KEY]


_MARKS = st.sampled_from(["", " ", "  ", ":", "-", ",", ", ", "\u00a0", "0x", " 0x", "\u2011"])


@given(
    key=st.binary(min_size=16, max_size=16),
    marks=st.lists(_MARKS, min_size=16, max_size=16),
    form=st.sampled_from("xX"),
)
def test_any_spelling_of_any_key_gives_that_key(
    tmp_path_factory: pytest.TempPathFactory, key: bytes, marks: list[str], form: str
) -> None:
    if key == LUXEMBOURG_AUTHENTICATION_KEY:
        return
    text = "".join(mark + f"{byte:02{form}}" for mark, byte in zip(marks, key, strict=True))
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    assert keys(path, f'keys:\n  any: "{text}"\n') == [key.hex().upper()]


@pytest.mark.parametrize(
    "name",
    [SERIAL, SERIAL.lower(), "SAG 103 07 00012345", "SAG-1030700012345", "5341476770003039",
     '"5341476770003039"', "53 41 47 67 70 00 30 39", "0x5341476770003039", "53:41:47:67:70:00:30:39"],
)  # fmt: skip
def test_a_meter_may_be_named_by_serial_number_or_system_title(key_file: Path, name: str) -> None:
    ring = load(key_file, f"keys:\n  {name}: {KEY}\n")
    assert len(ring.keys_for(TITLE)) == 1
    assert ring.keys_for(b"another!") == ()
    assert ring.has_entry_for(SERIAL)
    assert not ring.has_entry_for("SAG1030700012346")


def test_any_serves_the_meters_without_an_entry_of_their_own(key_file: Path) -> None:
    text = f"keys:\n  {SERIAL}: {KEY}\n  any: {OTHER}\n"
    assert keys(key_file, text) == [KEY]
    assert keys(key_file, text, b"another!") == [OTHER]
    assert not load(key_file, text).has_entry_for("SAG1030700099999")


def test_all_entries_can_be_listed(key_file: Path) -> None:
    assert set(load(key_file, f"keys:\n  {SERIAL}: {KEY}\n").entries()) == {TITLE}
    found = load(key_file, f"keys:\n  {SERIAL}: {KEY}\n  any: {OTHER}\n").entries()
    assert {title: len(keys) for title, keys in found.items()} == {TITLE: 1, None: 1}


def test_the_long_form_has_all_settings(key_file: Path) -> None:
    text = f"keys:\n  any:\n    encryption_key: [{KEY}, {OTHER}]\n    authentication_key: {OTHER}\n"
    found = load(key_file, text + "    verification: crc-only\n").keys_for(TITLE)
    assert [key.encryption_key.reveal().hex().upper() for key in found] == [KEY, OTHER]
    assert {key.authentication_key.reveal().hex().upper() for key in found} == {OTHER}
    assert {key.verification for key in found} == {Verification.CRC_ONLY}
    (found_short,) = load(key_file, f"keys:\n  any: {KEY}\n").keys_for(TITLE)
    assert found_short.authentication_key.reveal() == LUXEMBOURG_AUTHENTICATION_KEY
    assert found_short.verification is Verification.REQUIRED


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{SERIAL}: {KEY[:-1]}", ["3:", "32 hex digits", "31"]),
        (f"{SERIAL}: {KEY}00", ["3:", "34"]),
        (f"{SERIAL}:", ["3:", "no key is written here"]),
        (f"{SERIAL}: null", ["3:", "no key is written here"]),
        (f"{SERIAL}: []", ["3:", "no key is written here"]),
        (f"{SERIAL}: {KEY[:-1]}G", ["3:", "0 to 9"]),
        (f"{SERIAL}: O{KEY[1:]}", ["3:", "letter O"]),
        (f"{SERIAL}: 00112233445566778899AABBCCDDEEFF", ["3:", "authentication key", "DSO"]),
        (f"{SERIAL}: {{encryption_key: 0x00112233445566778899aabbccddeeff}}", ["3:", "authentication key"]),
        (f"{SERIAL}: {{encryptionkey: {KEY}}}", ["3:", "did you mean 'encryption_key'"]),
        (f"{SERIAL}: {{authentication_key: {KEY}}}", ["3:", "encryption_key is missing"]),
        (f"{SERIAL}: {{encryption_key: {KEY}, verification: none}}", ["3:", "required or crc-only"]),
        (f"{SERIAL}: {{encryption_key: [[{KEY}]]}}", ["3:", "32 hex digits"]),
        (f"{SERIAL}: [{{a: b}}]", ["3:", "32 hex digits"]),
        (f"{SERIAL}: {KEY}\n  {SERIAL}: {OTHER}", ["4:", "already in line 3"]),
        (f"{SERIAL}: {KEY}\n  5341476770003039: {OTHER}", ["4:", "already has an entry in line 3"]),
        (f"{SERIAL}: {KEY}\n  {SERIAL.lower()}: {OTHER}", ["4:", "line 3"]),
        (f"any: {KEY}\n  ANY: {OTHER}", ["4:", "line 3"]),
        (f"SAG103070001234: {KEY}", ["3:", "serial number", "16 hex digits", "any"]),
        (f"SAG9990700012345: {KEY}", ["3:", "serial number"]),
        (f"{KEY}: {SERIAL}", ["3:", "serial number"]),
        (f"[a, b]: {KEY}", ["3:", "name"]),
        (f"{SERIAL}: *alias", ["3:", "YAML"]),
        (f"{SERIAL}: 'open", ["YAML"]),
        (f"{SERIAL}: {KEY}\n\tany: {OTHER}", ["4:", "YAML"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_its_place(
    key_file: Path, line: str, words: list[str]
) -> None:
    said = error(key_file, f"# my keys\nkeys:\n  {line}\n")
    for word in words:
        assert word in said
    assert not re.search(r"(?i)[0-9a-f]{8}(?!.*serial|[0-9])", said.replace("00012345", ""))


def test_a_file_without_keys_is_said_to_be_empty(key_file: Path) -> None:
    for text in ("", "# nothing\n", "keys:\n", "keys: {}\n", "{}\n"):
        assert re.search("there is no key|keys is missing|`name: value`", error(key_file, text))
    for text in ("- a\n", "just text\n", f"{KEY}\n", "a: b\n", "key:\n  any: x\n"):
        said = error(key_file, text)
        assert "keys" in said
        assert KEY not in said


def test_a_file_that_is_no_text_or_no_file_is_an_error_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    for content in (
        b"\xff\xfe\x00",
        b"\x00\x01\x02",
        b"[" * 100_000,
        b"keys: &a {any: *a}",
        b"a: 1\n---\nb: 2\n",
    ):
        path.write_bytes(content)
        with pytest.raises(KeyFileError):
            load_key_ring(path)
    path.write_bytes(b"# " + b"x" * 2_000_000)
    with pytest.raises(KeyFileError, match="too large"):
        load_key_ring(path)
    with pytest.raises(KeyFileError, match="No such file"):
        load_key_ring(tmp_path / "missing.yaml")
    with pytest.raises(KeyFileError, match="directory"):
        load_key_ring(tmp_path)


def test_a_byte_order_mark_does_no_harm(key_file: Path) -> None:
    key_file.write_bytes(b"\xef\xbb\xbf" + f"keys:\n  any: {KEY}\n".encode())
    assert len(load_key_ring(key_file).keys_for(TITLE)) == 1


@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_file_content_loads_or_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    for prefix in (b"", b"keys:\n  any: "):
        path.write_bytes(prefix + content)
        with contextlib.suppress(KeyFileError):
            load_key_ring(path)


def test_the_template_for_users_loads() -> None:
    ring = load_key_ring(ROOT / "keys.example.yaml")
    assert len(ring.keys_for(TITLE)) == 1
    assert len(ring.keys_for(b"another!")) == 1


def test_a_file_that_others_can_read_is_reported_with_the_line_to_type(key_file: Path) -> None:
    key_file.write_text("keys:\n")
    for mode in (0o644, 0o640, 0o604, 0o620):
        key_file.chmod(mode)
        assert f"chmod 600 {key_file}" in str(permission_problem(key_file))
    for mode in (0o600, 0o400):
        key_file.chmod(mode)
        assert permission_problem(key_file) is None
    blank = key_file.with_name("my keys.yaml")
    blank.write_text("keys:\n")
    blank.chmod(0o644)
    assert f"chmod 600 '{blank}'" in str(permission_problem(blank))
    assert permission_problem(key_file.with_name("missing")) is None


def test_credentials_of_a_service_manager_may_be_readable(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file.write_text("keys:\n")
    key_file.chmod(0o644)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key_file.parent))
    assert permission_problem(key_file) is None


def test_the_first_key_file_that_exists_is_taken(tmp_path: Path) -> None:
    places = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    assert find_key_file(places) is None
    places[1].touch()
    assert find_key_file(places) == places[1]
    places[0].touch()
    assert find_key_file(places) == places[0]


def test_a_key_file_in_a_folder_that_is_closed_to_the_user_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, ours = tmp_path / "closed.yaml", tmp_path / "ours.yaml"
    ours.touch()
    exists = Path.exists

    def refuse(path: Path) -> bool:  # what Python 3.11 does there; root, who runs CI, is never refused
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return exists(path)

    monkeypatch.setattr(Path, "exists", refuse)
    assert find_key_file([closed, ours]) == ours
    assert find_key_file([closed]) is None


def test_a_key_cannot_be_printed_or_stored(key_file: Path) -> None:
    ring = load(key_file, f"keys:\n  any: {KEY}\n")
    (key,) = ring.keys_for(TITLE)
    shown = f"{ring!r} {ring} {key!r} {key} {key.encryption_key!r} {key.fingerprint}"
    assert KEY[:6].lower() not in shown.lower()
    with pytest.raises(TypeError):
        pickle.dumps(key.encryption_key)
    assert key.encryption_key == Secret(bytes.fromhex(KEY))
    assert len({key.encryption_key, Secret(bytes.fromhex(KEY)), Secret(bytes.fromhex(OTHER))}) == 2
    with pytest.raises(KeyFormatError):
        Secret(b"short")
    assert bool(ring)
    assert not KeyRing()


def test_a_secret_equals_a_secret_of_the_same_bytes_and_nothing_else() -> None:
    value = bytes.fromhex(KEY)

    class Lookalike:
        _value = value

    others: list[object] = [value, KEY, None, Lookalike(), Secret(bytes.fromhex(OTHER))]
    assert all(Secret(value) != other for other in others)
    assert Secret(value) == Secret(bytes.fromhex(KEY))


def test_serial_number_and_system_title_name_the_same_meter() -> None:
    for serial, title in (
        ("SAG1030700114004", "534147677001BD54"),
        ("SAG1030700026568", "53414767700067C8"),
        (SERIAL, "5341476770003039"),
    ):
        assert system_title_from_serial(serial).hex().upper() == title
        assert serial_from_system_title(bytes.fromhex(title)) == serial


def test_titles_of_another_scheme_stand_for_no_serial_number() -> None:
    for title in (
        b"sag\x67\x70\x00\x30\x39",
        b"12345678",
        b"SAG\x67\x7f\xff\xff\xff",
        b"SAG",
        b"S\xc9G12345",
    ):
        assert serial_from_system_title(title) is None
    for serial in ("SAG9990700012345", "SAG1031600012345", "SAG10307", ""):
        with pytest.raises(KeyFormatError):
            system_title_from_serial(serial)


@pytest.mark.parametrize(
    ("entry", "meter", "is_like"),
    [
        ("SAG1030700012345", "SAG1030700012346", True),
        ("SAG1030700012345", "SAG1030700012354", True),
        ("SAG1030700012345", "SAG1030700012366", True),
        ("SAG1030700012345", "SAG1030700012345", False),
        ("SAG1030700012345", "SAG1030700012666", False),
    ],
)
def test_an_entry_that_differs_in_at_most_two_digits_is_like_the_meter(
    entry: str, meter: str, *, is_like: bool
) -> None:
    ring = KeyRing({entry: KEY})
    assert ring.entry_like(system_title_from_serial(meter)) == (entry if is_like else None)


def test_an_aad_in_the_place_of_the_authentication_key_is_recognised(key_file: Path) -> None:
    entry = f"{{encryption_key: {KEY}, authentication_key: 30{OTHER}}}"
    assert "leave out the 30 at its beginning" in error(key_file, f"keys:\n  any: {entry}\n")
