"""What Home Assistant demands of a discovery payload, each rule a test, over telegrams of all countries."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from smarty_gateway.config.values import HomeAssistantConfig, Style
from smarty_gateway.outputs.mqtt.entities import METER, NO_STATE, Topic, names_in
from smarty_gateway.outputs.mqtt.home_assistant import Discovery
from smarty_gateway.outputs.mqtt.meter_topics import MeterTopics
from smarty_gateway.outputs.mqtt.topics import Topics
from smarty_gateway.outputs.output import Health, Reading
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret, Verification
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.obis import BY_NAME
from smarty_gateway.safe_text import object_id
from tests.support.commands import ROOT
from tests.support.home_assistant_rules import (
    BINARY_CLASSES,
    DEFAULT_PRECISION,
    DEVICE_KEYS,
    PLATFORM_KEYS,
    SHARED_KEYS,
    STATE_CLASSES,
    UNITS,
    render,
)
from tests.support.mqtt_runs import with_quarter
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


QUARTER: Final = {
    "start": "2026-01-30T10:15:00+01:00", "import": 0.7, "mean_power": 6.0, "forecast_power": 5.2,
    "allowed_power": 4.1, "reference_power": 5.0, "excess": 0.05, "excess_day": 0.41225, "excess_month": 3.5,
    "excess_year": 3.5, "peak_month": 8.2, "peak_month_time": "2026-01-12T18:45:00+01:00", "import_day": 7.9,
    "export_day": 0.0, "covered_day": 0.975, "will_exceed": True,
}  # fmt: skip


def in_quarter(reading: Reading, *without: str) -> Reading:
    return with_quarter(reading, {name: value for name, value in QUARTER.items() if name not in without})


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
    ("luxembourg-history", in_quarter(encrypted())),
    ("belgium-history", in_quarter(one(belgium(0)), "reference_power")),
    *vector_readings(),
]


def announce(
    reading: Reading, style: Style = Style.DEVICE, prefix: str = "homeassistant"
) -> dict[str, dict[str, Any]]:
    discovery = Discovery(HomeAssistantConfig(prefix, style), Topics("smarty"), 120)
    readings = reading.telegram.decoded
    quarter = {} if reading.quarter is None else reading.quarter.as_object()
    names = [*readings.fields, *names_in(quarter)]
    found = discovery.devices(reading, names, readings.devices.items())
    return {topic: json.loads(payload) for device in found for topic, payload in discovery.messages(device)}


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
    """Return the object that is published on a topic."""
    meter = MeterTopics(reading.meter, Topics("smarty"), 0, None)
    meter.report(Health(1, last_telegram=reading.received))
    meter.take(reading, 0)
    found: dict[str, Any] = json.loads(dict([*meter.due(0), *meter.unsure(0)])[topic])
    return found


def sensors() -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Return where each entity that has a template is from, its key, itself and what it reads."""
    for name, reading, _, payload in DEVICES:
        for key, component in payload["cmps"].items():
            if "val_tpl" in component:
                yield name, key, component, state_of(reading, component.get("stat_t", payload["stat_t"]))


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


# Rules for an entity


def test_only_known_keys_stand_in_a_component() -> None:
    for name, _, key, component in COMPONENTS:
        assert component.keys() <= PLATFORM_KEYS[component["p"]], (name, key)
        assert "object_id" not in component
        assert {"name", "unique_id"} <= component.keys()
        assert "val_tpl" in component or {"pl_on", "pl_off"} <= component.keys()


def test_units_are_those_of_the_device_class() -> None:
    for name, _, key, component in COMPONENTS:
        kind = component.get("dev_cla")
        if component["p"] == "binary_sensor":
            assert kind in BINARY_CLASSES
        elif kind is not None:
            assert component.get("unit_of_meas") in UNITS[kind], (name, key, component)
        assert "m3" not in str(component.get("unit_of_meas"))


def test_state_classes_are_those_of_the_device_class() -> None:
    for name, _, key, component in COMPONENTS:
        if component["p"] == "sensor":
            assert component.get("stat_cla") in STATE_CLASSES[component.get("dev_cla")], (name, key)


def test_words_are_those_of_an_enum_and_what_has_none_is_unknown() -> None:
    enums = [sensor for sensor in sensors() if sensor[2].get("dev_cla") == "enum"]
    assert {key for _, key, *_ in enums} >= {
        "tariff",
        "breaker_state",
        "relay_1_state",
        "valve_state",
        "security",
    }
    for name, key, component, state in enums:
        assert render(component["val_tpl"], state) in component["ops"], (name, key)
        if key != "security":
            assert render(component["val_tpl"], {key: 9}) == "None"
    assert not [
        key for *_, key, component in COMPONENTS if "ops" in component and component["dev_cla"] != "enum"
    ]


def test_a_tariff_has_words_only_where_the_country_is_certain() -> None:
    (belgian, *_), (dutch, *_) = (announce(one(make(0))).values() for make in (belgium, netherlands))
    assert belgian["cmps"]["tariff"]["ops"] == ["normal", "low"]
    assert render(belgian["cmps"]["tariff"]["val_tpl"], {"tariff": 2}) == "low"
    assert dutch["cmps"]["tariff"]["ops"] == ["tariff 1", "tariff 2", "tariff 3", "tariff 4"]
    assert render(dutch["cmps"]["tariff"]["val_tpl"], {"tariff": 2}) == "tariff 2"


def test_an_entity_has_an_icon_where_its_device_class_has_none() -> None:
    for name, _, key, component in COMPONENTS:
        has_own = component.get("dev_cla") in (None, "enum")
        assert ("ic" in component) is has_own, (name, key)
        assert re.fullmatch("mdi:[a-z-]+", component.get("ic", "mdi:x"))


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
    for name, key, component, state in sensors():
        if component.keys() & {"unit_of_meas", "stat_cla", "sug_dsp_prc"}:
            value = render(component["val_tpl"], state)
            assert value == "None" or float(value) is not None, (name, key, value)


def test_a_time_has_a_zone_or_is_unknown() -> None:
    for name, key, component, state in sensors():
        if component.get("dev_cla") == "timestamp":
            value = render(component["val_tpl"], state)
            assert value == "None" or datetime.fromisoformat(value).tzinfo is not None, (name, key, value)
    local = "2026-01-30T10:21:22"
    templates = {
        key: component["val_tpl"]
        for _, key, component, _ in sensors()
        if component.get("dev_cla") == "timestamp"
    }
    assert render(templates["timestamp"], {"timestamp": local}) == "None"
    assert (
        render(templates["peak_demand_month_timestamp"], {"peak_demand_month": {"timestamp": local}})
        == "None"
    )


def test_gas_that_is_dated_without_a_zone_has_a_value_but_no_time() -> None:
    for make in (dutch_22(), next(r for n, r in READINGS if n == "plain-netherlands-22").telegram.raw):
        _, (_, payload) = announce(one(make)).items()
        assert payload["cmps"]["value"]["dev_cla"] == "gas"
        assert "timestamp" not in payload["cmps"]


def test_templates_yield_the_value_and_none_where_the_field_is_missing() -> None:
    for name, key, component, state in sensors():
        if "stat_t" in component:
            continue  # the health of a meter, which is always whole, or a quarter hour, see below
        assert render(component["val_tpl"], {}) == "None"
        field = key.removesuffix("_timestamp") if key.startswith("peak_demand") else key
        value = state.get(field)
        if isinstance(value, dict):
            value = value["timestamp" if key.endswith("_timestamp") else "value"]
        if component.get("dev_cla") == "timestamp" and len(str(value)) == len("2026-01-30T10:21:22"):
            value = "None"  # Home Assistant refuses a time without an offset
        if value is not None and component.get("dev_cla") != "enum":
            assert render(component["val_tpl"], state) == str(value)[:255], (name, key)


def test_net_power_is_import_minus_export_and_unknown_where_one_is_missing() -> None:
    template = announce(one(belgium(0)))[BELGIAN]["cmps"]["power_net"]["val_tpl"]
    assert render(template, {"power_import": 0.1, "power_export": 0.3}) == "-0.2"
    assert render(template, {"power_import": 0.1}) == render(template, {"power_export": 0.1}) == "None"


def test_a_meter_that_sends_import_only_has_no_net_power() -> None:
    assert "power_net" not in announce(luxembourg_with(ENERGY, POWER))[TOPIC]["cmps"]


@pytest.mark.parametrize(
    ("peaks", "average"), [([2.0, 4.0], 3.0), ([99.0, *range(12)], 5.5), ([1.5], 1.5), ([], None)]
)
def test_the_average_peak_is_that_of_the_last_twelve_months(
    peaks: list[float], average: float | None
) -> None:
    component = announce(one(belgium(0)))[BELGIAN]["cmps"]["peak_demand_average"]
    rows = [
        {"period_end": f"20{number:02d}-01-01T00:00:00+01:00", "value": float(peak)}
        for number, peak in enumerate(peaks, 1)
    ]
    state = {"peak_demand_history": rows[::-1]}  # the meter's order does not matter
    assert render(component["val_tpl"], state) == str(average)
    assert json.loads(render(component["json_attr_tpl"], state)) == {"months": rows}
    assert component["json_attr_t"] == "smarty/house/state"
    assert component["stat_cla"] == "measurement"


def test_the_peak_of_the_month_has_statistics() -> None:
    component = announce(one(belgium(0)))[BELGIAN]["cmps"]["peak_demand_month"]
    assert (component["dev_cla"], component["stat_cla"]) == ("power", "measurement")


# The health of a meter


def health_states(*healths: dict[str, Any], state: str = "unknown") -> list[str]:
    """Return the states of the problem sensor after each health."""
    template = announce(encrypted())[TOPIC]["cmps"]["rejected"]["val_tpl"]
    states: list[str] = []
    attributes: dict[str, Any] = {}
    for health in healths:
        rendered = render(template, health, state, attributes)
        state, attributes = rendered.lower(), health
        states.append(rendered)
    return states


def health(telegrams: int, **rejected: int) -> dict[str, Any]:
    at = None if not telegrams else datetime(2026, 1, 30, 9, telegrams, tzinfo=UTC)
    return Health(telegrams, rejected, last_telegram=at).as_object()


def test_frames_are_a_problem_while_they_are_rejected_and_none_is_accepted() -> None:
    assert health_states(
        health(5), health(5, replay=1), health(5, replay=2), health(6, replay=3), health(7, replay=3)
    ) == ["OFF", "ON", "ON", "ON", "OFF"]


def test_a_single_bad_frame_among_good_ones_is_no_problem() -> None:
    assert health_states(health(5), health(9, checksum=1), health(12, checksum=1)) == ["OFF"] * 3


def test_a_meter_that_never_sent_anything_valid_has_a_problem() -> None:
    no_key = [Health(0, {"no-key": number}).as_object() for number in range(3)]
    assert health_states(*no_key) == ["OFF", "ON", "ON"]


def test_rejections_from_before_the_start_of_home_assistant_are_no_problem_by_themselves() -> None:
    assert health_states(health(0, authentication=9), health(0, authentication=9)) == ["OFF", "OFF"]


def test_the_health_of_a_meter_is_there_while_the_meter_is_not() -> None:
    components = announce(encrypted())[TOPIC]["cmps"]
    for key in ("received", "rejected", "rejected_frames", "downgraded"):
        assert components[key]["avty"] == [{"topic": "smarty/status"}]
        assert components[key]["stat_t"] == "smarty/house/health"
        assert components[key]["ent_cat"] == "diagnostic"
        assert "exp_aft" not in components[key]
    assert components["rejected"]["json_attr_t"] == "smarty/house/health"
    state = health(3, replay=2, checksum=1)
    assert render(components["rejected_frames"]["val_tpl"], state) == "3"
    assert render(components["downgraded"]["val_tpl"], state) == "OFF"
    assert render(components["downgraded"]["val_tpl"], state | {"downgraded": True}) == "ON"
    assert render(components["received"]["val_tpl"], health(0)) == "None"


def test_only_a_meter_that_is_encrypted_can_be_downgraded() -> None:
    assert "downgraded" not in announce(one(belgium(0)))[BELGIAN]["cmps"]


# The gateway itself


def gateway(*named: str, topic: str = "smarty", style: Style = Style.DEVICE) -> dict[str, dict[str, Any]]:
    discovery = Discovery(HomeAssistantConfig(style=style), Topics(topic), 120)
    return {topic: json.loads(payload) for topic, payload in discovery.messages(discovery.gateway(named))}


def test_the_gateway_is_a_device_behind_which_the_meters_are() -> None:
    (payload,) = gateway().values()
    meter, *_ = announce(one(belgium(0))).values()
    assert meter["dev"]["via_device"] == payload["dev"]["ids"][0]
    assert payload["dev"]["sw"] == payload["o"]["sw"]
    status = payload["cmps"]["status"]
    assert (status["dev_cla"], status["pl_on"], status["pl_off"]) == ("connectivity", "online", "offline")
    assert (status["stat_t"], status["avty"]) == ("smarty/status", [])


@pytest.mark.parametrize(
    ("named", "path"), [(["Küche / 1"], "meters/K%C3%BCche___1/"), ([], "")], ids=["named", "unnamed"]
)
def test_home_assistant_links_to_the_page_that_it_can_open(named: list[str], path: str) -> None:
    url = "http://192.168.1.5:8300/"
    discovery = Discovery(HomeAssistantConfig(), Topics("smarty"), 120, url, named)
    reading = one(belgium(0), "Küche / 1")
    (_, payload), *_ = discovery.messages(discovery.devices(reading, [], ())[0])
    device = json.loads(payload)["dev"]
    assert device.keys() <= DEVICE_KEYS
    assert device["cu"] == f"{url}{path}"
    (_, payload), *_ = discovery.messages(discovery.gateway(named))
    assert json.loads(payload)["dev"]["cu"] == url


def test_without_a_page_there_is_no_link() -> None:
    (payload,) = gateway().values()
    assert "cu" not in payload["dev"]
    assert "cu" not in announce(one(belgium(0)))[BELGIAN]["dev"]


def test_two_gateways_on_one_broker_are_two_devices_with_two_names() -> None:
    ((one_topic, one_gateway),), ((other_topic, other),) = (
        gateway(topic=t).items() for t in ("smarty", "b/p1")
    )
    assert one_topic != other_topic
    assert one_gateway["dev"]["ids"] != other["dev"]["ids"]
    assert one_gateway["dev"]["name"] != other["dev"]["name"]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, "OFF"),
        ({"outputs": {"mqtt": "ok", "stdout": "ok"}}, "OFF"),
        ({"outputs": {"mqtt": "ok", "stdout": "closed"}}, "ON"),
        ({"put_aside": 1}, "ON"),
        ({"counters_kept": False}, "ON"),
        ({"history_kept": False}, "ON"),
    ],
)
def test_the_gateway_has_a_problem_when_an_output_a_message_or_the_store_has_one(
    change: dict[str, Any], state: str
) -> None:
    ((_, payload),) = gateway().items()
    kept = {"counters_kept": True, "history_kept": True}
    found = {"version": "1", "put_aside": 0, "outputs": {"mqtt": "ok"}} | kept | change
    assert render(payload["cmps"]["health"]["val_tpl"], found) == state
    assert payload["cmps"]["health"]["json_attr_t"] == "smarty/health"


def test_a_named_meter_has_its_problem_on_the_gateway_from_the_start_with_an_id_of_topic_and_name() -> None:
    ((_, payload),) = gateway("the house").items()
    meter = payload["cmps"]["the_house_meter"]
    assert meter["unique_id"] == "smarty_smarty_the_house_meter"
    assert (meter["name"], meter["dev_cla"]) == ("Meter the house", "problem")
    assert meter["stat_t"] == "smarty/the_house/availability"
    assert (meter["pl_on"], meter["pl_off"]) == ("offline", "online")
    assert meter["json_attr_t"] == "smarty/the_house/health"


def test_the_gateway_follows_the_rules_for_devices_and_entities_in_both_styles() -> None:
    ((topic, payload),) = gateway("house", "barn").items()
    assert payload.keys() <= SHARED_KEYS
    for component in payload["cmps"].values():
        assert component.keys() <= PLATFORM_KEYS[component["p"]]
        assert component["ent_cat"] == "diagnostic"
    # A sensor first: its device is there before a meter, whose entities are mostly sensors, refers to it.
    assert next(iter(payload["cmps"].values()))["p"] == "sensor"
    singles = gateway("house", "barn", style=Style.ENTITY)
    assert singles.keys() == {
        f"homeassistant/{component['p']}/{topic.split('/')[2]}/{key}/config"
        for key, component in payload["cmps"].items()
    }


# Names and models


@pytest.mark.parametrize(
    ("stream", "maker", "model", "serial"),
    [
        (luxembourg(0), "Sagemcom", "253000001_D", "SAG1030700012345"),
        (belgium(0), "Sagemcom", "253000003_A", "1SAG1100000001"),
        (dutch_22(), "Iskraemeco", "2ME382-1003", "E0003000000000001"),
        (telegram("FLU5\\253000009_A", "1-0:1.8.1(1*kWh)"), "Fluvius", "253000009_A", None),
        (telegram("KFM5KAIFA-METER", "1-0:1.8.1(1*kWh)"), "Kaifa", "KAIFA-METER", None),
        (telegram("Lux5\\253000001_D", "1-0:1.8.0(1*kWh)"), None, "253000001_D", None),
        (telegram("NWA-WARMTELINK", "1-0:1.8.0(1*kWh)"), None, "NWA-WARMTELINK", None),
        (telegram("EST5\\\x01", "1-0:1.8.0(1*kWh)"), None, "\\x01", None),
    ],
)
def test_manufacturer_model_and_serial_number_are_those_that_the_meter_sends(
    stream: bytes, maker: str | None, model: str, serial: str | None
) -> None:
    device = next(iter(announce(one(stream)).values()))["dev"]
    assert (device.get("mf"), device["mdl"], device.get("sn")) == (maker, model, serial)


def test_an_mbus_device_has_the_manufacturer_of_its_serial_number() -> None:
    found = announce(one(belgium(0)))["homeassistant/device/smarty_7FLO2119000001/config"]["dev"]
    assert (found["mf"], found["sn"]) == ("Flonidan", "7FLO2119000001")


def test_the_main_entity_of_an_mbus_device_is_called_as_the_device() -> None:
    for _, _, key, component in COMPONENTS:
        assert (component["name"] is None) is (key == "value")


def test_names_are_written_as_sentences() -> None:
    for _, _, key, component in COMPONENTS:
        words = (component["name"] or "Gas").split()
        assert words[0][0].isupper(), key
        assert all(
            word.islower() or word.isdigit() or re.fullmatch("[LQ][1-4]|P1", word) for word in words[1:]
        )


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
        names = Counter((component["p"], component["name"]) for component in payload["cmps"].values())
        assert max(names.values()) == 1, (name, names)
    for name, payload, key, component in COMPONENTS:
        assert not (component["name"] or "").startswith(payload["dev"]["name"]), (name, key)


@pytest.mark.parametrize("meter", ["Power", "Energy import", "Voltage L1", "A", "Meter", "Peak", "R"])
def test_a_meter_that_is_named_as_an_entity_begins_is_told_apart(meter: str) -> None:
    for style in Style:
        for payload in announce(one(luxembourg(0), meter), style).values():
            for component in payload["cmps"].values() if style is Style.DEVICE else [payload]:
                assert not (component["name"] or "").startswith(payload["dev"]["name"])
                assert payload["dev"]["name"].startswith(meter)


def test_what_is_measured_expires_but_for_what_is_read_once_a_day() -> None:
    for _, payload, key, component in COMPONENTS:
        is_state = "stat_t" not in component and "/mbus/" not in payload["stat_t"]
        is_quarter = component.get("stat_t", "").endswith("/quarter")
        expires = is_quarter or (is_state and "stat_cla" in component)
        assert component.get("exp_aft") == (120 if expires else None), key


def test_a_household_sees_at_first_what_it_needs() -> None:
    ((_, payload), (_, gas)) = announce(encrypted()).items()
    on = {key for key, component in payload["cmps"].items() if component.get("en", True)}
    assert on == {
        "energy_import", "energy_export", "power_import", "power_export", "power_net",
        "voltage_l1", "voltage_l2", "voltage_l3", "current_l1", "current_l2", "current_l3",
        "breaker_state", "security", "received", "rejected", "rejected_frames", "downgraded",
    }  # fmt: skip
    main = {key for key in on if "ent_cat" not in payload["cmps"][key]}
    assert main == {"energy_import", "energy_export", "power_import", "power_export", "power_net"}
    assert [key for key, component in gas["cmps"].items() if component.get("en", True)] == ["value"]
    belgian = announce(one(belgium(0)))[BELGIAN]["cmps"]
    peaks = {"demand_import", "peak_demand_month", "peak_demand_average", "tariff"}
    assert not [key for key in peaks if "en" in belgian[key] or "ent_cat" in belgian[key]]


def test_numbers_have_as_many_digits_as_people_read() -> None:
    for name, _, key, component in COMPONENTS:
        unit = component.get("unit_of_meas")
        if unit in ("kWh", "kW", "kvar", "kVA", "V", "A", "Hz", "m³"):
            shown = component.get("sug_dsp_prc", DEFAULT_PRECISION.get((component.get("dev_cla"), unit), 3))
            assert 0 <= shown <= 3, (name, key)


def test_every_field_of_a_telegram_has_an_entity_or_is_a_list() -> None:
    shown = {entity.key for entity in METER}
    assert BY_NAME.keys() - shown == NO_STATE
    assert {entity.unit for entity in METER if entity.key == "peak_demand_month"} == {"kW"}


def test_limits_of_the_meter_have_the_class_of_their_unit() -> None:
    classes = {"A": "current", "kW": "power", "kVA": "apparent_power"}
    limits = [entity for entity in METER if "threshold" in entity.key]
    assert len(limits) >= 6
    for entity in limits:
        assert entity.sort.device_class == classes[str(entity.unit)]


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


# The running quarter hour


def quarter_entities(reading: Reading) -> dict[str, dict[str, Any]]:
    meter, *_ = announce(reading).values()
    return {
        key: component
        for key, component in meter["cmps"].items()
        if component.get("stat_t") == f"smarty/{reading.meter}/{Topic.QUARTER.value}"
    }


def test_every_value_of_a_quarter_hour_but_its_start_has_an_entity_with_an_id_that_stays() -> None:
    found = quarter_entities(in_quarter(encrypted()))
    assert found.keys() == {f"quarter_{name}" for name in QUARTER.keys() - {"start"}}
    own_id = "smarty_SAG1030700012345"
    assert {component["unique_id"] for component in found.values()} == {f"{own_id}_{key}" for key in found}
    for key, component in found.items():
        value = QUARTER[key.removeprefix("quarter_")]
        assert render(component["val_tpl"], QUARTER) == ("true" if value is True else str(value))


def test_a_value_of_a_quarter_hour_that_is_missing_is_unknown_and_so_are_all_when_the_topic_is_emptied() -> (
    None
):
    for component in quarter_entities(in_quarter(encrypted())).values():
        assert render(component["val_tpl"], {"start": QUARTER["start"]}) == "None"
        assert render(component["val_tpl"], None, message="") == "None"


def test_that_the_limit_will_be_exceeded_is_a_problem() -> None:
    component = quarter_entities(in_quarter(encrypted()))["quarter_will_exceed"]
    assert (component["p"], component["dev_cla"]) == ("binary_sensor", "problem")
    # Domoticz compares them with the text of the value in JSON.
    assert render(component["val_tpl"], {"will_exceed": True}) == component["pl_on"] == "true"
    assert render(component["val_tpl"], {"will_exceed": False}) == component["pl_off"] == "false"


def test_the_page_about_wallboxes_names_entities_that_are_there_and_on() -> None:
    page = (ROOT / "docs/wallbox.md").read_text("utf-8")
    meter, *_ = announce(in_quarter(encrypted())).values()
    there = {
        f"{component['p']}.house_{component['name'].lower().replace(' ', '_')}"
        for component in meter["cmps"].values()
        if component.get("en", True)
    }
    named = set(re.findall(r"\b(?:binary_)?sensor\.house_\w+", page))
    assert "sensor.house_allowed_power" in named
    assert named <= there


ALWAYS: Final = {"mean_power", "forecast_power"}
LIMITED: Final = {"allowed_power", "will_exceed"}
EXCESS: Final = {"excess_day", "excess_month", "excess_year"}


@pytest.mark.parametrize(
    ("reading", "on"),
    [
        (in_quarter(encrypted()), {*ALWAYS, *LIMITED, *EXCESS, "peak_month"}),
        (in_quarter(encrypted(), "reference_power"), {*ALWAYS, "peak_month"}),
        (in_quarter(one(belgium(0)), "reference_power"), {*ALWAYS, *LIMITED}),
        (in_quarter(one(belgium(0))), {*ALWAYS, *LIMITED, *EXCESS}),
        (in_quarter(one(netherlands(0)), "reference_power"), {*ALWAYS, "peak_month"}),
        (encrypted(), set()),
    ],
    ids=[
        "Luxembourg", "without a reference power", "Belgium, whose meter sends the peak itself",
        "Belgium with a reference power", "Netherlands", "no history",
    ],
)  # fmt: skip
def test_a_household_sees_of_the_quarter_hour_what_its_meter_can_know(reading: Reading, on: set[str]) -> None:
    found = {key for key, component in quarter_entities(reading).items() if component.get("en", True)}
    assert found == {f"quarter_{name}" for name in on}


def test_entities_of_the_quarter_hour_stay_while_values_come_and_go() -> None:
    meter = meter_topics()
    early = ("import", "mean_power", "forecast_power", "allowed_power", "will_exceed", "excess")
    meter.take(in_quarter(luxembourg_with(ENERGY), *early), 0)
    first = configs(meter, 0)[TOPIC]["cmps"].keys()
    assert {f"quarter_{name}" for name in early} <= first
    meter.take(in_quarter(luxembourg_with(ENERGY)), 1)
    meter.take(luxembourg_with(ENERGY), 2)
    assert configs(meter, 2) == {}
    meter.announce_again()
    assert configs(meter, 3)[TOPIC]["cmps"].keys() == first


def test_an_announcement_grows_by_a_third_at_most_with_a_history() -> None:
    ((without, _), (with_it, _)) = (
        [len(json.dumps(payload)) for payload in announce(reading).values()]
        for reading in (encrypted(), in_quarter(encrypted()))
    )
    assert with_it < 1.34 * without


def test_domoticz_reads_the_quarter_hour() -> None:
    for key, component in quarter_entities(in_quarter(encrypted())).items():
        cleaned = re.sub("[{}']", "", component["val_tpl"]).split("|")[0].strip()
        assert cleaned == f"value_json.{key.removeprefix('quarter_')}"


# Entities come and stay


def test_entities_are_there_only_for_what_is_sent() -> None:
    made_of = {"power_net": "power_import", "peak_demand_average": "peak_demand_history"}
    for name, reading in READINGS:
        payload = next(iter(announce(reading).values()))
        state = state_of(reading, payload["stat_t"])
        for key, component in payload["cmps"].items():
            if "stat_t" not in component:
                field = made_of.get(key, key)
                assert field.removesuffix("_timestamp") in state or field in state, (name, key)


BELGIAN: Final = "homeassistant/device/smarty_1SAG1100000001/config"


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
            f"homeassistant/{component['p']}/{topic.split('/')[2]}/{object_id(key)}/config"
            for topic, payload in devices.items()
            for key, component in payload["cmps"].items()
        }
        assert entities.keys() == wanted, name
        for topic, payload in entities.items():
            found = re.fullmatch(
                r"homeassistant/((?:binary_)?sensor)/[a-zA-Z0-9_-]+/[a-zA-Z0-9_-]+/config", topic
            )
            assert found, topic
            assert payload.keys() <= (SHARED_KEYS | PLATFORM_KEYS[found[1]]) - {"cmps", "p"}, topic
            assert {"dev", "stat_t", "unique_id", "val_tpl", "name", "avty"} <= payload.keys()


def test_domoticz_reads_numbers_and_words() -> None:
    # Domoticz (MQTTAutoDiscover.cpp, CleanValueTemplate) drops braces and quotes, cuts at the first bar, and
    # takes what stands in front of `[value_json` for a table of words.
    numbers = [entity for entity in METER if entity.sort.state_class and not entity.needs]
    assert len(numbers) > 60
    for entity in [*numbers, *(entity for entity in METER if entity.sort.words)]:
        if entity.key != "peak_demand_month":
            cleaned = re.sub("[{}']", "", entity.template).split("|")[0].strip()
            table, _, field = cleaned.rpartition("[")
            assert field == f"value_json.{entity.key}"
            words = dict(pair.split(":") for pair in table.split(",") if pair)
            assert words == {str(number): word for number, word in entity.sort.words.items()}


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
