"""Copies of files with secrets, for a user without rights."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from smarty_gateway.config.credentials import copies_for, credential_or
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.yaml_file import UnusableFileError


@pytest.fixture(autouse=True)
def own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")


def test_copies_are_for_their_user_alone_and_vanish_at_the_end(tmp_path: Path) -> None:
    secret = tmp_path / "mail.password"
    secret.write_text("swordfish")
    missing = tmp_path / "missing"
    with copies_for(os.getuid(), [secret, missing, secret]):
        copy = credential_or(secret)
        assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("swordfish", 0o600)
        assert copy.parent.stat().st_mode & 0o777 == 0o700
        assert credential_or(missing) == missing
    assert not copy.parent.exists()


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / name / "password" for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("swordfish")
    with (
        pytest.raises(UnusableFileError, match="b/password: another file with a secret has this name"),
        copies_for(os.getuid(), paths),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("closed", ["secrets", "secrets/mqtt.password"])
def test_a_secret_that_a_container_s_user_cannot_read_is_told_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, closed: str
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "secrets").mkdir()
        (folder / "secrets/mqtt.password").write_text("swordfish")
        (folder / closed).chmod(0)
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{name}/secrets")
        os.seteuid(65534)
        try:
            with pytest.raises(PasswordFileError, match="cannot be read: Permission denied; make it"):
                read_password(folder / "mqtt.password")
        finally:
            os.seteuid(0)
