"""What was accepted is refused ever after: on another source, behind another bridge, after kill -9."""

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from smarty_gateway.simulator.ports import PtyPort
from tests.support.brokers import Broker
from tests.support.running import Running, wait_until
from vectors.building_blocks import HOUSE_KEY, belgium, frame, luxembourg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a key file."""
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"keys:\n  SAG1030700012345: {HOUSE_KEY.hex()}\n", "utf-8")
    keys.chmod(0o600)
    return tmp_path


@pytest.fixture
def ports(folder: Path) -> Iterator[list[PtyPort]]:
    """Return two ports."""
    found = [PtyPort(folder / name) for name in ("one", "two")]
    yield found
    for port in found:
        port.close()


def encrypted(number: int) -> bytes:
    return frame(luxembourg(number), counter=1000 + number)


def configure(folder: Path, *entries: str, mqtt: str = "") -> None:
    meters = "".join(f"  - {{{entry}}}\n" for entry in entries)
    outputs = "  stdout: {format: json}\n" + (f"  mqtt: {{{mqtt}}}\n" if mqtt else "")
    (folder / "gateway.yaml").write_text(f"meters:\n{meters}outputs:\n{outputs}", "utf-8")


def counters(running: Running) -> list[int]:
    return [reading["frame_counter"] for reading in running.readings]


def test_one_meter_behind_two_bridges_is_read_once_and_nothing_is_rejected(
    folder: Path, ports: list[PtyPort]
) -> None:
    configure(folder, f"name: house, source: ['{folder}/one', '{folder}/two']")
    with Running("run", folder=folder) as running:
        for port in ports:
            running.wait_for_port(port.name)
        for number in range(10):
            first, second = ports if number % 2 else reversed(ports)
            first.write(encrypted(number))
            running.wait_for_readings(number + 1)
            second.write(encrypted(number))
        ports[0].close()
        running.wait_for_log("pulled out")
        ports[1].write(encrypted(10))
        running.wait_for_readings(11)
        assert counters(running) == [1000 + number for number in range(11)]
        assert {reading["meter"] for reading in running.readings} == {"house"}
        assert running.stop() == 0
        assert not running.says("rejected")


def test_a_frame_of_one_source_is_a_replay_on_another_one_at_once(folder: Path, ports: list[PtyPort]) -> None:
    configure(folder, f"name: house, source: '{folder}/one'", f"name: barn, source: '{folder}/two'")
    with Running("run", folder=folder) as running:
        for port in ports:
            running.wait_for_port(port.name)
        for number in (1, 2):
            ports[0].write(encrypted(number))
            running.wait_for_readings(number)
        # Of the same title, with a counter that was never accepted as it stands here.
        ports[1].write(frame(luxembourg(3), counter=1001) + belgium(1))
        running.wait_for_log("rejected replay")
        running.wait_for_readings(3)
        assert {r["meter"]: r["security"] for r in running.readings} == {
            "house": "authenticated", "barn": "plaintext",
        }  # fmt: skip
        assert running.says("barn: rejected replay") == 1
        assert running.stop() == 0


def replayed_after_kill(folder: Path, port: PtyPort, seconds: float) -> bool:
    """Return whether a frame that was accepted before kill -9 is accepted again after it."""
    with Running("run", folder=folder) as running:
        running.wait_for_port(port.name)
        port.write(encrypted(1))
        running.wait_for_readings(1)
        threading.Event().wait(seconds)
        running.stop(signal.SIGKILL)
    with Running("run", folder=folder) as running:
        running.wait_for_port(port.name)
        port.write(encrypted(1))
        wait_until(lambda: running.lines or running.says("rejected replay"), "an answer")
        return bool(running.lines)


@pytest.mark.slow
def test_a_minute_after_the_first_frame_of_a_run_a_kill_opens_nothing_to_replays(
    folder: Path, ports: list[PtyPort]
) -> None:
    configure(folder, f"name: house, source: '{folder}/one'")
    assert not replayed_after_kill(folder, ports[0], 60)


def test_with_durability_each_a_kill_opens_nothing_to_replays(
    folder: Path, ports: list[PtyPort], tmp_path: Path
) -> None:
    with Broker(tmp_path) as broker:
        configure(
            folder,
            f"name: house, source: '{folder}/one'",
            mqtt=f"url: 'mqtt://127.0.0.1:{broker.port}', durability: each",
        )
        assert not replayed_after_kill(folder, ports[0], 0)
