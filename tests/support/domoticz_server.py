"""A server that takes and refuses values as Domoticz does, after its source code.

Those parts are `CheckAuthentication` and `AllowBasicAuth` (webserver/cWebem.cpp) and `Cmd_UpdateDevice`
(main/WebServerCmds.cpp). Domoticz itself is in no package registry.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

#: An answer that takes the place of Domoticz' own: status and body.
Fault = tuple[int, bytes]


class DomoticzServer:
    """A server with virtual sensors.

    Args:
        devices: the numbers of its devices.
        users: their passwords.
        is_trusted: this machine is in the Trusted Networks.
        allows_basic: `Allow Basic-Auth authentication over plain HTTP` is ticked.
        may_use: the devices that users may write to.

    Attributes:
        values: what each device has got, and when by the monotonic clock.
        requests: how often it was asked.
        users, is_trusted, allows_basic, may_use: as given; may be changed.
        fault: returns an answer that takes the place of its own; may wait before.
    """

    def __init__(
        self,
        *devices: int,
        users: Mapping[str, str] | None = None,
        is_trusted: bool = True,
        allows_basic: bool = False,
        may_use: tuple[int, ...] | None = None,
    ) -> None:
        self.values: dict[int, list[tuple[float, str]]] = {device: [] for device in devices}
        self.requests = 0
        self.fault: Callable[[int], Fault | None] = lambda _: None
        self.users = dict(users or {})
        self.is_trusted = is_trusted
        self.allows_basic = allows_basic
        self.may_use = devices if may_use is None else may_use
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body = server._answer(self.path, self.headers.get("Authorization"))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._handler = Handler
        self.start(0)

    def start(self, port: int) -> None:
        """Start it again behind `stop`, on this port."""
        self._http = ThreadingHTTPServer(("127.0.0.1", port), self._handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign] # a client may go at any time
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it."""
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        """What to write into gateway.yaml."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, device: int) -> list[str]:
        """Return what a device has got."""
        return [svalue for _, svalue in list(self.values[device])]

    def _answer(self, path: str, login: str | None) -> Fault:
        url = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        idx = int(asked.get("idx", "0"))
        with self._lock:
            self.requests += 1
        if (fault := self.fault(idx)) is not None:
            return fault
        if url.path != "/json.htm":
            return 404, b"<html>404 Not Found</html>"
        if not self._is_let_in(login):
            return 401, b"<html><head><title>Unauthorized</title></head></html>"
        if idx in self.values and idx not in self.may_use:
            return 403, b"<html><head><title>Forbidden</title></head></html>"
        is_update = asked.get("type") == "command" and asked.get("param") == "udevice"
        if not is_update or idx not in self.values or asked.get("nvalue") != "0" or "svalue" not in asked:
            return 200, b'{\n\t"status" : "ERR"\n}\n'
        self.values[idx].append((time.monotonic(), asked["svalue"]))
        return 200, json.dumps({"status": "OK", "title": "Update Device"}).encode()

    def _is_let_in(self, login: str | None) -> bool:
        """A login that is not allowed or wrong counts for more than a trusted network."""
        if login is None:
            return self.is_trusted
        user, _, password = base64.b64decode(login.removeprefix("Basic ")).decode().partition(":")
        return self.allows_basic and self.users.get(user) == password
