"""What a reader does when only garbage comes, and what it says of a source that brought no meter."""

import os
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.reader import SourceReader
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.sources.address import parse_address
from smarty_gateway.sources.opening import source_for
from tests.support.commands import LIMIT
from tests.support.running import is_read, wait_until
from vectors.building_blocks import belgium, with_parity


@pytest.fixture
def old_meter(tmp_path: Path) -> Iterator[PtyPort]:
    """Start a meter that sends telegrams with 9600 7E1; at any other speed, they arrive as garbage."""
    port, stop = PtyPort(tmp_path / "port"), threading.Event()

    def speak() -> None:
        second = 0
        while not stop.wait(0.05):
            second = (second + 1) % 600
            fits = termios.tcgetattr(port._master)[4] == termios.B9600
            port.write(with_parity(belgium(second)) if fits else os.urandom(400))

    speaker = threading.Thread(target=speak)
    speaker.start()
    yield port
    stop.set()
    speaker.join(LIMIT)
    port.close()


def test_a_port_with_another_speed_is_found_out_and_said(
    old_meter: PtyPort, caplog: pytest.LogCaptureFixture
) -> None:
    address, readings = parse_address(old_meter.name), list[Reading]()
    meters = (MeterConfig((address,)),)
    reader = SourceReader(
        address,
        meters,
        lambda line: source_for(address, line),
        KeysInForce(None),
        StateKeeper(Config(meters)),
        readings.append,
        garbage_seconds=0.3,
    )
    reader.start()
    wait_until(lambda: readings and "write `speed: 9600` and `framing: 7E1`" in caplog.text, "a telegram")
    reader.stop()
    reader.thread.join(LIMIT)
    assert "trying 9600 7E1" in caplog.text
    assert [line for line in caplog.messages if line.count(address.text) > 1] == []


def test_a_line_names_a_source_without_a_name_once(caplog: pytest.LogCaptureFixture) -> None:
    address = parse_address("tcp://127.0.0.1:9")
    meters = (MeterConfig((address,)),)
    reader = SourceReader(
        address,
        meters,
        lambda line: source_for(address, line),
        KeysInForce(None),
        StateKeeper(Config(meters)),
        lambda _: None,
    )
    reader.start()
    wait_until(lambda: caplog.messages, "a line")
    reader.stop()
    reader.thread.join(LIMIT)
    assert caplog.messages[0].startswith("127.0.0.1 refuses connections on port 9: ")


def test_a_source_that_has_brought_no_meter_yet_has_a_health_of_its_own() -> None:
    port = PtyPort()
    address = parse_address(port.name)
    meters = (MeterConfig((address,)),)
    reader = SourceReader(
        address,
        meters,
        lambda line: source_for(address, line),
        KeysInForce(None),
        StateKeeper(Config(meters)),
        lambda _: None,
    )

    def health() -> dict[str, Health]:
        unheard: dict[str, Health] = {}
        reader.add_health({}, unheard)
        return unheard

    assert health() == {address.text: Health()}
    reader.start()
    wait_until(lambda: health()[address.text].is_connected and is_read(port.name, os.getpid()), "the port")
    port.write(belgium(1).replace(b"(00", b"(99", 1))
    wait_until(lambda: health()[address.text].rejected == {"checksum": 1}, "the rejection")
    port.write(belgium(2))
    wait_until(lambda: not health(), "the meter")
    reader.stop()
    reader.thread.join(LIMIT)
    port.close()
