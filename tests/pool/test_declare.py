"""`pool declare` on a real cluster: what it makes, what it refuses, and what edges may then send."""

import re
import shlex
from itertools import islice

import pika
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.cluster.cluster_check import check_cluster
from smarty_gateway.pool.cluster.management import ManagementError, NotPermittedError
from smarty_gateway.pool.declare import declare
from smarty_gateway.pool.finding import Level
from tests.support.commands import LIMIT
from tests.support.pools import pool_config
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

pytestmark = pytest.mark.slow


def sent(cluster: RabbitCluster, user: str, topic: str) -> bool:
    """Return whether the cluster acknowledges a message of an edge."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set(user, cluster.users[user])
    ended: list[bool] = []
    client.on_publish = lambda *_: ended.append(True)
    client.on_disconnect = lambda *_: ended.append(False)
    client.connect("127.0.0.1", cluster.mqtt_ports[1])
    client.publish(topic, b"x", qos=1)
    client.loop_start()
    wait_until(lambda: ended, f"an answer to {topic}")
    client.disconnect()
    client.loop_stop()
    return ended[0]


def taken(cluster: RabbitCluster, queue: str, count: int) -> list[str]:
    """Take messages out of a queue, and return their routing keys."""
    login = pika.PlainCredentials("worker", cluster.users["worker"])
    server = pika.ConnectionParameters("127.0.0.1", cluster.amqp_ports[0], credentials=login)
    with pika.BlockingConnection(server) as connection:
        messages = connection.channel().consume(queue, auto_ack=True, inactivity_timeout=LIMIT)
        return [method.routing_key for method, _, _ in islice(messages, count)]


def test_a_second_time_it_changes_nothing_and_check_finds_no_fault(config: PoolConfig) -> None:
    assert list(declare(config)) == ["queues of 64 shards, and smarty.unrouted: 0 created, 0 bound"]
    assert [finding.text for finding in check_cluster(config) if finding.level is Level.FAULT] == []


def test_an_edge_sends_frames_of_any_meter_and_plaintext_below_its_own_name_only(
    config: PoolConfig, cluster: RabbitCluster
) -> None:
    assert config.topic == "smarty/raw"
    assert sent(cluster, "edge", "smarty/raw/5/0123456789ABCDEF")
    assert sent(cluster, "edge", "smarty/raw/5/edge/1SAG1100000001")
    of_others = ("5/edge-b/1SAG1100000001", "5/edg/1SAG", "5/0123456789abcdef", "5/a/0123456789ABCDEF")
    for refused in (*of_others, f"5/edge/{65 * 'x'}", "5/edge/é", "555/0123456789ABCDEF"):
        assert not sent(cluster, "edge", f"smarty/raw/{refused}"), refused
    assert sent(cluster, "edge-b", "smarty/raw/5/0123456789ABCDEF")
    assert taken(cluster, "smarty.shard.5", 3) == [
        "smarty.raw.5.0123456789ABCDEF",
        "smarty.raw.5.edge.1SAG1100000001",
        "smarty.raw.5.0123456789ABCDEF",
    ]


@pytest.mark.usefixtures("config")
def test_what_no_queue_is_bound_to_is_kept(cluster: RabbitCluster) -> None:
    assert sent(cluster, "edge", "smarty/raw/64/0123456789ABCDEF")
    assert taken(cluster, "smarty.unrouted", 1) == ["smarty.raw.64.0123456789ABCDEF"]


def test_a_queue_with_other_arguments_is_named_and_stays_as_it_is(
    config: PoolConfig, cluster: RabbitCluster, database_server: PostgresServer
) -> None:
    with pytest.raises(
        ManagementError, match=r"smarty\.shard\.0 is there with .* instead of 1048576 .*queue_me"
    ):
        list(declare(pool_config(cluster, database_server, queue_megabytes=1)))
    queue = cluster.management(0, "GET", "/api/queues/%2F/smarty.shard.0")
    assert queue["arguments"]["x-max-length-bytes"] == config.queue_megabytes * 1024 * 1024


def test_a_policy_of_others_is_not_overridden_and_the_advice_merges_both(
    config: PoolConfig, cluster: RabbitCluster
) -> None:
    cluster.management(0, "DELETE", "/api/policies/%2F/smarty.unrouted")
    theirs = {"pattern": "^amq", "definition": {"ha-mode": "all"}, "apply-to": "all", "priority": 7}
    cluster.management(0, "PUT", "/api/policies/%2F/theirs", theirs)
    try:
        with pytest.raises(ManagementError, match="the policy theirs applies to ") as error:
            list(declare(config))
        advice = re.search("rabbitmqctl (.*)", str(error.value))
        assert advice is not None
        cluster.ctl(0, *shlex.split(advice[1]))
        list(declare(config))
        assert sent(cluster, "edge", "smarty/raw/64/0123456789ABCDEF")
        assert taken(cluster, "smarty.unrouted", 1) == ["smarty.raw.64.0123456789ABCDEF"]
    finally:
        cluster.management(0, "DELETE", "/api/policies/%2F/theirs")


@pytest.mark.usefixtures("config")
def test_one_who_may_not_is_told_what_to_type(
    cluster: RabbitCluster, database_server: PostgresServer
) -> None:
    with pytest.raises(NotPermittedError, match="name an administrator"):
        list(declare(pool_config(cluster, database_server, administrator=None), ["edge"]))
    with pytest.raises(NotPermittedError, match="rabbitmqctl set_user_tags edge monitoring"):
        list(declare(pool_config(cluster, database_server, administrator="edge")))


@pytest.mark.usefixtures("_nothing_there")
def test_before_anything_is_made_an_edge_without_a_user_is_named(
    cluster: RabbitCluster, database_server: PostgresServer
) -> None:
    with pytest.raises(ManagementError, match=r"nothing was changed\. Type `rabbitmqctl add_user nobody`"):
        list(declare(pool_config(cluster, database_server), ["edge", "nobody"]))
    names = {queue["name"] for queue in cluster.management(0, "GET", "/api/queues/%2F")}
    assert not any(name.startswith("smarty.") for name in names)
