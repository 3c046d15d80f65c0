"""What a house with its history writes to disk in a day: `python -m benchmarks.history_writes`.

Two gateways run at the same time, one with the history and one without, each with a Mosquitto and two meters
of its own: one of Luxembourg, a telegram every 10 s, and one of Belgium, every second, with gas and water.
Their `write_bytes` (/proc/PID/io) are read a minute after a boundary between quarter hours, and again
24 quarter hours later, so that all that belongs to a quarter hour is written. It takes that long in real
time; with --quarters fewer are enough for a first look.

The folders are made in TMPDIR, which must be on a disk: in memory nothing is written. With --json the figures
come as one JSON object.
"""

import argparse
import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.brokers import GatewayProcess, Mosquitto, temporary_folder
from benchmarks.figures import Figure, print_figures, wait_until
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.simulator.meters import MIXED, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.simulator.simulation import Simulation
from smarty_gateway.state.history_schema import FILE_NAME

_QUARTERS_A_DAY: Final = 96
#: Seconds after a boundary until all of it is written; and before it, until the meters are recognised.
_AFTER: Final = 60
_BEFORE: Final = 30


@contextlib.contextmanager
def gateway(folder: Path, *, has_history: bool) -> Iterator[GatewayProcess]:
    """Run a gateway with its broker and its meters."""
    meters = [SimulatedMeter(kind, number) for number, kind in enumerate(MIXED, 1)]
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        broker = Mosquitto(folder)
        stack.callback(broker.end)
        ports = [stack.enter_context(contextlib.closing(PtyPort())) for _ in meters]
        sources = {meter.kind.value: port.name for meter, port in zip(meters, ports, strict=True)}
        options: dict[str, object] = {"url": f"mqtt://127.0.0.1:{broker.port}", "home_assistant": True}
        stack.enter_context(Simulation(meters, ports))
        yield stack.enter_context(GatewayProcess(folder, sources, meters, options, {"history": has_history}))


def sleep_until(moment: float) -> None:
    """Wait for a moment in real time; there is nothing else to wait for."""
    while (left := moment - time.time()) > 0:
        time.sleep(left)


def measure(quarters: int) -> list[Figure]:
    """Count what is written in some quarter hours."""
    with (
        temporary_folder() as folder,
        gateway(folder / "with", has_history=True) as kept,
        gateway(folder / "without", has_history=False) as bare,
    ):
        both = (kept, bare)
        for process in both:
            wait_until(lambda process=process: process.lines, "a telegram")  # type: ignore[misc]
        boundary = (int(time.time()) + _BEFORE) // QUARTER * QUARTER + QUARTER
        sleep_until(boundary + _AFTER)
        at_start = [process.written() for process in both]
        sleep_until(boundary + quarters * QUARTER + _AFTER)
        written, without = (
            process.written() - before for process, before in zip(both, at_start, strict=True)
        )
        telegrams = len(kept.lines)
        at_stop = kept.end(signal.SIGTERM) - written - at_start[0]
        size = (kept.state / FILE_NAME).stat().st_size
    a_day = _QUARTERS_A_DAY / quarters / 1e6
    name = f"{quarters} quarter hours"
    return [
        Figure(f"{name}: telegrams since the start", telegrams),
        Figure(f"{name}: kB written until a minute after the first boundary", at_start[0] / 1e3),
        Figure(f"{name}: kB written", written / 1e3),
        Figure(f"{name}: kB written at a clean stop", at_stop / 1e3),
        Figure(f"{name}: kB of {FILE_NAME} at the end", size / 1e3),
        Figure(f"{name}: MB a day without the history", without * a_day),
        Figure(f"{name}: MB a day of the history", (written - without) * a_day),
        Figure(f"{name}: MB a day", written * a_day, most=20),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--quarters", type=int, default=24, metavar="N", help="how many quarter hours (default 24)"
    )
    args = parser.parse_args()
    if args.quarters < 1:
        parser.error(f"--quarters {args.quarters}: at least 1 is needed")
    print_figures([lambda: measure(args.quarters)], as_json=args.json)


if __name__ == "__main__":
    main()
