"""`reset-counter`: accepts that a meter's frame counter fell back.

A counter that falls means that old frames are sent again, which the gateway rejects, or that the grid
operator replaced or reset the meter, which only a person can know. It also works while the gateway runs,
which finds the request in the state file.
"""

import argparse

from smarty_gateway.commands.chosen import chosen_state_folder, require_kept
from smarty_gateway.commands.options import Subparsers, add_shared
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.system_title import serial_from_system_title
from smarty_gateway.safe_text import printable
from smarty_gateway.state.store import Store
from smarty_gateway.state.store_rows import Holder, StoredCounter


class UnknownMeterError(GatewayError):
    """No frame counter is stored under this name."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "reset-counter",
        help="accept a frame counter that fell back",
        description="Forgets the last frame counter of a meter, so that lower ones are accepted again. Do "
        "this when the grid operator has reset the meter; a running gateway notices it within seconds.",
    )
    parser.add_argument("meter", help="its name, serial number or system title")
    add_shared(parser, "--config", "--state")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Forget the counters of one meter.

    Raises:
        UnknownMeterError: no counter is stored for it.
    """
    with Store(chosen_state_folder(args)) as store:
        require_kept(store)
        rows = store.all_counters()
        chosen = _chosen(args.meter, rows, store.holders())
        if not chosen:
            known = sorted({row.meter for row in rows})
            others = (
                f"there are counters for: {', '.join(map(repr, known))}" if known else "there are no counters"
            )
            raise UnknownMeterError(f"no frame counter is stored for {args.meter} in {store.path}; {others}")
        store.reset({row.title for row in chosen})
    meters = sorted({row.meter for row in chosen})
    print(f"the next frame of {printable(', '.join(meters))} is accepted with any frame counter")
    return ExitStatus.GOOD


def _chosen(meter: str, rows: list[StoredCounter], holders: dict[str, Holder]) -> list[StoredCounter]:
    """Return the counters of a meter; of two that had one name those of the one that has it now."""
    found = [row for row in rows if meter.casefold() in _names(row)]
    titles = {held.meter for name, held in holders.items() if name.casefold() == meter.casefold()}
    return [row for row in found if row.title.hex() in titles] or found


def _names(row: StoredCounter) -> set[str]:
    names = {row.meter.casefold(), row.title.hex()}
    serial = serial_from_system_title(row.title)
    return names | ({serial.casefold()} if serial else set())
