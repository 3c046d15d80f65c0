"""The configuration of a pool on the cluster and the database of the tests."""

from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig, ServerAddress
from smarty_gateway.pool.database.tables import TABLES
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster


def pool_config(
    cluster: RabbitCluster,
    database: PostgresServer,
    *,
    administrator: str | None = "admin",
    queue_megabytes: int = 1024,
) -> PoolConfig:
    """Return the configuration of a pool; without an administrator the workers' user does everything."""
    folder = database.password_file.parent
    return PoolConfig(
        nodes=tuple(
            ServerAddress("127.0.0.1", port, tls=False, user="worker") for port in cluster.amqp_ports
        ),
        database=DatabaseConfig(
            "127.0.0.1", database.port, "smarty", "smarty", password_file=database.password_file
        ),
        keys=folder,
        password_file=cluster.password_file("worker"),
        ca_file=cluster.ca_file,
        management=tuple(
            ServerAddress("127.0.0.1", port, tls=True, user=administrator)
            for port in cluster.management_tls_ports
        ),
        management_password_file=None if administrator is None else cluster.password_file(administrator),
        queue_megabytes=queue_megabytes,
    )


def drop_tables(database: PostgresServer) -> None:
    """Remove the tables of a pool, with all rows."""
    database.run_sql(f"DROP TABLE IF EXISTS {', '.join(TABLES)}")
