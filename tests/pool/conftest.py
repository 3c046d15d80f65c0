"""One cluster and one database server for all tests of the pool that need them; both start at once."""

from collections.abc import Iterator

import pytest

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.declare import declare
from tests.support.pools import drop_tables, pool_config
from tests.support.postgresql import PostgresServer, has_postgresql
from tests.support.rabbitmq import RabbitCluster, has_rabbitmq


@pytest.fixture(scope="session")
def _begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitCluster]:
    """Start a cluster, and wait for nothing."""
    if not has_rabbitmq():
        pytest.skip("RabbitMQ is not installed; .ci/run installs it")
    cluster = RabbitCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.begin()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def cluster(_begun: RabbitCluster) -> RabbitCluster:
    """A cluster of three nodes. What a test leaves behind in it, the test removes."""
    _begun.wait()
    return _begun


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    if not has_postgresql():
        pytest.skip("PostgreSQL is not installed; .ci/run installs it")
    with PostgresServer(tmp_path_factory.mktemp("database")) as server:
        yield server


@pytest.fixture(scope="session")
def _cleared(cluster: RabbitCluster) -> None:
    """Begin without what other tests have left in the queues."""
    cluster.clear()


@pytest.fixture
def config(_cleared: None, cluster: RabbitCluster, database_server: PostgresServer) -> PoolConfig:
    """The configuration of a pool whose queues and tables are there, and whose edges are permitted."""
    found = pool_config(cluster, database_server)
    list(declare(found, ["edge", "edge-b"]))
    return found


@pytest.fixture
def _nothing_there(cluster: RabbitCluster, database_server: PostgresServer) -> None:
    """Remove what other tests have left in queues and tables."""
    cluster.clear()
    drop_tables(database_server)
