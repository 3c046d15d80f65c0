"""`pool declare`: makes what is missing in the cluster and in the database, and changes nothing else."""

from collections.abc import Iterator, Sequence

from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.pool.cluster.declaration import declare_cluster
from smarty_gateway.pool.database.database import Database


def declare(config: PoolConfig, edges: Sequence[str] = ()) -> Iterator[str]:
    """Make what is missing, and yield a line for each thing.

    Args:
        config: of the pool.
        edges: users that get the topic permission of edges, whose names `checked_edge` has checked.

    Raises:
        ManagementError: the cluster is not healthy, or something that is there contradicts the
            configuration; nothing was changed.
        DatabaseAwayError: the tables cannot be made.
    """
    yield from declare_cluster(config, edges)
    database = Database(config.database)
    try:
        yield from (f"table {name}: created" for name in database.create_tables())
    finally:
        database.close()
