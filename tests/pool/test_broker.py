"""The connection to RabbitMQ where there is none."""

import gc
import socket
import warnings
from pathlib import Path

from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig, ServerAddress
from smarty_gateway.pool.broker import Broker
from smarty_gateway.pool.inbox import Inbox


def test_a_worker_that_ends_while_it_connects_leaves_no_socket_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = PoolConfig(
            nodes=(ServerAddress("127.0.0.1", silent.getsockname()[1], tls=False),),
            database=DatabaseConfig("127.0.0.1"),
            keys=Path("keys"),
        )
        broker = Broker(config, "a", Inbox(), frozenset, lambda _: None)
        broker.start()
        its_end, _ = silent.accept()
        with its_end, warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            assert its_end.recv(4) == b"AMQP"
            broker.stop(5.0)
            assert not broker.is_running
            del broker
            gc.collect()
    assert warned == []
