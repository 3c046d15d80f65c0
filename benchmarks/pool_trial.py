"""Whether a pool loses, repeats or delays anything while its parts fail.

    python -m benchmarks.pool_trial [--edges 1000] [--period 5] [--minutes 2] STEP ...

It needs RabbitMQ, PostgreSQL, Mosquitto and, for networks that can be cut, root.

Three nodes with a network each, three workers, a database, a broker for the results, and simulated edges
whose journal says which frames there were. Each step prints a line: frames made, acknowledged, rows, what is
missing and why, the longest time without a new row in a shard and from a frame to its row, states that came
too late, and processor time a frame.
"""

import argparse
import base64
import itertools
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.brokers import Mosquitto
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.pool.trial import Outcome, PoolTrial
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

_WORKERS: Final = ("worker-a", "worker-b", "worker-c")
_NODES: Final = range(3)
#: Seconds of undisturbed running before and after what a step does.
_CALM: Final = 15.0
_OLD_FRAMES: Final = 10_000


class Steps:
    """What can be tried, each on a pool that runs."""

    def __init__(self, trial: PoolTrial, edges: int, period: float, minutes: float, every: float) -> None:
        self.trial = trial
        self.edges = edges
        self.period = period
        self.minutes = minutes
        self.every = every

    def calm(self) -> None:
        """Nothing happens: what the pool costs, and how silent a shard is without any fault."""
        time.sleep(self.minutes * 60)

    def kill_workers(self) -> None:
        """Every two minutes (`--every`) a worker is killed, and started again ten seconds later."""
        end = time.monotonic() + self.minutes * 60
        for name in itertools.cycle(_WORKERS):
            if time.monotonic() >= end:
                break
            self._note(f"kill {name}")
            self.trial.workers[name].end(signal.SIGKILL)
            time.sleep(10)
            self.trial.start_worker(name)
            time.sleep(self.every - 10)

    def kill_nodes(self) -> None:
        """Each node is killed, and started again 20 s later."""
        for node in _NODES:
            self._note(f"kill node {node}")
            self.trial.cluster.kill(node)
            time.sleep(20)
            self._note(f"start node {node}")
            self.trial.cluster.start(node)
            time.sleep(20)

    def freeze_node(self) -> None:
        """A node is frozen for 30 s."""
        self._note("freeze node 1")
        self.trial.cluster.freeze(1)
        time.sleep(30)
        self._note("wake node 1")
        self.trial.cluster.wake(1)
        time.sleep(30)

    def freeze_worker(self) -> None:
        """A worker is frozen for 30 s and woken."""
        self._note("freeze worker-b")
        self.trial.workers["worker-b"].send(signal.SIGSTOP)
        time.sleep(30)
        self._note("wake worker-b")
        self.trial.workers["worker-b"].send(signal.SIGCONT)
        time.sleep(30)

    def cut_node(self) -> None:
        """A node is cut off for 60 s, with a tenth of the edges on its side."""
        self.trial.start_edges(max(1, self.edges // 10), self.period, first=self.edges + 1, at=2)
        time.sleep(_CALM)
        self._note("cut node 2")
        self.trial.cluster.cut(2)
        time.sleep(60)
        self._note("heal node 2")
        self.trial.cluster.heal(2)
        time.sleep(45)

    def stop_majority(self) -> None:
        """Two of three nodes are down for five minutes."""
        self._note("kill nodes 0 and 1")
        for node in (0, 1):
            self.trial.cluster.kill(node)
        time.sleep(min(300.0, self.minutes * 60))
        self._note("start nodes 0 and 1")
        for node in (0, 1):
            self.trial.cluster.start(node, wait=False)
        time.sleep(30)
        # As docs/pool.md advises where the MQTT plugin waits for a leader.
        restart = "ra:restart_server(coordination, {mqtt_node, node()})."
        self._note(f"restart mqtt_node: {self.trial.cluster.ctl(0, 'eval', restart).strip()}")
        self.trial.cluster.wait()
        time.sleep(45)

    def stop_database(self) -> None:
        """PostgreSQL is down for two minutes."""
        self._note("kill PostgreSQL")
        self.trial.database.kill()
        time.sleep(min(120.0, self.minutes * 60))
        self._note("start PostgreSQL")
        self.trial.database.start()
        time.sleep(30)

    def replay(self) -> None:
        """10,000 old frames come again after a takeover, and again while a node is cut off."""
        with _Recording(self.trial) as recording:
            wait_until(lambda: len(recording.messages) >= _OLD_FRAMES, "messages to send again")
        self._note("kill worker-a")
        self.trial.workers["worker-a"].end(signal.SIGKILL)
        time.sleep(5)
        old = recording.messages[:_OLD_FRAMES]
        self._note(f"send {len(old)} old messages")
        send(self.trial, old)
        self.trial.start_worker("worker-a")
        self._note("cut node 2")
        self.trial.cluster.cut(2)
        time.sleep(5)
        ancient = [_ancient(number) for number in range(1, 1 + min(1000, self.edges))]
        self._note(f"send {len(old)} old messages, and {len(ancient)} from before the window")
        send(self.trial, [*old, *ancient])
        time.sleep(20)
        self.trial.cluster.heal(2)
        time.sleep(45)

    def fill_queues(self) -> None:
        """All workers are stopped until queues of a megabyte are full, and started again."""
        self._note("stop all workers")
        for worker in self.trial.workers.values():
            worker.end()
        time.sleep(self.minutes * 60)
        self._note("start all workers")
        for name in _WORKERS:
            self.trial.start_worker(name)
        time.sleep(60)

    def unbind(self) -> None:
        """The binding of a queue is deleted for 30 s, and declared again; what was caught is sent again."""
        shard = shard_of(_title(1))
        path = f"/api/bindings/%2F/e/amq.topic/q/smarty.shard.{shard}"
        (binding,) = self.trial.cluster.management(0, "GET", path)
        self._note(f"delete the binding of shard {shard}")
        self.trial.cluster.management(0, "DELETE", f"{path}/{binding['properties_key']}")
        time.sleep(30)
        self._note("declare")
        self.trial.declare()
        taken = {"count": 100_000, "ackmode": "ack_requeue_false", "encoding": "base64"}
        caught = self.trial.cluster.management(0, "POST", "/api/queues/%2F/smarty.unrouted/get", taken)
        self._note(f"send {len(caught)} messages of smarty.unrouted")
        send(
            self.trial,
            [(each["routing_key"].replace(".", "/"), base64.b64decode(each["payload"])) for each in caught],
        )
        time.sleep(15)

    def restart_rolling(self) -> None:
        """Each worker is ended and started again, one after the other."""
        for name in _WORKERS:
            self._note(f"restart {name}")
            self.trial.workers[name].end()
            self.trial.start_worker(name)
            time.sleep(20)

    def scale(self) -> None:
        """A fourth worker comes, and goes again."""
        self._note("start worker-d")
        self.trial.start_worker("worker-d")
        self.trial.wait_for_workers(*_WORKERS, "worker-d")
        self._note("even")
        time.sleep(20)
        self._note("end worker-d")
        self.trial.workers["worker-d"].end()
        self.trial.wait_for_workers(*_WORKERS)
        time.sleep(20)

    def add_keys(self) -> None:
        """A tenth more meters begin to send; their keys come before them, while the workers run."""
        more = max(1, self.edges // 10)
        first = 2 * self.edges + 1
        self._note(f"add {more} keys")
        self.trial.write_keys(first - 1 + more)
        self._note(f"start {more} edges")
        self.trial.start_edges(more, self.period, first=first)
        time.sleep(60)

    def _note(self, what: str) -> None:
        self.trial.note(what)


STEPS: Final[dict[str, Callable[[Steps], None]]] = {
    name.replace("_", "-"): function for name, function in vars(Steps).items() if not name.startswith("_")
}


class _Recording:
    """What edges send at the moment, as it came."""

    def __init__(self, trial: PoolTrial) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._client = _client(trial, "admin")
        self._client.on_connect = lambda client, *_: client.subscribe("smarty/raw/#", 1)
        self._client.on_message = lambda *message: self.messages.append(
            (message[2].topic, bytes(message[2].payload))
        )

    def __enter__(self) -> Self:
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def send(trial: PoolTrial, messages: Sequence[tuple[str, bytes]]) -> None:
    """Send messages as an edge, and wait until they are acknowledged."""
    client = _client(trial, "edge")
    client.loop_start()
    infos = [client.publish(topic, payload, qos=1) for topic, payload in messages]
    for info in infos:
        info.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()


def _title(number: int) -> bytes:
    return system_title_from_serial(SimulatedMeter(MeterKind.LUXEMBOURG, number).meter_id)


def _ancient(number: int) -> tuple[str, bytes]:
    """Return a genuine frame with a counter far below the window."""
    meter = SimulatedMeter(MeterKind.LUXEMBOURG, number)
    at = datetime.now(UTC) - timedelta(days=1)
    title = _title(number)
    message = pack([Forwarded(time.time_ns() // 1_000_000, meter.frame(at, begin=at))])
    return f"smarty/raw/{shard_of(title)}/{title.hex().upper()}", message


def _client(trial: PoolTrial, user: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, trial.cluster.users[user])
    client.max_inflight_messages_set(200)
    client.connect(trial.cluster.hosts[0], trial.cluster.mqtt_ports[0])
    return client


def main() -> None:
    """Start everything, and try the steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"all of: {', '.join(STEPS)}")
    parser.add_argument("--edges", type=int, default=1000)
    parser.add_argument("--period", type=float, default=5.0, help="seconds between two frames of a meter")
    parser.add_argument("--minutes", type=float, default=2.0, help="how long a step lasts that can last")
    parser.add_argument("--every", type=float, default=120.0, help="seconds between two kills of a worker")
    parser.add_argument("--first-port", type=int, help="of the cluster")
    parser.add_argument("--queue-megabytes", type=int, default=1024)
    parser.add_argument("--folder", type=Path, help="kept afterwards; a temporary one by default")
    args = parser.parse_args()
    if wrong := [step for step in args.steps if step not in STEPS]:
        parser.error(f"no such step: {', '.join(wrong)}; there are {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with it
    with ExitStack() as stack:
        folder = args.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pool-trial-")))
        folder.mkdir(exist_ok=True)
        broker = Mosquitto(folder)
        stack.callback(broker.kill)
        cluster = RabbitCluster(folder, 3, args.first_port, is_divisible=True)
        database = stack.enter_context(PostgresServer(folder))
        stack.enter_context(cluster)
        trial = stack.enter_context(PoolTrial(folder, cluster, database, broker))
        trial.queue_megabytes = args.queue_megabytes
        steps = Steps(trial, args.edges, args.period, args.minutes, args.every)
        good = all([_try(steps, step) for step in args.steps or STEPS])  # noqa: C419 - all of them are tried
        found = trial.keys_found(20)
        print(f"files with a key: {found or 'none'}")
        sys.exit(not good or bool(found))


def _try(steps: Steps, name: str) -> bool:
    """Try one step on a pool that runs evenly, and print what became of its frames."""
    trial = steps.trial
    if not trial.workers:
        trial.write_keys(2 * steps.edges)
        trial.declare()
        for worker in _WORKERS:
            trial.start_worker(worker)
    trial.events.clear()
    trial.note(f"--- {name}")
    outcome: list[Outcome] = []
    trial.start_edges(steps.edges, steps.period)
    with suppress(AssertionError):  # a busy machine takes longer; then the step begins with uneven shares
        trial.wait_for_workers(*_WORKERS, limit=60)
    trial.note(f"shards: {dict(Counter(trial.held().values()))}")
    with trial.run(outcome) as silence:
        time.sleep(_CALM)
        STEPS[name](steps)
    (found,) = outcome
    since_1970 = time.time() - time.monotonic()
    for begin, end, what in trial.spans():
        delay = trial.delay(begin + since_1970, end + since_1970)
        silent = silence.longest(begin, end)
        print(f"    {what}: a shard was silent for {silent:.1f} s, a frame waited {delay:.1f} s")
    print(
        f"{name:16} made {found.made} acknowledged {found.acknowledged} rows {found.rows} "
        f"missing {found.missing} late {found.late} foreign {found.foreign} silence {found.silence:.1f} s "
        f"delay {found.delay:.1f} s "
        f"ack {found.ack:.1f} s older states {found.older} again {found.again} in {found.seconds:.0f} s; "
        + " ".join(f"{name} {cost:.0f} us" for name, cost in found.cost.items()),
        flush=True,
    )
    return found.is_good


if __name__ == "__main__":
    main()
