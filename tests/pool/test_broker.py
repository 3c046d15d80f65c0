"""The connection to RabbitMQ where there is none."""

import gc
import socket
import warnings
from pathlib import Path

import pika
import pytest

from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig, ServerAddress
from smarty_gateway.pool.broker import Broker
from smarty_gateway.pool.inbox import Inbox
from tests.support.running import wait_until


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


def test_a_password_that_is_no_utf_8_is_named_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "amqp.password"
    file.write_bytes(b"gr\xfcn")
    file.chmod(0o600)
    said: list[str] = []
    config = PoolConfig(
        nodes=(ServerAddress("127.0.0.1", 5672, tls=False, user="worker"),),
        database=DatabaseConfig("127.0.0.1"),
        keys=Path("keys"),
        password_file=file,
    )
    broker = Broker(config, "a", Inbox(), frozenset, said.append)
    broker.start()
    wait_until(lambda: said, "the line")
    broker.stop(5.0)
    assert f"the password in {file} is not UTF-8" in said[0]
    assert "gr" not in said[0].replace(str(file), "")


@pytest.mark.parametrize("stamp", [2**62, 2**64 - 1])
def test_a_message_is_read_whatever_its_sender_says_about_it(stamp: int) -> None:
    properties = b"\x00\x40" + stamp.to_bytes(8, "big")  # AMQP 0-9-1, 4.2.6.1: only a timestamp
    payload = b"\x00\x3c\x00\x00" + bytes(8) + properties
    data = b"\x02\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"
    consumed, _ = pika.frame.decode_frame(data)
    assert consumed == len(data)
