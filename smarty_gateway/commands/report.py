"""`report`: a day, a month or a year as a file to look at, to print or to keep, or as a mail.

It reads beside a running gateway. Everything that is not the result goes to standard error.
"""

import argparse
import os
import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

from smarty_gateway.commands.history_access import chosen_meters, extent, open_reader
from smarty_gateway.commands.history_range import add_spans, stretch_of
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.report_file import add_output, content, default_path, write
from smarty_gateway.commands.report_mail import mail_server, send_report
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.config.values import Config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.local_time import local_date, preceding
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import Stretch, span_stretch
from smarty_gateway.languages.language import CODES, Language, language_of
from smarty_gateway.pages.history_words import title_of
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.report import MeterReport, Report, report_sections
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_access import History

_SPANS: Final = (By.DAY, By.MONTH, By.YEAR)
#: In the order in which they count (POSIX, "Environment Variables").
_LOCALES: Final = ("LC_ALL", "LC_MESSAGES", "LANG")


class NothingKnownError(GatewayError):
    """There is nothing to report."""

    exit_status = ExitStatus.REJECTED


def add_parser(commands: Subparsers) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "report",
        help="a day, a month or a year as a page, a picture or an e-mail",
        description="Writes what a running gateway has kept of a day, a month or a year: as an HTML file, a "
        "picture, or an e-mail. Without a range it is yesterday. It can be used while the gateway runs.",
    )
    parser.add_argument("meter", nargs="?", help="its name, as in its topics (default: all meters)")
    group = parser.add_argument_group("range", "local time")
    add_spans(group)
    group.add_argument(
        "--last",
        dest="latest",
        choices=[span.value for span in _SPANS],
        metavar="SPAN",
        help="the last one that is over: day (the default), month or year",
    )
    parser.set_defaults(first=None, last=None)
    add_output(parser)
    parser.add_argument(
        "--mail", action="store_true", help="send it, as `outputs: mail:` in gateway.yaml says"
    )
    parser.add_argument(
        "--language",
        choices=CODES,
        help="of the report: en, fr or de (default: that of LC_ALL, LC_MESSAGES or LANG)",
    )
    add_shared(parser, "--config", "--state")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Write or send the report.

    Raises:
        GatewayError: there is no history, no such meter, nothing to report, or it cannot be written or sent.
    """
    language = _language(args.language)
    with open_reader(args) as history:
        server = mail_server(history.config) if args.mail else None
        by, day = _span(args, history)
        stretch = span_stretch(by, day, history.zone)
        meters = _known(history, chosen_meters(history, args.meter), stretch)
        names = PublicNames(history.config or Config(()))
        report = Report(
            title_of(by, day, language),
            [
                MeterReport(
                    names.title_of(names.of(meter.name, is_simulated=meter.is_simulated)),
                    meter.is_simulated,
                    report_sections(history, meter, by, day, language),
                )
                for meter in meters
            ],
            language,
            datetime.fromtimestamp(history.now, history.zone),
        )
        if args.output is not None or not args.mail:
            path = args.output or default_path(report, stretch.title)
            write(path, content(path, report, history, meters, stretch))
    if server is not None:
        send_report(report, server)
    return ExitStatus.GOOD


def _span(args: argparse.Namespace, history: History) -> tuple[By, date]:
    """Return what is reported, and a day in it.

    Raises:
        WrongUsageError: the options contradict each other, or one is not a time.
    """
    today = local_date(history.now, history.zone)
    chosen = [by for by in _SPANS if getattr(args, by) is not None]
    if len(chosen) + (args.latest is not None) > 1:
        raise WrongUsageError("only one of --day, --month, --year and --last can be used at a time")
    if not chosen:
        by = By(args.latest or By.DAY)
        return by, preceding(by, today)
    stretch = stretch_of(args, history.zone, history.now)
    return chosen[0], local_date(stretch.first or 0, history.zone)


def _known(history: History, meters: Sequence[HistoryMeter], stretch: Stretch) -> list[HistoryMeter]:
    """Return the meters of which something is known.

    Raises:
        NothingKnownError: there are none.
    """
    found = [
        meter
        for meter in meters
        if any(row.import_ is not None or row.export is not None for row in history.rows(meter, stretch))
    ]
    if not found:
        extents = ", ".join(extent(history, meter) for meter in meters)
        raise NothingKnownError(f"nothing is known of {stretch.title}; the history holds {extents}")
    return found


def _language(code: str | None) -> Language:
    """Return the chosen language, else that of the environment."""
    locale = next((value for name in _LOCALES if (value := os.environ.get(name))), "")
    return language_of(code or re.split(r"[_.@]", locale)[0].lower())
