"""`report --output`: a report as a file, which never takes the place of anything but a report."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.charts.picture import to_png, to_svg
from smarty_gateway.charts.style import CLASS
from smarty_gateway.commands.history_picture import UnwritableFileError
from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.history.rows import HistoryMeter
from smarty_gateway.history.stretches import Stretch
from smarty_gateway.pages.pictures import picture_of
from smarty_gateway.pages.report import GENERATOR, Report, report_page
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.history_access import History

_SVG: Final = ".svg"
_PNG: Final = ".png"
#: What a file of each kind has near its beginning, if a report may replace it.
_MARKS: Final = {".html": GENERATOR.encode(), _SVG: CLASS.encode(), _PNG: b"\x89PNG\r\n\x1a\n"}
_BEGINNING: Final = 1000
_STANDARD_OUTPUT: Final = Path("-")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `--output`."""
    parser.add_argument(
        "--output",
        type=_report_file,
        metavar="FILE",
        help="an .html, .svg or .png file, - for HTML on standard output (default: a file here that is named "
        "after meter and date, such as house-2026-10.html; none with --mail)",
    )


def _report_file(text: str) -> Path:
    path = Path(text)
    if path != _STANDARD_OUTPUT and path.suffix.lower() not in _MARKS:
        hint = "; for a PDF print the .html file in a browser" if path.suffix.lower() == ".pdf" else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither an .html, an .svg nor a .png file, nor -{hint}"
        )
    return path


def default_path(report: Report, date: str) -> Path:
    """Return where a report goes for which no file is named."""
    name = topic_part(report.meters[0].name) if len(report.meters) == 1 else "report"
    return Path(f"{name}-{date}.html")


def content(
    path: Path, report: Report, history: History, meters: Sequence[HistoryMeter], stretch: Stretch
) -> bytes:
    """Return a report in the form that suits a file.

    Raises:
        WrongUsageError: a picture of several meters is wanted.
        GatewayError: an extra is missing.
    """
    kind = path.suffix.lower()
    if kind not in (_SVG, _PNG):
        return report_page(report).encode()
    if len(meters) > 1:
        names = ", ".join(meter.name for meter in meters)
        raise WrongUsageError(f"a picture shows one meter; name one of: {names}")
    heading = f"{report.meters[0].name}, {report.title}"
    svg = to_svg(picture_of(history, meters[0], stretch, heading), report.language)
    return to_png(svg) if kind == _PNG else svg.encode()


def write(path: Path, data: bytes) -> None:
    """Write a file, or to standard output.

    Raises:
        UnwritableFileError: it cannot be written, or another file is there.
    """
    if path == _STANDARD_OUTPUT:
        sys.stdout.buffer.write(data)
        return
    try:
        if path.is_file():
            with path.open("rb") as file:
                beginning = file.read(_BEGINNING)
            if beginning and _MARKS[path.suffix.lower()] not in beginning:
                raise UnwritableFileError(
                    f"{path} is there, and is no report: remove it, or choose another file with --output"
                )
        path.write_bytes(data)
    except OSError as error:
        raise UnwritableFileError(f"the report {path} cannot be written: {error.strerror}") from None
    say(f"{path} is written")
