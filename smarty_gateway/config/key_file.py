"""Reads keys.yaml: the keys that grid operators sent to their customers.

`key_text` reads a single key; here are the entries, their permissions and where a key file is looked for. No
message shows a part of a key.
"""

import contextlib
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import yaml

from smarty_gateway.config.container import secret_advice
from smarty_gateway.config.credentials import credential
from smarty_gateway.config.other_words import advice_for
from smarty_gateway.config.settings import Form, Section, choice, setting, settings_of
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile, first_existing, line_of
from smarty_gateway.protocol.dummy_keys import holds_only_dummies
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import (
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Secret,
    Verification,
)
from smarty_gateway.protocol.key_text import HEX_SEPARATORS, KEY_DIGITS, key_from_text, system_title_from_text
from smarty_gateway.sources.container import is_home_assistant_app, is_in_container

_NO_BLANK: Final = (
    "a blank is missing behind the colon; write the serial number, a colon, a blank and the key"
)
DEFAULT_KEY_FILES: Final = (Path("keys.yaml"), Path("/etc/smarty-gateway/keys.yaml"))


class KeyFileError(UnusableFileError):
    """The key file cannot be used; the text is one line: file, line, what is wrong, what to do."""


def find_key_file(candidates: Iterable[Path] = DEFAULT_KEY_FILES) -> Path | None:
    """Return the first key file that exists, None if none does.

    One from the service manager (`LoadCredential=keys.yaml:…`) comes first.
    """
    return credential("keys.yaml") or first_existing(candidates)


def is_app_options(path: Path) -> bool:
    """True if a file holds the options of an app of Home Assistant, which have keys, too."""
    return path.name == "options.json" and is_home_assistant_app()


def permission_problem(path: Path, content: str = "the keys") -> str | None:
    """Return a warning with the line to type if others can read a file of secrets, else None.

    Credentials of a service manager or a container are exempt: their folder protects them. So are the files
    of an app of Home Assistant: nobody else is in its container, and a file editor there sets no permissions.

    Args:
        path: the file.
        content: what the secrets are.
    """
    if is_home_assistant_app():
        return None
    try:
        mode = path.stat().st_mode
    except OSError:
        return None  # reading it will show what is wrong
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        return None  # likewise; the mode of a device is not to be changed
    folders = [Path("/run/secrets"), *map(Path, filter(None, [os.environ.get("CREDENTIALS_DIRECTORY")]))]
    resolved = path.resolve()
    if not mode & (stat.S_IRWXG | stat.S_IRWXO) or any(resolved.is_relative_to(f.resolve()) for f in folders):
        return None
    chmod = f"chmod 600 {shlex.quote(str(path))}"
    if is_in_container():
        return f"{path}: others on the host can read {content} in it; type there: {secret_advice(path)}"
    return f"{path}: others on this machine can read {content} in it; type: {chmod}"


def key_file_problem(path: Path, keys: KeyRing) -> KeyFileError | None:
    """Return the error of a key file that others can read, with the line to type; else None.

    Keys that are published with this project are no secret.
    """
    problem = None if holds_only_dummies(keys) else permission_problem(path)
    return None if problem is None else KeyFileError(path, None, problem.removeprefix(f"{path}: "))


def load_key_ring(path: Path) -> KeyRing:
    """Read a key file.

    Raises:
        KeyFileError: it has a fault; the first one.
    """
    ring, errors = read_key_file(path)
    if errors:
        raise errors[0]
    return ring


#: Returns why a meter, of which it gets the system title or None for `any`, cannot be in a file.
Refusal = Callable[[bytes | None], str | None]


def read_key_file(path: Path, refusal: Refusal = lambda _: None) -> tuple[KeyRing, list[UnusableFileError]]:
    """Read a key file and find all its faults.

    The ring holds the entries without a fault, for `check`.
    """
    if is_app_options(path):
        from smarty_gateway.config.app_options import read_app_options  # noqa: PLC0415 - in an app only

        options = read_app_options(path)
        return options.keys, options.errors
    return _entries_of(_KeyYaml(path, refusal))


def read_key_data(path: Path, data: bytes) -> tuple[KeyRing, list[UnusableFileError]]:
    """Do the same for what was read from a file, or from standard input."""
    return _entries_of(_KeyYaml(path, data=data))


def _entries_of(file: "_KeyYaml") -> tuple[KeyRing, list[UnusableFileError]]:
    content = None
    with file.collected():
        content = Section(file, file.compose(), _KeyFile, "the file").build()
    return KeyRing() if content is None else content.keys, file.errors


class _KeyYaml(YamlFile):
    """A key file that may refuse meters.

    Args:
        data: its content; None where it is to be read.
    """

    def __init__(self, path: Path, refusal: Refusal = lambda _: None, data: bytes | None = None) -> None:
        super().__init__(path, "key file", KeyFileError)
        self._refusal = refusal
        self._data = data

    def check_title(self, node: yaml.Node, title: bytes | None) -> None:
        """Fail if a meter cannot be in this file."""
        if (reason := self._refusal(title)) is not None:
            self.fail(node, reason)

    def _content(self) -> bytes:
        return super()._content() if self._data is None else self._data


def _read_entries(file: YamlFile, node: yaml.Node, _: str) -> KeyRing:
    if isinstance(node, yaml.ScalarNode) and re.search(r"\w:\w", node.value):
        file.fail(node, _NO_BLANK)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        file.fail(node, "there is no key; write one line per meter: its serial number, a colon, the key")
    entries: dict[bytes | None, tuple[MeterKey, ...]] = {}
    lines: dict[bytes | None, int] = {}
    for name, value in file.pairs(node):
        with file.collected(), _key_errors(file, name):
            title = _read_title(file, name)
            if isinstance(file, _KeyYaml):
                file.check_title(name, title)
            if title in lines:
                file.fail(
                    name, f"this meter already has an entry in line {lines[title]}; keep one of the two"
                )
            lines[title] = line_of(name)
            entries[title] = _read_entry(file, value)
    others = entries.pop(None, ())
    # An entry whose keys are all faulty is empty.
    return KeyRing({title: keys for title, keys in entries.items() if title is not None and keys}, others)


def _read_title(file: YamlFile, node: yaml.ScalarNode) -> bytes | None:
    name = node.value
    if name in settings_of(_Entry) or advice_for(_Entry.__name__, name) is not None:
        file.fail(node, "this is the name of a key, not of a meter; write the meter's serial number here")
    meter, colon, key = name.rpartition(":")
    if colon and len(key) >= KEY_DIGITS and _names_meter(meter):
        file.fail(node, _NO_BLANK)
    return system_title_from_text(name)


def _names_meter(text: str) -> bool:
    try:
        system_title_from_text(text)
    except KeyFormatError:
        return False
    return True


def _read_entry(file: YamlFile, node: yaml.Node) -> tuple[MeterKey, ...]:
    if not isinstance(node, yaml.MappingNode):
        return _read_encryption_keys(file, node, "")
    entry = Section(file, node, _Entry, "an entry").build()
    if entry is None:
        return ()
    return tuple(
        replace(key, authentication_key=entry.authentication_key, verification=entry.verification)
        for key in entry.encryption_key
    )


def _read_encryption_keys(file: YamlFile, node: yaml.Node, _: str) -> tuple[MeterKey, ...]:
    """Read one key, or a list of them; a list of sixteen bytes is one key."""
    if not isinstance(node, yaml.SequenceNode):
        return (_read_encryption_key(file, node, _text(file, node)),)
    if not node.value:
        file.fail(node, "no key is written here")
    texts = [_text(file, item) for item in node.value]
    if len(texts) > 1 and all(len(HEX_SEPARATORS.sub("", text)) <= 2 for text in texts):
        return (_read_encryption_key(file, node, " ".join(texts)),)
    keys: list[MeterKey] = []
    for item, text in zip(node.value, texts, strict=True):
        with file.collected():
            keys.append(_read_encryption_key(file, item, text))
    return tuple(keys)


def _read_encryption_key(file: YamlFile, node: yaml.Node, text: str) -> MeterKey:
    with _key_errors(file, node):
        return MeterKey(Secret(key_from_text(text)))


def _read_authentication_key(file: YamlFile, node: yaml.Node, _: str) -> Secret:
    text = _text(file, node)
    if re.fullmatch(r"30[0-9A-Fa-f]{32}", HEX_SEPARATORS.sub("", text)):
        file.fail(
            node, "this is the AAD: leave out the 30 at its beginning, the rest is the authentication key"
        )
    with _key_errors(file, node):
        return Secret(key_from_text(text))


def _text(file: YamlFile, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        file.fail(node, "a key is needed here: 32 hex digits in one line")
    if node.value in ("~", "null"):
        file.fail(node, "no key is written here")
    return str(node.value)


@contextlib.contextmanager
def _key_errors(file: YamlFile, node: yaml.Node) -> Iterator[None]:
    try:
        yield
    except KeyFormatError as error:
        file.fail(node, str(error))


ENCRYPTION_KEYS: Final[Form[tuple[MeterKey, ...]]] = Form("a key or a list of keys", _read_encryption_keys)
AUTHENTICATION_KEY: Final[Form[Secret]] = Form("a key", _read_authentication_key)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The long form of an entry."""

    encryption_key: tuple[MeterKey, ...] = setting(
        ENCRYPTION_KEYS,
        "from the grid operator; while a key changes two, the newest first",
        example="0F1E…",
    )
    authentication_key: Secret = setting(
        AUTHENTICATION_KEY,
        "the same for every Luxembourg meter",
        default=Secret(LUXEMBOURG_AUTHENTICATION_KEY),
    )
    verification: Verification = setting(
        choice(Verification), "what must hold before a telegram counts", default=Verification.REQUIRED
    )


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """All of keys.yaml."""

    keys: KeyRing = setting(
        Form("an entry for each meter", _read_entries), "the keys of each meter", example="{any: 0F1E…}"
    )
