"""A hostile source beside a healthy encrypted meter: it costs its own readings and nothing else.

Each attack was seen to work once. The healthy meter sends every half second; every reading must be at the
broker within two seconds, with a bounded memory and log, and afterwards all is as if nothing had been.
"""

import itertools
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.simulator.ports import TcpPort
from tests.support.brokers import WITH_MOSQUITTO, Broker, Subscriber, retained
from tests.support.running import Running, wait_until
from vectors.building_blocks import HOUSE_KEY, frame, hex_text, luxembourg, telegram

pytestmark = [pytest.mark.slow, WITH_MOSQUITTO]

SERIAL: Final = "SAG1030700012345"
_READINGS: Final = 16
_PERIOD: Final = 0.5
_LATE_SECONDS: Final = 2.0
_MEGABYTES: Final = 75
_LINES: Final = 200


class Flooder(threading.Thread):
    """A TCP server that sends the same pieces over and over, as fast as its client reads them."""

    def __init__(self, pieces: list[bytes], *, pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self._pieces = pieces
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self.port = int(self._listener.getsockname()[1])
        self.sent = 0

    def run(self) -> None:
        """Serve one client after the other."""
        while not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            client.settimeout(0.5)
            self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        with client:
            for piece in itertools.cycle(self._pieces):
                left = memoryview(piece)
                while left:
                    if self._stopping.is_set():
                        return
                    try:
                        number = client.send(left)
                    except TimeoutError:
                        continue  # the gateway reads it slowly, as it should
                    except OSError:
                        return
                    left = left[number:]
                    self.sent += number
                if self._pause:
                    self._stopping.wait(self._pause)

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        self._listener.close()


def plaintext(*lines: str) -> bytes:
    return telegram("FLU5\\253769484_A", *lines, "1-0:1.8.0(999999.000*kWh)", "1-0:1.7.0(99.000*kW)")


def odd_ids() -> list[bytes]:
    """Identities with everything that no topic may hold."""
    odd = [f"A{chr(code)}B" for code in (*range(1, 10), 0x0B, 0x1B, 0x7F, *range(0x80, 0xA0))]
    odd += ["a/#", "+", "$SYS", "x" * 96]
    return [
        plaintext(f"0-0:96.1.1({identity})", f"0-1:24.1.0(003)\r\n0-1:96.1.1({identity})") for identity in odd
    ]


def replays() -> list[bytes]:
    """What the house sent earlier, and what it will have sent before."""
    return [frame(luxembourg(number), counter=number) for number in range(50)]


def forgeries() -> list[bytes]:
    """Plaintext in the name of the house, in each way to write an identity."""
    return [
        plaintext(f"0-0:42.0.0({hex_text(SERIAL)})"),
        plaintext(f"0-0:96.1.1({hex_text(SERIAL)})"),
        plaintext(f"0-0:96.1.1({SERIAL})"),
        plaintext(f"0-0:96.1.0({hex_text(SERIAL)})"),
        telegram(SERIAL, "1-0:1.8.0(999999.000*kWh)"),
    ]


def names_of_others() -> list[bytes]:
    return [
        plaintext(f"0-0:96.1.1({name})") for name in ("my_house", "MY_HOUSE", "my/house", "status", "health")
    ]


def invented_ids() -> list[bytes]:
    return [
        b"".join(plaintext(f"0-0:96.1.1(M{n})") for n in range(start, start + 100))
        for start in range(0, 6000, 100)
    ]


def large_messages() -> list[bytes]:
    """States that are larger than the broker takes."""
    return [plaintext("0-0:96.1.1(BIG)", f"0-0:96.13.0({'41' * size})") for size in range(5000, 5400, 7)]


ATTACKS: Final[dict[str, Callable[[], list[bytes]]]] = {
    "S1 odd ids": odd_ids,
    "S2 replays": replays,
    "S3 forgeries": forgeries,
    "S4 names of others": names_of_others,
    "S5 invented ids": invented_ids,
    "S6 large messages": large_messages,
}


def peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker that takes no packets of more than 8 kB."""
    with Broker(tmp_path, options=("max_packet_size 8192",)) as found:
        yield found


class Street:
    """A folder with a gateway for the house and an attacker."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder, self.broker = folder, broker
        self.house = TcpPort("127.0.0.1", 0)
        self.counter = 1000
        keys = folder / "keys.yaml"
        keys.write_text(f"keys:\n  {SERIAL}: {HOUSE_KEY.hex()}\n", "utf-8")
        keys.chmod(0o600)

    def configure(self, other: str = "") -> None:
        """Write gateway.yaml, with another entry or without."""
        (self.folder / "gateway.yaml").write_text(
            f"meters:\n  - {{name: my house, source: '{self.house.name}'}}\n{other}"
            f"outputs:\n  mqtt: {{url: 'mqtt://127.0.0.1:{self.broker.port}', interval: 0}}\n",
            "utf-8",
        )

    def wait_until_read(self, running: Running) -> None:
        """Wait until this gateway reads the house; the connection of another may still be listed."""
        running.wait_for_log(f"{self.house.name} is open")
        wait_until(lambda: _is_read(self.house), "the house is read")

    def speak(self, running: Running, listener: Subscriber, times: int) -> float:
        """Send telegrams of the house, and return how late a state as new as each frame was at most.

        While there is no connection, a newer state takes the place of an older one.
        """
        sent: dict[int, float] = {}
        for _ in range(times):
            self.counter += 1
            sent[self.counter] = time.monotonic()
            self.house.write(frame(luxembourg(self.counter % 600), counter=self.counter))
            threading.Event().wait(_PERIOD)
        last = self.counter
        wait_until(lambda: last in arrivals(listener), f"state {last}; log: {running.log[-5:]}", 30.0)
        found = arrivals(listener)
        return max(
            min(at for there, at in found.items() if there >= counter) - moment
            for counter, moment in sent.items()
        )


def arrivals(listener: Subscriber) -> dict[int, float]:
    """Return when which frame of the house was first at the broker."""
    found: dict[int, float] = {}
    for message in listener.of("smarty/my_house/state"):
        state = message.json
        assert state["security"] == "authenticated"
        assert state["energy_import"] != 999999.0
        found.setdefault(state["frame_counter"], message.time)
    return found


@pytest.mark.parametrize("is_first", [False, True], ids=["the house first", "the attacker first"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attacker_on_one_source_costs_a_healthy_meter_nothing(
    tmp_path: Path, broker: Broker, attack: str, *, is_first: bool
) -> None:
    street = Street(tmp_path, broker)
    flooder = Flooder(ATTACKS[attack](), pause=0.02 if attack.startswith(("S1", "S6")) else 0.0)
    street.configure(f"  - {{source: 'tcp://127.0.0.1:{flooder.port}'}}\n")
    try:
        with (
            Subscriber(broker, "smarty/#", "homeassistant/#") as listener,
            Running("run", folder=tmp_path) as running,
        ):
            street.wait_until_read(running)
            if not is_first:
                street.speak(running, listener, 2)
            flooder.start()
            wait_until(lambda: flooder.sent > 1000, "the attack has begun")
            late = street.speak(running, listener, _READINGS)
            assert late < _LATE_SECONDS
            assert peak_megabytes(running.pid) < _MEGABYTES
            assert running.is_alive
            flooder.stop()
            assert running.stop() == 0
            assert len(running.log) <= _LINES, running.log[:50]
            assert all(line.isprintable() for line in running.log)
        street.configure()
        with Subscriber(broker, "smarty/#") as listener, Running("run", folder=tmp_path) as running:
            street.wait_until_read(running)
            assert street.speak(running, listener, 3) < _LATE_SECONDS
            assert running.stop() == 0
            assert not running.says("rejected")
        held = retained(broker, "smarty/#", "homeassistant/#")
        assert held["smarty/my_house/availability"] == b"offline"
        assert all(topic.isprintable() for topic in held)
    finally:
        flooder.stop()
        street.house.close()


def _is_read(port: TcpPort) -> bool:
    port.write(b"\x00")
    return bool(port._clients)
