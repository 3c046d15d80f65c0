"""All outputs at once, with a fault in one of them every few seconds: `python -m benchmarks.long_run`.

Twenty meters send a telegram a second each, half of them encrypted. Their telegrams go to standard output,
a Mosquitto, TCP clients, a pseudo-terminal, a UDP receiver, an InfluxDB, a stub of Domoticz, files, and the
page. Every 5 s one of these consumers is killed, frozen, stalled, or misbehaves, for 2 to 20 s; the choice is
random and repeatable. At the end all faults are over, and everything that was promised must have arrived:

stdout    every telegram, in order of each meter.
mqtt      every telegram at least once, in order of each meter.
influxdb  a point for every telegram, with the meter's values.
tcp       clients that kept reading have every telegram since their first, byte for byte.
files     every telegram, except those that came while the folder could not be used.

No consumer may get anything that no meter sent. The log of the gateway and a line with its memory, threads,
descriptors and the state of its outputs every 30 s are in the folder of `--folder`, which is kept.
Needs mosquitto and influxdb (Debian's packages).
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import statistics
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from paho.mqtt.client import Client, MQTTMessage

from benchmarks.brokers import Key, Load, Mosquitto, has_what_waited
from benchmarks.consumers import (
    Ledger,
    TcpReader,
    TelegramSplitter,
    Truth,
    unix_time,
)
from benchmarks.figures import LIMIT, Figure, print_figures, wait_until
from benchmarks.gateway import RunningGateway
from tests.support.brokers import Subscriber, free_port
from tests.support.domoticz_server import DomoticzServer
from tests.support.influxdb import InfluxServer

_METERS: Final = 20
_RATE: Final = 20.0
_FAULT_EVERY: Final = 5.0
_FAULT_LASTS: Final = (2.0, 20.0)
_LOOK_EVERY: Final = 30.0
#: The meters whose telegrams go to the pseudo-terminal and to Domoticz.
_PTY_METER: Final = 1
_DOMOTICZ_METERS: Final = (0, 1)
#: Clients of the TCP ports that never read; the oldest goes when there are more.
_STALLED_MOST: Final = 60
#: Seconds behind a fault of the folder until the gateway has tried again, at the latest.
_FILES_AGAIN: Final = 35.0
#: Seconds that a value for Domoticz may be old.
_RECENT: Final = 60.0
_BOX: Final = re.compile(r"[0-9]+;[0-9]+;[0-9]+;[0-9]+;[0-9]+;[0-9]+")

FaultFactory = Callable[[], AbstractContextManager[None]]


class Span(NamedTuple):
    """When a fault was on, by the monotonic clock."""

    begin: float
    end: float


class LongGateway(RunningGateway):
    """`run`, whose standard output is handed on line by line, while it may be read."""

    def __init__(  # noqa: PLR0913, PLR0917 - those of its base and two more
        self,
        folder: Path,
        sources: dict[str, str],
        load: Load,
        settings: list[str],
        take: Callable[[bytes], object],
        may_read: threading.Event,
    ) -> None:
        self._take, self._may_read = take, may_read
        super().__init__(folder, sources, load.meters, settings=settings)

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as stream:
            for line in stream:
                self._may_read.wait()
                self._take(line)

    def end(self) -> int:
        """Ask it to end, and return its exit status."""
        self._process.terminate()
        return self._process.wait(LIMIT)

    @property
    def is_alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None


class Listener(Subscriber):
    """A subscriber that checks each message as it comes, and keeps none."""

    def __init__(self, broker: Mosquitto, telegrams: Ledger, states: Ledger) -> None:
        self._telegrams, self._states = telegrams, states
        super().__init__(broker, "smarty/+/telegram", "smarty/+/state")

    def _received(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        ledger = self._telegrams if message.topic.endswith("/telegram") else self._states
        ledger.take_json(bytes(message.payload))


class PtyReader:
    """Reads the pseudo-terminal in sessions; what is sent between them is lost, and may be."""

    def __init__(self, link: Path, take: Callable[[bytes], None], skipped: list[int]) -> None:
        self.link = link
        self._take, self._skipped = take, skipped
        self._ended = threading.Event()
        self.open()

    def open(self) -> None:
        """Begin a session."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the session."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        splitter = TelegramSplitter()
        terminal = os.open(self.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            while not self._ended.is_set():
                if select.select([terminal], [], [], 0.2)[0]:
                    for telegram in splitter.feed(os.read(terminal, 65536)):
                        self._take(telegram)
        finally:
            self._skipped.append(splitter.skipped)
            os.close(terminal)


class UdpReceiver:
    """A receiver of datagrams."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self.port = 0
        self.open()

    def open(self) -> None:
        """Receive, on the same port as before."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_000_000)
        self._socket.bind(("127.0.0.1", self.port))
        self.port = int(self._socket.getsockname()[1])
        self._socket.settimeout(0.2)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the port."""
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                self._take(self._socket.recv(65536))


class Influx(InfluxServer):
    """An InfluxDB that can be suspended."""

    def freeze(self) -> None:
        """Suspend it: it answers nothing, and its connections stay open."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)


class Domoticz(DomoticzServer):
    """Domoticz with two devices for each of some meters."""

    def __init__(self) -> None:
        self.meters = {100 + 2 * n + is_gas: n for n in _DOMOTICZ_METERS for is_gas in (0, 1)}
        super().__init__(*self.meters)

    @staticmethod
    def devices() -> str:
        """Return the setting `devices`."""
        idx = [f"meter-{n}: {{electricity: {100 + 2 * n}, gas: {101 + 2 * n}}}" for n in _DOMOTICZ_METERS]
        return "{" + ", ".join(idx) + "}"

    def count(self) -> int:
        """Return how many values it has got."""
        return sum(len(values) for values in self.values.values())

    def check(self, load: Load, truth: Truth, ledger: Ledger) -> None:
        """Compare each value with those of the telegrams that were sent shortly before."""
        for idx, n in self.meters.items():
            sent = [found for found in load.sent if found.key.meter == load.meters[n].meter_id]
            for at, value in self.values[idx]:
                recent = [found.key for found in sent if at - _RECENT < found.at <= at]
                if not any(_fits(value, truth.record(key), is_gas=bool(idx % 2)) for key in recent):
                    ledger.note_wrong(f"idx {idx} got {value}")


def _fits(value: str, record: dict[str, Any], *, is_gas: bool) -> bool:
    if is_gas:
        return value == str(round(1000 * record["gas"]["value"]))
    if not _BOX.fullmatch(value):
        return False
    numbers = [int(part) for part in value.split(";")]
    sums = [numbers[0] + numbers[1], numbers[2] + numbers[3], numbers[4], numbers[5]]
    sent = [_total(record, "import"), _total(record, "export")]
    sent += [round(1000 * record["power_import"]), round(1000 * record["power_export"])]
    return sums == sent


def _total(record: dict[str, Any], way: str) -> int:
    name = f"energy_{way}"
    parts = [name] if name in record else [f"{name}_tariff_1", f"{name}_tariff_2"]
    return sum(round(1000 * record[part]) for part in parts)


class World:
    """Everything around the gateway, and the gateway."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self.load = Load(_RATE, _METERS)
        stack.callback(self.load.close)
        self.truth = Truth(self.load.meters)
        names = ("stdout", "mqtt", "state", "tcp", "pty", "udp", "domoticz", "files", "http")
        self.ledgers = {name: Ledger(name, self.truth) for name in names}
        self.spans: dict[str, list[Span]] = {}
        self.broker = Mosquitto(folder)
        stack.callback(self.broker.end, signal.SIGKILL)
        self.listener = stack.enter_context(
            Listener(self.broker, self.ledgers["mqtt"], self.ledgers["state"])
        )
        self.broker.remember_sessions()
        (folder / "influxdb").mkdir()
        self.influx = stack.enter_context(Influx(folder / "influxdb"))
        self.domoticz = stack.enter_context(Domoticz())
        self.udp = UdpReceiver(self.ledgers["udp"].take_json)
        self.tcp_ports = [free_port() for _ in self.load.meters]
        self.http_port = free_port()
        self.may_read = threading.Event()
        self.may_read.set()
        self.gateway = stack.enter_context(self._start())
        stack.callback(self.may_read.set)
        self.load.begin_life(0)
        wait_until(lambda: self.outputs() or not self.gateway.is_alive, "the page")
        self.tcp = [self._tcp_reader(n) for n in range(_METERS)]
        self.pty_skipped: list[int] = []
        pty = self.load.meters[_PTY_METER].meter_id
        self.pty = PtyReader(
            self.folder / "pty", lambda text: self.ledgers["pty"].take_telegram(pty, text), self.pty_skipped
        )
        self.stalled: list[socket.socket] = []

    def _tcp_reader(self, n: int) -> TcpReader:
        meter = self.load.meters[n].meter_id
        return TcpReader(self.tcp_ports[n], lambda text: self.ledgers["tcp"].take_telegram(meter, text))

    def _start(self) -> LongGateway:
        tcp = [
            f"    - {{meter: meter-{n}, listen: '127.0.0.1:{port}'}}" for n, port in enumerate(self.tcp_ports)
        ]
        domoticz = f"url: 'http://127.0.0.1:{self.domoticz.port}', devices: {self.domoticz.devices()}"
        settings = [
            f"  mqtt: {{url: 'mqtt://127.0.0.1:{self.broker.port}', telegrams: true, home_assistant: true}}",
            "  tcp:",
            *tcp,
            "  pty:",
            f"    - {{meter: meter-{_PTY_METER}, link: pty}}",
            "  udp:",
            f"    - {{address: '127.0.0.1:{self.udp.port}'}}",
            f"  influxdb: {{url: 'http://127.0.0.1:{self.influx.port}', database: smarty}}",
            f"  domoticz: {{{domoticz}}}",
            "  files: {folder: telegrams}",
            f"  http: {{listen: '127.0.0.1:{self.http_port}'}}",
        ]
        sources = {f"meter-{n}": port.name for n, port in enumerate(self.load.ports)}
        return LongGateway(
            self.folder, sources, self.load, settings, self.ledgers["stdout"].take_json, self.may_read
        )

    def get(self, path: str) -> bytes:
        """Ask the page; an empty answer where it does not answer well."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            return b""
        finally:
            connection.close()

    def outputs(self) -> dict[str, str]:
        """Return the states of the outputs; nothing while the page does not answer."""
        answer = self.get("/healthz")
        found: dict[str, str] = json.loads(answer)["outputs"] if answer.startswith(b"{") else {}
        return found

    def watch_page(self, stopping: threading.Event) -> None:
        """Ask for the newest reading of one meter after the other."""
        n = 0
        while not stopping.wait(1.0):
            answer = self.get(f"/api/v1/meters/meter-{n % _METERS}/now")
            n += 1
            if b'"timestamp"' in answer:
                self.ledgers["http"].take_public(answer)


class Faults:
    """What can go wrong with each consumer, and the scheduler of it."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world, self._rng = world, rng
        self._on: dict[str, tuple[float, float, str, contextlib.ExitStack]] = {}
        self._next = time.monotonic() + _FAULT_EVERY
        self.count: Counter[str] = Counter()
        self._known: dict[str, list[FaultFactory]] = {
            "mqtt": [self._broker_killed, self._broker_stopped, self._broker_frozen],
            "influxdb": [self._influx_killed, self._influx_frozen],
            "domoticz": [
                self._domoticz_500,
                self._domoticz_late,
                self._domoticz_stopped,
                self._domoticz_rubbish,
            ],
            "tcp": [self._tcp_stalled, self._tcp_reset, self._tcp_flood],
            "pty": [self._pty_gone, self._pty_stalled],
            "udp": [self._udp_closed],
            "files": [self._folder_away, self._folder_blocked],
            "stdout": [self._stdout_paused],
            "http": [self._http_stalled],
        }

    def look(self) -> None:
        """End the faults that are over, and begin one when it is due."""
        now = time.monotonic()
        for output in [name for name, (_, until, _, _) in self._on.items() if now >= until]:
            self._end(output)
        if now < self._next:
            return
        self._next = now + _FAULT_EVERY
        idle = sorted(self._known.keys() - self._on.keys())
        output = self._rng.choice(idle)
        fault, lasts = self._rng.choice(self._known[output]), self._rng.uniform(*_FAULT_LASTS)
        if output == "mqtt" and not has_what_waited(self._world.listener):
            return  # a kill would cost what Mosquitto holds for the subscriber in memory
        name = f"{output}: {fault.__name__.removeprefix('_')}"
        stack = contextlib.ExitStack()
        begin = time.monotonic()
        stack.enter_context(fault())
        self.count[name] += 1
        self._on[output] = (begin, begin + lasts, name, stack)

    def end_all(self) -> None:
        """End all faults."""
        for output in list(self._on):
            self._end(output)

    def _end(self, output: str) -> None:
        begin, _, name, stack = self._on.pop(output)
        stack.close()
        self._world.spans.setdefault(output, []).append(Span(begin, time.monotonic()))
        print(f"  fault over: {name}", file=sys.stderr)

    @contextlib.contextmanager
    def _broker_killed(self) -> Iterator[None]:
        self._world.broker.end(signal.SIGKILL)
        yield
        self._world.broker.start()

    @contextlib.contextmanager
    def _broker_stopped(self) -> Iterator[None]:
        self._world.broker.end(signal.SIGTERM)
        yield
        self._world.broker.start()

    @contextlib.contextmanager
    def _broker_frozen(self) -> Iterator[None]:
        self._world.broker.freeze()
        yield
        self._world.broker.resume()

    @contextlib.contextmanager
    def _influx_killed(self) -> Iterator[None]:
        self._world.influx.kill()
        yield
        self._world.influx.start()

    @contextlib.contextmanager
    def _influx_frozen(self) -> Iterator[None]:
        self._world.influx.freeze()
        yield
        self._world.influx.resume()

    @contextlib.contextmanager
    def _domoticz_answers(self, answer: Callable[[int], tuple[int, bytes]]) -> Iterator[None]:
        domoticz = self._world.domoticz
        domoticz.fault, good = answer, domoticz.fault
        yield
        domoticz.fault = good

    def _domoticz_500(self) -> AbstractContextManager[None]:
        return self._domoticz_answers(lambda _: (500, b"Internal Server Error"))

    def _domoticz_rubbish(self) -> AbstractContextManager[None]:
        return self._domoticz_answers(lambda _: (200, os.urandom(3000)))

    @contextlib.contextmanager
    def _domoticz_late(self) -> Iterator[None]:
        over = threading.Event()

        def late(_: int) -> tuple[int, bytes]:
            over.wait(30)
            return 503, b""

        with self._domoticz_answers(late):
            yield
        over.set()

    @contextlib.contextmanager
    def _domoticz_stopped(self) -> Iterator[None]:
        self._world.domoticz.stop()
        yield
        self._world.domoticz.start(self._world.domoticz.port)

    def _client(self) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(5)
        client.connect(("127.0.0.1", self._rng.choice(self._world.tcp_ports)))
        return client

    @contextlib.contextmanager
    def _tcp_stalled(self) -> Iterator[None]:
        """Connect clients that never read; they stay when the fault is over."""
        stalled = self._world.stalled
        stalled += [self._client() for _ in range(10)]
        while len(stalled) > _STALLED_MOST:
            stalled.pop(0).close()
        yield

    @contextlib.contextmanager
    def _tcp_reset(self) -> Iterator[None]:
        clients = [self._client() for _ in range(10)]
        yield
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    @contextlib.contextmanager
    def _tcp_flood(self) -> Iterator[None]:
        """Send rubbish to the gateway, as fast as it takes it, and new connections all the time."""
        ended = threading.Event()

        def flood() -> None:
            while not ended.wait(0.02):
                with contextlib.suppress(OSError), self._client() as client:
                    client.settimeout(0.2)
                    client.sendall(os.urandom(200_000))

        thread = threading.Thread(target=flood, daemon=True)
        thread.start()
        yield
        ended.set()
        thread.join()

    @contextlib.contextmanager
    def _pty_gone(self) -> Iterator[None]:
        self._world.pty.close()
        yield
        self._world.pty.open()

    @contextlib.contextmanager
    def _pty_stalled(self) -> Iterator[None]:
        """Keep the terminal open without reading it."""
        terminal = os.open(self._world.pty.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self._world.pty.close()
        yield
        os.close(terminal)
        self._world.pty.open()

    @contextlib.contextmanager
    def _udp_closed(self) -> Iterator[None]:
        self._world.udp.close()
        yield
        self._world.udp.open()

    @contextlib.contextmanager
    def _folder_away(self) -> Iterator[None]:
        """Move the folder away; another one that was made meanwhile is kept under another name."""
        folder = self._world.folder / "telegrams"
        number = sum(self.count.values())
        folder.rename(folder.with_name(f"telegrams-away-{number}"))
        yield
        if folder.exists():
            folder.rename(folder.with_name(f"telegrams-again-{number}"))
        folder.with_name(f"telegrams-away-{number}").rename(folder)

    @contextlib.contextmanager
    def _folder_blocked(self) -> Iterator[None]:
        """Put a file in the place of the folder."""
        folder = self._world.folder / "telegrams"
        away = folder.with_name("telegrams-blocked")
        folder.rename(away)
        folder.write_bytes(b"")
        yield
        folder.unlink()
        away.rename(folder)

    @contextlib.contextmanager
    def _stdout_paused(self) -> Iterator[None]:
        self._world.may_read.clear()
        yield
        self._world.may_read.set()

    @contextlib.contextmanager
    def _http_stalled(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                client = stack.enter_context(
                    socket.create_connection(("127.0.0.1", self._world.http_port), 5)
                )
                client.sendall(b"GET /meters/meter-1/ HTTP/1.1\r\nHost: localhost\r\n")
            yield


class Look(NamedTuple):
    """The gateway's resources at a moment."""

    megabytes: float
    threads: int
    descriptors: int


def watch(world: World, faults: Faults, seconds: float) -> list[Look]:
    """Run for a time, and return what was seen of the gateway now and then."""
    looks = []
    begin = time.monotonic()
    look_at = begin
    while (now := time.monotonic()) < begin + seconds:
        if not world.gateway.is_alive:
            raise RuntimeError("the gateway has ended by itself")
        try:
            faults.look()
        except (OSError, TimeoutError):
            traceback.print_exc()  # of the harness: the run goes on, and the figures show what it means
        if now >= look_at:
            look_at += _LOOK_EVERY
            look = Look(
                world.gateway.proportional_megabytes(),
                world.gateway.threads(),
                world.gateway.descriptors(),
            )
            looks.append(look)
            counts = {name: ledger.count() for name, ledger in world.ledgers.items()}
            wrong = sum(ledger.wrong_count for ledger in world.ledgers.values())
            states = {name: state for name, state in world.outputs().items() if state != "ok"}
            print(
                f"{(now - begin) / 60:6.1f} min  {look.megabytes:6.1f} MB  {look.threads} threads  "
                f"{look.descriptors} files  sent {len(world.load.sent)}  {counts}  "
                f"domoticz {world.domoticz.count()}  faults {sum(faults.count.values())}  wrong {wrong}  "
                f"not ok: {states}",
                flush=True,
            )
        time.sleep(0.1)
    return looks


def influx_figures(world: World, sent: list[Key]) -> list[Figure]:
    """Compare the points in InfluxDB with what was sent."""
    missing = odd = wrong = devices_missing = devices_odd = 0
    for meter in world.load.meters:
        keys = {unix_time(key): key for key in sent if key.meter == meter.meter_id}
        name = world.truth.names[meter.meter_id]
        series = world.influx.query(f"SELECT * FROM smarty WHERE meter = '{name}'")  # noqa: S608 - own names
        points = [dict(zip(s["columns"], row, strict=True)) for s in series for row in s["values"]]
        times = Counter(point["time"] for point in points)
        missing += len(keys.keys() - times.keys())
        odd += sum(times.values()) - len(times) + len(times.keys() - keys.keys())
        found = Counter(
            (point["device"], point["time"])
            for s in world.influx.query(f"SELECT * FROM smarty_mbus WHERE meter = '{name}'")  # noqa: S608 - see above
            for point in (dict(zip(s["columns"], row, strict=True)) for row in s["values"])
        )
        expected = {pair for key in keys.values() for pair in device_times(world.truth.record(key))}
        devices_missing += len(expected - found.keys())
        devices_odd += sum(found.values()) - len(found) + len(found.keys() - expected)
        for point in points:
            if point["time"] in keys:
                record = world.truth.record(keys[point["time"]])
                wrong += any(
                    point.get(field) != value
                    for field, value in record.items()
                    if isinstance(value, int | float)
                )
    return [
        Figure("influxdb: telegrams without a point", missing, 0),
        Figure("influxdb: points without a telegram, or twice", odd, 0),
        Figure("influxdb: points with other values than the meter's", wrong, 0),
        Figure("influxdb: values of gas and water meters without a point", devices_missing, 0),
        Figure("influxdb: points of these without a value, or twice", devices_odd, 0),
    ]


def device_times(record: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the M-Bus devices of a telegram, and when each was read."""
    for name, value in record.items():
        if isinstance(value, dict) and "channel" in value:
            yield name, int(datetime.fromisoformat(value["timestamp"]).timestamp())


def read_files(world: World) -> int:
    """Read all files of the folder, wherever it was moved; count lines out of order in their file."""
    found, out_of_order = world.ledgers["files"], 0
    for path in world.folder.glob("telegrams*/**/*.jsonl"):
        file = Ledger("files", world.truth)
        for line in path.read_bytes().splitlines():
            file.take_json(line)
        out_of_order += file.out_of_order()
        found.add(file)
    return out_of_order


def unexplained(world: World, missing: list[Key], output: str) -> int:
    """Count those that were not sent while the consumer was away, or shortly after."""
    at = {sent.key: sent.at for sent in world.load.sent}
    spans = world.spans.get(output, [])
    return sum(
        not any(span.begin - 1 <= at[key] <= span.end + _FILES_AGAIN for span in spans) for key in missing
    )


def verdict(world: World, looks: list[Look]) -> list[Figure]:
    """Compare what arrived with what was sent."""
    sent = [found.key for found in world.load.sent]
    ledgers = world.ledgers
    files_out_of_order = read_files(world)
    world.domoticz.check(world.load, world.truth, ledgers["domoticz"])
    quarter = max(1, len(looks) // 4)
    early, late = looks[quarter : 2 * quarter] or looks, looks[-quarter:]
    files_missing = ledgers["files"].missing(sent)
    figures = [
        Figure("telegrams sent", len(sent)),
        Figure(
            "memory, MB (PSS), second quarter, median", statistics.median(look.megabytes for look in early)
        ),
        Figure("memory, MB (PSS), last quarter, median", statistics.median(look.megabytes for look in late)),
        Figure("memory, MB (PSS), most", max(look.megabytes for look in looks)),
        Figure(
            "memory, MB (PSS), growth from the second to the last quarter",
            statistics.median(look.megabytes for look in late)
            - statistics.median(look.megabytes for look in early),
            4,
        ),
        Figure("threads, most in the second quarter", max(look.threads for look in early)),
        Figure("threads, most in the last quarter", max(look.threads for look in late)),
        Figure("descriptors, most in the second quarter", max(look.descriptors for look in early)),
        Figure("descriptors, most in the last quarter", max(look.descriptors for look in late)),
        Figure("stdout: lost", len(ledgers["stdout"].missing(sent)), 0),
        Figure("stdout: repeats", ledgers["stdout"].count() - len(sent), 0),
        Figure("stdout: out of order", ledgers["stdout"].out_of_order(), 0),
        Figure("mqtt: lost", len(ledgers["mqtt"].missing(sent)), 0),
        Figure("mqtt: repeats", ledgers["mqtt"].count() - len(sent)),
        Figure("mqtt: out of order", ledgers["mqtt"].out_of_order(), 0),
        *influx_figures(world, sent),
        Figure("tcp: gaps of those that kept reading", len(ledgers["tcp"].skipped(sent)), 0),
        Figure("tcp: telegrams", ledgers["tcp"].count()),
        Figure("tcp: bytes outside of telegrams", sum(reader.splitter.skipped for reader in world.tcp), 0),
        Figure("pty: telegrams", ledgers["pty"].count()),
        Figure("pty: bytes outside of telegrams, at most in a session", max(world.pty_skipped, default=0)),
        Figure("udp: lost while the receiver was there", unexplained_udp(world, sent)),
        Figure("udp: telegrams", ledgers["udp"].count()),
        Figure("domoticz: values", world.domoticz.count()),
        Figure("files: lost while the folder was away", len(files_missing)),
        Figure("files: lost while it was there", unexplained(world, files_missing, "files"), 0),
        Figure("files: out of order", files_out_of_order, 0),
        Figure("http: newest readings", ledgers["http"].count()),
    ]
    figures += [
        Figure(f"{name}: readings that no meter sent", ledger.wrong_count, 0)
        for name, ledger in ledgers.items()
    ]
    return figures


def unexplained_udp(world: World, sent: list[Key]) -> int:
    """Count datagrams that were lost while the receiver was there; UDP promises nothing."""
    return unexplained(world, world.ledgers["udp"].missing(sent), "udp")


def wait_for_promised(world: World) -> None:
    """Wait until all has arrived that must, or the time is over."""
    sent = [found.key for found in world.load.sent]

    def has_arrived() -> bool:
        time.sleep(1)
        series = world.influx.query("SELECT COUNT(power_import) FROM smarty")
        points = series[0]["values"][0][1] if series else 0
        is_missing = any(world.ledgers[name].missing(sent) for name in ("stdout", "mqtt"))
        return points >= len(sent) and not is_missing

    with contextlib.suppress(TimeoutError):
        wait_until(has_arrived, "stdout, mqtt and influxdb")


def long_run(folder: Path, seconds: float, seed: int) -> list[Figure]:
    """Run all of it."""
    with contextlib.ExitStack() as stack:
        world = World(folder, stack)
        stopping = threading.Event()
        page = threading.Thread(target=world.watch_page, args=(stopping,), daemon=True)
        page.start()
        faults = Faults(world, random.Random(seed))  # noqa: S311 - repeatable, no secret
        looks = watch(world, faults, seconds)
        faults.end_all()
        world.load.limit(0)
        wait_for_promised(world)
        stopping.set()
        page.join()
        states = world.outputs()
        dropped = sum(reader.is_dropped for reader in world.tcp)
        status = world.gateway.end()
        print("\n".join(f"  {number:5} {name}" for name, number in sorted(faults.count.items())))
        print("states at the end:", states)
        figures = verdict(world, looks)
        figures += [
            Figure("tcp: readers that were dropped", dropped, 0),
            Figure("exit status", status, 0),
        ]
        wrong = [line for ledger in world.ledgers.values() for line in ledger.wrong]
        print("\n".join(wrong))
    return figures


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--minutes", type=float, default=120.0, metavar="N", help="(default 120)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the faults")
    parser.add_argument("--folder", type=Path, help="for all files; a new one by default")
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="smarty-long-run-"))
    folder.mkdir(exist_ok=True)
    print(f"the log of the gateway: {folder}/log", flush=True)
    print_figures([lambda: long_run(folder, 60 * args.minutes, args.seed)], as_json=args.json)


if __name__ == "__main__":
    main()
