"""What one meter has announced nobody else announces, and what a meter may announce is bounded."""

import json
from pathlib import Path

import pytest

from smarty_gateway.outputs.mqtt.devices import DEVICES_MAX, DeviceOwners, MbusDevices, rank
from smarty_gateway.outputs.output import GatewayHealth, Reading
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.mqtt_runs import mqtt_output, reading_of
from vectors.building_blocks import belgium, hex_text, telegram

GAS = "7FLO2119000001"
GAS_CONFIG = f"homeassistant/device/smarty_{GAS}/config"
MORE = "interval: 0, home_assistant: true"


def liar(device: str, identity: str = "LIAR") -> bytes:
    """Return a telegram that names this M-Bus device."""
    return telegram(
        "FLU5\\1",
        f"0-0:96.1.1({identity})",
        "0-1:24.1.0(003)",
        f"0-1:96.1.1({hex_text(device)})",
        "0-1:24.2.3(200512134558S)(99999.999*m3)",
    )


def unnamed(data: bytes, name: str = "LIAR") -> Reading:
    reading = reading_of(data, name)
    return Reading(name, reading.telegram, reading.received, is_configured=False)


# Pure


def gas(number: int = 0, channel: int = 1) -> dict[str, object]:
    return {"channel": channel, "device_type": 3, "id": f"G{number}", "value": 1.0}


def test_a_meter_has_a_few_devices_and_no_more() -> None:
    devices = MbusDevices()
    for number in range(1000):
        devices.take({"gas": gas(number, channel=number)}, 0.0)
    assert len(devices.known()) == DEVICES_MAX


def test_a_new_device_waits_until_the_old_one_has_left_its_channel_for_an_hour() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1)}, 0.0)
    devices.take({"gas": gas(2)}, 3599.0)
    assert [device["id"] for _, device in devices.known()] == ["G1"]
    assert devices.take_gone() == []
    devices.take({"gas": gas(2)}, 3600.0)
    assert [device["id"] for _, device in devices.known()] == ["G2"]
    assert [device["id"] for device in devices.take_gone()] == ["G1"]
    assert devices.take_gone() == []


def test_two_devices_that_would_share_a_topic_are_one() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1) | {"id": "a/b"}, "gas_2": gas(2, channel=2) | {"id": "a+b"}}, 0.0)
    assert len(devices.known()) == 1


def test_who_announced_a_device_first_keeps_it_as_long_as_it_names_it() -> None:
    owners = DeviceOwners({}, 0.0)
    assert owners.may_announce("smarty_G1", "house", 2, 0.0)
    for now in range(0, 10_000, 600):
        owners.note_named("house", ["smarty_g1"], float(now))
        assert not owners.may_announce("SMARTY_G1", "barn", 2, float(now) + 1)
    assert owners.may_announce("smarty_g1", "barn", 2, 13_600.0)
    assert not owners.may_announce("smarty_g1", "house", 2, 13_601.0)


def test_a_word_that_counts_for_more_takes_a_device_over_at_once() -> None:
    owners = DeviceOwners({"smarty_g1": ("LIAR", 0)}, 0.0)
    assert owners.may_announce("smarty_g1", "house", 6, 1.0)
    assert not owners.may_announce("smarty_g1", "LIAR", 1, 2.0)


def test_what_is_proven_counts_for_more_than_what_is_configured_and_that_for_more_than_the_rest() -> None:
    kinds = [
        rank(is_authenticated=proven, is_configured=configured, is_own=own)
        for proven in (False, True)
        for configured in (False, True)
        for own in (False, True)
    ]
    assert kinds == sorted(set(kinds))


# With a broker


def state_topic(broker: Broker) -> str:
    return str(json.loads(retained(broker, "homeassistant/#")[GAS_CONFIG])["stat_t"])


@pytest.mark.parametrize("identity", ["LIAR", GAS])
def test_nobody_announces_the_gas_meter_of_another_house(
    broker: Broker, tmp_path: Path, identity: str
) -> None:
    for is_first in (True, False):
        with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=MORE) as output:
            if is_first:
                output.publish(unnamed(liar(GAS, identity)))
                listener.wait_for("smarty/LIAR/state")
            output.publish(reading_of(belgium(1)))
            listener.wait_for(GAS_CONFIG, lambda m: m.payload and "/house/" in m.json["stat_t"])
            output.publish(unnamed(liar(GAS, identity)))
            output.publish(unnamed(liar("OTHER", "LIAR2"), "LIAR2"))
            listener.wait_for("homeassistant/device/smarty_OTHER/config")
        assert state_topic(broker) == f"smarty/house/mbus/{GAS}"


def test_a_meter_that_is_gone_leaves_nothing_at_the_broker(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=MORE) as output:
        output.publish(reading_of(belgium(1)))
        output.publish(unnamed(liar("OTHER")))
        listener.wait_for("homeassistant/device/smarty_OTHER/config")
        output.forget("LIAR")
        listener.wait_for_payload("smarty/LIAR/state", b"")
        listener.wait_for_payload("homeassistant/device/smarty_OTHER/config", b"")
    held = retained(broker, "#")
    assert not [topic for topic in held if "LIAR" in topic or "OTHER" in topic]
    assert "smarty/house/state" in held


def test_more_meters_than_sources_may_bring_are_forgotten_at_the_start(
    broker: Broker, tmp_path: Path
) -> None:
    with Store(tmp_path / "state") as store:
        for number in range(200):
            store.note_published([f"smarty/M{number:03}/state"], f"M{number:03}")
        store.note_published(["smarty/house/state"], "house")
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=MORE):
        listener.wait_for_payload("smarty/M199/state", b"")
        listener.wait_for_payload("smarty/M000/availability", b"offline")
    with Store(tmp_path / "state") as store:
        assert len({name for name in store.published().values() if name.startswith("M")}) == 50


def test_the_gateway_tells_how_it_fares(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url) as output:
        output.report({}, GatewayHealth(counters_kept=False, outputs={"mqtt": "ok"}))
        (message,) = listener.wait_for("smarty/health")
        assert message.qos == 0
        assert message.json["counters_kept"] is False
        assert message.json["put_aside"] == 0
        assert message.json["outputs"] == {"mqtt": "ok"}
        output.report({}, GatewayHealth(counters_kept=True, outputs={"mqtt": "ok"}))
        listener.wait_for("smarty/health", lambda m: m.json["counters_kept"])
    assert "version" in json.loads(retained(broker, "smarty/health")["smarty/health"])


def test_nothing_of_a_pretender_stays_at_a_device_that_another_meter_takes_over(
    broker: Broker, tmp_path: Path
) -> None:
    more = "interval: 0, home_assistant: {style: entity}"
    own = "homeassistant/sensor/smarty_1SAG1100000001/energy_import_tariff_1/config"
    false = "homeassistant/sensor/smarty_1SAG1100000001/value/config"
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=more) as output:
        output.publish(unnamed(liar("1SAG1100000001")))
        listener.wait_for(false)
        output.publish(reading_of(belgium(1)))
        listener.wait_for(own)
        listener.wait_for_payload(false, b"")
    assert false not in retained(broker, "homeassistant/#")
