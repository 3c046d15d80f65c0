"""The published frames and telegrams beside the project meet what is known of them.

They lie outside this repository for their licences; without them these tests say so and pass over.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from smarty_gateway.outputs.mqtt.entities import METER
from smarty_gateway.protocol.decoder import decode
from smarty_gateway.protocol.key_ring import LUXEMBOURG_AUTHENTICATION_KEY, KeyRing
from smarty_gateway.protocol.obis import BY_CODE, MBUS_FIELDS, MEDIA, OBJECTS
from smarty_gateway.protocol.telegram import parse_telegram
from tests.support.streams import meter_key, read, reasons, telegrams

SHARED = Path(__file__).resolve().parents[3] / "shared"


def load(name: str) -> list[dict[str, Any]]:
    path = SHARED / name
    records: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path.exists() else []
    return records


ENCRYPTED = load("vectors/encrypted.json")
TELEGRAMS = load("vectors/telegrams.json")
needs_vectors = pytest.mark.skipif(not ENCRYPTED, reason="the published vectors are not beside the project")


def keys_of(record: dict[str, Any]) -> KeyRing:
    if not record["key_hex"]:
        return KeyRing()
    authentication = bytes.fromhex(record["auth_key_hex"] or LUXEMBOURG_AUTHENTICATION_KEY.hex())
    return KeyRing({}, [meter_key(bytes.fromhex(record["key_hex"]), authentication)])


# Written out again on purpose: a second opinion on the table that `verify` uses.
REASON = {
    "ok_tag_but_p1_crc_bad": "checksum",
    "ok_no_aad": "authentication",
    "tag_fail": "authentication",
    "no_key": "no-key",
    "no_auth_key": "no-key",
    "enc_only": "security",
    "auth_only": "security",
    "malformed": "malformed",
}


@needs_vectors
@pytest.mark.parametrize("record", ENCRYPTED, ids=[r["id"] for r in ENCRYPTED])
def test_each_published_frame_meets_its_expectation(record: dict[str, Any]) -> None:
    events = read(bytes.fromhex(record["frame_hex"]), keys_of(record))
    if record["expect"] == "ok" and record["plaintext"]:
        (found,) = telegrams(events)
        assert found.raw == record["plaintext"].encode("latin-1")
        assert found.security == "authenticated"
    else:
        assert telegrams(events) == []
        assert reasons(events) == [REASON.get(record["expect"], "malformed")]


@needs_vectors
def test_the_genuine_luxembourg_frame_gives_its_readings() -> None:
    (record,) = [r for r in ENCRYPTED if r["id"] == "lux-nexxtlab-real-2018"]
    (found,) = telegrams(read(bytes.fromhex(record["frame_hex"]), keys_of(record)))
    values = found.as_object()
    assert values["energy_import"] == 6.695
    assert values["frame_counter"] == 370915
    assert values["meter_id"] == "SAG1030700114004"
    assert values["security"] == "authenticated"
    assert values["apparent_power_threshold"] == 77.376
    assert values["reactive_power_export"] == 0.007
    assert "unknown" not in values


@needs_vectors
@pytest.mark.parametrize("record", TELEGRAMS, ids=[r["id"] for r in TELEGRAMS])
def test_each_published_telegram_passes_just_if_its_crc_holds_or_none_is_due(record: dict[str, Any]) -> None:
    events = read(record["telegram_text"].encode("latin-1"))
    if record["crc_valid"] is False:
        assert reasons(events) == ["checksum"]
    else:
        assert len(telegrams(events)) == 1
        assert reasons(events) == []


#: Codes that no table names: what a country or maker has for itself.
UNKNOWN = {
    "hr-si-iskra-am550-nocrc": {"0-0:97.97.0", "1-0:0.9.1", "1-0:0.9.2"},
    "ch-sagemcom-xt211": {"0-0:0.0.0", "0-0:98.1.0"},
}


@needs_vectors
@pytest.mark.parametrize("record", TELEGRAMS, ids=[r["id"] for r in TELEGRAMS])
def test_each_line_of_each_published_telegram_is_accounted_for(record: dict[str, Any]) -> None:
    telegram = parse_telegram(record["telegram_text"].encode("latin-1"))
    assert telegram is not None
    readings = decode(telegram)
    assert set(readings.unknown) == UNKNOWN.get(record["id"], set())
    known = set(readings.codes.values()) | set(readings.unknown)
    left_out = [
        line for line in telegram.split()[1] if line.partition("(")[0] not in known and "(" in line[1:]
    ]
    for line in left_out:
        code, _, rest = line.partition("(")
        is_off = code in ("0-0:17.0.0", "1-0:31.4.0") and rest.startswith(("999", "0999", "99.999"))
        if rest in "".join(telegram.split()[1]) and not code:
            continue  # the second line of a register that takes two
        is_unset = "000101" in rest or "632525" in rest or "123412341234W" in rest
        channel = code.partition(":")[0]
        is_unconnected = not any(
            str(device["channel"]) == channel[2:] for device in readings.devices.values()
        )
        assert is_off or is_unset or (code.partition(":")[2] in MBUS_FIELDS and is_unconnected), line


def test_the_table_says_what_the_list_of_names_says() -> None:
    path = SHARED / "facts/names.json"
    if not path.exists():
        pytest.skip("the list of names is not beside the project")
    names = json.loads(path.read_text("utf-8"))
    ours = {(o.code, o.name, o.description, o.quantity.unit) for o in OBJECTS}
    sorts = {entity.key: entity.sort for entity in METER}
    for row in names["readings"]:
        unit = row["unit"] or None
        assert (row["obis"], row["name"], row["description"], unit) in ours
        sort = sorts.get(row["name"])
        # Where the list has no class, peaks have statistics, limits a class, and words are an enum.
        assert row["device_class"] in (None, sort and sort.device_class)
        assert row["state_class"] in (None, sort and sort.state_class)
        assert row["obis"] in BY_CODE
    beyond = {o.name for o in OBJECTS} - {row["name"] for row in names["readings"]}
    assert beyond == {
        "relay_2_state", "relay_3_state", "relay_4_state",  # stand there in a note
        "serial_number", "firmware_version", "firmware_signature",
        "firmware_module_version", "firmware_module_signature",
        "power_combined", "month_end", "fuse_threshold_l2", "fuse_threshold_l3",
        "reactive_demand_import", "reactive_demand_export",
        "apparent_demand_import", "apparent_demand_export",
        "demand_import_last", "demand_export_last", "reactive_demand_import_last",
        "reactive_demand_export_last", "apparent_demand_import_last", "apparent_demand_export_last",
    }  # fmt: skip
    assert len(ours) == len(names["readings"]) + len(beyond)
    assert {str(kind): name for kind, name in MEDIA.items()} == names["mbus"]["medium_by_device_type"]
