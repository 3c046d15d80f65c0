"""A gateway with one Belgian meter on a terminal and a broker, for tests of MQTT."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs.mqtt.output import MqttOutput
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Message
from tests.support.running import Running
from vectors.building_blocks import belgium

CONFIG = "homeassistant/device/smarty_1SAG1100000001/config"
GAS_CONFIG = "homeassistant/device/smarty_7FLO2119000001/config"
GATEWAY_CONFIG = "homeassistant/device/smarty_smarty/config"


class House:
    """A gateway with one Belgian meter on a terminal, whose telegrams are numbered by their seconds."""

    def __init__(self, running: Running, port: PtyPort) -> None:
        self.running = running
        self._port = port
        self._next = 0
        self.sent = 0
        running.wait_for_port(port.name)

    def send(self, count: int = 1, make: Callable[[int], bytes] = belgium) -> None:
        """Send telegrams, and wait for each on standard output."""
        for _ in range(count):
            self._port.write(make(self._next))
            self._next += 1
            self.sent += 1
            self.running.wait_for_readings(self.sent)

    def skip(self, count: int) -> None:
        """Advance the meter's clock."""
        self._next += count


def configure(folder: Path, broker: Broker, more: str = "", url: str | None = None) -> None:
    """Write gateway.yaml with these lines for the broker."""
    (folder / "gateway.yaml").write_text(
        f"meters: [{{name: house, source: {folder}/port}}]\n"
        "outputs:\n  stdout: {format: json}\n"
        f"  mqtt: {{url: '{url or broker.url}', interval: 0, {more}}}\n",
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


class _Noting(Store):
    """A store that reports which topics are put aside."""

    def __init__(self, store: Store, note: Callable[[str, int | None], None]) -> None:
        self.__dict__.update(store.__dict__)
        self._note = note

    def note_put_aside(self, topic: str, size: int | None) -> None:
        self._note(topic, size)
        super().note_put_aside(topic, size)


@contextmanager
def mqtt_output(  # noqa: PLR0913 - each test needs a few of them
    folder: Path,
    url: str,
    *names: str,
    more: str = "interval: 0",
    put_aside: Mapping[str, int] = MappingProxyType({}),
    note_put_aside: Callable[[str, int | None], None] = lambda *_: None,
    unnamed: Sequence[str] = (),
    has_history: bool = True,
    is_from_supervisor: bool = False,
) -> Iterator[MqttOutput]:
    """Run the MQTT output alone, in this process, for meters of these names."""
    file = folder / "output.yaml"
    meters = ", ".join(f"{{name: {name}, source: {folder}/{name}}}" for name in names or ("house",))
    file.write_text(f"meters: [{meters}]\noutputs:\n  mqtt: {{url: '{url}', {more}}}\n", "utf-8")
    config = replace(load_config(file), history=has_history)
    assert config.outputs.mqtt is not None
    mqtt = replace(config.outputs.mqtt, is_from_supervisor=is_from_supervisor)
    with Store(folder / "state") as store:
        for topic, size in put_aside.items():
            store.note_put_aside(topic, size)
        output = MqttOutput(config, mqtt, _Noting(store, note_put_aside), unnamed)
        output.start()
        try:
            yield output
        finally:
            output.stop(10.0)
    assert output.failure is None


def reading_of(telegram: bytes, name: str = "house", *, is_configured: bool = True) -> Reading:
    """Return the reading of a telegram, as outputs receive it."""
    stream = MeterStream(KeyRing())
    stream.receive_data(telegram)
    event = stream.next_event()
    assert isinstance(event, MeterTelegram)
    return Reading(name, event, datetime(2026, 1, 30, 9, tzinfo=UTC), is_configured=is_configured)


class _FixedQuarter:
    """A quarter hour with these values."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = dict(values)

    def as_object(self) -> dict[str, Any]:
        return self._values


def with_quarter(reading: Reading, values: Mapping[str, Any]) -> Reading:
    """Return a reading with a running quarter hour of these values, which need not agree."""
    quarter: Any = _FixedQuarter(values)
    return replace(reading, quarter=quarter)


def second_of(payload: bytes) -> int:
    """Return the number of a telegram."""
    at = datetime.fromisoformat(json.loads(payload)["timestamp"])
    return at.minute % 10 * 60 + at.second


def is_number(number: int) -> Callable[[Message], bool]:
    """Return a condition that is true for the telegram of this number."""
    return lambda message: second_of(message.payload) == number


def without_repeats(numbers: list[int]) -> list[int]:
    """Drop the numbers that came before."""
    return list(dict.fromkeys(numbers))
