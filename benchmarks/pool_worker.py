"""What a frame costs in one worker of a pool: `python -m benchmarks.pool_worker`.

The frames wait in the queues of a cluster before the worker starts, so it is never idle. Everything runs on
this machine; the processor time is that of each process. Needs rabbitmq-server and postgresql.
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figures import LIMIT, Figure, print_figures
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.pool.senders import channel_of, send, waiting_in
from tests.pool.trial import PoolTrial, processor_seconds
from tests.support.brokers import Broker
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

METERS: Final = 1000
#: Rows after which the shards are taken and the layouts of the meters known.
WARM: Final = 2 * METERS


def _run(trial: PoolTrial, turns: int) -> Mapping[str, float]:
    """Have a worker write everything that waits, and return seconds in all and of each process."""
    trial.start_worker("a")
    count = "SELECT count(*) FROM smarty_reading"
    wait_until(lambda: trial.query(count)[0][0] >= WARM, "the first rows", LIMIT)
    (before,) = trial.query(count)[0]
    begin, spent = time.monotonic(), _spent(trial)
    wait_until(lambda: trial.query(count)[0][0] == METERS * turns, "all rows", LIMIT)
    frames = METERS * turns - before
    return {
        "frames a second": frames / (time.monotonic() - begin),
        **{name: 1e6 * (now - spent[name]) / frames for name, now in _spent(trial).items()},
        "memory of the worker [MB]": trial.workers["a"].memory,
    }


def _spent(trial: PoolTrial) -> dict[str, float]:
    nodes = [process.pid for process in trial.cluster.processes if process is not None]
    return {
        "processor of the worker [us a frame]": trial.workers["a"].spent,
        "processor of the nodes [us a frame]": sum(map(processor_seconds, nodes)),
        "processor of the database [us a frame]": trial.database_seconds(),
    }


def measure(nodes: int, turns: int, frames: int) -> list[Figure]:
    """Measure on a cluster of so many nodes, with so many frames in a message."""
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, number + 1) for number in range(METERS)]
    with TemporaryDirectory() as name:
        folder = Path(name)
        with (
            RabbitCluster(folder, nodes) as cluster,
            PostgresServer(folder) as database,
            Broker(folder, options=("log_dest none",)) as broker,
            PoolTrial(folder, cluster, database, broker) as trial,
        ):
            trial.write_keys(METERS)
            trial.declare()
            with channel_of(cluster) as channel:
                for first in range(0, turns, frames):
                    for meter in meters:
                        send(channel, meter, range(first, first + frames))
                messages = METERS * turns // frames
                wait_until(lambda: waiting_in(channel) == messages, "all messages", LIMIT)
            figures = _run(trial, turns)
    return [
        Figure(name, value, most=200 if name.startswith("processor of the worker") else None)
        for name, value in figures.items()
    ]


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--turns", type=int, default=20, help="frames of each of the 1,000 meters")
    parser.add_argument("--frames", type=int, default=1, help="frames a message")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    print_figures([lambda: measure(args.nodes, args.turns, args.frames)], as_json=args.json)


if __name__ == "__main__":
    main()
