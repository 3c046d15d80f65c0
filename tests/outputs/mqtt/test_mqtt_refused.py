"""Messages that a broker refuses: they are found and named, and nothing else suffers from them."""

import json
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from smarty_gateway.outputs.mqtt import publications as module
from smarty_gateway.outputs.mqtt import refused_messages
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages
from smarty_gateway.outputs.output import GatewayHealth, Health
from smarty_gateway.simulator.ports import PtyPort
from tests.support.brokers import Broker, Subscriber, needs_mosquitto, retained
from tests.support.mqtt_runs import CONFIG, configure, house, is_number, mqtt_output, reading_of, second_of
from tests.support.running import Running, wait_until
from vectors.building_blocks import belgium, hex_text, luxembourg, telegram

REFUSED_TOO = ("telegram", "health", "power_import", "availability")
PASSWORD = "pass"  # noqa: S105 - of a throw-away broker


def long_telegram(second: int) -> bytes:
    """Write a telegram of 3 kB: its state is too long for the brokers below, others are not."""
    return telegram(
        "EVL5\\253000009_A",
        f"0-0:96.1.1({hex_text('1EVL1100000009')})",
        f"0-0:1.0.0(260130102{second // 60:d}{second % 60:02d}W)",
        "1-0:1.8.0(000066.950*kWh)",
        *(f"1-0:99.{number}.9({'x' * 80})" for number in range(30)),
    )


@pytest.fixture
def quick_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a connection as good after 2 seconds."""
    monkeypatch.setattr(module, "RefusedMessages", partial(RefusedMessages, settled_after=2.0))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Broker]:
    """Run a broker that takes packets of 2000 bytes at most."""
    with Broker(tmp_path, options=("max_packet_size 2000",)) as found:
        yield found


def rows(folder: Path) -> list[str]:
    """Return the topics of the telegrams in the state file."""
    with closing(sqlite3.connect(folder / "state/gateway.sqlite3", timeout=30)) as connection:
        return [topic for (topic,) in connection.execute("SELECT topic FROM undelivered ORDER BY id")]


# A broker that hangs up


@needs_mosquitto
def test_a_meter_whose_messages_the_broker_refuses_delays_no_other(small: Broker, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        f"meters:\n  - {{name: house, source: {tmp_path}/house}}\n"
        f"  - {{name: evil, source: {tmp_path}/evil}}\n"
        "outputs:\n  stdout: {format: json}\n"
        f"  mqtt: {{url: '{small.url}', interval: 0, telegrams: true, values: true}}\n",
        "utf-8",
    )
    good, evil = PtyPort(tmp_path / "house"), PtyPort(tmp_path / "evil")
    printed: dict[int, float] = {}
    with Subscriber(small, "smarty/#") as listener, Running("run", folder=tmp_path) as running:
        running.wait_for_port(good.name)
        running.wait_for_port(evil.name)
        read, number, begin = 0, 0, time.monotonic()
        while time.monotonic() < begin + 60:
            if time.monotonic() >= begin + number:
                good.write(belgium(number))
                evil.write(long_telegram(number))
                number += 1
            lines = running.lines[read:]
            read += len(lines)
            for line in lines:
                if json.loads(line)["meter"] == "house":
                    printed[second_of(line.encode())] = time.monotonic()
            time.sleep(0.005)
        wait_until(lambda: listener.of("smarty/house/telegram")[-1:], "telegrams")
        listener.wait_for("smarty/house/telegram", is_number(number - 1))
        states = [(second_of(m.payload), m.time) for m in listener.of("smarty/house/state")]
        telegrams = [second_of(m.payload) for m in listener.of("smarty/house/telegram")]
        lines = list(running.log)
        assert running.stop() == 0
    good.close()
    evil.close()
    # A newer state is as good as the one that was printed.
    late = [min(at for second, at in states if second >= printed_number) - printed_at
            for printed_number, printed_at in printed.items()]  # fmt: skip
    assert len(late) == 60
    assert max(late) <= 2.0, sorted(late)[-5:]
    assert list(dict.fromkeys(telegrams)) == list(range(60))
    for topic in ("state", "telegram"):
        named = [line for line in lines if f"smarty/evil/{topic}" in line and "put aside" in line]
        assert len(named) == 1, lines
        assert "max_packet_size" in named[0]
    assert not listener.of("smarty/evil/state")
    assert sum("one at a time" in line for line in lines) == 1
    assert not any("client id" in line for line in lines)
    assert len(lines) <= 20, lines


@pytest.mark.slow
@pytest.mark.usefixtures("quick_search")
@pytest.mark.parametrize(
    "refused",
    ["state", *(pytest.param(name, marks=pytest.mark.slow) for name in REFUSED_TOO)],
)
def test_what_the_broker_hangs_up_on_is_put_aside_whatever_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, refused: str
) -> None:
    changes: list[tuple[str, int | None]] = []
    topic = f"smarty/evil/{refused}"
    more = "interval: 0, telegrams: true, values: true"
    with (
        Broker(tmp_path, hangs_up_on=(topic,)) as broker,
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(
            tmp_path, broker.url, "house", "evil", more=more, note_put_aside=lambda *c: changes.append(c)
        ) as output,
    ):
        output.report({"house": Health(), "evil": Health()}, GatewayHealth(counters_kept=True, outputs={}))
        for number in range(600):
            output.publish(reading_of(belgium(number), "house"))
            output.publish(reading_of(belgium(number), "evil"))
            listener.wait_for("smarty/house/state", is_number(number))
            if output.refused.topics and number > 30:
                break
        wait_until(lambda: changes, "a topic that is put aside")
        ((found, size),) = changes
        assert found == topic
        assert size
        assert output.refused.topics == 1
        listener.wait_for("smarty/house/telegram", is_number(number))
        for name in {"state", "telegram", "health", "power_import", "availability"} - {refused}:
            listener.wait_for(f"smarty/house/{name}")
            listener.wait_for(f"smarty/evil/{name}")
        wait_until(lambda: not output.is_busy, "an idle output")
    assert caplog.text.count(f"closes the connection after the message to {topic}") == 1
    assert rows(tmp_path) == []


@pytest.mark.usefixtures("quick_search")
def test_what_an_earlier_run_has_put_aside_is_tried_alone_and_taken_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[tuple[str, int | None]] = []
    put_aside = {"smarty/house/state": 10, "smarty/house/availability": 10, "smarty/house/telegram": 10}
    more = "interval: 0, telegrams: true"
    with (
        Broker(tmp_path) as broker,
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(
            tmp_path, broker.url, more=more, put_aside=put_aside, note_put_aside=lambda *c: changes.append(c)
        ) as output,
    ):
        output.publish(reading_of(belgium(0)))
        wait_until(lambda: output.refused.dropped >= 3, "three that are dropped")
        assert output.refused.topics == 3
        wait_until(lambda: len(changes) == 2, "a try of what is retained, without a new reading")
        listener.wait_for("smarty/house/state", is_number(0))
        assert not listener.of("smarty/house/telegram")
        output.publish(reading_of(belgium(1)))
        listener.wait_for("smarty/house/telegram", is_number(1))
        wait_until(lambda: output.refused.topics == 0, "an empty table")
    assert dict(changes) == dict.fromkeys(put_aside)
    assert caplog.text.count("accepts messages to smarty/house/state again") == 1


# Announcements that are too large


@needs_mosquitto
@pytest.mark.usefixtures("quick_search")
@pytest.mark.parametrize("version", ["3.1.1", "5"])
@pytest.mark.parametrize("limit", [2000, 10240])
def test_a_device_that_is_too_large_to_announce_is_announced_by_its_entities(
    tmp_path: Path, version: str, limit: int
) -> None:
    device = "homeassistant/device/smarty_SAG1030700012345/config"
    entity = "homeassistant/{}/smarty_SAG1030700012345/{}/config"
    more = f"version: '{version}', interval: 0, home_assistant: true"
    with (
        Broker(tmp_path, options=(f"max_packet_size {limit}",)) as broker,
        Subscriber(broker) as listener,
        mqtt_output(tmp_path, broker.url, more=more) as output,
    ):
        output.publish(reading_of(luxembourg(0)))
        # States need not wait for that.
        listener.wait_for("smarty/house/state")
        for platform, key in (("sensor", "energy_import"), ("binary_sensor", "rejected")):
            found = listener.wait_for(entity.format(platform, key))[0].json
            assert found["dev"]["ids"] == ["smarty_SAG1030700012345"]
        output.publish(reading_of(luxembourg(1)))
        listener.wait_for("smarty/house/state", is_number(1))
        wait_until(lambda: output.refused.topics == 0, "nothing that is not announced")
        assert device not in retained(broker, "homeassistant/#")


@needs_mosquitto
def test_a_device_that_fits_again_is_announced_whole(tmp_path: Path) -> None:
    device = "homeassistant/device/smarty_SAG1030700012345/config"
    entity = "homeassistant/sensor/smarty_SAG1030700012345/energy_import/config"
    more = "version: '5', interval: 0, home_assistant: true"
    for limit, wanted, gone in ((5000, entity, device), (50_000, device, entity)):
        folder = tmp_path / str(limit)
        folder.mkdir()
        with (
            Broker(folder, options=(f"max_packet_size {limit}",)) as broker,
            Subscriber(broker) as listener,
            mqtt_output(tmp_path, broker.url, more=more) as output,
        ):
            output.publish(reading_of(luxembourg(0)))
            listener.wait_for(wanted)
            wait_until(lambda: not output.is_busy, "an idle output")
            assert not any(message.payload for message in listener.of(gone))
            assert wanted in retained(broker)
    assert listener.last(entity) == b""


# MQTT 5: a broker that says what it wants


@needs_mosquitto
def test_what_is_longer_than_the_broker_says_is_named_and_never_sent(
    small: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Subscriber(small, "#") as listener,
        mqtt_output(
            tmp_path, small.url, "house", "evil",
            more="version: '5', interval: 0, telegrams: true, home_assistant: true",
        ) as output,
    ):  # fmt: skip
        for number in range(5):
            output.publish(reading_of(long_telegram(number), "evil"))
            output.publish(reading_of(belgium(number), "house"))
        listener.wait_for("smarty/house/telegram", is_number(4))
        listener.wait_for("smarty/house/state", is_number(4))
        listener.wait_for("smarty/evil/availability")
        wait_until(lambda: not output.is_busy, "an idle output")
        assert output.refused.topics == 2
        assert output.refused.dropped >= 5
    assert rows(tmp_path) == []
    for topic in ("smarty/evil/state", "smarty/evil/telegram"):
        (line,) = [r.message for r in caplog.records if f"the message to {topic} " in r.message]
        assert "accepts at most 2000: it is not sent" in line
    assert small.log().count("as smarty-") == 1  # one connection


def test_a_puback_that_is_final_puts_its_message_aside_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {"smarty/evil/state": 0x90, "smarty/evil/telegram": 0x95, "smarty/evil/availability": 0x99}
    changes: list[tuple[str, int | None]] = []
    with (
        Broker(tmp_path, answers=answers) as broker,
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(
            tmp_path, broker.url, "house", "evil", more="version: '5', interval: 0, telegrams: true",
            note_put_aside=lambda *c: changes.append(c),
        ) as output,
    ):  # fmt: skip
        for number in range(3):
            output.publish(reading_of(belgium(number), "evil"))
            output.publish(reading_of(belgium(number), "house"))
            listener.wait_for("smarty/house/telegram", is_number(number))
            listener.wait_for("smarty/house/state", is_number(number))
        wait_until(lambda: not output.is_busy, "an idle output")
        assert {topic for topic, _ in changes} == set(answers)
        assert output.refused.topics == 3
        assert broker.log().count("New client connected as smarty") == 1
        assert broker.received().count("smarty/evil/telegram") == 1
    assert rows(tmp_path) == []
    said = [record.message for record in caplog.records if "put aside" in record.message]
    assert len(said) == 3
    for topic, why in zip(
        answers, ("Topic name invalid", "Packet too large", "Payload format invalid"), strict=True
    ):
        assert any(topic in line and why in line for line in said)


@pytest.mark.slow
@pytest.mark.parametrize("code", [0x80, 0x87, 0x97, 0xE0])
def test_a_puback_that_may_pass_loses_no_telegram_and_makes_no_hot_loop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    with (
        Broker(tmp_path, answers={"smarty/barn/+": code}) as broker,
        Subscriber(broker, "smarty/#") as listener,
        mqtt_output(
            tmp_path, broker.url, "barn", "house", more="version: '5', interval: 0, telegrams: true"
        ) as output,
    ):
        for number in range(60):
            output.publish(reading_of(belgium(number), "barn"))
            output.publish(reading_of(belgium(number), "house"))
            listener.wait_for("smarty/house/telegram", is_number(number))
        listener.wait_for("smarty/house/state", is_number(59))
        assert broker.received().count("smarty/barn/state") == 1
        assert broker.received().count("smarty/barn/telegram") <= 20
        assert broker.log().count("New client connected as smarty") == 1
        wait_until(lambda: not output.is_busy, "an output that waits for nothing")
    assert rows(tmp_path) == ["smarty/barn/telegram"] * 60
    said = [record.message for record in caplog.records if "does not accept the message" in record.message]
    assert len(said) == 1
    assert ("allow anonymous clients to write below smarty/" in said[0]) == (code == 0x87)


@needs_mosquitto
def test_a_right_that_is_given_later_is_used_without_a_new_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refused_messages, "_REST", 1.0)
    (tmp_path / "password").write_text(PASSWORD, "utf-8")
    users = {"me": PASSWORD, "reader": PASSWORD}
    acl = "user reader\ntopic readwrite #\nuser me\ntopic write smarty/status\ntopic write smarty/house/#\n"
    with (
        Broker(tmp_path, users=users, acl=acl) as strict,
        Subscriber(strict, "smarty/#", user="reader", password=PASSWORD) as listener,
        mqtt_output(
            tmp_path, strict.url.replace("127", "me@127"), "barn", "house",
            more=f"version: '5', interval: 0, telegrams: true, password_file: {tmp_path}/password",
        ) as output,
    ):  # fmt: skip
        for number in range(5):
            output.publish(reading_of(belgium(number), "barn"))
            output.publish(reading_of(belgium(number), "house"))
            listener.wait_for("smarty/house/telegram", is_number(number))
            listener.wait_for("smarty/house/state", is_number(number))
        assert not listener.of("smarty/barn/")
        strict.allow(f"{acl}topic write smarty/#\n")
        listener.wait_for("smarty/barn/telegram", is_number(4))
        assert [second_of(m.payload) for m in listener.of("smarty/barn/telegram")] == list(range(5))
        listener.wait_for("smarty/barn/state", is_number(4))
        wait_until(lambda: not output.is_busy, "an idle output")
        assert strict.log().count("as smarty-") == 1
    said = [record.message for record in caplog.records if "does not accept the message" in record.message]
    assert len(said) == 1
    assert "allow me to write below smarty/" in said[0]
    assert "smarty/barn/" in said[0]


@needs_mosquitto
def test_a_broker_of_mqtt_5_that_retains_nothing_gets_everything_without_that(tmp_path: Path) -> None:
    with Broker(tmp_path, options=("retain_available false",)) as broker:
        configure(tmp_path, broker, "version: '5', telegrams: true, home_assistant: true")
        with Subscriber(broker) as listener, house(tmp_path) as home:
            listener.wait_for_payload("smarty/status", b"online")
            home.send(3)
            listener.wait_for("smarty/house/state", is_number(2))
            listener.wait_for("smarty/house/telegram", is_number(2))
            home.running.wait_for_log("retains no messages")
            broker.kill()
            broker.start()
            home.running.wait_for_log(f"connected to the broker 127.0.0.1:{broker.port} again")
            listener.wait_for_connection()
            home.send()
            listener.wait_for("smarty/house/state", is_number(3))
            assert home.running.says("retains no messages") == 1
            home.running.stop(signal.SIGKILL)
            listener.wait_for_payload("smarty/status", b"offline")  # the last will, not retained either
        assert retained(broker) == {}


@needs_mosquitto
def test_a_broker_of_mqtt_5_that_takes_qos_0_only_gets_everything_with_that(tmp_path: Path) -> None:
    with Broker(tmp_path, options=("max_qos 0",)) as broker:
        configure(tmp_path, broker, "version: '5', telegrams: true, home_assistant: true")
        with Subscriber(broker) as listener, house(tmp_path) as home:
            home.send(3)
            listener.wait_for("smarty/house/state", is_number(2))
            listener.wait_for("smarty/house/telegram", is_number(2))
            listener.wait_for(CONFIG)
            assert home.running.says("accepts QoS 0 only") == 1
            home.running.stop(signal.SIGKILL)
            listener.wait_for_payload("smarty/status", b"offline")
        with Subscriber(broker, "smarty/house/state") as newcomer:
            assert newcomer.wait_for("smarty/house/state")[0].is_retained


@needs_mosquitto
def test_with_qos_0_a_telegram_is_delivered_only_when_the_broker_has_answered(tmp_path: Path) -> None:
    with Broker(tmp_path, options=("max_qos 0",)) as broker:
        more = "version: '5', interval: 0, telegrams: true"
        with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=more) as output:
            output.publish(reading_of(belgium(0)))
            listener.wait_for("smarty/house/telegram", is_number(0))
            wait_until(lambda: not output.is_busy, "an idle output")
            broker.freeze()
            output.publish(reading_of(belgium(1)))
            output.stop(2.0)
            assert rows(tmp_path) == ["smarty/house/telegram"]
        broker.resume()
        with Subscriber(broker) as listener, mqtt_output(tmp_path, broker.url, more=more) as output:
            listener.wait_for("smarty/house/telegram", is_number(1))
            wait_until(lambda: not output.is_busy, "an idle output")
        assert rows(tmp_path) == []


@needs_mosquitto
@pytest.mark.parametrize("option", ["retain_available false", "max_qos 0"])
def test_under_mqtt_3_a_broker_that_refuses_the_last_will_is_said_with_what_helps(
    tmp_path: Path, option: str
) -> None:
    with Broker(tmp_path, options=(option,)) as broker:
        configure(tmp_path, broker)
        with house(tmp_path) as home:
            home.running.wait_for_log(option.partition(" ")[0])
            home.running.wait_for_log('version: "5"')
            wait_until(lambda: broker.log().count("New connection") >= 5, "further attempts")
            assert home.running.says("closes the connection before it accepts it") == 1
            assert home.running.says("client id") == 0


# Announcements


@needs_mosquitto
@pytest.mark.usefixtures("quick_search")
def test_an_announcement_that_is_too_long_costs_no_state(tmp_path: Path) -> None:
    with (
        Broker(tmp_path, options=("max_packet_size 2000",)) as broker,
        Subscriber(broker) as listener,
        mqtt_output(tmp_path, broker.url, more="interval: 0, home_assistant: true") as output,
    ):
        output.publish(reading_of(belgium(0)))
        listener.wait_for("smarty/house/state", is_number(0))
        listener.wait_for("homeassistant/sensor/smarty_1SAG1100000001/power_import/config")
        output.publish(reading_of(belgium(1)))
        listener.wait_for("smarty/house/state", is_number(1))
        assert not any(message.payload for message in listener.of(CONFIG))
