"""Writes the publisher's address to all files that have it: `python -m tests.packaging.publisher`.

`Repository` in `[project.urls]` of pyproject.toml is `https://github.com/OWNER/smarty-gateway` until the
project is published. The publisher replaces OWNER there with a GitHub user or organisation, and types the
command. Places are found by what stands around the name, so a new file needs no entry here.
"""

import os
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
#: Folders that hold the project; all others are caches and environments.
_HIDDEN: Final = {".ci", ".github"}
_NAME: Final = rb"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
#: What stands before and after the owner in an address of this project, of an image, and of mail.
_PLACE: Final = re.compile(
    rb"(github\.com(?:/|%%2F)|ghcr\.io/|--repo |<)%b(?=(?:/|%%2F)smarty-gateway|@users\.noreply\.github\.com)"
    % _NAME
)


def owner_of(root: Path) -> str:
    """Return the publisher's name on GitHub.

    Raises:
        ValueError: pyproject.toml has another kind of address.
    """
    address = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
    match = re.fullmatch(rf"https://github\.com/({_NAME.decode()})/smarty-gateway", address)
    if match is None:
        raise ValueError(
            f"pyproject.toml: Repository is {address!r}; write https://github.com/OWNER/smarty-gateway, "
            "with a user or an organisation for OWNER"
        )
    return match[1]


def outdated(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield each file that has another owner than pyproject.toml, with the content that it should have."""
    owner = owner_of(root).encode()
    # The names of images are in lower case. The placeholder stays as it is, to be seen.
    image_owner = owner if owner == b"OWNER" else owner.lower()
    for path in _files(root):
        before = path.read_bytes()
        after = _PLACE.sub(
            lambda match: match[1] + (image_owner if match[1] == b"ghcr.io/" else owner), before
        )
        if after != before:
            yield path, after


def _files(root: Path) -> Iterator[Path]:
    """Yield the files of the project, but not the tests, which have owners of their own."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            name
            for name in folders
            if (not name.startswith(".") or name in _HIDDEN)
            and name not in {"__pycache__", "build", "dist", "tests"}
        )
        yield from (Path(folder) / name for name in sorted(names) if not (Path(folder) / name).is_symlink())


def main(root: Path = ROOT) -> None:
    """Write the files that are outdated."""
    try:
        for path, content in list(outdated(root)):
            path.write_bytes(content)
            print(path.relative_to(root))  # noqa: T201 - what was done
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
