"""`pool check`: what is missing or dangerous in the cluster. Nothing is changed."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Final

from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.cluster.declaration import (
    NO_LIMIT,
    OF_POLICY,
    OF_QUEUE,
    applies_to_exchange,
    delivery_limit,
    differing,
)
from smarty_gateway.pool.cluster.leaders import is_uneven, leaders_of
from smarty_gateway.pool.cluster.management import (
    Management,
    ManagementError,
    NodeAwayError,
    RefusedError,
    Row,
    checked_rows,
)
from smarty_gateway.pool.cluster.rights_check import check_rights
from smarty_gateway.pool.cluster.topology import EXCHANGE, SHARD_QUEUES, UNROUTED, UNROUTED_POLICY, binding_of
from smarty_gateway.pool.finding import Finding, Level
from smarty_gateway.safe_text import printable

#: Seconds. HTTP's clock has whole ones, and an answer may take some.
_CLOCK_MOST: Final = 5.0
#: Seconds until the nodes notice that one of them is cut off; more stalls the shards longer.
_TICK_MOST: Final = 15
#: Bytes. RabbitMQ's own default is 50 MB, which its log can fill before anybody looks.
_DISK_LEAST: Final = 1_000_000_000
#: Of these each can drop messages that were acknowledged.
_DROPPING: Final = frozenset({
    "message-ttl", "expires", "max-length", "max-length-bytes", "overflow", "delivery-limit",
})  # fmt: skip
_PLAIN: Final = ("amqp", "mqtt", "http", "http/web-mqtt", "http/web-stomp", "stomp")
_DECLARE: Final = "type `smarty-gateway pool declare`"

_OF_NODE: Final = {
    "name": str,
    "running": bool,
    "partitions": list | None,
    "mem_alarm": bool | None,
    "disk_free_alarm": bool | None,
    "disk_free": int | str | None,  # a word where it is not watched
    "disk_free_limit": int | str | None,
    "net_ticktime": int | None,
}
_OF_OVERVIEW: Final = {"rabbitmq_version": str, "listeners": list}
_OF_LISTENER: Final = {"node": str, "protocol": str, "ip_address": str, "socket_opts": dict | None}
_OF_QUEUE: Final = {
    **OF_QUEUE,
    "durable": bool | None,
    "leader": str | None,
    "members": list | None,
    "online": list | None,
    "consumers": int | None,
    "messages": int | None,
    "message_bytes": int | None,
    "effective_policy_definition": dict | None,
}
_OF_BINDING: Final = dict.fromkeys(("source", "destination", "destination_type", "routing_key"), str)

_fault = partial(Finding, Level.FAULT)
_warning = partial(Finding, Level.WARNING)
_good = partial(Finding, Level.GOOD)


def check_cluster(config: PoolConfig, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Yield what there is to say about the cluster, faults and what is good."""
    management = Management(config)
    try:
        yield from _check_clocks(management, clock)
        nodes = management.rows("nodes", _OF_NODE)
        yield from _check_nodes(config, nodes)
        yield from _check_overview(config, management.row("overview", _OF_OVERVIEW), nodes)
        if (limit := delivery_limit(management)) is not None:
            yield _fault(limit)
        yield from _check_queues(config, management, nodes)
        yield from _check_routes(config, management)
        yield from check_rights(config, management)
    except NodeAwayError:  # the lines about the clocks give the reasons
        yield _fault("no node answers at its management API, so the cluster was not looked at")
    except ManagementError as error:
        yield _fault(str(error))
    finally:
        management.close()


# Nodes


def _check_clocks(management: Management, clock: Callable[[], float]) -> Iterator[Finding]:
    """Yield which clocks are wrong: times in logs count on them, and certificates."""
    for name, answer in management.ask_each("overview?columns=rabbitmq_version"):
        if isinstance(answer, NodeAwayError):
            yield _warning(str(answer))
        elif (ahead := _ahead(answer.date, clock())) is not None and abs(ahead) > _CLOCK_MOST:
            yield _warning(
                f"the clock of {name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this "
                "machine's: set the one that is wrong, with NTP (`timedatectl set-ntp true`)",
            )


def _ahead(date: str | None, now: float) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp() - now
    except ValueError:
        return None


def _check_nodes(config: PoolConfig, nodes: Sequence[Row]) -> Iterator[Finding]:
    for node in nodes:
        yield from _check_node(config, printable(node["name"]), node)
    running = sum(bool(node["running"]) for node in nodes)
    if len(nodes) < 3:
        yield _warning(
            f"the cluster has {_count(len(nodes), 'node')}: frames wait while one is missing, and are lost "
            "with its disk; three nodes go on when one of them fails",
        )
    elif len(nodes) % 2 == 0:
        yield _warning(
            f"the cluster has {len(nodes)} nodes, and stands no more failures than with {len(nodes) - 1}: "
            "add or remove one",
        )
    elif running == len(nodes):
        yield _good(f"{len(nodes)} nodes run")


def _check_node(config: PoolConfig, name: str, node: Row) -> Iterator[Finding]:
    if not node["running"]:
        yield _fault(f"the node {name} does not run: type `systemctl start rabbitmq-server` there")
        return
    if node["partitions"]:
        yield _fault(
            f"the node {name} has lost sight of others: repair the network, and restart this node. With "
            "`cluster_partition_handling = pause_minority` in each rabbitmq.conf it does so itself"
        )
    if node["mem_alarm"]:
        yield _fault(
            f"the node {name} accepts no messages, because its memory is used up: add memory or workers",
        )
    limit, free = (_number(node[column]) for column in ("disk_free_limit", "disk_free"))
    most = len(SHARD_QUEUES) * config.queue_megabytes * 1024 * 1024
    if node["disk_free_alarm"]:
        yield _fault(f"the node {name} accepts no messages, because its disk is full: make room there")
    elif limit is not None and limit < _DISK_LEAST:
        yield _warning(
            f"the node {name} goes on until {limit / 1e6:.0f} MB of its disk are left, and fails when it is "
            "full: write `disk_free_limit.absolute = 2GB` into its rabbitmq.conf, and restart it",
        )
    if not node["disk_free_alarm"] and free is not None and free - (limit or 0) < most:
        yield _warning(
            f"the disk of the node {name} has {free / 1e9:.1f} GB left, but the queues may hold "
            f"{most / 1e9:.1f} GB: write a smaller `queue_megabytes` into pool.yaml before the first `pool "
            "declare`, or take a larger disk",
        )
    if (tick := node["net_ticktime"] or 0) > _TICK_MOST:
        yield _warning(
            f"the node {name} notices only after {tick} s that another one is cut off: write `[{{kernel, "
            "[{net_ticktime, 8}]}].` into advanced.config of each node, and restart one after the other",
        )


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None


def _check_overview(config: PoolConfig, overview: Row, nodes: Iterable[Row]) -> Iterator[Finding]:
    version = printable(overview["rabbitmq_version"])
    if not version.startswith("3."):
        yield _warning(f"RabbitMQ {version} was not tried; 3.10 was")
    listeners = checked_rows(overview["listeners"], _OF_LISTENER)
    for node in nodes:
        protocols = {each["protocol"] for each in listeners if each["node"] == node["name"]}
        name = printable(node["name"])
        if node["running"] and not protocols & {"mqtt", "mqtt/ssl"}:
            yield _fault(
                f"the node {name} takes no MQTT: type `rabbitmq-plugins enable rabbitmq_mqtt` there; if "
                "it is on, and most nodes were away together, type `rabbitmqctl eval "
                "'ra:restart_server(coordination, {mqtt_node, node()}).'`",
            )
        elif node["running"] and config.plaintext and "mqtt/ssl" not in protocols:
            yield _fault(
                f"the node {name} takes no MQTT with TLS, without which no edge sends plaintext: see "
                "`mqtt.listeners.ssl` in deploy/pool/rabbitmq.conf",
            )
    plain = sorted({each["protocol"] for each in listeners if _is_in_clear(each)})
    if plain and not config.trusted_network:
        yield _warning(
            f"the nodes take {', '.join(plain)} without TLS from other machines, so that passwords can pass "
            "in clear: let these listen on 127.0.0.1 only, as deploy/pool/rabbitmq.conf does",
        )


def _is_in_clear(listener: Row) -> bool:
    """True for a port without TLS that other machines reach."""
    address = (listener["socket_opts"] or {}).get("ip")
    return listener["protocol"] in _PLAIN and not is_this_machine(str(address or listener["ip_address"]))


# Queues


def _check_queues(config: PoolConfig, management: Management, nodes: Sequence[Row]) -> Iterator[Finding]:
    queues = management.rows(management.of_vhost("queues"), _OF_QUEUE)
    ours = [queue for queue in queues if queue["name"] in {*SHARD_QUEUES, UNROUTED}]
    there = {queue["name"] for queue in ours}
    missing = [name for name in (*SHARD_QUEUES, UNROUTED) if name not in there]
    found = list(_check_each(config, ours, len(nodes)))
    if missing:
        found.append(_fault(f"{_named('queue', missing)} missing: {_DECLARE}"))
    leaders = leaders_of(queues)
    if is_uneven(leaders, len(nodes)) and all(node["running"] for node in nodes):
        node, most = leaders.most_common(1)[0]
        found.append(
            _warning(
                f"the node {printable(node)} leads {most} of {leaders.total()} queues: type `rabbitmq-queues "
                "rebalance quorum` on a node",
            )
        )
    sessions = [q["name"] for q in queues if q["name"].startswith("mqtt-subscription-") and q["durable"]]
    if classic := [q["name"] for q in queues if q["name"] in sessions and q["type"] == "classic"]:
        found.append(
            _warning(
                f"{_named('queue', classic)} that of a session of an MQTT subscriber, and lost with its "
                "node: write `mqtt.durable_queue_type = quorum` into rabbitmq.conf of each node",
            )
        )
    yield from found
    if not found:
        spread = "/".join(str(count) for count in sorted(leaders.values(), reverse=True))
        yield _good(f"{len(SHARD_QUEUES)} queues, with {spread} leaders on the nodes")


def _check_each(config: PoolConfig, queues: Iterable[Row], nodes: int) -> Iterator[Finding]:
    """Yield each fault once, with all the queues that have it."""
    faults: dict[Finding, list[str]] = {}
    for queue in queues:
        for fault in (*_form_of(config, queue), *_members_of(queue, nodes), *_contents_of(config, queue)):
            faults.setdefault(fault, []).append(queue["name"])
    for fault, names in faults.items():
        yield Finding(fault.level, f"{_named('queue', sorted(names))} {fault.text}")


def _form_of(config: PoolConfig, queue: Row) -> Iterator[Finding]:
    """Yield what is wrong with how a queue was made, as the end of a sentence."""
    for difference in differing(config, queue):
        level = Level.WARNING if difference.startswith("x-max-length-bytes") else Level.FAULT
        yield Finding(level, f"there with {difference}: {_DECLARE}, which says what to do")
    policy = queue["effective_policy_definition"] or {}
    dropping = sorted(key for key in _DROPPING & set(policy) if policy[key] != NO_LIMIT)
    if dropping:
        yield _fault(
            f"subject to a policy with {', '.join(dropping)}, which drops frames: find it with `rabbitmqctl "
            "list_policies` or `rabbitmqctl list_operator_policies`, and take that out of it"
        )


def _members_of(queue: Row, nodes: int) -> Iterator[Finding]:
    """Yield what is wrong with where a queue is, as the end of a sentence."""
    if queue["type"] != "quorum":
        return
    members, online = queue["members"] or (), queue["online"] or ()
    if 2 * len(online) <= len(members) or not queue["leader"]:
        yield _fault("without a leader: start the nodes that do not run")
    if len(members) < min(nodes, 3):
        yield _warning(
            f"on {_count(len(members), 'node')} only: type `rabbitmq-queues grow NODE all --queue-pattern "
            "'^smarty'` with the name of each other node"
        )


def _contents_of(config: PoolConfig, queue: Row) -> Iterator[Finding]:
    """Yield what is wrong with what a queue holds, as the end of a sentence."""
    messages, size = queue["messages"] or 0, queue["message_bytes"] or 0
    if queue["name"] == UNROUTED:
        if messages:
            yield _warning(
                f"not empty: {messages} messages have topics that no queue is bound to. Compare `topic` in "
                f"pool.yaml with the edges' `forward`, and look at one: `rabbitmqadmin get queue={UNROUTED}`"
            )
        return
    if 2 * size > config.queue_megabytes * 1024 * 1024:
        yield _warning("more than half full: add workers, or look why these are slow")
    elif messages and not queue["consumers"]:
        yield _warning("not read by any worker, and frames wait in it: type `smarty-gateway pool run`")


# What leads to the queues


def _check_routes(config: PoolConfig, management: Management) -> Iterator[Finding]:
    found = [*_check_bindings(config, management), *_check_policies(management)]
    yield from found
    if not any(finding.level is Level.FAULT for finding in found):
        yield _good(f"what edges send to {config.topic} goes to them, and the rest to {UNROUTED}")


def _check_bindings(config: PoolConfig, management: Management) -> Iterator[Finding]:
    bindings = management.rows(management.of_vhost("bindings"), _OF_BINDING)
    bound: dict[str, set[str]] = {}
    for each in bindings:
        if each["source"] == EXCHANGE and each["destination_type"] == "queue":
            bound.setdefault(each["destination"], set()).add(each["routing_key"])
    for source, name in sorted({(each["source"], each["destination"]) for each in bindings}):
        if source not in ("", EXCHANGE) and name in (EXCHANGE, *SHARD_QUEUES):
            yield Finding(
                Level.FAULT if config.plaintext else Level.WARNING,
                f"the exchange {printable(source)} leads to {name}, too, past all topic permissions: "
                "remove the binding in the management page",
            )
    wanted = {name: binding_of(config, shard) for shard, name in enumerate(SHARD_QUEUES)}
    if missing := [name for name, key in wanted.items() if key not in bound.get(name, ())]:
        yield _fault(f"{_named('queue', missing)} not bound to {EXCHANGE}: {_DECLARE}")
    for name, key in wanted.items():
        for other in sorted(bound.get(name, set()) - {key}):
            yield _warning(
                f"the queue {name} is bound with {printable(other)}, too: is `topic` in pool.yaml right? "
                "Unless another pool uses it, remove the binding in the management page",
            )


def _check_policies(management: Management) -> Iterator[Finding]:
    policies = management.rows(management.of_vhost("policies"), OF_POLICY)
    for policy in policies:
        if any(key.startswith("ha-") for key in policy["definition"]):
            yield _warning(
                f"the policy {printable(policy['name'])} mirrors classic queues, which lose what they have "
                f"acknowledged: type `rabbitmqctl clear_policy {printable(policy['name'])}`",
            )
    applying = [policy for policy in policies if applies_to_exchange(policy)]
    first = max(applying, key=lambda policy: int(policy["priority"]), default=None)
    if first is None or not UNROUTED_POLICY.items() <= first["definition"].items():
        instead = "" if first is None else f" (the policy {printable(first['name'])} applies instead)"
        yield _fault(
            f"the exchange {EXCHANGE} has no alternate exchange{instead}: what no queue is bound to would be "
            f"acknowledged and lost; {_DECLARE}",
        )
    try:
        source = management.of_vhost("exchanges", UNROUTED) + "/bindings/source"
        bound = management.rows(source, {"destination": str})
    except RefusedError:
        bound = []
    if UNROUTED not in {each["destination"] for each in bound}:
        yield _fault(f"the exchange {UNROUTED} does not lead to the queue {UNROUTED}: {_DECLARE}")


# Words


def _named(what: str, names: Sequence[str]) -> str:
    """Return the beginning of a sentence about one thing or several."""
    first = printable(names[0])
    if len(names) == 1:
        return f"the {what} {first} is"
    if len(names) == 2:
        return f"the {what}s {first} and {printable(names[1])} are"
    return f"the {what} {first} and {len(names) - 1} others are"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
