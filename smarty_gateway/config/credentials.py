"""Files with secrets, of which a service gets copies: gateway.yaml names the files, by hand and in a service.

The service manager reads the files as root and shows copies to the service alone (`LoadCredential=` of
systemd.exec(5)), in a folder and under the names of the files. Home Assistant has no such thing, so its app,
which starts as root, makes the copies itself.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.yaml_file import UnusableFileError

_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
#: As which the app goes on, and its group; no name is needed for it.
APP_USER: Final = 65532


def credential(name: str) -> Path | None:
    """Return the credential of a name.

    A blank credential stands for a file that was not there when the service started: the unit of the Debian
    package names files that not every household has.
    """
    path = Path(os.environ.get(_VARIABLE) or os.devnull) / name
    try:
        is_there = path.is_file() and not read_small_file(path).isspace()
    except (OSError, UnreadableFileError):
        is_there = True  # whoever reads it says why that fails
    return path if is_there else None


def credential_or(path: Path) -> Path:
    """Return the credential with the name of a file, else the file: it is perhaps for root alone."""
    return credential(path.name) or path


@contextlib.contextmanager
def copies_for(user: int, files: Iterable[Path]) -> Iterator[None]:
    """Make copies of files with secrets that a user can read, who this process is about to become.

    They are in the folder for temporary files, which is in memory for the app (`tmpfs` in its config.yaml).

    Raises:
        UnusableFileError: two files have one name.
    """
    with TemporaryDirectory(prefix="smarty-gateway-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for path in dict.fromkeys(files):
            copy = folder / path.name
            if copy.exists():
                message = "another file with a secret has this name, too; rename one of the two"
                raise UnusableFileError(path, None, message)
            with contextlib.suppress(UnreadableFileError):  # whoever needs it says so
                content = read_small_file(path)
                copy.touch(mode=0o600)
                copy.write_bytes(content)
                os.chown(copy, user, user)
        os.chown(folder, user, user)
        os.environ[_VARIABLE] = name
        yield
