"""`pool check` on a real cluster that is damaged in every way that it looks for."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from smarty_gateway.config.pool_values import PlaintextMeter, PoolConfig, ServerAddress
from smarty_gateway.pool.cluster.cluster_check import check_cluster
from smarty_gateway.pool.cluster.leaders import rebalance_leaders
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.cluster.topology import arguments_of, queue_of
from smarty_gateway.pool.declare import declare
from smarty_gateway.pool.finding import Level
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

pytestmark = pytest.mark.slow


def said(config: PoolConfig, level: Level, clock: Callable[[], float] = time.time) -> str:
    """Return what check says, a line each."""
    return "\n".join(finding.text for finding in check_cluster(config, clock) if finding.level is level)


def put(cluster: RabbitCluster, path: str, body: object) -> None:
    cluster.management(0, "PUT", f"/api/{path}", body)


def test_a_whole_cluster_has_no_fault(config: PoolConfig) -> None:
    assert not said(config, Level.FAULT)
    leaders = "64 queues, with 22/21/21 leaders on the nodes"
    wait_until(lambda: leaders in said(config, Level.GOOD), "what the nodes say of new queues")
    good = said(config, Level.GOOD)
    assert "3 nodes run" in good
    assert "2 users may send as edges, plaintext below their own names only" in good


def test_what_is_damaged_is_named_with_what_to_type(config: PoolConfig, cluster: RabbitCluster) -> None:
    for shard in (1, 2, 3):
        cluster.management(0, "DELETE", f"/api/queues/%2F/smarty.shard.{shard}")
    put(cluster, "queues/%2F/smarty.shard.1", {"durable": True})
    forgotten = {"x-queue-type": "quorum", "x-max-length-bytes": config.queue_megabytes * 1024 * 1024}
    put(cluster, "queues/%2F/smarty.shard.2", {"durable": True, "arguments": forgotten})
    cluster.management(0, "DELETE", "/api/policies/%2F/smarty.unrouted")
    mirrors = {"pattern": "^x$", "definition": {"ha-mode": "all"}, "apply-to": "queues"}
    put(cluster, "policies/%2F/old", mirrors)
    drops = {"pattern": "shard.4$", "definition": {"max-length": 9}, "apply-to": "queues"}
    put(cluster, "operator-policies/%2F/drops", drops)
    put(cluster, "queues/%2F/mqtt-subscription-xqos1", {"durable": True})
    cluster.management(0, "DELETE", "/api/topic-permissions/%2F/edge")
    put(cluster, "permissions/%2F/edge-b", {"configure": ".*", "write": ".*", "read": ".*"})
    body = {"properties": {}, "routing_key": "smarty.unrouted", "payload": "x", "payload_encoding": "string"}
    cluster.management(0, "POST", "/api/exchanges/%2F/amq.default/publish", body)
    put(cluster, "users/guest", {"password": "guest", "tags": "administrator"})
    plaintext = replace(config, plaintext=(PlaintextMeter("1SAG1100000001", "edge-c"),))

    drops_frames = "the queue smarty.shard.4 is subject to a policy with max-length, which drops frames"
    wait_until(
        lambda: (
            drops_frames in said(config, Level.FAULT)
            and "the queue smarty.unrouted is not empty: 1 messages" in said(config, Level.WARNING)
        ),
        "what the nodes update every five seconds",
    )
    faults = said(plaintext, Level.FAULT)
    assert "the queue smarty.shard.1 is there with the type classic instead of quorum" in faults
    assert "the queue smarty.shard.2 is there with x-overflow missing instead of reject-publish" in faults
    assert "the queue smarty.shard.2 is there with x-single-active-consumer missing instead of True" in faults
    assert "the queue smarty.shard.3 is missing: type `smarty-gateway pool declare`" in faults
    assert "the queue smarty.shard.1 and 2 others are not bound to amq.topic" in faults
    assert "the exchange amq.topic has no alternate exchange" in faults
    assert "the user edge can pretend to be the edge of a plaintext meter" in faults
    warnings = said(plaintext, Level.WARNING)
    assert "the policy old mirrors classic queues" in warnings
    assert "the queue mqtt-subscription-xqos1 is that of a session of an MQTT subscriber" in warnings
    assert "the user edge-b may take frames out of queues, or put some into them" in warnings
    assert "there is no user edge-c" in warnings
    assert "type `rabbitmqctl delete_user guest` on a node" in warnings
    assert "the user edge may send any topic" in said(config, Level.FAULT)

    for shard in (1, 2):
        cluster.management(0, "DELETE", f"/api/queues/%2F/smarty.shard.{shard}")
    for left in ("operator-policies/%2F/drops", "policies/%2F/old", "queues/%2F/mqtt-subscription-xqos1"):
        cluster.management(0, "DELETE", f"/api/{left}")
    cluster.management(0, "DELETE", "/api/queues/%2F/smarty.unrouted/contents")
    put(cluster, "permissions/%2F/edge-b", {"configure": "^$", "write": r"^amq\.topic$", "read": "^$"})
    list(declare(config, ["edge", "edge-b"]))
    wait_until(lambda: not said(config, Level.FAULT), "no fault, once the nodes have updated what they say")


def test_with_a_node_down_check_says_so_and_nothing_is_declared_or_moved(
    config: PoolConfig, cluster: RabbitCluster
) -> None:
    cluster.kill(2)
    wait_until(lambda: "does not run: type" in said(config, Level.FAULT), "the missing node")
    warnings = said(config, Level.WARNING)
    assert "refuses the connection" in warnings
    assert "rebalance" not in warnings
    with pytest.raises(ManagementError, match="does not run: start it"):
        list(declare(config))
    assert rebalance_leaders(config) is None
    cluster.start(2)
    wait_until(lambda: not said(config, Level.FAULT), "all nodes")


def test_leaders_that_pile_up_are_spread_again(config: PoolConfig, cluster: RabbitCluster) -> None:
    for shard in range(30):
        path = f"queues/%2F/smarty.shard.{shard}"
        cluster.management(0, "DELETE", f"/api/{path}")
        on_node_0 = {**arguments_of(config, queue_of(shard)), "x-queue-leader-locator": "client-local"}
        put(cluster, path, {"durable": True, "arguments": on_node_0})
    list(declare(config))
    advice = "queues: type `rabbitmq-queues rebalance quorum`"
    wait_until(lambda: advice in said(config, Level.WARNING), "piles")
    assert "leaders of queues are moved: the node r0@localhost had" in (rebalance_leaders(config) or "")
    wait_until(lambda: advice not in said(config, Level.WARNING), "even leaders")


def test_a_clock_that_is_wrong_is_found(config: PoolConfig) -> None:
    found = said(config, Level.WARNING, lambda: time.time() - 60)
    assert found.count(" s ahead of this machine's: set the one that is wrong") == 3


def test_one_line_says_why_a_cluster_cannot_be_looked_at(config: PoolConfig, cluster: RabbitCluster) -> None:
    closed = ServerAddress("127.0.0.1", 1, tls=False)
    away = replace(config, management=(closed,), management_password_file=None)
    assert (
        said(away, Level.FAULT) == "no node answers at its management API, so the cluster was not looked at"
    )
    assert "rabbitmq-plugins enable rabbitmq_management" in said(away, Level.WARNING)
    assert "the virtual host of-others does not exist" in said(
        replace(config, vhost="of-others"), Level.FAULT
    )
    wrong = replace(config, management_password_file=cluster.password_file("edge"))
    assert "do not accept the user admin with this password" in said(wrong, Level.FAULT)
