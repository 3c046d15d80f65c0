"""The user of the management API in pool.yaml: another one than the nodes', and its password."""

from pathlib import Path

import pytest

from smarty_gateway.config.pool_file import read_pool_config

POOL = """\
nodes: [amqps://worker@a.example]
password_file: amqp.password
database: {url: postgresql://smarty@localhost/smarty}
keys: keys
"""


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("management: [https://a.example, https://b.example]", None),
        ("management: https://admin@a.example\nmanagement_password_file: admin", None),
        ("management: https://admin@a.example", "this user needs a password"),
        ("management: https://a.example\nmanagement_password_file: admin", "name one user for all"),
        ("management_password_file: admin", "name one user for all"),
        (
            "management: [https://x@a.example, https://b.example]\nmanagement_password_file: x",
            "name one user",
        ),
    ],
)
def test_another_user_has_another_password(tmp_path: Path, lines: str, fault: str | None) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(POOL + lines + "\n", "utf-8")
    _, errors = read_pool_config(path)
    assert len(errors) == (fault is not None), errors
    assert fault is None or fault in str(errors[0])
