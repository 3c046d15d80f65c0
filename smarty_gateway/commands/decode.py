"""`decode`: prints the verified readings of a capture or a live stream.

It uses no clock: the same bytes always give the same output. Readings go to standard output,
everything else to standard error.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Final

from smarty_gateway.commands.chosen import load_keys
from smarty_gateway.commands.options import Subparsers, add_reading_format, add_shared, add_verbose
from smarty_gateway.commands.progress import with_progress
from smarty_gateway.commands.terminal import say
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.library import InputError, InputReader, chunks_of_file, open_input
from smarty_gateway.outputs.fields import print_fields
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.protocol.explanation import explain
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.protocol.rejection import Rejection
from smarty_gateway.protocol.window import Window

_PLAIN_WIDTH: Final = 120


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "decode",
        help="decrypt and decode a capture",
        description="Reads a capture (raw bytes or a hex dump) and prints the readings in it. "
        "Rejections go to standard error.",
    )
    parser.add_argument("input", nargs="?", default="-", help="a file, or - for standard input (default)")
    add_shared(parser, "--keys", "--config")
    shown = parser.add_mutually_exclusive_group()
    add_reading_format(shown, "default: table on a terminal, json elsewhere")
    shown.add_argument(
        "--explain", action="store_true", help="show every frame field by field instead of its readings"
    )
    add_verbose(parser, "also print how much was read")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Decode one input.

    Raises:
        InputError: the input does not exist or cannot be read.
        UnusableFileError: the configuration or the key file cannot be used.
    """
    keys = load_keys(args)
    with _open_input(args.input) as chunks:
        if args.explain:
            reader, write = _explaining(chunks, keys)
        else:
            form = args.format or ("table" if sys.stdout.isatty() else "json")
            reader, write = InputReader(_flushing(chunks), keys, _say_rejection), _writer(form)
        for telegram in reader:
            write(telegram)
    sys.stdout.flush()
    _report(reader, is_verbose=args.verbose)
    return ExitStatus.REJECTED if reader.rejected or not reader.accepted else ExitStatus.GOOD


def _explaining(
    chunks: Iterator[bytes], keys: KeyRing
) -> tuple[InputReader, Callable[[MeterTelegram], None]]:
    """Return a reader that shows each rejection field by field, and the function that shows a telegram."""
    recent = Window()

    def show(event: Event) -> None:
        print_fields(explain(event, recent.cut(event.offset, event.offset + event.size), keys))

    def show_rejection(rejection: Rejection) -> None:
        show(rejection)
        _say_rejection(rejection)

    return InputReader(_flushing(chunks), keys, show_rejection, recent.add), show


def _say_rejection(rejection: Rejection) -> None:
    say(str(rejection))


def _flushing(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Print everything that is known before the input is waited for again."""
    for chunk in chunks:
        yield chunk
        sys.stdout.flush()


def _report(reader: InputReader, *, is_verbose: bool) -> None:
    if count := reader.unreadable_lines:
        lines, were = (f"{count} lines", "were") if count > 1 else ("1 line", "was")
        what = "hex dump cannot be read"
        if not reader.is_hex_dump:
            what = "capture cannot be read (has a mail program wrapped them? use the file itself)"
        say(f"warning: {lines} of this {what} and {were} skipped")
    rejected = reader.rejected.total()
    if is_verbose:
        noise = f"{reader.noise_bytes} of {reader.size} bytes were noise"
        say(f"{reader.accepted} telegrams, {rejected} rejected, {noise}")
    if not reader.accepted and not rejected:
        say(_nothing_found(reader.size))


def _writer(form: str) -> Callable[[MeterTelegram], None]:
    """Return the function that prints one telegram in this form."""
    if form == "telegram":
        return lambda telegram: _write(telegram.raw)
    if form == "json":
        return lambda telegram: _write(to_json_bytes(telegram.as_object()) + b"\n")
    # Drawing tables takes a library that takes a while to load; the other forms do without.
    from smarty_gateway.outputs.table import PipeConsole, table_of  # noqa: PLC0415

    console = PipeConsole(highlight=False, width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
    return lambda telegram: console.print(table_of(telegram, console.width))


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)


@contextmanager
def _open_input(name: str) -> Iterator[Iterator[bytes]]:
    """Open a file, or standard input for `-`, as an iterator over what has arrived.

    Raises:
        InputError: it does not exist, is a folder, or cannot be read.
    """
    if name != "-":
        with open_input(name) as file:
            chunks = chunks_of_file(file, name)
            # On a terminal where the readings themselves run by, a bar would only be in their way.
            yield chunks if sys.stdout.isatty() else with_progress(chunks, os.fstat(file.fileno()).st_size)
        return
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed; name a file")
    os.set_blocking(sys.stdin.fileno(), True)  # the process that started us may have left it otherwise
    if sys.stdin.isatty():
        say("reading from the terminal: paste a hex dump and end with Ctrl-D, or name a file")
    yield chunks_of_file(FileIO(sys.stdin.fileno(), closefd=False), name)


def _nothing_found(size: int) -> str:
    if not size:
        return "nothing found: the input is empty"
    return (
        f"nothing found: no frame and no telegram in {size} bytes; is this a recording of a P1 port "
        "(raw bytes, a hex dump, or a capture whose lines nobody has wrapped or quoted), and longer than the "
        "10 s between two telegrams?"
    )
