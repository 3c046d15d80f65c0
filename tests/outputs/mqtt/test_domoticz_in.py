"""Domoticz over the broker: the newest value of each device on one topic, not retained."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.outputs.mqtt.output import MqttOutput
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Message, Subscriber, needs_mosquitto, retained
from tests.support.mqtt_runs import reading_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium, luxembourg

PASSWORD = "pass"  # noqa: S105 - of a throw-away broker


@contextmanager
def output_for(folder: Path, url: str, more: str = "") -> Iterator[MqttOutput]:
    """Run the MQTT output for the meters `house` and `barn`, of which the latter has no gas meter."""
    file = folder / "gateway.yaml"
    file.write_text(
        f"meters: [{{name: house, source: {folder}/house}}, {{name: barn, source: {folder}/barn}}]\n"
        f"outputs:\n  mqtt: {{url: '{url}', interval: 0{more}}}\n"
        "  domoticz: {mqtt: true, interval: 0, devices: {house: {electricity: 12, gas: 13}, "
        "barn: {electricity: 14}}}\n",
        "utf-8",
    )
    config = load_config(file)
    assert config.outputs.mqtt is not None
    with Store(folder / "state") as store:
        output = MqttOutput(config, config.outputs.mqtt, store)
        output.start()
        try:
            yield output
        finally:
            output.stop(10.0)
    assert output.failure is None


def publish_both(output: MqttOutput, energy: float = 1234.567) -> None:
    output.publish(reading_of(belgium(0)))
    output.publish(reading_of(luxembourg(0, energy), "barn"))


def svalues(messages: list[Message]) -> dict[int, str]:
    """Return the newest svalue of each device."""
    contents = [json.loads(message.payload) for message in messages]
    assert all(content["command"] == "udevice" and content["nvalue"] == 0 for content in contents)
    return {content["idx"]: content["svalue"] for content in contents}


def test_each_device_gets_its_value_in_a_message_that_the_broker_does_not_keep(
    broker: Broker, tmp_path: Path
) -> None:
    with Subscriber(broker, "domoticz/in") as listener, output_for(tmp_path, broker.url) as output:
        publish_both(output)
        messages = listener.wait_for("domoticz/in", count=3)
    assert svalues(messages) == {
        12: "531250;640792;61957;23548;0;1207",
        13: "112384",
        14: "1234567;0;890123;0;1312;0",
    }
    assert {message.qos for message in messages} == {1}
    assert retained(broker, "domoticz/in") == {}


def test_after_an_outage_of_the_broker_each_device_gets_its_newest_value_only(
    broker: Broker, tmp_path: Path
) -> None:
    with output_for(tmp_path, broker.url) as output:
        wait_until(lambda: output.state == "ok", "a connection")
        broker.stop()
        wait_until(lambda: output.state == "offline", "the outage")
        for kilowatt_hours in range(2000, 2050):
            publish_both(output, kilowatt_hours)
        wait_until(lambda: not output.arrivals, "the thread")
        broker.start()
        with Subscriber(broker, "domoticz/in") as listener:
            publish_both(output, 3000.0)
            listener.wait_for("domoticz/in", lambda message: b"3000000;0" in message.payload)
        others = [m for m in listener.of("domoticz/in") if json.loads(m.payload)["idx"] == 14]
        assert {m.payload.partition(b'"svalue":')[2][:8] for m in others} <= {b'"2049000', b'"3000000'}


@needs_mosquitto
@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_a_broker_that_forbids_the_topic_gets_everything_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    password = tmp_path / "me.password"
    password.touch(0o600)
    password.write_text(PASSWORD, "utf-8")
    acl = "user reader\ntopic readwrite #\nuser me\ntopic readwrite smarty/#\n"
    with Broker(tmp_path, users={"me": PASSWORD, "reader": PASSWORD}, acl=acl) as strict:
        url = strict.url.replace("://", "://me@")
        with (
            Subscriber(strict, "#", user="reader", password=PASSWORD) as listener,
            output_for(tmp_path, url, f", version: '{version}', password_file: {password}") as output,
        ):
            for number in range(20):
                publish_both(output, 1000 + number)
                listener.wait_for("smarty/barn/state", count=number + 1)
                listener.wait_for("smarty/house/state", count=number + 1)
            assert output.state == "ok"
        assert not listener.of("domoticz/in")
    named = [line for line in caplog.messages if "domoticz/in" in line]
    assert len(named) == (version == "5"), caplog.messages
