"""`capture`: records what a source sends, with arrival times, for a bug report or a replay.

Every chunk goes to the file as it comes, so that a capture that is killed loses next to nothing. With
`--redact` nothing is written before it is redacted.
"""

import argparse
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from smarty_gateway.capture.redact_stream import Redactor
from smarty_gateway.commands.chosen import load_keys
from smarty_gateway.commands.options import Subparsers, add_shared, add_verbose, seconds
from smarty_gateway.commands.terminal import StatusLine, say
from smarty_gateway.doctor.signal_faults import examine
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.rejection import Reason
from smarty_gateway.signals import SignalEvent, handling
from smarty_gateway.sources.address import DSMR4_LINE, FRAMINGS, SPEEDS, Address, LineSettings, parse_address
from smarty_gateway.sources.capture_format import CaptureWriter
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.parity import ParityFilter
from smarty_gateway.sources.recording import RecordingSource
from smarty_gateway.sources.source import Cause, Source, SourceEnded, SourceLost

_RETRY_SECONDS: Final = 1.0
#: Waiting does not help.
_HOPELESS: Final = (Cause.PERMISSION, Cause.UNFIT)


class CaptureError(GatewayError):
    """The capture cannot be made; the text says why, and what to do."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "capture",
        help="record what a port sends, for a bug report or a replay",
        description="Records the bytes of a source and when they came, until a limit, Ctrl-C or the end of a "
        "recording. decode, run, doctor and simulate read such a file.",
    )
    parser.add_argument("source", help="/dev/ttyUSB0, tcp://host:port, rfc2217://host:port, a file or -")
    parser.add_argument("file", type=Path, help="the capture, a new file")
    add_shared(parser, "--keys", "--config")
    limits = parser.add_argument_group("limits", "without one it goes on until Ctrl-C")
    limits.add_argument("--seconds", type=seconds, metavar="N", help="stop after this many seconds")
    limits.add_argument("--bytes", type=_count, metavar="N", help="stop after this many bytes")
    limits.add_argument("--telegrams", type=_count, metavar="N", help="stop after this many telegrams")
    parser.add_argument(
        "--redact",
        action="store_true",
        help="replace keys, serial numbers and consumption data; dummy keys go to a file beside the capture",
    )
    line = parser.add_argument_group("serial ports")
    line.add_argument("--speed", type=int, choices=SPEEDS, default=DSMR4_LINE.speed, metavar="BAUD")
    line.add_argument("--framing", choices=FRAMINGS, default=DSMR4_LINE.framing)
    add_verbose(parser, "also print rejections as they come")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Record one source.

    Raises:
        GatewayError: the source is impossible, or the file exists.
        UnusableFileError: the configuration or the key file cannot be used.
    """
    address = parse_address(args.source)
    keys = load_keys(args)
    source = source_for(address, LineSettings(args.speed, args.framing))
    if not args.file.name:
        raise CaptureError(f"{args.file} is a folder; name a file in it")
    key_path = args.file.with_suffix(".keys.yaml")
    if args.redact and key_path.exists():
        raise CaptureError(f"{key_path} exists, and the dummy keys go there; name another capture")
    with _new_file(args.file) as file:
        recording = _Recording(args, address, keys, file)

        def stop() -> None:
            recording.stopping.set()
            source.interrupt()

        try:
            with handling({signal.SIGINT: stop, signal.SIGTERM: stop}):
                recording.record(source)
        finally:
            recording.finish()
            if not recording.size:
                args.file.unlink(missing_ok=True)
    recording.print_summary()
    return ExitStatus.GOOD if recording.size else ExitStatus.REJECTED


class _Recording:
    """One capture while it is made.

    Attributes:
        stopping: set when it is to end.
        size: how many bytes were recorded.
    """

    def __init__(self, args: argparse.Namespace, address: Address, keys: KeyRing, file: BinaryIO) -> None:
        self.stopping = SignalEvent()
        self.size = self._telegrams = self._without_key = self._rejected = 0
        self._args = args
        self._address = address
        self._keys = keys
        self._file = file
        self._stream = MeterStream(keys)
        self._parity = ParityFilter()  # what is recorded keeps its parity bits
        self._writer: CaptureWriter | None = None
        self._redactor: Redactor | None = None
        self._keys_written = ""
        self._started = time.monotonic()
        self._began = datetime.now(UTC)
        self._seconds = 0.0
        self._is_lost = False
        self._status = StatusLine()

    def record(self, source: Source) -> None:
        """Read a source until it ends or enough has come; open it again when it is lost.

        Raises:
            SourceLost: it is not there, and waiting for it does not help.
        """
        while not self.stopping.is_set():
            try:
                source.open()
                self._read(source)
            except SourceEnded:
                return
            except SourceLost as lost:
                if self.stopping.is_set():
                    return
                if not self.size and (not self._address.is_live or lost.cause in _HOPELESS):
                    raise
                self._note_loss(lost)
            finally:
                source.close()
            self._look_at_clock()
            self.stopping.wait(_RETRY_SECONDS)

    def finish(self) -> None:
        """Write what is still held back."""
        self._receive(b"")
        self._stream.receive_silence()
        self._count()
        if self._redactor is not None:
            self._write(self._redactor.finish())
        self._file.flush()

    def print_summary(self) -> None:
        """Print what is in the file, and what of it was replaced."""
        self._status.clear()
        if not self.size:
            say(f"nothing came from {self._address}; nothing was recorded")
            return
        say(f"recorded {self._progress()}, to {self._args.file}")
        if self._redactor is not None:
            changes = ", ".join(f"{count} {what}" for what, count in self._redactor.changes.items())
            say(f"redacted; none of the originals is left: {changes}")
            if self._keys_written:
                say(f"the dummy keys for it are in {self._key_path}; publish both files")

    # The loop

    def _read(self, source: Source) -> None:
        while not self.stopping.is_set():
            data = source.read()
            if data:
                self._take(source, data)
            self._look_at_clock()
            self._status.show(self._progress)

    def _look_at_clock(self) -> None:
        if self._address.is_live:
            self._seconds = time.monotonic() - self._started
        if self._args.seconds is not None and time.monotonic() - self._started >= self._args.seconds:
            self.stopping.set()

    def _take(self, source: Source, data: bytes) -> None:
        if self._is_lost:
            self._is_lost = False
            self._status.clear()
            say(f"{self._address} is back")
        arrived = source.arrived if isinstance(source, RecordingSource) else None
        self._seconds = time.monotonic() - self._started if arrived is None else arrived
        if arrived is not None and self._args.seconds is not None and arrived > self._args.seconds:
            self.stopping.set()  # the recording's own time counts
            return
        if self._args.bytes is not None:
            data = data[: self._args.bytes - self.size]
        data = self._up_to_last_telegram(data)
        if self._args.bytes is not None and self.size + len(data) >= self._args.bytes:
            self.stopping.set()
        if not data:
            return
        self._begin(source)
        self.size += len(data)
        chunks = [(self._seconds, data)]
        self._write(self._redactor.feed(*chunks[0]) if self._redactor is not None else chunks)

    def _up_to_last_telegram(self, data: bytes) -> bytes:
        """Count what is in a chunk, and cut it behind the last telegram that is wanted."""
        self._receive(data)
        end = self._count()
        return data if end is None else data[: max(0, end - self.size)]

    def _receive(self, data: bytes) -> None:
        if data := self._parity.strip(data):
            self._stream.receive_data(data, time.monotonic() if self._address.is_live else None)

    def _count(self) -> int | None:
        """Count what was read; return the offset behind the last telegram that is wanted, once it came."""
        while not self._has_all_telegrams and (event := self._stream.next_event()) is not None:
            if isinstance(event, MeterTelegram):
                self._telegrams += 1
            elif event.reason is Reason.NO_KEY:
                self._without_key += 1
            else:
                self._rejected += 1
                if self._args.verbose:
                    self._status.clear()
                    say(str(event))
            if self._has_all_telegrams:
                self.stopping.set()
                return event.offset + event.size
        return None

    @property
    def _has_all_telegrams(self) -> bool:
        wanted: int | None = self._args.telegrams
        return wanted is not None and self._telegrams + self._without_key >= wanted

    def _note_loss(self, lost: SourceLost) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._status.clear()
            say(f"{lost}; trying again until it works")
            if self._writer is not None:
                self._writer.comment(f"lost at {self._seconds:.3f}")

    # The files

    def _begin(self, source: Source) -> None:
        """Write the first line: when a capture began is known when its first bytes come."""
        if self._writer is not None:
            return
        began = (source.began if isinstance(source, RecordingSource) else None) or self._began
        name = str(self._address)
        if self._args.redact:
            self._redactor = Redactor(self._keys, began, _fault_of)
            # An address may be that of a home, and the name of an adapter holds its serial number.
            name, began = self._address.kind.value, self._redactor.began
        self._writer = CaptureWriter(self._file.write, name, began)
        if self._args.redact:
            self._writer.comment("redacted: names, readings, times and keys are dummies")

    def _write(self, chunks: list[tuple[float, bytes]]) -> None:
        if self._redactor is not None and self._redactor.key_file != self._keys_written:
            self._keys_written = self._redactor.key_file
            descriptor = os.open(self._key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._keys_written)
        if self._writer is not None:
            for note in self._redactor.take_notes() if self._redactor is not None else ():
                self._writer.comment(note)
            for seconds, data in chunks:
                self._writer.chunk(seconds, data)
        self._file.flush()

    @property
    def _key_path(self) -> Path:
        path: Path = self._args.file.with_suffix(".keys.yaml")
        return path

    def _progress(self) -> str:
        counted = [f"{self._seconds:.0f} s", f"{self.size} bytes", f"{self._telegrams} telegrams"]
        if self._without_key:
            counted.append(f"{self._without_key} frames without a key")
        return ", ".join([*counted, f"{self._rejected} rejected"])


def _fault_of(noise: bytes) -> str:
    """Return doctor's code for what noise is; "" where there is none."""
    signal = examine(noise)
    return "" if signal is None else signal.kind.value


def _new_file(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CaptureError(f"{path} exists; name another file, or remove it first") from None
    except OSError as error:
        raise CaptureError(f"{path} cannot be written: {error.strerror}") from None
    return os.fdopen(descriptor, "wb")
