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
from smarty_gateway.sources.source import SourceEnded
from tests.support.commands import LIMIT
from tests.support.running import is_read, wait_until
from tests.support.streams import sample_keys
from vectors.building_blocks import belgium, frame, luxembourg, with_parity


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


class OneFrame:
    """A source that is over once a frame was read, and records what had been handed on before."""

    def __init__(self, frame: bytes, readings: list[Reading]) -> None:
        self._frame = frame
        self._readings = readings
        self.handed_on: list[Reading] = []

    def open(self) -> None:
        """Do nothing."""

    def read(self, seconds: float = 1.0) -> bytes:  # noqa: ARG002 - as any source has it
        """Return the frame."""
        found, self._frame = self._frame, b""
        if not found:
            self.handed_on = list(self._readings)
            raise SourceEnded
        return found

    def close(self) -> None:
        """Do nothing."""

    def interrupt(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("last", [0xAF, 0xDB, 0xFF], ids=["slash with parity", "prefix", "telnet"])
def test_a_frame_is_handed_on_before_more_is_read_whatever_its_last_byte_is(last: int) -> None:
    data = next(
        data for data in (frame(luxembourg(1), counter=n) for n in range(1, 5000)) if data[-1] == last
    )
    readings = list[Reading]()
    address = parse_address("tcp://127.0.0.1:9")
    meters, source = (MeterConfig((address,)),), OneFrame(data, readings)
    reader = SourceReader(
        address,
        meters,
        lambda _: source,
        KeysInForce(None, sample_keys()),
        StateKeeper(Config(meters)),
        readings.append,
    )
    reader.start()
    reader.thread.join(LIMIT)
    assert [reading.telegram.size for reading in source.handed_on] == [len(data)]
