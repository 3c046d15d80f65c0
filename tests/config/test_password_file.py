"""A password is the only line of a file that nobody else can read."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.key_file import find_key_file
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.exit_status import ExitStatus

PASSWORD = b"correct horse"


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_end_of_the_line_is_not_part_of_the_password(tmp_path: Path, end: bytes) -> None:
    assert read_password(written(tmp_path / "password", PASSWORD + end)) == PASSWORD


def test_blanks_and_any_bytes_are(tmp_path: Path) -> None:
    password = b" \xff\xe9\t "
    assert read_password(written(tmp_path / "password", password + b"\n")) == password


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"hunter2\nhunter3\n", "one line"),
        (b"hunter\x002", "one line"),
        (b"x" * 1_000_001, "too large"),
    ],
)
def test_a_file_that_holds_no_password_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    with pytest.raises(PasswordFileError, match=part) as caught:
        read_password(written(tmp_path / "password", content))
    assert caught.value.exit_status is ExitStatus.UNUSABLE_FILE
    assert "hunter" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_or_write_is_refused_with_what_to_type(tmp_path: Path, mode: int) -> None:
    path = written(tmp_path / "password", PASSWORD, mode)
    with pytest.raises(PasswordFileError, match=f"type: chmod 600 {path}"):
        read_password(path)


def test_credentials_of_a_service_manager_are_exempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_password(written(tmp_path / "password", PASSWORD, 0o440)) == PASSWORD


def test_a_blank_credential_stands_for_no_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "credentials").mkdir()
    for name in ("password", "keys.yaml"):
        written(tmp_path / "credentials" / name, b"\n", 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    path = written(tmp_path / "password", PASSWORD)
    assert credential_or(path) == path
    assert find_key_file([]) is None


def test_a_password_in_the_place_of_the_path_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(PasswordFileError, match="cannot be read: No such file") as caught:
        read_password(tmp_path / "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("container", "advice"),
    [("", "make it belong to the user who runs smarty-gateway"), ("oci", "type on the host: sudo chown")],
)
def test_a_file_of_another_user_gets_advice_on_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, container: str, advice: str
) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = written(tmp_path / "password", PASSWORD)
    monkeypatch.setenv("container", container)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PasswordFileError, match=f"cannot be read: Permission denied; {advice}") as caught:
        read_password(path)
    assert "name a file" not in str(caught.value)


@pytest.mark.parametrize("path", [Path("/"), Path(os.devnull)])
def test_what_is_no_file_is_refused(path: Path) -> None:
    with pytest.raises(PasswordFileError):
        read_password(path)
