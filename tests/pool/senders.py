"""Sends forwarded frames to the queues of a pool, as the MQTT plugin of RabbitMQ hands on what edges send."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import pika
from pika.adapters.blocking_connection import BlockingChannel

from smarty_gateway.pool.cluster.topology import EXCHANGE, SHARD_QUEUES
from smarty_gateway.protocol.forwarded import Forwarded, pack
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.simulator.household import BEGINNING
from smarty_gateway.simulator.meters import SimulatedMeter
from tests.support.rabbitmq import RabbitCluster

_ARRIVED: Final = 1_790_000_000_000


@contextmanager
def channel_of(cluster: RabbitCluster, node: int = 0) -> Iterator[BlockingChannel]:
    """Open a channel as administrator."""
    credentials = pika.PlainCredentials("admin", cluster.users["admin"])
    # Without heartbeats: nobody answers them while a test waits.
    parameters = pika.ConnectionParameters(
        cluster.hosts[node], cluster.amqp_ports[node], credentials=credentials, heartbeat=0
    )
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection.channel()
    finally:
        connection.close()


def send(
    channel: BlockingChannel, meter: SimulatedMeter, turns: Iterable[int], exchange: str = EXCHANGE
) -> None:
    """Send a message with the frames that a meter makes in these turns."""
    assert meter.title is not None
    body = pack(
        Forwarded(_ARRIVED, meter.frame(BEGINNING + timedelta(seconds=meter.period * turn))) for turn in turns
    )
    topic = f"smarty.raw.{shard_of(meter.title)}.{meter.title.hex().upper()}"
    channel.basic_publish(exchange, topic, body, pika.BasicProperties(delivery_mode=2))


def waiting_in(channel: BlockingChannel) -> int:
    """Return how many messages wait in all queues that no worker has received."""
    return sum(channel.queue_declare(queue, passive=True).method.message_count for queue in SHARD_QUEUES)
