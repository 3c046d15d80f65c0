"""Opens the history that the options of a command name, beside a running gateway too."""

import argparse
import difflib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from smarty_gateway.commands.chosen import chosen_config
from smarty_gateway.history.rows import HistoryMeter
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import topic_part
from smarty_gateway.state.history_access import History, no_history, opened_history
from smarty_gateway.state.state_file import state_folder

#: More names than these are not listed in an error.
_MOST_NAMES: Final = 20


class NoSuchMeterError(GatewayError):
    """The history knows no meter of this name."""


@contextmanager
def open_reader(args: argparse.Namespace) -> Iterator[History]:
    """Open the history that the options name.

    Raises:
        NoHistoryError: there is none.
        UnusableFileError: the configuration cannot be used.
    """
    config = chosen_config(args)
    folder = state_folder(args.state or (None if config is None else config.state))
    with opened_history(folder, config, int(time.time())) as history:
        yield history


def extent(history: History, meter: HistoryMeter) -> str:
    """Return which time the history of a meter covers."""
    first, last = (datetime.fromtimestamp(at, history.zone) for at in (meter.first, meter.last))
    return f"{meter.name} from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M}"


def chosen_meters(
    history: History, name: str | None, subcommands: Collection[str] = ()
) -> list[HistoryMeter]:
    """Return the named meter, else all of them.

    Raises:
        NoHistoryError: there is none yet.
        NoSuchMeterError: none has this name.
    """
    meters = history.reader.meters()
    if not meters:
        raise no_history(history.folder)
    found = [meter for meter in meters if name is None or meter.name in {name, topic_part(name)}]
    if found:
        return found
    names = [meter.name for meter in meters]
    if name in subcommands:
        raise NoSuchMeterError(
            f"no meter is called {name!r}; a subcommand comes first: smarty-gateway history {name} …"
        )
    close = difflib.get_close_matches(str(name), [*names, *subcommands], 1)
    meant = f"did you mean {close[0]}? " if close else ""
    more = " …" if len(names) > _MOST_NAMES else ""
    raise NoSuchMeterError(
        f"the history in {history.folder} has no meter {name!r}; {meant}known are: "
        f"{', '.join(names[:_MOST_NAMES])}{more}"
    )
