"""`demo`: simulated meters on real pseudo-terminals, the real gateway, a live view; nothing to set up.

Everything runs in this process and nothing is left behind: no file is written, and the dummy keys are never
stored.
"""

import argparse
import logging
import threading
import time
from contextlib import ExitStack
from typing import Final

from smarty_gateway.commands.options import Subparsers, add_reading_format, add_verbose, seconds
from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.wiring import build_gateway, run_until_signal
from smarty_gateway.logs import start_log
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.simulation import Simulation
from smarty_gateway.sources.address import parse_address

_METERS: Final = (
    ("house in Luxembourg", MeterKind.LUXEMBOURG),
    ("workshop in Luxembourg", MeterKind.LUXEMBOURG),
    ("barn in Belgium", MeterKind.BELGIUM),
)
_OPEN_WITHIN: Final = 5.0


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="simulated meters, the real gateway and a live view",
        description="Shows the gateway at work on simulated meters of Luxembourg and Belgium, with nothing "
        "to configure and nothing left behind. Ctrl-C ends it.",
    )
    parser.add_argument("--seconds", type=seconds, metavar="N", help="end after this many seconds")
    add_reading_format(parser, "default: a live table on a terminal, json elsewhere")
    add_verbose(parser, "log more")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run the demonstration until it is stopped, or its time is over."""
    start_log(verbose=args.verbose)
    logging.getLogger("smarty_gateway").info(
        "these meters are simulated; for a real one type: smarty-gateway run --source /dev/ttyUSB0"
    )
    meters = [SimulatedMeter(kind, number) for number, (_, kind) in enumerate(_METERS, 1)]
    with ExitStack() as stack:
        ports = [PtyPort() for _ in meters]
        simulation = Simulation(meters, ports)
        stack.callback(simulation.stop)
        config = Config(
            tuple(
                MeterConfig((parse_address(port.name),), name)
                for port, (name, _) in zip(ports, _METERS, strict=True)
            )
        )
        gateway = build_gateway(config, KeysInForce(None, _dummy_keys(meters)), args.format)
        threading.Thread(target=_start_when_open, args=(gateway, simulation), daemon=True).start()
        if args.seconds is not None:
            timer = threading.Timer(args.seconds, gateway.stop)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
        return run_until_signal(gateway)


def _start_when_open(gateway: Gateway, simulation: Simulation) -> None:
    """Start the meters once the gateway listens; until then every telegram would be lost."""
    deadline = time.monotonic() + _OPEN_WITHIN
    while time.monotonic() < deadline and not gateway.is_listening:
        time.sleep(0.01)  # there is nothing to wait on: opening a port tells nobody
    simulation.start()


def _dummy_keys(meters: list[SimulatedMeter]) -> KeyRing:
    return KeyRing(
        {
            meter.title: [MeterKey(Secret(meter.key))]
            for meter in meters
            if meter.title is not None and meter.key is not None
        }
    )
