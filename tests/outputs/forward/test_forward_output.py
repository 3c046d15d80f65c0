"""The output `forward` and a broker: frames arrive as they came, at any node, or after the next start."""

import logging
from pathlib import Path

import pytest

from smarty_gateway.outputs.forward.topics import meter_of, topic_of_frame, topic_of_telegram
from smarty_gateway.protocol.forwarded import unpack
from smarty_gateway.protocol.frame_cutter import CutTelegram
from smarty_gateway.protocol.shards import shard_of, shard_of_meter_id
from tests.support.brokers import Authority, Broker, Subscriber, free_port
from tests.support.commands import smarty_gateway
from tests.support.edges import edge_config, frame, numbers_of, running_edge, title_of
from tests.support.running import wait_until
from vectors.building_blocks import HOUSE_TITLE, belgium, luxembourg
from vectors.building_blocks import frame as encrypted

TITLE = title_of(1)
TOPIC = topic_of_frame("smarty/raw", TITLE)


def numbers(subscriber: Subscriber) -> list[int]:
    return [number for message in list(subscriber.messages) for number in numbers_of(message.payload)]


def test_topics_name_the_shard_and_the_meter() -> None:
    assert topic_of_frame("smarty/raw", HOUSE_TITLE) == f"smarty/raw/{shard_of(HOUSE_TITLE)}/5341476770003039"
    assert meter_of(topic_of_frame("x", HOUSE_TITLE)) == "SAG1030700012345"
    shard = shard_of_meter_id("1SAG/11")
    assert topic_of_telegram("x", "edge", "1SAG/11") == f"x/{shard}/edge/1SAG_11"
    assert meter_of("x/1/edge/\u202e1SAG") == "\\u202e1SAG"


def test_what_no_node_took_goes_out_in_order_after_the_next_start(broker: Broker, tmp_path: Path) -> None:
    with running_edge(edge_config([free_port(), free_port()]), tmp_path) as output:
        for number in range(300):  # more than a page of the outbox
            output.forward(frame(TITLE, number), 0, is_live=True)
        wait_until(lambda: output.state == "offline" and not output.is_busy, "a round through the nodes")
    with (
        Subscriber(broker) as subscriber,
        running_edge(edge_config([free_port(), broker.port]), tmp_path) as output,
    ):
        output.forward(frame(TITLE, 300), 0, is_live=True)
        wait_until(lambda: len(numbers(subscriber)) == 301, "all frames")
        assert output.state == "ok"
        assert numbers(subscriber) == list(range(301))
        assert len(subscriber.messages) < 10
        assert {message.topic for message in subscriber.messages} == {TOPIC}


def test_a_topic_at_which_the_broker_hangs_up_is_named_and_holds_up_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = title_of(2)
    with (
        Broker(tmp_path, hangs_up_on=(TOPIC,)) as broker,
        Subscriber(broker) as subscriber,
        running_edge(edge_config([broker.port, broker.port]), tmp_path) as output,
    ):
        for number in range(3):
            for title in (TITLE, other):
                output.forward(frame(title, number), 0, is_live=True)
        wait_until(lambda: output.state == "refused" and len(set(numbers(subscriber))) == 3, "the others")
        assert f"the pool refuses frames of {meter_of(TOPIC)}" in caplog.text
        assert {message.topic for message in subscriber.messages} == {topic_of_frame("smarty/raw", other)}
    assert "what waits for the pool (3 frames)" in caplog.text


def test_telegrams_that_are_not_encrypted_go_out_with_tls_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    telegram = CutTelegram(0, belgium(1), "1SAG1100000001")
    ca = Authority(tmp_path)
    with (
        Broker(tmp_path, server=ca.issue("broker", address="127.0.0.1")) as broker,
        Subscriber(broker, ca_file=ca.file) as subscriber,
        running_edge(edge_config([broker.port], tls=True, user="barn", ca_file=ca.file), tmp_path) as output,
    ):
        output.forward(telegram, 1_700_000_000_123, is_live=True)
        topic = topic_of_telegram("smarty/raw", "barn", "1SAG1100000001")
        wait_until(lambda: subscriber.of(topic), "the telegram")
        (found,) = unpack(subscriber.of(topic)[0].payload)
        assert found == (1_700_000_000_123, belgium(1))
    with Broker(tmp_path) as broker, running_edge(edge_config([broker.port]), tmp_path) as output:
        for _ in range(2):
            output.forward(telegram, 0, is_live=True)
        output.forward(frame(TITLE, 1), 0, is_live=True)
        wait_until(lambda: not output.is_busy, "the frame")
        assert caplog.text.count("telegrams that are not encrypted are not forwarded") == 1
        assert belgium(1) not in broker.log().encode()


def test_an_edge_without_keys_forwards_a_recording_and_finds_no_fault_in_it(tmp_path: Path) -> None:
    frames = [encrypted(luxembourg(second), counter=second + 1) for second in range(3)]
    (tmp_path / "meter.bin").write_bytes(b"noise" + b"".join(frames) + frames[0])
    with Broker(tmp_path) as broker, Subscriber(broker) as subscriber:
        (tmp_path / "gateway.yaml").write_text(
            "meters: [{source: meter.bin}]\nstate: state\n"
            f"outputs: {{forward: {{urls: 'mqtt://127.0.0.1:{broker.port}'}}}}\n"
        )
        run = smarty_gateway("run", "--config", tmp_path / "gateway.yaml", folder=tmp_path)
        topic = topic_of_frame("smarty/raw", HOUSE_TITLE)
        wait_until(lambda: subscriber.of(topic), "the frames")
        found = [each.data for message in subscriber.of(topic) for each in unpack(message.payload)]
    # It judges no counter: the frame that is sent again goes out again.
    assert found == [*frames, frames[0]]
    assert run.returncode == 0
    assert b"no key" not in run.stderr
    assert b"SAG1030700012345: first frame is with the pool" in run.stderr
