"""The OpenAPI document is valid, complete and true."""

import json
import re
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.web.openapi import document
from tests.support.every_meter import EVERY_KIND
from tests.support.histories import ZONE
from tests.support.site import UNNAMED, Site
from tests.support.views import config_of

DOCUMENT = document("1.2.3", needs_password=True)
PATHS = [path for path in DOCUMENT["paths"] if path != "/api/v1/openapi.json"]
#: What says which meter it is, and is not served.
SECRET = {"equipment_id", "serial_number", "logical_device_name", "ean"}


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Return what checks values against a schema of the document."""
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def faults(schema: dict[str, Any], value: Any) -> list[str]:  # noqa: ANN401 - what JSON can hold
    """Return what of a value is not as the schema says."""
    return [f"{found.json_path}: {found.message}" for found in validator(schema).iter_errors(value)]


def test_the_document_is_served_as_it_is(site: Site) -> None:
    served = site.ask("/api/v1/openapi.json").json
    assert served["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))
    assert served["security"] == []


def test_every_reference_leads_to_something() -> None:
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(DOCUMENT)):
        found: Any = DOCUMENT
        for part in reference.split("/"):
            found = found[part]


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_every_field_of_the_json_object_is_there_but_those_that_name_the_meter() -> None:
    described = set(DOCUMENT["components"]["schemas"]["Now"]["properties"])
    assert set(BY_NAME) - described == SECRET


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("meter", ["house", "barn", UNNAMED, "shed", "nobody"])
def test_every_answer_is_as_it_says(site: Site, path: str, meter: str) -> None:
    answer = site.ask(path.format(meter=meter))
    found = DOCUMENT["paths"][path]["get"]["responses"][str(answer.status)]
    if "$ref" in found:
        found = DOCUMENT["components"]["responses"][found["$ref"].rpartition("/")[2]]
    assert faults(found["content"]["application/json"]["schema"], answer.json) == []


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_the_reading_of_every_kind_of_meter_is_as_it_says(kind: str) -> None:
    site = Site(config=config_of("house"))
    site.live.take(Reading("house", EVERY_KIND[kind], datetime.now(ZONE)))
    found = site.ask("/api/v1/meters/house/now").json
    schema = DOCUMENT["components"]["schemas"]["Now"]
    assert faults(schema, found) == []
    # What no property names must be a device, so the check above covers each field.
    assert {key for key in found if key not in schema["properties"]} == set(EVERY_KIND[kind].decoded.devices)


@pytest.mark.parametrize(
    "wrong", [{"energy_import": "1"}, {"gas": 3}, {"availability": "away"}, {"age": "old"}]
)
def test_a_value_that_is_not_as_it_says_is_noticed(wrong: dict[str, Any]) -> None:
    good = {"meter": "house", "availability": "online", "age": 1.0}
    schema = {"$ref": "#/components/schemas/Now"}
    assert faults(schema, good) == []
    assert faults(schema, good | wrong) != []


def test_a_password_is_named_where_one_is_needed() -> None:
    assert DOCUMENT["security"] == [{"password": []}]
    assert document("1.2.3", needs_password=False)["security"] == []
