"""Measures the resources and the speed of `run` as a process of its own: `python -m benchmarks.gateway`.

Five measurements, each with its target:

1. Many meters on TCP, half of them encrypted, one telegram every 10 s each: share of a core, memory, and lost
   telegrams. The gateway may open 1024 files, the limit of a service on most systems. The simulated meters
   run in this process and are not counted.
2. The time from the start of the process to READY=1 without any meter.
3. The time from the last byte of a frame on a pseudo-terminal to its line on standard output. The rest of the
   frame is sent before the last byte, as on a line of 115200 baud.
4. The growth over 100 cycles of unplugging and plugging in.
5. Many encrypted meters, each with a telegram a second, in one TCP stream: the delay of the last line of a
   second, and the cost of a telegram in `run` compared with MeterStream and JSON alone.

With --json the figures are printed as one JSON object.
"""

import argparse
import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from benchmarks.figures import LIMIT, Figure, print_figures, wait_until
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.simulator.meters import MIXED, MeterKind, SimulatedMeter, keys_yaml
from smarty_gateway.simulator.ports import PtyPort, TcpPort
from smarty_gateway.simulator.simulation import Simulation

_PERIOD: Final = 10.0
#: The limit of a service on most systems.
_OPEN_FILES: Final = 1024
_ABSENT: Final = 50
_STARTS: Final = 5
_FRAMES: Final = 200
_CYCLES: Final = 100
_FIRST_CYCLES: Final = 10
#: Seconds between two frames, so that the gateway sleeps when the next one comes, as in a house.
_PACE: Final = 0.05
#: The meters of one concentrator.
_CROWD: Final = 200
_CROWD_SECONDS: Final = 15


class RunningGateway:
    """`run` with a gateway.yaml of its own; its standard output is read as it comes.

    Args:
        folder: for its files.
        sources: of the meters, by their names.
        meters: whose keys it gets.
        notify: the socket of a service manager.
        settings: further lines of gateway.yaml, first those of `outputs`.

    Attributes:
        telegrams: the number of lines from each meter.
        last_line: when the last one came, by `time.perf_counter`.
    """

    def __init__(
        self,
        folder: Path,
        sources: dict[str, str],
        meters: Iterable[SimulatedMeter] = (),
        notify: str = "",
        settings: Iterable[str] = (),
    ) -> None:
        lines = [
            f"  - {{{f'name: {name}, ' if name else ''}source: '{source}'}}"
            for name, source in sources.items()
        ]
        config = ["state: state", "meters:", *lines, "outputs:", "  stdout: {format: json}", *settings]
        encrypted = [meter for meter in meters if meter.key is not None]
        if encrypted:
            keys = folder / "keys.yaml"
            keys.touch(0o600)
            keys.write_text(keys_yaml(encrypted), "ascii")
            config.insert(0, "keys: keys.yaml")
        (folder / "gateway.yaml").write_text("\n".join(config) + "\n", "utf-8")
        self.telegrams: Counter[str] = Counter()
        self.last_line = 0.0
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "smarty_gateway", "run", "--config", str(folder / "gateway.yaml")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": notify},
            )
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (min(_OPEN_FILES, most), most))
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as stream:
            for line in stream:
                self.last_line = time.perf_counter()
                self.telegrams[line[:100].split(b'"')[3].decode()] += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if error is not None:
            error.add_note(f"log of the gateway:\n{self._log.read_text('utf-8')[-2000:]}")

    def wait_for(self, number: int) -> None:
        """Wait until this many telegrams have come."""
        wait_until(lambda: self.telegrams.total() >= number, f"{number} telegrams")

    def processor_seconds(self) -> float:
        """Return the processor time it has used so far."""
        fields = self._proc("stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self, name: str) -> float:
        """Return its resident memory, now (VmRSS) or at most (VmHWM)."""
        lines = self._proc("status").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024

    def proportional_megabytes(self) -> float:
        """Return its memory with its share of what several processes use (PSS)."""
        lines = self._proc("smaps_rollup").read_text("ascii", "replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024

    def descriptors(self) -> int:
        """Return the number of open files."""
        return len(list(self._proc("fd").iterdir()))

    def threads(self) -> int:
        """Return the number of threads."""
        return len(list(self._proc("task").iterdir()))

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self._process.pid}/{name}")


class CountingPort(TcpPort):
    """A TCP port that counts what it sent to a client; nothing else can be lost."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1", 0)
        self.sent = 0

    def write(self, data: bytes) -> None:
        """Send to all clients."""
        super().write(data)
        self.sent += bool(self._clients)


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="smarty-benchmark-") as folder:
        yield Path(folder)


def many_meters(number: int, seconds: float) -> list[Figure]:
    """Read many meters at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    meters = [SimulatedMeter(MIXED[n % len(MIXED)], n + 1) for n in range(number)]
    for meter in meters:
        meter.period = _PERIOD
    ports = [CountingPort() for _ in meters]
    simulation = Simulation(meters, ports)
    sources = {f"meter-{n}": port.name for n, port in enumerate(ports)}
    with temporary_folder() as folder, RunningGateway(folder, sources, meters) as gateway:
        try:
            begin = time.monotonic()
            simulation.start()
            wait_until(lambda: len(gateway.telegrams) == number, "a telegram of each meter")
            ready = time.monotonic() - begin
            busy, sent_before = gateway.processor_seconds(), sum(port.sent for port in ports)
            received_before = gateway.telegrams.total()
            begin = time.monotonic()
            time.sleep(seconds)
            busy, took = gateway.processor_seconds() - busy, time.monotonic() - begin
            sent, received = sum(port.sent for port in ports), gateway.telegrams.total()
            megabytes, peak = gateway.megabytes("VmRSS"), gateway.megabytes("VmHWM")
            threads, descriptors = gateway.threads(), gateway.descriptors()
        finally:
            simulation.stop()  # also closes the ports; data already sent can still be read
        total = sum(port.sent for port in ports)
        with contextlib.suppress(TimeoutError):
            gateway.wait_for(total)
        lost = total - gateway.telegrams.total()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    name = f"{number} TCP meters"
    return [
        Figure(f"{name}: % of a core", 100 * busy / took, 10),
        Figure(f"{name}: memory, MB (VmRSS)", megabytes, 80),
        Figure(f"{name}: memory at most, MB (VmHWM)", peak, 80),
        Figure(f"{name}: lost, of {total} since the first was connected", lost, 0),
        Figure(f"{name}: sent in {took:.0f} s", sent - sent_before),
        Figure(f"{name}: received in {took:.0f} s", received - received_before),
        Figure(f"{name}: skipped by the simulator", simulation.skipped),
        Figure(f"{name}: seconds until each was read once", ready),
        Figure(f"{name}: threads", threads),
        Figure(f"{name}: descriptors", descriptors),
    ]


def ready_without_meters() -> list[Figure]:
    """Start several times without any meter."""
    times = []
    for _ in range(_STARTS):
        with temporary_folder() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(folder / "notify"))
            manager.settimeout(LIMIT)
            sources = {f"meter-{n}": str(folder / f"missing-{n}") for n in range(_ABSENT)}
            begin = time.perf_counter()
            with RunningGateway(folder, sources, notify=str(folder / "notify")):
                while b"READY=1" not in manager.recv(4096):
                    pass
                times.append(time.perf_counter() - begin)
    name = f"start with {_ABSENT} missing ports: s until ready"
    return [Figure(f"{name}, median", statistics.median(times), 2), Figure(f"{name}, worst", max(times), 2)]


def send_until_received(
    gateway: RunningGateway, port: PtyPort, meter: SimulatedMeter, moments: Iterator[datetime]
) -> None:
    """Send until the gateway receives a telegram; opening a port flushes it, so the first may be lost."""
    before = gateway.telegrams.total()

    def is_received() -> bool:
        port.write(meter.frame(next(moments)))
        time.sleep(_PACE)
        return gateway.telegrams.total() > before

    wait_until(is_received, "a telegram")


def seconds_from_now() -> Iterator[datetime]:
    """Return one second after the other, so that the frame counter rises."""
    now = datetime.now(UTC)
    return (now + timedelta(seconds=number) for number in count())


def latency(kind: MeterKind) -> list[Figure]:
    """Send frames on a pseudo-terminal, one at a time."""
    meter, moments = SimulatedMeter(kind, 1), seconds_from_now()
    meter.period = 1.0
    times = []
    with (
        temporary_folder() as folder,
        contextlib.closing(PtyPort()) as port,
        RunningGateway(folder, {"house": port.name}, [meter]) as gateway,
    ):
        send_until_received(gateway, port, meter, moments)
        for _ in range(_FRAMES):
            frame, before = meter.frame(next(moments)), gateway.telegrams.total()
            port.write(frame[:-1])
            time.sleep(_PACE)
            begin = time.perf_counter()
            port.write(frame[-1:])
            gateway.wait_for(before + 1)
            times.append((gateway.last_line - begin) * 1000)
    name = f"last byte to line, {kind.value}: ms"
    return [
        Figure(f"{name}, median", statistics.median(times), 5),
        Figure(f"{name}, 99th percentile", statistics.quantiles(times, n=100)[98]),
    ]


def replugging() -> list[Figure]:
    """Unplug an adapter and plug it in again, many times."""
    meter, moments = SimulatedMeter(MeterKind.LUXEMBOURG, 1), seconds_from_now()
    meter.period = 1.0
    found: list[tuple[float, int, int]] = []
    with temporary_folder() as folder:
        link = folder / "adapter"
        with RunningGateway(folder, {"house": str(link)}, [meter]) as gateway:
            for cycle in range(1, _CYCLES + 1):
                with contextlib.closing(PtyPort(link)) as port:
                    send_until_received(gateway, port, meter, moments)
                    if cycle in (_FIRST_CYCLES, _CYCLES):
                        found.append((gateway.megabytes("VmRSS"), gateway.threads(), gateway.descriptors()))
    (memory, threads, descriptors), (memory_at_end, threads_at_end, descriptors_at_end) = found
    name = f"unplugged and plugged in, cycles {_FIRST_CYCLES} to {_CYCLES}: more"
    return [
        # Resident pages vary by dozens in any process; less than this is not a leak.
        Figure(f"{name} memory, MB", memory_at_end - memory, 0.5),
        Figure(f"{name} threads", threads_at_end - threads, 0),
        Figure(f"{name} descriptors", descriptors_at_end - descriptors, 0),
    ]


def crowd_of_meters() -> list[Figure]:
    """Send the telegrams of many meters a second through one TCP port, as a concentrator does."""
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, number + 1) for number in range(_CROWD)]
    for meter in meters:
        meter.period = 1.0
    begin = datetime.now(UTC)
    bursts = [
        [meter.frame(begin + timedelta(seconds=second)) for meter in meters]
        for second in range(2 * _CROWD_SECONDS)
    ]
    alone = _seconds_alone(meters, bursts[:_CROWD_SECONDS])
    late = []
    with (
        temporary_folder() as folder,
        contextlib.closing(CountingPort()) as port,
        # Without a name, so each meter is published under its own.
        RunningGateway(folder, {"": port.name}, meters) as gateway,
    ):
        wait_until(lambda: _is_connected(port), "a connection")
        port.write(b"".join(bursts[0]))
        gateway.wait_for(_CROWD)
        busy = gateway.processor_seconds()
        start = time.perf_counter()
        for second, burst in enumerate(bursts[1 : _CROWD_SECONDS + 1], 1):
            port.write(b"".join(burst))
            sent = time.perf_counter()
            gateway.wait_for(_CROWD * (second + 1))
            late.append(gateway.last_line - sent)
            time.sleep(max(0.0, start + second - time.perf_counter()))
        busy = gateway.processor_seconds() - busy
    count = _CROWD * _CROWD_SECONDS
    name = f"{_CROWD} meters a second in one stream"
    return [
        Figure(f"{name}: s from the last byte to the last line, worst", max(late), 1),
        Figure(f"{name}: µs of processor a telegram in run", busy / count * 1e6),
        Figure(f"{name}: the same, MeterStream and JSON alone", alone / count * 1e6),
        Figure(f"{name}: times as much", busy / alone, 2.5),
    ]


def _is_connected(port: CountingPort) -> bool:
    port.write(b"\x00")
    return port.sent > 0


def _seconds_alone(meters: list[SimulatedMeter], bursts: list[list[bytes]]) -> float:
    """Return the processor time of reading the bytes into JSON without a gateway around it."""
    keys = KeyRing(
        {
            meter.title: [MeterKey(Secret(meter.key))]
            for meter in meters
            if meter.title is not None and meter.key is not None
        }
    )
    stream = MeterStream(keys)
    began = time.process_time()
    for burst in bursts:
        data = b"".join(burst)
        for start in range(0, len(data), 16384):
            stream.receive_data(data[start : start + 16384], float(start))
            while (event := stream.next_event()) is not None:
                if isinstance(event, MeterTelegram):
                    to_json_bytes(event.as_object())
    return time.process_time() - began


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--meters", type=int, default=1000, metavar="N", help="on TCP (default 1000)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, metavar="N", help="how long to measure (default 30)"
    )
    args = parser.parse_args()
    steps: list[Callable[[], list[Figure]]] = [
        lambda: many_meters(args.meters, args.seconds),
        ready_without_meters,
        lambda: latency(MeterKind.LUXEMBOURG),
        lambda: latency(MeterKind.BELGIUM),
        replugging,
        crowd_of_meters,
    ]
    print_figures(steps, as_json=args.json)


if __name__ == "__main__":
    main()
