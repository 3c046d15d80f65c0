"""A whole pool under test: workers, simulated edges, who watches the results, and what became of each frame.

The cluster and the database come from outside. Each frame that an edge takes is in the edges' journal, so the
database can be compared with it, row by row.
"""

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import orjson
import psycopg
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from smarty_gateway.protocol.dummy_keys import dummy_key
from tests.support.brokers import Broker
from tests.support.canaries import forms_of
from tests.support.commands import LIMIT, environment
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

_TICK: Final = os.sysconf("SC_CLK_TCK")
#: Seconds without a further row after which the rest will not come.
_PATIENCE: Final = 30.0
#: A line of `PoolTrial`'s log of what happened.
Event = tuple[float, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the frames of one run, and what it cost.

    Attributes:
        made: frames that the edges took from their meters.
        acknowledged: those that a node had acknowledged at the end.
        rows: readings of these frames.
        missing: frames without a row, after everything was delivered.
        late: missing ones of which the meter's highest counter is above: the replay rule refused them.
        foreign: readings of frames that no edge has made.
        silence: seconds without a new row in a shard, the longest time of all; a shard has no frame at times.
        delay: seconds from a frame to its row, the longest time of all.
        ack: seconds from a frame to its acknowledgement, the longest time of all.
        older: states that came after a newer one of the same meter.
        again: states that came twice.
        cost: microseconds of processor time a row of workers, nodes and database.
    """

    made: int
    acknowledged: int
    rows: int
    missing: int
    late: int
    foreign: int
    silence: float
    delay: float
    ack: float
    older: int
    again: int
    seconds: float
    cost: Mapping[str, float]

    @property
    def is_good(self) -> bool:
        """True if every frame that was made is there, and nothing else."""
        return self.made == self.acknowledged == self.rows and not self.foreign and not self.older


class Worker:
    """A `pool run` in a process of its own; its log is a file."""

    def __init__(self, name: str, config: Path, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None
        self._spent = 0.0

    def start(self) -> None:
        """Start it; its log is continued."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "smarty_gateway", "pool", "run", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._config.parent,
                env=environment(),
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, if it runs, and return the exit status."""
        if self._process is None:
            return 0
        self._spent = self.spent
        self._process.send_signal(number)
        if number != signal.SIGCONT:
            self._process.send_signal(signal.SIGCONT)  # one that is frozen would not end
        status = self._process.wait(LIMIT)
        self._process = None
        return status

    @property
    def spent(self) -> float:
        """Seconds of processor time so far, of all its lives."""
        return self._spent + (0.0 if self._process is None else processor_seconds(self._process.pid))

    @property
    def memory(self) -> float:
        """Resident memory in megabytes."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1000


class Edges:
    """A `simulate --forward` in a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", journal: Path) -> None:
        self.process = process
        self.journal = journal
        self.made = 0
        self.acknowledged = 0
        self.longest = 0.0

    def end(self) -> None:
        """Stop making frames, wait until all are acknowledged, and read the figures."""
        self.process.send_signal(signal.SIGTERM)
        output = self.process.communicate(timeout=LIMIT)[0].decode()
        # "1000 frames made, 1000 acknowledged, 0.2 s at most"
        words = output.splitlines()[-1].split()
        self.made, self.acknowledged, self.longest = int(words[0]), int(words[3]), float(words[5])


class Silence(threading.Thread):
    """Measures for how long no new row of a shard appears."""

    def __init__(self, connect: Callable[[], "psycopg.Connection[Any]"]) -> None:
        super().__init__(name="silence", daemon=True)
        self._connect = connect
        self._stopping = threading.Event()
        self._last: dict[int, tuple[int, float]] = {}
        #: Length, end by the monotonic clock, and shard of each silence of more than a second.
        self.found: list[tuple[float, float, int]] = []

    def run(self) -> None:
        """Look five times a second, also while the database is away."""
        connection = None
        while not self._stopping.wait(0.2):
            try:
                connection = connection or self._connect()
                rows = connection.execute(
                    "SELECT shard, sum(highest) FROM smarty_counter GROUP BY shard"
                ).fetchall()
            except psycopg.Error:
                connection = None
                continue
            self._look(rows, time.monotonic())
        if connection is not None:
            connection.close()

    def _look(self, rows: Sequence[tuple[int, int]], now: float) -> None:
        for shard, total in rows:
            before = self._last.get(shard)
            if before is not None and before[0] == total:
                continue
            if before is not None and now - before[1] > 1:
                self.found.append((now - before[1], now, shard))
            self._last[shard] = (total, now)

    def stop(self) -> None:
        """Stop looking; a silence that lasts until now counts."""
        self._stopping.set()
        self.join(LIMIT)
        now = time.monotonic()
        self.found += [(now - at, now, shard) for shard, (_, at) in self._last.items() if now - at > 1]

    def longest(self, begin: float = -math.inf, end: float = math.inf) -> float:
        """Return the length of the longest one that ended in a span of time."""
        return max((length for length, at, _ in self.found if begin <= at < end), default=0.0)


class States:
    """Listens to the states of all meters, and counts those that are older than one before."""

    def __init__(self, port: int) -> None:
        self.older = 0
        self.again = 0
        self.count = 0
        self._last: dict[str, str] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("smarty/+/state", 1)
        self._client.on_message = self._received
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        if message.retain or not message.payload:
            return
        at = orjson.loads(message.payload)["timestamp"]
        before = self._last.get(message.topic, "")
        self.older += at < before
        self.again += at == before
        self.count += 1
        self._last[message.topic] = max(at, before)

    def close(self) -> None:
        """Stop listening."""
        self._client.disconnect()
        self._client.loop_stop()


class PoolTrial:
    """Workers and edges on a cluster and a database, from `with` on."""

    def __init__(
        self, folder: Path, cluster: RabbitCluster, database: PostgresServer, broker: Broker
    ) -> None:
        self.folder = folder
        self.cluster = cluster
        self.database = database
        self.broker = broker
        self.keys = folder / "keys"
        self.workers: dict[str, Worker] = {}
        self.events: list[Event] = []
        self.queue_megabytes = 1024
        self._edges: list[Edges] = []
        self._all_edges: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            with suppress(ProcessLookupError):
                worker.end(signal.SIGKILL)
        for process in self._all_edges:
            if process.poll() is None:
                process.kill()
                process.wait(LIMIT)

    # What there is

    def configuration(self, name: str, user: str = "worker") -> Path:
        """Write the pool.yaml of a worker."""
        path = self.folder / f"{name}.yaml"
        nodes = zip(self.cluster.hosts, self.cluster.amqp_ports, strict=True)
        servers = zip(self.cluster.hosts, self.cluster.management_ports, strict=True)
        lines = [
            f"worker: {name}",
            f"nodes: [{', '.join(f'amqp://{user}@{host}:{port}' for host, port in nodes)}]",
            f"password_file: {self.cluster.password_file(user)}",
            f"management: [{', '.join(f'http://{host}:{port}' for host, port in servers)}]",
            "trusted_network: true",
            f"database: {{url: '{self.database.url}', password_file: {self.database.password_file}}}",
            f"keys: {self.keys}",
            f"queue_megabytes: {self.queue_megabytes}",
            f"state: {self.folder / f'state-{name}'}",
            f"outputs: {{mqtt: {{url: 'mqtt://127.0.0.1:{self.broker.port}'}}}}",
        ]
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    def write_keys(self, edges: int, first: int = 1) -> None:
        """Write the key files for meters with these numbers."""
        arguments = ("--meters", edges, "--number", first, "--write-keys", self.keys, "--seconds", 0)
        # The first meter sends a frame all the same.
        self._simulate(*arguments, "--journal", self._new_journal()).communicate(timeout=LIMIT)

    def declare(self) -> None:
        """Create queues, policies and tables as an operator does."""
        config = self.configuration("operator", "admin")
        command = [sys.executable, "-m", "smarty_gateway", "pool", "declare", "--config", str(config)]
        command += ["--edge", "edge"]
        done = subprocess.run(command, capture_output=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()

    def start_worker(self, name: str) -> Worker:
        """Start a worker, which may have run before."""
        worker = self.workers.get(name) or Worker(name, self.configuration(name), self.folder)
        self.workers[name] = worker
        worker.start()
        return worker

    def start_edges(self, count: int, period: float, first: int = 1, at: int | None = None) -> Edges:
        """Start edges, in the network of a node if that is named."""
        journal = self._new_journal()
        process = self._simulate(
            *("--meters", count, "--number", first, "--period", period, "--journal", journal), at=at
        )
        edges = Edges(process, journal)
        self._edges.append(edges)
        return edges

    def _new_journal(self) -> Path:
        return self.folder / f"journal-{len(self._all_edges)}"

    def _simulate(self, *arguments: object, at: int | None = None) -> "subprocess.Popen[bytes]":
        urls = [
            f"mqtt://edge@{host}:{port}"
            for host, port in zip(self.cluster.hosts, self.cluster.mqtt_ports, strict=True)
        ]
        forward = [word for url in urls for word in ("--forward", url)]
        command = [sys.executable, "-m", "smarty_gateway", "simulate", *forward, "--password-file"]
        command += [str(self.cluster.password_file("edge")), *map(str, arguments)]
        if at is None:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
        else:
            process = self.cluster.run_in(at, command, stdout=subprocess.PIPE, env=environment())
        self._all_edges.append(process)
        return process

    def connect(self) -> "psycopg.Connection[Any]":
        """Connect to the database."""
        password = self.database.password_file.read_text("utf-8")
        return psycopg.connect(self.database.url, password=password, autocommit=True, connect_timeout=2)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def held(self) -> dict[int, str]:
        """Return which worker reads each of the shards that have had frames."""
        return dict(
            self.query(
                "SELECT shard, owner FROM smarty_shard WHERE shard IN (SELECT shard FROM smarty_counter)"
            )
        )

    def delay(self, begin: float, end: float = math.inf) -> float:
        """Return the longest time from a frame to its row, of frames of a span (seconds since 1970)."""
        span = f"extract(epoch FROM received) >= {begin} AND extract(epoch FROM received) < '{end}'"
        ((delay,),) = self.query(
            f"SELECT extract(epoch FROM max(stored - received)) FROM smarty_reading WHERE {span}"  # noqa: S608 - of two numbers
        )
        return float(delay or 0)

    def note(self, what: str) -> None:
        """Remember what is done now."""
        self.events.append((time.monotonic(), what))
        print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)  # noqa: T201 - trials take long

    def spans(self) -> Iterator[tuple[float, float, str]]:
        """Yield what happened in the last run, each with the time until the next."""
        ends = [*(at for at, _ in self.events[1:]), math.inf]
        for (begin, what), end in zip(self.events, ends, strict=True):
            yield begin, end, what

    # One run

    @contextmanager
    def run(self, outcome: list[Outcome]) -> Iterator[Silence]:
        """Watch what is done in the block; then end the edges, and add up what became of their frames."""
        spent = self._spent()
        begin, began = time.monotonic(), time.time()
        states = States(self.broker.port)
        silence = Silence(self.connect)
        silence.start()
        try:
            yield silence
        finally:
            silence.stop()
            states.close()
        seconds = time.monotonic() - begin
        ended, self._edges = self._edges, []
        for edges in ended:
            edges.end()
        made = {line for edges in ended for line in edges.journal.read_text("ascii").splitlines()}
        rows = self._wait_for_rows(made)
        # What was killed took its processor time with it; then the figure would say nothing.
        cost = {
            name: 1e6 * (now - spent[name]) / max(1, len(rows))
            for name, now in self._spent().items()
            if now > spent[name]
        }
        missing = made - rows
        highest = dict(self.query("SELECT upper(encode(title, 'hex')), highest FROM smarty_counter"))
        outcome.append(
            Outcome(
                made=sum(edges.made for edges in ended),
                acknowledged=sum(edges.acknowledged for edges in ended),
                rows=len(rows & made),
                missing=len(missing),
                late=sum(int(line[17:]) < highest.get(line[:16], 0) for line in missing),
                foreign=len(self._rows() - self._journals()),
                silence=silence.longest(),
                delay=self.delay(began),
                ack=max(edges.longest for edges in ended),
                older=states.older,
                again=states.again,
                seconds=seconds,
                cost=cost,
            )
        )

    def _wait_for_rows(self, made: set[str]) -> set[str]:
        found: set[str] = set()
        changed = time.monotonic()
        while time.monotonic() < changed + _PATIENCE:
            rows = self._rows() & made
            if len(rows) == len(made):
                return rows
            if len(rows) > len(found):
                changed = time.monotonic()
            found = rows
            time.sleep(0.5)
        return found

    def _rows(self) -> set[str]:
        return {
            f"{title.upper()} {counter}"
            for title, counter in self.query("SELECT encode(title, 'hex'), counter FROM smarty_reading")
        }

    def _journals(self) -> set[str]:
        return {
            line for path in self.folder.glob("journal-*") for line in path.read_text("ascii").splitlines()
        }

    def _spent(self) -> dict[str, float]:
        nodes = [process.pid for process in self.cluster.processes if process is not None]
        return {
            "workers": sum(worker.spent for worker in self.workers.values()),
            "nodes": sum(map(processor_seconds, nodes)),
            "database": self.database_seconds(),
        }

    def database_seconds(self) -> float:
        """Return the processor time of the server and of its children so far."""
        assert self.database._process is not None
        number = self.database._process.pid
        children = Path(f"/proc/{number}/task/{number}/children").read_text("ascii").split()
        return sum(map(processor_seconds, [number, *map(int, children)]))

    def wait_for_workers(self, *names: str, limit: float = LIMIT) -> None:
        """Wait until each shard with frames is read by that of these workers that is at home there."""
        workers = sorted(names)

        def is_even() -> bool:
            held = self.held()
            return bool(held) and all(workers[shard % len(workers)] == owner for shard, owner in held.items())

        wait_until(is_even, f"an even share of {names}", limit)

    def wait_for_frames(self, count: int) -> None:
        """Wait until the edges have taken this many more frames from their meters."""
        enough = len(self._journals()) + count
        wait_until(lambda: len(self._journals()) >= enough, f"{count} frames")

    def keys_found(self, edges: int) -> list[str]:
        """Return what holds a key of one of the meters: logs, queues, state files, tables."""
        forms = {form for number in range(1, edges + 1) for form in forms_of(dummy_key(number))}
        files = [path for path in self.folder.rglob("*") if path.is_file() and path.parent != self.keys]
        found = [str(path) for path in files if _holds(path, forms)]
        return [*found, "the database"] if _has(self.database.dump(), forms) else found


def _holds(path: Path, forms: set[bytes]) -> bool:
    with suppress(FileNotFoundError):  # a queue has deleted it
        return _has(path.read_bytes(), forms)
    return False


def _has(data: bytes, forms: set[bytes]) -> bool:
    lowered = data.lower()
    return any(form in data or form in lowered for form in forms)


def processor_seconds(number: int) -> float:
    """Return the processor time of a process and of its children that have ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        fields = Path(f"/proc/{number}/stat").read_text("ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICK
    return 0.0
