"""Writes files whole or not at all, readable to whom they are meant for, checked before.

Nothing is written in place: a draft beside the file takes its name once it was read back.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smarty_gateway.protocol.errors import GatewayError

_SECRET_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644


class FileError(GatewayError):
    """A file cannot be written."""


def write_secret(path: Path, text: str, check: Callable[[Path], object] = lambda _: None) -> None:
    """Replace a file that nobody else may read, or make it.

    Args:
        path: of the file.
        text: of the file.
        check: raises GatewayError if the draft is not as it shall be.

    Raises:
        FileError: it cannot be written.
    """
    write_file(path, text.encode(), _SECRET_MODE, check)


def write_public(path: Path, text: str, check: Callable[[Path], object] = lambda _: None) -> None:
    """Do the same for a file without secrets, which a service reads as another user; its mode stays."""
    write_file(
        path, text.encode(), stat.S_IMODE(path.stat().st_mode) if path.exists() else _PUBLIC_MODE, check
    )


def write_file(path: Path, data: bytes, mode: int, check: Callable[[Path], object] = lambda _: None) -> None:
    """Replace a file, or make it, with these permissions.

    Raises:
        FileError: it cannot be written.
    """
    path = Path(os.path.realpath(path))  # a link stays a link, unless it leads to itself
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            owner = (path if path.exists() else path.parent).stat()
            with contextlib.suppress(PermissionError):  # only root can; it writes for the owner of the folder
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        check(draft)
        draft.replace(path)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
