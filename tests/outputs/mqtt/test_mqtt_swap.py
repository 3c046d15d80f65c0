"""Another meter under the same name: nothing in Home Assistant takes its values for those of the old."""

import json
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from smarty_gateway.outputs.mqtt.retained import GATEWAY, NOBODY
from smarty_gateway.outputs.output import GatewayHealth, Health
from tests.support.brokers import Broker, Subscriber, retained
from tests.support.mqtt_runs import mqtt_output, reading_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium, luxembourg

A, B = "SAG1030700012345", "SAG1030700012352"
CONFIG_A, CONFIG_B = (f"homeassistant/device/smarty_{name}/config" for name in (A, B))
GAS = "homeassistant/device/smarty_GFLO2133031470/config"
BELGIAN = "homeassistant/device/smarty_1SAG1100000001/config"
STATE = "smarty/house/state"


def configs(broker: Broker) -> dict[str, str]:
    """Return the announcements that a broker holds, with the topic that each reads."""
    found = retained(broker, "homeassistant/#")
    return {topic: json.loads(payload)["stat_t"] for topic, payload in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("style", ["device", "entity"])
def test_the_old_meter_is_taken_away_before_the_first_state_of_the_new_one(
    broker: Broker, tmp_path: Path, style: str, *, restart: bool
) -> None:
    more = f"interval: 0, home_assistant: {{style: {style}}}"
    energy = "homeassistant/sensor/smarty_{}/energy_import/config"
    old, new = (CONFIG_A, CONFIG_B) if style == "device" else (energy.format(A), energy.format(B))
    before = reading_of(luxembourg(1, 50_000.0, name=A))
    after = reading_of(luxembourg(2, 0.5, name=B))
    with Subscriber(broker) as listener:
        with mqtt_output(tmp_path, broker.url, more=more) as output:
            output.publish(before)
            listener.wait_for(STATE)
            if not restart:
                output.publish(after)
                listener.wait_for(new)
        with mqtt_output(tmp_path, broker.url, more=more) as output:
            if restart:
                output.publish(after)
            listener.wait_for(new)
            listener.wait_for(STATE, lambda m: m.json["meter_id"] == B)
        assert all(f"_{A}/" not in topic for topic in configs(broker))
        assert configs(broker)[new] == STATE
        topics = [m.topic for m in listener.messages]
        emptied = next(i for i, m in enumerate(listener.messages) if m.topic == old and not m.payload)
        states = [i for i, m in enumerate(listener.messages) if m.topic == STATE]
        first = next(i for i in states if listener.messages[i].json["meter_id"] == B)
        assert emptied < min(topics.index(new), first)
        # Both have the same gas meter, which was there all the time.
        gas = [m for m in listener.messages if "smarty_GFLO2133031470" in m.topic]
        assert gas
        assert all(m.payload for m in gas)
    with closing(sqlite3.connect(tmp_path / "state/gateway.sqlite3")) as connection:
        rows = connection.execute("SELECT topic, meter FROM published").fetchall()
    assert not [topic for topic, _ in rows if f"_{A}/" in topic]
    assert {owner for _, owner in rows} == {"house", GATEWAY}


def test_mbus_devices_that_the_new_meter_does_not_have_go_with_the_old_one(
    broker: Broker, tmp_path: Path
) -> None:
    with Subscriber(broker) as listener:
        for telegram, config in ((luxembourg(1), CONFIG_A), (belgium(2), BELGIAN)):
            with mqtt_output(tmp_path, broker.url, more="home_assistant: true") as output:
                output.publish(reading_of(telegram))
                listener.wait_for(config)
    assert {CONFIG_A, GAS}.isdisjoint(configs(broker))
    assert BELGIAN in configs(broker)


@pytest.mark.slow
def test_two_meters_that_change_places_keep_an_announcement_each(broker: Broker, tmp_path: Path) -> None:
    more = "interval: 0, home_assistant: true"
    for house, barn in ((A, B), (B, A), (A, B)):
        places = {"house": house, "barn": barn}
        with mqtt_output(tmp_path, broker.url, *places, more=more) as output:
            for name, meter_id in places.items():
                output.publish(reading_of(luxembourg(1, name=meter_id), name))
            wait_until(lambda: not output.is_busy, "an idle output")
        found = configs(broker)
        assert {
            f"homeassistant/device/smarty_{meter_id}/config": f"smarty/{name}/state"
            for name, meter_id in places.items()
        }.items() <= found.items()


class _Health(dict[str, Health]):
    """The health of no meter; does something when the output asks for it, which it does as it sends."""

    def __init__(self, action: Callable[[], None]) -> None:
        super().__init__()
        self._action: Callable[[], None] | None = action

    def __contains__(self, _meter: object) -> bool:
        action, self._action = self._action, None
        if action is not None:
            action()
        return False


def test_a_meter_that_replaces_another_while_the_gateway_stops_is_announced(
    broker: Broker, tmp_path: Path
) -> None:
    more = "interval: 0, home_assistant: true"
    with mqtt_output(tmp_path, broker.url, more=more) as output:
        output.publish(reading_of(luxembourg(1, name=A)))
    with mqtt_output(tmp_path, broker.url, more=more) as output:
        stop = threading.Thread(target=output.stop, args=(10.0,))

        def publish_and_stop() -> None:
            output.publish(reading_of(luxembourg(1, name=B)))
            stop.start()
            wait_until(lambda: output.stopping.is_requested, "the stop")

        output.report(_Health(publish_and_stop), GatewayHealth(counters_kept=True, outputs={}))
        wait_until(lambda: stop.ident is not None, "the next look at the health")
        stop.join()
    assert configs(broker)[CONFIG_B] == STATE
    assert CONFIG_A not in configs(broker)


def test_a_start_without_telegrams_and_a_telegram_of_the_same_meter_take_nothing_away(
    broker: Broker, tmp_path: Path
) -> None:
    more = "interval: 0, home_assistant: true"
    with mqtt_output(tmp_path, broker.url, more=more) as output:
        output.publish(reading_of(luxembourg(1)))
        wait_until(lambda: not output.is_busy, "an idle output")
    before = configs(broker)
    assert {CONFIG_A, GAS} <= before.keys()
    with Subscriber(broker) as listener:
        with mqtt_output(tmp_path, broker.url, more=more):
            listener.wait_for_payload("smarty/status", b"online")
        with mqtt_output(tmp_path, broker.url, more=more) as output:
            output.publish(reading_of(luxembourg(2)))
            wait_until(lambda: not output.is_busy, "an idle output")
        assert all(m.payload for m in listener.messages)
    assert configs(broker) == before


def test_an_interrupted_swap_is_done_at_the_next_start(broker: Broker, tmp_path: Path) -> None:
    more = "interval: 0, home_assistant: true"
    with mqtt_output(tmp_path, broker.url, more=more) as output:
        output.publish(reading_of(luxembourg(1)))
        wait_until(lambda: not output.is_busy, "an idle output")
    # This is what a crash before the broker's answer leaves behind.
    with closing(sqlite3.connect(tmp_path / "state/gateway.sqlite3")) as connection, connection:
        connection.execute("UPDATE published SET meter = ? WHERE topic = ?", (NOBODY, CONFIG_A))
    with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=more):
        listener.wait_for_payload(CONFIG_A, b"")
        listener.wait_for("smarty/status", lambda m: m.payload == b"online")
    assert CONFIG_A not in configs(broker)
    assert GAS in configs(broker)
