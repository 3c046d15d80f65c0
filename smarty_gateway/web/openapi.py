"""The OpenAPI document of `/api/v1`: what each address takes and returns.

The fields of a meter come from the table of OBIS codes, those of the history from its columns.
"""

from collections.abc import Mapping
from typing import Any, Final

from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import TARIFFS
from smarty_gateway.outputs.history_records import COLUMNS
from smarty_gateway.pages.public_names import SECRET
from smarty_gateway.pages.snapshots import Availability
from smarty_gateway.protocol.meter_telegram import Security
from smarty_gateway.protocol.obis import BY_NAME, MONTH_END_VALUES, Form, ObisObject
from smarty_gateway.protocol.rejection import Reason

#: Days that one request returns at most; more would take a small computer seconds.
LONGEST: Final = {"by=quarter": 93, "by=hour": 93, "peaks": 366}
MOST_PEAKS: Final = 100
#: Of a parameter.
MOST_CHARACTERS: Final = 64

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": "string"}
_NUMBER: Final[Schema] = {"type": "number"}
_COUNT: Final[Schema] = {"type": "integer"}
_TIME: Final[Schema] = {"type": "string", "format": "date-time"}
#: RFC 3339, and so the format date-time, has no time without an offset.
_METER_TIME: Final[Schema] = {"type": "string", "description": "ISO 8601; some meters send no offset"}
_KNOWN_OR_NULL: Final[Schema] = {"type": ["number", "null"]}
_YES_OR_NO: Final[Schema] = {"type": "integer", "enum": [0, 1]}


def document(version: str, *, needs_password: bool) -> Schema:
    """Return the document.

    Args:
        version: of the gateway.
        needs_password: a browser has to give one.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smarty-gateway",
            "version": version,
            "summary": "Verified readings of smart meters, and their history",
            "description": "Energies are in kWh, powers in kW; times are ISO 8601. Only GET and HEAD are "
            "answered. A password, if there is one, is asked for by HTTP Basic with any user name.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        # Relative to this document, so that it holds below any path.
        "servers": [{"url": "../.."}],
        "security": [{"password": []}] if needs_password else [],
        "paths": _paths(),
        "components": {
            "securitySchemes": {"password": {"type": "http", "scheme": "basic"}},
            "schemas": _schemas(),
            "parameters": _parameters(),
            "responses": _errors(),
        },
    }


def _paths() -> Schema:
    times = ("from", "to")
    return {
        "/api/v1/openapi.json": _get("This document", {"type": "object"}),
        "/api/v1/health": _get("What works, and what does not", _ref("Health")),
        "/api/v1/meters": _get("All meters", _list("Meter")),
        "/api/v1/meters/{meter}/now": _get("The newest reading of a meter", _ref("Now"), "meter"),
        "/api/v1/meters/{meter}/history": _table(
            "Energy, power and excess of each quarter hour, hour, day, month or year",
            f"The last 7 days by day, if no time is named. {_limit('by=quarter', 'by=hour')}",
            "Span", *times, "by",
        ),
        "/api/v1/meters/{meter}/peaks": _table(
            "The highest quarter hours of each month",
            f"Of this month and the 11 before, if no time is named. {_limit('peaks')}",
            "Peak", *times, "count",
        ),
        "/api/v1/meters/{meter}/registers": _table(
            "The registers at the beginning of each day",
            "Of the last 31 days, if no time is named.",
            "Registers", *times,
        ),
        "/api/v1/meters/{meter}/levels": _table(
            "What each level of the tariff would have cost in the last 12 months",
            "404 for a meter without a tariff that has levels.",
            "Level",
        ),
    }  # fmt: skip


def _limit(*names: str) -> str:
    return f"{' and '.join(names)} return at most {LONGEST[names[0]]} days."


def _get(summary: str, schema: Schema, *parameters: str, **more: object) -> Schema:
    """Return an address that answers with JSON."""
    errors = ["401", "403", "421", "429", "503"]
    errors += ["400", "404"] if parameters else ["400"]
    get = {
        "summary": summary,
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
        "responses": {
            "200": {"description": "OK", "content": {"application/json": {"schema": schema}}},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
        },
    }
    return {"get": get | more}


def _table(summary: str, description: str, name: str, *parameters: str) -> Schema:
    """Return an address that answers with records as JSON or CSV."""
    path = _get(summary, _list(name), "meter", *parameters, "format", description=description)
    ok = path["get"]["responses"]["200"]
    ok["content"]["text/csv"] = {"schema": _TEXT}
    return path


def _parameters() -> Schema:
    when = "A local day or time at a quarter hour; a time in the repeated hour needs its offset (%2B for +)."
    moment = {
        "type": "string",
        "maxLength": MOST_CHARACTERS,
        "pattern": r"^20\d\d-\d\d-\d\d(T\d\d:(00|15|30|45)(:00)?(Z|[+-]\d\d:\d\d)?)?$",
        "examples": ["2026-10-25", "2026-10-25T18:00", "2026-10-25T02:15+01:00"],
    }
    return {
        "meter": {
            "name": "meter", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
            "description": "its name in /api/v1/meters",
        },
        "from": _query("from", moment, f"{when} Without it, from the beginning of the history."),
        "to": _query("to", moment, f"{when} It is not part of the answer. Without it, until now."),
        "by": _query(
            "by", {"type": "string", "enum": [span.value for span in By]},
            "How long the spans are; what suits the time, if it is not named.",
        ),
        "count": _query(
            "count", {"type": "integer", "minimum": 1, "maximum": MOST_PEAKS, "default": 1},
            "How many quarter hours of each month.",
        ),
        "format": _query(
            "format", {"type": "string", "enum": ["json", "csv"], "default": "json"}, "JSON or CSV."
        ),
    }  # fmt: skip


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _errors() -> Schema:
    ours = {"application/json": {"schema": _ref("Error")}}
    plain = {"text/plain": {"schema": _TEXT}}
    asks = {"WWW-Authenticate": {"schema": _TEXT, "required": True}}
    waits = {"Retry-After": {"schema": _COUNT, "required": True}}
    return {
        "400": {"description": "A parameter is wrong", "content": ours | plain},
        "401": {"description": "A password is needed", "content": plain, "headers": asks},
        "403": {"description": "A page of another site asks, or an address that may not", "content": plain},
        "404": {"description": "There is no such meter, or nothing is kept of it", "content": ours},
        "421": {"description": "The gateway does not answer under this name", "content": plain},
        "429": {"description": "Too many wrong passwords", "content": plain, "headers": waits},
        "503": {"description": "The history cannot be read at the moment", "content": ours},
    }


def _schemas() -> Schema:
    return {
        "Error": _object(
            {"error": {"type": "string", "description": "what is wrong, in one sentence"}}, "error"
        ),
        "Meter": _meter(),
        "Now": _now(),
        "Device": _device(),
        "Quarter": _quarter(),
        "Health": _health(),
        "Span": _span(),
        "Peak": _peak(),
        "Registers": _registers(),
        "Level": _level(),
    }


# The present


def _meter() -> Schema:
    history = _object(
        {"from": _TIME, "to": _TIME, "simulated": {"type": "boolean"}}, "from", "to", "simulated"
    )
    return _object(
        {
            "meter": {**_TEXT, "description": "the name that stands for METER in addresses"},
            "availability": {
                "anyOf": [_availability(), {"type": "null"}],
                "description": "null: not read at present",
            },
            "history": {"anyOf": [history, {"type": "null"}], "description": "null: nothing is kept"},
        },
        "meter", "availability", "history",
    )  # fmt: skip


def _availability() -> Schema:
    return {"type": "string", "enum": [state.value for state in Availability]}


def _now() -> Schema:
    fields = {name: _field(found) for name, found in BY_NAME.items() if name not in SECRET}
    head: Schema = {
        "meter": _TEXT,
        "availability": {
            **_availability(),
            "description": "starting: nothing has come yet; silent: what is here is old",
        },
        "age": {**_KNOWN_OR_NULL, "description": "seconds since the reading arrived; null before the first"},
        "security": {"type": "string", "enum": [security.value for security in Security]},
        "frame_counter": _COUNT,
        "received": _TIME,
        "quarter": _ref("Quarter"),
    }
    return {
        **_object(head | fields, "meter", "availability", "age"),
        "additionalProperties": _ref("Device"),
        "description": "The JSON object of the newest telegram. What the meter does not send is absent. An "
        "M-Bus device stands under its medium: gas, water, gas_2 …",
    }


def _field(found: ObisObject) -> Schema:
    """Return the schema of a field that a meter sends."""
    unit = f", {found.quantity.unit}" if found.quantity.unit else ""
    return {**_VALUES[found.quantity.form], "description": f"{found.description} ({found.code}){unit}"}


def _device() -> Schema:
    return _object(
        {
            "name": {**_TEXT, "description": "its medium and the last four characters of its id"},
            "channel": _COUNT,
            "device_type": _COUNT,
            "value": _NUMBER,
            "unit": _TEXT,
            "timestamp": _METER_TIME,
            "valve_state": _COUNT,
        },
        "name", "channel",
    )  # fmt: skip


def _quarter() -> Schema:
    energies = (
        "import", "mean_power", "forecast_power", "allowed_power", "reference_power", "excess",
        "excess_day", "excess_month", "excess_year", "peak_month", "import_day", "export_day", "covered_day",
    )  # fmt: skip
    known = {"start": _TIME, "peak_month_time": _TIME, "will_exceed": {"type": "boolean"}}
    found = _object(known | dict.fromkeys(energies, _NUMBER), "start")
    return {**found, "description": "The running quarter hour, as it is published over MQTT."}


def _health() -> Schema:
    counts = ("telegrams", "noise_bytes", "counter_gaps", "duplicates", "elsewhere", "reconnects")
    answers = ("expected", "connected", "downgraded")
    reason = {"type": "string", "enum": [reason.value for reason in Reason]}
    meter: Schema = {
        "meter": _TEXT,
        "availability": _availability(),
        "troubles": {"type": "array", "items": reason, "description": "rejected in the last minutes"},
        "rejected": {"type": "object", "propertyNames": reason, "additionalProperties": _COUNT},
        "last_telegram": {"type": ["string", "null"], "format": "date-time"},
        **{name: {"type": "boolean"} for name in answers},
        **dict.fromkeys(counts, _COUNT),
    }
    gateway: Schema = {
        "status": {"type": "string", "enum": ["ok", "starting", "failing"]},
        "version": _TEXT,
        "started": _TIME,
        "counters_kept": {"type": "boolean"},
        "history_kept": {"type": "boolean"},
        "outputs": {"type": "object", "additionalProperties": _TEXT},
        "meters": {"type": "array", "items": _object(meter, *meter)},
    }
    return _object(gateway, *gateway)


# The history


def _span() -> Schema:
    columns = dict.fromkeys(COLUMNS, _KNOWN_OR_NULL)
    columns |= {"meter": _TEXT, "start": _TIME, "end": _TIME, "complete": _YES_OR_NO}
    tariffs = {f"{way}_t{tariff}": _KNOWN_OR_NULL for way in ("import", "export") for tariff in TARIFFS}
    return _with_devices(columns | tariffs, *COLUMNS)


def _peak() -> Schema:
    return _object(
        {
            "meter": _TEXT,
            "month": {"type": "string", "pattern": r"^\d{4}-\d{2}$"},
            "start": _TIME,
            "end": _TIME,
            "power": _NUMBER,
            "of_meter": {**_YES_OR_NO, "description": "1: the meter itself says so"},
        },
        "meter", "month", "start", "end", "power", "of_meter",
    )  # fmt: skip


def _registers() -> Schema:
    return _with_devices({"meter": _TEXT, "time": _TIME}, "meter", "time")


def _level() -> Schema:
    return {
        **_object(
            {
                "meter": _TEXT,
                "level": _NUMBER,
                "excess": _NUMBER,
                "covered": _NUMBER,
                "cheapest": _YES_OR_NO,
                "currency": _TEXT,
                "tariff": _TEXT,
            },
            "meter", "level", "excess", "covered", "cheapest", "currency", "tariff",
        ),
        "patternProperties": {"^cost_": _NUMBER},
    }  # fmt: skip


def _with_devices(properties: Schema, *required: str) -> Schema:
    """Return the schema of a record with columns for registers and M-Bus devices: gas, gas_unit."""
    return {
        **_object(properties, *required),
        "patternProperties": {"_unit$": _TEXT},
        "additionalProperties": {"type": ["number", "string", "null"]},
    }


def _object(properties: Mapping[str, Schema], *required: str) -> Schema:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _list(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_PEAK_VALUE: Final = _object({"value": _NUMBER, "timestamp": _METER_TIME}, "value", "timestamp")
_PEAK_OF_MONTH: Final = _object(
    {"period_end": _METER_TIME, "timestamp": _METER_TIME, "value": _NUMBER},
    "period_end",
    "timestamp",
    "value",
)
_FAILURE: Final = _object({"end": _METER_TIME, "duration_s": _NUMBER}, "end", "duration_s")
_VALUES: Final[Mapping[Form, Schema]] = {
    Form.NUMBER: _NUMBER,
    Form.COUNT: _COUNT,
    Form.TEXT: _TEXT,
    Form.HEX_TEXT: _TEXT,
    Form.TIME: _METER_TIME,
    Form.THRESHOLD: _NUMBER,
    Form.THRESHOLD_PAIR: _NUMBER,
    Form.PEAK: _PEAK_VALUE,
    Form.PEAK_HISTORY: {"type": "array", "items": _PEAK_OF_MONTH},
    Form.MONTH_END: _object(
        {"timestamp": _METER_TIME} | dict.fromkeys(MONTH_END_VALUES, _NUMBER), "timestamp"
    ),
    Form.FAILURE_LOG: {"type": "array", "items": _FAILURE},
}
