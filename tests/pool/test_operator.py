"""What an operator types to make a pool, on a real cluster and a real database."""

from pathlib import Path

import pytest

from tests.support.commands import smarty_gateway
from tests.support.postgresql import PostgresServer
from tests.support.rabbitmq import RabbitCluster

pytestmark = pytest.mark.slow
KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"


def test_check_has_no_fault_after_declare_and_add_keys_and_no_key_is_shown(
    tmp_path: Path, cluster: RabbitCluster, database_server: PostgresServer
) -> None:
    """Each command here is searched for keys."""
    nodes = ", ".join(f"amqp://worker@127.0.0.1:{port}" for port in cluster.amqp_ports)
    apis = ", ".join(f"http://admin@127.0.0.1:{port}" for port in cluster.management_ports)
    (tmp_path / "pool.yaml").write_text(
        f"nodes: [{nodes}]\npassword_file: {cluster.password_file('worker')}\nmanagement: [{apis}]\n"
        f"management_password_file: {cluster.password_file('admin')}\nkeys: keys\n"
        f"database: {{url: '{database_server.url}', password_file: '{database_server.password_file}'}}\n"
    )
    (tmp_path / "keys").mkdir(mode=0o700)
    table = f"SAG1030700012345,{KEY}\n".encode()
    assert smarty_gateway("pool", "check", folder=tmp_path).returncode == 78
    assert smarty_gateway("pool", "add-keys", "-", folder=tmp_path, data=table).returncode == 0
    declared = smarty_gateway("pool", "declare", "--edge", "edge", "--edge", "edge-b", folder=tmp_path)
    assert (declared.returncode, declared.stderr) == (0, b"")
    checked = smarty_gateway("pool", "check", folder=tmp_path)
    assert (checked.returncode, b"fault: " in checked.stderr) == (0, False)
    assert b"keys: good, 1 meter in 1 file\n" in checked.stdout
    assert b"the database is PostgreSQL" in checked.stdout
    assert smarty_gateway("pool", "check", folder=tmp_path / "keys").returncode == 2
