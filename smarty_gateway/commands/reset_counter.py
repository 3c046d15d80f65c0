"""`reset-counter`: accepts that a meter's frame counter fell back.

A counter that falls means that old frames are sent again, which the gateway refuses, or that the
meter was replaced or set back by the grid operator, which only a person can know. It works while the
gateway runs as well: that one finds the word that is left in the state file.
"""

import argparse
from pathlib import Path

from smarty_gateway.config.gateway_file import find_config_file, load_config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.safe_text import printable
from smarty_gateway.state.state_file import StateError, state_folder
from smarty_gateway.state.store import Store, StoredCounter


class UnknownMeterError(GatewayError):
    """No frame counter is stored under this name."""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "reset-counter",
        help="accept a frame counter that fell back",
        description="Forgets the last frame counter of a meter, so that lower ones are accepted again. Do "
        "this when the meter was replaced or set back; a running gateway takes note within seconds.",
    )
    parser.add_argument("meter", help="its name, serial number or system title")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, for its state folder")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the state folder")
    parser.set_defaults(execute=execute)


def execute(args: argparse.Namespace) -> ExitStatus:
    """Forget the counters of one meter.

    Raises:
        UnknownMeterError: none is stored for it.
    """
    with Store(chosen_state_folder(args)) as store:
        require_kept(store)
        rows = store.all_counters()
        chosen = [row for row in rows if args.meter.casefold() in _names(row)]
        if not chosen:
            known = sorted({row.meter for row in rows})
            raise UnknownMeterError(
                f"no frame counter is stored for {args.meter} in {store.path}"
                + (
                    f"; there are some for: {', '.join(map(repr, known))}"
                    if known
                    else "; there is none at all"
                )
            )
        store.reset({row.title for row in chosen})
    meters = sorted({row.meter for row in chosen})
    print(f"the next frame of {printable(', '.join(meters))} is accepted with any frame counter")
    return ExitStatus.GOOD


def require_kept(store: Store) -> None:
    """Raise StateError where nothing that is changed would last."""
    if not store.is_kept:
        raise StateError("; ".join(store.notices))


def chosen_state_folder(args: argparse.Namespace) -> Path:
    """Give the state folder that the gateway uses with the same options."""
    if args.state is not None:
        return state_folder(args.state)
    path = args.config or find_config_file()
    return state_folder(None if path is None else load_config(path).state)


def _names(row: StoredCounter) -> set[str]:
    names = {row.meter.casefold(), row.title.hex()}
    serial = serial_from_system_title(row.title)
    return names | ({serial.casefold()} if serial else set())
