"""Which address shows which page; joins pages, API and metrics into one application."""

from collections.abc import Callable
from datetime import date
from functools import cache, partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from bottle import Bottle, HTTPError, HTTPResponse, request, response

from smarty_gateway.charts.style import STYLE
from smarty_gateway.history.local_time import local_date
from smarty_gateway.history.rows import By
from smarty_gateway.history.stretches import read_date
from smarty_gateway.languages.language import accepted_language
from smarty_gateway.pages.health_page import health_page
from smarty_gateway.pages.history_pages import bill_page, span_page
from smarty_gateway.pages.now_page import live_part, now_page, overview_page
from smarty_gateway.pages.recent_power import HOURS
from smarty_gateway.pages.site import STATIC, ShownMeter, View, render
from smarty_gateway.pages.snapshots import PowerCurve
from smarty_gateway.web.access import WsgiApp
from smarty_gateway.web.api import API, add_api, api_error
from smarty_gateway.web.health import health_object
from smarty_gateway.web.live import Live
from smarty_gateway.web.site_state import SiteState
from smarty_gateway.web.status_routes import add_status

if TYPE_CHECKING:
    from smarty_gateway.web.exposition import Metrics

_HTML: Final = "text/html; charset=utf-8"
_STATIC: Final = {
    "page.css": "text/css; charset=utf-8",
    "charts.css": "text/css; charset=utf-8",
    "live.js": "text/javascript; charset=utf-8",
    "charts.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
#: For a year: an address with a version has the same content for ever.
_FOR_EVER: Final = "private, max-age=31536000, immutable"
_CHECK_FIRST: Final = "no-cache"
_SPANS: Final = (By.DAY, By.MONTH, By.YEAR)

Page = Callable[[View], str]


class PageError(HTTPError):  # type: ignore[misc] # bottle has no types
    """There is no such page; the body says why, in the reader's language."""


def application(state: SiteState) -> WsgiApp:
    """Return the application without access control (see `access`)."""
    app = Bottle()
    app.config["catchall"] = False  # an error is for `access`, which logs it
    app.default_error_handler = partial(_error, state)
    app.add_hook("before_request", _require_text)
    _add_pages(app, state)
    add_api(app, state)
    add_status(
        app, state.live.lives, lambda: health_object(state.live.now()), partial(_add_metrics, state.live)
    )
    app.get("/static/<name>", callback=partial(_static, state))
    app.get("/meters/<name>", callback=lambda name: _moved(f"{quote(name, safe='')}/"))
    app.get("/<path:path>/", callback=lambda path: _moved(f"../{quote(path.rpartition('/')[2], safe='')}"))
    found: WsgiApp = app
    return found


def _add_pages(app: Bottle, state: SiteState) -> None:
    show = partial(_shown, state)
    app.get("/", callback=lambda: show(partial(_start, state)))
    app.get("/health", callback=lambda: show(health_page))
    app.get("/meters/<name>/", callback=lambda name: show(partial(_now, state, name=name)))
    app.get("/meters/<name>/live", callback=lambda name: show(partial(_live, name=name)))
    app.get("/meters/<name>/bill", callback=lambda name: show(partial(_bill, name=name)))
    for by in _SPANS:

        def span(name: str, text: str = "", by: By = by) -> str:
            return show(partial(_span, name=name, by=by, text=text))

        app.get(f"/meters/<name>/{by}", callback=span)
        app.get(f"/meters/<name>/{by}/<text>", callback=span)


# Pages


def _shown(state: SiteState, page: Page) -> str:
    """Return a page in the language of the reader."""
    response.content_type = _HTML
    response.set_header("Vary", "Accept-Language")
    language = accepted_language(_header("ACCEPT_LANGUAGE"))
    root = "../" * (request.path.count("/") - 1)
    return state.shown(language, root, page)


def _start(state: SiteState, view: View) -> str:
    meters = view.meters()
    return _now_of(state, view, meters[0]) if len(meters) == 1 else overview_page(view)


def _now(state: SiteState, view: View, name: str) -> str:
    return _now_of(state, view, _meter(view, name))


def _now_of(state: SiteState, view: View, meter: ShownMeter) -> str:
    text = request.query.get("hours", str(HOURS[0]))
    if text not in map(str, HOURS):
        raise PageError(400, view.language.gettext("The page shows the last 24 or 48 hours."))
    curve = PowerCurve(view.now, 1, ()) if meter.now is None else state.live.curve(meter.now.own_name)
    return now_page(view, meter, curve, int(text))


def _live(view: View, name: str) -> str:
    return live_part(view, _meter(view, name))


def _span(view: View, name: str, by: By, text: str) -> str:
    return span_page(view, _meter(view, name), by, _day(view, by, text))


def _bill(view: View, name: str) -> str:
    return bill_page(view, _meter(view, name))


def _meter(view: View, name: str) -> ShownMeter:
    meter = view.meter(name)
    if meter is None:
        raise PageError(404, view.language.gettext("There is no meter of this name."))
    return meter


def _day(view: View, by: By, text: str) -> date:
    """Return a day of the span that an address names; without a name it is the running one."""
    if not text:
        return local_date(view.now, view.zone)
    try:
        return read_date(by, text)
    except ValueError:
        raise PageError(404, view.language.gettext("There is no such date.")) from None


# Everything else


def _static(state: SiteState, name: str) -> HTTPResponse:
    if name not in _STATIC:
        raise HTTPError(404)
    is_versioned = request.query.get("v") == state.live.now().version
    return HTTPResponse(
        _content_of(name),
        Content_Type=_STATIC[name],
        Cache_Control=_FOR_EVER if is_versioned else _CHECK_FIRST,
    )


@cache
def _content_of(name: str) -> bytes:
    return STYLE.encode() if name == "charts.css" else (STATIC / name).read_bytes()


def _add_metrics(live: Live, found: "Metrics") -> None:
    from smarty_gateway.web.metrics import add_metrics  # noqa: PLC0415 - most gateways have no Prometheus

    add_metrics(live.now(), found)


def _moved(to: str) -> HTTPResponse:
    """Return the way to an address relative to this one, so that it holds below any path."""
    query = f"?{request.query_string}" if request.query_string else ""
    return HTTPResponse(status=308, Location=f"{to}{query}")


def _header(name: str) -> str:
    """Return a header; bottle fails on one that is not UTF-8."""
    return str(request.environ.get(f"HTTP_{name}", ""))


def _require_text() -> None:
    """Refuse a path that is no text: bottle would leave out what it cannot read of it."""
    try:
        request.environ["bottle.raw_path"].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        raise HTTPError(404) from None


def _error(state: SiteState, error: HTTPError) -> str | bytes:
    """Return what is said instead of a page, in the reader's language, or instead of an API's answer."""
    if request.path.startswith(API):
        return api_error(error)

    def page(view: View) -> str:
        _ = view.language.gettext
        texts = {
            404: _("There is nothing at this address."),
            405: _("Nothing can be changed here."),
        }
        usual = texts.get(error.status_code, _("The gateway has made a mistake; its log says which."))
        text = str(error.body) if isinstance(error, PageError) else usual
        return render("error.html", view, text, status=error.status_code)

    return _shown(state, page)
