"""keys.yaml: the keys that grid operators gave to people, as people type them.

A key stays the text that stands in the file (see `yaml_file`), and may be written in all the ways that
letters, web pages and other programs have. No message ever shows a part of a key.
"""

import contextlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import yaml

from smarty_gateway.config.yaml_file import UnusableFileError, YamlReader, first_existing, line_of
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret, Verification
from smarty_gateway.protocol.key_text import HEX_SEPARATORS, key_from_text, system_title_from_text

DEFAULT_KEY_FILES: Final = (Path("keys.yaml"), Path("/etc/smarty-gateway/keys.yaml"))


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
        with self._key_errors_at(name):
            title = system_title_from_text(name.value)
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

    def entry(self, node: yaml.Node) -> tuple[MeterKey, ...]:
        """Read the keys of one meter, the newest first."""
        if not isinstance(node, yaml.MappingNode):
            return tuple(self.encryption_keys(node))
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
        return tuple(replace(key, **found.values) for key in encryption)

    def encryption_keys(self, node: yaml.Node) -> list[MeterKey]:
        """Read one key, or a list of them; a list of sixteen bytes is one key."""
        if not isinstance(node, yaml.SequenceNode):
            return [self._encryption_key(node, self._text(node))]
        if not node.value:
            self.fail(node, "no key is written here")
        texts = [self._text(item) for item in node.value]
        if len(texts) > 1 and all(len(HEX_SEPARATORS.sub("", text)) <= 2 for text in texts):
            return [self._encryption_key(node, " ".join(texts))]
        found: list[MeterKey] = []
        for item, text in zip(node.value, texts, strict=True):
            with self.collected():
                found.append(self._encryption_key(item, text))
        return found

    def _encryption_key(self, node: yaml.Node, text: str) -> MeterKey:
        with self._key_errors_at(node):
            return MeterKey(Secret(key_from_text(text)))

    def _authentication_key(self, node: yaml.Node) -> Secret:
        with self._key_errors_at(node):
            return Secret(key_from_text(self._text(node)))

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "a key is needed here: 32 hex digits in one line")
        if node.value in ("~", "null"):
            self.fail(node, "no key is written here")
        return str(node.value)

    @contextlib.contextmanager
    def _key_errors_at(self, node: yaml.Node) -> Iterator[None]:
        try:
            yield
        except KeyFormatError as error:
            self.fail(node, str(error))

    def verification(self, node: yaml.Node) -> Verification:
        """Read the policy of verification."""
        return Verification(self.choice(node, "verification", [policy.value for policy in Verification]))
