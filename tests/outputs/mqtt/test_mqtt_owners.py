"""What one meter has announced nobody else announces, and what a meter may announce is bounded."""

import json
from pathlib import Path

import pytest

from smarty_gateway.outputs.mqtt.devices import DEVICES_MAX, DeviceOwners, MbusDevices, rank
from smarty_gateway.outputs.output import GatewayHealth, Reading
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.mqtt_runs import mqtt_output, reading_of
from tests.support.running import wait_until
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
        names = range(number, number + 3)
        devices.take({f"gas_{n}": gas(n, channel=n) for n in names}, 0.0)
    assert len(devices.known()) <= DEVICES_MAX
    devices.take({f"gas_{number}": gas(number, channel=number) for number in range(1000)}, 1.0)
    assert len(devices.known()) == DEVICES_MAX


def ids(devices: MbusDevices) -> list[str]:
    return [device["id"] for _, device in devices.known()]


def test_a_new_device_waits_until_the_old_one_has_left_its_channel_for_an_hour() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1)}, 0.0)
    devices.take({"gas": gas(2)}, 10.0)
    devices.take({"gas": gas(2)}, 3609.0)
    assert ids(devices) == ["G1"]
    devices.take({"gas": gas(2)}, 3610.0)
    assert ids(devices) == ["G2"]


def test_a_meter_that_was_silent_for_long_says_nothing_about_its_devices() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1)}, 0.0)
    devices.take({"gas": gas(2)}, 200_000.0)
    assert ids(devices) == ["G1"]
    devices.take({"gas": gas(1)}, 200_010.0)
    devices.take({"gas": gas(2)}, 203_600.0)
    assert ids(devices) == ["G1"]


def test_a_new_device_has_the_name_of_the_one_that_it_replaces() -> None:
    devices = MbusDevices()
    both = {"gas": gas(1), "gas_2": gas(2, channel=2)}
    devices.take(both, 0.0)
    for now in (10.0, 3610.0):
        devices.take({"gas": gas(1), "gas_2": gas(3, channel=2)}, now)
    assert [(medium, device["id"]) for medium, device in devices.known()] == [("gas", "G1"), ("gas_2", "G3")]


def test_a_device_that_is_exchanged_for_one_on_another_channel_is_replaced_too() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1), "water": gas(5, channel=2)}, 0.0)
    for now in (10.0, 3609.0):
        devices.take({"gas": gas(2, channel=3), "water": gas(5, channel=2)}, now)
        assert ids(devices) == ["G1", "G5"]
    devices.take({"gas": gas(2, channel=3), "water": gas(5, channel=2)}, 3610.0)
    assert ids(devices) == ["G5", "G2"]


def test_a_second_device_of_a_kind_has_a_place_at_once() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1)}, 0.0)
    devices.take({"gas": gas(1), "gas_2": gas(2, channel=2)}, 10.0)
    assert ids(devices) == ["G1", "G2"]


def test_two_devices_that_are_exchanged_at_once_take_the_places_of_their_channels() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1), "water": gas(2, channel=2)}, 0.0)
    for now in (10.0, 3610.0):
        devices.take({"gas": gas(4, channel=1), "water": gas(3, channel=2)}, now)
    assert [(medium, device["id"]) for medium, device in devices.known()] == [("gas", "G4"), ("water", "G3")]


def test_a_device_that_nothing_replaces_is_gone_after_a_day() -> None:
    devices = MbusDevices()
    devices.take({"gas": gas(1)}, 0.0)
    devices.take({}, 10.0)
    devices.take({}, 86_409.0)
    assert ids(devices) == ["G1"]
    devices.take({}, 86_410.0)
    assert ids(devices) == []


def test_a_restart_in_the_hour_of_a_new_device_changes_nothing() -> None:
    before = MbusDevices()
    before.take({"gas": gas(1)}, 0.0)
    before.take({"gas": gas(2)}, 10.0)
    after = MbusDevices(before.stored("house", "A"))
    after.take({"gas": gas(2)}, 3609.0, "A")
    assert ids(after) == ["G1"]
    after.take({"gas": gas(2)}, 3610.0, "A")
    assert ids(after) == ["G2"]


def test_the_devices_of_a_meter_that_was_replaced_have_no_place() -> None:
    before = MbusDevices()
    before.take({"gas": gas(1)}, 0.0)
    after = MbusDevices(before.stored("house", "A"))
    after.take({"gas": gas(2)}, 10.0, "B")
    assert ids(after) == ["G2"]


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


def test_meters_of_an_earlier_run_that_are_not_known_any_more_are_forgotten_at_the_start(
    broker: Broker, tmp_path: Path
) -> None:
    with Store(tmp_path / "state") as store:
        for number in range(200):
            store.note_published([f"smarty/M{number:03}/state"], f"M{number:03}")
        store.note_published(["smarty/house/state"], "house")
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, unnamed=["M000"]) as output:
        listener.wait_for_payload("smarty/M000/availability", b"offline")
        output.publish(reading_of(belgium(1)))
        listener.wait_for_payload("smarty/M199/state", b"")
        wait_until(lambda: not output.is_busy, "an idle output")
    with Store(tmp_path / "state") as store:
        assert {name for name in store.published().values() if name.startswith("M")} == {"M000"}


def test_the_gateway_tells_how_it_fares(broker: Broker, tmp_path: Path) -> None:
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url) as output:
        output.report({}, GatewayHealth(counters_kept=False, outputs={"mqtt": "ok"}))
        (message,) = listener.wait_for("smarty/health")
        assert message.qos == 0
        assert message.json["counters_kept"] is False
        assert message.json["history_kept"] is True
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
