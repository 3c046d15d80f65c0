"""Whether a bad consumer delays the others: `python -m benchmarks.outputs`.

One meter on a pseudo-terminal, and all outputs. The time from the last byte of a frame until the reading is
on standard output, at a subscriber of a Mosquitto, and at a TCP client is measured twice: with good consumers
only, and then beside bad ones, all at once:

tcp       200 more clients, half of which never read
udp       a closed port
influxdb  a server that answers after 30 s
domoticz  a server that answers 500

The stalled clients have small buffers, so they are 256 kB behind, and dropped, during the measurement.
With --json the figures are printed as one JSON object.
"""

import argparse
import contextlib
import signal
import socket
import statistics
import threading
import time
from pathlib import Path
from typing import Final

from benchmarks.brokers import Mosquitto
from benchmarks.consumers import TcpReader
from benchmarks.figures import Figure, print_figures, wait_until
from benchmarks.gateway import RunningGateway, seconds_from_now, send_until_received, temporary_folder
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from tests.support.brokers import Subscriber, free_port
from tests.support.domoticz_server import DomoticzServer
from tests.support.influxdb import Reply, Request, StubInflux

_CLIENTS: Final = 200
_PACE: Final = 0.05
_PLACES: Final = ("standard output", "MQTT", "a TCP client")
#: ms: how much later the median may be beside bad consumers.
_LATER: Final = 5


class Consumers:
    """A gateway with a good consumer behind each output, which can be made bad."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        broker = Mosquitto(folder)
        stack.callback(broker.end, signal.SIGKILL)
        self._subscriber = stack.enter_context(Subscriber(broker, "smarty/house/telegram"))
        self._influx = stack.enter_context(StubInflux())
        self._domoticz = stack.enter_context(DomoticzServer(1, 2))
        self._over = threading.Event()
        stack.callback(self._over.set)
        self._tcp_port = free_port()
        self._receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._receiver.bind(("127.0.0.1", 0))
        self._meter, self._moments = SimulatedMeter(MeterKind.LUXEMBOURG, 1), seconds_from_now()
        self._meter.period = 1.0
        self._port = stack.enter_context(contextlib.closing(PtyPort()))
        domoticz = f"url: 'http://127.0.0.1:{self._domoticz.port}', interval: 1"
        settings = [
            f"  mqtt: {{url: 'mqtt://127.0.0.1:{broker.port}', telegrams: true}}",
            f"  tcp: [{{listen: '127.0.0.1:{self._tcp_port}'}}]",
            f"  pty: [{{link: {folder}/served}}]",
            f"  udp: [{{address: '127.0.0.1:{self._receiver.getsockname()[1]}'}}]",
            f"  influxdb: {{url: 'http://127.0.0.1:{self._influx.port}', database: smarty}}",
            f"  domoticz: {{{domoticz}, devices: {{house: {{electricity: 1, gas: 2}}}}}}",
            f"  files: {{folder: {folder}/telegrams}}",
        ]
        gateway = RunningGateway(folder, {"house": self._port.name}, [self._meter], settings=settings)
        self.gateway = stack.enter_context(gateway)
        self._arrived: list[float] = []
        send_until_received(self.gateway, self._port, self._meter, self._moments)
        reader = TcpReader(self._tcp_port, lambda _: self._arrived.append(time.perf_counter()))
        stack.callback(reader.close)
        self._clients: list[TcpReader] = []
        self._stalled: list[socket.socket] = []
        self.most: tuple[float, ...] = (0.0, 0, 0)

    def resources(self) -> tuple[float, int, int]:
        """Return the memory in MB, the threads, and the descriptors of the gateway."""
        return self.gateway.proportional_megabytes(), self.gateway.threads(), self.gateway.descriptors()

    def turn_bad(self) -> None:
        """Make all of them bad, except standard output, MQTT, and one TCP client."""
        self._receiver.close()
        self._influx.reply = self._late
        self._domoticz.fault = lambda _: (500, b"Internal Server Error")
        for _ in range(_CLIENTS // 2):
            client = TcpReader(self._tcp_port, lambda _: None)
            self._stack.callback(client.close)
            self._clients.append(client)
            stalled = self._stack.enter_context(socket.socket())
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", self._tcp_port))
            self._stalled.append(stalled)

    def _late(self, _: Request) -> Reply:
        self._over.wait(30)
        return Reply()

    @property
    def dropped(self) -> int:
        """The number of stalled clients that the gateway has dropped; reads what it had sent before."""
        return sum(_is_closed(client) for client in self._stalled)

    @property
    def dropped_readers(self) -> int:
        """The number of clients that read and were dropped nevertheless."""
        return sum(client.is_dropped for client in self._clients)

    def latencies(self, frames: int) -> dict[str, list[float]]:
        """Send frames, one at a time, and return the ms until each was at each place."""
        times: dict[str, list[float]] = {place: [] for place in _PLACES}
        for _ in range(frames):
            frame = self._meter.frame(next(self._moments))
            lines, messages = self.gateway.telegrams.total(), len(self._subscriber.messages)
            self._arrived.clear()
            self._port.write(frame[:-1])
            time.sleep(_PACE)
            begin = time.perf_counter()
            self._port.write(frame[-1:])
            self.gateway.wait_for(lines + 1)
            wait_until(lambda before=messages: len(self._subscriber.messages) > before, "MQTT")  # type: ignore[misc]
            wait_until(lambda: self._arrived, "a TCP client")
            ends = (self.gateway.last_line, self._subscriber.messages[-1].time, self._arrived[0])
            for place, end in zip(_PLACES, ends, strict=True):
                times[place].append(1000 * (end - begin))
            self.most = tuple(map(max, self.most, self.resources()))
        return times


def _is_closed(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def undisturbed(frames: int) -> list[Figure]:
    """Measure before and during."""
    with temporary_folder() as folder, contextlib.ExitStack() as stack:
        consumers = Consumers(folder, stack)
        consumers.latencies(20)  # warms up
        before = consumers.latencies(frames)
        resources_before, consumers.most = consumers.most, (0.0, 0, 0)
        consumers.turn_bad()
        during = consumers.latencies(frames)
        dropped, dropped_readers = consumers.dropped, consumers.dropped_readers
    figures = []
    for place in _PLACES:
        least = statistics.median(before[place])
        figures += [
            Figure(f"last byte to {place}, before: ms, median", least),
            Figure(f"last byte to {place}, before: ms, worst", max(before[place])),
            Figure(
                f"last byte to {place}, during: ms, median", statistics.median(during[place]), least + _LATER
            ),
            Figure(f"last byte to {place}, during: ms, worst", max(during[place])),
        ]
    names = ("memory, MB (PSS)", "threads", "descriptors")
    for name, found, most in zip(names, resources_before, consumers.most, strict=True):
        figures += [Figure(f"{name}, before, at most", found), Figure(f"{name}, during, at most", most)]
    return [
        *figures,
        Figure(f"of {_CLIENTS // 2} clients that never read: dropped", dropped),
        Figure(f"of {_CLIENTS // 2} clients that read: dropped", dropped_readers, 0),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--frames", type=int, default=400, metavar="N", help="to send (default 400)")
    args = parser.parse_args()
    print_figures([lambda: undisturbed(args.frames)], as_json=args.json)


if __name__ == "__main__":
    main()
