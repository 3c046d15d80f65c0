"""The key of an encrypted meter: asked for, tried on what the meter sends, and then written to keys.yaml."""

import re
import threading
import time
from pathlib import Path
from typing import Final

from smarty_gateway.config.edited_yaml import UneditableError, with_key, without_keys_of
from smarty_gateway.config.key_file import KeyFileError, load_key_ring, permission_problem
from smarty_gateway.config.small_file import UnreadableFileError, read_small_file
from smarty_gateway.config.whole_file import write_secret
from smarty_gateway.doctor.finding import Finding, entry_name
from smarty_gateway.doctor.kinds import LUXEMBOURG_CONTACTS, Code
from smarty_gateway.protocol.dummy_keys import is_dummy
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.key_text import key_from_text
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.setup.listening import Listener, Trial
from smarty_gateway.setup.terminal import RejectedError, Terminal

#: A meter in Luxembourg sends every 10 s.
_NEXT_FRAME_SECONDS: Final = 12.0
#: One frame may be damaged; two are not, in a way that a right key would not show.
_ENOUGH_FRAMES: Final = 2
_HEAD: Final = """\
# The keys of encrypted meters, written by smarty-gateway setup. Nobody else may read this file.
# A key must never stand in a command, an e-mail or a forum.
keys:
"""


class KeyStep:
    """Finds the keys of encrypted meters.

    Args:
        path: of keys.yaml, which need not exist.
        ring: the keys in it.
        terminal: to ask at.
        key_file: what the option says; a file with the key alone, or a keys.yaml.
        news: is set when a listener heard something.

    Attributes:
        ring: the keys that are in the file by now.
    """

    def __init__(
        self, path: Path, ring: KeyRing, terminal: Terminal, key_file: Path | None, news: threading.Event
    ) -> None:
        self.ring = ring
        self._path = path
        self._terminal = terminal
        self._key_file = key_file
        self._news = news

    def find(self, listener: Listener, title: bytes) -> bool:
        """Find the key of a meter, and write it; False if the user does not have it yet.

        Raises:
            RejectedError: the key in the file that an option names does not open the meter's frames.
            GatewayError: that file, or keys.yaml, cannot be used.
        """
        say, name = self._terminal.say, entry_name(title)
        if self.ring.keys_for(title):
            trial = self._try(listener, self.ring, title)
            if trial.telegram is not None:
                say(f"{self._path.name} has the key of meter {name}, and it opens what the meter sends.")
                return True
            say(f"{self._path.name} has a key for meter {name}. {_words(trial.finding)}")
        if self._key_file is not None:
            key = _key_in(self._key_file, title, self._terminal)
            trial = self._try(listener, _ring_of(title, key), title)
            if trial.telegram is None:
                raise RejectedError(f"{self._key_file}: {_words(trial.finding)}")
            self._save(title, key)
            return True
        return self._ask(listener, title)

    def _ask(self, listener: Listener, title: bytes) -> bool:
        say, name = self._terminal.say, entry_name(title)
        say(
            f"Meter {name} encrypts what it sends. Its key comes from your grid operator (DSO): the P1 "
            "encryption key of this meter, 32 digits and letters."
        )
        say(LUXEMBOURG_CONTACTS)
        say("The key stays hidden while you type or paste it. Press Enter alone if you do not have it yet.")
        while True:
            text = self._terminal.ask_secret(f"Key of {name}", "--key-file").strip()
            if not text:
                return False
            try:
                key = _read_key(text)
            except KeyFormatError as error:
                self._terminal.complain(error)
                continue
            trial = self._try(listener, _ring_of(title, key), title)
            if trial.telegram is not None:
                say(f"The key is right: it opens what meter {name} sends.")
                self._save(title, key)
                return True
            say(_words(trial.finding))

    def _try(self, listener: Listener, ring: KeyRing, title: bytes) -> Trial:
        """Try keys on the frames that came, and on the next one where these do not decide."""
        until = time.monotonic() + _NEXT_FRAME_SECONDS
        trial = listener.try_keys(ring, title)
        if trial.telegram is None and trial.failed < _ENOUGH_FRAMES:
            self._terminal.say("Waiting for the next telegram to try the key on …")
        while trial.telegram is None and trial.failed < _ENOUGH_FRAMES and time.monotonic() < until:
            self._news.wait(max(0.0, until - time.monotonic()))
            self._news.clear()
            trial = listener.try_keys(ring, title)
        return trial

    def _save(self, title: bytes, key: MeterKey) -> None:
        """Write a key that was proven, and keep everything else in the file.

        Raises:
            RejectedError: the user does not want the file to be changed.
            KeyFileError: it is laid out in a way that only the user can change.
        """
        path, name = self._path, entry_name(title)
        entries = self.ring.entries()
        confirm = self._terminal.confirm
        text, dummies = _HEAD, set[bytes | None]()
        if path.exists():
            text = _text_in(path)
            dummies = {entry for entry, keys in entries.items() if all(is_dummy(entry, key) for key in keys)}
            if dummies and not confirm(f"{path.name} still has dummy keys of the example. Remove them?"):
                dummies = set()
            change = "Replace the key" if title in entries and title not in dummies else "Add the key"
            if not confirm(f"{change} of {name} in {path.name}?"):
                raise RejectedError(f"{path} stays as it is, so `run` cannot read the meter {name}")
        expected = {entry: keys for entry, keys in entries.items() if entry not in dummies | {title}}
        quoted = name if serial_from_system_title(title) else f'"{name}"'

        def check(draft: Path) -> None:
            written = load_key_ring(draft).entries()
            own = written.pop(title, ())
            if written != expected or [found.encryption_key for found in own] != [key.encryption_key]:
                raise UneditableError("other entries would change")

        try:
            if dummies:
                text = without_keys_of(text, dummies)
            text = with_key(text, quoted, key.encryption_key.reveal().hex().upper())
            write_secret(path, text, check)
        except (UneditableError, KeyFileError) as error:
            why = error.message if isinstance(error, KeyFileError) else str(error)
            raise KeyFileError(
                path, None, f"setup cannot change this file ({why}); write the key of {name} into it yourself"
            ) from None
        self.ring = load_key_ring(path)
        self._terminal.say(f"Written: {path} (only you can read it)")


def _text_in(path: Path) -> str:
    try:
        return read_small_file(path).decode()
    except UnicodeDecodeError:  # YAML may be UTF-16
        raise KeyFileError(path, None, "setup can change UTF-8 files only; save this one as UTF-8") from None


def _ring_of(title: bytes, key: MeterKey) -> KeyRing:
    return KeyRing({title: key})


def _read_key(text: str) -> MeterKey:
    return MeterKey(Secret(key_from_text(text)))


def _key_in(path: Path, title: bytes, terminal: Terminal) -> MeterKey:
    """Return the key in a file that holds nothing else, or in the meter's entry of a keys.yaml."""
    problem = permission_problem(path)
    if problem is not None:
        terminal.say(f"warning: {problem}")
    try:
        text = read_small_file(path).decode()
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise KeyFileError(path, None, f"the key cannot be read: {error}") from None
    if re.search(r"^\s*keys\s*:", text, re.MULTILINE):
        keys = load_key_ring(path).keys_for(title)
        if not keys:
            raise KeyFileError(path, None, f"there is no key of meter {entry_name(title)} in it")
        return keys[0]
    try:
        return _read_key(text)
    except KeyFormatError as error:
        raise KeyFileError(path, None, str(error)) from None


def _words(finding: Finding) -> str:
    if finding.code is Code.WRONG_ENCRYPTION_KEY:  # its text names an entry, which there may not be yet
        return f"This key does not open what the meter sends. {finding.advice}"
    return f"{finding.text} {finding.advice}"
