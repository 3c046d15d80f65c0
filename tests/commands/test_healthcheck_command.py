"""`healthcheck` asks the gateway of a configuration, and says in one line what is wrong."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import smarty_gateway

METER = "meters: [{source: /dev/ttyS0}]\n"
#: The password of nobody.
PASSWORD = "correct horse"  # noqa: S105


def health(status: str, **found: Any) -> bytes:  # noqa: ANN401 - any JSON
    return json.dumps({"status": status, "outputs": {}, "meters": []} | found).encode()


class Gateway:
    """A real server that answers every request alike.

    Attributes:
        requests: path and Authorization of each.
    """

    def __init__(self, status: int, body: bytes, location: str | None, address: str) -> None:
        self.requests: list[tuple[str, str | None]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                gateway.requests.append((self.path, self.headers["Authorization"]))
                self.send_response(status)
                if location is not None:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(HTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def handle_error(self, *_: object) -> None:
                pass  # who asks does not read all of it

        self.server = Server((address, 0), Handler)
        self.port = self.server.server_port


@contextmanager
def gateway(
    status: int = 200, body: bytes = b"", *, location: str | None = None, address: str = "127.0.0.1"
) -> Iterator[Gateway]:
    answering = Gateway(status, body, location, address)
    thread = threading.Thread(target=answering.server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield answering
    finally:
        answering.server.shutdown()
        thread.join()
        answering.server.server_close()


def check(folder: Path, page: str, *arguments: object) -> tuple[int, str]:
    """Run it with these settings of the page; return the exit status and its only line."""
    (folder / "gateway.yaml").write_text(f"{METER}outputs: {{http: {page}}}\n", "utf-8")
    done = smarty_gateway("healthcheck", *arguments, folder=folder)
    (line,) = (done.stdout + done.stderr).decode().splitlines()
    return done.returncode, line.removeprefix("smarty-gateway: ")


def test_a_gateway_in_which_all_is_well_gives_exit_status_0(tmp_path: Path) -> None:
    with gateway(200, health("ok")) as asked:
        assert check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}") == (0, "all is well")
    assert asked.requests == [("/healthz", None)]


def test_for_a_watchdog_only_the_threads_are_asked_for_and_no_password_is_sent(tmp_path: Path) -> None:
    with gateway(200) as asked:
        page = f"{{listen: 127.0.0.1:{asked.port}, password_file: web.password}}"
        assert check(tmp_path, page, "--live") == (0, "the gateway is alive")
    assert asked.requests == [("/livez", None)]


@pytest.mark.parametrize(("listen", "address"), [("0.0.0.0", "127.0.0.1"), ("[::]", "::1"), ("[::1]", "::1")])  # noqa: S104 - what a gateway may listen on
def test_a_gateway_that_listens_everywhere_is_asked_on_this_machine(
    tmp_path: Path, listen: str, address: str
) -> None:
    with gateway(200, address=address) as asked:
        assert check(tmp_path, f"{{listen: '{listen}:{asked.port}', open: true}}")[0] == 0


def test_the_password_is_sent_with_any_user_name(tmp_path: Path) -> None:
    password = tmp_path / "web.password"
    password.touch(0o600)
    password.write_text(f"{PASSWORD}\n")
    with gateway(200) as asked:
        page = f"{{listen: 127.0.0.1:{asked.port}, password_file: web.password}}"
        assert check(tmp_path, page)[0] == 0
    ((_, sent),) = asked.requests
    assert sent is not None
    assert base64.b64decode(sent.removeprefix("Basic ")).decode().partition(":")[2] == PASSWORD


def test_a_password_file_that_is_missing_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    status, line = check(tmp_path, "{listen: 127.0.0.1:1, password_file: hunter2}")
    assert status == 78
    assert "the password_file cannot be read" in line
    assert "hunter2" not in line


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    meters = [
        {"meter": "house", "availability": "silent", "expected": True},
        {"meter": "barn", "availability": "starting", "expected": True},
        {"meter": "shed", "availability": "online", "expected": True},
        {"meter": "electricity-0815", "availability": "silent", "expected": False},
    ]
    found = health("failing", outputs={"mqtt": "reconnecting", "http": "ok"}, meters=meters)
    with gateway(503, found) as asked:
        status, line = check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}")
    assert status == 1
    assert line == "output mqtt: reconnecting; meter house: silent; meter barn: not heard yet"


HOSTILE: dict[str, bytes] = {
    "no JSON": b"\xff\x00<html>",
    "a list": b"[1, 2]",
    "other types": health("failing", outputs=[1], meters={"meter": 1}),
    "other items": health("failing", meters=[1, None, [], {"expected": True}]),
    "nesting": b"[" * 60_000,
    "escapes": health("failing", outputs={"\x1b[2J": "\x07" * 3000}),
    "many": health("failing", outputs={f"output {n}": "x" * 1000 for n in range(50)}),
    "too much": b'{"outputs": {' + b" " * 10_000_000,
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_whatever_answers_the_line_is_short_and_printable(tmp_path: Path, body: bytes) -> None:
    with gateway(503, body) as asked:
        status, line = check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}")
    assert status == 1
    assert 0 < len(line) < 3000
    assert line.isprintable()


@pytest.mark.parametrize(
    ("status", "words"), [(401, "password"), (429, "password"), (404, "status 404"), (500, "status 500")]
)
def test_another_status_is_not_healthy(tmp_path: Path, status: int, words: str) -> None:
    with gateway(status) as asked:
        found, line = check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}")
    assert found == 1
    assert words in line


def test_no_redirect_is_followed(tmp_path: Path) -> None:
    with gateway(200) as other, gateway(302, location=f"http://127.0.0.1:{other.port}/healthz") as asked:
        assert check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}")[0] == 1
    assert other.requests == []


def test_no_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gateway(503) as proxy, gateway(200) as asked:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "")
        assert check(tmp_path, f"{{listen: 127.0.0.1:{asked.port}}}")[0] == 0
    assert proxy.requests == []


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen for one connection, and answer it in a thread; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_nothing_that_listens_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    status, line = check(tmp_path, f"{{listen: 127.0.0.1:{port}}}")
    assert status == 1
    assert line.startswith(f"nothing listens on http://127.0.0.1:{port}/healthz; ")


def test_another_program_on_the_port_is_said(tmp_path: Path) -> None:
    with listening(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")) as port:
        status, line = check(tmp_path, f"{{listen: 127.0.0.1:{port}}}")
    assert status == 1
    assert "is no gateway" in line


@pytest.mark.parametrize("drip", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_answer_that_does_not_end_is_waited_for_a_few_seconds_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr("smarty_gateway.commands.healthcheck._WITHIN", 0.3)

    def answer(connection: socket.socket) -> None:
        connection.sendall(drip)
        connection.settimeout(0.05)
        while True:
            try:
                if connection.recv(4096) == b"":
                    return
            except TimeoutError:
                connection.sendall(drip[-1:])

    with listening(answer) as port:
        status, line = check(tmp_path, f"{{listen: 127.0.0.1:{port}}}")
    assert status == 1
    assert line.endswith("has not answered within 0.3 s")


@pytest.mark.parametrize("text", [METER, f"{METER}outputs: {{http: false}}\n"])
def test_without_the_page_there_is_nothing_to_ask(tmp_path: Path, text: str) -> None:
    (tmp_path / "gateway.yaml").write_text(text)
    done = smarty_gateway("healthcheck", folder=tmp_path)
    assert done.returncode == 2
    assert b"add `http: true` below `outputs:`" in done.stderr


def test_without_a_configuration_there_is_nothing_to_ask(tmp_path: Path) -> None:
    done = smarty_gateway("healthcheck", folder=tmp_path)
    assert done.returncode == 2
    assert b"--config FILE" in done.stderr
