"""The HTTP client gets an answer in a bounded time and a bounded size, or says why there is none."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.http_client import Answer, HttpClient
from tests.support.brokers import Authority, Certificate, free_port
from tests.support.running import wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Serve = Callable[[socket.socket], None]


@contextmanager
def server(serve: Serve, certificate: Certificate | None = None) -> Iterator[int]:
    """Serve one connection after the other, until the end of the block."""
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.certificate, certificate.key)

    def run() -> None:
        while True:
            connection, _ = listening.accept()
            if is_over.is_set():
                connection.close()
                return
            with suppress(OSError):
                if context is not None:
                    connection = context.wrap_socket(connection, server_side=True)
                serve(connection)
            connection.close()

    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=run)
        thread.start()
        port = listening.getsockname()[1]
        try:
            yield port
        finally:
            is_over.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def always(answer: bytes) -> Serve:
    """Answer each request of a connection."""

    def serve(connection: socket.socket) -> None:
        while connection.recv(65536):
            connection.sendall(answer)

    return serve


def once(answer: bytes) -> Serve:
    """Answer the first request of a connection, and close it."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(answer)

    return serve


def unread(answer: bytes) -> Serve:
    """Answer a request that has come and is not read, and close the connection, which resets it."""

    def serve(connection: socket.socket) -> None:
        while not connection.recv(65536, socket.MSG_PEEK).endswith(b"\r\n\r\nx"):
            pass
        connection.sendall(answer)

    return serve


def ask(port: int, *, times: int = 1, timeout: float = 5.0) -> Answer:
    client = HttpClient("InfluxDB", "127.0.0.1", port, timeout=timeout)
    try:
        for _ in range(times):
            answer = client.request("POST", "/write", b"x")
    finally:
        client.close()
    return answer


def why_away(port: int, timeout: float = 5.0) -> str:
    with pytest.raises(ConsumerAwayError) as caught:
        ask(port, timeout=timeout)
    return str(caught.value).removeprefix(f"the InfluxDB server 127.0.0.1:{port} ")


@pytest.mark.parametrize("serve", [always(OK), once(OK)])
def test_requests_follow_each_other_whether_the_server_keeps_the_connection_or_not(serve: Serve) -> None:
    with server(serve) as port:
        assert ask(port, times=3) == Answer(200, b"hi")


def test_a_kept_tls_connection_that_the_server_has_closed_is_no_fault(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    closed: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\nx"):
            request += connection.recv(65536)
        connection.sendall(OK)
        connection.close()
        closed.append(connection)

    with server(serve, authority.issue("server")) as port:
        client = HttpClient("InfluxDB", "127.0.0.1", port, tls=True, ca_file=authority.file, timeout=5)
        for number in range(1, 5):
            assert client.request("POST", "/write", b"x").body == b"hi"
            wait_until(lambda done=number: len(closed) >= done, "the end of the connection")  # type: ignore[misc]
        client.close()


def test_a_redirect_is_not_followed() -> None:
    with server(once(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")) as port:
        assert ask(port).status == 302


def test_of_an_answer_without_end_the_beginning_is_read() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server(serve) as port:
        assert len(ask(port, times=2).body) == 100_000


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(head: bytes) -> None:
    is_over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head)
        while not is_over.wait(0.05):
            connection.sendall(b"H")

    with server(serve) as port:
        began = time.monotonic()
        assert "does not answer within 0.3 s" in why_away(port, 0.3)
        assert time.monotonic() - began < 3
        is_over.set()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "has closed the connection"),
        (b"220 mail.example ESMTP\r\n", "does not answer as a web server does"),
        (
            b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
            "expects TLS: write https://",
        ),
    ],
)
def test_what_is_no_answer_is_said(answer: bytes, why: str) -> None:
    with server(once(answer)) as port:
        assert why_away(port).startswith(why)


def test_an_answer_behind_which_the_connection_is_reset_is_an_answer() -> None:
    with server(unread(b"HTTP/1.0 413 Too Large\r\n\r\nat most 100 kB")) as port:
        assert ask(port) == Answer(413, b"at most 100 kB")


def test_a_port_that_nobody_listens_on_is_said() -> None:
    assert why_away(free_port()).startswith("refuses the connection: start InfluxDB, or")


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("-1", 0)])
def test_the_pause_that_a_server_asks_for_is_known(text: str, seconds: float) -> None:
    answer = f"HTTP/1.1 503 Busy\r\nRetry-After: {text}\r\nContent-Length: 0\r\n\r\n"
    with server(once(answer.encode())) as port:
        assert ask(port).retry_after == seconds


def test_words_of_a_server_cannot_reach_a_terminal() -> None:
    assert Answer(400, b"no\x1b[2J\n" + b"x" * 1000).words == "400 no\\x1b[2J " + "x" * 193


def test_only_a_certificate_that_is_signed_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with server(always(OK), authority.issue("server")) as port:
        client = HttpClient("InfluxDB", "127.0.0.1", port, tls=True, timeout=5)
        with pytest.raises(ConsumerAwayError, match="name the CA that signed it with ca_file"):
            client.request("GET", "/")
        client = HttpClient("InfluxDB", "127.0.0.1", port, tls=True, ca_file=authority.file, timeout=5)
        assert client.request("GET", "/").body == b"hi"
        client.close()
        client = HttpClient("InfluxDB", "127.0.0.1", port, tls=True, ca_file=tmp_path / "none", timeout=5)
        with pytest.raises(ConsumerAwayError, match="none cannot be read"):
            client.request("GET", "/")
