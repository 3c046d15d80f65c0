"""Bad consumers of all outputs at once, beside good ones."""

import contextlib
import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from smarty_gateway.simulator.ports import PtyPort
from tests.support.brokers import Broker, Subscriber, free_port
from tests.support.commands import LIMIT
from tests.support.domoticz_server import DomoticzServer
from tests.support.influxdb import Reply, StubInflux
from tests.support.running import Running, wait_until

_TELEGRAMS = 400
_STALLED = 20


def connect(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.settimeout(LIMIT)
    return client


def is_dropped(client: socket.socket) -> bool:
    """True if the connection was closed by the other side; reads what was sent before."""
    client.settimeout(0.1)
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


@pytest.mark.slow
def test_every_telegram_reaches_the_good_consumers_while_all_others_stall_refuse_or_are_gone(
    broker: Broker, tmp_path: Path
) -> None:
    meter, begin, port = SimulatedMeter(MeterKind.BELGIUM, 1), datetime.now(UTC), free_port()
    sent = [meter.telegram(begin + timedelta(seconds=number)) for number in range(_TELEGRAMS)]
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(contextlib.closing(PtyPort()))
        influx, domoticz = stack.enter_context(StubInflux()), stack.enter_context(DomoticzServer(1, 2))
        answering = threading.Event()
        stack.callback(answering.set)
        influx.reply = Reply(wait=answering)
        domoticz.fault = lambda _: (500, b"Internal Server Error")
        (tmp_path / "gateway.yaml").write_text(
            f"meters: [{{name: house, source: {source.name}}}]\n"
            "outputs:\n"
            "  stdout: {format: json}\n"
            f"  mqtt: {{url: '{broker.url}', telegrams: true}}\n"
            f"  tcp: [{{listen: '127.0.0.1:{port}'}}]\n"
            f"  udp: [{{address: '127.0.0.1:{free_port()}'}}]\n"
            f"  influxdb: {{url: 'http://127.0.0.1:{influx.port}', database: smarty}}\n"
            f"  domoticz: {{url: '{domoticz.url}', interval: 1, devices: {{house: {{electricity: 1}}}}}}\n",
            "utf-8",
        )
        subscriber = stack.enter_context(Subscriber(broker, "smarty/house/telegram"))
        running = stack.enter_context(Running("run", folder=tmp_path))
        running.wait_for_port(source.name)
        running.wait_for_log("are served")
        stalled = [stack.enter_context(connect(port)) for _ in range(_STALLED)]
        reader = stack.enter_context(connect(port))
        received = b""
        for number, telegram in enumerate(sent, 1):
            source.write(telegram)
            running.wait_for_readings(number)
            while not received.endswith(telegram):
                received += reader.recv(65536)
        subscriber.wait_for("smarty/house/telegram", count=_TELEGRAMS)
        wait_until(lambda: influx.requests and domoticz.requests, "requests")
        assert influx.accepted == []
        assert received == b"".join(sent)
        assert all(is_dropped(client) for client in stalled)
        assert running.stop() == 0
    times = [reading["timestamp"] for reading in running.readings]
    assert times == [json.loads(message.payload)["timestamp"] for message in subscriber.messages]
    assert len(set(times)) == _TELEGRAMS
