"""Workers with a real cluster and database: shards go from one to the next, and nothing counts twice."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from smarty_gateway.pool.cluster.topology import queue_of
from smarty_gateway.protocol.shards import shard_of
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.pool.senders import channel_of, send, waiting_in
from tests.pool.trial import PoolTrial
from tests.support.brokers import WITH_MOSQUITTO, Broker
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

#: No other test has meters with these numbers.
FIRST: Final = 50_001
METERS: Final = 80
OWN_EXCHANGE: Final = "of.another.program"
#: Lines about old frames: fifty meters are told apart, and the others are logged as one.
MOST_LOGGED: Final = 51


def send_what_no_edge_sends(channel: BlockingChannel, shard: int) -> None:
    """Send a topic that is no text, and a message with a time that no clock has: nobody checks either."""
    channel.basic_publish("amq.topic", f"smarty.raw.{shard}.".encode() + b"\xff", b"x")
    impossible = pika.BasicProperties(timestamp=2**62)
    channel.basic_publish("amq.topic", f"smarty.raw.{shard}.x", b"x", impossible)


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_there")
@WITH_MOSQUITTO
def test_shards_are_handed_over_and_nothing_is_lost_or_believed_twice(
    cluster: RabbitCluster, database_server: PostgresServer, tmp_path: Path
) -> None:
    meters = [SimulatedMeter(MeterKind.LUXEMBOURG, FIRST + number) for number in range(METERS)]
    shards = {shard_of(meter.title) for meter in meters if meter.title is not None}
    with (
        Broker(tmp_path, options=("log_dest none",)) as broker,
        PoolTrial(tmp_path, cluster, database_server, broker) as trial,
    ):
        trial.write_keys(METERS, FIRST)
        trial.declare()
        with channel_of(cluster) as channel:
            channel.confirm_delivery()

            def send_all(turns: Iterable[int]) -> None:
                wanted = list(turns)
                for meter in meters:
                    send(channel, meter, wanted)

            def wait_for_rows(count: int) -> None:
                name = f"BETWEEN '{meters[0].meter_id}' AND '{meters[-1].meter_id}'"
                sql = f"SELECT count(*) FROM smarty_reading WHERE meter {name}"  # noqa: S608 - of a test
                wait_until(lambda: trial.query(sql) == [(count,)], f"{count} rows")

            def owners() -> dict[int, str]:
                held = dict(trial.query("SELECT shard, owner FROM smarty_shard"))
                return {shard: held[shard] for shard in shards}

            trial.start_worker("a")
            trial.start_worker("b")
            send_all(range(2000, 2003))
            wait_for_rows(3 * METERS)

            # Nobody checks which topics a user may send to by an exchange of their own.
            channel.exchange_declare(OWN_EXCHANGE, "topic", auto_delete=True)
            for shard in shards:
                channel.queue_bind(queue_of(shard), OWN_EXCHANGE, "#")
            send(channel, meters[0], [2999], OWN_EXCHANGE)
            logs = [trial.workers[name].log for name in ("a", "b")]
            wait_until(lambda: any("rejected malformed" in log.read_text("utf-8") for log in logs), "a line")
            channel.exchange_delete(OWN_EXCHANGE)

            send_what_no_edge_sends(channel, min(shards))
            wait_until(lambda: not waiting_in(channel), "both are refused")

            assert trial.workers["a"].end() == 0
            send_all(range(2003, 2005))
            wait_for_rows(5 * METERS)
            assert set(owners().values()) == {"b"}

            send_all([2004, 2003, 2002, 2001, 2000, *range(10)])  # repeats, and what no repeat can be
            wait_until(lambda: not waiting_in(channel), "all old frames")
            assert trial.workers["b"].end() == 0
            assert waiting_in(channel) == 0
            wait_for_rows(5 * METERS)
            assert 1 <= trial.workers["b"].log.read_text("utf-8").count("rejected replay") <= MOST_LOGGED

            trial.start_worker("b")
            send_all([2005])
            wait_for_rows(6 * METERS)
            database_server.kill()
            send_all([2006])
            wait_until(lambda: waiting_in(channel) == 0, "all are delivered")
            assert trial.workers["b"].end() == 0
            assert waiting_in(channel) == METERS
            database_server.start()
            trial.start_worker("a")
            wait_for_rows(7 * METERS)
