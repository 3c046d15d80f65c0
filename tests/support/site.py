"""The site as a gateway has it: meters that send, that were never heard, and that have only a history."""

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from smarty_gateway.config.values import Config, HttpConfig
from smarty_gateway.history.sample import QUARTER
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.pages.public_names import PublicNames
from smarty_gateway.simulator.meters import MeterKind
from smarty_gateway.web.access import guarded
from smarty_gateway.web.live import Live
from smarty_gateway.web.routes import application
from smarty_gateway.web.site_state import SiteState
from tests.support.histories import boundaries, write_history
from tests.support.views import config_of, quarter_of, reading_of

#: The unnamed meter is shown as `electricity-2345`.
OWN_NAME: Final = "SAG1030700012345"
UNNAMED: Final = "electricity-2345"


@dataclass(frozen=True)
class Answer:
    """What a client gets."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:  # noqa: ANN401 - what JSON can hold
        """The content as JSON."""
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


class Site:
    """The site behind access control, asked without a socket.

    `house` and an unnamed meter send, `barn` was never heard, `shed` has only a history.

    Args:
        folder: of the state; without a history None.
        config: by default it names house and barn.
    """

    def __init__(self, folder: Path | None = None, config: Config | None = None) -> None:
        self.config = config_of("house", "barn", reference_power=None) if config is None else config
        self.names = PublicNames(self.config)
        self.live = Live(self.config, self.names)
        self.state = SiteState(self.config, folder, self.live, self.names)
        self.app = guarded(application(self.state), HttpConfig(), None, is_app=False)

    def send(self, *, at: int | None = None) -> None:
        """Send a reading of each of the two meters."""
        at = int(time.time()) if at is None else at
        self.live.take(reading_of(at=at, quarter=quarter_of(at)))
        self.live.take(reading_of(MeterKind.BELGIUM, name=OWN_NAME, at=at))
        health = Health(telegrams=3, rejected={"replay": 2}, last_telegram=datetime.now(UTC))
        self.live.report({"house": health}, GatewayHealth(counters_kept=True, outputs={"mqtt": "offline"}))

    def ask(self, address: str, method: str = "GET", **headers: str) -> Answer:
        """Ask for an address, as waitress hands it over."""
        path, _, query = address.partition("?")
        environ = {
            "REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8300", "REQUEST_METHOD": method,
            "REQUEST_URI": address, "QUERY_STRING": query,
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        }  # fmt: skip
        environ |= {f"HTTP_{name.upper()}": text for name, text in headers.items()}
        got: dict[str, Any] = {}

        def start_response(status: str, found: list[tuple[str, str]]) -> None:
            got.update(status=int(status[:3]), headers=dict(found))

        body = b"".join(self.app(environ, start_response))
        return Answer(**got, body=body)


def write_days(folder: Path, days: int = 9) -> int:
    """Write the history of `house`, and that of `shed` with a gap of a year; return their last boundary."""
    last = int(time.time()) // QUARTER * QUARTER
    write_history(folder, "house", boundaries(last - days * 86_400, days * 96, energy=250, export=40))
    write_history(folder, "shed", boundaries(last - 400 * 86_400, 96))
    write_history(folder, "shed", boundaries(last - 86_400, 96, series=2))
    return last


def damage(folder: Path) -> None:
    """Damage a history so that it is seen only when it is read, and not when it is opened."""
    path = folder / "history.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        ((size,),) = connection.execute("PRAGMA page_size")
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'quarters'")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
