"""`doctor`: listens to a source, or reads a recording, and says in plain words what is wrong with it.

Most who fail with a meter fail before the first telegram, and all they see is silence or garbage. What
can be told from it, `diagnosis` finds out; here are the port, the clock, the countdown and the print.
"""

import argparse
import contextlib
import json
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from smarty_gateway.diagnosis import Diagnosis
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.findings import Finding
from smarty_gateway.keys import find_key_file, load_key_ring, permission_problem
from smarty_gateway.protocol.keyring import KeyRing
from smarty_gateway.protocol.meter import Event, MeterTelegram
from smarty_gateway.sources.address import MODERN, Address, Kind, LineSettings, parse_address
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.source import Cause, Source, SourceEnded, SourceLost

#: Two telegrams of a meter that sends every 10 s, and the rest of one that began before.
DEFAULT_SECONDS: Final = 25.0
_REOPEN_SECONDS: Final = 0.5
_WIDTH: Final = 88


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="say what is wrong with a port, a cable or a key",
        description="Listens to a port, or reads a recording, and says in plain words what is there, what is "
        "wrong, and how to mend it. It ends early when all is clear, and Ctrl-C ends it with a report.",
    )
    parser.add_argument(
        "source", help="a port such as /dev/ttyUSB0, tcp://host:port, rfc2217://host:port, a file or -"
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="keys.yaml with the meters' keys")
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=DEFAULT_SECONDS,
        metavar="N",
        help="how long to listen to a port at most (default 25); recordings are read to their end",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json: for programs")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what comes, as it comes")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Find out what is wrong with one source.

    Raises:
        AddressError: there is no such source.
        SourceLost: a recording cannot be read.
        KeyFileError: the key file cannot be used.
    """
    address = parse_address(args.source)
    keys = _load_keys(args.keys)
    listening = _Listening(address, keys, seconds=args.seconds, verbose=args.verbose)
    with contextlib.suppress(KeyboardInterrupt):  # enough was heard
        listening.listen()
    listening.end()
    diagnosis = listening.diagnosis
    if args.format == "json":
        findings = [
            {"code": found.code.value, "text": found.text, "advice": found.advice}
            for found in diagnosis.findings()
        ]
        print(json.dumps({"findings": findings, **diagnosis.summary()}, ensure_ascii=False, indent=2))
    else:
        _print_findings(diagnosis.findings())
    return ExitStatus.GOOD if diagnosis.is_verified else ExitStatus.REJECTED


class _Listening:
    """One source, from its opening to the end of the listening time."""

    def __init__(self, address: Address, keys: KeyRing, *, seconds: float, verbose: bool) -> None:
        is_serial = address.kind is Kind.SERIAL
        self.diagnosis = Diagnosis(
            str(address), keys, keys.entries(), is_live=address.is_live, is_serial=is_serial
        )
        self._address = address
        self._verbose = verbose
        self._began = time.monotonic()
        self._ends = self._began + seconds
        self._countdown = _Countdown(str(address)) if address.is_live else None
        self._has_opened = False
        self._ran_out = False

    def listen(self) -> None:
        """Read until all is clear, the time is over or the source is at its end."""
        try:
            if self._address.is_live:
                self._listen_live()
            else:
                self._read_recording()
        finally:
            if self._countdown is not None:
                self._countdown.clear()

    def end(self) -> None:
        """Take note of the end."""
        seconds = time.monotonic() - self._began if self._address.is_live else None
        self._show(self.diagnosis.finish(seconds, at_end=not self._address.is_live))

    def _read_recording(self) -> None:
        source = source_for(self._address)
        source.open()
        try:
            while True:
                self._show(self.diagnosis.receive(source.read()))
        except SourceEnded:
            return
        finally:
            source.close()

    def _listen_live(self) -> None:
        line = MODERN
        while self._goes_on():
            source = source_for(self._address, line)
            try:
                source.open()
                self._has_opened = True
                line = self._read_until_other_line(source, line)
            except SourceLost as lost:
                self._show_line(str(lost))
                self.diagnosis.note_lost(lost, while_listening=self._has_opened)
                if not self._has_opened or lost.cause is not Cause.AWAY:
                    return
                time.sleep(min(_REOPEN_SECONDS, max(0.0, self._ends - time.monotonic())))
            finally:
                source.close()

    def _read_until_other_line(self, source: Source, line: LineSettings) -> LineSettings:
        """Read until the time is over, or other line settings are to be tried."""
        diagnosis = self.diagnosis
        diagnosis.begin_listening(time.monotonic())
        while self._goes_on():
            data = source.read()
            now = time.monotonic()
            other = diagnosis.next_line(now)
            if other is None:
                self._show(diagnosis.receive(data, now))
                other = diagnosis.next_line(now)
            if other is not None:
                self._show_line(f"only garbage at {line}, trying {other}")
                return other
        return line

    def _goes_on(self) -> bool:
        now = time.monotonic()
        if self._countdown is not None:
            self._countdown.show(self._ends - now, self.diagnosis)
        return now < self._ends and not self.diagnosis.is_clear

    def _show(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, MeterTelegram):
                self._show_line(f"a telegram of {event.meter_id} ({event.security}), {event.size} bytes")
            else:
                self._show_line(str(event))

    def _show_line(self, words: str) -> None:
        if self._verbose:
            if self._countdown is not None:
                self._countdown.clear()
            _say(words)


class _Countdown:
    """A line on the terminal that is written over and over; nothing where there is no terminal."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_shown = sys.stderr.isatty()
        self._width = 0

    def show(self, seconds: float, diagnosis: Diagnosis) -> None:
        """Show how long it takes yet, and what came so far."""
        if self._is_shown:
            line = (
                f"listening to {self._source}: {max(0.0, seconds):.0f} s left, {diagnosis.size:,} bytes, "
                f"{diagnosis.telegrams} telegrams"
            )
            self._write(line)

    def clear(self) -> None:
        """Take the line away, so that others can be written."""
        if self._width:
            self._write("")
            self._write("")

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r{line.ljust(self._width)}")
            if not line:
                sys.stderr.write("\r")
            sys.stderr.flush()
        self._width = len(line)


def _load_keys(path: Path | None) -> KeyRing:
    path = path or find_key_file()
    if path is None:
        return KeyRing()
    problem = permission_problem(path) if path.is_file() else None
    if problem is not None:
        _say(f"warning: {problem}")
    return load_key_ring(path)


def _print_findings(findings: list[Finding]) -> None:
    for number, found in enumerate(findings, 1):
        if number > 1:
            print()
        print(_paragraph(f"{number}. {found.text}", "   "))
        if found.advice:
            print(_paragraph(f"   What to do: {found.advice}", "   "))
        print(f"   [{found.code}]")


def _paragraph(text: str, indent: str) -> str:
    return textwrap.fill(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write seconds, such as 25")
    return seconds


def _say(line: str) -> None:
    """Tell the user; the report comes even where nobody can hear this any more."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)
