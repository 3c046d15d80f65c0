"""`decode`: a capture or a live stream goes in, verified readings come out.

It uses no clock: the same bytes always give the same output. Readings go to standard output, all
else to standard error.
"""

import argparse
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from smarty_gateway.commands.key_options import add_key_options, load_keys
from smarty_gateway.commands.terminal import say
from smarty_gateway.doctor.damage import Window
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.fields import print_fields
from smarty_gateway.outputs.json_lines import to_json
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.explanation import explain
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream, MeterTelegram
from smarty_gateway.sources.hexdump import InputDecoder
from smarty_gateway.sources.parity import ParityFilter

_CHUNK: Final = 65536
#: A file is worth a progress bar from here on; it takes some seconds.
_LARGE: Final = 10_000_000
_PLAIN_WIDTH: Final = 120


class InputError(GatewayError):
    """There is no such input, or it cannot be read."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "decode",
        help="decrypt and decode a capture",
        description="Reads a capture (raw bytes or a hex dump) and prints the readings in it. "
        "What is refused is said on standard error.",
    )
    parser.add_argument("input", nargs="?", default="-", help="a file, or - for standard input (default)")
    add_key_options(parser)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--format",
        choices=["json", "table", "telegram"],
        help="json: one object a line (default); table: for people (default on a terminal); "
        "telegram: the plaintext as the meter wrote it",
    )
    shown.add_argument(
        "--explain", action="store_true", help="show every frame field by field instead of its readings"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say at the end what was read")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Decode one input.

    Raises:
        InputError: the input is not there, or cannot be read.
        UnusableFileError: the configuration or the key file cannot be used.
    """
    form = "explain" if args.explain else args.format or ("table" if sys.stdout.isatty() else "json")
    decoding = _Decoding(load_keys(args), form)
    with _open_input(args.input) as source:
        for chunk in source:
            decoding.take(chunk)
    decoding.finish()
    if args.verbose:
        say(decoding.summary)
    if not decoding.accepted and not decoding.rejected:
        say(_nothing_found(decoding.size))
    return ExitStatus.REJECTED if decoding.rejected or not decoding.accepted else ExitStatus.GOOD


class _Decoding:
    """One input on its way from bytes to what is printed of it."""

    def __init__(self, keys: KeyRing, form: str) -> None:
        self.accepted = self.rejected = self.size = 0
        self._keys = keys
        self._stream = MeterStream(keys)
        self._decoder = InputDecoder()
        self._parity = ParityFilter()
        self._recent = Window() if form == "explain" else None
        self._write = _writer(form)

    def take(self, chunk: bytes) -> None:
        """Take a chunk of the input, and print what is complete with it."""
        self.size += len(chunk)
        if data := self._decoder.feed(chunk):
            self._receive(self._parity.strip(data))

    def finish(self) -> None:
        """Take note of the end of the input, and print what was held back."""
        if rest := self._decoder.finish():
            self._receive(self._parity.strip(rest))
        self._receive(self._parity.strip(b""))
        self._stream.receive_silence()
        self._hand_on()
        if skipped := self._decoder.unreadable_lines:
            say(f"warning: {self._unreadable(skipped)} and {'was' if skipped == 1 else 'were'} skipped")

    def _unreadable(self, count: int) -> str:
        lines = f"{count} line{'' if count == 1 else 's'}"
        if self._decoder.capture is None:
            return f"{lines} of this hex dump cannot be read"
        return (
            f"{lines} of this capture cannot be read (has a mail program wrapped them? use the file itself)"
        )

    @property
    def summary(self) -> str:
        """Tell in one line what there was."""
        noise = f"{self._stream.noise_bytes} of {self.size} bytes were noise"
        return f"{self.accepted} telegrams, {self.rejected} rejected, {noise}"

    def _receive(self, data: bytes) -> None:
        if not data:
            return
        if self._recent is not None:
            self._recent.add(data)
        self._stream.receive_data(data)
        self._hand_on()

    def _hand_on(self) -> None:
        while (event := self._stream.next_event()) is not None:
            if self._recent is not None:
                print_fields(
                    explain(event, self._recent.cut(event.offset, event.offset + event.size), self._keys)
                )
            if isinstance(event, MeterTelegram):
                self.accepted += 1
                self._write(event)
            else:
                self.rejected += 1
                say(str(event))
        sys.stdout.flush()


def _writer(form: str) -> Callable[[MeterTelegram], None]:
    """Give the function that prints one telegram in the form that was asked for."""
    if form == "explain":
        return lambda _: None
    if form == "telegram":

        def write_telegram(telegram: MeterTelegram) -> None:
            sys.stdout.buffer.write(telegram.raw)

        return write_telegram
    if form == "table":
        # Drawing tables takes a library that takes a while to load; the other forms do without.
        from smarty_gateway.outputs.table import PipeConsole, print_table  # noqa: PLC0415

        console = PipeConsole(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)

        def write_table(telegram: MeterTelegram) -> None:
            print_table(console, telegram)

        return write_table

    def write_json(telegram: MeterTelegram) -> None:
        sys.stdout.buffer.write(to_json(telegram.as_object()).encode() + b"\n")

    return write_json


def _open_input(name: str) -> AbstractContextManager[Iterator[bytes]]:
    """Open a file, or standard input for `-`, as an iterator over what has arrived.

    Raises:
        InputError: it is not there, is a folder, or may not be read.
    """
    if name == "-":
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("standard input is closed; name a file")
        os.set_blocking(sys.stdin.fileno(), True)  # whoever started us may have left it otherwise
        if sys.stdin.isatty():
            say("reading from the terminal: paste a hex dump and end with Ctrl-D, or name a file")
        return nullcontext(_chunks(sys.stdin.fileno(), name))
    try:
        descriptor = os.open(name, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    status = os.fstat(descriptor)
    if stat.S_ISDIR(status.st_mode):
        os.close(descriptor)
        raise InputError(f"{name} is a folder; name a recording in it")
    return _File(descriptor, name, status.st_size)


class _File:
    """A file that is closed behind its last chunk, with a progress bar if it is large."""

    def __init__(self, descriptor: int, name: str, size: int) -> None:
        self._descriptor = descriptor
        self._name = name
        self._size = size
        # On a terminal where the readings themselves run by, a bar would only be in their way.
        self._shows_progress = size >= _LARGE and sys.stderr.isatty() and not sys.stdout.isatty()

    def __enter__(self) -> Iterator[bytes]:
        chunks = _chunks(self._descriptor, self._name)
        return self._with_progress(chunks) if self._shows_progress else chunks

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _with_progress(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        from rich.console import Console  # noqa: PLC0415 - only large files on a terminal need it
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn  # noqa: PLC0415

        columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(self._name, total=self._size)
            for chunk in chunks:
                yield chunk
                progress.advance(task, len(chunk))


def _chunks(descriptor: int, name: str) -> Iterator[bytes]:
    """Yield what has arrived as soon as it has, so that a live stream is read live."""
    while True:
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as error:
            raise InputError(f"{name}: reading failed: {error.strerror}") from None
        if not chunk:
            return
        yield chunk


def _nothing_found(size: int) -> str:
    if not size:
        return "nothing found: the input is empty"
    return (
        f"nothing found: no frame and no telegram in {size} bytes; is this a recording of a P1 port "
        "(raw bytes, a hex dump, or a capture whose lines nobody has wrapped or quoted), and longer than the "
        "10 s between two telegrams?"
    )
