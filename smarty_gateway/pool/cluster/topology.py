"""What a cluster holds for a pool: names, arguments and rights, for those who declare, check and use it.

edge --MQTT--> amq.topic --smarty.raw.K.#--> queue smarty.shard.K, one for each of the 64 shards
                   |
                   +--what nothing is bound to--> exchange smarty.unrouted --> queue smarty.unrouted
"""

import re
from typing import Final

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.protocol.shards import SHARDS

#: Where the MQTT plugin publishes: `mqtt.exchange` of rabbitmq.conf, and its default.
EXCHANGE: Final = "amq.topic"
#: An exchange, its queue and the policy that leads there have this name.
UNROUTED: Final = "smarty.unrouted"
#: What the policy says.
UNROUTED_POLICY: Final = {"alternate-exchange": UNROUTED}


def queue_of(shard: int) -> str:
    """Return the name of the queue of a shard."""
    return f"smarty.shard.{shard}"


#: The queues of all shards.
SHARD_QUEUES: Final = tuple(map(queue_of, range(SHARDS)))


def binding_of(config: PoolConfig, shard: int) -> str:
    """Return what the queue of a shard is bound with. RabbitMQ makes dots of the slashes of MQTT."""
    return f"{_prefix(config)}.{shard}.#"


def arguments_of(config: PoolConfig, queue: str) -> dict[str, object]:
    """Return the arguments of a queue, which must survive each node, and refuse what does not fit in."""
    arguments: dict[str, object] = {
        "x-queue-type": "quorum",
        "x-queue-leader-locator": "balanced",
        "x-max-length-bytes": config.queue_megabytes * 1024 * 1024,
        "x-overflow": "reject-publish",
    }
    return arguments if queue == UNROUTED else {**arguments, "x-single-active-consumer": True}


def edge_may_write(config: PoolConfig) -> str:
    """Return the topic permission of edges.

    Each may send encrypted frames of any meter, which prove themselves where they come from, and plaintext
    below its own name only. Topics are short, because a routing key has 255 bytes at most (AMQP 0-9-1,
    4.2.5.3): a node that has accepted a longer topic of MQTT fails when it delivers the message, again and
    again.
    """
    return rf"^{re.escape(_prefix(config))}\.[0-9]{{1,2}}\.([0-9A-F]{{16}}|{{username}}\.[!-~]{{1,64}})$"


def _prefix(config: PoolConfig) -> str:
    return config.topic.replace("/", ".")
