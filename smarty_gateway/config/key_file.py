"""keys.yaml: the keys that grid operators gave to people, as people type them.

A key stays the text that stands in the file (see `yaml_file`), and may be written in all the ways that
letters, web pages and other programs have. No message ever shows a part of a key.
"""

import os
import re
import shlex
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import yaml

from smarty_gateway.config.yaml_file import UnusableFileError, YamlReader, first_existing, line_of
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import (
    KEY_SIZE,
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
    Verification,
)
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.safe_text import HEX_SEPARATORS

DEFAULT_KEY_FILES: Final = (Path("keys.yaml"), Path("/etc/smarty-gateway/keys.yaml"))

_HEX: Final = re.compile(r"[0-9A-Fa-f]*")
_TITLE: Final = re.compile(r"[0-9A-Fa-f]{16}")
_ANY: Final = "any"


class KeyFileError(UnusableFileError):
    """The key file cannot be used; the text is one line: file, line, what is wrong, what to do."""


def find_key_file(candidates: Iterable[Path] = DEFAULT_KEY_FILES) -> Path | None:
    """Give the first key file that is there, None if there is none.

    One that the service manager handed over (`LoadCredential=keys.yaml:…`) comes first.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    return first_existing([*([Path(folder) / "keys.yaml"] if folder else []), *candidates])


def permission_problem(path: Path, content: str = "the keys") -> str | None:
    """Say that others can read a file of secrets, and how to end that; None where all is well.

    Credentials of a service manager or a container are exempt: they are guarded by their folder.

    Args:
        path: the file.
        content: what the secrets are.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # reading it will say what is wrong
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        return None  # likewise, and nobody should change the mode of a device
    folders = [Path("/run/secrets"), *map(Path, filter(None, [os.environ.get("CREDENTIALS_DIRECTORY")]))]
    resolved = path.resolve()
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or any(resolved.is_relative_to(f.resolve()) for f in folders):
        return None
    chmod = f"chmod 600 {shlex.quote(str(path))}"
    return f"{path}: others on this machine can read {content} in it; type: {chmod}"


def load_key_ring(path: Path) -> KeyRing:
    """Read a key file.

    Raises:
        KeyFileError: it cannot be read, or anything in it is not as it should be; the first fault.
    """
    ring, errors = read_key_file(path)
    if errors:
        raise errors[0]
    return ring


def read_key_file(path: Path) -> tuple[KeyRing, list[UnusableFileError]]:
    """Read a key file, and find all that is wrong with it.

    Of a file with faults the ring holds the entries without; only `check` has a use for that.
    """
    file = _read(path)
    return KeyRing(file.by_title, file.others), file.errors


def check_key_file(path: Path) -> tuple[int, list[UnusableFileError]]:
    """Count the encryption keys in a key file, and find all that is wrong with it."""
    file = _read(path)
    return len(file.others) + sum(map(len, file.by_title.values())), file.errors


def _read(path: Path) -> "_KeyReader":
    reader = _KeyReader(path)
    with reader.collected():
        reader.read()
    return reader


class _KeyReader(YamlReader):
    """Reads one key file.

    Attributes:
        by_title: the keys of each meter that has an entry of its own.
        others: those under `any`.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "key file", KeyFileError)
        self.by_title: dict[bytes, tuple[MeterKey, ...]] = {}
        self.others: tuple[MeterKey, ...] = ()
        self._lines: dict[bytes | None, int] = {}

    def read(self) -> None:
        """Read all entries.

        Raises:
            KeyFileError: there are none; what is wrong with one of them is collected.
        """
        root = self.compose()
        if root is None:
            self.fail(1, "the file is empty; keys.example.yaml shows how it is written")
        for _, node in self.mapping(root, "the file", ("keys",)):
            if not isinstance(node, yaml.MappingNode) or not node.value:
                self.fail(
                    node, "no key is in it; write one line per meter: its serial number, a colon, the key"
                )
            for name, value in self.pairs(node):
                with self.collected():
                    self._add(name, value)
        if not self._lines and not self.errors:
            self.fail(1, "no key is in it; begin with a line `keys:`")

    def _add(self, name: yaml.ScalarNode, value: yaml.Node) -> None:
        title = self.meter(name)
        if title in self._lines:
            self.fail(
                name, f"this meter already has an entry in line {self._lines[title]}; keep one of the two"
            )
        self._lines[title] = line_of(name)
        keys = self.entry(value)
        if title is None:
            self.others = keys
        else:
            self.by_title[title] = keys

    def meter(self, node: yaml.ScalarNode) -> bytes | None:
        """Read the name of an entry: the system title it stands for, None for `any`."""
        text = HEX_SEPARATORS.sub("", node.value)
        if text.lower() == _ANY:
            return None
        if _TITLE.fullmatch(text):
            return bytes.fromhex(text)
        try:
            return system_title_from_serial(text)
        except KeyFormatError:
            words = "an entry begins with the serial number on the meter (such as SAG1030700012345), "
            self.fail(node, f"{words}its system title (16 hex digits) or the word any")

    def entry(self, node: yaml.Node) -> tuple[MeterKey, ...]:
        """Read the keys of one meter, the newest first."""
        if not isinstance(node, yaml.MappingNode):
            return tuple(MeterKey(secret) for secret in self.encryption_keys(node))
        found = self.section(
            node,
            "an entry",
            {
                "encryption_key": self.encryption_keys,
                "authentication_key": self._authentication_key,
                "verification": self.verification,
            },
        )
        if "encryption_key" not in found.nodes:
            self.fail(node, "the encryption_key is missing in this entry")
        encryption = found.values.pop("encryption_key", [])
        return tuple(MeterKey(secret, **found.values) for secret in encryption)

    def encryption_keys(self, node: yaml.Node) -> list[Secret]:
        """Read one key, or a list of them; a list of sixteen bytes is one key."""
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                self.fail(node, "no key is written here")
            texts = [self._text(item) for item in node.value]
            if len(texts) > 1 and all(len(HEX_SEPARATORS.sub("", text)) <= 2 for text in texts):
                return [self._encryption_key(node, " ".join(texts))]
            found: list[Secret] = []
            for item, text in zip(node.value, texts, strict=True):
                with self.collected():
                    found.append(self._encryption_key(item, text))
            return found
        return [self._encryption_key(node, self._text(node))]

    def _encryption_key(self, node: yaml.Node, text: str) -> Secret:
        secret = self._secret(node, text)
        if secret.reveal() == LUXEMBOURG_AUTHENTICATION_KEY:
            self.fail(
                node,
                "this is the authentication key, which is public and the same for every meter; "
                "the encryption key comes from your grid operator (DSO)",
            )
        return secret

    def _authentication_key(self, node: yaml.Node) -> Secret:
        return self._secret(node, self._text(node))

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "a key is needed here: 32 hex digits in one line")
        return str(node.value)

    def _secret(self, node: yaml.Node, text: str) -> Secret:
        digits = HEX_SEPARATORS.sub("", text)
        if not digits or digits in ("~", "null"):
            self.fail(node, "no key is written here")
        if not _HEX.fullmatch(digits):
            hint = " (the letter O for a zero?)" if "o" in digits.lower() else ""
            self.fail(
                node, f"a key holds the digits 0 to 9 and the letters A to F only, this one has others{hint}"
            )
        if len(digits) != 2 * KEY_SIZE:
            self.fail(node, f"a key has {2 * KEY_SIZE} hex digits, here are {len(digits)}")
        return Secret(bytes.fromhex(digits))

    def verification(self, node: yaml.Node) -> Verification:
        """Read the policy of verification."""
        return Verification(self.choice(node, "verification", [policy.value for policy in Verification]))
