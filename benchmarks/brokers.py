"""What the measurements of the MQTT output share: a Mosquitto, a subscriber, meters under load, a gateway.

Mosquitto keeps the session of the subscriber in its database, so a message that it has acknowledged
reaches the subscriber also when that was away. It loses its queue in a kill -9, but at this load it has
none: it hands a message to the subscriber's socket before it acknowledges it to the gateway.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from smarty_gateway.simulator.meters import MIXED, SimulatedMeter, keys_yaml, seconds_since_2020
from smarty_gateway.simulator.ports import TcpPort
from smarty_gateway.state.state_file import FILE_NAME
from tests.support.brokers import Broker, Subscriber
from tests.support.running import Running

_CATCHES_UP_WITHIN: Final = 1.0
_SESSION: Final = "mosquitto.db"


class Key(NamedTuple):
    """What identifies a telegram: its meter, and its time in seconds since 2020."""

    meter: str
    second: int


class Sent(NamedTuple):
    """A telegram that a meter sent to a gateway: which one of them, and when."""

    key: Key
    life: int
    at: float


def key_of(payload: bytes | str) -> Key:
    """Return which telegram a JSON object was."""
    reading = json.loads(payload)
    return Key(reading["meter_id"], seconds_since_2020(datetime.fromisoformat(reading["timestamp"])))


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that is removed afterwards; TMPDIR decides on which disk."""
    with tempfile.TemporaryDirectory(prefix="smarty-benchmark-") as folder:
        yield Path(folder)


class Mosquitto(Broker):
    """A Mosquitto without limits and without a log; it keeps sessions over a kill."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            options=(
                "log_dest none",
                "autosave_on_changes false",
                "autosave_interval 0",
                "max_inflight_messages 0",
                "max_queued_messages 0",
            ),
        )
        self.start()

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, if it runs; after a kill it starts with the sessions of the last `remember_sessions`."""
        was_running = self.is_running
        super().end(number)
        remembered = self.folder / "sessions"
        if was_running and number == signal.SIGKILL and remembered.exists():
            shutil.copy(remembered, self.folder / _SESSION)

    def remember_sessions(self) -> None:
        """Restart, and keep the database with the sessions that there are now."""
        self.end()
        shutil.copy(self.folder / _SESSION, self.folder / "sessions")
        self.start()


def has_what_waited(subscriber: Subscriber) -> bool:
    """True if a subscriber has had the time to receive what the broker held for it."""
    return time.monotonic() > subscriber.connected_at + _CATCHES_UP_WITHIN


def keys_of(subscriber: Subscriber) -> list[Key]:
    """Return the telegrams that arrived, in order and with all repeats."""
    return [key_of(message.payload) for message in list(subscriber.messages)]


class Outages:
    """Kills or stops a broker after a random time, for a random time."""

    def __init__(
        self,
        broker: Mosquitto,
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
            if not has_what_waited(self._subscriber):
                return  # a kill would cost what Mosquitto holds for it in memory
            self._broker.end(self._rng.choice((signal.SIGKILL, signal.SIGTERM)))
            self.count += 1
            self._next = time.monotonic() + self._rng.uniform(*self._away)
        else:
            self._broker.start()
            self._next = time.monotonic() + self._rng.uniform(*self._there)


class _LifePort(TcpPort):
    """A port whose clients can be disconnected, also those that wait to be accepted."""

    def part(self) -> None:
        self._accept()
        for client in self._clients:
            client.close()
        self._clients.clear()

    def reaches_anybody(self, data: bytes) -> bool:
        self.write(data)
        return bool(self._clients)


class Load:
    """Meters of both kinds on TCP ports, which send in turn, at a rate for all of them together.

    Nothing is sent while no life is on. A life is one gateway process; what was sent in it was sent to
    that process, whether or not that ever read it.

    Attributes:
        sent: what was sent to a gateway, in order.
    """

    def __init__(self, rate: float, meters: int = 20, most: int | None = None) -> None:
        self.meters = [SimulatedMeter(MIXED[n % len(MIXED)], n + 1) for n in range(meters)]
        for meter in self.meters:
            meter.period = 1.0
        self.ports = [_LifePort("127.0.0.1", 0) for _ in self.meters]
        self.sent: list[Sent] = []
        self._rate, self._most = rate, most
        self._life: int | None = None
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def begin_life(self, number: int | None) -> None:
        """Disconnect the last gateway; with None the next one gets nothing."""
        with self._lock:
            for port in self.ports:
                port.part()
            self._life = number

    def limit(self, most: int) -> None:
        """Send this many from now on, and no more."""
        with self._lock:
            self._most = len(self.sent) + most

    @property
    def is_done(self) -> bool:
        """True if the limit is reached."""
        return self._most is not None and len(self.sent) >= self._most

    def close(self) -> None:
        """Close it."""
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


class GatewayProcess(Running):
    """`run` with a gateway.yaml of its own.

    Args:
        sources: the meters' names and where they send.
        mqtt: the options of the output.
        others: more of gateway.yaml.
    """

    def __init__(
        self,
        folder: Path,
        sources: dict[str, str],
        meters: list[SimulatedMeter],
        mqtt: dict[str, object],
        others: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.state = folder / "state"
        config: dict[str, object] = {
            "state": "state",
            "meters": [{"name": name, "source": source} for name, source in sources.items()],
            "outputs": {"mqtt": mqtt, "stdout": {"format": "json"}},
            **others,
        }
        if any(meter.key is not None for meter in meters):
            keys = folder / "keys.yaml"
            keys.touch(0o600)
            keys.write_text(keys_yaml(meters), "ascii")
            config["keys"] = str(keys)
        file = folder / "gateway.yaml"
        file.write_text(json.dumps(config), "utf-8")  # which is YAML as well
        super().__init__("run", "--config", file, folder=folder)

    def end(self, number: signal.Signals) -> int:
        """Send a signal, and return the bytes that it had written to disk when it had ended."""
        if not self.is_alive:
            raise RuntimeError(f"the gateway ended by itself: {self.log[-10:]}")
        self.send(number)
        # Not reaped yet, so that its figures can still be read.
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        written = self.written()
        status = self.wait()
        if status != (-number if number == signal.SIGKILL else 0):
            raise RuntimeError(f"the gateway ended with {status}: {self.log[-10:]}")
        return written

    def written(self) -> int:
        """Return the bytes that it has put on the disk so far (write_bytes)."""
        lines = Path(f"/proc/{self.pid}/io").read_text("ascii").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))

    def megabytes(self) -> float:
        """Return the memory that is resident now (VmRSS)."""
        lines = Path(f"/proc/{self.pid}/status").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def undelivered(state: Path) -> list[Key]:
    """Return which telegrams wait in a state file that no gateway uses; the file stays as it is."""
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
    """A proxy between a gateway and a broker that delays what the broker sends."""

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
        """Close it."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _end(self) -> None:
        self._server.close()
        self._loop.stop()
