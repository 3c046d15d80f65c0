"""A gateway with one Belgian meter on a terminal and a broker, for tests of MQTT."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from smarty_gateway.simulator.ports import PtyPort
from tests.brokers import Broker, Message
from tests.running import Running
from vectors.building_blocks import belgium

CONFIG = "homeassistant/device/smarty_1SAG1100000001/config"
GAS_CONFIG = "homeassistant/device/smarty_7FLO2119000001/config"


class House:
    """A gateway with one Belgian meter on a terminal, whose telegrams are numbered by their seconds."""

    def __init__(self, running: Running, port: PtyPort) -> None:
        self.running = running
        self._port = port
        self._next = 0
        self.sent = 0
        running.wait_for_port(port.name)

    def send(self, count: int = 1, make: Callable[[int], bytes] = belgium) -> None:
        """Let the meter speak, and wait until standard output has each telegram."""
        for _ in range(count):
            self._port.write(make(self._next))
            self._next += 1
            self.sent += 1
            self.running.wait_for_readings(self.sent)

    def skip(self, count: int) -> None:
        """Let the meter's clock go on."""
        self._next += count


def configure(folder: Path, broker: Broker, more: str = "", url: str | None = None) -> None:
    """Write gateway.yaml with these lines for the broker."""
    (folder / "gateway.yaml").write_text(
        f"meters: [{{name: house, source: {folder}/port}}]\n"
        "outputs:\n  stdout: {format: json}\n"
        f"  mqtt: {{url: '{url or f'mqtt://127.0.0.1:{broker.port}'}', interval: 0, {more}}}\n",
        "utf-8",
    )


@contextmanager
def house(folder: Path, *arguments: str) -> Iterator[House]:
    """Run the gateway of a folder."""
    port = PtyPort(folder / "port")
    try:
        with Running("run", *arguments, folder=folder) as running:
            yield House(running, port)
    finally:
        port.close()


def second_of(payload: bytes) -> int:
    """Give the number of a telegram."""
    at = datetime.fromisoformat(json.loads(payload)["timestamp"])
    return at.minute % 10 * 60 + at.second


def is_number(number: int) -> Callable[[Message], bool]:
    """Tell telegrams of this number from others."""
    return lambda message: second_of(message.payload) == number


def without_repeats(numbers: list[int]) -> list[int]:
    """Drop what came before."""
    return list(dict.fromkeys(numbers))
