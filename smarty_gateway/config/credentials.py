"""Files with secrets, of which a service gets copies: gateway.yaml names the files, by hand and in a service.

The service manager reads the files as root and shows copies to the service alone (`LoadCredential=` of
systemd.exec(5)), in a folder and under the names of the files.
"""

import os
from pathlib import Path


def credential_or(path: Path) -> Path:
    """Return the credential with the name of a file, else the file: it is perhaps for root alone.

    A blank credential stands for a file that was not there when the service started: the unit of the Debian
    package names files that not every household has.
    """
    credential = Path(os.environ.get("CREDENTIALS_DIRECTORY") or os.devnull) / path.name
    return credential if credential.is_file() and not credential.read_bytes().isspace() else path
