"""The running quarter hour over MQTT: with each state, newest only, and gone when what it is of is gone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from smarty_gateway.outputs.mqtt.output import MqttOutput
from smarty_gateway.outputs.output import Reading
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.mqtt_runs import mqtt_output, reading_of, with_quarter
from tests.support.running import wait_until
from vectors.building_blocks import belgium, luxembourg

STATE: Final = "smarty/house/state"
QUARTER: Final = "smarty/house/quarter"
START: Final = "2026-01-30T10:15:00+01:00"
MORE: Final = "interval: 0, home_assistant: true"
OTHER_METER: Final = luxembourg(2, name="SAG1030700012352")


def quarter_of(telegram: bytes, name: str = "house", **values: float) -> Reading:
    return with_quarter(reading_of(telegram, name), {"start": START, **values})


@contextmanager
def sent(
    folder: Path, broker: Broker, *readings: Reading, more: str = MORE, has_history: bool = True
) -> Iterator[MqttOutput]:
    """Run the output for these readings until everything is sent."""
    names = dict.fromkeys(reading.meter for reading in readings)
    with mqtt_output(folder, broker.url, *names, more=more, has_history=has_history) as output:
        for reading in readings:
            output.publish(reading)
            wait_until(lambda: not output.is_busy, "an idle output")
        yield output


def test_a_quarter_hour_is_retained_and_sent_with_each_state(broker: Broker, tmp_path: Path) -> None:
    readings = [quarter_of(belgium(second), mean_power=second + 0.5) for second in range(3)]
    with Subscriber(broker) as listener:
        with sent(tmp_path, broker, *readings):
            listener.wait_for(QUARTER, lambda m: m.json["mean_power"] == 2.5)
        order = [m.topic for m in listener.messages if m.topic in (STATE, QUARTER)]
        assert order[-2:] == [STATE, QUARTER]
        assert order.count(STATE) == order.count(QUARTER)
        assert {m.qos for m in listener.of(QUARTER)} == {1}
    assert json.loads(retained(broker)[QUARTER]) == {"start": START, "mean_power": 2.5}


def test_a_quarter_hour_of_which_nothing_is_known_is_sent_with_its_start(
    broker: Broker, tmp_path: Path
) -> None:
    with sent(tmp_path, broker, quarter_of(belgium(1))):
        assert json.loads(retained(broker)[QUARTER]) == {"start": START}


def test_a_meter_without_a_history_has_neither_topic_nor_entities(broker: Broker, tmp_path: Path) -> None:
    with sent(tmp_path, broker, reading_of(belgium(1))):
        held = retained(broker)
    assert QUARTER not in held
    assert not [payload for payload in held.values() if b"quarter_" in payload]


@pytest.mark.parametrize("style", ["device", "entity"])
@pytest.mark.slow
def test_a_new_meter_has_nothing_of_the_quarter_hour_of_the_old_one(
    broker: Broker, tmp_path: Path, style: str
) -> None:
    more = f"interval: 0, home_assistant: {{style: {style}}}"
    with Subscriber(broker) as listener:
        with sent(
            tmp_path, broker, quarter_of(luxembourg(1), mean_power=7), reading_of(OTHER_METER), more=more
        ):
            listener.wait_for_payload(QUARTER, b"")
        announced = [m.topic for m in listener.messages if "SAG1030700012345/" in m.topic and not m.payload]
        emptied = [m.topic for m in listener.messages if not m.payload]
        assert announced
        assert emptied.index(announced[-1]) < emptied.index(QUARTER), (
            "its entities would read an empty message"
        )
    assert QUARTER not in retained(broker)


@pytest.mark.parametrize("readings", [[quarter_of(belgium(1))], [reading_of(belgium(1), "barn")]])
def test_a_meter_that_is_forgotten_leaves_no_quarter_hour(
    broker: Broker, tmp_path: Path, readings: list[Reading]
) -> None:
    with sent(tmp_path, broker, quarter_of(luxembourg(1), "LIAR"), *readings) as output:
        assert "smarty/LIAR/quarter" in retained(broker)
        output.forget("LIAR")
        wait_until(lambda: "smarty/LIAR/quarter" not in retained(broker), "the end of its quarter hour")


def test_a_quarter_hour_goes_with_the_former_name(broker: Broker, tmp_path: Path) -> None:
    with sent(tmp_path, broker, quarter_of(belgium(1))):
        pass
    with sent(tmp_path, broker, quarter_of(belgium(2), "barn")):
        pass
    held = retained(broker)
    assert "smarty/barn/quarter" in held
    assert QUARTER not in held


@pytest.mark.slow
def test_quarter_hours_are_removed_when_the_history_is_switched_off(broker: Broker, tmp_path: Path) -> None:
    with sent(tmp_path, broker, quarter_of(belgium(1))):
        pass
    with sent(tmp_path, broker, reading_of(belgium(2)), has_history=False):
        pass
    held = retained(broker)
    assert STATE in held
    assert QUARTER not in held


def test_a_start_keeps_the_quarter_hour_until_there_is_a_newer_one(broker: Broker, tmp_path: Path) -> None:
    with sent(tmp_path, broker, quarter_of(belgium(1))):
        pass
    with Subscriber(broker) as listener:
        with sent(tmp_path, broker, quarter_of(belgium(2), mean_power=1.0)):
            listener.wait_for(QUARTER, lambda m: "mean_power" in m.json)
        assert all(message.payload for message in listener.of(QUARTER))
