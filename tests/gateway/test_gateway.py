"""What the supervisor does at the end."""

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.gateway.gateway import Gateway
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.outputs.output import GatewayHealth, Health, Reading
from smarty_gateway.sources.address import parse_address
from tests.support.commands import LIMIT
from vectors.building_blocks import belgium


class SlowOutput:
    """Has work for a while after the last reading."""

    is_over = False
    beat = None
    name = "slow"
    state = "ok"

    @property
    def failure(self) -> str | None:
        """Work well."""
        return None

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self.done: list[str] = []

    @property
    def is_busy(self) -> bool:
        """Be done when somebody has asked often enough."""
        self._looks -= 1
        if self._looks == 0:
            self.done.append("finished")
        return self._looks > 0

    def start(self) -> None:
        """Nothing needs to be opened."""

    def publish(self, reading: Reading) -> None:
        """Record it."""
        self.done.append(reading.meter)

    def forget(self, meter: str) -> None:
        """Hold nothing."""

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:
        """Ignore it."""

    def stop(self, seconds: float) -> None:
        """Record it."""
        assert seconds > 0
        self.done.append("stopped")


def gateway_of(recording: Path, output: SlowOutput) -> Gateway:
    config = Config((MeterConfig((parse_address(str(recording)),)),))
    return Gateway(config, KeysInForce(None), StateKeeper(config), [output])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Return a recording of one telegram."""
    path = tmp_path / "one.bin"
    path.write_bytes(belgium(1))
    return path


def test_the_end_of_a_recording_waits_until_a_slow_output_has_handed_everything_on(recording: Path) -> None:
    output = SlowOutput(4)
    assert gateway_of(recording, output).run() is ExitStatus.GOOD
    assert output.done == ["1SAG1100000001", "finished", "stopped"]


class PausingOutput(SlowOutput):
    """Lets a recording wait, as `less` does, until the supervisor has looked at it."""

    def __init__(self) -> None:
        super().__init__(1)
        self._looked_at = threading.Event()

    def publish(self, reading: Reading) -> None:
        """Wait."""
        assert self._looked_at.wait(LIMIT)
        super().publish(reading)

    def report(self, health: Mapping[str, Health], gateway: GatewayHealth) -> None:  # noqa: ARG002 - only that it came matters
        """Allow the reader to continue."""
        self._looked_at.set()


def test_a_recording_may_wait_for_its_reader_as_long_as_it_takes(
    recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smarty_gateway.gateway.gateway._HANGS_AFTER", -1.0)
    output = PausingOutput()
    assert gateway_of(recording, output).run() is ExitStatus.GOOD
    assert output.done[0] == "1SAG1100000001"


class FailingOutput(SlowOutput):
    """Fails while it hands on what the recording gave, and stays busy for ever."""

    def __init__(self) -> None:
        super().__init__(10**9)

    @property
    def failure(self) -> str | None:
        """Fail a little later."""
        return "the disk is full" if self._looks < 10**9 - 2 else None


def test_an_output_that_fails_behind_the_end_of_a_recording_is_said(
    recording: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert gateway_of(recording, FailingOutput()).run() is ExitStatus.REJECTED
    assert "the disk is full" in caplog.messages


def test_a_stop_does_not_wait_for_a_slow_output(recording: Path) -> None:
    output = SlowOutput(10**9)
    gateway = gateway_of(recording, output)
    gateway.stop()
    assert gateway.run() is ExitStatus.GOOD
    assert output.done[-1] == "stopped"
    assert "finished" not in output.done
