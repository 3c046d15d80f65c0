"""What the measurements of the MQTT output share: a Mosquitto, a subscriber, meters under load, a gateway.

Mosquitto keeps the session of the subscriber in its database, so a message that it has acknowledged
reaches the subscriber also when that was away. It loses its queue in a kill -9, but at this load it has
none: it hands a message to the subscriber's socket before it acknowledges it to the gateway.
"""

import asyncio
import contextlib
import json
import math
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.figures import LIMIT, wait_until
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml, seconds_since_2020
from smarty_gateway.simulator.ports import TcpPort
from smarty_gateway.state.state_file import FILE_NAME

_CATCHES_UP_WITHIN: Final = 1.0
_SESSION: Final = "mosquitto.db"


class Key(NamedTuple):
    """What tells one telegram from another: whose it is, and which second since 2020 it speaks of."""

    meter: str
    second: int


class Sent(NamedTuple):
    """A telegram that a meter sent to a gateway: which one of them, and when."""

    key: Key
    life: int
    at: float


def key_of(payload: bytes) -> Key:
    """Find out which telegram a JSON object was."""
    reading = json.loads(payload)
    return Key(reading["meter_id"], seconds_since_2020(datetime.fromisoformat(reading["timestamp"])))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder that is gone afterwards; TMPDIR decides on which disk."""
    with tempfile.TemporaryDirectory(prefix="smarty-benchmark-") as folder:
        yield Path(folder)


class Broker:
    """A Mosquitto on a free port of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {folder}/\nautosave_interval 0\nuser root\n"
            f"max_inflight_messages 0\nmax_queued_messages 0\nlog_dest none\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def is_running(self) -> bool:
        """Tell whether it was started and not stopped again."""
        return self._process is not None

    def start(self) -> None:
        """Start, and wait until it listens."""
        command = [
            shutil.which("mosquitto") or "/usr/sbin/mosquitto",
            "-c",
            str(self._folder / "mosquitto.conf"),
        ]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until(self._listens, "the broker")

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it runs; after a kill it starts with the sessions of the last `remember_sessions`."""
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.wait(LIMIT)
        self._process = None
        remembered = self._folder / "sessions"
        if number == signal.SIGKILL and remembered.exists():
            shutil.copy(remembered, self._folder / _SESSION)

    def remember_sessions(self) -> None:
        """Restart, and keep the database with the sessions that there are now."""
        self.end()
        shutil.copy(self._folder / _SESSION, self._folder / "sessions")
        self.start()


class Subscriber:
    """Collects what arrives, in a session that outlives its connection.

    Attributes:
        arrived: time, topic and payload of each message.
    """

    def __init__(self, broker: Broker, topic: str) -> None:
        self.arrived: list[tuple[float, str, bytes]] = []
        self._subscribed = threading.Event()
        client = Client(CallbackAPIVersion.VERSION2, client_id="benchmark", clean_session=False)
        client.reconnect_delay_set(1, 1)
        client.on_message = self._take
        client.on_connect = self._note_connection
        self._connected = math.inf
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.connect("127.0.0.1", broker.port)
        self.client = client
        client.loop_start()
        client.subscribe(topic, qos=1)
        if not self._subscribed.wait(LIMIT):
            raise TimeoutError("waited in vain for the subscription")

    def _take(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self.arrived.append((time.monotonic(), message.topic, bytes(message.payload)))

    def _note_connection(self, *_: object) -> None:
        self._connected = time.monotonic()

    @property
    def has_what_waited(self) -> bool:
        """Tell whether it is connected, and has had the time to take what the broker held for it."""
        return self.client.is_connected() and time.monotonic() > self._connected + _CATCHES_UP_WITHIN

    def keys(self) -> list[Key]:
        """Tell which telegrams arrived, in order and with all repeats."""
        return [key_of(payload) for _, _, payload in list(self.arrived)]

    def close(self) -> None:
        """Part."""
        self.client.disconnect()
        self.client.loop_stop()


class Outages:
    """Lets a broker come and go: killed or stopped, for a random time, after a random time."""

    def __init__(
        self,
        broker: Broker,
        subscriber: Subscriber,
        rng: random.Random,
        there: tuple[float, float],
        away: tuple[float, float],
    ) -> None:
        self._broker, self._rng, self._there, self._away = broker, rng, there, away
        self._subscriber = subscriber
        self._next = time.monotonic() + rng.uniform(*there)
        self.count = 0

    def look(self) -> None:
        """Do what is due."""
        if time.monotonic() < self._next:
            return
        if self._broker.is_running:
            if not self._subscriber.has_what_waited:
                return  # a kill would cost what Mosquitto holds for it in memory
            self._broker.end(self._rng.choice((signal.SIGKILL, signal.SIGTERM)))
            self.count += 1
            self._next = time.monotonic() + self._rng.uniform(*self._away)
        else:
            self._broker.start()
            self._next = time.monotonic() + self._rng.uniform(*self._there)


class _LifePort(TcpPort):
    """A port whose clients can be sent away, those that still wait at the door as well."""

    def part(self) -> None:
        self._accept()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def reaches_anybody(self, data: bytes) -> bool:
        self.write(data)
        return bool(self._clients)


class Load:
    """Meters of both kinds on TCP ports, which send in turn, so many telegrams a second in all.

    Nothing is sent while no life is on. A life is one gateway process; what was sent in it was sent to
    that process, whether or not that ever read it.

    Attributes:
        sent: what was sent to a gateway, in order.
    """

    def __init__(self, rate: float, meters: int = 20, most: int | None = None) -> None:
        kinds = list(MeterKind)
        self.meters = [SimulatedMeter(kinds[n % len(kinds)], n + 1) for n in range(meters)]
        self.ports = [_LifePort("127.0.0.1", 0) for _ in self.meters]
        self.sent: list[Sent] = []
        self._rate, self._most = rate, most
        self._life: int | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def begin_life(self, number: int | None) -> None:
        """Part from the last gateway; None for one that is to be sent nothing."""
        with self._lock:
            for port in self.ports:
                port.part()
            self._life = number

    def limit(self, most: int) -> None:
        """Send so many from now on, and no more."""
        with self._lock:
            self._most = len(self.sent) + most

    @property
    def is_done(self) -> bool:
        """Tell whether the limit is reached."""
        return self._most is not None and len(self.sent) >= self._most

    def close(self) -> None:
        """End."""
        self._stopping.set()
        self._thread.join()
        for port in self.ports:
            port.close()

    def _run(self) -> None:
        base, number, due = datetime.now(UTC), 0, time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            round_number, n = divmod(number, len(self.meters))
            moment = base + timedelta(seconds=round_number)
            with self._lock:
                if self._life is not None and not self.is_done:
                    frame, at = self.meters[n].frame(moment), time.monotonic()
                    if self.ports[n].reaches_anybody(frame):
                        key = Key(self.meters[n].meter_id, seconds_since_2020(moment))
                        self.sent.append(Sent(key, self._life, at))
            number, due = number + 1, due + 1 / self._rate


class GatewayProcess:
    """`run` with a gateway.yaml of its own.

    Args:
        sources: the meters' names and where they send.
        mqtt: the options of the output.

    Attributes:
        lines: of standard output, with the time of each, where it is configured.
    """

    def __init__(
        self, folder: Path, sources: dict[str, str], meters: list[SimulatedMeter], mqtt: dict[str, object]
    ) -> None:
        self.lines: list[tuple[float, bytes]] = []
        self.state = folder / "state"
        config: dict[str, object] = {
            "state": "state",
            "meters": [{"name": name, "source": source} for name, source in sources.items()],
            "outputs": {"mqtt": mqtt, "stdout": {"format": "json"}},
        }
        if any(meter.key is not None for meter in meters):
            keys = folder / "keys.yaml"
            keys.touch(0o600)
            keys.write_text(keys_yaml(meters), "ascii")
            config["keys"] = str(keys)
        (folder / "gateway.yaml").write_text(json.dumps(config), "utf-8")  # which is YAML as well
        self._log = folder / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "smarty_gateway", "run", "--config", str(folder / "gateway.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as stream:
            for line in stream:
                self.lines.append((time.monotonic(), line))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if error is not None:
            error.add_note(f"the gateway said:\n{self._log.read_text('utf-8')[-2000:]}")

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and give the bytes that it had written to disk when it had ended."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the gateway ended by itself:\n{self._log.read_text('utf-8')[-2000:]}")
        self._process.send_signal(number)
        # Not waited for in earnest yet, so that its figures can still be read.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        written = self.written()
        status = self._process.wait()
        self._reader.join()
        if status != (-number if number == signal.SIGKILL else 0):
            raise RuntimeError(f"the gateway ended with {status}:\n{self._log.read_text('utf-8')[-2000:]}")
        return written

    def written(self) -> int:
        """Give the bytes that it has put on the disk so far (write_bytes)."""
        lines = Path(f"/proc/{self._process.pid}/io").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))

    def megabytes(self) -> float:
        """Give the memory that is resident now (VmRSS)."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def undelivered(state: Path) -> list[Key]:
    """Tell which telegrams wait in a state file that no gateway uses; the file stays as it is."""
    if not (state / FILE_NAME).exists():
        return []
    with temporary_folder() as folder:
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(state / f"{FILE_NAME}{suffix}", folder)
        with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as connection:
            try:
                rows = connection.execute("SELECT payload FROM undelivered ORDER BY id").fetchall()
            except sqlite3.OperationalError:
                return []  # killed before it had made its tables
    return [key_of(payload) for (payload,) in rows]


class SlowAnswers:
    """Stands between a gateway and a broker, and holds up what the broker says for so many seconds."""

    def __init__(self, broker_port: int, seconds: float) -> None:
        self._broker_port, self._seconds = broker_port, seconds
        self._loop = asyncio.new_event_loop()
        server = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = self._loop.run_until_complete(server)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, questions = await asyncio.open_connection("127.0.0.1", self._broker_port)
        await asyncio.gather(
            self._pass_on(reader, questions, 0.0), self._pass_on(answers, writer, self._seconds)
        )

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if seconds:
                    self._loop.call_later(seconds, writer.write, data)
                else:
                    writer.write(data)
        self._loop.call_later(seconds, writer.close)

    def close(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _end(self) -> None:
        self._server.close()
        self._loop.stop()
