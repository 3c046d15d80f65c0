"""`simulate`: virtual meters on TCP ports or pseudo-terminals, to try the gateway without a meter.

When a meter can be read, one line goes to standard output: its identity, its kind, and its source for the
gateway. With `--into` nothing is sent: a history of such meters is written at once. With `--forward` each
meter has an edge of its own, which sends to a pool.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from smarty_gateway.commands.options import Subparsers
from smarty_gateway.commands.process import allow_many_files
from smarty_gateway.commands.simulated_edges import forward, nodes_of
from smarty_gateway.commands.simulated_history import Span, write_histories
from smarty_gateway.config.key_folder import file_name
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.protocol.shards import SHARDS, shard_of
from smarty_gateway.safe_text import printable
from smarty_gateway.signals import SignalEvent, handling
from smarty_gateway.simulator.faults import Fault, parse_fault
from smarty_gateway.simulator.meters import KEYS_HEAD, MAX_NUMBER, MIXED, MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import Port, PtyPort, TcpPort
from smarty_gateway.simulator.replay import replay
from smarty_gateway.simulator.simulation import Simulation

_MIXED: Final = "mixed"
_SPEED: Final = "1"
_LOCALHOST: Final = "127.0.0.1"
_MOST_METERS: Final = 10_000
_FASTEST: Final = 100_000.0
_LONGEST: Final = 31_536_000.0
_MOST_DAYS: Final = 100_000


class UsageError(GatewayError):
    """The arguments contradict each other, or one of them is impossible."""


def add_parser(commands: Subparsers) -> None:
    """Describe the command and its options."""
    parser = commands.add_parser(
        "simulate",
        help="virtual meters to try things with",
        description="Virtual meters with dummy keys. Prints one line per meter (identity, kind, source) "
        "and sends until it is stopped. With --into it sends nothing and writes a history at once. With "
        "--forward each meter has an edge that sends to the nodes of a pool.",
    )
    parser.add_argument(
        "--kind",
        default=MeterKind.LUXEMBOURG.value,
        metavar="KIND",
        help="luxembourg (encrypted, every 10 s; default), belgium or netherlands (plaintext, every second), "
        "or mixed (luxembourg and belgium in turns)",
    )
    parser.add_argument("--meters", metavar="N", help="how many (default 1, of mixed ones 2)")
    parser.add_argument(
        "--number",
        default="1",
        metavar="N",
        help="the number of the first meter, which decides its serial number and key (default 1); another "
        "number on the same port is a meter that was replaced",
    )
    parser.add_argument(
        "--gas-number",
        metavar="N",
        help="the same for the first gas meter (default: as --number)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--tcp",
        metavar="[HOST:]PORT",
        help=f"send on TCP: the first meter on PORT, the next on PORT+1 …; HOST is {_LOCALHOST} if not "
        "given, 0.0.0.0 admits other machines; PORT 0 takes any that are free",
    )
    where.add_argument("--pty", action="store_true", help="send on pseudo-terminals (default)")
    where.add_argument(
        "--forward",
        action="append",
        metavar="URL",
        help="send to this node of a pool, mqtt[s]://[USER@]HOST[:PORT], by an edge for each meter; given "
        "once for each node. Ends when all frames are acknowledged, and says how many",
    )
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="holds the password of the user at the nodes"
    )
    parser.add_argument(
        "--ca-file",
        type=Path,
        metavar="FILE",
        help="certificates that sign the nodes' (default: the system's)",
    )
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="write system title and frame counter of each forwarded frame to this file",
    )
    parser.add_argument(
        "--link",
        type=Path,
        metavar="PATH",
        help="symbolic link to the pseudo-terminal; with several meters PATH0, PATH1 …",
    )
    parser.add_argument(
        "--write-keys",
        type=Path,
        metavar="FILE",
        help="write the dummy keys to a keys.yaml (mode 600); with --forward to a folder with a file a shard",
    )
    parser.add_argument(
        "--speed", default=_SPEED, metavar="N", help="run the meters' clock N times as fast (default 1)"
    )
    parser.add_argument(
        "--period",
        metavar="SECONDS",
        help="from one telegram to the next, on the meters' clock: --speed 60 --period 60 sends one a "
        "second, each a minute later than the last",
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="KIND[=RATE]",
        help=f"spoil a share of the telegrams (default 0.1): {', '.join(Fault)}; may be given several times",
    )
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="send this recording instead, once, as soon as somebody listens; a capture at its recorded "
        "pace times --speed",
    )
    parser.add_argument("--seconds", metavar="N", help="end after this many seconds")
    parser.add_argument(
        "--seed", default="0", metavar="N", help="other households and other faults (default 0)"
    )
    parser.add_argument(
        "--into",
        type=Path,
        metavar="STATE",
        help="write the history of a house with solar panels, a heat pump and a car into this state folder, "
        "under the name simulated-house, in place of one that was simulated before",
    )
    parser.add_argument("--days", metavar="N", help="how many days of history (default 365)")
    parser.add_argument(
        "--until", metavar="DATE", help="end the history before this day, such as 2026-01-01 (default: now)"
    )
    parser.add_argument(
        "--gaps", action="store_true", help="leave out some hours of some days, as if nothing had run then"
    )


def execute(args: argparse.Namespace) -> ExitStatus:
    """Simulate until a signal comes or the time is over.

    Raises:
        GatewayError: an argument is wrong, a port is taken, or the keys cannot be written.
    """
    seconds = None if args.seconds is None else _number("--seconds", args.seconds, 0.0, _LONGEST)
    speed = _number("--speed", args.speed, 0.001, _FASTEST)
    seed = _whole("--seed", args.seed, 0, 2**63)
    faults: dict[Fault, float] = {}
    for text in args.fault:
        fault, rate = parse_fault(text)
        faults[fault] = rate
    meters = _meters(args, seed)
    if args.into is not None:
        write_histories(args.into, meters, seed, _span(args))
        return ExitStatus.GOOD
    _check_sending(args)
    allow_many_files()
    if args.forward is not None:
        return _forward(args, meters, seconds)
    if args.replay is not None:
        meters = meters[:1]
    with contextlib.ExitStack() as stack:
        ports = []
        for port in _open_ports(args, len(meters)):
            stack.callback(port.close)
            ports.append(port)
        if args.write_keys is not None:
            _write_keys(args.write_keys, meters)
        ended = SignalEvent()
        stack.enter_context(handling({signal.SIGINT: ended.set, signal.SIGTERM: ended.set}))
        if args.replay is not None:
            print(printable(f"{args.replay}  {ports[0].name}"), flush=True)
            timer = threading.Timer(threading.TIMEOUT_MAX if seconds is None else seconds, ended.set)
            timer.daemon = True
            timer.start()
            stack.callback(timer.cancel)
            replay(args.replay, ports[0], speed, ended)
            return ExitStatus.GOOD
        stack.enter_context(Simulation(meters, ports, speed=speed, faults=faults, seed=seed))
        for meter, port in zip(meters, ports, strict=True):
            print(printable(f"{meter.meter_id:16}  {meter.kind:10}  {port.name}"))
        sys.stdout.flush()
        ended.wait(seconds)
    return ExitStatus.GOOD


def _check_sending(args: argparse.Namespace) -> None:
    """Raise an error if the options of a simulation that sends contradict each other."""
    if args.days is not None or args.until is not None or args.gaps:
        raise UsageError("--days, --until and --gaps are for a history; add --into STATE")
    if args.replay is not None:
        _check_replay(args)
    if args.tcp is not None and args.link is not None:
        raise UsageError("--link is for pseudo-terminals; leave it out beside --tcp")
    if args.forward is not None:
        _check_forward(args)
    elif args.password_file is not None or args.ca_file is not None or args.journal is not None:
        raise UsageError("--password-file, --ca-file and --journal are for edges; add --forward URL")


def _check_forward(args: argparse.Namespace) -> None:
    given = {
        "--link": args.link is not None,
        "--fault": bool(args.fault),
        "--replay": args.replay is not None,
        "--speed": args.speed != _SPEED,
    }
    if wrong := [name for name, is_given in given.items() if is_given]:
        raise UsageError(f"--forward sends each frame at its time; leave out {', '.join(wrong)}")
    if args.kind != MeterKind.LUXEMBOURG:
        raise UsageError(f"--kind {args.kind}: the edges of --forward have encrypted meters only")


def _forward(args: argparse.Namespace, meters: list[SimulatedMeter], seconds: float | None) -> ExitStatus:
    """Play an edge for each meter."""
    nodes = nodes_of(args.forward, args.password_file, args.ca_file)
    if args.write_keys is not None:
        _write_key_folder(args.write_keys, meters)
    ended = SignalEvent()
    with handling({signal.SIGINT: ended.set, signal.SIGTERM: ended.set}):
        return forward(meters, nodes, args.journal, ended, seconds)


def _span(args: argparse.Namespace) -> Span:
    """Return the span of a history; options that send something contradict it."""
    sending = {
        "--tcp": args.tcp is not None,
        "--pty": args.pty,
        "--forward": args.forward is not None,
        "--link": args.link is not None,
        "--write-keys": args.write_keys is not None,
        "--speed": args.speed != _SPEED,
        "--period": args.period is not None,
        "--fault": bool(args.fault),
        "--replay": args.replay is not None,
        "--seconds": args.seconds is not None,
        "--gas-number": args.gas_number is not None,
    }
    if given := [name for name, is_given in sending.items() if is_given]:
        raise UsageError(f"--into writes a history and sends nothing; leave out {', '.join(given)}")
    if args.kind == MeterKind.NETHERLANDS:
        raise UsageError(
            f"--kind {args.kind}: there are histories of {', '.join(MIXED)} and {_MIXED}, none of this kind"
        )
    days = 365 if args.days is None else _whole("--days", args.days, 1, _MOST_DAYS)
    try:
        until = None if args.until is None else date.fromisoformat(args.until)
    except ValueError:
        raise UsageError(f"--until {args.until}: a date such as 2026-01-01 is needed") from None
    return Span(days, until, args.gaps)


def _check_replay(args: argparse.Namespace) -> None:
    if args.meters is not None or args.fault or args.write_keys is not None or args.period is not None:
        raise UsageError(
            "--replay sends a recording as it is; leave out --meters, --period, --fault, --write-keys"
        )
    if not args.replay.is_file():
        raise UsageError(f"{args.replay}: no such file")


def _meters(args: argparse.Namespace, seed: int) -> list[SimulatedMeter]:
    if args.kind not in (*MeterKind, _MIXED):
        raise UsageError(f"--kind {args.kind}: there are {', '.join(MeterKind)} and {_MIXED}")
    first = _whole("--number", args.number, 1, MAX_NUMBER)
    first_gas = first if args.gas_number is None else _whole("--gas-number", args.gas_number, 1, MAX_NUMBER)
    default = "2" if args.kind == _MIXED else "1"
    most = min(_MOST_METERS, MAX_NUMBER + 1 - max(first, first_gas))
    count = _whole("--meters", default if args.meters is None else args.meters, 1, most)
    kinds = MIXED if args.kind == _MIXED else [MeterKind(args.kind)]
    meters = [
        SimulatedMeter(kinds[n % len(kinds)], first + n, seed, gas_number=first_gas + n) for n in range(count)
    ]
    if args.period is not None:
        # Below a second two telegrams would have one frame counter, and the second be a replay.
        period = _number("--period", args.period, 1.0, 86_400.0)
        for meter in meters:
            meter.period = period
    return meters


def _open_ports(args: argparse.Namespace, count: int) -> Iterator[Port]:
    if args.tcp is None:
        for n in range(count):
            link = args.link
            if link is not None and count > 1:
                link = link.with_name(f"{link.name}{n}")
            yield PtyPort(link)
        return
    host, _, port = args.tcp.rpartition(":")
    first = _whole("the port of --tcp", port, 0, 65_535)
    if first and first + count - 1 > 65_535:
        raise UsageError(
            f"--tcp {args.tcp}: {count} meters need ports up to {first + count - 1}, the last is 65535"
        )
    for n in range(count):
        yield TcpPort(host.strip("[]") or _LOCALHOST, first + n if first else 0)


def _write_key_folder(folder: Path, meters: list[SimulatedMeter]) -> None:
    """Write a key file for each shard that has meters."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror}; name another") from None
    for shard in range(SHARDS):
        own = [meter for meter in meters if meter.title is not None and shard_of(meter.title) == shard]
        if own:
            _write_keys(folder / file_name(shard), own)


def _write_keys(path: Path, meters: list[SimulatedMeter]) -> None:
    """Write the dummy keys, but never over a file of genuine keys.

    Raises:
        UsageError: there are no keys, another file is in the way, or it cannot be written.
    """
    if all(meter.key is None for meter in meters):
        raise UsageError("--write-keys: only meters of Luxembourg encrypt, so there are no keys to write")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.is_symlink() or (path.exists() and not _is_ours(path)):
            raise UsageError(f"{path} is there already and was not written by simulate; name another file")
        # The mode is set when the file is made, and a reader finds the old file or the new one.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(keys_yaml(meters))
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(KEYS_HEAD)) == KEYS_HEAD.encode("ascii")


def _number(name: str, text: str, least: float, most: float) -> float:
    """Read a number; argparse would print the whole usage for a wrong one."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise UsageError(f"{name} {text}: a number from {least:g} to {most:.0f} is needed")
    return value


def _whole(name: str, text: str, least: int, most: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise UsageError(f"{name} {text}: a whole number from {least} to {most} is needed")
    return value
