"""`/livez`, `/healthz` and `/metrics`, which a gateway and a worker of a pool both answer."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bottle import Bottle, HTTPError, HTTPResponse, request

from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.web.access import IS_KNOWN, WsgiApp

if TYPE_CHECKING:
    from smarty_gateway.web.exposition import Metrics

_TEXT: Final = "text/plain; charset=utf-8"

Lives = Callable[[], bool]
#: Returns whether all is well, and the JSON object of `/healthz`.
Health = Callable[[], tuple[bool, Mapping[str, Any]]]
AddMetrics = Callable[["Metrics"], None]


def status_application(lives: Lives, health: Health, add_metrics: AddMetrics) -> WsgiApp:
    """Return an application that answers nothing else, without access control (see `access`)."""
    app = Bottle()
    app.config["catchall"] = False  # an error is for `access`, which logs it
    app.default_error_handler = _error
    add_status(app, lives, health, add_metrics)
    found: WsgiApp = app
    return found


def add_status(app: Bottle, lives: Lives, health: Health, add_metrics: AddMetrics) -> None:
    """Add the three addresses to an application."""
    app.get("/livez", callback=partial(_livez, lives))
    app.get("/healthz", callback=partial(_healthz, health))
    app.get("/metrics", callback=partial(_metrics, add_metrics))


def _livez(lives: Lives) -> HTTPResponse:
    """Answer a watchdog, which restarts what does not live."""
    alive = lives()
    return _plain("ok\n" if alive else "a thread has died\n", 200 if alive else 503)


def _healthz(health: Health) -> HTTPResponse:
    """Answer monitoring; only who has the password learns the details."""
    is_well, found = health()
    status = 200 if is_well else 503
    if not request.environ.get(IS_KNOWN):
        return _plain("", status)
    return HTTPResponse(to_json_bytes(dict(found)), status, Content_Type="application/json")


def _metrics(add_metrics: AddMetrics) -> HTTPResponse:
    from smarty_gateway.web.exposition import exposition  # noqa: PLC0415 - most have no Prometheus

    kind, text = exposition(add_metrics, str(request.environ.get("HTTP_ACCEPT", "")))
    return HTTPResponse(text, Content_Type=kind, Vary="Accept")


def _plain(text: str, status: int) -> HTTPResponse:
    return HTTPResponse(text, status, Content_Type=_TEXT)


def _error(error: HTTPError) -> HTTPResponse:
    return _plain(
        "There is nothing at this address: /livez, /healthz and /metrics answer.\n", error.status_code
    )
