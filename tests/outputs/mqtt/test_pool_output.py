"""The MQTT output of a worker of a pool, with a broker: states of held shards only, telegrams, its status."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from smarty_gateway.config.values import MqttConfig, StoreLimits
from smarty_gateway.outputs.mqtt.pool_output import PoolMqttOutput
from smarty_gateway.outputs.output import PoolReading
from smarty_gateway.state.store import Store
from tests.outputs.mqtt.test_pool_states import Held
from tests.support.brokers import Broker, Message, Subscriber
from tests.support.mqtt_runs import reading_of, second_of
from tests.support.running import wait_until
from vectors.building_blocks import belgium

STATUS = "smarty/status/a.example"


def reading(number: int, meter: str = "house", *, shard: int = 1, is_newest: bool = True) -> PoolReading:
    found = reading_of(belgium(number), meter)
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
