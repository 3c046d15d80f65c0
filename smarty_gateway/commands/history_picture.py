"""`history show --plot`: draws a stretch of the history into a file."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from smarty_gateway.charts.picture import Picture, to_png, to_svg
from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import Stretch, year_stretch
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.state.history_access import History

_PNG: Final = ".png"
_KINDS: Final = (".svg", _PNG)


class UnwritableFileError(GatewayError):
    """The picture cannot be written where it should be."""


def add_plot(parser: argparse.ArgumentParser) -> None:
    """Add `--plot`."""
    parser.add_argument(
        "--plot",
        type=_picture_file,
        metavar="FILE",
        help="draw a picture instead, .svg or .png (needs the extra plot)",
    )


def _picture_file(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in _KINDS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an .svg nor a .png file")
    return path


def draw(path: Path, history: History, meters: Sequence[HistoryMeter], stretch: Stretch) -> None:
    """Draw one meter.

    Raises:
        WrongUsageError: there are several.
        PictureError: it cannot be drawn.
        UnwritableFileError: the file cannot be written.
    """
    if len(meters) > 1:
        names = ", ".join(meter.name for meter in meters)
        raise WrongUsageError(f"a picture shows one meter; name one of: {names}")
    svg = to_svg(_picture(history, meters[0], stretch))
    data = to_png(svg) if path.suffix.lower() == _PNG else svg.encode()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UnwritableFileError(f"the picture {path} cannot be written: {error.strerror}") from None
    say(f"{path} is written")


def _picture(history: History, meter: HistoryMeter, stretch: Stretch) -> Picture:
    first = meter.first if stretch.first is None else stretch.first
    picture = Picture(
        f"{meter.name}, {stretch.title}",
        history.rows(meter, stretch),
        first,
        (meter.last if stretch.last is None else stretch.last),
        stretch.by,
        history.zone,
        is_simulated=meter.is_simulated,
    )
    if stretch.by is By.QUARTER:
        return replace(picture, level=_level(history, meter, first))
    year = local_date(first, history.zone).year
    if stretch != year_stretch(year, history.zone):
        return picture
    previous = year_stretch(year - 1, history.zone)
    rows = history.rows(meter, previous)
    return replace(picture, previous=rows, previous_first=previous.first or 0)


def _level(history: History, meter: HistoryMeter, first: int) -> int | None:
    reference = history.reference_of(meter)
    return None if reference is None else reference.on(local_date(first, history.zone))
