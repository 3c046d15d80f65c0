"""The leaders of queues, which do most of the work, and pile up on the nodes that did not fail."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.cluster.management import Management, Row
from smarty_gateway.pool.cluster.topology import SHARD_QUEUES
from smarty_gateway.safe_text import printable

#: Nodes may differ by this share of what each should have. Moving a leader stops its queue for a moment.
_UNEVEN: Final = 0.5


def rebalance_leaders(config: PoolConfig) -> str | None:
    """Have leaders spread over the nodes if one has far more than another.

    That takes an administrator. Nothing is moved while a node is missing: it would all come back.

    Returns:
        A line for the log if leaders move.

    Raises:
        ManagementError: it cannot be done.
    """
    management = Management(config)
    try:
        nodes = management.rows("nodes", {"running": bool})
        if not all(node["running"] for node in nodes):
            return None
        queues = management.rows(management.of_vhost("queues"), {"name": str, "leader": str | None})
        leaders = leaders_of(queues)
        if not is_uneven(leaders, len(nodes)):
            return None
        management.request("POST", "rebalance/queues", {})
    finally:
        management.close()
    node, most = leaders.most_common(1)[0]
    return f"leaders of queues are moved: the node {printable(node)} had {most} of {leaders.total()}"


def leaders_of(queues: Iterable[Row]) -> Counter[str]:
    """Return for how many shards each node has the leader."""
    return Counter(q["leader"] for q in queues if q["name"] in SHARD_QUEUES and q["leader"])


def is_uneven(leaders: Counter[str], nodes: int) -> bool:
    """True if one of the nodes has so many leaders more than another that some should move."""
    fewest = min(leaders.values(), default=0) if len(leaders) >= nodes else 0
    return (max(leaders.values(), default=0) - fewest) * nodes > _UNEVEN * leaders.total()
