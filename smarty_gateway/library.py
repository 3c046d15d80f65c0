"""Reads whole recordings: the part of the public Python API that touches files (docs/python.md).

`decode` reads its input with the same classes.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from smarty_gateway.config.key_file import key_file_problem, load_key_ring
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.key_ring import KeyMapping, KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.rejection import Reason, Rejection
from smarty_gateway.sources.hexdump import InputDecoder, TimedBytes
from smarty_gateway.sources.parity import ParityFilter

_CHUNK: Final = 65536

_Name = TypeVar("_Name", str, bytes)
KeySource = str | os.PathLike[str] | KeyRing | KeyMapping[_Name]
InputSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Iterable[bytes]


class InputError(GatewayError):
    """The input does not exist or cannot be read."""


def load_keys(path: str | os.PathLike[str]) -> KeyRing:
    """Return the keys of a keys.yaml, and warn if others can read the file.

    Raises:
        KeyFileError: it cannot be read, or something in it is wrong; the text names file and line.
    """
    return _load_keys(path, stacklevel=3)


def read(
    source: InputSource,
    /,
    keys: KeySource[_Name] | None = None,
    on_rejection: Callable[[Rejection], object] | None = None,
) -> "InputReader":
    """Return an iterator over the telegrams of a recording: raw bytes, a hex dump or a capture.

    Args:
        source: the path of a file, its content, or an iterable of bytes.
        keys: the path of a keys.yaml, or the keys themselves; plaintext meters need none.
        on_rejection: is called with each rejection, in the order of the input.

    Raises:
        KeyFileError: the key file cannot be used.
        KeyFormatError: a key is malformed.
        TypeError: an argument is of a wrong type.
        InputError: the file cannot be read; raised by the iterator.
    """
    if on_rejection is not None and not callable(on_rejection):
        raise TypeError(f"on_rejection is a function, not {type(on_rejection).__name__}")
    return InputReader(_chunks_of(source), _key_ring(keys), on_rejection)


class InputReader(Iterator[MeterTelegram]):
    """Reads an input telegram by telegram, and never more of it than the next telegram needs.

    Args:
        chunks: the input, in pieces of any size.
        keys: of the meters.
        on_rejection: is called with each rejection.
        on_bytes: is called with the meter's bytes, decoded from hex, before their events.

    Attributes:
        accepted: the number of telegrams so far.
        rejected: the number of rejections so far, by reason.
        size: the number of bytes of the input so far.
    """

    def __init__(
        self,
        chunks: Iterable[bytes],
        keys: KeyRing,
        on_rejection: Callable[[Rejection], object] | None = None,
        on_bytes: Callable[[bytes], object] = lambda _: None,
    ) -> None:
        self.accepted = 0
        self.rejected: Counter[Reason] = Counter()
        self.size = 0
        self._input_decoder = InputDecoder()
        self._parity = ParityFilter()
        self._seconds: float | None = None
        self._is_joined = False
        self._on_rejection = on_rejection
        self._on_bytes = on_bytes
        self._stream = MeterStream(keys)
        self._telegrams = self._read(chunks)

    @property
    def noise_bytes(self) -> int:
        """The number of bytes so far that belong to no frame and no telegram."""
        return self._stream.noise_bytes

    @property
    def unreadable_lines(self) -> int:
        """The number of lines of a hex dump or capture that were skipped so far."""
        return self._input_decoder.unreadable_lines

    @property
    def arrived(self) -> datetime | None:
        """When the end of the newest telegram arrived; None where the recording does not say."""
        capture = self._input_decoder.capture
        if capture is None or capture.began is None or self._seconds is None or self._is_joined:
            return None
        try:
            return capture.began + timedelta(seconds=self._seconds)
        except OverflowError:
            return None

    @property
    def is_hex_dump(self) -> bool:
        """True if the input is a hex dump; False too until its first lines have been read."""
        return bool(self._input_decoder.is_hex)

    def __next__(self) -> MeterTelegram:
        return next(self._telegrams)

    def _read(self, chunks: Iterable[bytes]) -> Iterator[MeterTelegram]:
        for chunk in chunks:
            if not isinstance(chunk, bytes):
                raise TypeError(f"the input yields bytes, not {type(chunk).__name__}")
            self.size += len(chunk)
            # The first lines of a hex dump wait for the rest.
            yield from self._receive_all(self._input_decoder.feed_timed(chunk))
        yield from self._receive_all(self._input_decoder.finish_timed())
        yield from self._receive(b"")
        self._stream.receive_data(b"")
        yield from self._events()

    def _receive_all(self, timed: Iterable[TimedBytes]) -> Iterator[MeterTelegram]:
        for seconds, data in timed:
            # Where times fall, another capture was appended, and only the first one says when it began.
            if seconds is not None and self._seconds is not None and seconds < self._seconds:
                self._is_joined = True
            self._seconds = seconds
            yield from self._receive(data)

    def _receive(self, data: bytes) -> Iterator[MeterTelegram]:
        if data := self._parity.strip(data):
            self._on_bytes(data)
            self._stream.receive_data(data)
        if data := self._parity.complete_frame(self._stream):
            self._on_bytes(data)
        return self._events()

    def _events(self) -> Iterator[MeterTelegram]:
        while (event := self._stream.next_event()) is not None:
            if isinstance(event, MeterTelegram):
                self.accepted += 1
                yield event
            else:
                self.rejected[event.reason] += 1
                if self._on_rejection is not None:
                    self._on_rejection(event)


def open_input(path: str | os.PathLike[str]) -> FileIO:
    """Open a file without a buffer, so that what arrives in a pipe is read at once.

    Raises:
        InputError: it does not exist, is a folder, or cannot be read.
    """
    try:
        return FileIO(path)
    except IsADirectoryError:
        raise InputError(f"{os.fspath(path)} is a folder; name a recording in it") from None
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: {error.strerror}") from None
    except ValueError:
        raise InputError(f"{os.fspath(path)!r} is not a path") from None


def chunks_of_file(file: FileIO, name: str) -> Iterator[bytes]:
    """Yield what has arrived as soon as it has, so that a live stream is read live.

    Raises:
        InputError: reading failed.
    """
    while True:
        try:
            chunk = file.read(_CHUNK)
        except OSError as error:
            raise InputError(f"{name}: reading failed: {error.strerror}") from None
        if not chunk:
            return
        yield chunk


def _chunks_of(source: InputSource) -> Iterable[bytes]:
    if isinstance(source, str | os.PathLike):
        return _chunks_at(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return (bytes(source),)
    if isinstance(source, Iterable):
        return source
    raise TypeError(f"the input is a path, bytes or an iterable of bytes, not {type(source).__name__}")


def _chunks_at(path: str | os.PathLike[str]) -> Iterator[bytes]:
    with open_input(path) as file:
        yield from chunks_of_file(file, os.fspath(path))


def _key_ring(keys: KeySource[_Name] | None) -> KeyRing:
    if isinstance(keys, KeyRing):
        return keys
    if isinstance(keys, str | os.PathLike):
        return _load_keys(keys, stacklevel=4)
    if keys is None or isinstance(keys, Mapping):
        return KeyRing(keys)
    raise TypeError(f"keys are a path, a KeyRing or a mapping, not {type(keys).__name__}")


def _load_keys(path: str | os.PathLike[str], stacklevel: int) -> KeyRing:
    """Load keys; a warning points to the caller of the public function."""
    file = Path(path)
    ring = load_key_ring(file)
    problem = key_file_problem(file, ring)
    if problem is not None:
        warnings.warn(str(problem), stacklevel=stacklevel)
    return ring
