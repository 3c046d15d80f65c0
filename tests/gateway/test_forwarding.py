"""An edge: what it cannot read itself is no fault, and what nobody can read still is."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from smarty_gateway.config.values import Config, MeterConfig
from smarty_gateway.gateway.forwarding import Forwarding
from smarty_gateway.gateway.key_reload import KeysInForce
from smarty_gateway.gateway.reader import SourceReader
from smarty_gateway.gateway.state_keeper import StateKeeper
from smarty_gateway.gateway.status_line import status_line
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.pages.snapshots import Availability
from smarty_gateway.protocol.frame_cutter import CutFrame, CutTelegram
from smarty_gateway.simulator.ports import PtyPort
from smarty_gateway.sources.address import parse_address
from smarty_gateway.sources.opening import source_for
from smarty_gateway.sources.source import SourceEnded
from smarty_gateway.web.live import Live
from tests.support.commands import LIMIT
from tests.support.running import wait_until
from vectors.building_blocks import belgium, frame, luxembourg


class Edge:
    """A reader without keys on a pseudo-terminal, and what it forwards."""

    def __init__(self, port: PtyPort, name: str | None) -> None:
        address = parse_address(port.name)
        meters = (MeterConfig((address,), name),)
        self.config = Config(meters)
        self.forwarded: list[CutFrame | CutTelegram] = []
        self.reader = SourceReader(
            address,
            meters,
            lambda line: source_for(address, line),
            KeysInForce(None),
            StateKeeper(self.config),
            lambda _: None,
            garbage_seconds=0.3,
            forward=self._forward,
        )

    def _forward(self, cut: CutFrame | CutTelegram, arrived: int, *, is_live: bool) -> None:
        assert is_live
        assert abs(arrived / 1000 - datetime.now(UTC).timestamp()) < LIMIT
        self.forwarded.append(cut)

    @property
    def health(self) -> tuple[dict[str, Health], dict[str, Health]]:
        """The health of meters, and of sources that stand for one."""
        found = {"barn": Health(is_connected=True)} if self.config.meters[0].name else {}
        unheard: dict[str, Health] = {}
        self.reader.add_health(found, unheard)
        return found, unheard


@pytest.fixture
def port(tmp_path: Path) -> Iterator[PtyPort]:
    port = PtyPort(tmp_path / "port")
    yield port
    port.close()


@pytest.fixture
def edge_on(port: PtyPort) -> Iterator[Callable[[str | None], Edge]]:
    """Return what starts an edge whose only entry has this name."""
    started: list[Edge] = []

    def start(name: str | None) -> Edge:
        edge = Edge(port, name)
        started.append(edge)
        edge.reader.start()
        wait_until(lambda: edge.reader.is_open, "the reader")  # opening discards what came before
        return edge

    yield start
    for edge in started:
        edge.reader.stop()
        edge.reader.thread.join(LIMIT)


@pytest.mark.parametrize("name", ["barn", None])
def test_a_frame_without_a_key_is_forwarded_and_a_sign_of_life(
    port: PtyPort, edge_on: Callable[[str | None], Edge], name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    edge = edge_on(name)
    data = frame(luxembourg(1))
    port.write(data)
    wait_until(lambda: any(h.telegrams for each in edge.health for h in each.values()), "the frame")
    assert [cut.data for cut in edge.forwarded] == [data]
    found, unheard = edge.health
    (health,) = (*found.values(), *unheard.values())
    assert health.rejected == {}
    assert health.last_telegram is not None
    assert "no key" not in caplog.text
    gateway = GatewayHealth(counters_kept=True, outputs={"forward": "ok"}, unheard=unheard)
    assert status_line(1, found, gateway) == "1 of 1 meters heard; forward ok"
    live = Live(edge.config, PublicNames(edge.config))
    live.report({name: Health() for name in found}, GatewayHealth(counters_kept=True, outputs={}))
    live.report(found, gateway)
    assert [meter.availability for meter in live.now().meters] == [Availability.ONLINE]


class Arrivals:
    """What `Forwarding` forwards to, which keeps the times of arrival."""

    def __init__(self) -> None:
        self.times: list[int] = []

    def __call__(self, cut: CutFrame | CutTelegram, arrived: int, *, is_live: bool) -> None:  # noqa: ARG002
        """Take a telegram."""
        self.times.append(arrived)


@pytest.mark.parametrize("is_live", [True, False])
def test_no_two_telegrams_arrive_in_the_same_millisecond(*, is_live: bool) -> None:
    arrivals = Arrivals()
    Forwarding(arrivals, is_live=is_live).receive_data(b"".join(map(belgium, range(50))), None)
    assert len(set(arrivals.times)) == 50
    assert arrivals.times == sorted(arrivals.times)


def test_arrivals_follow_a_clock_that_is_set_right(monkeypatch: pytest.MonkeyPatch) -> None:
    arrivals = Arrivals()
    forwarding = Forwarding(arrivals, is_live=True)
    for seconds in (9000, 8999, 5000):
        monkeypatch.setattr(time, "time", partial(int, seconds))
        forwarding.receive_data(belgium(1), None)
    assert arrivals.times == [9_000_000, 9_000_001, 5_000_000]


class SlowSource:
    """A source that brings a frame, and then nothing for longer than it was asked to wait."""

    def __init__(self, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        self._answers = iter([data, b""])
        self._late = 0.0
        clock = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: clock() + self._late)

    def open(self) -> None:
        """Do nothing."""

    def read(self, seconds: float = 1.0) -> bytes:  # noqa: ARG002 - as any source has it
        """Return the frame, then nothing, three seconds later."""
        answer = next(self._answers, None)
        if answer is None:
            raise SourceEnded
        if not answer:
            self._late = 3.0
        return answer

    def close(self) -> None:
        """Do nothing."""

    def interrupt(self) -> None:
        """Do nothing."""


def test_a_frame_whose_last_byte_was_held_back_is_forwarded_by_a_machine_that_stood_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = next(data for n in range(5000) if (data := frame(luxembourg(1), counter=n)).endswith(b"\xaf"))
    source = SlowSource(data, monkeypatch)
    forwarded: list[bytes] = []

    def forward(cut: CutFrame | CutTelegram, arrived: int, *, is_live: bool) -> None:  # noqa: ARG001
        forwarded.append(cut.data)

    meters = (MeterConfig((parse_address("tcp://127.0.0.1:9"),)),)
    reader = SourceReader(
        meters[0].sources[0],
        meters,
        lambda _: source,
        KeysInForce(None),
        StateKeeper(Config(meters)),
        lambda _: None,
        forward=forward,
    )
    reader.start()
    reader.thread.join(LIMIT)
    assert forwarded == [data]


def test_garbage_is_still_a_fault(
    port: PtyPort, edge_on: Callable[[str | None], Edge], caplog: pytest.LogCaptureFixture
) -> None:
    edge = edge_on("barn")

    def says() -> bool:
        port.write(b"\x00\xff" * 200)
        return "only garbage comes from" in caplog.text

    wait_until(says, "a line")
    assert edge.forwarded == []
