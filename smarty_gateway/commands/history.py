"""`history`: prints quarter hours, hours, days, months and years, high quarters, levels and registers.

It reads beside a running gateway. Everything that is not the result goes to standard error.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from smarty_gateway.commands.history_access import chosen_meters, extent, open_reader
from smarty_gateway.commands.history_compare import add_compare_parser, execute_compare
from smarty_gateway.commands.history_export import add_export_parser, execute_export
from smarty_gateway.commands.history_import import add_import_parser, execute_import
from smarty_gateway.commands.history_picture import add_plot, draw
from smarty_gateway.commands.history_range import add_range, stretch_of
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.costs import PricedRow
from smarty_gateway.history.levels import PricedLevel
from smarty_gateway.history.rows import By, HistoryMeter, Peak, RegisterReading, Row
from smarty_gateway.history.stretches import Stretch
from smarty_gateway.outputs.history_records import (
    Record,
    level_record,
    peak_record,
    priced_record,
    record_of,
    register_record,
    to_lines,
)
from smarty_gateway.outputs.history_sheets import (
    Sheet,
    Shown,
    sheet_of_costs,
    sheet_of_levels,
    sheet_of_peaks,
    sheet_of_registers,
    sheet_of_rows,
)
from smarty_gateway.state.history_access import History

Item = TypeVar("Item", Row, PricedRow, Peak, RegisterReading, PricedLevel)

#: Days without any option.
_SHOWN_DAYS: Final = 7
_REGISTER_DAYS: Final = 31
#: Of each month; a month has less than 3000 quarter hours.
_MOST_PEAKS: Final = 2976


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its subcommands."""
    parser = commands.add_parser(
        "history",
        help="quarter hours, days, months: energy, excess, peaks",
        description="Prints what a running gateway has kept: energy of each quarter hour, hour, day, month "
        "or year, with the excess over the reference power. It can be used while the gateway runs. Without "
        "a subcommand it is show.",
    )
    subcommands = parser.add_subparsers(
        title="subcommands", dest="subcommand", required=True, metavar="SUBCOMMAND"
    )
    _add_show(subcommands)
    _add_peaks(subcommands)
    levels = subcommands.add_parser(
        "levels",
        help="compare the levels of the tariff",
        description="For each level of the tariff: the excess of the last 12 calendar months that are over, "
        "and what they would have cost. Where gateway.yaml names no tariff, that of Luxembourg is compared.",
    )
    _add_shared_options(levels)
    registers = subcommands.add_parser(
        "registers",
        help="the registers at the beginning of each day",
        description="Prints the registers at the beginning of each day, as they stand on a bill.",
    )
    _add_shared_options(registers)
    add_range(registers)
    add_import_parser(subcommands)
    add_export_parser(subcommands)
    add_compare_parser(subcommands)


def _add_show(subcommands: Subparsers) -> None:
    parser = subcommands.add_parser(
        "show",
        help="energy, power and excess of each span (the default)",
        description="Prints each quarter hour of a day, each day of a month, each month of a year; without "
        "a range the last 7 days, with --by month the last 12 months, with --by year all years.",
    )
    _add_shared_options(parser)
    add_range(parser)
    parser.add_argument("--by", choices=[span.value for span in By], metavar="SPAN", help=", ".join(By))
    parser.add_argument(
        "--cost",
        action="store_true",
        help="what each day, month or year costs with the tariff of the meter in gateway.yaml",
    )
    add_plot(parser)


def _add_peaks(subcommands: Subparsers) -> None:
    parser = subcommands.add_parser(
        "peaks",
        help="the highest quarter hours of each month",
        description="Prints the highest quarter hour of each month; without any option of this month "
        "and the 11 before. Those that the meter itself has stored are marked.",
    )
    _add_shared_options(parser)
    add_range(parser)
    parser.add_argument(
        "--count", type=_count, default=1, metavar="N", help="how many of each month (default: 1)"
    )


def _add_shared_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("meter", nargs="?", help="its name, as in its topics (default: all meters)")
    add_shared(parser, "--config", "--state")
    parser.add_argument(
        "--format",
        choices=("table", "csv", "json"),
        help="json: one object a line (default: table on a terminal, json elsewhere)",
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= _MOST_PEAKS):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_PEAKS}")
    return int(text)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run a subcommand.

    Raises:
        GatewayError: there is no history, no such meter, or the command line does not follow the usage.
    """
    return _EXECUTE[args.subcommand](args)


def _show(args: argparse.Namespace) -> ExitStatus:
    with open_reader(args) as history:
        stretch = stretch_of(args, history.zone, history.now, days=_SHOWN_DAYS)
        meters = chosen_meters(history, args.meter, _EXECUTE)
        if args.plot is not None:
            if args.cost:
                raise WrongUsageError("a picture shows no costs: leave out --plot or --cost")
            draw(args.plot, history, meters, stretch)
            return ExitStatus.GOOD
        if args.cost:
            return _show_costs(args, history, meters, stretch)
        found = [(meter, history.rows(meter, stretch)) for meter in meters]

    def sheet(meter: HistoryMeter, rows: Sequence[Row], zone: ZoneInfo) -> Sheet:
        reference = history.reference_of(meter)
        return sheet_of_rows(meter, rows, Shown(stretch.title, stretch.by, zone, history.now, reference))

    return _print(args, history, found, record_of, sheet)


def _show_costs(
    args: argparse.Namespace, history: History, meters: Sequence[HistoryMeter], stretch: Stretch
) -> ExitStatus:
    if stretch.by in (By.QUARTER, By.HOUR):
        raise WrongUsageError("--cost counts whole days: add --by day, month or year")
    # Without a tariff for any of them, the first one says so.
    priced = [meter for meter in meters if history.tariff_of(meter) is not None] or meters[:1]
    found = [(meter, history.priced(meter, stretch)) for meter in priced]

    def sheet(meter: HistoryMeter, rows: Sequence[PricedRow], zone: ZoneInfo) -> Sheet:
        shown = Shown(stretch.title, stretch.by, zone, history.now)
        return sheet_of_costs(meter, rows, shown, history.cost_notes(meter, rows))

    return _print(args, history, found, priced_record, sheet)


def _peaks(args: argparse.Namespace) -> ExitStatus:
    with open_reader(args) as history:
        stretch = stretch_of(args, history.zone, history.now)
        found = [
            (meter, history.reader.peaks(meter.name, stretch.first, stretch.last, args.count))
            for meter in chosen_meters(history, args.meter, _EXECUTE)
        ]

    def sheet(meter: HistoryMeter, peaks: Sequence[Peak], zone: ZoneInfo) -> Sheet:
        return sheet_of_peaks(meter, peaks, zone, history.peak_notes(meter, peaks))

    return _print(args, history, found, peak_record, sheet)


def _registers(args: argparse.Namespace) -> ExitStatus:
    with open_reader(args) as history:
        stretch = stretch_of(args, history.zone, history.now, days=_REGISTER_DAYS)
        found = [
            (meter, history.reader.registers(meter.name, stretch.first, stretch.last))
            for meter in chosen_meters(history, args.meter, _EXECUTE)
        ]
    return _print(args, history, found, register_record, sheet_of_registers)


def _levels(args: argparse.Namespace) -> ExitStatus:
    with open_reader(args) as history:
        meters = chosen_meters(history, args.meter, _EXECUTE)
        # Without a tariff for any of them, the first one says so.
        priced = [meter for meter in meters if history.level_tariff_of(meter) is not None] or meters[:1]
        found = [(meter, history.levels(meter)) for meter in priced]

    def sheet(meter: HistoryMeter, compared: Sequence[PricedLevel], _: ZoneInfo) -> Sheet:
        return sheet_of_levels(meter, compared, history.notes(meter, compared), history.level_of(meter))

    return _print(args, history, found, level_record, sheet)


def _print(
    args: argparse.Namespace,
    history: History,
    found: Sequence[tuple[HistoryMeter, Sequence[Item]]],
    record: Callable[[str, Item, ZoneInfo], Record],
    sheet: Callable[[HistoryMeter, Sequence[Item], ZoneInfo], Sheet],
) -> ExitStatus:
    """Print what was found of each meter; nothing at all is exit status 1."""
    form = args.format or ("table" if sys.stdout.isatty() else "json")
    shown = [(meter, items) for meter, items in found if items]
    if form == "table":
        # Drawing tables takes a library that takes a while to load; the other forms do without.
        from smarty_gateway.outputs.history_table import print_sheets  # noqa: PLC0415

        print_sheets(sheet(meter, items, history.zone) for meter, items in shown)
    else:
        for meter in (meter for meter, _ in shown if meter.is_simulated):
            say(f"{meter.name} is simulated: nobody has measured this")
        records = [record(meter.name, item, history.zone) for meter, items in shown for item in items]
        for line in to_lines(form, records):
            print(line)
    if not shown:
        spans = ", ".join(extent(history, meter) for meter, _ in found)
        say(f"nothing is known of this time; the history holds {spans}")
    return ExitStatus.GOOD if shown else ExitStatus.REJECTED


_EXECUTE: Final[dict[str, Callable[[argparse.Namespace], ExitStatus]]] = {
    "show": _show,
    "peaks": _peaks,
    "levels": _levels,
    "registers": _registers,
    "import": execute_import,
    "export": execute_export,
    "compare": execute_compare,
}
