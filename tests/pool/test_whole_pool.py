"""A whole pool while its parts fail; `benchmarks.pool_trial` does this for longer, and more of it."""

import signal
from pathlib import Path

import pytest

from tests.pool.trial import Outcome, PoolTrial
from tests.support.brokers import WITH_MOSQUITTO, Broker
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster
from tests.support.running import wait_until

EDGES = 40


@pytest.mark.slow
@pytest.mark.usefixtures("_nothing_there")
@WITH_MOSQUITTO
def test_every_frame_has_one_row_though_a_worker_a_node_and_the_database_are_killed(
    cluster: RabbitCluster, database_server: PostgresServer, tmp_path: Path
) -> None:
    outcome: list[Outcome] = []
    with (
        Broker(tmp_path, options=("log_dest none",)) as broker,
        PoolTrial(tmp_path, cluster, database_server, broker) as trial,
    ):
        trial.write_keys(EDGES)
        trial.declare()
        trial.start_worker("a")
        trial.start_worker("b")
        trial.start_edges(EDGES, period=1)
        with trial.run(outcome):
            wait_until(lambda: trial.query("SELECT count(*) FROM smarty_counter") == [(EDGES,)], "all meters")
            trial.workers["a"].end(signal.SIGKILL)
            cluster.kill(2)
            database_server.kill()
            trial.wait_for_frames(EDGES)
            database_server.start()
            trial.wait_for_workers("b")
            trial.start_worker("a")
            cluster.start(2)
        assert trial.keys_found(EDGES) == []
    (found,) = outcome
    assert found.is_good, found
    assert found.made > 5 * EDGES
