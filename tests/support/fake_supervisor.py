"""A server that answers an app as Home Assistant's Supervisor does, after its source code.

Those parts are `APIServices` (api/services.py), `token_validation` (api/middleware/security.py), the forms of
answers (api/utils.py), `App.write_options` (apps/app.py) and `AppOptions` (apps/options.py). Supervisor is in
no package registry, and needs Docker.
"""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import yaml

APP: Final = Path(__file__).parents[2] / "deploy" / "home-assistant" / "smarty-gateway"
#: What Supervisor makes for each start of an app: 56 random bytes.
TOKEN: Final = "5afe" * 28

Options = Mapping[str, Any]


class InvalidOptionsError(Exception):
    """Supervisor does not start an app with such options; a person reads this in the app's page."""


class FakeSupervisor:
    """Supervisor, as one app sees it.

    Args:
        address: where it listens. For an app it is `http://supervisor`, that is 172.30.32.2 port 80.

    Attributes:
        token: the one that is right; may be changed, as with each start of the app.
        broker: what `GET /services/mqtt` answers; None while no broker is installed.
        may_use_broker: the app's config.yaml has `services: [mqtt:want]`.
        is_ready: False while Supervisor starts.
        requests: method and path of each request.
    """

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.token = TOKEN
        self.broker: dict[str, Any] | None = None
        self.may_use_broker = True
        self.is_ready = True
        self.requests: list[str] = []
        supervisor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, kind = supervisor._answer(f"{self.command} {self.path}", dict(self.headers))
                self.send_response(status)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(address, Handler)
        self._http.daemon_threads = True
        self._http.handle_error = lambda *_: None  # type: ignore[method-assign] # a client may go at any time
        self.url = f"http://{self._http.server_address[0]!s}:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop answering, as while Supervisor is updated."""
        self._http.shutdown()
        self._http.server_close()

    def install_broker(self, port: int = 1883, host: str = "core-mosquitto", **others: object) -> None:
        """Announce a broker as the Mosquitto app does.

        Args:
            port: where it listens.
            host: its name, or an address.
            others: `username`, `password`, `ssl`, `protocol`.
        """
        login = {"username": "addons", "password": "a-Password_of-64-characters"}
        secure = {"ssl": False, "protocol": "3.1.1"}
        self.broker = {"host": host, "port": port, **login, **secure, **others, "addon": "core_mosquitto"}

    def _answer(self, request: str, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        """Return status, body and content type of an answer."""
        self.requests.append(request)
        # Middleware comes first; its refusals of a token are no JSON.
        if not self.is_ready:
            return _refused(400, "System is not ready with state: setup")
        given = headers.get("X-Supervisor-Token") or headers.get("Authorization", "").split(" ")[-1]
        if given != self.token:
            return _plain(403, "Forbidden") if given else _plain(401, "Unauthorized")
        return self._service() if request == "GET /services/mqtt" else _plain(404, "Not Found")

    def _service(self) -> tuple[int, bytes, str]:
        if not self.may_use_broker:
            return _refused(403, "No access to mqtt service!")
        if self.broker is None:
            return _refused(400, "Service not enabled")
        return _json(200, {"result": "ok", "data": self.broker})


def written_options(folder: Path, options: Options) -> Path:
    """Write options.json as Supervisor does before each start of the app, and return its path.

    Args:
        folder: what is /data for the app.
        options: what a person has entered.

    Raises:
        InvalidOptionsError: Supervisor would not start the app.
    """
    config = yaml.safe_load((APP / "config.yaml").read_text())
    checked = _checked(config["schema"], {**config["options"], **options}, "root")
    path, new = folder / "options.json", folder / "options.json.new"
    new.touch(mode=0o600)
    new.write_text(json.dumps(checked, indent=2, ensure_ascii=False))
    # A new file each time: one that is open keeps its content.
    return new.replace(path)


def _checked(kind: object, value: object, name: str) -> object:
    """Return an option as Supervisor writes it."""
    if isinstance(kind, list):
        if not isinstance(value, list):
            raise InvalidOptionsError(f"Invalid list for option '{name}'")
        return [_checked(kind[0], element, name) for element in value]
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise InvalidOptionsError(f"Invalid dict for option '{name}'")
        # Unknown options are left out, with a warning.
        checked = {key: _checked(kind[key], entry, key) for key, entry in value.items() if key in kind}
        for key in kind.keys() - checked.keys():
            of_one = kind[key][0] if isinstance(kind[key], list) else kind[key]
            if not (isinstance(of_one, str) and of_one.endswith("?")):
                raise InvalidOptionsError(f"Missing option '{key}' in {name}")
        return checked
    return _checked_value(str(kind).removesuffix("?"), value, name)


def _checked_value(kind: str, value: object, name: str) -> object:
    if value is None:
        raise InvalidOptionsError(f"Missing required option '{name}'")
    word, _, limits = kind.rstrip(")").partition("(")
    try:
        if word in {"int", "float"}:
            number = int(str(value)) if word == "int" else float(str(value))
            least, _, most = limits.partition(",")
            if (least and number < float(least)) or (most and number > float(most)):
                raise InvalidOptionsError(f"value must be from {least} to {most} for option '{name}'")
            return number
    except ValueError:
        raise InvalidOptionsError(f"expected {word} for option '{name}'") from None
    if word == "list" and str(value) in limits.split("|"):
        return str(value)
    if word in {"str", "password", "device"} and isinstance(value, str):
        return value
    raise InvalidOptionsError(f"not a valid value for option '{name}'")


def _json(status: int, content: object) -> tuple[int, bytes, str]:
    return status, json.dumps(content).encode(), "application/json"


def _refused(status: int, message: str) -> tuple[int, bytes, str]:
    return _json(status, {"result": "error", "message": message})


def _plain(status: int, reason: str) -> tuple[int, bytes, str]:
    return status, f"{status}: {reason}".encode(), "text/plain"
