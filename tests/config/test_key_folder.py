"""The key folder of a pool: the right keys for each shard, and none from a wrong file or one with a fault."""

import fcntl
import itertools
import os
from pathlib import Path

import pytest

from smarty_gateway.config.added_keys import add_keys, read_new_keys
from smarty_gateway.config.key_file import KeyFileError
from smarty_gateway.config.key_folder import KeyFolder
from smarty_gateway.protocol.key_ring import meter_name
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.protocol.system_title import system_title_from_serial
from tests.support.canaries import KEYS, assert_no_key

KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"  # no published dummy
OTHER = KEYS[1].hex().upper()
SERIAL = "SAG1030700012345"
TITLE = system_title_from_serial(SERIAL)
SHARD = shard_of(TITLE)
WRONG = (SHARD + 1) % SHARDS


def write(folder: Path, shard: int, text: str, mode: int = 0o600) -> Path:
    path = folder / f"shard-{shard:02}.yaml"
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return path


def entry(name: str = SERIAL, key: str = KEY) -> str:
    return f"keys:\n  {name}: {key}\n"


def test_a_shard_has_the_keys_of_its_file_and_without_one_none(tmp_path: Path) -> None:
    write(tmp_path, SHARD, entry())
    folder = KeyFolder(tmp_path)
    assert folder.load(SHARD).has_entry_of(TITLE)
    assert not folder.load(WRONG)


def test_a_meter_in_the_file_of_another_shard_is_a_fault_that_names_the_right_one(tmp_path: Path) -> None:
    write(tmp_path, WRONG, entry())
    with pytest.raises(KeyFileError, match=rf":2: .* shard {SHARD}; move it to shard-{SHARD:02}\.yaml"):
        KeyFolder(tmp_path).load(WRONG)


def test_any_is_refused_because_plaintext_is_refused_by_names(tmp_path: Path) -> None:
    write(tmp_path, SHARD, entry("any"))
    with pytest.raises(KeyFileError, match=r":2: a pool has no entry `any`"):
        KeyFolder(tmp_path).load(SHARD)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, SHARD, entry(), mode=0o640)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        KeyFolder(tmp_path).load(SHARD)


def test_a_missing_folder_is_a_fault_and_a_folder_without_files_may_be_one(tmp_path: Path) -> None:
    missing = KeyFolder(tmp_path / "keys")
    with pytest.raises(KeyFileError, match="mkdir -m 700"):
        missing.load(0)
    assert "mkdir -m 700" in str(missing.problem(may_be_empty=True))
    empty = KeyFolder(tmp_path)
    assert empty.problem(may_be_empty=True) is None
    assert "there is no key file in this folder" in str(empty.problem(may_be_empty=False))


def test_a_file_that_is_gone_does_not_take_the_keys_of_its_meters_away(tmp_path: Path) -> None:
    path = write(tmp_path, SHARD, entry())
    folder = KeyFolder(tmp_path)
    folder.load(SHARD)
    path.unlink()
    assert folder.changed(SHARD)
    for _ in range(2):
        with pytest.raises(KeyFileError, match="this key file is gone"):
            folder.load(SHARD)
    with pytest.raises(KeyFileError, match="this key file is gone"):
        folder.load(WRONG)  # the whole folder is
    write(tmp_path, SHARD, entry())
    assert folder.load(SHARD)
    assert not folder.load(WRONG)


def test_a_file_is_read_again_only_after_it_changed(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.load(SHARD)
    assert not folder.changed(SHARD)
    write(tmp_path, SHARD, entry())
    assert folder.changed(SHARD)
    folder.load(SHARD)
    assert not folder.changed(SHARD)
    write(tmp_path, SHARD, entry(key=f"[{OTHER}, {KEY}]"))
    assert folder.changed(SHARD)


def test_a_file_with_a_fault_is_read_again_only_after_it_changed(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    path = write(tmp_path, SHARD, entry(), mode=0o644)
    with pytest.raises(KeyFileError):
        folder.load(SHARD)
    assert not folder.changed(SHARD)
    path.chmod(0o600)
    assert folder.changed(SHARD)
    assert folder.load(SHARD)


@pytest.mark.parametrize("identity", [SERIAL, SERIAL.lower(), f" {SERIAL[:3]}-{SERIAL[3:]}", TITLE.hex()])
def test_a_meter_has_a_key_under_each_of_its_identities(identity: str, tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    assert not folder.has_key(identity)
    write(tmp_path, SHARD, entry(f'"{TITLE.hex()}"'))
    assert folder.has_key(identity)
    assert not folder.has_key("1SAG1100000001")
    folder.file_of(SHARD).unlink()
    with pytest.raises(KeyFileError, match="this key file is gone; put it back"):
        folder.has_key(identity)


def test_files_that_nobody_reads_are_found(tmp_path: Path) -> None:
    write(tmp_path, SHARD, entry())
    for name in ("shard-7.yaml", "shard-64.yaml", "keys.yml", "readme.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in KeyFolder(tmp_path).strays()] == [
        "keys.yml",
        "shard-64.yaml",
        "shard-7.yaml",
    ]


# Adding keys


def added(folder: Path, text: str) -> str:
    """Add keys, and return what was done."""
    entries, errors = read_new_keys(Path("new"), text.encode())
    assert errors == []
    done = add_keys(KeyFolder(folder), entries)
    return f"{done.added} added, {done.known} known, {done.files} files"


SERIALS = [f"SAG10307{number:08}" for number in range(40)]


def neighbour() -> str:
    """Return another meter of the same shard."""
    serials = (f"SAG10307{number:08}" for number in itertools.count())
    return next(serial for serial in serials if shard_of(system_title_from_serial(serial)) == SHARD)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{serial},{KEY}\n" for serial in SERIALS),
        "\ufeffmeter;key;\r\n" + "".join(f'"{serial}"; {KEY[:16]} {KEY[16:]};\r\n' for serial in SERIALS),
        "# from the operator\n\n" + "".join(f"{serial.lower()}\t{KEY.lower()}\n" for serial in SERIALS),
        "# from the operator\nkeys:\n" + "".join(f"  {serial}: {KEY}\n" for serial in SERIALS),
    ],
    ids=["csv", "spreadsheet", "tabs", "keys.yaml"],
)
def test_each_key_goes_into_the_file_of_its_shard(text: str, tmp_path: Path) -> None:
    assert added(tmp_path, text).startswith("40 added, 0 known, ")
    folder = KeyFolder(tmp_path)
    rings = [folder.load(shard) for shard in range(SHARDS)]
    assert {meter_name(title) for ring in rings for title in ring.entries() if title} == set(SERIALS)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert added(tmp_path, text) == "0 added, 40 known, 0 files"


def test_what_is_in_a_file_stays_as_it_is(tmp_path: Path) -> None:
    long = f"     encryption_key: {KEY}\n     verification: crc-only\n"
    text = f"# ours\nkeys:\n    {SERIAL}:  # barn\n{long}# end\n"
    path = write(tmp_path, SHARD, text)
    other = neighbour()
    assert added(tmp_path, f"{other},{OTHER}\n") == "1 added, 0 known, 1 files"
    found = path.read_text("utf-8")
    assert found.replace(f'    {other}: "{OTHER}"\n', "") == text
    assert len(KeyFolder(tmp_path).load(SHARD).entries()) == 2


def test_an_entry_keeps_all_that_it_says(tmp_path: Path) -> None:
    long = f"{{encryption_key: [{KEY}, {OTHER}], authentication_key: {OTHER}, verification: crc-only}}"
    expected, _ = read_new_keys(Path("new"), entry(key=long).encode())
    add_keys(KeyFolder(tmp_path), expected)
    assert KeyFolder(tmp_path).load(SHARD).entries() == expected


@pytest.mark.parametrize(
    "there", [entry(key=OTHER), f"keys: {{{SERIAL}: {OTHER}}}\n", entry("any"), "keys:\n"]
)
def test_nothing_is_added_where_a_file_contradicts_or_has_a_fault(there: str, tmp_path: Path) -> None:
    path = write(tmp_path, SHARD, there)
    with pytest.raises(KeyFileError) as caught:
        added(tmp_path, "".join(f"{serial},{KEY}\n" for serial in [*SERIALS, SERIAL]))
    assert_no_key(str(caught.value).encode(), "the message")
    assert [found.read_text("utf-8") for found in tmp_path.iterdir()] == [there]
    assert path.name in str(caught.value)


def test_a_layout_that_only_a_person_can_change_is_left_alone(tmp_path: Path) -> None:
    other = neighbour()
    path = write(tmp_path, SHARD, f"keys: {{{SERIAL}: {KEY}}}\n")
    with pytest.raises(KeyFileError, match="change it by hand; 0 of 1 files were written"):
        added(tmp_path, f"{other},{KEY}\n")
    assert path.read_text("utf-8") == f"keys: {{{SERIAL}: {KEY}}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "new: there is no key in it; write a line for each meter, SERIAL,KEY, or a keys.yaml"),
        ("\xff", "new: this is not UTF-8 text; save the file as UTF-8"),
        (f"meter,key\n{SERIAL},{KEY}0\n", "new:2: a key has 32 hex digits, this one has 33"),
        (f"{KEY},{SERIAL}\n", "new:1: a meter is named by its serial number"),
        (f"{SERIAL},{KEY},barn\n", "new:1: two columns are needed"),
        (f"{SERIAL}\n{SERIAL},{KEY}\n", "new:1: two columns are needed"),
        (f"any,{KEY}\n", "new:1: a pool has no entry `any`"),
        (f"keys:\n  any: {KEY}\n", "new: a pool has no entry `any`"),
        (f"{SERIAL},{KEY}\n{SERIAL},{OTHER}\n", "new:2: line 1 has another key for this meter"),
        (f'{SERIAL},"{KEY}\n' + "x" * 200_000, "new:2: this is not CSV"),
        (f"keys:\n  {SERIAL}: {KEY}0\n", "new:2: a key has 32 hex digits, this one has 33"),
        ("keys:\n" + " " * 1_000_000, "new: this is too large for a keys.yaml"),
    ],
    ids=range(12),
)
def test_a_fault_in_new_keys_names_the_line_and_shows_no_key(text: str, said: str) -> None:
    _, (error,) = read_new_keys(Path("new"), text.encode("latin-1"))
    assert str(error).startswith(said)
    assert_no_key(str(error).encode(), "the message")


def test_a_file_grows_no_larger_than_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = entry()
    path = write(tmp_path, SHARD, text)
    monkeypatch.setattr("smarty_gateway.config.added_keys.MAX_SIZE", len(text) + 50)
    other = neighbour()
    with pytest.raises(KeyFileError, match="it would be larger than 1 MB"):
        added(tmp_path, f"{other},{KEY}\n")
    assert path.read_text("utf-8") == text


def test_two_cannot_add_keys_at_once(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(KeyFileError, match="another add-keys writes here"):
        added(tmp_path, f"{SERIAL},{KEY}\n")
    os.close(descriptor)
    assert added(tmp_path, f"{SERIAL},{KEY}\n") == "1 added, 0 known, 1 files"
