"""Any number of programs read the telegrams of a meter over TCP, and none of them can disturb another."""

import logging
import os
import resource
import socket
import struct
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from smarty_gateway.config.consumers import TcpConfig
from smarty_gateway.config.values import Outputs
from smarty_gateway.outputs.telegrams import tcp
from smarty_gateway.outputs.telegrams.tcp import TcpOutput
from tests.support.brokers import free_port, has_ipv6
from tests.support.commands import LIMIT
from tests.support.running import wait_until
from tests.support.served_telegrams import numbers_in, raw_of, reading_of, serving
from tests.support.views import config_of


def output_of(*entries: TcpConfig, meters: tuple[str, ...] = ("house",)) -> TcpOutput:
    return TcpOutput(replace(config_of(*meters), outputs=Outputs(tcp=entries)))


@pytest.fixture
def port() -> int:
    """Return a free port."""
    return free_port()


@pytest.fixture
def served(port: int) -> Iterator[TcpOutput]:
    """Serve the telegrams of `house`."""
    output = output_of(TcpConfig(port=port, host="127.0.0.1", meter="house"))
    with serving(output):
        yield output


def is_accepted(client: socket.socket) -> bool:
    """True if the other side has accepted a connection: before that, it belongs to nobody."""
    ends = f":{client.getpeername()[1]:04X} ", f":{client.getsockname()[1]:04X} "
    rows = [row for table in ("tcp", "tcp6") for row in Path("/proc/net", table).read_text().splitlines()]
    return any(
        ends[0] in row and ends[1] in row.partition(ends[0])[2] and row.split()[9] != "0" for row in rows
    )


@contextmanager
def client_of(port: int, receive_buffer: int | None = None) -> Iterator[socket.socket]:
    """Connect, and wait until the output serves the connection."""
    with socket.socket() as client:
        client.settimeout(LIMIT)
        if receive_buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.connect(("127.0.0.1", port))
        wait_until(lambda: is_accepted(client), "an accepted connection")
        yield client


def received(client: socket.socket, size: int) -> bytes:
    """Return this many bytes, or fewer at the end of the connection."""
    data = bytearray()
    while len(data) < size and (chunk := client.recv(size - len(data))):
        data += chunk
    return bytes(data)


def test_a_client_gets_telegrams_byte_for_byte_from_the_next_one_on(port: int, served: TcpOutput) -> None:
    with client_of(port) as first:
        served.publish(reading_of(1))
        assert received(first, 1000) == raw_of(1)
        with client_of(port) as second:
            served.publish(reading_of(2))
            assert received(first, 1000) == received(second, 1000) == raw_of(2)


def test_each_port_serves_its_own_meter() -> None:
    ports = {"house": free_port(), "barn": free_port()}
    entries = [TcpConfig(port=port, host="127.0.0.1", meter=meter) for meter, port in ports.items()]
    output = output_of(*entries, meters=("house", "barn"))
    with serving(output), client_of(ports["house"]) as house, client_of(ports["barn"]) as barn:
        for number, meter in enumerate(("barn", "stranger", "house", "barn")):
            output.publish(reading_of(number, meter=meter, is_configured=meter != "stranger"))
        assert numbers_in(received(house, 1000)) == [2]
        assert numbers_in(received(barn, 2000)) == [0, 3]


def test_without_a_name_a_port_serves_the_only_meter_and_no_other_that_its_line_brings(port: int) -> None:
    output = output_of(TcpConfig(port=port, host="127.0.0.1"))
    with serving(output), client_of(port) as client:
        output.publish(reading_of(1, meter="SAG123", is_configured=False))
        output.publish(reading_of(2))
        assert numbers_in(received(client, 1000)) == [2]


def test_a_client_that_has_closed_its_own_side_still_gets_telegrams(port: int, served: TcpOutput) -> None:
    with client_of(port) as client, client_of(port) as other:
        client.shutdown(socket.SHUT_WR)
        for number in (1, 2):
            served.publish(reading_of(number))
            assert received(client, 1000) == received(other, 1000) == raw_of(number)


def test_a_client_that_stops_reading_is_dropped_with_one_line_and_the_others_get_everything(
    port: int, served: TcpOutput, caplog: pytest.LogCaptureFixture
) -> None:
    count = 500  # 256 kB, what the kernel holds, and less than as much again
    with ExitStack() as stack:
        stalled = [stack.enter_context(client_of(port, receive_buffer=4096)) for _ in range(3)]
        reads = stack.enter_context(client_of(port))
        for number in range(count):
            served.publish(reading_of(number))
            assert received(reads, 1000) == raw_of(number)
        for client in stalled:
            with pytest.raises(ConnectionResetError):
                received(client, count * 1000)
    assert caplog.text.count("a client at 127.0.0.1 was 256 kB behind and was dropped") == 1
    assert served.state == "ok"


def test_clients_that_do_not_read_share_the_telegrams_that_wait(port: int, served: TcpOutput) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(client_of(port, receive_buffer=4096)) for _ in range(20)]
        reads = stack.enter_context(client_of(port))
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        for number in range(30):
            served.publish(reading_of(number, 10_000))
            received(reads, 10_000)
        used, _ = tracemalloc.get_traced_memory()
        assert used < 1_000_000
        for client in stalled:
            assert numbers_in(received(client, 300_000), 10_000) == list(range(30))


def test_a_client_that_floods_the_port_delays_no_telegram(port: int, served: TcpOutput) -> None:
    def flood(client: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client.sendall(bytes(100_000))

    with client_of(port) as rude, client_of(port) as polite:
        thread = threading.Thread(target=flood, args=(rude,))
        thread.start()
        for number in range(20):
            served.publish(reading_of(number))
            started = time.monotonic()
            assert received(polite, 1000) == raw_of(number)
            assert time.monotonic() - started < LIMIT / 10
        assert numbers_in(received(rude, 20_000)) == list(range(20))
        rude.shutdown(socket.SHUT_RDWR)
        thread.join(LIMIT)


def test_a_client_that_resets_its_connection_harms_nobody(port: int, served: TcpOutput) -> None:
    with client_of(port) as stays:
        for number in range(5):
            with client_of(port) as leaves:
                leaves.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            served.publish(reading_of(number))
            assert received(stays, 1000) == raw_of(number)


def test_at_the_end_clients_get_what_was_read_and_a_clean_end(port: int) -> None:
    output = output_of(TcpConfig(port=port, host="127.0.0.1"))
    with client_after_start(output, port) as client:
        for number in range(200):
            output.publish(reading_of(number))
        threading.Thread(target=output.stop, args=(LIMIT,)).start()
        assert numbers_in(received(client, 1_000_000)) == list(range(200))


def test_a_client_that_does_not_read_holds_up_the_end_for_a_second_only(port: int) -> None:
    output = output_of(TcpConfig(port=port, host="127.0.0.1"))
    with client_after_start(output, port):
        for number in range(20):
            output.publish(reading_of(number, 10_000))
        wait_until(lambda: not output.is_busy, "a client that is behind")
        started = time.monotonic()
        output.stop(LIMIT)
        assert time.monotonic() - started < LIMIT / 2


@contextmanager
def client_after_start(output: TcpOutput, port: int) -> Iterator[socket.socket]:
    output.start()
    with client_of(port, receive_buffer=4096) as client:
        yield client


def test_a_port_that_is_taken_is_tried_until_it_is_free_and_the_others_work_meanwhile(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    free = free_port()
    output = output_of(*(TcpConfig(port=each, host="127.0.0.1") for each in (port, free)))
    with socket.create_server(("127.0.0.1", port)) as taken, serving(output):
        with client_of(free) as client:
            output.publish(reading_of(1))
            assert received(client, 1000) == raw_of(1)
        assert output.state == "offline"
        taken.close()
        wait_until(lambda: output.state == "ok", "a free port")
        with client_of(port) as client:
            output.publish(reading_of(2))
            assert received(client, 1000) == raw_of(2)
    lines = [record.getMessage() for record in caplog.records if str(port) in record.getMessage()]
    assert "\n".join(lines) == (
        f"127.0.0.1:{port}: telegrams cannot be served here: another program uses this port; stop that, or "
        "write another port behind `listen`; trying again until it works\n"
        f"telegrams of house are served at 127.0.0.1:{port}"
    )


def test_an_address_that_the_machine_does_not_have_is_named(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    output = output_of(TcpConfig(port=port, host="192.0.2.1"))
    with serving(output):
        assert output.state == "offline"
    assert "this machine does not have this address" in caplog.text


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        pytest.param("::1", "[::1]", marks=pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")),
    ],
)
def test_the_ports_are_open_before_the_first_telegram_and_a_line_says_where(
    port: int, host: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    output = output_of(TcpConfig(port=port, host=host, meter="house"))
    output.start()
    with socket.create_connection((host, port)):
        assert caplog.messages == [f"telegrams of house are served at {shown}:{port}"]
    output.stop(2.0)


def test_that_a_client_has_closed_its_own_side_is_read_once_and_not_in_a_loop(
    port: int, served: TcpOutput, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, discard = Counter[object](), tcp._Client._discard
    monkeypatch.setattr(tcp._Client, "_discard", lambda client: (reads.update("1"), discard(client)))
    with client_of(port) as client:
        client.shutdown(socket.SHUT_WR)
        wait_until(lambda: reads, "the end")
        for number in range(3):
            served.publish(reading_of(number))
            assert received(client, 1000) == raw_of(number)
    assert reads.total() == 1


def test_one_client_too_many_is_refused_until_another_has_left(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tcp, "_CLIENTS_MAX", 2)
    output = output_of(TcpConfig(port=port, host="127.0.0.1"))
    with serving(output), client_of(port) as first, client_of(port) as second, ExitStack() as stack:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", port)) as refused:
                assert received(refused, 1) == b""
        second.shutdown(socket.SHUT_WR)  # it may be gone, so it makes room

        def third() -> socket.socket | None:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.settimeout(0.2)
            try:
                return None if client.recv(1) == b"" else client
            except TimeoutError:
                return client

        accepted = next(client for _ in range(100) if (client := third()) is not None)
        accepted.settimeout(LIMIT)
        output.publish(reading_of(1))
        assert received(first, 1000) == received(accepted, 1000) == raw_of(1)
    assert caplog.text.count("2 clients are connected; further ones are refused") == 1


def test_without_free_descriptors_clients_wait_and_the_gateway_does_not_spin(
    port: int, served: TcpOutput, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(port) as first, socket.socket() as waits:
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0), limits[1]))
        try:
            waits.connect(("127.0.0.1", port))
            wait_until(lambda: served.state == "offline", "a refused connection")
            before = time.process_time()
            time.sleep(0.3)
            assert time.process_time() - before < 0.1
            served.publish(reading_of(1))
            assert received(first, 1000) == raw_of(1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        wait_until(lambda: served.state == "ok", "a free descriptor")
        served.publish(reading_of(2))
        assert received(first, 1000) == received(waits, 1000) == raw_of(2)
    assert caplog.text.count("clients cannot connect now: Too many open files") == 1
