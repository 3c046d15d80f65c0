"""`doctor`: listens to a source, or reads a recording, and explains what is wrong with it.

Most users who fail with a meter fail before the first telegram, and all they see is silence or garbage.
`diagnosis` finds out what that means; here are the port, the clock, the countdown and the output.
"""

import argparse
import contextlib
import json
import shutil
import textwrap
import time
from collections.abc import Iterator
from typing import Final

from smarty_gateway.commands.options import Subparsers, add_shared, add_verbose, seconds
from smarty_gateway.commands.terminal import StatusLine, say
from smarty_gateway.config.gateway_file import find_config_file, read_config
from smarty_gateway.config.key_file import find_key_file, key_file_problem, load_key_ring
from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.doctor.diagnosis import Diagnosis
from smarty_gateway.doctor.finding import Finding, counted
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter_telegram import Event, MeterTelegram
from smarty_gateway.safe_text import printable
from smarty_gateway.sources.address import DSMR4_LINE, Address, Kind, LineSettings, parse_address
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.recording import RecordingSource
from smarty_gateway.sources.source import Cause, Source, SourceEnded, SourceLost

#: Two telegrams of a meter that sends every 10 s, and the rest of one that began before.
DEFAULT_SECONDS: Final = 25.0
_REOPEN_SECONDS: Final = 0.5
#: Longer lines are hard to read.
_WIDTH: Final = 88


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "doctor",
        help="find out what is wrong with a port, a cable or a key",
        description="Listens to a port, or reads a recording, and explains what is there, what is wrong, and "
        "how to fix it. It ends early when all is clear, and Ctrl-C ends it with a report.",
    )
    parser.add_argument(
        "source", help="a port such as /dev/ttyUSB0, tcp://host:port, rfc2217://host:port, a file or -"
    )
    add_shared(parser, "--keys", "--config")
    parser.add_argument(
        "--seconds",
        type=seconds,
        default=DEFAULT_SECONDS,
        metavar="N",
        help="how long to listen to a port at most (default 25), and again as long at each of the settings "
        "that are tried where only garbage comes; recordings are read to their end",
    )
    parser.add_argument("--format", choices=["text", "json"], default="text", help="json: for programs")
    add_verbose(parser, "also print what comes, as it comes")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Find out what is wrong with one source.

    Raises:
        AddressError: there is no such source.
        SourceLost: a recording cannot be read.
        KeyFileError: the key file cannot be used.
    """
    address = parse_address(args.source)
    diagnosis = _new_diagnosis(args, address)
    listening = _Listening(address, diagnosis, seconds=args.seconds, verbose=args.verbose)
    with contextlib.suppress(KeyboardInterrupt):  # enough was heard
        listening.listen()
    listening.end()
    findings = diagnosis.findings()
    if args.format == "json":
        found = [
            {"code": one.code.value, "is_fault": one.is_fault, "text": one.text, "advice": one.advice}
            for one in findings
        ]
        # In ASCII: text of a meter may hold control characters beyond it, which JSON need not escape.
        print(json.dumps({"findings": found, **diagnosis.summary()}, indent=2))
    else:
        _print_findings(findings)
    return ExitStatus.REJECTED if any(one.is_fault for one in findings) else ExitStatus.GOOD


def _new_diagnosis(args: argparse.Namespace, address: Address) -> Diagnosis:
    """Return a diagnosis with the keys and the configuration of `run`; a faulty one is a finding."""
    config_path = args.config or find_config_file()
    config, errors = read_config(config_path) if config_path is not None else (None, [])
    key_path = args.keys or (config.keys if config is not None else None) or find_key_file()
    keys = KeyRing() if key_path is None else load_key_ring(key_path)
    diagnosis = Diagnosis(
        str(address),
        keys,
        is_live=address.is_live,
        is_serial=address.kind is Kind.SERIAL,
        configured=_meters_on(address, config) if config is not None else [],
    )
    if key_path is not None and key_file_problem(key_path, keys) is not None:
        diagnosis.note_key_file_mode(key_path)
    if config is not None and config.outputs.forward is not None:
        diagnosis.note_forwarding()
    if config_path is not None and errors:
        diagnosis.note_configuration(config_path, [str(error) for error in errors])
    return diagnosis


def _meters_on(address: Address, config: Config) -> list[MeterConfig]:
    """Return the meters that are configured on a source."""
    return [
        meter
        for meter in config.meters
        if any(source.identity == address.identity for source in meter.sources)
    ]


class _Listening:
    """One source, from its opening to the end of the listening time."""

    def __init__(self, address: Address, diagnosis: Diagnosis, *, seconds: float, verbose: bool) -> None:
        self._diagnosis = diagnosis
        self._address = address
        self._verbose = verbose
        self._began = time.monotonic()
        self._seconds = seconds
        self._ends = self._began + seconds
        self._line = DSMR4_LINE
        self._lines = {DSMR4_LINE}  # that were tried
        self._countdown = StatusLine()
        self._has_opened = False

    def listen(self) -> None:
        """Read until all is clear, the time is over or the source is at its end."""
        try:
            if self._address.is_live:
                self._listen_live()
            else:
                self._read_recording()
        finally:
            self._countdown.clear()

    def end(self) -> None:
        """End the diagnosis."""
        seconds = time.monotonic() - self._began if self._address.is_live else None
        self._show(self._diagnosis.finish(seconds, at_end=not self._address.is_live))

    def _read_recording(self) -> None:
        source = RecordingSource(self._address)
        source.open()
        try:
            while True:
                self._show(self._diagnosis.receive(source.read()))
        except SourceEnded:
            self._diagnosis.note_unreadable_lines(source.unreadable_lines)
        finally:
            source.close()

    def _listen_live(self) -> None:
        while self._goes_on():
            source = source_for(self._address, self._line)
            try:
                source.open()
                self._has_opened = True
                self._read_until_other_line(source)
            except SourceLost as lost:
                self._diagnosis.note_lost(lost, while_listening=self._has_opened)
                self._show(self._diagnosis.take_new_events())
                self._show_line(str(lost))
                if not self._has_opened or lost.cause is not Cause.AWAY:
                    return
                time.sleep(min(_REOPEN_SECONDS, max(0.0, self._ends - time.monotonic())))
            finally:
                source.close()

    def _read_until_other_line(self, source: Source) -> None:
        """Read until the time is over, or other line settings are to be tried."""
        diagnosis = self._diagnosis
        diagnosis.begin_listening(time.monotonic())
        while self._goes_on():
            data = source.read()
            now = time.monotonic()
            other = diagnosis.next_line(now)
            if other is None:
                self._show(diagnosis.receive(data, now))
                other = diagnosis.next_line(now)
            if other is not None:
                self._change_line(other)
                return

    def _change_line(self, other: LineSettings) -> None:
        """Go on with other settings; a meter that sends every 10 s needs time at each."""
        self._show(self._diagnosis.take_new_events())
        self._show_line(f"only garbage at {self._line}, trying {other}")
        self._line = other
        if other not in self._lines:
            self._lines.add(other)
            self._ends = max(self._ends, time.monotonic() + self._seconds)

    def _goes_on(self) -> bool:
        now = time.monotonic()
        self._countdown.show(self._progress)
        return now < self._ends and not self._diagnosis.is_clear

    def _progress(self) -> str:
        at = f" at {self._line}" if len(self._lines) > 1 else ""
        left = max(0.0, self._ends - time.monotonic())
        size, telegrams = (
            counted(self._diagnosis.size, "byte"),
            counted(self._diagnosis.telegrams, "telegram"),
        )
        return f"listening to {self._address}{at}: {left:.0f} s left, {size}, {telegrams}"

    def _show(self, events: Iterator[Event]) -> None:
        for event in events:
            if isinstance(event, MeterTelegram):
                self._show_line(f"a telegram of {event.meter_id} ({event.security}), {event.size} bytes")
            elif self._diagnosis.is_forwarded(event):
                self._show_line(f"an encrypted frame, which `run` forwards to the pool, {event.size} bytes")
            else:
                self._show_line(str(event))

    def _show_line(self, line: str) -> None:
        if self._verbose:
            self._countdown.clear()
            say(line)


def _print_findings(findings: list[Finding]) -> None:
    width = min(_WIDTH, shutil.get_terminal_size((_WIDTH, 24)).columns)
    for number, found in enumerate(findings, 1):
        if number > 1:
            print()
        print(_paragraph(f"{number}. {found.text}", width))
        if found.advice:
            print(_paragraph(f"   What to do: {found.advice}", width))
        print(f"   [{found.code}]")


def _paragraph(text: str, width: int) -> str:
    # A path or a line to type stays whole: the terminal wraps it, and it can be copied.
    return textwrap.fill(
        printable(text), width, subsequent_indent="   ", break_long_words=False, break_on_hyphens=False
    )
