"""The keys of a pool: a folder with a key file for each shard, shard-00.yaml to shard-63.yaml.

A worker reads the file of a shard when it takes the shard: 300,000 meters in one file would take half a
minute and as many megabytes as a small machine has.
"""

import shlex
from pathlib import Path
from typing import Final

from smarty_gateway.config.key_file import KeyFileError, key_file_problem, read_key_file
from smarty_gateway.config.small_file import is_there
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.protocol.identities import forms_of
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.shards import SHARDS, shard_of

#: Plaintext is refused where a meter has a key, and `any` does not say whose.
NO_ANY: Final = "a pool has no entry `any`; write an entry for each meter, with its serial number"
_TITLE_DIGITS: Final = 16
_YAML: Final = (".yaml", ".yml")
_Version = tuple[int, ...]


def file_name(shard: int) -> str:
    """Return the name of the key file of a shard."""
    return f"shard-{shard:02}.yaml"


class KeyFolder:
    """The key files of all shards; not for several threads at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tried: dict[int, _Version | None] = {}
        self._had_file: set[int] = set()
        self._titles: dict[int, tuple[_Version | None, frozenset[bytes]]] = {}

    def file_of(self, shard: int) -> Path:
        """Return the path of the key file of a shard."""
        return self.path / file_name(shard)

    def load(self, shard: int) -> KeyRing:
        """Return the keys of a shard; without a file it has none.

        Raises:
            KeyFileError: the file has a fault, others can read it, or it is gone.
        """
        version = self.version(shard)
        self._tried[shard] = version
        if version is None and (shard in self._had_file or (self._had_file and self._is_empty())):
            # It is perhaps not mounted. Without keys, all frames of the shard would be refused, and so lost.
            raise self._gone(shard)
        ring, errors = self.read(shard)
        if errors:
            raise errors[0]
        if version is not None:
            self._had_file.add(shard)
        return ring

    def changed(self, shard: int) -> bool:
        """True if the file of a shard is not the one that was loaded, or could not be."""
        return self.version(shard) != self._tried.get(shard)

    def read(self, shard: int) -> tuple[KeyRing, list[UnusableFileError]]:
        """Return the keys of a shard that have no fault, and all faults of its file."""
        path = self.file_of(shard)
        try:
            if not self.path.is_dir():
                return KeyRing(), [KeyFileError(self.path, None, no_folder(self.path))]
            if not is_there(path):
                return KeyRing(), []
        except OSError as error:
            return KeyRing(), [KeyFileError(path, None, f"the key file cannot be read: {error.strerror}")]
        ring, errors = read_key_file(path, lambda title: _misplaced(title, shard))
        problem = key_file_problem(path, KeyRing() if errors else ring)
        return ring, [*errors, *([] if problem is None else [problem])]

    def has_key(self, identity: str) -> bool:
        """True if the meter of an identity in a telegram has a key; its file is read for this once.

        Raises:
            KeyFileError: the file has a fault, or others can read it.
        """
        return any(title in self._titles_in(shard_of(title)) for title in titles_of(identity))

    def strays(self) -> list[Path]:
        """Return the YAML files in the folder that are the key file of no shard, so nobody reads them."""
        names = {file_name(shard) for shard in range(SHARDS)}
        try:
            return sorted(p for p in self.path.iterdir() if p.suffix in _YAML and p.name not in names)
        except OSError:
            return []  # reading the key files shows what is wrong

    def problem(self, *, may_be_empty: bool) -> KeyFileError | None:
        """Return the error of a folder that is missing, or holds no key file; else None.

        An empty folder is perhaps one that is not mounted: all frames would be refused, and so lost.

        Args:
            may_be_empty: there are plaintext meters, which need no keys.
        """
        if not self.path.is_dir():
            return KeyFileError(self.path, None, no_folder(self.path))
        if may_be_empty or not self._is_empty():
            return None
        advice = "type smarty-gateway pool add-keys FILE, or mount it"
        return KeyFileError(self.path, None, f"there is no key file in this folder; {advice}")

    def _is_empty(self) -> bool:
        return not any(self.version(shard) for shard in range(SHARDS))

    def _gone(self, shard: int) -> KeyFileError:
        return KeyFileError(self.file_of(shard), None, "this key file is gone; put it back")

    def _titles_in(self, shard: int) -> frozenset[bytes]:
        version = self.version(shard)
        known, titles = self._titles.get(shard, (None, frozenset[bytes]()))
        if version is None and (known is not None or shard in self._had_file):
            raise self._gone(shard)
        if known != version:
            ring, errors = self.read(shard)
            if errors:
                raise errors[0]
            titles = frozenset(title for title in ring.entries() if title is not None)
            self._titles[shard] = version, titles
        return titles

    def version(self, shard: int) -> _Version | None:
        """Return what changes with the file of a shard; None where it cannot be seen."""
        try:
            status = self.file_of(shard).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode


def no_folder(path: Path) -> str:
    """Return what is wrong where the folder is missing."""
    return f"there is no such folder for the key files; type: mkdir -m 700 {shlex.quote(str(path))}"


def titles_of(identity: str) -> set[bytes]:
    """Return the system titles that an identity stands for: by its serial number, or by itself."""
    forms = [form for form in forms_of(identity) if len(form) == _TITLE_DIGITS]
    return {bytes.fromhex(form) for form in forms if set(form) <= set("0123456789abcdef")}


def _misplaced(title: bytes | None, shard: int) -> str | None:
    if title is None:
        return NO_ANY
    right = shard_of(title)
    return None if right == shard else f"this meter belongs to shard {right}; move it to {file_name(right)}"
