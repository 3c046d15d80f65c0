"""`history export`: writes the whole history into a file, as a backup or for other programs."""

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.commands.history_access import chosen_meters, extent, open_reader
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.outputs.history_records import Record, columns_of, csv_lines, record_of
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable
from smarty_gateway.state.history_access import History
from smarty_gateway.state.history_file import export_history

_BACKUP: Final = ".sqlite"
_TABLE: Final = ".csv"


class ExportError(GatewayError):
    """The file cannot be written."""


def add_export_parser(subcommands: Subparsers) -> None:
    """Describe the subcommand and its options."""
    parser = subcommands.add_parser(
        "export",
        help="write the whole history into a file",
        description="Writes the whole history into a new file: a backup, which history import reads on this "
        "or another machine, or a table of all quarter hours. The gateway may be running.",
    )
    parser.add_argument(
        "file",
        type=_file,
        metavar="FILE",
        help="backup.sqlite: a backup; history.csv: all quarter hours as a table",
    )
    add_shared(parser, "--config", "--state")


def _file(text: str) -> Path:
    path = Path(text)
    if path.suffix not in {_BACKUP, _TABLE}:
        raise argparse.ArgumentTypeError(
            f"{text!r} does not say what to write: name it backup.sqlite for a backup, or history.csv for a "
            "table"
        )
    return path


def execute_export(args: argparse.Namespace) -> ExitStatus:
    """Write the history.

    Raises:
        ExportError: the file cannot be written.
        NoHistoryError: there is no history.
        StateError: it cannot be read.
    """
    path: Path = args.file
    with open_reader(args) as history:
        meters = chosen_meters(history, None)
        try:
            if path.suffix == _BACKUP:
                export_history(history.folder, path)
            else:
                _write_table(path, history, meters)
            size = path.stat().st_size
        except FileExistsError:
            raise ExportError(f"{path} exists already; remove it, or name another file") from None
        except OSError as error:
            raise ExportError(f"{path} cannot be written: {error.strerror}") from None
    for meter in meters:
        print(printable(extent(history, meter)))
    print(
        printable(f"{path}: {len(meters)} {'meter' if len(meters) == 1 else 'meters'}, {size / 1e6:.1f} MB")
    )
    return ExitStatus.GOOD


def _write_table(path: Path, history: History, meters: Sequence[HistoryMeter]) -> None:
    """Write a line for each quarter hour; which columns there are is known only when all have been read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            names = columns_of(_records(history, meters))
            file.writelines(f"{line}\n" for line in csv_lines(names, _records(history, meters)))
    except BaseException:  # on Ctrl-C, too, half a table would be taken for the whole one
        path.unlink()
        raise


def _records(history: History, meters: Sequence[HistoryMeter]) -> Iterator[Record]:
    for meter in meters:
        reference = history.reference_of(meter)
        for row in history.reader.rows(meter.name, By.QUARTER, None, None, history.now, reference):
            yield record_of(meter.name, row, history.zone)
