"""What Home Assistant demands of a discovery payload, each rule a test, over telegrams of all countries."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import jinja2
import pytest

from smarty_gateway.config.values import HomeAssistantConfig, Style
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.meter_topics import MeterTopics
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret, Verification
from smarty_gateway.protocol.meter import MeterStream, MeterTelegram
from smarty_gateway.safe_text import object_id
from tests.support.commands import ROOT
from tests.support.home_assistant_rules import DEVICE_KEYS, SENSOR_KEYS, SHARED_KEYS, STATE_CLASSES, UNITS
from vectors.building_blocks import (
    HOUSE_KEY,
    belgium,
    frame,
    hex_text,
    luxembourg,
    luxembourg_of_2018,
    netherlands,
    telegram,
)


def dutch_22(second: int = 0) -> bytes:
    """Write a telegram of DSMR 2.2: no version, no time, no CRC, and gas dated without a zone."""
    lines = (
        "/ISk5\\2ME382-1003", "", f"0-0:96.1.1({hex_text('E0003000000000001')})", "1-0:1.8.1(12345.678*kWh)",
        "1-0:1.8.2(12345.678*kWh)", f"1-0:1.7.0(0001.{second:02d}*kW)", "0-0:96.14.0(0002)", "0-1:24.1.0(3)",
        f"0-1:96.1.0({hex_text('3238313031453631')})",
        "0-1:24.3.0(120517020000)(08)(60)(1)(0-1:24.2.1)(m3)", "(00124.477)", "!",
    )  # fmt: skip
    return "\r\n".join([*lines, ""]).encode()


def readings_of(stream: bytes, keys: KeyRing | None = None, meter: str | None = None) -> list[Reading]:
    source = MeterStream(keys or KeyRing())
    source.receive_data(stream)
    source.receive_silence()
    found = []
    while (event := source.next_event()) is not None:
        if isinstance(event, MeterTelegram):
            name = meter or event.meter_id
            found.append(Reading(name, event, datetime(2026, 1, 30, 9, 21, 30, tzinfo=UTC)))
    return found


def one(stream: bytes, meter: str = "house") -> Reading:
    (found,) = readings_of(stream, meter=meter)
    return found


def encrypted(second: int = 0) -> Reading:
    keys = KeyRing({}, [MeterKey(Secret(HOUSE_KEY))])
    return readings_of(frame(luxembourg(second)), keys, "house")[0]


def vector_readings() -> Iterator[tuple[str, Reading]]:
    """Return every telegram of vectors/decoded.json."""
    for case in json.loads((ROOT / "vectors/decoded.json").read_text("utf-8"))["cases"]:
        by_title: dict[bytes, list[MeterKey]] = {}
        others: list[MeterKey] = []
        for record in case["keys"]:
            keys = [
                MeterKey(
                    Secret(bytes.fromhex(key)),
                    Secret(bytes.fromhex(record["authentication_key"])),
                    Verification(record["verification"]),
                )
                for key in record["encryption_keys"]
            ]
            if record["system_title"] is None:
                others = keys
            else:
                by_title[bytes.fromhex(record["system_title"])] = keys
        for reading in readings_of(bytes.fromhex(case["stream"]), KeyRing(by_title, others)):
            yield case["id"], reading


READINGS: Final = [
    ("luxembourg", encrypted()),
    ("luxembourg-2018", one(luxembourg_of_2018(0))),
    ("belgium", one(belgium(0))),
    ("netherlands", one(netherlands(0))),
    ("netherlands-2.2", one(dutch_22())),
    *vector_readings(),
]


def announce(
    reading: Reading, style: Style = Style.DEVICE, prefix: str = "homeassistant"
) -> dict[str, dict[str, Any]]:
    discovery = Discovery(HomeAssistantConfig(prefix, style), Topics("smarty"), 120)
    readings = reading.telegram.decoded
    return discovery.messages(reading, readings.fields, readings.devices.items())


def devices() -> list[tuple[str, Reading, str, dict[str, Any]]]:
    return [
        (name, reading, topic, payload)
        for name, reading in READINGS
        for topic, payload in announce(reading).items()
    ]


DEVICES: Final = devices()
#: The name of the telegram, the payload of its device, the key of the component, the component.
COMPONENTS: Final = [
    (name, payload, key, component)
    for name, _, _, payload in DEVICES
    for key, component in payload["cmps"].items()
]


def state_of(reading: Reading, topic: str) -> dict[str, Any]:
    """Return the object that is published on a state topic."""
    meter = MeterTopics(reading.meter, Topics("smarty"), 0, None)
    meter.take(reading, 0)
    found: dict[str, Any] = json.loads(dict(meter.due(0))[topic])
    return found


def render(template: str, state: dict[str, Any]) -> str:
    """Render as Home Assistant does, only less patient with what is not there."""
    return _template(template).render(value_json=state, value=json.dumps(state))


@cache
def _template(text: str) -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    return environment.from_string(text)


def test_there_is_something_to_look_at() -> None:
    assert len(READINGS) > 100
    assert len(DEVICES) > len(READINGS)
    assert {c.get("dev_cla") for *_, c in COMPONENTS} >= {"energy", "power", "gas", "water", "timestamp"}


# Rules for a device


def test_the_topic_is_one_that_home_assistant_takes() -> None:
    for name, _, topic, _ in DEVICES:
        assert re.fullmatch(r"homeassistant/device/smarty_[a-zA-Z0-9_-]+/config", topic), name


def test_device_and_origin_are_there_with_what_they_must_have() -> None:
    for name, _, _, payload in DEVICES:
        assert payload["dev"]["ids"], name
        assert payload["o"]["name"] == "smarty-gateway"
        assert payload["dev"].keys() <= DEVICE_KEYS
        assert payload["o"].keys() <= {"name", "sw", "url"}
        assert all(isinstance(text, str) and text for key, text in payload["dev"].items() if key != "ids")


def test_only_known_keys_stand_at_the_top() -> None:
    for name, _, _, payload in DEVICES:
        assert payload.keys() <= SHARED_KEYS, name
        assert "exp_aft" not in payload


def test_a_value_is_there_only_if_gateway_and_meter_are() -> None:
    for _, reading, _, payload in DEVICES:
        meter = re.sub(r"[/+#$\s\x00-\x1f\x7f-\x9f]", "_", reading.meter)[:64]
        assert payload["avty"] == [
            {"topic": "smarty/status"},
            {"topic": f"smarty/{meter}/availability"},
        ]
        assert payload["avty_mode"] == "all"
        assert payload["qos"] == 1


def test_every_device_has_entities() -> None:
    for name, _, _, payload in DEVICES:
        assert payload["cmps"], name


def test_an_mbus_device_is_one_of_its_own_behind_the_meter() -> None:
    found = announce(one(belgium(0)))
    meter = found["homeassistant/device/smarty_1SAG1100000001/config"]["dev"]
    gas = found["homeassistant/device/smarty_7FLO2119000001/config"]
    water = found["homeassistant/device/smarty_8SAG1234567890/config"]
    assert gas["dev"]["via_device"] == water["dev"]["via_device"] == meter["ids"][0]
    assert gas["stat_t"] == "smarty/house/mbus/7FLO2119000001"
    assert (gas["dev"]["name"], water["dev"]["name"]) == ("house gas", "house water")
    assert len({d["dev"]["ids"][0] for d in found.values()}) == 3


def test_a_meter_swap_is_a_new_device_under_the_old_topics() -> None:
    (before, *_), (after, *_) = (
        announce(one(luxembourg(0, name=name))).items() for name in ("SAG1030700012345", "SAG1030700012352")
    )
    assert before[0] != after[0]
    assert before[1]["dev"]["ids"] != after[1]["dev"]["ids"]
    assert before[1]["stat_t"] == after[1]["stat_t"] == "smarty/house/state"


def test_what_the_old_meter_left_is_known_in_both_styles_and_belongs_to_no_other() -> None:
    old, new = (one(luxembourg(0, name=name)) for name in ("SAG1030700012345", "SAG1030700012352"))
    for style in Style:
        discovery = Discovery(HomeAssistantConfig(style=style), Topics("smarty"), 120)
        topics = [*announce(old, style), "smarty/house/state", "homeassistant/sensor/other_1/config"]
        left = discovery.left_by_others(topics, new)
        gas = [topic for topic in topics if "/smarty_GFLO2133031470/" in topic]
        assert gas  # which the new meter sends, too
        assert left == [topic for topic in announce(old, style) if topic not in gas]
        alone = one(luxembourg_of_2018(0))
        assert discovery.left_by_others(topics, alone) == list(announce(old, style))
        assert discovery.left_by_others(topics, old) == []
        both = [*topics, *announce(new, style)]
        assert discovery.left_by_others(both, new) == []
        assert discovery.left_by_others([], new) == []


# Rules for an entity


def test_only_known_keys_stand_in_a_component() -> None:
    for name, _, key, component in COMPONENTS:
        assert component.keys() <= SENSOR_KEYS, (name, key)
        assert component["p"] == "sensor"
        assert "object_id" not in component
        assert {"name", "unique_id", "val_tpl"} <= component.keys()


def test_units_are_those_of_the_device_class() -> None:
    for name, _, key, component in COMPONENTS:
        kind = component.get("dev_cla")
        if kind is not None:
            assert component.get("unit_of_meas") in UNITS[kind], (name, key, component)
        assert "m3" not in str(component.get("unit_of_meas"))


def test_state_classes_are_those_of_the_device_class() -> None:
    for name, _, key, component in COMPONENTS:
        assert component.get("stat_cla") in STATE_CLASSES[component.get("dev_cla")], (name, key)


def test_an_mbus_register_has_a_class_that_takes_its_unit_whatever_the_medium() -> None:
    for device_type in range(1, 30):
        for unit in ("*m3", "*kWh", "*GJ", ""):
            text = telegram(
                "ISK5\\2M550T-0001", "1-3:0.2.8(50)", "0-0:1.0.0(260130102000W)",
                f"0-1:24.1.0({device_type:03d})", f"0-1:96.1.0({hex_text('X1')})",
                f"0-1:24.2.1(260130102000W)(00246.138{unit})",
            )  # fmt: skip
            (payload,) = (p for t, p in announce(one(text)).items() if t.endswith("/smarty_X1/config"))
            register = payload["cmps"]["value"]
            kind = register.get("dev_cla")
            assert kind is None or register.get("unit_of_meas") in UNITS[kind], register


def test_entities_that_hold_text_claim_to_be_no_number() -> None:
    for name, reading, _, payload in DEVICES:
        state = state_of(reading, payload["stat_t"])
        for key, component in payload["cmps"].items():
            if component.keys() & {"unit_of_meas", "stat_cla", "sug_dsp_prc"}:
                value = render(component["val_tpl"], state)
                assert value == "" or float(value) is not None, (name, key, value)


def test_a_time_has_a_zone() -> None:
    for name, reading, _, payload in DEVICES:
        state = state_of(reading, payload["stat_t"])
        for key, component in payload["cmps"].items():
            if component.get("dev_cla") == "timestamp" and (value := render(component["val_tpl"], state)):
                assert datetime.fromisoformat(value).tzinfo is not None, (name, key, value)


def test_gas_that_is_dated_without_a_zone_has_a_value_but_no_time() -> None:
    for make in (dutch_22(), next(r for n, r in READINGS if n == "plain-netherlands-22").telegram.raw):
        _, (_, payload) = announce(one(make)).items()
        assert payload["cmps"]["value"]["dev_cla"] == "gas"
        assert "timestamp" not in payload["cmps"]


def test_templates_give_the_value_and_nothing_where_the_field_is_missing() -> None:
    for name, reading, _, payload in DEVICES:
        state = state_of(reading, payload["stat_t"])
        for key, component in payload["cmps"].items():
            assert render(component["val_tpl"], {}) == ""
            field, _, part = key.partition("_timestamp") if key.startswith("peak_demand") else (key, "", "")
            value = state.get(field)
            if isinstance(value, dict):
                value = value["timestamp" if key.endswith("_timestamp") else "value"]
            if value is not None:
                assert render(component["val_tpl"], state) == str(value)[:255], (name, key, part)


def test_a_long_message_is_cut_to_what_a_state_holds() -> None:
    long = "A message of the grid operator. " * 32
    lines = ("1-3:0.2.8(50)", "0-0:1.0.0(260130102000W)", f"0-0:96.13.0({hex_text(long)})")
    reading = one(telegram("ISK5\\2M550T-0001", *lines))
    ((_, payload),) = announce(reading).items()
    assert render(payload["cmps"]["message"]["val_tpl"], reading.record) == long[:255]


def test_unique_ids_are_unique_over_meters_and_mbus_devices() -> None:
    for style in Style:
        for name, reading in READINGS:
            found = announce(reading, style).values()
            parts = [c for p in found for c in (p["cmps"].values() if style is Style.DEVICE else [p])]
            counted = Counter(part["unique_id"] for part in parts)
            assert max(counted.values()) == 1, name
    meters = [one(belgium(0)), one(netherlands(0)), one(luxembourg(0)), one(luxembourg_of_2018(0))]
    ids = Counter(c["unique_id"] for r in meters for p in announce(r).values() for c in p["cmps"].values())
    assert max(ids.values()) == 1


def test_names_of_entities_are_unique_in_a_device_and_do_not_begin_with_its_name() -> None:
    for name, _, _, payload in DEVICES:
        names = Counter(component["name"] for component in payload["cmps"].values())
        assert max(names.values()) == 1, (name, names)
    for name, payload, key, component in COMPONENTS:
        assert not component["name"].startswith(payload["dev"]["name"]), (name, key)


@pytest.mark.parametrize("meter", ["Power", "Active power", "Voltage L1", "A", "Meter", "Grid", "R"])
def test_a_meter_that_is_named_as_an_entity_begins_is_told_apart(meter: str) -> None:
    for style in Style:
        for payload in announce(one(luxembourg(0), meter), style).values():
            for component in payload["cmps"].values() if style is Style.DEVICE else [payload]:
                assert not component["name"].startswith(payload["dev"]["name"])
                assert payload["dev"]["name"].startswith(meter)


def test_a_value_expires_but_for_what_is_read_once_a_day() -> None:
    for _, payload, key, component in COMPONENTS:
        assert component.get("exp_aft") == (None if "via_device" in payload["dev"] else 120), key


def test_diagnostics_are_marked_and_noise_is_off() -> None:
    ((_, payload), *_) = announce(encrypted()).items()
    cmps = payload["cmps"]
    shown = {"energy_import", "power_import", "voltage_l1", "current_l1"}
    diagnostic = {"voltage_sags_l1", "power_failures", "breaker_state", "security", "p1_version", "message"}
    noise = {"header", "p1_version", "frame_counter", "received", "timestamp", "logical_device_name"}
    assert not any("ent_cat" in cmps[key] or "en" in cmps[key] for key in shown)
    assert all(cmps[key]["ent_cat"] == "diagnostic" for key in diagnostic)
    assert all(cmps[key]["en"] is False for key in noise & cmps.keys())
    assert all(key in noise or component.get("en", True) for key, component in cmps.items())


def test_numbers_have_a_precision_for_people() -> None:
    for name, _, key, component in COMPONENTS:
        if component.get("unit_of_meas") is not None:
            assert 0 <= component["sug_dsp_prc"] <= 3, (name, key)


def test_tariffs_are_called_by_their_number_and_not_by_what_they_may_mean() -> None:
    for _, _, key, component in COMPONENTS:
        if "tariff" in key:
            assert not re.search(r"(?i)low|high|normal|day|night|peak", component["name"])
        if key.endswith(("tariff_1", "tariff_2")):
            assert component["name"].endswith(key[-1])


@pytest.mark.parametrize(
    ("reading", "wanted"),
    [
        (one(luxembourg(0)), {"energy_import", "energy_export"}),
        (
            one(belgium(0)),
            {
                f"energy_{way}_tariff_{number}" for way in ("import", "export") for number in (1, 2)
            },
        ),
    ],
)  # fmt: skip
def test_the_energy_dashboard_finds_import_export_gas_and_power(reading: Reading, wanted: set[str]) -> None:
    found = list(announce(reading).values())
    cmps = found[0]["cmps"]
    for key in wanted:
        assert (cmps[key]["dev_cla"], cmps[key]["unit_of_meas"]) == ("energy", "kWh")
        assert cmps[key]["stat_cla"] == "total_increasing"
    assert {k for k, c in cmps.items() if c.get("dev_cla") == "energy"} == wanted
    for key in ("power_import", "power_export"):
        assert (cmps[key]["dev_cla"], cmps[key]["stat_cla"]) == ("power", "measurement")
    gas = next(p["cmps"]["value"] for p in found if p["dev"]["name"] == "house gas")
    assert (gas["dev_cla"], gas["unit_of_meas"], gas["stat_cla"]) == ("gas", "m³", "total_increasing")


# Entities come and stay


def test_entities_are_there_only_for_what_is_sent() -> None:
    for name, reading in READINGS:
        payload = next(iter(announce(reading).values()))
        state = state_of(reading, payload["stat_t"])
        for key in payload["cmps"]:
            assert key.removesuffix("_timestamp") in state or key in state, (name, key)


def configs(meter: MeterTopics, now: float) -> dict[str, Any]:
    return {topic: json.loads(p) for topic, p in meter.due(now) if topic.startswith("homeassistant/")}


def meter_topics() -> MeterTopics:
    topics = Topics("smarty")
    return MeterTopics("house", topics, 0, Discovery(HomeAssistantConfig(), topics, 120))


def luxembourg_with(*lines: str, name: str = "SAG1030700012345") -> Reading:
    head = ("1-3:0.2.8(42)", "0-0:1.0.0(260130102000W)", f"0-0:42.0.0({hex_text(name)})")
    return one(telegram("Lux5\\253000001_D", *head, *lines))


TOPIC: Final = "homeassistant/device/smarty_SAG1030700012345/config"
ENERGY: Final = "1-0:1.8.0(001234.567*kWh)"
POWER: Final = "1-0:1.7.0(01.312*kW)"
GAS: Final = (
    "0-1:24.1.0(003)",
    f"0-1:96.1.0({hex_text('GFLO2133031470')})",
    "0-1:24.2.1(260130100000W)(00435.247*m3)",
)


def test_new_lines_add_entities_and_missing_ones_take_none_away() -> None:
    meter = meter_topics()
    meter.take(luxembourg_with(ENERGY), 0)
    assert "power_import" not in configs(meter, 0)[TOPIC]["cmps"]
    meter.take(luxembourg_with(ENERGY, POWER), 1)
    assert {"power_import", "energy_import"} <= configs(meter, 1)[TOPIC]["cmps"].keys()
    meter.take(luxembourg_with(POWER), 2)
    assert configs(meter, 2) == {}
    meter.announce_again()
    assert {"power_import", "energy_import"} <= configs(meter, 3)[TOPIC]["cmps"].keys()


def test_an_mbus_device_keeps_its_entities_while_its_register_is_not_sent() -> None:
    topic = "homeassistant/device/smarty_GFLO2133031470/config"
    meter = meter_topics()
    meter.take(luxembourg_with(ENERGY, *GAS), 0)
    assert set(configs(meter, 0)[topic]["cmps"]) == {"value", "timestamp"}
    meter.take(luxembourg_with(ENERGY, *GAS[:2]), 1)
    assert configs(meter, 1) == {}
    meter.announce_again()
    found = configs(meter, 2)
    assert topic not in found or set(found[topic]["cmps"]) == {"value", "timestamp"}
    meter.take(luxembourg_with(ENERGY, *GAS, "0-1:24.4.0(1)"), 3)
    assert set(configs(meter, 3)[topic]["cmps"]) == {"value", "timestamp", "valve_state"}


def test_a_new_meter_has_no_entities_of_the_old_one() -> None:
    meter = meter_topics()
    meter.take(luxembourg_with(ENERGY, POWER), 0)
    configs(meter, 0)
    meter.take(luxembourg_with(ENERGY, name="SAG1030700012352"), 1)
    ((topic, payload),) = configs(meter, 1).items()
    assert topic == "homeassistant/device/smarty_SAG1030700012352/config"
    assert "power_import" not in payload["cmps"]


# One payload an entity


def test_style_entity_has_a_payload_for_each_entity_with_all_it_needs() -> None:
    for name, reading in READINGS:
        devices = announce(reading)
        entities = announce(reading, Style.ENTITY)
        wanted = {
            f"homeassistant/sensor/{topic.split('/')[2]}/{object_id(key)}/config"
            for topic, payload in devices.items()
            for key in payload["cmps"]
        }
        assert entities.keys() == wanted, name
        for topic, payload in entities.items():
            assert re.fullmatch(r"homeassistant/sensor/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config", topic)
            assert payload.keys() <= (SHARED_KEYS | SENSOR_KEYS) - {"cmps", "p"}, topic
            assert {"dev", "stat_t", "unique_id", "val_tpl", "name", "avty"} <= payload.keys()


def test_both_styles_say_the_same_of_an_entity() -> None:
    for _, reading in READINGS[:5]:
        by_id = {p["unique_id"]: p for p in announce(reading, Style.ENTITY).values()}
        for payload in announce(reading).values():
            shared = {key: value for key, value in payload.items() if key != "cmps"}
            for component in payload["cmps"].values():
                alone = {key: value for key, value in component.items() if key != "p"}
                assert by_id[component["unique_id"]] == shared | alone


def test_the_prefix_is_the_one_that_is_configured() -> None:
    assert all(topic.startswith("ha/device/") for topic in announce(one(belgium(0)), prefix="ha"))
    assert Discovery(HomeAssistantConfig("ha"), Topics("smarty"), 120).birth_topic == "ha/status"
