"""InfluxDB for tests: a stub that answers as it is told, and the real server of Debian."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from tests.support.brokers import free_port
from tests.support.line_protocol import Point, read_points
from tests.support.running import wait_until

INFLUXD: Final = shutil.which("influxd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
needs_influxdb = pytest.mark.skipif(INFLUXD is None, reason="InfluxDB is not installed; .ci/run installs it")


@dataclass(frozen=True)
class Reply:
    """What the stub answers."""

    status: int = 204
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: threading.Event | None = None


@dataclass(frozen=True)
class Request:
    """What the stub was asked."""

    path: str
    query: dict[str, list[str]]
    headers: Mapping[str, str]
    lines: str

    @cached_property
    def points(self) -> list[Point]:
        """What it writes."""
        return read_points(self.lines)


class StubInflux:
    """A server that takes points, and answers as it is told.

    Attributes:
        requests: all of them, also those that it did not accept.
        replies: the next answers; when they are used up, `reply` is the answer.
        reply: may be a function of the request.
    """

    def __init__(self, port: int = 0) -> None:
        self.requests: list[Request] = []
        self._accepted: list[Request] = []
        self.replies: deque[Reply] = deque()
        self.reply: Reply | Callable[[Request], Reply] = Reply()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stub._serve(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as its base
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client may go at any time
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def accepted(self) -> list[Point]:
        """The points of all requests that it has accepted, in order."""
        return [point for request in list(self._accepted) for point in request.points]

    def forget(self) -> None:
        """Forget what it has accepted."""
        self._accepted.clear()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        url = urlsplit(handler.path)
        request = Request(
            url.path, parse_qs(url.query), dict(handler.headers), body.decode("utf-8", "replace")
        )
        self.requests.append(request)
        reply = self.replies.popleft() if self.replies else self.reply
        reply = reply if isinstance(reply, Reply) else reply(request)
        if reply.wait is not None:
            reply.wait.wait()
        if 200 <= reply.status < 300:
            self._accepted.append(request)
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.status != 204:
            handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class InfluxServer:
    """An InfluxDB 1 with folder and ports of its own, and the database `smarty`.

    Args:
        folder: for its files; it must be empty.
        users: names and passwords; with any, everybody must log in.
    """

    def __init__(self, folder: Path, users: Mapping[str, str] | None = None) -> None:
        self.port, rpc = free_port(), free_port()
        self._folder = folder
        self._login: tuple[str, str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = folder / "influxdb.conf"
        self._configuration.write_text(
            f"""reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{self.port}"
  auth-enabled = {str(bool(users)).lower()}
  log-enabled = false
"""
        )
        self.start()
        for number, (name, password) in enumerate((users or {}).items()):
            rights = " WITH ALL PRIVILEGES" if number == 0 else ""
            self.query(f"CREATE USER \"{name}\" WITH PASSWORD '{password}'{rights}")
            self._login = self._login or (name, password)
        self.query("CREATE DATABASE smarty")

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert INFLUXD is not None
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [INFLUXD, "-config", str(self._configuration)], stdout=log, stderr=log
            )
        wait_until(self._is_there, "InfluxDB")

    def kill(self) -> None:
        """End the server as a power cut does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def query(self, text: str) -> list[dict[str, Any]]:
        """Return the series of an InfluxQL query."""
        user, password = self._login or ("", "")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        parameters = {"q": text, "db": "smarty", "epoch": "s", "u": user, "p": password}
        connection.request("POST", f"/query?{urlencode(parameters)}")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        (result,) = answer["results"]
        assert "error" not in result, result
        series: list[dict[str, Any]] = result.get("series", [])
        return series

    def points(self, measurement: str) -> list[dict[str, Any]]:
        """Return all points of a measurement: tags, fields and `time`."""
        return [
            {name: value for name, value in zip(series["columns"], row, strict=True) if value is not None}
            for series in self.query(f"SELECT * FROM {measurement}")  # noqa: S608 - our own names
            for row in series["values"]
        ]

    def _is_there(self) -> bool:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=1)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 204
        except OSError:
            time.sleep(0.05)
            return False
        finally:
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
