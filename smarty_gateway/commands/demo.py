"""`demo`: simulated meters on real pseudo-terminals, the real gateway, a page and a live view.

Nothing needs to be set up and nothing is left behind: the state is in a temporary folder, and the dummy keys
are in memory only. The meters are live at once; the year before them is written while they are shown.
"""

import argparse
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple, NoReturn
from zoneinfo import ZoneInfo

from smarty_gateway.commands.options import Subparsers, add_reading_format, add_verbose, seconds
from smarty_gateway.commands.pool_demo import PoolDemoError, show_pool
from smarty_gateway.config.needs import WEB_INSTALLATION, has_web
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.config.values import Config, HttpConfig, MeterConfig, Outputs
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.wiring import build_gateway, open_store
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.logs import start_log
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.safe_text import topic_part
from smarty_gateway.signals import handling
from smarty_gateway.simulator.continued import ContinuedMeter, continued_meter
from smarty_gateway.simulator.meters import MeterKind
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.simulation import Simulation
from smarty_gateway.sources.address import parse_address
from smarty_gateway.sources.container import is_in_container
from smarty_gateway.state.history_file import HistoryFile

_log = logging.getLogger("smarty_gateway")


class _Place(NamedTuple):
    """A simulated meter and its entry of the configuration."""

    name: str
    kind: MeterKind
    tariff: str
    reference_power: ReferencePower | None = None


_PLACES: Final = (
    _Place("house in Luxembourg", MeterKind.LUXEMBOURG, "lu", ReferencePower(((None, 7_000),))),
    _Place("workshop in Luxembourg", MeterKind.LUXEMBOURG, "lu"),
    _Place("barn in Belgium", MeterKind.BELGIUM, "be-flanders"),
)
_ZONE: Final = ZoneInfo("Europe/Luxembourg")
#: Twelve whole months and the running one.
_DAYS: Final = 400
#: Written at once: a few days. A gateway that ends does not wait long.
_AT_ONCE: Final = 500
_OPEN_WITHIN: Final = 5.0
_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "demo",
        help="simulated meters, the real gateway, a page and a live view",
        description="Shows the gateway at work on simulated meters of Luxembourg and Belgium with a year of "
        "history, on a page and in this terminal, with nothing to configure and nothing left behind. Ctrl-C "
        "ends it.",
    )
    parser.add_argument(
        "--pool",
        action="store_true",
        help="show a pool instead: a RabbitMQ node, a database, two workers and 40 edges, which end with it "
        "(extra `pool`, and the packages rabbitmq-server and postgresql)",
    )
    parser.add_argument("--seconds", type=seconds, metavar="N", help="end after this many seconds")
    add_reading_format(parser, "default: a live table on a terminal, json elsewhere")
    add_verbose(parser, "log more")


def execute(args: argparse.Namespace) -> ExitStatus:
    """Run the demonstration until it is stopped, or its time is over."""
    start_log(verbose=args.verbose)
    if args.pool:
        return _show_pool(args)
    _log.info("these meters are simulated; for a real one type: smarty-gateway run --source /dev/ttyUSB0")
    if not has_web():
        _log.info("to see them on a page, too, type: %s", WEB_INSTALLATION)
    form = args.format or ("table" if sys.stdout.isatty() else "json")
    newest = int(time.time()) // QUARTER * QUARTER
    meters = [continued_meter(place.kind, n, newest, _ZONE) for n, place in enumerate(_PLACES, 1)]
    try:
        with _interrupted_by_signals(), ExitStack() as stack:
            with _signals_wait():  # `tempfile` leaves a file behind if it is interrupted
                folder = stack.enter_context(
                    TemporaryDirectory(prefix="smarty-gateway-demo-", ignore_cleanup_errors=True)
                )
            ports = [PtyPort() for _ in meters]
            simulation = Simulation([meter.meter for meter in meters], ports)
            stack.callback(simulation.stop)
            config = _config(ports, _free_port(stack) if has_web() else None)
            store = stack.enter_context(open_store(config, Path(folder)))
            gateway = build_gateway(
                config,
                KeysInForce(None, _dummy_keys(meters)),
                form,
                store,
                logs_first=False,
                prepare=lambda file, is_over: _write_history(file, meters, is_over),
            )
            threading.Thread(target=_start_when_open, args=(gateway, simulation), daemon=True).start()
            if args.seconds is not None:
                timer = threading.Timer(args.seconds, gateway.stop)
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)
            with handling(dict.fromkeys(_ENDING, gateway.stop)):
                return gateway.run()
    except KeyboardInterrupt:  # before the gateway ran, or after it
        return ExitStatus.GOOD


def _show_pool(args: argparse.Namespace) -> ExitStatus:
    if args.format is not None:
        raise PoolDemoError("--pool shows how many readings there are; leave out --format")
    try:
        with _interrupted_by_signals(), ExitStack() as stack:
            with _signals_wait():
                folder = stack.enter_context(
                    TemporaryDirectory(prefix="smarty-gateway-demo-", ignore_cleanup_errors=True)
                )
            show_pool(Path(folder), args.seconds)
    except KeyboardInterrupt:
        pass
    return ExitStatus.GOOD


@contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """End the block on a signal by an exception, so that the temporary folder is removed.

    SIGHUP comes when the terminal is closed.
    """

    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    with handling(dict.fromkeys(_ENDING, interrupt)):
        yield


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep signals until the block ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


def _config(ports: Sequence[PtyPort], port_of_page: int | None) -> Config:
    meters = tuple(
        MeterConfig(
            (parse_address(port.name),),
            place.name,
            reference_power=place.reference_power,
            tariff=shipped_tariffs()[place.tariff],
        )
        for port, place in zip(ports, _PLACES, strict=True)
    )
    page = None if port_of_page is None else HttpConfig(host=_host_of_page(), port=port_of_page, is_open=True)
    return Config(meters, outputs=Outputs(http=page), time_zone=_ZONE.key)


def _host_of_page() -> str:
    """Return where the page listens; the loopback interface of a container is reached from nowhere."""
    return "0.0.0.0" if is_in_container() else HttpConfig().host  # noqa: S104 - nothing of it is secret


def _free_port(stack: ExitStack) -> int:
    """Return the usual port of the page, or another one where that is taken."""
    host, usual = _host_of_page(), HttpConfig().port
    # Held until the end: the page listens later, and another demonstration may look for a port meanwhile.
    claim = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    for port in (usual, 0):
        with suppress(OSError), socket.create_server((host, port)) as listener:
            found = int(listener.getsockname()[1])
            claim.bind((host, found))
            return found
    return usual  # the page says why it cannot be there


def _write_history(file: HistoryFile, meters: Sequence[ContinuedMeter], is_over: Callable[[], bool]) -> None:
    """Write the history of each meter, as long as the demonstration lasts."""
    for place, meter in zip(_PLACES, meters, strict=True):
        if is_over():
            return
        name = topic_part(place.name)
        file.mark_simulated(name)
        found = meter.history(_DAYS)
        while not is_over() and (chunk := list(islice(found, _AT_ONCE))):
            file.write({name: chunk})


def _start_when_open(gateway: Gateway, simulation: Simulation) -> None:
    """Start the meters once the gateway listens; until then every telegram would be lost."""
    deadline = time.monotonic() + _OPEN_WITHIN
    while time.monotonic() < deadline and not gateway.is_listening:
        time.sleep(0.01)  # there is nothing to wait on: opening a port tells nobody
    simulation.start()


def _dummy_keys(meters: Sequence[ContinuedMeter]) -> KeyRing:
    return KeyRing(
        {
            meter.title: [MeterKey(Secret(meter.key))]
            for meter in (continued.meter for continued in meters)
            if meter.title is not None and meter.key is not None
        }
    )
