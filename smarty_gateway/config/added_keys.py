"""Adds keys to the key folder of a pool: each to the file of its shard, behind what is there.

Operators hand over keys as a keys.yaml or as a table. All is checked before the first file is written, and a
key that is there already is never replaced. No message shows a part of a key.
"""

import contextlib
import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from smarty_gateway.config.edited_yaml import UneditableError, with_entries
from smarty_gateway.config.key_file import KeyFileError, read_key_data, read_key_file
from smarty_gateway.config.key_folder import NO_ANY, KeyFolder, no_folder
from smarty_gateway.config.small_file import MAX_SIZE, UnreadableFileError, read_small_file
from smarty_gateway.config.whole_file import FileError, write_secret
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import (
    LUXEMBOURG_AUTHENTICATION_KEY,
    MeterKey,
    Secret,
    Verification,
    meter_name,
)
from smarty_gateway.protocol.key_text import key_from_text, system_title_from_text
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.protocol.system_title import serial_from_system_title

#: The keys of meters by their system titles, the newest first.
Entries = Mapping[bytes, tuple[MeterKey, ...]]

_HEAD: Final = """\
# The keys of the meters of one shard. Nobody else may read this file. To add keys, type:
# smarty-gateway pool add-keys FILE
keys:
"""
_DEFAULT: Final = Secret(LUXEMBOURG_AUTHENTICATION_KEY)
_LISTED_MAX: Final = 5
_FORM: Final = "write a line for each meter, SERIAL,KEY, or a keys.yaml"


@dataclass(frozen=True, slots=True)
class Added:
    """What was done.

    Attributes:
        added: meters that have a key now.
        known: meters that had the same key before.
        files: that were written.
    """

    added: int
    known: int
    files: int


def read_new_keys(path: Path, data: bytes) -> tuple[Entries, list[UnusableFileError]]:
    """Read keys as an operator has them, and find all faults.

    Args:
        path: where they are from, for messages.
        data: a keys.yaml, or CSV with a serial number or system title and a key in each line.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return {}, [KeyFileError(path, None, "this is not UTF-8 text; save the file as UTF-8")]
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", "---", "%"))), "")
    if not first:
        return {}, [KeyFileError(path, None, f"there is no key in it; {_FORM}")]
    if not first.startswith(("keys:", '"keys":', "{")):
        return _read_table(path, text, next((mark for mark in ";\t," if mark in first), ","))
    if len(data) > MAX_SIZE:
        return {}, [KeyFileError(path, None, "this is too large for a keys.yaml; write SERIAL,KEY lines")]
    ring, errors = read_key_data(path, data)
    entries = ring.entries()
    if entries.pop(None, None) is not None:
        errors.append(KeyFileError(path, None, NO_ANY))
    return {title: keys for title, keys in entries.items() if title is not None}, errors


def _read_table(path: Path, text: str, delimiter: str) -> tuple[Entries, list[UnusableFileError]]:
    found: dict[bytes, tuple[MeterKey, ...]] = {}
    lines: dict[bytes, int] = {}
    errors: list[UnusableFileError] = []
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    is_first = True
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            while cells and not cells[-1]:
                cells.pop()
            if not cells or cells[0].startswith("#"):
                continue
            is_heading, is_first = is_first and not _has_digit("".join(cells)), False
            if is_heading:
                continue
            try:
                title, key = _read_row(cells)
            except KeyFormatError as error:
                errors.append(KeyFileError(path, rows.line_num, str(error)))
                continue
            if found.setdefault(title, (key,)) != (key,):
                message = f"line {lines[title]} has another key for this meter; keep one"
                errors.append(KeyFileError(path, rows.line_num, message))
            lines.setdefault(title, rows.line_num)
    except csv.Error:
        errors.append(KeyFileError(path, rows.line_num, f"this is not CSV; {_FORM}"))
    return found, errors


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)


def _read_row(cells: list[str]) -> tuple[bytes, MeterKey]:
    if len(cells) != 2:
        raise KeyFormatError(
            "two columns are needed: the serial number or system title of the meter, and its key"
        )
    title = system_title_from_text(cells[0])
    if title is None:
        raise KeyFormatError(NO_ANY)
    return title, MeterKey(Secret(key_from_text(cells[1])))


def add_keys(folder: KeyFolder, entries: Entries) -> Added:
    """Write keys into the files of their shards.

    Raises:
        KeyFileError: a key file cannot be used, or has another key for one of the meters, and nothing was
            written; or it cannot be written, as the text says.
    """
    with _alone_in(folder.path):
        new = _not_yet_there(folder, entries)
        for written, (shard, missing) in enumerate(new.items()):
            try:
                _extend(folder, shard, missing)
            except (FileError, UneditableError) as error:
                done = f"{written} of {len(new)} files were written; type the same again for the rest"
                raise KeyFileError(folder.file_of(shard), None, f"{error}; {done}") from None
    added = sum(map(len, new.values()))
    return Added(added, len(entries) - added, len(new))


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep another `add-keys` out of the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise KeyFileError(folder, None, no_folder(folder)) from None
    except OSError as error:
        raise KeyFileError(folder, None, f"the key folder cannot be used: {error.strerror}") from None
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        message = "another add-keys writes here; type it again when that has ended"
        raise KeyFileError(folder, None, message) from None


def _not_yet_there(folder: KeyFolder, entries: Entries) -> dict[int, dict[bytes, tuple[MeterKey, ...]]]:
    """Return the keys that are missing in each shard, one file in memory at a time."""
    by_shard: dict[int, dict[bytes, tuple[MeterKey, ...]]] = {}
    for title, keys in entries.items():
        by_shard.setdefault(shard_of(title), {})[title] = keys
    new: dict[int, dict[bytes, tuple[MeterKey, ...]]] = {}
    for shard, wanted in sorted(by_shard.items()):
        ring, errors = folder.read(shard)
        if errors:
            raise errors[0]
        there = ring.entries()
        others = [title for title, keys in wanted.items() if there.get(title, keys) != keys]
        if others:
            names = ", ".join(meter_name(title) for title in others[:_LISTED_MAX])
            more = f" and {len(others) - _LISTED_MAX} more" if len(others) > _LISTED_MAX else ""
            raise KeyFileError(
                folder.file_of(shard),
                None,
                f"this file has another key for {names}{more}, and nothing was added; change it there",
            )
        if missing := {title: keys for title, keys in wanted.items() if title not in there}:
            new[shard] = missing
    return new


def _extend(folder: KeyFolder, shard: int, missing: Entries) -> None:
    path = folder.file_of(shard)
    before, _ = folder.read(shard)
    expected: dict[bytes | None, tuple[MeterKey, ...]] = {**before.entries(), **dict(missing.items())}

    def check(draft: Path) -> None:
        ring, errors = read_key_file(draft)
        if errors or ring.entries() != expected:
            raise _uneditable("other entries would change")

    write_secret(path, _extended(path if before else None, missing), check)


def _extended(path: Path | None, missing: Entries) -> str:
    """Return a key file with more entries; None stands for a new one."""
    lines = [f"{_name(title)}: {_value(keys)}" for title, keys in sorted(missing.items())]
    if path is None:
        text = _HEAD + "".join(f"  {line}\n" for line in lines)
    else:
        try:
            text = with_entries(read_small_file(path).decode(), lines)
        except (UneditableError, UnicodeDecodeError, UnreadableFileError):
            raise _uneditable("the entries do not stand in lines of their own, or not in UTF-8") from None
    if len(text.encode()) > MAX_SIZE:
        raise _uneditable("it would be larger than 1 MB, which is some 19,000 meters")
    return text


def _uneditable(why: str) -> UneditableError:
    return UneditableError(f"no key can be added to this file ({why}); change it by hand")


def _name(title: bytes) -> str:
    # A title may consist of digits only, which YAML would take for a number.
    return serial_from_system_title(title) or f'"{title.hex().upper()}"'


def _value(keys: tuple[MeterKey, ...]) -> str:
    texts = [_hex(key.encryption_key) for key in keys]
    encryption = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    first = keys[0]
    if first.authentication_key == _DEFAULT and first.verification is Verification.REQUIRED:
        return encryption
    return (
        f"{{encryption_key: {encryption}, authentication_key: {_hex(first.authentication_key)}, "
        f"verification: {first.verification.value}}}"
    )


def _hex(key: Secret) -> str:
    return f'"{key.reveal().hex().upper()}"'
