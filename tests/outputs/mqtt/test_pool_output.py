"""The MQTT output of a worker of a pool, with a broker: states of held shards only, telegrams, its status."""

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from smarty_gateway.config.values import MqttConfig, StoreLimits
from smarty_gateway.outputs.mqtt import pool_output
from smarty_gateway.outputs.mqtt.pool_output import PoolMqttOutput
from smarty_gateway.outputs.mqtt.refused_messages import RefusedMessages
from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.state.store import Store
from tests.outputs.mqtt.test_pool_states import Held
from tests.support.brokers import Broker, Message, Subscriber, needs_mosquitto
from tests.support.mqtt_runs import is_number, reading_of, second_of, without_repeats
from tests.support.running import wait_until
from vectors.building_blocks import belgium, telegram

STATUS = "smarty/status/a.example"


def long_telegram(second: int) -> bytes:
    """Write a telegram of 3 kB, which is too long for the brokers below."""
    return telegram(
        "EVL5\\253000009_A",
        f"0-0:1.0.0(260130102{second // 60:d}{second % 60:02d}W)",
        *(f"1-0:99.{number}.9({'x' * 80})" for number in range(30)),
    )


def reading(
    number: int, meter: str = "house", *, shard: int = 1, is_newest: bool = True, is_long: bool = False
) -> PoolReading:
    found = reading_of((long_telegram if is_long else belgium)(number), meter)
    return PoolReading(meter, found.telegram, found.received, shard=shard, epoch=1, is_newest=is_newest)


@contextmanager
def output_of(
    folder: Path, broker: Broker, held: Held, *, telegrams: bool = False, version: str = "3.1.1"
) -> Iterator[PoolMqttOutput]:
    config = MqttConfig("127.0.0.1", broker.port, interval=0, telegrams=telegrams, version=version)
    with Store(folder / "state") as store:
        output = PoolMqttOutput(config, StoreLimits(), store, "a.example", held)
        output.start()
        try:
            yield output
        finally:
            output.stop(5.0)
    assert output.failure is None


def states(subscriber: Subscriber, meter: str = "house") -> list[int]:
    return [second_of(m.payload) for m in subscriber.messages if m.topic == f"smarty/{meter}/state"]


def status(subscriber: Subscriber) -> list[bytes]:
    return [m.payload for m in subscriber.messages if m.topic == STATUS]


def test_a_worker_publishes_states_telegrams_and_its_status(tmp_path: Path, broker: Broker) -> None:
    with Subscriber(broker) as subscriber:
        with output_of(tmp_path, broker, Held(), telegrams=True) as output:
            output.publish(reading(1))
            output.publish(reading(2, is_newest=False))
            wait_until(lambda: len(subscriber.messages) >= 4, "status, a state and two telegrams")
            assert output.state == "ok"
        wait_until(lambda: status(subscriber) == [b"online", b"offline"], "the end")
    assert states(subscriber) == [1]
    telegrams = [m for m in subscriber.messages if m.topic == "smarty/house/telegram"]
    assert [second_of(message.payload) for message in telegrams] == [1, 2]
    with Subscriber(broker) as late:
        wait_until(lambda: len(late.messages) == 2, "what is retained")
    assert {(m.topic, m.qos, m.is_retained) for m in late.messages} == {
        ("smarty/house/state", 1, True),
        (STATUS, 1, True),
    }


def test_no_state_of_a_shard_that_may_not_be_published_goes_out(tmp_path: Path, broker: Broker) -> None:
    held = Held()
    held.silent = {1}
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, held) as output:
        output.publish(reading(1))
        output.publish(reading(2, "barn", shard=2))
        wait_until(lambda: states(subscriber, "barn") == [2], "the other shard")
        assert output.waiting == 1
        held.silent.clear()
        output.publish(reading(3, "barn", shard=2))
        wait_until(lambda: states(subscriber) == [1], "the state that has waited")


def test_what_waits_of_a_lost_shard_is_not_sent_after_a_reconnect(tmp_path: Path, broker: Broker) -> None:
    held = Held()
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, held) as output:
        wait_until(lambda: status(subscriber) == [b"online"], "the connection")
        broker.kill()
        wait_until(lambda: output.state == "offline", "the end of the connection")
        for shard, meter in enumerate(("house", "barn")):
            output.publish(reading(4, meter, shard=shard))
        held.epochs[0] = 3
        broker.start()
        wait_until(lambda: 4 in states(subscriber, "barn"), "the state of the shard that is held")
        output.publish(replace(reading(5, "house", shard=0), epoch=3))
        wait_until(lambda: 5 in states(subscriber), "a state of the new epoch")
        assert set(states(subscriber)) == {5}


def socket_of(output: PoolMqttOutput) -> socket.socket:
    connection = output._connection
    assert connection is not None
    found = connection._client.socket()
    assert isinstance(found, socket.socket)
    return found


def test_no_state_waits_in_the_kernel_for_the_acknowledgement_of_the_one_before(
    tmp_path: Path, broker: Broker
) -> None:
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, Held()) as output:
        wait_until(lambda: status(subscriber) == [b"online"], "the connection")
        assert socket_of(output).getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_worker_that_dies_is_offline(tmp_path: Path, broker: Broker) -> None:
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, Held()) as output:
        wait_until(lambda: status(subscriber) == [b"online"], "the connection")
        its_socket = socket_of(output)
        its_socket.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: b"offline" in status(subscriber), "the last will")
        wait_until(lambda: status(subscriber)[-1] == b"online", "the next connection")


def test_a_shard_is_given_to_another_worker_once_its_states_are_acknowledged(
    tmp_path: Path, broker: Broker
) -> None:
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, Held()) as output:
        wait_until(lambda: status(subscriber) == [b"online"], "the connection")
        assert output.let_go({1, 2}, 5.0) == {1, 2}
        broker.freeze()
        output.publish(reading(1))
        wait_until(lambda: output._sent, "a state on its way")
        assert output.let_go({1, 2}, 0.05) == {2}
        broker.resume()
        assert output.let_go({1}, 5.0) == {1}
        wait_until(lambda: states(subscriber) == [1], "the state")


def test_a_state_that_is_not_acknowledged_when_its_shard_is_lost_ends_the_connection(
    tmp_path: Path, broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    held = Held()
    with Subscriber(broker) as subscriber, output_of(tmp_path, broker, held) as output:
        wait_until(lambda: status(subscriber) == [b"online"], "the connection")
        broker.freeze()
        output.publish(reading(1))
        wait_until(lambda: output._sent, "a state on its way")
        del held.epochs[1]
        wait_until(lambda: "before its shard was lost" in caplog.text, "the end of the connection")
        assert output.let_go({1}, 0.05) == frozenset()
        broker.resume()
        wait_until(lambda: output.state == "ok", "the next connection")
        assert output.let_go({1}, 5.0) == {1}
        output.publish(reading(2, shard=2))
        wait_until(lambda: not output.broker.is_away, "a broker that is not to blame")
        wait_until(lambda: "connected to the broker" in caplog.messages[-1], "the line that says so")


def test_telegrams_outlive_the_worker(tmp_path: Path, broker: Broker) -> None:
    with Subscriber(broker) as subscriber:
        broker.kill()
        with output_of(tmp_path, broker, Held(), telegrams=True) as output:
            output.publish(reading(1))
        broker.start()
        subscriber.wait_for_connection()

        def is_telegram(message: Message) -> bool:
            return message.topic == "smarty/house/telegram"

        with output_of(tmp_path, broker, Held(), telegrams=True):
            wait_until(lambda: any(map(is_telegram, subscriber.messages)), "the telegram of the first run")
        assert states(subscriber) == []


def test_a_telegram_that_the_broker_refuses_holds_up_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Broker(tmp_path, answers={"smarty/barn/telegram": 0x87}) as broker,
        Subscriber(broker) as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True, version="5") as output,
    ):
        output.publish(reading(1, "barn"))
        output.publish(reading(2))
        wait_until(lambda: len(subscriber.messages) == 4, "status, two states and a telegram")
        wait_until(lambda: output.dropped == 1, "the answer")
        assert "smarty/barn/telegram" in caplog.text
        assert status(subscriber) == [b"online"]


# Messages that the broker refuses without a reason


@pytest.fixture
def quick_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count a connection as good after 2 seconds."""
    monkeypatch.setattr(pool_output, "RefusedMessages", partial(RefusedMessages, settled_after=2.0))


def telegrams(subscriber: Subscriber, meter: str = "house") -> list[int]:
    found = [second_of(message.payload) for message in subscriber.of(f"smarty/{meter}/telegram")]
    return without_repeats(found)


def connections(broker: Broker) -> int:
    return broker.log().count("as smarty-a.example")


def undelivered(folder: Path) -> list[str]:
    """Return the topics of the telegrams in the state file."""
    with closing(sqlite3.connect(folder / "state/gateway.sqlite3", timeout=30)) as connection:
        return [topic for (topic,) in connection.execute("SELECT topic FROM undelivered")]


def publish_until_put_aside(
    output: PoolMqttOutput,
    subscriber: Subscriber,
    caplog: pytest.LogCaptureFixture,
    *topics: str,
    is_long: bool = False,
) -> int:
    """Publish readings of both meters until these topics are put aside; return how many."""
    for number in range(600):
        output.publish(reading(number, "evil", is_long=is_long))
        output.publish(reading(number, shard=2))
        subscriber.wait_for("smarty/house/state", is_number(number))
        subscriber.wait_for("smarty/house/telegram", is_number(number))
        if all(f"closes the connection after the message to {topic} " in caplog.text for topic in topics):
            return number + 1
    raise AssertionError(caplog.text)


@pytest.mark.usefixtures("quick_search")
@pytest.mark.parametrize("name", ["state", "telegram"])
def test_a_message_that_the_broker_hangs_up_on_is_put_aside_and_all_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    other = {"state": "telegram", "telegram": "state"}[name]
    with (
        Broker(tmp_path, hangs_up_on=(f"smarty/evil/{name}",)) as broker,
        Subscriber(broker) as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True) as output,
    ):
        count = publish_until_put_aside(output, subscriber, caplog, f"smarty/evil/{name}")
        assert telegrams(subscriber) == list(range(count))
        subscriber.wait_for(f"smarty/evil/{other}", is_number(count - 1))
        assert connections(broker) <= 5
        wait_until(lambda: not output.is_busy, "an output that waits for nothing")
        before, dropped = connections(broker), output.dropped
        assert dropped >= 1
        output.publish(reading(count, "evil"))
        subscriber.wait_for(f"smarty/evil/{other}", is_number(count))
        wait_until(lambda: output.dropped == dropped + 1, "the message that is not sent")
        assert connections(broker) == before
    assert undelivered(tmp_path) == []
    assert caplog.text.count("It is put aside") == 1


@pytest.mark.usefixtures("quick_search")
def test_what_an_earlier_run_has_put_aside_is_not_sent_again_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path, hangs_up_on=("smarty/evil/state",)) as broker, Subscriber(broker) as subscriber:
        with output_of(tmp_path, broker, Held(), telegrams=True) as output:
            count = publish_until_put_aside(output, subscriber, caplog, "smarty/evil/state")
        before = connections(broker)
        with output_of(tmp_path, broker, Held(), telegrams=True) as output:
            output.publish(reading(count, "evil"))
            subscriber.wait_for("smarty/evil/telegram", is_number(count))
            wait_until(lambda: output.dropped == 1, "the state that is not sent")
        assert connections(broker) == before + 1


@pytest.mark.usefixtures("quick_search")
def test_a_worker_whose_status_the_broker_hangs_up_on_publishes_everything_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Broker(tmp_path, hangs_up_on=(STATUS,)) as broker,
        Subscriber(broker, "smarty/house/#", "smarty/evil/#") as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True) as output,
    ):
        count = publish_until_put_aside(output, subscriber, caplog, STATUS)
        output.publish(reading(count))
        subscriber.wait_for("smarty/house/state", is_number(count))  # over the next connection
        before = connections(broker)
        output.publish(reading(count + 1))
        subscriber.wait_for("smarty/house/state", is_number(count + 1))
        assert connections(broker) == before <= 5


@pytest.mark.usefixtures("quick_search")
def test_a_shard_with_a_message_that_the_broker_hangs_up_on_is_given_to_another_worker_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Broker(tmp_path, hangs_up_on=("smarty/evil/state",)) as broker,
        Subscriber(broker) as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True) as output,
    ):
        for number in range(3):
            output.publish(reading(number, "evil"))
            output.publish(reading(number, shard=2))
            subscriber.wait_for("smarty/house/state", is_number(number))
        wait_until(lambda: "one at a time" in caplog.text, "a search")
        assert output.let_go({1}, 5.0) == {1}
        before = len(broker.received())
        output.publish(reading(3, shard=2))
        subscriber.wait_for("smarty/house/state", is_number(3))
        assert "smarty/evil/state" not in broker.received()[before:]


@pytest.mark.usefixtures("quick_search")
def test_a_broker_that_is_restarted_twice_and_more_refuses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        with output_of(tmp_path, broker, Held()) as output:
            wait_until(lambda: status(subscriber) == [b"online"], "the connection")
            output.publish(reading(0))
            subscriber.wait_for("smarty/house/state", is_number(0))
            for number in range(1, 4):
                broker.freeze()
                output.publish(reading(number))
                wait_until(lambda: output._sent, "a state on its way")
                broker.kill()
                broker.start()
                subscriber.wait_for("smarty/house/state", is_number(number))
            assert output.dropped == 0
        assert "put aside" not in caplog.text


@needs_mosquitto
@pytest.mark.usefixtures("quick_search")
def test_a_payload_that_is_too_long_for_mosquitto_is_put_aside_and_all_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    evil = "smarty/evil/state", "smarty/evil/telegram"
    with (
        Broker(tmp_path, options=("max_packet_size 2000",)) as broker,
        Subscriber(broker) as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True) as output,
    ):
        count = publish_until_put_aside(output, subscriber, caplog, *evil, is_long=True)
        assert telegrams(subscriber) == list(range(count))
        wait_until(lambda: not output.is_busy, "an output that waits for nothing")
        before, dropped = connections(broker), output.dropped
        assert before <= 8
        output.publish(reading(count, "evil", is_long=True))
        wait_until(lambda: output.dropped == dropped + 2, "two messages that are not sent")
        assert connections(broker) == before
        output.publish(reading(count + 1, "evil"))
        subscriber.wait_for(evil[0], is_number(count + 1))
    assert undelivered(tmp_path) == []
    for topic in evil:
        (line,) = [r.message for r in caplog.records if topic in r.message and "put aside" in r.message]
        assert "max_packet_size" in line


@needs_mosquitto
def test_what_is_longer_than_mosquitto_says_is_named_and_never_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        Broker(tmp_path, options=("max_packet_size 2000",)) as broker,
        Subscriber(broker) as subscriber,
        output_of(tmp_path, broker, Held(), telegrams=True, version="5") as output,
    ):
        for number in range(5):
            output.publish(reading(number, "evil", is_long=True))
            output.publish(reading(number, shard=2))
            subscriber.wait_for("smarty/house/state", is_number(number))
        subscriber.wait_for("smarty/house/telegram", is_number(4))
        wait_until(lambda: output.dropped == 10, "five states and five telegrams")
        assert connections(broker) == 1
    assert undelivered(tmp_path) == []
    for topic in ("smarty/evil/state", "smarty/evil/telegram"):
        (line,) = [r.message for r in caplog.records if f"the message to {topic} " in r.message]
        assert "accepts at most 2000: it is not sent" in line
