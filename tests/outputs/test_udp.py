"""Datagrams for Loxone and others: real sockets, real refusals, names that cannot be resolved."""

import json
import logging
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs.output import Reading
from smarty_gateway.outputs.plain_values import plain, value_at
from smarty_gateway.outputs.udp.output import UdpOutput
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from tests.support.every_meter import EVERY_KIND
from tests.support.running import wait_until
from tests.support.streams import read, telegrams
from vectors.building_blocks import belgium

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
METERS = "meters: [{name: house, source: /dev/a}, {name: barn, source: /dev/b}]\n"


def belgian(second: int = 0) -> MeterTelegram:
    return telegrams(read(belgium(second)))[0]


def reading(meter: str = "house", second: int = 0) -> Reading:
    return Reading(meter, belgian(second), NOW)


class Receiver:
    """A program that waits for datagrams on this machine."""

    def __init__(self, family: int = socket.AF_INET, port: int = 0) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        try:
            self.socket.bind((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.settimeout(20)
        self.port: int = self.socket.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}" if family == socket.AF_INET else f"[::1]:{self.port}"

    def next(self) -> bytes:
        """Wait for the next datagram."""
        return self.socket.recv(65_536)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@contextmanager
def output(folder: Path, *entries: Mapping[str, Any]) -> Iterator[UdpOutput]:
    path = folder / "gateway.yaml"
    path.write_text(f"{METERS}outputs: {json.dumps({'udp': entries})}\n")
    udp = UdpOutput(load_config(path))
    udp.start()
    try:
        yield udp
    finally:
        udp.stop(5)
        assert udp.failure is None


def closed_port() -> int:
    with Receiver() as receiver:
        port: int = receiver.port
    return port


def test_a_datagram_is_the_json_object_with_the_time_of_its_arrival(tmp_path: Path) -> None:
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address}) as udp:
        udp.publish(reading())
        assert receiver.next() == reading().json
        assert reading().record["received"] == "2026-11-22T09:30:00.000+00:00"


def test_a_datagram_is_the_telegram_as_the_meter_wrote_it(tmp_path: Path) -> None:
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address, "format": "telegram"}) as udp:
        udp.publish(reading())
        assert receiver.next() == reading().telegram.raw


def test_chosen_values_are_lines_and_those_that_the_telegram_lacks_are_left_out(tmp_path: Path) -> None:
    fields = ["power_import", "heat", "gas", "gas.unit", "peak_demand_month.timestamp", "tariff"]
    entry = {"meter": "house", "fields": fields}
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address, **entry}) as udp:
        udp.publish(reading())
        sent = receiver.next().decode()
    record = reading().record
    assert sent.splitlines() == [
        f"power_import={record['power_import']}",
        f"gas={record['gas']['value']}",
        "gas.unit=m³",
        f"peak_demand_month.timestamp={record['peak_demand_month']['timestamp']}",
        f"tariff={record['tariff']}",
    ]
    assert sent.endswith("\n")


def test_values_of_any_meter_begin_with_its_name(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        output(tmp_path, {"address": receiver.address, "fields": ["energy_import_tariff_1"]}) as udp,
    ):
        for meter in ("house", "barn"):
            udp.publish(reading(meter))
            assert re.fullmatch(rf"meter={meter}\nenergy_import_tariff_1=[\d.]+\n", receiver.next().decode())


def test_a_receiver_gets_the_meter_it_asked_for_and_no_other(tmp_path: Path) -> None:
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address, "meter": "barn"}) as udp:
        for meter in ("house", "barn", "house", "barn"):
            udp.publish(reading(meter))
        assert [json.loads(receiver.next())["meter"] for _ in range(2)] == ["barn", "barn"]


def test_a_telegram_without_any_of_the_values_is_not_sent(tmp_path: Path) -> None:
    with (
        Receiver() as receiver,
        output(
            tmp_path,
            {"address": receiver.address, "fields": ["heat"]},
            {"address": receiver.address, "fields": ["gas"]},
        ) as udp,
    ):
        udp.publish(reading())
        assert b"gas=" in receiver.next()


def test_a_closed_port_is_said_once_and_gets_telegrams_as_soon_as_it_is_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port = closed_port()
    with (
        Receiver() as other,
        output(tmp_path, {"address": f"127.0.0.1:{port}"}, {"address": other.address}) as udp,
    ):
        for second in range(5):
            udp.publish(reading(second=second))
            other.next()
        assert udp.state == "offline"
        assert len(caplog.records) == 1
        assert f"nobody listens on the udp port of 127.0.0.1:{port}; each telegram is sent" in caplog.text
        with Receiver(port=port) as receiver:
            udp.publish(reading())
            assert json.loads(receiver.next())["meter"] == "house"


def test_a_refusal_that_comes_only_after_the_datagram_was_sent_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine a refusal is there at once, if one looks; over a network it comes later."""
    monkeypatch.setattr("smarty_gateway.outputs.udp.output._error_of", lambda _: 0)
    with output(tmp_path, {"address": f"127.0.0.1:{closed_port()}"}) as udp:
        udp.publish(reading())
        wait_until(lambda: not udp.is_busy, "the first datagram")
        assert udp.state == "ok"
        udp.publish(reading(second=1))
        wait_until(lambda: udp.state == "offline", "the refusal of the first")


def test_a_name_with_two_addresses_leads_to_the_one_that_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = closed_port()
    with Receiver() as receiver:
        found = [(socket.AF_INET, 0, 0, "", ("127.0.0.1", port)) for port in (closed, receiver.port)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        with output(tmp_path, {"address": "loxone:7000"}) as udp:
            udp.publish(reading())
            assert json.loads(receiver.next())["meter"] == "house"
            assert udp.state == "ok"


def test_after_an_address_without_a_route_the_others_of_the_name_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver:
        no_route = (socket.AF_INET6, 0, 0, "", ("fe80::1", 7000, 0, 1))  # on the loopback interface
        found = [no_route, (socket.AF_INET, 0, 0, "", ("127.0.0.1", receiver.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr("smarty_gateway.outputs.attempts.DELAYS", (0.0,))
        with output(tmp_path, {"address": "loxone:7000"}) as udp:
            udp.publish(reading())
            udp.publish(reading(second=1))
            assert json.loads(receiver.next())["meter"] == "house"
            wait_until(lambda: udp.state == "ok", "its state")


def test_a_receiver_may_have_an_ipv6_address(tmp_path: Path) -> None:
    try:
        receiver = Receiver(socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 here")
    with receiver, output(tmp_path, {"address": receiver.address}) as udp:
        udp.publish(reading())
        assert json.loads(receiver.next())["meter"] == "house"


def test_a_broadcast_address_is_allowed(tmp_path: Path) -> None:
    with Receiver() as receiver:
        receiver.socket.close()
        receiver.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.socket.bind(("", receiver.port))
        receiver.socket.settimeout(20)
        with output(tmp_path, {"address": f"127.255.255.255:{receiver.port}"}) as udp:
            udp.publish(reading())
            assert json.loads(receiver.next())["meter"] == "house"


def test_a_slow_name_server_delays_no_other_receiver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answers, look_up = threading.Event(), socket.getaddrinfo

    def slow(host: str, port: int, **options: Any) -> Any:  # noqa: ANN401 - as in the library
        if host == "loxone.invalid":
            if options.get("flags"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            assert answers.wait(20)
            host = "127.0.0.1"
        return look_up(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr("smarty_gateway.outputs.udp.output._FIRST_LOOK_UP", 0.1)
    with (
        Receiver() as late,
        Receiver() as receiver,
        output(tmp_path, {"address": f"loxone.invalid:{late.port}"}, {"address": receiver.address}) as udp,
    ):
        for second in range(3):
            udp.publish(reading(second=second))
            receiver.next()
        assert udp.state == "offline"
        assert "cannot send to loxone.invalid" in caplog.text
        assert "the name server does not answer" in caplog.text
        answers.set()
        late.socket.settimeout(0.05)
        wait_until(lambda: _is_served(udp, late), "the receiver whose name is known now")
        wait_until(lambda: udp.state == "ok", "its state")
        assert re.search(
            r"the udp output reaches loxone\.invalid:\d+ again; dropped readings: \d+", caplog.text
        )


def _is_served(udp: UdpOutput, receiver: Receiver) -> bool:
    udp.publish(reading())
    try:
        return bool(receiver.next())
    except TimeoutError:
        return False


def test_a_name_that_does_not_exist_hinders_nobody_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Receiver() as receiver,
        output(tmp_path, {"address": "does-not-exist.invalid:7000"}, {"address": receiver.address}) as udp,
    ):
        for second in range(5):
            udp.publish(reading(second=second))
            receiver.next()
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "its name cannot be resolved" in caplog.text


def test_without_a_route_one_receiver_is_away_and_the_others_are_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    try:
        socket.getaddrinfo("fe80::1%lo", 7000)
        Receiver(socket.AF_INET6).socket.close()
    except OSError:
        pytest.skip("no IPv6 here")
    away = {"address": "[fe80::1%lo]:7000"}
    with Receiver() as receiver, output(tmp_path, away, {"address": receiver.address}) as udp:
        for second in range(5):
            udp.publish(reading(second=second))
            receiver.next()
        assert udp.state == "offline"
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert "the udp output cannot send to [fe80::1%lo]:7000: Network is unreachable" in caplog.text


def test_a_reading_that_no_datagram_holds_is_dropped_with_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    large = reading()
    large.__dict__["json"] = b"x" * 65_508  # the cached text
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address}) as udp:
        for _ in range(3):
            udp.publish(large)
        udp.publish(reading())
        assert json.loads(receiver.next())["meter"] == "house"
        assert len(caplog.records) == 1
        assert f"a reading of 65508 bytes for {receiver.address} does not fit into a datagram" in caplog.text
        assert udp.state == "ok"


def test_a_receiver_that_answers_without_end_costs_nothing(tmp_path: Path) -> None:
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address}) as udp:
        udp.publish(reading())
        _, sender = receiver.socket.recvfrom(65_536)
        for _ in range(1000):
            receiver.socket.sendto(b"x" * 1000, sender)
        udp.publish(reading(second=1))
        assert json.loads(receiver.next())["meter"] == "house"
        assert udp.state == "ok"


def test_text_of_a_meter_cannot_begin_a_line(tmp_path: Path) -> None:
    name = "evil\npower_import=99"
    with Receiver() as receiver, output(tmp_path, {"address": receiver.address, "fields": ["gas"]}) as udp:
        udp.publish(reading(name))
        assert receiver.next().decode().splitlines()[0] == "meter=evil\\npower_import=99"


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_a_plain_decimal_of_the_same_value(value: float) -> None:
    text = plain(value)
    assert re.fullmatch(r"-?\d+(\.\d+)?", text)
    assert type(value)(text) == value


@given(st.text(max_size=20))
def test_a_text_stays_on_its_line(text: str) -> None:
    shown = plain(text)
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert shown == text or not text.isprintable()


@pytest.mark.parametrize("kind", sorted(EVERY_KIND))
def test_every_single_value_of_every_meter_can_be_chosen(kind: str) -> None:
    record = EVERY_KIND[kind].as_object("house")
    for name, value in record.items():
        if isinstance(value, str | int | float):
            assert value_at(record, name) == value
        elif isinstance(value, Mapping) and "value" in value:
            assert value_at(record, name) == value_at(record, f"{name}.value") == value["value"]
        else:
            assert value_at(record, name) is None
