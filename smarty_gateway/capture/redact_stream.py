"""Redacts the stream of a P1 port as it comes in, so that a capture of it can be published. No I/O.

The stream is read by the same rules as in `decode`, and every part is replaced by one of the same length:

* a frame that verifies is decrypted, its telegram redacted, and encrypted again with a dummy key;
* any other frame keeps its header, with the dummy of its system title, and gets random bytes;
* a plaintext telegram is redacted, and keeps its faults;
* noise becomes noise that cannot be taken for anything else. Text stays text, and the header of a frame that
  was cut short stays a header, because it shows the fault.

Random bytes cannot show why the original failed, so a comment does (docs/capture-format.md).

Bytes are returned once it is certain what they are. Until then they are held in memory and never written.
"""

import random
import re
from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM

from smarty_gateway.capture.pseudonyms import Dummies
from smarty_gateway.capture.redact_telegram import redact_telegram, redact_text
from smarty_gateway.protocol.decryption import (
    decrypt,
    fits_encryption_key,
    initialisation_vector,
    read_by_crc,
)
from smarty_gateway.protocol.frame import (
    AUTHENTICATED_AND_ENCRYPTED,
    FRAME_PREFIX,
    HEADER_MAX,
    TAG_SIZE,
    FaultyHeader,
    Frame,
    Header,
    cut_frame,
    read_header,
)
from smarty_gateway.protocol.key_ring import (
    KEY_SIZE,
    LUXEMBOURG_AUTHENTICATION_KEY,
    KeyRing,
    MeterKey,
    Verification,
)
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import Event
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.protocol.system_title import serial_from_system_title, system_title_from_serial
from smarty_gateway.protocol.telegram import is_text, parse_telegram
from smarty_gateway.protocol.values import read_hex_text
from smarty_gateway.protocol.window import EVENT_REACH
from smarty_gateway.sources.parity import ParityFilter

_TITLE: Final = slice(2, 10)
#: A length that makes a header of this size faulty.
_FAULTY_LENGTHS: Final = {11: b"\x80", 12: b"\x81\x00", 13: b"\x82\x00\x00"}
_COUNTER_SIZE: Final = 4
#: The frames of 50 years. A frame with a higher counter that does not verify is damaged, and these bytes are
#: something else, which must not stay.
_COUNTER_MAX: Final = 10 * 365 * 86400 // 2
#: The first bytes of noise are enough to classify it.
_EXAMINED: Final = 16384
_NAME: Final = re.compile(rb"0-0:42\.0\.0(?:[.*:]255)?\(([^()\r\n]*)\)")
_KEY_FILE_HEAD: Final = """\
# Dummy keys of a redacted capture: they were generated for it, fit no meter, and may be published.
keys:
"""

Chunk = tuple[float, bytes]


class Redactor:
    """Redacts one stream.

    Args:
        keys: of its meters; frames that none of them opens get random bytes.
        began: when the capture began.
        examine: returns doctor's code for noise, "" if there is none. It is called with the original noise,
            and only if the stream holds neither a frame nor a telegram.

    Attributes:
        began: the same moment, shifted as all times are.
    """

    def __init__(
        self, keys: KeyRing, began: datetime, examine: Callable[[bytes], str] = lambda _: ""
    ) -> None:
        # The state of a seeded generator can be reconstructed from its output; the system's cannot.
        self._dummies = Dummies(began, random.SystemRandom())
        self.began = began + self._dummies.shift
        self._keys = keys
        self._stream = MeterStream(keys)
        self._parity = ParityFilter()
        self._chunks: deque[tuple[float, int]] = deque()  # arrival and size, not returned yet
        self._held = bytearray()  # not redacted yet
        self._base = 0  # the offset of its first byte
        self._done = bytearray()  # redacted, not returned yet
        self._examine = examine
        self._is_noise = True  # True while there is no event
        self._first_noise = bytearray()
        self._notes: list[str] = []
        self._dummy_keys: dict[str, bytes] = {}  # by fingerprint
        self._entries: dict[str, str] = {}  # of the key file, by the name of the meter

    @property
    def changes(self) -> Counter[str]:
        """How much was replaced, by kind."""
        return +self._dummies.changes

    @property
    def key_file(self) -> str:
        """The text of a key file for the redacted stream; "" if it needs none so far."""
        return _KEY_FILE_HEAD + "".join(self._entries.values()) if self._entries else ""

    def feed(self, seconds: float, data: bytes) -> list[Chunk]:
        """Take a chunk, and return those that are completely redacted, in the sizes in which they came."""
        self._chunks.append((seconds, len(data)))
        self._first_noise += data[: _EXAMINED - len(self._first_noise)]
        self._receive(data)
        self._take_events()
        self._redact_noise(self._base + len(self._held) - EVENT_REACH)
        return list(self._ready())

    def finish(self) -> list[Chunk]:
        """End the stream, and return the rest."""
        self._receive(b"")
        self._stream.receive_silence()
        self._take_events()
        self._redact_noise(self._base + len(self._held))
        if self._is_noise and (finding := self._examine(bytes(self._first_noise))):
            self._note(f"finding={finding}")
        return list(self._ready())

    def _receive(self, data: bytes) -> None:
        if data := self._parity.strip(data):
            self._held += data
            self._stream.receive_data(data)

    def take_notes(self) -> list[str]:
        """Return the new comments: what was wrong with originals whose dummies cannot show it."""
        notes, self._notes = self._notes, []
        return notes

    def _ready(self) -> Iterator[Chunk]:
        while self._chunks and self._chunks[0][1] <= len(self._done):
            seconds, size = self._chunks.popleft()
            yield seconds, bytes(self._done[:size])
            del self._done[:size]

    def _take_events(self) -> None:
        while (event := self._stream.next_event()) is not None:
            self._is_noise = False
            self._redact_noise(event.offset)
            data = self._take(event.size)
            whole = len(data) if isinstance(read_header(data[:HEADER_MAX]), Header) else _next_prefix(data)
            if whole < _TITLE.stop - 1 and len(data) in _FAULTY_LENGTHS:
                # The bytes that are faulty here are the title of the next frame, of which nothing may stay.
                data = data[: _TITLE.start] + self._dummies.noise(8) + _FAULTY_LENGTHS[len(data)]
                whole = len(data)
            self._held[:0] = data[whole:]
            self._base -= len(data) - whole
            self._done += self._redact(data[:whole], event)

    def _take(self, size: int) -> bytes:
        data = bytes(self._held[:size])
        del self._held[:size]
        self._base += size
        return data

    # The parts of a stream

    def _redact(self, data: bytes, event: Event) -> bytes:
        if not data.startswith(FRAME_PREFIX[:1]):
            self._dummies.changes["plaintext telegrams"] += 1
            self._note_names(data)
            return redact_telegram(data, self._dummies)
        header = read_header(data[:HEADER_MAX])
        is_whole = isinstance(header, Header) and header.size + header.length == len(data)
        if isinstance(header, Header) and is_whole and header.security == AUTHENTICATED_AND_ENCRYPTED:
            return self._redact_frame(data, header, event)
        self._dummies.changes["broken frames"] += 1
        return self._redact_header(data, header)

    def _redact_frame(self, data: bytes, header: Header, event: Event) -> bytes:
        frame = cut_frame(0, data, header)
        found = self._open(frame)
        self._note_keys(frame.system_title)
        if found is None:
            self._dummies.changes["frames that do not verify"] += 1
            if isinstance(event, Rejection):
                self._note_verdict(frame, event)
            return self._redact_header(data, header)
        self._dummies.changes["frames"] += 1
        key, plaintext = found
        head = data[:2] + self._title(frame.system_title) + data[10 : header.size + 1 + _COUNTER_SIZE]
        return head + self._encrypt(frame, key, self._redact_plaintext(plaintext))

    def _redact_plaintext(self, plaintext: bytes) -> bytes:
        telegram = parse_telegram(plaintext)
        if telegram is None:
            return redact_text(plaintext, self._dummies)
        begin = plaintext.index(b"/")
        end = begin + len(telegram.raw)
        rest = redact_text(plaintext[end:], self._dummies)
        return plaintext[:begin] + redact_telegram(telegram.raw, self._dummies) + rest

    def _redact_header(self, data: bytes, header: Header | FaultyHeader | None) -> bytes:
        """Keep the part of a frame that shows what is wrong with its layout; the rest becomes noise."""
        if isinstance(header, Header):
            kept = header.size + 1 + _COUNTER_SIZE
            counter = data[kept - _COUNTER_SIZE : kept]
            if int.from_bytes(counter, "big") > _COUNTER_MAX:
                kept -= _COUNTER_SIZE
        elif isinstance(header, FaultyHeader):
            kept = header.size
        else:
            kept = len(data)
        title = data[_TITLE]
        if len(title) == _TITLE.stop - _TITLE.start and kept >= _TITLE.stop:
            head = data[:2] + self._title(title) + data[_TITLE.stop : kept]
        else:
            head = data[:2]  # a part of a title must not stay
        return head + self._dummies.noise(len(data) - len(head))

    def _redact_noise(self, end: int) -> None:
        """Redact what lies before an offset, and is not part of an event."""
        noise = self._take(max(0, end - self._base))
        self._dummies.changes["noise bytes"] += len(noise)
        start = 0
        while start < len(noise):
            at = noise.find(FRAME_PREFIX, start)
            header = read_header(noise[at : at + HEADER_MAX]) if at >= 0 else None
            if isinstance(header, Header) and header.security == AUTHENTICATED_AND_ENCRYPTED:
                end = at + header.size + 1 + _COUNTER_SIZE
                self._done += self._noise_like(noise[start:at]) + self._redact_header(noise[at:end], header)
            else:
                end = at + 1 if at >= 0 else len(noise)
                self._done += self._noise_like(noise[start:end])
            start = end

    def _noise_like(self, noise: bytes) -> bytes:
        return redact_text(noise, self._dummies) if is_text(noise) else self._dummies.noise(len(noise))

    # Comments, which must not hold any part of an original

    def _note(self, message: str) -> None:
        self._notes.append(f"original: {message}")

    def _note_verdict(self, frame: Frame, rejection: Rejection) -> None:
        hint = f" hint={rejection.hint}" if rejection.hint else ""
        finding = " finding=other-meter" if self._is_of_another_meter(frame, rejection.reason) else ""
        self._note(f"rejected {rejection.reason} offset={rejection.offset}{hint}{finding}")

    def _is_of_another_meter(self, frame: Frame, reason: Reason) -> bool:
        """True if there are only keys of other meters, or one of them opens the frame."""
        own = self._keys.keys_for(frame.system_title)
        return (reason is Reason.NO_KEY and bool(self._keys)) or any(
            decrypt(frame, key) or fits_encryption_key(frame, key)
            for keys in self._keys.entries().values()
            for key in keys
            if key not in own
        )

    # Keys

    def _open(self, frame: Frame) -> tuple[MeterKey, bytes] | None:
        for key in self._keys.keys_for(frame.system_title):
            is_required = key.verification is Verification.REQUIRED
            plaintext = decrypt(frame, key) if is_required else read_by_crc(frame, key)
            if plaintext is not None:
                return key, plaintext
        return None

    def _encrypt(self, frame: Frame, key: MeterKey, plaintext: bytes) -> bytes:
        """Return ciphertext and tag as the meter would send them under the dummy of a key."""
        vector = initialisation_vector(frame)
        vector = self._dummies.title(vector[:8]) + vector[8:]
        encryptor = Cipher(AES(self._dummy_key(key)), GCM(vector)).encryptor()
        encryptor.authenticate_additional_data(bytes([frame.security]) + LUXEMBOURG_AUTHENTICATION_KEY)
        ciphertext = encryptor.update(plaintext) + encryptor.finalize()
        return ciphertext + encryptor.tag[:TAG_SIZE]

    def _dummy_key(self, key: MeterKey) -> bytes:
        if key.fingerprint not in self._dummy_keys:
            self._dummy_keys[key.fingerprint] = self._dummies.rng.randbytes(KEY_SIZE)
        return self._dummy_keys[key.fingerprint]

    def _title(self, title: bytes) -> bytes:
        self._dummies.changes["system titles"] += 1
        return self._dummies.title(title)

    def _note_names(self, data: bytes) -> None:
        """Note the keys of a meter that sends plaintext, which may be rejected because it has an entry."""
        for match in _NAME.finditer(data):
            name = read_hex_text(match[1].decode("latin-1")).strip()
            if self._keys.has_entry_for(name):
                self._note_keys(system_title_from_serial(name))

    def _note_keys(self, title: bytes) -> None:
        """Write the entry of a meter, so that its frames are judged as they were with the real keys."""
        keys = self._keys.keys_for(title)
        if not keys:
            return
        serial = serial_from_system_title(title)
        has_own = serial is None or self._keys.has_entry_for(serial)
        name = f'"{self._dummies.title(title).hex().upper()}"' if has_own else "any"
        if name in self._entries:
            return
        listed = ", ".join(f'"{self._dummy_key(key).hex().upper()}"' for key in keys)
        self._entries[name] = (
            f"  {name}:\n    encryption_key: [{listed}]\n    verification: {keys[0].verification.value}\n"
        )


def _next_prefix(data: bytes) -> int:
    """Return where in a faulty header the next frame begins, whose header is to be kept; else its end."""
    if not data.startswith(FRAME_PREFIX[:1]):
        return len(data)
    at = data.find(FRAME_PREFIX, 1)
    if at < 0 and len(data) > 1 and data.endswith(FRAME_PREFIX[:1]):
        at = len(data) - 1
    return len(data) if at < 0 else at
