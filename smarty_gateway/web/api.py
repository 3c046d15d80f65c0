"""The JSON API, `/api/v1`: its routes; `openapi` describes them."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl, quote

from bottle import Bottle, HTTPError, HTTPResponse, request, response

from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.history.rows import By, HistoryMeter
from smarty_gateway.history.stretches import Stretch, StretchError, recent_stretch, stretch_between
from smarty_gateway.languages.language import language_of
from smarty_gateway.outputs.history_records import (
    COLUMNS,
    Record,
    columns_of,
    csv_lines,
    level_record,
    local_time,
    peak_record,
    record_of,
    register_record,
)
from smarty_gateway.outputs.json_lines import to_json_bytes
from smarty_gateway.pages.public_names import public_record
from smarty_gateway.pages.site import NoHistory, ShownMeter, View
from smarty_gateway.pages.snapshots import MeterNow
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable
from smarty_gateway.state.history_access import History, NoTariffError
from smarty_gateway.web.health import health_object
from smarty_gateway.web.openapi import LONGEST, MOST_CHARACTERS, MOST_PEAKS, document
from smarty_gateway.web.site_state import SiteState

API: Final = "/api/v1"
_JSON: Final = "application/json"
_CSV: Final = "text/csv; charset=utf-8; header=present"
#: Days without a range, as `history show` and `history registers` have them.
_SHOWN_DAYS: Final = 7
_REGISTER_DAYS: Final = 31
_MOST_PARAMETERS: Final = 20
_MOST_NAMES: Final = 20
#: Status and text, by why there is no history.
_NO_HISTORY: Final = {
    NoHistory.OFF: (
        404,
        "this gateway keeps no history: `history: false` in gateway.yaml, or recordings only",
    ),
    NoHistory.NOT_YET: (404, "there is no history yet"),
    NoHistory.LOCKED: (503, "another program has locked the history; ask again when it has ended"),
    NoHistory.UNREADABLE: (503, "the history cannot be read; `smarty-gateway history` says why"),
}
_ENGLISH: Final = language_of("en")
#: Of an error without a text of its own.
_TEXTS: Final = {
    404: f"there is nothing at this address; {API}/openapi.json lists all",
    405: "nothing can be changed over HTTP: only GET and HEAD are answered",
    500: "the gateway has made a mistake; its log says which",
}
#: A plus of an offset that was not written as %2B.
_LOST_PLUS: Final = re.compile(r"(?<=T)(.*) (\d\d:\d\d)$")


def add_api(app: Bottle, state: SiteState) -> None:
    """Add the routes."""
    answers: dict[str, Callable[..., HTTPResponse]] = {
        "/openapi.json": _openapi,
        "/health": _health,
        "/meters": _meters,
        "/meters/<name>/now": _now,
        "/meters/<name>/history": _history,
        "/meters/<name>/peaks": _peaks,
        "/meters/<name>/levels": _levels,
        "/meters/<name>/registers": _registers,
    }
    for path, answer in answers.items():
        app.get(f"{API}{path}", callback=partial(_answered, answer, state))


def api_error(error: HTTPError) -> bytes:
    """Return the answer for an error."""
    response.content_type = _JSON
    text = str(error.body) if isinstance(error, ApiError) else _TEXTS.get(error.status_code, _TEXTS[500])
    return to_json_bytes({"error": text})


class ApiError(HTTPError):  # type: ignore[misc] # bottle has no types
    """The body says in one sentence what is wrong."""


def _answered(answer: Callable[..., HTTPResponse], state: SiteState, **path: str) -> HTTPResponse:
    try:
        return answer(state, **path)
    except StretchError as error:
        raise ApiError(400, str(error)) from None
    except UnusableFileError:
        raise ApiError(503, "the tariff cannot be used; `smarty-gateway check` says why") from None
    except GatewayError as error:
        raise ApiError(*_NO_HISTORY[state.why(error)]) from None


def _openapi(state: SiteState) -> HTTPResponse:
    _parameters()
    http = state.config.outputs.http
    needs_password = http is not None and http.password_file is not None
    return _json(document(state.live.now().version, needs_password=needs_password))


def _health(state: SiteState) -> HTTPResponse:
    _parameters()
    _, found = health_object(state.live.now())
    return _json(dict(found))


# Now


def _meters(state: SiteState) -> HTTPResponse:
    _parameters()
    return _json(state.shown(_ENGLISH, "", lambda view: [_summary(view, meter) for meter in view.meters()]))


def _summary(view: View, meter: ShownMeter) -> Record:
    kept = meter.history
    return {
        "meter": meter.name,
        "availability": None if meter.now is None else meter.now.availability,
        "history": None if kept is None else _extent(kept, view),
    }


def _extent(kept: HistoryMeter, view: View) -> Record:
    first, last = (local_time(at, view.zone) for at in (kept.first, kept.last))
    return {"from": first, "to": last, "simulated": kept.is_simulated}


def _now(state: SiteState, name: str) -> HTTPResponse:
    _parameters()
    gateway = state.live.now()
    meter = gateway.meter(name)
    if meter is None:
        raise _no_such(name, "reads", gateway.meters)
    return _json(_now_record(meter, time.time()))


def _now_record(meter: MeterNow, now: float) -> Record:
    head: Record = {"meter": meter.name, "availability": meter.availability, "age": None}
    reading = meter.reading
    if reading is None:
        return head
    quarter = {} if reading.quarter is None else {"quarter": reading.quarter.as_object()}
    # A clock that was set back makes no reading newer than now.
    head["age"] = max(0.0, round(now - reading.received.timestamp(), 1))
    return head | public_record(reading, meter.name) | quarter


# History


def _history(state: SiteState, name: str) -> HTTPResponse:
    wanted = _parameters("from", "to", "by", "format")
    text = _choice(wanted, "by", [span.value for span in By])
    by = None if text is None else By(text)
    with _kept(state, name) as (history, meter):
        stretch = _stretch(wanted, history, by, _SHOWN_DAYS)
        stretch = replace(stretch, by=by or stretch.by)
        _require_short(stretch, meter, f"by={stretch.by}")
        records = [record_of(name, row, history.zone) for row in history.rows(meter, stretch)]
    return _records(wanted, records, name, stretch.by, COLUMNS)


def _peaks(state: SiteState, name: str) -> HTTPResponse:
    wanted = _parameters("from", "to", "count", "format")
    count = _choice(wanted, "count", [str(number) for number in range(1, MOST_PEAKS + 1)]) or "1"
    with _kept(state, name) as (history, meter):
        stretch = _stretch(wanted, history, None, None)
        _require_short(stretch, meter, "peaks")
        found = history.reader.peaks(meter.name, stretch.first, stretch.last, int(count))
        records = [peak_record(name, peak, history.zone) for peak in found]
    return _records(wanted, records, name, "peaks")


def _registers(state: SiteState, name: str) -> HTTPResponse:
    wanted = _parameters("from", "to", "format")
    with _kept(state, name) as (history, meter):
        stretch = _stretch(wanted, history, None, _REGISTER_DAYS)
        found = history.reader.registers(meter.name, stretch.first, stretch.last)
        records = [register_record(name, reading, history.zone) for reading in found]
    for record in records:
        del record["meter_id"]
    return _records(wanted, records, name, "registers")


def _levels(state: SiteState, name: str) -> HTTPResponse:
    wanted = _parameters("format")
    with _kept(state, name) as (history, meter):
        try:
            found = history.levels(meter)
        except NoTariffError:
            raise ApiError(
                404, f"{name} has no tariff with levels; `tariff` in gateway.yaml names one"
            ) from None
        records = [level_record(name, level, history.zone) for level in found]
    return _records(wanted, records, name, "levels")


@contextmanager
def _kept(state: SiteState, name: str) -> Iterator[tuple[History, HistoryMeter]]:
    """Open the history of a meter."""
    with state.view(_ENGLISH, "") as view:
        if view.no_history is not None:
            raise ApiError(*_NO_HISTORY[view.no_history])
        meters = view.meters()
        meter = next((meter for meter in meters if meter.name == name), None)
        if meter is None:
            raise _no_such(name, "knows", meters)
        if view.history is None or meter.history is None:
            raise ApiError(404, f"there is no history of {name}")
        yield view.history, meter.history


def _stretch(wanted: Mapping[str, str], history: History, by: By | None, days: int | None) -> Stretch:
    first, last = (
        None if name not in wanted else _LOST_PLUS.sub(r"\1+\2", wanted[name]) for name in ("from", "to")
    )
    if first is None and last is None:
        return recent_stretch(history.zone, history.now, by, days)
    return stretch_between(first, last, history.zone, history.now)


def _require_short(stretch: Stretch, meter: HistoryMeter, what: str) -> None:
    """Refuse what would take a small computer seconds."""
    first = max(meter.first, stretch.first or 0)
    last = meter.last if stretch.last is None else min(meter.last, stretch.last)
    days = LONGEST.get(what)
    if days is not None and last - first > timedelta(days=days).total_seconds():
        raise ApiError(400, f"{what} returns {days} days at most: name a shorter time with from and to")


# Questions and answers


def _no_such(name: str, does: str, meters: Sequence[MeterNow | ShownMeter]) -> ApiError:
    known = ", ".join(meter.name for meter in meters[:_MOST_NAMES]) or "none"
    more = " …" if len(meters) > _MOST_NAMES else ""
    return ApiError(404, f"the gateway {does} no meter {_cut(name)!r}; known are: {known}{more}")


def _parameters(*known: str) -> dict[str, str]:
    """Return the parameters of the request."""
    try:
        pairs = parse_qsl(
            request.query_string, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except ValueError:
        raise ApiError(400, "the parameters cannot be read") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            raise ApiError(
                400, f"there is no parameter {_cut(name)!r}; known are: {', '.join(known) or 'none'}"
            )
        if name in found:
            raise ApiError(400, f"{name} is there twice")
        if len(value) > MOST_CHARACTERS:
            raise ApiError(400, f"{name} is longer than {MOST_CHARACTERS} characters")
        found[name] = value
    return found


def _choice(wanted: Mapping[str, str], name: str, values: Sequence[str]) -> str | None:
    value = wanted.get(name)
    if value is not None and value not in values:
        known = ", ".join(values) if len(values) < _MOST_NAMES else f"{values[0]} to {values[-1]}"
        raise ApiError(400, f"{name} is not {value!r} but one of: {known}")
    return value


def _records(
    wanted: Mapping[str, str],
    records: Sequence[Record],
    meter: str,
    what: str,
    columns: Sequence[str] = (),
) -> HTTPResponse:
    """Return records as JSON, or as a CSV file.

    Args:
        wanted: says which.
        records: to return.
        meter: names the file.
        what: likewise.
        columns: of a table without records.
    """
    if _choice(wanted, "format", ("json", "csv")) != "csv":
        return _json(list(records))
    lines = csv_lines(columns_of(records) or columns, records)
    name = f"{meter}-{what}.csv"
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    return HTTPResponse(
        "".join(f"{line}\r\n" for line in lines).encode(),
        Content_Type=_CSV,
        Content_Disposition=f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
    )


def _json(found: Any) -> HTTPResponse:  # noqa: ANN401 - what JSON can write
    return HTTPResponse(to_json_bytes(found), Content_Type=_JSON)


def _cut(text: str) -> str:
    return printable(text[:MOST_CHARACTERS])
