"""The HTTP server: what it serves beside slow, many and hostile clients, over real sockets."""

import logging
import os
import socket
import threading
import time
import timeit
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from resource import RLIM_INFINITY
from typing import Any, Final

import pytest

from smarty_gateway.config.values import HttpConfig
from smarty_gateway.web import connections, server
from smarty_gateway.web.access import Environ, StartResponse, WsgiApp, guarded
from smarty_gateway.web.server import Server
from tests.support.brokers import has_ipv6
from tests.support.running import wait_until

#: A busy machine may need longer, but not each time.
FRESH_SECONDS: Final = 1.0
#: It takes half a second; a busy machine may need longer.
SOON: Final = 10.0
LARGE: Final = 4 << 20


def page(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the address of the client, or with a large page."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/large":
        return [bytes(LARGE - 3) + b"end"]
    return [environ["REMOTE_ADDR"].encode()]


@contextmanager
def serving(app: WsgiApp = page, host: str = "127.0.0.1") -> Iterator[Server]:
    running = Server(guarded(app, HttpConfig(), None, is_app=False), host, 0)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running
    finally:
        running.close()
        thread.join()


@pytest.fixture
def port() -> Iterator[int]:
    """Start a server."""
    with serving() as running:
        yield running.port


def get(port: int, host: str = "127.0.0.1") -> bytes:
    """Return a page; the limit is below the 30 s after which a stalled client is closed."""
    with urllib.request.urlopen(f"http://{host}:{port}/", timeout=20) as answer:
        body: bytes = answer.read()
        return body


def connected(port: int, sent: bytes = b"", source: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    client.sendall(sent)
    return client


def received(client: socket.socket) -> bytes:
    """Return what comes until the server hangs up."""
    parts = []
    try:
        while part := client.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def is_closed(client: socket.socket) -> bool:
    """True if the server has hung up; nothing else is expected of it."""
    client.setblocking(False)  # noqa: FBT003 - socket's
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_it_serves_on_a_free_port_and_ends_soon_with_clients_attached() -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        with serving() as running:
            assert get(running.port) == b"127.0.0.1"
            for sent in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
                stack.enter_context(connected(running.port, sent))
            start = time.monotonic()
        assert time.monotonic() - start < SOON
    wait_until(lambda: threading.active_count() == before, "the threads of the server to end")
    with pytest.raises(OSError, match="refused"):
        connected(running.port)


def test_it_ends_soon_while_an_answer_is_being_made() -> None:
    is_asked, go_on = threading.Event(), threading.Event()

    def slow(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        is_asked.set()
        go_on.wait(60)
        start_response("200 OK", [])
        return [b"late"]

    before = threading.active_count()
    with ExitStack() as stack:
        with serving(slow) as running:
            stack.enter_context(connected(running.port, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            assert is_asked.wait(60)
            start = time.monotonic()
        assert time.monotonic() - start < SOON
        # The late thread may still write to this pipe, so its number must not become that of another file.
        pipe: Any = running._listener.trigger
        os.fstat(pipe.trigger)
        go_on.set()
        wait_until(lambda: threading.active_count() == before, "the late thread to end")
    pipe.close()


def test_a_server_that_is_closed_before_it_runs_releases_its_port() -> None:
    running = Server(page, "127.0.0.1", 0)
    running.close()
    running.run()
    running.close()
    with pytest.raises(OSError, match="refused"):
        connected(running.port)


def test_a_port_that_is_taken_is_an_error(port: int) -> None:
    with pytest.raises(OSError, match="in use"):
        Server(page, "127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(OSError, match="assign"):
        Server(page, "192.0.2.1", 0)


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_it_listens_on_both_kinds_of_addresses() -> None:
    with serving(host="::") as running:
        assert get(running.port, host="[::1]") == b"::1"
        assert get(running.port, host="127.0.0.1") == b"::ffff:127.0.0.1"
    with serving(host="::1") as running:
        assert get(running.port, host="[::1]") == b"::1"


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For: 172.30.32.2", "Forwarded: for=172.30.32.2", "Remote-Addr: 172.30.32.2"]
)
def test_no_header_changes_the_address_of_the_client(port: int, header: str) -> None:
    with connected(port, f"GET / HTTP/1.0\r\nHost: localhost\r\n{header}\r\n\r\n".encode()) as client:
        assert received(client).endswith(b"\r\n\r\n127.0.0.1")


def test_no_answer_names_the_server(port: int) -> None:
    for sent in (b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.0\r\nodd\r\n\r\n"):
        with connected(port, sent) as client:
            answer = received(client).lower()
            assert b"waitress" not in answer
            assert b"\nserver:" not in answer


HALF: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-"
WHOLE: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
NOT_READ: Final = WHOLE.replace(b"/ ", b"/large ")
STALLED: Final = (b"", HALF, WHOLE, NOT_READ, WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 9\r\n\r\n"))


def test_a_fresh_client_is_served_beside_200_stalled_ones(port: int) -> None:
    with ExitStack() as stack:
        for number in range(200):
            stack.enter_context(connected(port, STALLED[number % len(STALLED)]))
        assert min(timeit.repeat(lambda: get(port), repeat=5, number=1)) < FRESH_SECONDS


def test_a_page_is_served_beside_long_tables_that_are_being_made() -> None:
    go_on = threading.Event()
    made: list[int] = []

    def site(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"].endswith("/history"):
            go_on.wait(60)
            made.append(threading.get_ident())
        return page(environ, start_response)

    asked = b"GET /api/v1/meters/house/history HTTP/1.0\r\nHost: localhost\r\n\r\n"
    with serving(site) as running, ExitStack() as stack:
        clients = [stack.enter_context(connected(running.port, asked)) for _ in range(10)]
        assert get(running.port) == b"127.0.0.1"
        go_on.set()
        assert all(received(client).endswith(b"127.0.0.1") for client in clients)
    assert len(set(made)) == 1


def test_more_stalled_clients_than_there_are_connections_keep_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 50)
    with serving() as running, ExitStack() as stack:
        clients = [stack.enter_context(connected(running.port, HALF)) for _ in range(150)]
        assert get(running.port) == b"127.0.0.1"
        wait_until(lambda: is_closed(clients[0]), "the longest stalled one to be closed")
        assert not is_closed(clients[-1])


@pytest.mark.parametrize(("files", "most"), [(80, 40), (RLIM_INFINITY, 500)])
def test_connections_take_half_of_the_files_that_a_process_may_have(
    files: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "getrlimit", lambda _: (files, files))
    with serving() as running, ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(connected(running.port, HALF))
        assert get(running.port) == b"127.0.0.1"
        assert len(running._channels()) <= most
        assert (len(running._channels()) < 60) == (most < 60)


def test_who_has_most_connections_loses_one_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 50)
    with serving() as running, ExitStack() as stack:
        other = stack.enter_context(connected(running.port, HALF, source="127.0.0.2"))
        greedy = [stack.enter_context(connected(running.port, HALF)) for _ in range(100)]
        wait_until(lambda: is_closed(greedy[50]), "the greedy client to lose connections")
        other.sendall(b"A: b\r\n\r\n")
        assert other.recv(12) == b"HTTP/1.1 200"


@contextmanager
def busy() -> Iterator[tuple[Server, threading.Event]]:
    """Start a server whose pages take until an event, except that of a watchdog and /quick."""
    is_over = threading.Event()

    def slow(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/":
            is_over.wait(20)
        return page(environ, start_response)

    with serving(slow) as running:
        try:
            yield running, is_over
        finally:
            is_over.set()


@pytest.mark.parametrize(("source", "path"), [("127.0.0.2", b"/quick"), ("127.0.0.1", b"/livez")])
def test_a_client_that_asks_for_much_lets_others_and_a_watchdog_be_answered(source: str, path: bytes) -> None:
    with busy() as (running, is_over), ExitStack() as stack:
        greedy = [stack.enter_context(connected(running.port, WHOLE)) for _ in range(20)]
        wait_until(lambda: len(running._dispatcher.queue) >= 17, "the requests to wait")
        other = stack.enter_context(connected(running.port, WHOLE.replace(b"/ ", path + b" "), source))
        assert other.recv(12) == b"HTTP/1.1 200"
        is_over.set()
        assert {client.recv(12) for client in greedy} == {b"HTTP/1.1 200"}


def test_requests_that_wait_on_all_connections_keep_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_CONNECTIONS", 50)
    with busy() as (running, _), ExitStack() as stack:
        for _number in range(100):
            stack.enter_context(connected(running.port, WHOLE))
        other = stack.enter_context(connected(running.port, WHOLE.replace(b"/ ", b"/quick "), "127.0.0.2"))
        assert other.recv(12) == b"HTTP/1.1 200"
        assert len(running._dispatcher.queue) <= 50


def drip(client: socket.socket, is_over: Callable[[], bool]) -> None:
    """Send a byte now and then until the server hangs up."""
    while not is_over():
        try:
            client.send(b"x")
        except OSError:
            return
        time.sleep(0.02)


def test_a_request_that_comes_byte_by_byte_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.3)
    with connected(port, HALF) as client:
        deadline = time.monotonic() + 60
        drip(client, lambda: is_closed(client) or time.monotonic() > deadline)
        assert time.monotonic() < deadline


def test_a_connection_that_is_idle_ends(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.3)
    with connected(port) as silent, connected(port, WHOLE) as served:
        assert received(silent) == b""
        assert received(served).endswith(b"127.0.0.1")


def test_a_connection_whose_answer_is_not_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_ANSWER_SECONDS", 0.3)
    with serving() as running, connected(running.port, NOT_READ):
        wait_until(
            lambda: [one for one in running._channels() if one.total_outbufs_len], "the answer to wait"
        )
        wait_until(lambda: not running._channels(), "the connection to be closed")


def test_an_answer_has_more_time_to_be_read_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as running, connected(running.port, NOT_READ) as client:
        wait_until(
            lambda: [one for one in running._channels() if one.total_outbufs_len], "the answer to wait"
        )
        monkeypatch.setattr(connections, "_REQUEST_SECONDS", 0.0)
        assert len(received(client)) > LARGE


def test_answers_that_nobody_reads_take_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_UNREAD_BYTES", 3 * LARGE)
    with serving() as running, ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(connected(running.port, NOT_READ))
        # Who reads is not closed for those who do not.
        with connected(running.port, b"GET /large" + LOCALHOST + b"\r\n", source="127.0.0.2") as reader:
            assert received(reader).endswith(b"end")

        def kept() -> int:
            return sum(channel.kept_bytes for channel in running._channels())

        wait_until(lambda: not running._dispatcher.queue and kept() <= 3 * LARGE, "the memory to be freed")


def test_an_answer_that_was_read_is_not_kept() -> None:
    with serving() as running, connected(running.port, NOT_READ) as client:
        while not client.recv(1 << 20).endswith(b"end"):
            pass
        (channel,) = running._channels()
        wait_until(lambda: channel.kept_bytes == 0, "the memory to be freed")
        client.sendall(b"GET /" + LOCALHOST + b"\r\n")
        assert received(client).endswith(b"127.0.0.1")


HEADERS: Final = (
    *(b"Content-Security-Policy: default-src 'none'", b"X-Content-Type-Options: nosniff"),
    *(b"Cache-Control: no-store", b"Referrer-Policy: no-referrer"),
)
LOCALHOST: Final = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
#: What the server did not read before it hung up can take the answer with it.
HUNG_UP: Final = 0
#: What hostile clients send, and the statuses that are right.
ATTACKS: Final = {
    "rebinding": (b"GET / HTTP/1.0\r\nHost: 127.0.0.1.evil.example\r\n\r\n", (421,)),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", (400,)),
    "two hosts": (b"GET /" + LOCALHOST + b"Host: evil.example\r\n\r\n", (400,)),
    "absolute target": (b"GET http://evil.example/" + LOCALHOST + b"\r\n", (400,)),
    "odd target": (b"GET http://[::1/" + LOCALHOST + b"\r\n", (400,)),
    "HTTP/0.9": (b"GET /\r\n\r\n", (400,)),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", (200,)),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, HUNG_UP)),
    "TLS": (bytes.fromhex("160301020001fc0303") + bytes(range(256)), (400,)),
    "noise": (bytes(range(128, 256)) * 9 + b"\r\n\r\n", (400,)),
    "folded header": (b"GET /" + LOCALHOST + b"A: b\r\n Host: evil\r\n\r\n", (200,)),
    "folded first header": (b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", (400,)),
    "blank before colon": (b"GET / HTTP/1.0\r\nHost : localhost\r\n\r\n", (400,)),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\nGET / HTTP/1.1\r\n\r\n", (400,)),
    "bare carriage return": (b"GET / HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n", (400,)),
    "two lengths": (b"GET /" + LOCALHOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", (400,)),
    "negative length": (b"GET /" + LOCALHOST + b"Content-Length: -1\r\n\r\n", (400,)),
    "length of 5000 digits": (b"GET /" + LOCALHOST + b"Content-Length: %s\r\n\r\n" % (b"1" * 5000), (400,)),
    "large body": (b"GET /" + LOCALHOST + b"Content-Length: 1000000\r\n\r\n", (413,)),
    "large chunk": (
        b"GET /" + LOCALHOST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % 9999 + b"x" * 9999,
        (413,),
    ),
    "odd chunk": (b"GET /" + LOCALHOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", (400,)),
    "chunks and length": (
        b"GET /" + LOCALHOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        (200,),
    ),
    "unknown encoding": (b"GET /" + LOCALHOST + b"Transfer-Encoding: xchunked\r\n\r\n", (501,)),
    "smuggled": (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\nGET /x" + LOCALHOST + b"\r\n",
        (200, HUNG_UP),
    ),
    "small letters": (b"get /" + LOCALHOST + b"\r\n", (400,)),
    "other method": (b"DELETE /" + LOCALHOST + b"\r\n", (405,)),
    "path of many slashes": (b"GET " + b"/" * 5000 + LOCALHOST + b"\r\n", (200,)),
    "escaped path": (b"GET /%2e%2e/%2e%2e/etc/passwd%00%0d%0aX:%20y" + LOCALHOST + b"\r\n", (200,)),
    "line of 1 MB": (b"GET /" + b"a" * (1 << 20) + LOCALHOST + b"\r\n", (431, HUNG_UP)),
    "header of 1 MB": (b"GET /" + LOCALHOST + b"A: " + b"a" * (1 << 20) + b"\r\n\r\n", (431, HUNG_UP)),
    "many headers": (b"GET /" + LOCALHOST + b"A: b\r\n" * 10_000 + b"\r\n", (431, HUNG_UP)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_request_gets_a_clean_answer(
    port: int, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    sent, statuses = ATTACKS[name]
    caplog.set_level(logging.DEBUG)
    with connected(port) as client:
        with suppress(OSError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        answer = received(client)
    assert int(answer[9:12] or HUNG_UP) in statuses
    head = answer.partition(b"\r\n\r\n")[0]
    assert not answer or all(header in head for header in HEADERS)
    assert get(port) == b"127.0.0.1"
    assert not lines_of(caplog)
    assert capfd.readouterr() == ("", "")


def test_thousands_of_requests_at_once_are_not_answered(port: int) -> None:
    with connected(port) as client:
        with suppress(ConnectionError):
            client.sendall(NOT_READ * 10_000)
        assert len(received(client)) < 3 * LARGE
    assert get(port) == b"127.0.0.1"


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the gateway logs; the logger of waitress has a handler of pytest here."""
    return [record.getMessage() for record in caplog.records if record.name.startswith("smarty_gateway")]


def test_an_error_with_one_connection_is_one_line_and_the_port_stays_open(
    port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: object) -> None:
        raise ValueError("s3cret\x1b[2J")

    def broken_accept(listener: server._Listener) -> None:
        assert listener.socket is not None
        listener.socket.accept()[0].close()
        broken(listener)

    for kind, method, function in (
        (connections.Connection, "handle_read", broken),
        (server._Listener, "accept", broken_accept),
    ):
        with monkeypatch.context() as while_broken:
            while_broken.setattr(kind, method, function)
            for _ in range(5):
                with connected(port) as client:
                    with suppress(ConnectionError):
                        client.sendall(WHOLE)
                    assert received(client) == b""
        assert get(port) == b"127.0.0.1"
    (line,) = lines_of(caplog)
    assert "ValueError in test_server.py" in line
    assert "s3cret" not in line
