"""`history show --plot`: draws a stretch of the history into a file."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.charts.picture import to_png, to_svg
from smarty_gateway.commands.terminal import say
from smarty_gateway.commands.usage import WrongUsageError
from smarty_gateway.history.rows import HistoryMeter
from smarty_gateway.history.stretches import Stretch
from smarty_gateway.pages.pictures import picture_of
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
    meter = meters[0]
    svg = to_svg(picture_of(history, meter, stretch, f"{meter.name}, {stretch.title}"))
    data = to_png(svg) if path.suffix.lower() == _PNG else svg.encode()
    try:
        path.write_bytes(data)
    except OSError as error:
        raise UnwritableFileError(f"the picture {path} cannot be written: {error.strerror}") from None
    say(f"{path} is written")
