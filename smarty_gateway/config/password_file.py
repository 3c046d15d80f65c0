"""Reads a file that holds a password and nothing else.

The rules are those of keys.yaml: a file that others can read is refused, except where a service manager or
a container protects its folder. No message repeats what could be the password, which is sometimes written in
place of the file's path.
"""

from pathlib import Path

from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.key_file import permission_problem
from smarty_gateway.config.small_file import ForbiddenFileError, UnreadableFileError, read_small_file
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError


class PasswordFileError(GatewayError):
    """A password file cannot be used; the text is one line and says what to do."""

    exit_status = ExitStatus.UNUSABLE_FILE


def read_password(path: Path, key: str = "password_file") -> bytes:
    """Return the password in a file: its only line.

    A credential of the service manager with the name of the file (`LoadCredential=mail.password:…`) comes
    first: it is for this service, and the file perhaps for root alone.

    Args:
        path: of the file.
        key: what names it in gateway.yaml.

    Raises:
        PasswordFileError: the file cannot be read, others can read it, or it does not hold one line.
    """
    path = credential_or(path)
    problem = permission_problem(path, f"the {_what(key)}")
    if problem is not None:
        raise PasswordFileError(problem)
    try:
        data = read_small_file(path)
    except UnreadableFileError as error:
        # Without the path, which may be the password itself.
        named = f"; name a file that holds the {_what(key)} and nothing else"
        advice = "" if isinstance(error, ForbiddenFileError) else named
        raise PasswordFileError(f"the {key} cannot be read: {error}{advice}") from None
    return only_line(data, path, _what(key))


def _what(key: str) -> str:
    return key.removesuffix("_file")


def only_line(data: bytes, path: Path, what: str = "password") -> bytes:
    """Return the password that a file holds.

    Raises:
        PasswordFileError: the file does not hold one line.
    """
    password = data.rstrip(b"\r\n")
    if not password:
        raise PasswordFileError(f"{path}: the file is empty; write the {what} into it")
    if b"\n" in password or b"\0" in password:
        raise PasswordFileError(f"{path}: a {what} is one line of text; write nothing else into the file")
    return password
