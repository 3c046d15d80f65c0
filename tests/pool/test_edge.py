"""An edge and a RabbitMQ cluster: what a node has acknowledged is there, and nothing is given up."""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import NackError

from smarty_gateway.config.consumers import ForwardConfig
from smarty_gateway.outputs.forward.topics import topic_of_frame
from smarty_gateway.protocol.forwarded import Forwarded, pack
from tests.support.edges import edge_config, frame, numbers_of, running_edge, title_of
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

pytestmark = pytest.mark.slow

ROOT = "edgetest/raw"


@pytest.fixture(autouse=True)
def _edge_may_write_anything(cluster: RabbitCluster) -> None:
    """Take back the rights for `smarty/raw` alone, which other tests declare."""
    for each in cluster.management(0, "GET", "/api/topic-permissions"):
        cluster.management(0, "DELETE", f"/api/topic-permissions/%2F/{each['user']}")


def edge_of(cluster: RabbitCluster) -> ForwardConfig:
    return edge_config(
        cluster.mqtt_ports, user="edge", password_file=cluster.password_file("edge"), topic=ROOT
    )


@contextmanager
def channel(cluster: RabbitCluster) -> Iterator[BlockingChannel]:
    """A channel at the first node that takes a connection."""
    login = pika.PlainCredentials("admin", cluster.users["admin"])
    nodes = [
        pika.ConnectionParameters(host, port, credentials=login)
        for host, port in zip(cluster.hosts, cluster.amqp_ports, strict=True)
    ]
    connection = pika.BlockingConnection(nodes)
    try:
        yield connection.channel()
    finally:
        connection.close()


def declare(on: BlockingChannel, queue: str, key: str, **arguments: object) -> None:
    on.queue_declare(queue, durable=True, arguments={"x-queue-type": "quorum", **arguments})
    on.queue_bind(queue, "amq.topic", key)


def received(on: BlockingChannel, queue: str) -> dict[str, list[int]]:
    """Take all messages out of a queue; return the numbers of the frames on each topic."""
    found: dict[str, list[int]] = defaultdict(list)
    while True:
        method, _, payload = on.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found[method.routing_key.replace(".", "/")] += numbers_of(payload)


def fill(on: BlockingChannel, key: str, payload: bytes) -> None:
    """Send a message again and again, until the queue refuses it."""
    on.confirm_delivery()
    with suppress(NackError):
        for _ in range(1000):
            on.basic_publish("amq.topic", key, payload)
        pytest.fail("the queue is never full")


def test_a_node_that_is_killed_costs_no_frame(
    cluster: RabbitCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    titles = [title_of(n) for n in range(10)]
    with channel(cluster) as on:
        declare(on, "edgetest", "edgetest.raw.#")
    with running_edge(edge_of(cluster), tmp_path) as output:
        for number in range(100):
            for title in titles:
                output.forward(frame(title, number), 0, is_live=True)
            if number == 50:
                wait_until(lambda: "is with the pool" in caplog.text, "the first acknowledgement")
                port = int(re.findall(r"connected to the node [\d.]+:(\d+)", caplog.text)[-1])
                killed = cluster.mqtt_ports.index(port)
                cluster.kill(killed)
            time.sleep(0.01)  # about a second of them
        wait_until(lambda: not output.is_busy and output.state == "ok", "the end")
    cluster.start(killed)
    with channel(cluster) as on:
        found = received(on, "edgetest")
        on.queue_delete("edgetest")
    assert set(found) == {topic_of_frame(ROOT, title) for title in titles}
    for numbers in found.values():
        # Each comes for the first time in its order; what was not acknowledged may come again.
        assert list(dict.fromkeys(numbers)) == list(range(100))


def test_what_the_pool_refuses_waits_and_holds_up_nothing_else(
    cluster: RabbitCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full, forbidden, good = title_of(1), title_of(2), title_of(3)
    keys = {title: topic_of_frame(ROOT, title).replace("/", ".") for title in (full, forbidden, good)}
    rights = f"/api/topic-permissions/{quote('/', safe='')}/edge"
    with channel(cluster) as on:
        declare(on, "edgefull", keys[full], **{"x-max-length": 1, "x-overflow": "reject-publish"})
        # Frames that wait go out together: two messages may hold all of them.
        fill(on, keys[full], pack([Forwarded(0, frame(full, 0).data)]))
        for title in (forbidden, good):
            declare(on, "edgegood", keys[title])
        right = {"exchange": "amq.topic", "read": ".*", "write": f"^({keys[full]}|{keys[good]})$"}
        cluster.management(0, "PUT", rights, right)
        got: dict[str, list[int]] = defaultdict(list)

        def take(queue: str) -> dict[str, list[int]]:
            for topic, numbers in received(on, queue).items():
                got[topic.replace("/", ".")] += numbers
            return got

        try:
            with running_edge(edge_of(cluster), tmp_path) as output:
                for number in range(20):
                    for title in (full, forbidden, good):
                        output.forward(frame(title, number), 0, is_live=True)
                    time.sleep(0.05)
                wait_until(lambda: len(set(take("edgegood")[keys[good]])) == 20, "what is not refused")
                wait_until(lambda: caplog.text.count("the pool refuses frames of") == 2, "two lines")
                assert output.state == "refused"
                cluster.management(0, "PUT", rights, {**right, "write": ".*"})
                wait_until(lambda: len(set(take("edgegood")[keys[forbidden]])) == 20, "the forbidden")
                wait_until(lambda: len(set(take("edgefull")[keys[full]])) == 20, "the full queue")
                wait_until(lambda: output.state == "ok", "the end")
        finally:
            with suppress(ValueError):
                cluster.management(0, "DELETE", rights)
            on.queue_delete("edgefull")
            on.queue_delete("edgegood")
    for numbers in got.values():
        assert list(dict.fromkeys(numbers)) == list(range(20))
