"""`history compare`: the operator's quarter hours beside ours."""

import argparse
import csv
import io
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from smarty_gateway.commands.history_access import chosen_meters, open_reader
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.commands.terminal import say
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.zone_names import checked_zone
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.comparison import TOLERANCE, Comparison, better_shift, compare, period_of
from smarty_gateway.history.operator_csv import Flow, OperatorFileError, Options, Unit, read_operator_csv
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.safe_text import printable

#: Bytes. Seven years of quarter hours with two registers each, as Fluvius writes them.
_LARGEST: Final = 64_000_000
#: Seconds by which the times of a file may be off.
_MARGIN: Final = 7200
_WIDE: Final = 74
#: Meters in a message.
_SHOWN: Final = 20
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")


def add_compare_parser(subparsers: Subparsers) -> None:
    """Describe the command and its options."""
    parser = subparsers.add_parser(
        "compare",
        help="compare with the operator's quarter hours",
        description="Compares the quarter hours of the history with a CSV file of the grid operator, and "
        f"prints those that differ by more than {TOLERANCE} Wh. The files of Fluvius and Leneda are "
        "recognised.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="the operator's quarter hours")
    parser.add_argument("--meter", metavar="NAME", help="needed where the history has several meters")
    parser.add_argument(
        "--column",
        action="append",
        default=[],
        metavar="NAME",
        help="the heading of the energies, or the number of their column; several are added up",
    )
    parser.add_argument(
        "--unit",
        choices=[unit.value for unit in Unit],
        help="of the energies; kW and W are means of a quarter hour",
    )
    parser.add_argument(
        "--timezone",
        type=_zone,
        metavar="ZONE",
        help="of times without an offset, such as Europe/Brussels or UTC (default: Fluvius Europe/Brussels, "
        "Leneda UTC, else that of the configuration)",
    )
    parser.add_argument(
        "--stamp", choices=["start", "end"], default="start", help="which end of a quarter hour the times are"
    )
    parser.add_argument(
        "--format",
        choices=["table", "csv", "json"],
        help="json: one object a line (default: table on a terminal, json elsewhere)",
    )
    add_shared(parser, "--config", "--state")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(checked_zone(name))
    except SettingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute_compare(args: argparse.Namespace) -> ExitStatus:
    """Compare one file.

    Raises:
        OperatorFileError: it cannot be read, or is not understood, or there is no history of the meter.
    """
    with open_reader(args) as history:
        zone = history.zone
        options = Options(
            zone=args.timezone or zone,
            columns=args.column,
            unit=None if args.unit is None else Unit(args.unit),
            is_zone_certain=args.timezone is not None,
            is_end=args.stamp == "end",
        )
        meter = _only(chosen_meters(history, args.meter))
        theirs = read_operator_csv(_lines_of(args.file), options)
        begin, end = period_of(theirs)
        rows = history.reader.rows(meter.name, By.QUARTER, begin - _MARGIN, end + _MARGIN, history.now)
    comparison = compare(theirs, rows)
    form = args.format or ("table" if sys.stdout.isatty() else "json")
    _print_different(form, meter.name, comparison, zone)
    sys.stdout.flush()
    shown = sys.stdout if form == "table" else sys.stderr
    for line in _summary(meter, comparison, zone, (begin, end)):
        print(printable(line), file=shown)
    if theirs.unclear:
        say(f"left out because the file is not clear about them: {len(theirs.unclear)}")
    if theirs.unreadable:
        say(f"warning: {theirs.unreadable} rows of {args.file} cannot be read")
    shift = better_shift(theirs, rows)
    if shift is not None:
        say(_advice(shift))
    return ExitStatus.GOOD if comparison.compared and not comparison.different else ExitStatus.REJECTED


def _only(meters: Sequence[HistoryMeter]) -> HistoryMeter:
    if len(meters) > 1:
        names = ", ".join(repr(meter.name) for meter in meters[:_SHOWN])
        raise OperatorFileError(f"the history has several meters: choose one with --meter ({names})")
    return meters[0]


def _lines_of(path: Path) -> Iterator[str]:
    """Yield the lines of a file in any of the usual encodings.

    Raises:
        OperatorFileError: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise OperatorFileError(f"{path}: {error.strerror}") from None
    if len(data) > _LARGEST:
        raise OperatorFileError(f"{path} is larger than {_LARGEST // 1_000_000} MB; export fewer years")
    return iter(io.StringIO(_text_of(data), newline=None))


def _text_of(data: bytes) -> str:
    if data.startswith(_UTF_16):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


# Printing


def _print_different(form: str, meter: str, comparison: Comparison, zone: ZoneInfo) -> None:
    records = list(_records(meter, comparison, zone))
    if form == "json":
        for record in records:
            print(json.dumps(record))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    elif records:
        _print_table(records)


_COLUMNS: Final = ("meter", "start", "end", "direction", "ours", "operator", "difference")


def _records(meter: str, comparison: Comparison, zone: ZoneInfo) -> Iterator[dict[str, Any]]:
    """Yield a record for each direction of a quarter hour that differs; energies are in kWh."""
    for start, pairs in comparison.different.items():
        for flow, pair in pairs.items():
            if not pair.is_equal:
                values = (pair.ours, pair.theirs, pair.difference)
                energies = [float(Decimal(value) / 1000) for value in values]
                yield dict(
                    zip(
                        _COLUMNS,
                        (
                            printable(meter),
                            _iso(start, zone),
                            _iso(start + QUARTER, zone),
                            flow.value,
                            *energies,
                        ),
                        strict=True,
                    )
                )


def _print_table(records: Iterable[dict[str, Any]]) -> None:
    between = "  " if shutil.get_terminal_size().columns >= _WIDE else "\n"
    print(
        f"{'quarter hour':<25}  direction{between}{'ours kWh':>10}  {'operator kWh':>12}  {'difference':>10}"
    )
    for record in records:
        print(
            f"{record['start']:<25}  {record['direction']:<9}{between}{record['ours']:>10.3f}"
            f"  {record['operator']:>12.3f}  {record['difference'] * 1000:>+7.6g} Wh"
        )


def _summary(
    meter: HistoryMeter, comparison: Comparison, zone: ZoneInfo, period: tuple[int, int]
) -> Iterator[str]:
    """Yield the lines below the rows that differ; each fits into 40 columns."""
    if not comparison.compared:
        yield (
            f"nothing to compare: the file goes from {_iso(period[0], zone)} to {_iso(period[1], zone)}, the "
            f"history of {meter.name} from {_iso(meter.first, zone)} to {_iso(meter.last, zone)}"
        )
    if meter.is_simulated:
        yield f"{meter.name} is simulated: nobody has measured it"
    different = len(comparison.different)
    yield f"{meter.name}: {len(comparison.compared)} quarter hours compared"
    yield f"  {'equal':<20}{len(comparison.compared) - different:>11}"
    yield f"  {'different':<20}{different:>11}"
    yield f"  {'missing here':<20}{comparison.missing_here:>11}"
    yield f"  {'missing in the file':<20}{comparison.missing_there:>11}"
    yield f"  {'estimated, left out':<20}{comparison.estimated:>11}"
    for flow in Flow:
        pairs = comparison.of(flow)
        if not pairs:
            continue
        ours, theirs = sum(pair.ours for pair in pairs.values()), sum(pair.theirs for pair in pairs.values())
        yield f"  {flow.value + ' here':<20}{ours / 1000:>11.3f} kWh"
        yield f"  {flow.value + ' in the file':<20}{theirs / 1000:>11.3f} kWh"
        worst = max(pairs, key=lambda start: abs(pairs[start].difference))
        if pairs[worst].difference:
            yield f"  {'largest difference':<20}{pairs[worst].difference.normalize():>+11f} Wh"
            yield f"    at {_iso(worst, zone)}"


def _advice(shift: int) -> str:
    """Return what to try where most quarter hours differ, and would not if the times were others."""
    if shift == -QUARTER:
        return "the times of this file seem to be the ends of the quarter hours: try --stamp end"
    if shift == QUARTER:
        return "the times of this file seem to be the beginnings of the quarter hours: try --stamp start"
    hours = f"{abs(shift) // 3600} h"
    return f"the times of this file seem to be {hours} off: try --timezone UTC, or Europe/Luxembourg"


def _iso(second: int, zone: ZoneInfo) -> str:
    return datetime.fromtimestamp(second, UTC).astimezone(zone).isoformat(timespec="minutes")
