"""The keys in use: a key file that is read again when it changes.

A bad new version is logged and leaves the old keys in use: a meter must not go dark because somebody saved a
file half-way.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from smarty_gateway.config.key_file import key_file_problem, load_key_ring
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.key_ring import KeyRing

_log: Final = logging.getLogger(__name__)


class KeysInForce:
    """The keys of one file, or those given where there is no file.

    Args:
        path: the key file; None where there is none yet.
        ring: the keys without a file.
        find: looks for a key file that a user made later, as the log advised.

    Attributes:
        path: the key file; None while there is none.
        ring: all keys. It is replaced as a whole, so any thread may take it at any time.

    Raises:
        KeyFileError: the file cannot be used, or others can read it.
    """

    def __init__(
        self, path: Path | None, ring: KeyRing | None = None, find: Callable[[], Path | None] = lambda: None
    ) -> None:
        self.path = path
        self._find = find
        self._version = _version_of(path)
        self.ring = (ring or KeyRing()) if path is None else _load(path)

    def refresh(self, *, asked: bool = False) -> None:
        """Read the file again if it changed, or if a user asked."""
        if self.path is None:
            self.path = self._find()
        version = _version_of(self.path)
        if self.path is None or not (asked or version != self._version):
            return
        self._version = version
        try:
            self.ring = _load(self.path)
        except GatewayError as error:
            _log.error("%s; keeping the keys loaded before", error)
        else:
            _log.info("%s was read: %r", self.path, self.ring)


def _load(path: Path) -> KeyRing:
    ring = load_key_ring(path)
    problem = key_file_problem(path, ring)
    if problem is not None:
        raise problem
    return ring


def _version_of(path: Path | None) -> tuple[int, ...] | None:
    """Return what differs between versions of a file; None while it is not there."""
    if path is None:
        return None
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode
