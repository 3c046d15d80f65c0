"""keys.yaml: the keys that grid operators gave to people, as people type them.

YAML would turn a key of digits only, or one like 1E10…, into a number, and quietly take the second of
two equal entries. So this reads YAML's nodes instead of its values: every scalar stays the text that
stands in the file, and every fault has its line. No message ever shows a part of a key.
"""

import difflib
import os
import re
import shlex
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NoReturn

import yaml

from smarty_gateway.protocol.errors import GatewayError, KeyFormatError
from smarty_gateway.protocol.keyring import (
    KEY_SIZE,
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
    Verification,
)
from smarty_gateway.protocol.system_title import system_title_from_serial

DEFAULT_KEY_FILES: Final = (Path("keys.yaml"), Path("/etc/smarty-gateway/keys.yaml"))
#: A key file is a page at most; whatever is larger is another file, named by mistake.
_MAX_SIZE: Final = 1_000_000

#: What may stand between hex digits: white space of any kind, also what PDF files and web pages put
#: there unseen, and the marks people and programming languages separate bytes with.
_SEPARATORS: Final = re.compile(r"[\s\u200b-\u200d\u2060\ufeff:,;.\-\u2010-\u2015\u2212_]+|0[xX]|\\x")
_HEX: Final = re.compile(r"[0-9A-Fa-f]*")
_TITLE: Final = re.compile(r"[0-9A-Fa-f]{16}")
_ANY: Final = "any"
_ENTRY_NAMES: Final = ("encryption_key", "authentication_key", "verification")


class KeyFileError(GatewayError):
    """The key file cannot be used; the text is one line: file, line, what is wrong, what to do."""

    def __init__(self, path: Path, line: int | None, words: str) -> None:
        self.path = path
        self.line = line
        super().__init__(f"{path}:{line}: {words}" if line is not None else f"{path}: {words}")


def find_key_file(candidates: Iterable[Path] = DEFAULT_KEY_FILES) -> Path | None:
    """Give the first key file that is there, None if there is none."""
    return next((path for path in candidates if _is_there(path)), None)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return False  # in a folder that is not this user's business, so it is not this user's file


def permission_problem(path: Path) -> str | None:
    """Say that others can read the key file, and how to end that; None where all is well.

    Credentials of a service manager or a container are exempt: they are guarded by their folder.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # reading it will say what is wrong
    folders = [Path("/run/secrets"), *map(Path, filter(None, [os.environ.get("CREDENTIALS_DIRECTORY")]))]
    resolved = path.resolve()
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or any(resolved.is_relative_to(f.resolve()) for f in folders):
        return None
    return f"{path}: others on this machine can read the keys in it; type: chmod 600 {shlex.quote(str(path))}"


def load_key_ring(path: Path) -> KeyRing:
    """Read a key file.

    Raises:
        KeyFileError: it cannot be read, or anything in it is not as it should be.
    """
    root = _compose(path)
    reader = _Reader(path)
    by_title: dict[bytes, tuple[MeterKey, ...]] = {}
    others: tuple[MeterKey, ...] = ()
    lines: dict[bytes | None, int] = {}
    if root is None:
        raise KeyFileError(path, 1, "the file is empty; keys.example.yaml shows how it is written")
    for _, node in reader.mapping(root, "the file", ("keys",)):
        if not isinstance(node, yaml.MappingNode) or not node.value:
            reader.fail(
                node, "no key is in it; write one line per meter: its serial number, a colon, the key"
            )
        for name_node, entry in reader.pairs(node):
            title = reader.meter(name_node)
            if title in lines:
                reader.fail(
                    name_node, f"this meter already has an entry in line {lines[title]}; keep one of the two"
                )
            lines[title] = name_node.start_mark.line + 1
            keys = reader.entry(entry)
            if title is None:
                others = keys
            else:
                by_title[title] = keys
    if not lines:
        raise KeyFileError(path, 1, "no key is in it; begin with a line `keys:`")
    return KeyRing(by_title, others)


def _compose(path: Path) -> yaml.Node | None:
    """Read the file as YAML nodes, with errors that show nothing of its content."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise KeyFileError(path, None, f"the key file cannot be read: {error.strerror}") from None
    if len(text) > _MAX_SIZE:
        raise KeyFileError(path, None, "this is no key file, it is far too large")
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
    except (yaml.YAMLError, UnicodeDecodeError):
        raise KeyFileError(path, None, "this is no text in UTF-8; save it as UTF-8") from None
    except RecursionError:
        raise KeyFileError(path, None, "this is no key file, it is nested far too deeply") from None
    raise KeyFileError(
        path, line, "this is not valid YAML; look at indents, quotes, colons and tabs in this line and before"
    )


class _Reader:
    """Walks the nodes of one file; every fault becomes an error with its line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fail(self, node: yaml.Node, words: str) -> NoReturn:
        raise KeyFileError(self._path, node.start_mark.line + 1, words)

    def pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Yield names and values of a mapping; a name that stands there twice is a fault."""
        lines: dict[str, int] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self.fail(name, "a name is needed here, before the colon")
            if name.value in lines:
                self.fail(
                    name,
                    f"{name.value!r} stands here already in line {lines[name.value]}; keep one of the two",
                )
            lines[name.value] = name.start_mark.line + 1
            yield name, value

    def mapping(self, node: yaml.Node, what: str, known: tuple[str, ...]) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the values of a mapping whose names are fixed."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, f"{what} needs lines of the form `name: value`, with one of: {', '.join(known)}")
        for name, value in self.pairs(node):
            if name.value not in known:
                near = difflib.get_close_matches(name.value, known, n=1, cutoff=0.0)
                self.fail(name, f"{_shown(name.value)} is not known here; did you mean {near[0]!r}?")
            yield name.value, value

    def meter(self, node: yaml.ScalarNode) -> bytes | None:
        """Read the name of an entry: the system title it stands for, None for `any`."""
        text = _SEPARATORS.sub("", node.value)
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
        encryption: list[Secret] = []
        authentication = Secret(LUXEMBOURG_AUTHENTICATION_KEY)
        verification = Verification.REQUIRED
        if isinstance(node, yaml.MappingNode):
            for name, value in self.mapping(node, "an entry", _ENTRY_NAMES):
                if name == "encryption_key":
                    encryption = self.encryption_keys(value)
                elif name == "authentication_key":
                    authentication = self._secret(value, self._text(value))
                else:
                    verification = self.verification(value)
            if not encryption:
                self.fail(node, "the encryption_key is missing in this entry")
        else:
            encryption = self.encryption_keys(node)
        return tuple(MeterKey(secret, authentication, verification) for secret in encryption)

    def encryption_keys(self, node: yaml.Node) -> list[Secret]:
        """Read one key, or a list of them; a list of sixteen bytes is one key."""
        if isinstance(node, yaml.SequenceNode):
            if not node.value:
                self.fail(node, "no key is written here")
            texts = [self._text(item) for item in node.value]
            if len(texts) > 1 and all(len(_SEPARATORS.sub("", text)) <= 2 for text in texts):
                return [self._encryption_key(node, " ".join(texts))]
            return [self._encryption_key(item, text) for item, text in zip(node.value, texts, strict=True)]
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

    def _text(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "a key is needed here: 32 hex digits in one line")
        return str(node.value)

    def _secret(self, node: yaml.Node, text: str) -> Secret:
        digits = _SEPARATORS.sub("", text)
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
        known = [policy.value for policy in Verification]
        if not isinstance(node, yaml.ScalarNode) or node.value not in known:
            self.fail(node, f"verification is one of: {', '.join(known)}")
        return Verification(node.value)


def _shown(name: str) -> str:
    """Quote a name from the file, unless it could be a key that slipped to the wrong place."""
    return repr(name) if len(name) <= 24 and not re.search(r"[0-9]", name) else "this name"
