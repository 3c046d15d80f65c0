"""The gateway and a real broker: what arrives there, and what a lost or late broker costs."""

import json
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.state.store import Store
from tests.support.brokers import Broker, Subscriber, needs_mosquitto, retained
from tests.support.commands import smarty_gateway
from tests.support.mqtt_runs import (
    CONFIG,
    GAS_CONFIG,
    GATEWAY_CONFIG,
    configure,
    house,
    is_number,
    mqtt_output,
    reading_of,
    second_of,
    without_repeats,
)
from tests.support.running import wait_until
from vectors.building_blocks import belgium, hex_text, netherlands, telegram

# What arrives


def test_topics_payloads_qos_and_retention_are_those_of_the_contract(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "telegrams: true, home_assistant: true")
    with Subscriber(broker) as listener, house(tmp_path) as home:
        listener.wait_for_payload("smarty/status", b"online")
        listener.wait_for_payload("smarty/house/availability", b"offline")
        home.send(2)
        listener.wait_for("smarty/house/telegram", count=2)
        listener.wait_for("smarty/house/state", is_number(1))
        listener.wait_for_payload("smarty/house/availability", b"online")
        health = listener.wait_for("smarty/house/health", lambda m: m.json["last_telegram"] is None)[0]
        assert health.qos == 0
        assert set(health.json) == {
            "telegrams", "rejected", "noise_bytes", "counter_gaps", "duplicates", "elsewhere", "reconnects",
            "downgraded", "last_telegram",
        }  # fmt: skip
        gas = listener.wait_for("smarty/house/mbus/7FLO2119000001")[0]
        assert gas.json["value"] == 112.384
        listener.wait_for(CONFIG)
        listener.wait_for(GAS_CONFIG)
        listener.wait_for("smarty/health")
        printed = home.running.readings
        assert [m.json for m in listener.of("smarty/house/telegram")] == printed
        assert listener.of("smarty/house/state")[-1].json == printed[-1]
        assert {m.qos for m in listener.messages if not m.topic.endswith("/health")} == {1}
        held = retained(broker)
        assert set(held) == {
            "smarty/status",
            "smarty/health",
            "smarty/house/availability",
            "smarty/house/state",
            "smarty/house/quarter",
            "smarty/house/health",
            "smarty/house/mbus/7FLO2119000001",
            "smarty/house/mbus/8SAG1234567890",
            CONFIG,
            GAS_CONFIG,
            GATEWAY_CONFIG,
            "homeassistant/device/smarty_8SAG1234567890/config",
        }
        assert home.running.stop() == 0
        listener.wait_for_payload("smarty/status", b"offline")
        assert listener.last("smarty/house/availability") == b"offline"


def test_a_gateway_that_is_killed_is_offline_by_its_last_will(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker)
    with Subscriber(broker) as listener, house(tmp_path) as home:
        listener.wait_for_payload("smarty/status", b"online")
        home.running.stop(signal.SIGKILL)
        listener.wait_for_payload("smarty/status", b"offline")
        assert retained(broker)["smarty/status"] == b"offline"


def test_after_a_crash_no_meter_is_believed_to_be_there(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker)
    with house(tmp_path) as home:
        home.send()
        with Subscriber(broker) as listener:
            listener.wait_for_payload("smarty/house/availability", b"online")
        home.running.stop(signal.SIGKILL)
    with Subscriber(broker, "smarty/status") as listener:
        listener.wait_for_payload("smarty/status", b"offline")
    place = len(broker.log())
    with Subscriber(broker) as listener, house(tmp_path):
        listener.wait_for_payload("smarty/status", b"online")
        assert listener.last("smarty/house/availability") == b"offline"
    first, second = broker.received(place)[:2]
    assert (first, second) == ("smarty/house/availability", "smarty/status")


def test_single_values_have_topics_of_their_own(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "values: true")
    with Subscriber(broker) as listener, house(tmp_path) as home:
        home.send()
        listener.wait_for_payload("smarty/house/energy_import_tariff_1", b"531.25")
        listener.wait_for_payload("smarty/house/power_export", b"1.207")
        listener.wait_for_payload("smarty/house/meter_id", b"1SAG1100000001")
        listener.wait_for_payload("smarty/house/message", b"")
        assert not listener.of("smarty/house/peak_demand_history")
        assert listener.of("smarty/house/power_export")[0].qos == 0
        assert retained(broker)["smarty/house/power_export"] == b"1.207"


def test_a_recording_that_is_read_faster_than_the_broker_answers_arrives_whole(
    broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "many.bin").write_bytes(b"".join(belgium(second % 60) for second in range(2000)))
    (tmp_path / "gateway.yaml").write_text(
        "meters: [{name: house, source: many.bin}]\n"
        f"outputs: {{mqtt: {{url: '{broker.url}', telegrams: true}}}}\n",
        "utf-8",
    )
    with Subscriber(broker, "smarty/house/telegram") as listener:
        done = smarty_gateway("run", "--state", tmp_path / "state", folder=tmp_path)
        assert done.returncode == 0
        expected = b" is open", b" is closed", b" as an anonymous client, without TLS"
        assert all(line.endswith(expected) for line in done.stderr.splitlines())
        listener.wait_for("smarty/house/telegram", count=2000)


def test_two_meters_have_topics_of_their_own(broker: Broker, tmp_path: Path) -> None:
    one, two = tmp_path / "one.bin", tmp_path / "two.bin"
    one.write_bytes(belgium(1))
    two.write_bytes(netherlands(2))
    (tmp_path / "gateway.yaml").write_text(
        "meters:\n  - {name: my/house, source: one.bin}\n  - {source: two.bin}\n"
        f"outputs: {{mqtt: {{url: '{broker.url}', telegrams: true, "
        "home_assistant: true}}\n",
        "utf-8",
    )
    with Subscriber(broker) as listener:
        done = smarty_gateway("run", "--state", tmp_path / "state", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert listener.wait_for("smarty/my_house/state")[0].json["meter"] == "my/house"
        assert (
            listener.wait_for("smarty/E0044000000000001/state")[0].json["energy_import_tariff_1"] == 2130.115
        )
        listener.wait_for("smarty/my_house/telegram")
        listener.wait_for("smarty/E0044000000000001/telegram")
        ids = {
            component["unique_id"]
            for topic, payload in retained(broker, "homeassistant/#").items()
            for component in json.loads(payload)["cmps"].values()
            if topic.endswith("/config")
        }
        assert any("1SAG1100000001" in one for one in ids)
        assert any("E0044000000000001" in one for one in ids)


@pytest.mark.parametrize(("name", "options"), [("meter", ()), ("house", ("--name", "house"))])
def test_one_meter_needs_no_configuration_file(
    broker: Broker, tmp_path: Path, name: str, options: tuple[str, ...]
) -> None:
    with Subscriber(broker) as listener:
        recording = tmp_path / "one.bin"
        recording.write_bytes(belgium(1))
        done = smarty_gateway(
            "run", "--source", recording, "--mqtt", broker.url, *options, "--format", "json",
            "--state", tmp_path / "state", folder=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["meter"] == name
        listener.wait_for(f"smarty/{name}/state")
        (config,) = listener.wait_for(CONFIG)
        assert config.json["stat_t"] == f"smarty/{name}/state"


@pytest.mark.parametrize("style", ["device", "entity"])
def test_mqtt_5_carries_the_same(broker: Broker, tmp_path: Path, style: str) -> None:
    configure(
        tmp_path,
        broker,
        f"version: '5', telegrams: true, values: true, home_assistant: {{style: {style}}}",
    )
    with Subscriber(broker) as listener, house(tmp_path) as home:
        home.send(60)
        listener.wait_for("smarty/house/telegram", count=60)
        assert [second_of(m.payload) for m in listener.of("smarty/house/telegram")] == list(range(60))
        listener.wait_for("smarty/house/state", is_number(59))
        listener.wait_for_payload("smarty/house/tariff", b"1")
        assert home.running.stop() == 0
        listener.wait_for_payload("smarty/status", b"offline")
    assert not home.running.says("does not accept")


@needs_mosquitto
@pytest.mark.parametrize(("version", "expires"), [("5", True), ("3.1.1", False)])
def test_with_mqtt_5_what_is_sent_again_does_not_outlive_the_gateway(
    tmp_path: Path, version: str, *, expires: bool
) -> None:
    seen: dict[str, int | None] = {}
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)

    @client.connect_callback()
    def connected(*_: object) -> None:
        client.subscribe("#", qos=1)

    @client.message_callback()
    def received(_client: Client, _data: object, message: MQTTMessage) -> None:
        seen[message.topic] = getattr(message.properties, "MessageExpiryInterval", None)

    with (
        Broker(tmp_path, options=("max_queued_messages 1000",)) as broker,
        mqtt_output(
            tmp_path, broker.url, more=f"version: '{version}', values: true, home_assistant: true"
        ) as output,
    ):
        client.connect("127.0.0.1", broker.port)
        client.loop_start()
        output.report({"house": Health(1)}, GatewayHealth(counters_kept=True, outputs={}))
        output.publish(reading_of(belgium(0)))
        try:
            wait_until(lambda: {CONFIG, "smarty/house/health", "smarty/health"} <= seen.keys(), "messages")
        finally:
            client.loop_stop()
            client.disconnect()
    limited = {topic for topic, seconds in seen.items() if seconds is not None}
    stays = {"smarty/status", "smarty/house/availability", "smarty/house/mbus/7FLO2119000001", CONFIG}
    assert not limited & stays
    assert ({"smarty/house/state", "smarty/house/health", "smarty/health"} <= limited) is expires
    assert bool(limited) is expires


# The broker comes and goes


def test_the_gateway_starts_without_a_broker_and_finds_it(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    configure(tmp_path, broker)
    with house(tmp_path) as home:
        home.running.wait_for_log("no broker answers at")
        home.send(3)
        broker.start()
        home.running.wait_for_log("connected to the broker")
        with Subscriber(broker) as listener:
            listener.wait_for("smarty/house/state", is_number(2))
        assert home.running.says("no broker answers at") == 1


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_after_an_outage_the_newest_state_comes_first_and_then_the_backlog_in_order(
    broker: Broker, tmp_path: Path, end: str
) -> None:
    configure(tmp_path, broker, "telegrams: true, home_assistant: true")
    with Subscriber(broker, "smarty/#") as listener, house(tmp_path) as home:
        home.send(5)
        listener.wait_for("smarty/house/telegram", is_number(4))
        getattr(broker, end)()
        home.running.wait_for_log("the broker")
        home.send(60)
        place = len(broker.log())
        broker.start()
        wait_until(lambda: "smarty/status" in broker.received(place), "a connection")
        wait_until(lambda: "smarty/house/state" in broker.received(place), "a state", limit=1.0)
        listener.wait_for("smarty/house/telegram", is_number(64))
        numbers = [second_of(m.payload) for m in listener.of("smarty/house/telegram")]
        assert without_repeats(numbers) == list(range(65))
        topics_in_order = broker.received(place)
        assert topics_in_order.index("smarty/house/state") < topics_in_order.index("smarty/house/telegram")
        listener.wait_for("smarty/house/state", is_number(64))
        assert home.running.says("connected to the broker") == 2
        assert home.running.says(f"connected to the broker 127.0.0.1:{broker.port} again") == 1


def test_a_frozen_broker_holds_up_nothing_and_gets_everything_when_it_goes_on(
    broker: Broker, tmp_path: Path
) -> None:
    configure(tmp_path, broker, "telegrams: true, values: true")
    with Subscriber(broker, "smarty/#") as listener, house(tmp_path) as home:
        home.send(2)
        listener.wait_for("smarty/house/telegram", is_number(1))
        broker.freeze()
        home.send(200)
        broker.resume()
        listener.wait_for("smarty/house/telegram", is_number(201))
        numbers = [second_of(m.payload) for m in listener.of("smarty/house/telegram")]
        assert without_repeats(numbers) == list(range(202))
        listener.wait_for("smarty/house/state", is_number(201))


def test_what_waited_outlives_a_clean_stop_of_the_gateway(broker: Broker, tmp_path: Path) -> None:
    broker.stop()
    configure(tmp_path, broker, "telegrams: true")
    with house(tmp_path) as home:
        home.send(10)
        assert home.running.stop() == 0
    broker.start()
    with Subscriber(broker, "smarty/house/telegram") as listener, house(tmp_path) as home:
        listener.wait_for("smarty/house/telegram", count=10)
        home.skip(10)
        home.send()
        listener.wait_for("smarty/house/telegram", is_number(10))
        numbers = [second_of(m.payload) for m in listener.of("smarty/house/telegram")]
        assert numbers == list(range(11))


def test_with_durability_each_nothing_is_lost_when_the_gateway_is_killed(
    broker: Broker, tmp_path: Path
) -> None:
    broker.stop()
    configure(tmp_path, broker, "telegrams: true, durability: each")
    file = tmp_path / "state/smarty-gateway/gateway.sqlite3"
    for start in (0, 5):
        with house(tmp_path) as home:
            home.skip(start)
            home.send(5)
            wait_until(lambda count=start + 5: rows_of(file) == count, "rows")  # type: ignore[misc]
            home.running.stop(signal.SIGKILL)
    broker.start()
    with Subscriber(broker, "smarty/house/telegram") as listener, house(tmp_path):
        listener.wait_for("smarty/house/telegram", count=10)
        assert [second_of(m.payload) for m in listener.of("smarty/house/telegram")] == list(range(10))
        wait_until(lambda: rows_of(file) == 0, "an empty store")


def rows_of(file: Path) -> int:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as connection:
        return int(connection.execute("SELECT count(*) FROM undelivered").fetchone()[0])


def test_with_a_broker_there_no_telegram_is_written(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "telegrams: true")
    with Subscriber(broker, "smarty/#") as listener, house(tmp_path) as home:
        home.send(50)
        listener.wait_for("smarty/house/telegram", is_number(49))
        home.running.stop()
    with closing(sqlite3.connect(tmp_path / "state/smarty-gateway/gateway.sqlite3")) as connection:
        assert connection.execute("SELECT count(*) FROM undelivered").fetchone() == (0,)
        assert connection.execute("SELECT * FROM sqlite_sequence").fetchall() == []


@pytest.mark.slow
def test_a_peer_that_never_answers_holds_up_neither_readings_nor_the_stop(tmp_path: Path) -> None:
    stored = 0
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        for url in (f"mqtt://127.0.0.1:{port}", f"mqtts://127.0.0.1:{port}"):
            (tmp_path / "gateway.yaml").write_text(
                f"meters: [{{name: house, source: {tmp_path}/port}}]\n"
                f"outputs: {{stdout: {{format: json}}, mqtt: {{url: '{url}', telegrams: true}}}}\n",
                "utf-8",
            )
            with house(tmp_path) as home:
                home.send(3)
                assert home.running.stop() == 0
            file = tmp_path / "state/smarty-gateway/gateway.sqlite3"
            stored += 3
            assert rows_of(file) == stored


def test_the_health_lists_standard_output_before_mqtt(broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        f"meters: [{{name: house, source: {tmp_path}/port}}]\n"
        f"outputs: {{stdout: {{format: json}}, mqtt: {{url: '{broker.url}'}}}}\n",
        "utf-8",
    )
    with Subscriber(broker, "smarty/health") as listener, house(tmp_path):
        (message,) = listener.wait_for("smarty/health")
    assert list(message.json["outputs"]) == ["stdout", "mqtt"]


# Home Assistant, styles, forget


@pytest.mark.slow
def test_when_home_assistant_starts_it_gets_announcements_and_states_again(
    broker: Broker, tmp_path: Path
) -> None:
    configure(tmp_path, broker, "home_assistant: true")
    with Subscriber(broker) as listener, house(tmp_path) as home:
        home.send()
        listener.wait_for("smarty/house/state")
        listener.wait_for(CONFIG)
        for birth in range(2, 4):
            listener.publish("homeassistant/status", b"online")
            for topic in (CONFIG, GAS_CONFIG, "smarty/house/state", "smarty/house/mbus/7FLO2119000001"):
                listener.wait_for(topic, count=birth)


@pytest.mark.slow
def test_a_change_of_style_empties_the_topics_of_the_other(broker: Broker, tmp_path: Path) -> None:
    other = "homeassistant/sensor/smarty_1SAG1100000001/power_import/config"
    for style, here, gone in (
        ("device", CONFIG, other),
        ("entity", other, CONFIG),
        ("device", CONFIG, other),
    ):
        configure(tmp_path, broker, f"home_assistant: {{style: {style}}}")
        with Subscriber(broker) as listener, house(tmp_path) as home:
            home.send()
            listener.wait_for(here)
            if any(m.topic == gone and m.is_retained for m in listener.messages):
                listener.wait_for_payload(gone, b"")
                # Home Assistant empties the topics of what it removes a moment later, too.
                (new,) = (m for m in listener.of(here) if not m.is_retained)
                assert new.time - listener.of(gone)[-1].time > 0.9
            assert home.running.stop() == 0
        kinds = {topic.split("/")[1] for topic in retained(broker, "homeassistant/#")}
        assert kinds == ({"device"} if style == "device" else {"sensor", "binary_sensor"})


def test_an_entity_that_is_not_announced_any_more_vanishes(broker: Broker, tmp_path: Path) -> None:
    former = "homeassistant/sensor/smarty_1SAG1100000001/former_key/config"
    configure(tmp_path, broker, "home_assistant: {style: entity}")
    with house(tmp_path) as home:
        home.send()
        home.running.stop()
    with (
        closing(sqlite3.connect(tmp_path / "state/smarty-gateway/gateway.sqlite3")) as connection,
        connection,
    ):
        connection.execute("INSERT INTO published VALUES (?, 'house')", (former,))
    with Subscriber(broker) as listener, house(tmp_path) as home:
        home.send()
        listener.wait_for_payload(former, b"")


@pytest.mark.slow
def test_announcements_of_the_version_before_are_emptied_once_and_made_anew(
    broker: Broker, tmp_path: Path
) -> None:
    configure(tmp_path, broker, "home_assistant: true")
    with house(tmp_path) as home:
        home.send()
        home.running.stop()
    with closing(sqlite3.connect(tmp_path / "state/smarty-gateway/gateway.sqlite3")) as connection:
        connection.executescript(
            "DROP INDEX undelivered_of_output; ALTER TABLE undelivered DROP COLUMN output; "
            "DROP TABLE unnamed; DROP TABLE devices; PRAGMA user_version = 2"
        )
    with Subscriber(broker) as listener:
        for _ in range(2):
            with house(tmp_path) as home:
                listener.wait_for_payload("smarty/status", b"online")
                home.send()
                listener.wait_for(CONFIG, lambda m: not m.is_retained and m.payload)
                home.running.stop()
        emptied = [m.topic for m in listener.messages if not m.payload]
        assert sorted(emptied) == sorted(
            {CONFIG, GATEWAY_CONFIG, GAS_CONFIG, GAS_CONFIG.replace("7FLO2119000001", "8SAG1234567890")}
        )
        assert json.loads(listener.last(CONFIG) or b"")["cmps"]


@pytest.mark.slow
def test_the_gateway_is_announced_before_the_meters_that_are_behind_it(
    broker: Broker, tmp_path: Path
) -> None:
    configure(tmp_path, broker, "home_assistant: true")
    with Subscriber(broker, "homeassistant/#") as listener, house(tmp_path) as home:
        listener.wait_for(GATEWAY_CONFIG)
        home.send()
        listener.wait_for(CONFIG)
        assert listener.messages[0].topic == GATEWAY_CONFIG
        assert listener.messages[0].json["cmps"]["house_meter"]["stat_t"] == "smarty/house/availability"
        listener.publish("homeassistant/status", b"online")
        listener.wait_for(GATEWAY_CONFIG, count=2)
        listener.wait_for(CONFIG, count=2)
        configs = [m.topic for m in listener.messages if m.topic.endswith("/config")]
        assert configs.index(GATEWAY_CONFIG, 1) < configs.index(CONFIG, configs.index(CONFIG) + 1)


def test_no_meter_takes_the_device_of_the_gateway(broker: Broker, tmp_path: Path) -> None:
    own = belgium(0).replace(hex_text("1SAG1100000001").encode(), hex_text("Smarty").encode())
    (tmp_path / "own.bin").write_bytes(telegram(*own_lines(own)))
    (tmp_path / "gateway.yaml").write_text(
        "meters: [{name: house, source: own.bin}]\n"
        f"outputs: {{mqtt: {{url: '{broker.url}', home_assistant: true}}}}\n",
        "utf-8",
    )
    with Subscriber(broker) as listener:
        done = smarty_gateway("run", "--state", tmp_path / "state", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert listener.wait_for("smarty/house/state")[0].json["meter_id"] == "Smarty"
        listener.wait_for(GAS_CONFIG)
    devices = {
        topic: json.loads(p)["dev"]["name"] for topic, p in retained(broker, "homeassistant/#").items()
    }
    assert devices[GATEWAY_CONFIG] == "smarty-gateway"
    assert devices["homeassistant/device/smarty_smarty_house/config"] == "house"


def own_lines(text: bytes) -> list[str]:
    """Return the header and the lines of a telegram, to write it with another CRC."""
    header, _, *lines = text.decode("ascii").split("\r\n")
    return [header[1:], *lines[:-2]]


def test_an_interrupted_change_of_style_is_done_at_the_next_start(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "home_assistant: {style: entity}")
    with house(tmp_path) as home:
        home.send()
        home.running.stop()
    # A row that came back is what a crash before the broker's answer leaves behind.
    file = tmp_path / "state/smarty-gateway/gateway.sqlite3"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("INSERT INTO published VALUES (?, 'house')", (CONFIG,))
    with Subscriber(broker) as listener:
        listener.publish(CONFIG, b"{}")
        listener.wait_for(CONFIG)
        with house(tmp_path) as home:
            home.send()
            listener.wait_for_payload(CONFIG, b"")


def test_forget_empties_everything_the_broker_holds_of_a_meter(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "values: true, home_assistant: true")
    with house(tmp_path) as home:
        home.send()
        with Subscriber(broker) as listener:
            listener.wait_for(CONFIG)
            listener.wait_for("smarty/house/power_export")
        assert home.running.stop() == 0
    with Subscriber(broker) as listener:
        listener.publish("other/topic", b"stays")
    arguments = ("forget", "house", "--state", tmp_path / "state/smarty-gateway")
    done = smarty_gateway(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(retained(broker)) == {"smarty/status", "smarty/health", GATEWAY_CONFIG}
    again = smarty_gateway(*arguments, folder=tmp_path)
    assert again.returncode != 0
    assert b"nothing is stored of a meter named house" in again.stderr


def test_forget_without_a_broker_forgets_nothing(broker: Broker, tmp_path: Path) -> None:
    configure(tmp_path, broker, "home_assistant: true")
    with house(tmp_path) as home:
        home.send()
        home.running.stop()
    broker.stop()
    arguments = ("forget", "house", "--state", tmp_path / "state/smarty-gateway")
    done = smarty_gateway(*arguments, folder=tmp_path)
    assert done.returncode != 0
    assert b"nothing was forgotten" in done.stderr
    broker.start()
    assert CONFIG in retained(broker)
    assert smarty_gateway(*arguments, folder=tmp_path).returncode == 0


def test_forget_removes_telegrams_of_a_meter_that_never_reached_the_broker(
    broker: Broker, tmp_path: Path
) -> None:
    broker.stop()
    configure(tmp_path, broker, "telegrams: true")
    with house(tmp_path) as home:
        home.send(5)
        assert home.running.stop() == 0
    file = tmp_path / "state/smarty-gateway/gateway.sqlite3"
    assert rows_of(file) == 5
    arguments = ("forget", "house", "--state", file.parent)
    done = smarty_gateway(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"5 waiting telegrams" in done.stdout
    assert rows_of(file) == 0
    again = smarty_gateway(*arguments, folder=tmp_path)
    assert b"nothing is stored of a meter named house" in again.stderr


def test_forget_leaves_a_renamed_meter_what_is_its_own(broker: Broker, tmp_path: Path) -> None:
    url = broker.url
    for name, others in (("old", []), ("new", ["old"])):
        with mqtt_output(tmp_path, url, name, more="home_assistant: true", unnamed=others) as output:
            output.publish(reading_of(belgium(1), name))
    held = retained(broker)
    arguments = ("forget", "old", "--state", tmp_path / "state", "--mqtt", url)
    done = smarty_gateway(*arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    left = retained(broker)
    assert left == {topic: held[topic] for topic in held if not topic.startswith("smarty/old/")}
    assert json.loads(left[CONFIG])["stat_t"] == "smarty/new/state"


def test_forget_spares_the_telegrams_of_a_meter_that_is_spelled_otherwise(
    broker: Broker, tmp_path: Path
) -> None:
    url = broker.url
    with mqtt_output(tmp_path, url, "my house", more="values: true") as output:
        output.publish(reading_of(belgium(0), "my house"))
    with mqtt_output(tmp_path, url, "my_house", more="telegrams: true") as output:
        output.publish(reading_of(belgium(1), "my_house"))
        with Subscriber(broker) as listener:
            listener.wait_for("smarty/my_house/state", is_number(1))
    file = tmp_path / "state/gateway.sqlite3"
    with Store(file.parent) as store:
        store.add_undelivered("mqtt", [("smarty/my_house/telegram", b"{}")])
    arguments = ("forget", "my house", "--state", file.parent, "--mqtt", url)
    assert (
        b"nothing is stored of a meter named my house" in smarty_gateway(*arguments, folder=tmp_path).stderr
    )
    assert rows_of(file) == 1
    assert "smarty/my_house/state" in retained(broker)
