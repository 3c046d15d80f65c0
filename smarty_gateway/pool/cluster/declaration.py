"""Makes what a pool needs in the cluster, and changes nothing else.

Queues are declared while all nodes run, because a quorum queue stays on the nodes that it was made on.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.cluster.management import Management, ManagementError, RefusedError, Row
from smarty_gateway.pool.cluster.topology import (
    EXCHANGE,
    SHARD_QUEUES,
    UNROUTED,
    UNROUTED_POLICY,
    arguments_of,
    binding_of,
    edge_may_write,
)
from smarty_gateway.safe_text import printable

_CREATED: Final = 201
_OF_NODE: Final = {
    "name": str,
    "running": bool,
    "mem_alarm": bool | None,
    "disk_free_alarm": bool | None,
    "partitions": list | None,
}
#: RabbitMQ's word for a `delivery-limit` that there is not.
NO_LIMIT: Final = -1
#: What decides whether a queue is as `declare` makes it.
OF_QUEUE: Final = {"name": str, "type": str | None, "arguments": dict | None}
OF_POLICY: Final = {"name": str, "pattern": str, "apply-to": str, "definition": dict, "priority": int}
_OF_BINDING: Final = {"destination": str, "routing_key": str}
#: Arguments that no queue of a pool has.
_DROPPING: Final = ("x-message-ttl", "x-expires", "x-max-length", "x-delivery-limit")


def declare_cluster(config: PoolConfig, edges: Sequence[str] = ()) -> Iterator[str]:
    """Make what is missing in the cluster, and yield a line for each thing.

    Args:
        config: of the pool.
        edges: users that get the topic permission of edges, whose names `checked_edge` has checked.

    Raises:
        ManagementError: the cluster is not healthy, or something that is there contradicts the
            configuration; nothing was changed.
    """
    management = Management(config)
    try:
        yield from _declare(config, management, edges)
    finally:
        management.close()


def _declare(config: PoolConfig, management: Management, edges: Sequence[str]) -> Iterator[str]:
    _require_health(management)
    if (limit := delivery_limit(management)) is not None:
        raise ManagementError(f"{limit}, then `pool declare` again; nothing was changed")
    queues = management.rows(management.of_vhost("queues"), OF_QUEUE)
    there = {queue["name"]: queue for queue in queues}
    _require_same(config, there)
    for edge in edges:
        _require_user(config, management, edge)
    foreign = _foreign_policy(management)
    if foreign is not None:
        raise ManagementError(_how_to_merge(config, foreign))
    management.request("PUT", management.of_vhost("exchanges", UNROUTED), {"type": "fanout", "durable": True})
    yield from _declare_queues(config, management, frozenset(there))
    policy = {
        "pattern": f"^{re.escape(EXCHANGE)}$",
        "definition": UNROUTED_POLICY,
        "apply-to": "exchanges",
        "priority": 0,
    }
    if management.request("PUT", management.of_vhost("policies", UNROUTED), policy)[0] == _CREATED:
        yield f"policy {UNROUTED}: what no queue is bound to goes to the queue {UNROUTED}"
    for edge in edges:
        yield _permit(config, management, edge)


def _require_health(management: Management) -> None:
    """Raise ManagementError unless all nodes run, and each accepts messages."""
    nodes = management.rows("nodes", _OF_NODE)
    for node in nodes:
        name = printable(node["name"])
        if not node["running"]:
            raise ManagementError(
                f"the node {name} does not run: start it, or type `rabbitmqctl forget_cluster_node {name}` "
                "if it is gone for good; a queue stays on the nodes that it was made on"
            )
        for alarm, what in (("mem_alarm", "memory"), ("disk_free_alarm", "disk")):
            if node[alarm]:
                raise ManagementError(f"the node {name} has too little {what} left: make room there first")
        if node["partitions"]:
            raise ManagementError(
                f"the node {name} does not see all others: repair the network, restart {name}"
            )


def delivery_limit(management: Management) -> str | None:
    """Return what to do where RabbitMQ drops what was delivered some times, as it does since 4.0."""
    version: str = management.row("overview", {"rabbitmq_version": str})["rabbitmq_version"]
    policies = management.rows(management.of_vhost("policies"), OF_POLICY)
    if version.startswith("3.") or any(
        each["definition"].get("delivery-limit") == NO_LIMIT and _applies(each, "queues", SHARD_QUEUES[0])
        for each in policies
    ):
        return None
    return (
        f"RabbitMQ {printable(version)} drops a message after 20 attempts: type `rabbitmqctl set_policy -p "
        f"{printable(management.vhost)} smarty.shards '^smarty\\.' '{{\"delivery-limit\": -1}}' --apply-to "
        "queues`"
    )


def _require_same(config: PoolConfig, there: dict[str, Row]) -> None:
    """Raise ManagementError if a queue is there with other arguments, which nobody can change."""
    for name in (*SHARD_QUEUES, UNROUTED):
        if name in there and (differences := differing(config, there[name])):
            raise ManagementError(
                f"the queue {name} is there with {', '.join(differences)}; nothing was changed. Stop the "
                "edges, which keep their frames, and wait until the queue is empty; then type `rabbitmqctl "
                f"delete_queue -p {printable(config.vhost)} {name}`, and `pool declare` again"
            )


def _require_user(config: PoolConfig, management: Management, edge: str) -> None:
    """Raise ManagementError if there is no such user."""
    try:
        management.row(f"users/{edge}", {"name": str})
    except RefusedError:
        vhost = printable(config.vhost)
        raise ManagementError(
            f"there is no user {edge}; nothing was changed. Type `rabbitmqctl add_user {edge}` on a node, "
            f"which asks for a password, then `rabbitmqctl set_permissions -p {vhost} {edge} '^$' "
            "'^amq\\.topic$' '^$'`"
        ) from None


def differing(config: PoolConfig, queue: Row) -> list[str]:
    """Return what a queue has other than `declare` makes it, in words."""
    if queue["type"] != "quorum":
        return [f"the type {printable(queue.get('type'))} instead of quorum"]
    has = queue["arguments"] or {}
    wanted = arguments_of(config, queue["name"])
    wanted.pop("x-queue-leader-locator")  # matters only while it is made
    dropping = [f"{key} {printable(has[key])}, which drops frames" for key in _DROPPING if key in has]
    return dropping + [
        f"{key} {printable(has.get(key, 'missing'))} instead of {value}"
        f"{' (queue_megabytes in pool.yaml)' if key == 'x-max-length-bytes' else ''}"
        for key, value in wanted.items()
        if has.get(key) != value
    ]


def _foreign_policy(management: Management) -> Row | None:
    """Return another policy that applies to the exchange, where only one does; None if there is none."""
    for policy in management.rows(management.of_vhost("policies"), OF_POLICY):
        if applies_to_exchange(policy) and policy["name"] != UNROUTED:
            return None if UNROUTED_POLICY.items() <= policy["definition"].items() else dict(policy)
    return None


def applies_to_exchange(policy: Row) -> bool:
    """True if a policy applies to the exchange of edges."""
    return _applies(policy, "exchanges", EXCHANGE)


def _applies(policy: Row, kind: str, name: str) -> bool:
    # `quorum_queues` since 3.12.
    if policy["apply-to"] not in (kind, "all") and (kind, policy["apply-to"]) != ("queues", "quorum_queues"):
        return False
    try:
        return re.search(policy["pattern"], name) is not None
    except re.error:  # RabbitMQ's regular expressions are those of Perl
        return False


def _how_to_merge(config: PoolConfig, policy: Row) -> str:
    name, pattern = printable(policy["name"]), printable(policy["pattern"])
    merged = printable(json.dumps({**policy["definition"], **UNROUTED_POLICY}))
    return (
        f"the policy {name} applies to {EXCHANGE}, too, and an exchange has one policy only; nothing was "
        f"changed. Add ours to it: rabbitmqctl set_policy -p '{printable(config.vhost)}' --priority "
        f"{policy['priority']} --apply-to {policy['apply-to']} '{name}' '{pattern}' '{merged}'"
    )


def _declare_queues(config: PoolConfig, management: Management, there: frozenset[str]) -> Iterator[str]:
    missing = [name for name in (*SHARD_QUEUES, UNROUTED) if name not in there]
    for name in missing:
        body = {"durable": True, "auto_delete": False, "arguments": arguments_of(config, name)}
        management.request("PUT", management.of_vhost("queues", name), body)
    _bind(management, UNROUTED, UNROUTED, "")
    source = management.of_vhost("exchanges", EXCHANGE) + "/bindings/source"
    bound = {(each["destination"], each["routing_key"]) for each in management.rows(source, _OF_BINDING)}
    added = 0
    for shard, name in enumerate(SHARD_QUEUES):
        key = binding_of(config, shard)
        if (name, key) not in bound:
            _bind(management, EXCHANGE, name, key)
            added += 1
    yield f"queues of {len(SHARD_QUEUES)} shards, and {UNROUTED}: {len(missing)} created, {added} bound"


def _bind(management: Management, exchange: str, queue: str, key: str) -> None:
    path = management.of_vhost("bindings", "e", exchange, "q", queue)
    management.request("POST", path, {"routing_key": key})


def _permit(config: PoolConfig, management: Management, edge: str) -> str:
    body = {"exchange": EXCHANGE, "write": edge_may_write(config), "read": "^$"}
    management.request("PUT", management.of_vhost("topic-permissions", edge), body)
    return f"edge {edge}: sends encrypted frames of any meter, and plaintext below its own name only"
