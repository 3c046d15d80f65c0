"""Connections that hang, are thrown out or never come: nothing is lost, and little is said."""

import json
import logging
import os
import select
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self

import pytest

from smarty_gateway.config.gateway_file import config_from_options
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import MqttConfig
from smarty_gateway.outputs import outbox
from smarty_gateway.outputs.mqtt import broker_output as module
from smarty_gateway.outputs.mqtt.broker_errors import ConnectionFailed, ConnectionLost
from smarty_gateway.outputs.mqtt.broker_status import BrokerStatus
from smarty_gateway.outputs.mqtt.connection import Connection
from smarty_gateway.outputs.mqtt.refused_messages import HangUp, Sent
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.outputs.wake import WakePipe
from tests.support.brokers import Broker, Subscriber, needs_mosquitto, retained
from tests.support.commands import LIMIT
from tests.support.mqtt_runs import configure, house, is_number, mqtt_output, reading_of, second_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium

HANGS = "hangs.test"


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Delay the answer of the name server for one name until the event is set."""
    answers = threading.Event()
    real = socket.getaddrinfo

    def slow(host: str, *arguments: Any, **options: Any) -> object:  # noqa: ANN401 - as in the original
        if host == HANGS:
            answers.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    yield answers
    answers.set()


def rows(folder: Path) -> list[int]:
    """Return the numbers of the telegrams in the state file."""
    with closing(sqlite3.connect(folder / "state/gateway.sqlite3", timeout=30)) as connection:
        return [
            second_of(payload)
            for (payload,) in connection.execute("SELECT payload FROM undelivered ORDER BY id")
        ]


# A connection that does not come


@pytest.mark.parametrize("durability", ["each", "batch"])
def test_while_the_name_server_hangs_telegrams_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name_server: threading.Event, durability: str
) -> None:
    monkeypatch.setattr(outbox, "PATIENCE", 0.5)
    more = f"telegrams: true, durability: {durability}"
    with mqtt_output(tmp_path, f"mqtt://{HANGS}", more=more) as output:
        for number in range(3):
            output.publish(reading_of(belgium(number)))
        wait_until(lambda: rows(tmp_path) == [0, 1, 2], "three rows")
        beat = output.beat
        assert beat is not None
        wait_until(lambda: output.beat != beat, "a sign of life")
        output.stop(1.0)
        assert not name_server.is_set()


def test_a_stop_writes_what_waits_whatever_the_name_server_does(
    tmp_path: Path, name_server: threading.Event
) -> None:
    with mqtt_output(tmp_path, f"mqtt://{HANGS}", more="telegrams: true") as output:
        for number in range(3):
            output.publish(reading_of(belgium(number)))
        begin = time.monotonic()
        output.stop(2.5)
        took = time.monotonic() - begin
        assert rows(tmp_path) == [0, 1, 2]
    assert took < 2.5
    assert not name_server.is_set()


def test_a_name_server_that_hangs_is_said_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name_server: threading.Event,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "ANSWER_WITHIN", 0.1)
    with mqtt_output(tmp_path, f"mqtt://{HANGS}") as output:
        wait_until(lambda: "does not answer" in caplog.text, "a line")
        assert not output.is_busy
        name_server.set()
        beat = output.beat
        wait_until(lambda: output.beat != beat, "a sign of life")
    assert caplog.text.count("the name server or the broker") == 1


@pytest.mark.parametrize("end", ["freeze", "kill"])
def test_a_stop_writes_what_the_broker_has_not_acknowledged(broker: Broker, tmp_path: Path, end: str) -> None:
    with (
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(tmp_path, broker.url, more="telegrams: true") as output,
    ):
        output.publish(reading_of(belgium(0)))
        listener.wait_for("smarty/house/telegram")
        getattr(broker, end)()
        output.publish(reading_of(belgium(1)))
        begin = time.monotonic()
        output.stop(2.5)
        took = time.monotonic() - begin
        assert rows(tmp_path)[-1:] == [1]
    assert took < 2.5


class Late:
    """Stands for a connection."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        """Record it."""
        self.is_closed = True


def test_a_connection_that_comes_behind_the_end_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_come, connection = threading.Event(), Late()

    def connect(*_: object) -> Late:
        may_come.wait()
        return connection

    monkeypatch.setattr(module, "Connection", connect)
    with mqtt_output(tmp_path, "mqtt://127.0.0.1:1") as output:
        output.stop(1)
        may_come.set()
        wait_until(lambda: connection.is_closed, "a closed connection")


def test_many_connections_leave_no_descriptor_behind(broker: Broker, tmp_path: Path) -> None:
    url = broker.url

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only how many

    before = count()
    for _ in range(3):
        with mqtt_output(tmp_path, url) as output:
            wait_until(lambda o=output: not o.is_busy, "an idle output")  # type: ignore[misc]
    wait_until(lambda: count() <= before, "as few descriptors as before")


def test_waking_after_the_end_writes_into_nothing_else() -> None:
    pipe = WakePipe()
    pipe.wake()
    pipe.wait(60)  # is over at once
    pipe.close()
    others = [os.pipe() for _ in range(3)]  # get the descriptors of the one before
    try:
        pipe.wake()
        assert select.select([read for read, _ in others], [], [], 0)[0] == []
    finally:
        for ends in others:
            for end in ends:
                os.close(end)


# The name of the broker


@pytest.mark.parametrize("host", ["broker..lan", ".lan", f"{'x' * 64}.lan"])
def test_what_can_be_no_host_is_refused_when_it_is_read_and_said_when_it_is_used(host: str) -> None:
    with pytest.raises(SettingError, match=r"mqtt://HOST.*between dots") as caught:
        config_from_options("-", mqtt=f"mqtt://{host}")
    assert host not in str(caught.value)
    with pytest.raises(ConnectionFailed, match="no host is known as"):
        Connection(MqttConfig(host), None, lambda *_: None, "test")


# Slow acknowledgements


class Deaf:
    """Stands for a connection whose broker takes everything and acknowledges nothing."""

    def __init__(self, config: MqttConfig, *arguments: object) -> None:
        self.config = config
        self._wake = arguments[-1]
        assert isinstance(self._wake, WakePipe)
        self.is_ready, self.is_proven = True, False
        self.max_packet_size, self.may_retain, self.max_qos = None, True, 1
        self.in_flight, self.window = 0, 120
        made.append(self)
        self.topics: list[str] = []

    def publish(self, topic: str, _payload: bytes, *, qos: int = 1, **_: object) -> None:
        """Record it."""
        self.in_flight += qos
        self.topics.append(topic)

    @property
    def telegrams(self) -> int:
        """Count them."""
        return sum(topic.endswith("/telegram") for topic in self.topics)

    def wait(self, seconds: float) -> None:
        """Sleep."""
        assert isinstance(self._wake, WakePipe)
        self._wake.wait(seconds)

    def close(self, *, politely: bool = False) -> None:
        """Do nothing."""


made: list[Deaf] = []


def test_telegrams_go_out_beside_the_states_of_many_meters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "Connection", Deaf)
    made.clear()
    names = [f"meter{number}" for number in range(40)]
    with mqtt_output(tmp_path, "mqtt://deaf.test", *names, more="telegrams: true") as output:
        wait_until(lambda: made and len(made[0].topics) > 40, "availabilities")
        for second in range(3):
            for name in names:
                output.publish(reading_of(belgium(second), name))
        wait_until(lambda: made[0].in_flight >= 100 and made[0].telegrams >= 20, "full windows")
        output.stop(1.0)
        assert made[0].telegrams == 20  # and no more, as none is acknowledged
    assert len(rows(tmp_path)) == 120


# What is said of a connection that does not last


def faults_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged, but for the first connection, which is no fault."""
    return [line for line in caplog.messages if not line.endswith("TLS")]


@pytest.fixture(autouse=True)
def information(caplog: pytest.LogCaptureFixture) -> None:
    """Record the end of a fault, too, which is no warning."""
    caplog.set_level(logging.INFO)


CONFIG = MqttConfig("broker.lan", client_id="me")


class Clock:
    """Runs a BrokerStatus through a day of connections."""

    def __init__(self) -> None:
        self.log = BrokerStatus(CONFIG)
        self.now = 0.0
        self.delays: list[float] = []

    def connection(self, lasts: float, end: ConnectionFailed, *, acknowledges: bool = True) -> None:
        """Simulate a connection of this many seconds."""
        self.log.note_begin(CONFIG, self.now)
        for second in (0.0, 1.0, 5.0, 11.0, 29.0, 31.0, 1000.0, lasts):
            if acknowledges and second <= lasts:
                self.log.note_proof(self.now + second)
        self.now += lasts
        self.failure(end)

    def failure(self, end: ConnectionFailed) -> None:
        """Simulate a failed attempt, and wait for the next."""
        self.log.note_end(end, self.now)
        self.delays.append(self.log.next_delay())
        self.now += self.delays[-1]


LOST = ConnectionLost("the connection broke")
FORBIDDEN = ConnectionFailed("the broker does not accept the message")
REFUSED = ConnectionFailed("no broker answers")


def test_a_normal_outage_is_said_when_it_begins_and_at_the_first_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    for _ in range(2):
        clock.connection(3600, LOST)
        for _ in range(20):
            clock.failure(REFUSED)
        assert clock.log.is_away
        clock.log.note_begin(CONFIG, clock.now)
        assert clock.log.is_away
        clock.log.note_proof(clock.now + 0.01)
        assert not clock.log.is_away
    said = faults_in(caplog)
    assert sum("connected to the broker" in line for line in said) == 2
    assert len(said) == 6  # lost, refused, connected
    assert max(clock.delays) > 11
    assert clock.delays[0] < 1.3  # soon, as the one before had lasted
    assert clock.delays[21] < 1.3


@pytest.mark.parametrize("acknowledges", [False, True])
def test_a_broker_that_lets_in_and_forbids_is_said_once_and_asked_ever_less(
    caplog: pytest.LogCaptureFixture, *, acknowledges: bool
) -> None:
    clock = Clock()
    for _ in range(100):
        clock.connection(0.1, FORBIDDEN, acknowledges=acknowledges)
    assert faults_in(caplog) == [f"{FORBIDDEN}; trying again until it works"]
    assert min(clock.delays[5:]) > 11


def test_two_clients_with_one_id_are_said_once_and_throw_each_other_out_ever_less(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    for _ in range(100):
        clock.connection(18.0, LOST)
    said = faults_in(caplog)
    assert len(said) <= 3, said
    assert sum("may use the same client id me" in line for line in said) == 1
    assert sum("connected to the broker" in line for line in said) == 1
    assert min(clock.delays[5:]) > 11
    clock.log.note_begin(CONFIG, clock.now)
    clock.log.note_proof(clock.now + 31)
    assert "connected to the broker" in caplog.records[-1].message
    assert clock.log.next_delay() < 1.3


@needs_mosquitto
def test_without_the_right_to_write_there_is_one_line_and_the_connection_lasts(tmp_path: Path) -> None:
    acl = "user me\ntopic read #\ntopic write smarty/status\n"
    with Broker(tmp_path, users={"me": "pass"}, acl=acl) as strict:
        (tmp_path / "password").write_text("pass", "utf-8")
        configure(
            tmp_path, strict, f"version: '5', password_file: {tmp_path}/password",
            f"mqtt://me@127.0.0.1:{strict.port}",
        )  # fmt: skip
        with house(tmp_path) as home:
            home.running.wait_for_log("allow me to write below smarty/")
            home.send(5)
            wait_until(lambda: "Denied PUBLISH" in strict.log() and "/state'" in strict.log(), "a state")
            home.send(5)
            assert home.running.says("does not accept the message") == 1
            assert strict.log().count("New client connected") == 1


@pytest.mark.slow
@pytest.mark.parametrize("version", ["3.1.1", pytest.param("5", marks=pytest.mark.slow)])
def test_two_gateways_with_one_client_id_say_so_once(broker: Broker, tmp_path: Path, version: str) -> None:
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
        configure(folder, broker, f"version: '{version}', client_id: twin")
    with house(folders[0]) as one, house(folders[1]) as other:
        wait_until(lambda: broker.log().count("already connected") >= 6, "six times thrown out")
        wait_until(lambda: one.running.says("client id twin") + other.running.says("client id twin"), "why")
        for home in (one, other):
            assert home.running.says("client id twin") <= 1
            assert home.running.says(f"connected to the broker 127.0.0.1:{broker.port} again") <= 2
            assert home.running.says("; trying again") <= 2


# The end


def test_at_the_end_the_newest_state_and_the_last_counts_go_out(broker: Broker, tmp_path: Path) -> None:
    with (
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(tmp_path, broker.url, more="interval: 3600") as output,
    ):
        for number in range(3):
            output.publish(reading_of(belgium(number)))
            listener.wait_for("smarty/house/state")
        listener.wait_for("smarty/house/health")
        output.report({"house": Health(telegrams=3)}, GatewayHealth(counters_kept=True, outputs={}))
        output.stop(10.0)
        listener.wait_for("smarty/house/state", is_number(2))
        assert len(listener.of("smarty/house/state")) == 2
    held = retained(broker, "smarty/#")
    assert json.loads(held["smarty/house/health"])["telegrams"] == 3
    assert held["smarty/house/availability"] == held["smarty/status"] == b"offline"


def test_a_state_that_must_wait_goes_out_at_its_time(broker: Broker, tmp_path: Path) -> None:
    late = []
    with (
        Subscriber(broker, "smarty/house/state") as listener,
        mqtt_output(tmp_path, broker.url, more="interval: 0.2") as output,
    ):
        for number in range(0, 14, 2):
            output.publish(reading_of(belgium(number)))
            (first,) = listener.wait_for("smarty/house/state", is_number(number))
            output.publish(reading_of(belgium(number + 1)))
            (second,) = listener.wait_for("smarty/house/state", is_number(number + 1))
            late.append(second.time - first.time)
    assert sorted(late)[1] < 0.6, late  # they were looked at every second


def test_an_old_name_is_offline_and_goes_when_the_new_one_was_heard(broker: Broker, tmp_path: Path) -> None:
    url = broker.url
    with Subscriber(broker) as listener:
        with mqtt_output(tmp_path, url, "old") as output:
            output.publish(reading_of(belgium(0), "old"))
            listener.wait_for("smarty/old/health")
        listener.wait_for_payload("smarty/status", b"offline")  # the last message of that run
        begin = len(listener.messages)
        with mqtt_output(tmp_path, url, "new") as output:
            listener.wait_for_payload("smarty/status", b"online")
            listener.wait_for_payload("smarty/new/availability", b"offline")
            assert listener.last("smarty/old/state")
            output.publish(reading_of(belgium(0), "new"))
            listener.wait_for_payload("smarty/old/health", b"")
            listener.wait_for("smarty/new/state")
    found = [m.payload for m in listener.messages[begin:] if m.topic.startswith("smarty/old/")]
    assert set(found) == {b"offline", b""}
    assert not [topic for topic in retained(broker) if topic.startswith("smarty/old/")]


@pytest.mark.slow
def test_a_name_that_is_only_spelled_otherwise_stays_online(broker: Broker, tmp_path: Path) -> None:
    url = broker.url
    with Subscriber(broker, "smarty/#") as listener:
        with mqtt_output(tmp_path, url, "my house", more="values: true") as output:
            output.publish(reading_of(belgium(0), "my house"))
            listener.wait_for("smarty/my_house/power_export")
        with mqtt_output(tmp_path, url, "my_house") as output:
            output.publish(reading_of(belgium(1), "my_house"))
            listener.wait_for("smarty/my_house/state", is_number(1))
            place = len(listener.of("smarty/my_house/availability"))
            broker.kill()
            broker.start()
            listener.wait_for_connection()
            listener.wait_for("smarty/my_house/availability", count=place + 1)
            wait_until(lambda: not output.is_busy, "an idle output")
            listener.wait_for_payload("smarty/my_house/availability", b"online")


def test_what_fails_in_the_thread_is_told_and_what_waits_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of the program")

    monkeypatch.setattr(module, "Connection", broken)
    with mqtt_output(tmp_path, "mqtt://broker.test", more="telegrams: true") as output:
        output.publish(reading_of(belgium(0)))
        wait_until(lambda: output.failure is not None, "a failure")
        output.stop(10.0)
        assert rows(tmp_path) == [0]
        assert "a fault of the program" in str(output.failure)
        output.failure = None


class _Allowing:
    """A broker of MQTT 5 that allows three messages in flight.

    It acknowledges none, or all that are in flight as soon as there are three or nothing more comes.
    """

    def __init__(self, listener: socket.socket, *, acknowledges: bool) -> None:
        self._listener, self._acknowledges = listener, acknowledges
        self._in_flight: list[bytes] = []
        self.most = 0
        self.topics: list[str] = []
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(LIMIT)

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        buffer = bytearray()
        with client, suppress(ConnectionError):
            client.recv(4096)
            client.sendall(bytes.fromhex("20 06 00 00 03 21 0003"))  # CONNACK, Receive Maximum 3
            client.settimeout(0.05)
            data: bytes | None = b" "
            while data != b"":
                try:
                    data = client.recv(65536)
                except TimeoutError:
                    data = None
                buffer += data or b""
                while (packet := self._take_packet(buffer)) is not None:
                    client.sendall(self._answer(*packet))
                if data is None and self._acknowledges:
                    client.sendall(self._acknowledge())

    @staticmethod
    def _take_packet(buffer: bytearray) -> tuple[int, bytes] | None:
        length = 0
        for position, byte in enumerate(buffer[1:5]):
            length |= (byte & 0x7F) << 7 * position
            if byte < 0x80:
                begin = position + 2
                break
        else:
            return None
        if len(buffer) < begin + length:
            return None
        packet = buffer[0], bytes(buffer[begin : begin + length])
        del buffer[: begin + length]
        return packet

    def _answer(self, first: int, body: bytes) -> bytes:
        if first == 0xC0:
            return b"\xd0\0"
        if first & 0xF6 != 0x32:
            return b""
        length = int.from_bytes(body[:2], "big")
        self.topics.append(body[2 : 2 + length].decode())
        self._in_flight.append(body[2 + length : 4 + length])
        self.most = max(self.most, len(self._in_flight))
        return self._acknowledge() if self._acknowledges and len(self._in_flight) == 3 else b""

    def _acknowledge(self) -> bytes:
        answers = b"".join(b"\x40\x02" + number for number in self._in_flight)
        self._in_flight.clear()
        return answers


@pytest.mark.parametrize("acknowledges", [False, True])
def test_no_more_than_a_broker_of_mqtt_5_allows_is_in_flight(tmp_path: Path, *, acknowledges: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"mqtt://127.0.0.1:{listener.getsockname()[1]}"
        more = "version: '5', interval: 0, telegrams: true"
        with (
            _Allowing(listener, acknowledges=acknowledges) as peer,
            mqtt_output(tmp_path, url, "house", "barn", more=more) as output,
        ):
            for number in range(10):
                output.publish(reading_of(belgium(number), "house"))
                output.publish(reading_of(belgium(number), "barn"))
            wait_until(lambda: peer.most == 3, "three messages in flight")
            if acknowledges:
                wait_until(lambda: sum(t.endswith("/telegram") for t in peer.topics) == 20, "all telegrams")
            output.stop(3.0)
    assert peer.most == 3


def test_of_many_messages_that_are_put_aside_20_an_hour_are_named(caplog: pytest.LogCaptureFixture) -> None:
    log = BrokerStatus(CONFIG)
    for number in range(100):
        log.note_put_aside(Sent(f"smarty/evil{number}/state", 9), "closes the connection after", number)
        log.note_too_large(Sent(f"smarty/evil{number}/telegram", 9), 8, number)
    assert len(caplog.records) == 20
    assert caplog.records[-1].message.endswith("Further ones are not named for an hour")
    log.note_put_aside(Sent("smarty/" + "x" * 500, 9), "closes the connection after", 3601)
    assert len(caplog.records) == 21
    assert len(caplog.records[-1].message) < 500


def test_while_it_is_searched_which_message_is_refused_no_line_blames_the_client_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = BrokerStatus(CONFIG)
    for number in range(10):
        log.note_begin(CONFIG, number)
        log.note_proof(number)
        log.note_end(LOST, number + 0.1, HangUp(Sent("smarty/evil/state", 9)) if number else None)
    said = faults_in(caplog)
    assert len(said) == 3, said  # lost, connected, one at a time
    assert "one at a time" in said[-1]
    log.note_begin(CONFIG, 20)
    log.note_proof(51)
    log.note_end(LOST, 60, HangUp(Sent("smarty/evil/state", 9), is_trial=True))
    assert len(faults_in(caplog)) == 4  # connected; what was expected is not said
