"""A RabbitMQ node and a PostgreSQL server for a demonstration: on loopback, in a folder of their own.

They are the programs of the packages, but neither their services nor their data. The kernel ends them with
the process that started them.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple, Self

import psycopg

from smarty_gateway.config.pool_file import load_pool_config
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.pool.cluster.management import ManagementError
from smarty_gateway.pool.declare import declare
from smarty_gateway.protocol.errors import GatewayError

_RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_POSTGRESQL: Final = Path("/usr/lib/postgresql")
_STARTS_WITHIN: Final = 60.0
#: Name -> tags, and what the user may configure, write and read.
_USERS: Final = {
    "worker": (["administrator"], (".*", ".*", ".*")),
    "edge": ([], ("^$", r"^amq\.topic$", "^$")),
}
#: Two threads that do not spin while they wait: the node shares the machine with everything else. Other nodes
#: could come from anywhere.
_ERLANG: Final = "-noinput +S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
_EDGE: Final = "edge"
_DATABASE_USER: Final = "smarty"
_DATABASE: Final = "smarty"
_UNPRIVILEGED: Final = "nobody"


class User(NamedTuple):
    """A user of RabbitMQ, who may configure, write and read what these patterns match."""

    password: str
    tags: list[str]
    rights: tuple[str, str, str]


class LocalServersError(GatewayError):
    """The servers cannot be started; one line says what to do."""

    exit_status = ExitStatus.WRONG_USAGE


class LocalServers:
    """Both servers, from `with` on; they end with it.

    Args:
        folder: an empty one, for everything.

    Raises:
        LocalServersError: a package is missing, or a server does not start.
    """

    def __init__(self, folder: Path) -> None:
        binaries = sorted(_POSTGRESQL.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        if not _RABBITMQ.exists() or not binaries:
            raise LocalServersError(
                "a pool needs RabbitMQ and PostgreSQL; type: sudo apt install rabbitmq-server postgresql"
            )
        self._folder = folder
        self._postgresql = binaries[-1].parent
        self._stack = ExitStack()
        self._passwords = {name: secrets.token_hex(16) for name in (*_USERS, _DATABASE_USER)}
        self._ports = _free_ports("epmd", "distribution", "amqp", "mqtt", "management", "database")
        self.config = folder / "pool.yaml"

    def __enter__(self) -> Self:
        with self._stack:
            self._folder.chmod(0o711)  # the database server runs as another user
            for name, password in self._passwords.items():
                path = self.password_file(name)
                path.touch(0o600)
                path.write_text(password, "ascii")
            self._start_database()
            self._start_node()
            self._write_configuration()
            self._wait(self._has_database, "PostgreSQL", "database.log")
            self._wait(self._is_declared, "RabbitMQ", "node.log")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def edge_user(self) -> str:
        """The user that edges connect as."""
        return _EDGE

    @property
    def mqtt_port(self) -> int:
        """Where edges connect, on 127.0.0.1."""
        return self._ports["mqtt"]

    def password_file(self, user: str) -> Path:
        """Return the file with the password of a user."""
        return self._folder / f"{user}.password"

    def query(self, sql: LiteralString) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._connect(_DATABASE) as connection:
            return connection.execute(sql).fetchall()

    # PostgreSQL

    def _start_database(self) -> None:
        data = self._folder / "database"
        data.mkdir(0o700)
        secret = data / "password"
        secret.touch(0o600)
        secret.write_text(self._passwords[_DATABASE_USER], "ascii")
        if os.geteuid() == 0:  # as root the server refuses to run
            for path in (data, secret):
                shutil.chown(path, _UNPRIVILEGED)
        arguments = ("--username", _DATABASE_USER, "--auth", "scram-sha-256", "--pwfile", secret)
        made = self._start(
            "database.log", self._postgresql / "initdb", *arguments, "--no-sync", data / "data"
        )
        if made.wait(_STARTS_WITHIN) != 0:
            raise LocalServersError(f"PostgreSQL does not start: {self._last_line('database.log')}")
        options = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
        server = self._postgresql / "postgres"
        port = str(self._ports["database"])
        self._start("database.log", server, "-D", data / "data", "-p", port, *options)

    def _connect(self, database: str) -> "psycopg.Connection[Any]":
        return psycopg.connect(
            host="127.0.0.1",
            port=self._ports["database"],
            user=_DATABASE_USER,
            password=self._passwords[_DATABASE_USER],
            dbname=database,
            autocommit=True,
        )

    def _has_database(self) -> bool:
        with suppress(psycopg.OperationalError), self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {_DATABASE}")
            return True
        return False

    # RabbitMQ

    def _start_node(self) -> None:
        ports = self._ports
        lines = (
            f"listeners.tcp.default = 127.0.0.1:{ports['amqp']}",
            f"mqtt.listeners.tcp.default = 127.0.0.1:{ports['mqtt']}",
            "mqtt.allow_anonymous = false",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {ports['management']}",
            f"load_definitions = {self._folder / 'definitions.json'}",
        )
        self._write("rabbitmq.conf", "\n".join(lines) + "\n")
        self._write("plugins", "[rabbitmq_management,rabbitmq_mqtt].")
        self._write("env.conf", "")
        users = {name: User(self._passwords[name], *about) for name, about in _USERS.items()}
        self._write("definitions.json", definitions(users))
        cookie = self._folder / ".erlang.cookie"
        cookie.touch(0o600)
        cookie.write_text(secrets.token_hex(16), "ascii")
        cookie.chmod(0o400)
        environment = {
            "HOME": str(self._folder),
            "ERL_CRASH_DUMP_SECONDS": "0",  # else one that is killed leaves a dump where it was started
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "RABBITMQ_ALLOW_INPUT": "yes",  # the server replaces the shell that starts it
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_NODENAME": f"demo{os.getpid()}@localhost",
            "RABBITMQ_DIST_PORT": str(ports["distribution"]),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "node"),
            "RABBITMQ_LOG_BASE": str(self._folder / "node-log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }
        # The node would start its port mapper as a daemon, and leave it behind.
        self._start("epmd.log", "epmd", "-address", "127.0.0.1", "-port", str(ports["epmd"]), as_other=False)
        self._start("node.log", _RABBITMQ, as_other=False, environment=environment)

    def _is_declared(self) -> bool:
        """Declare what the pool needs as soon as the node answers."""
        with suppress(ManagementError):
            return bool(list(declare(load_pool_config(self.config), [_EDGE])))
        return False

    # Both

    def _write_configuration(self) -> None:
        ports = self._ports
        database = f"postgresql://{_DATABASE_USER}@127.0.0.1:{ports['database']}/{_DATABASE}"
        lines = (
            f"nodes: amqp://worker@127.0.0.1:{ports['amqp']}",
            "password_file: worker.password",
            f"management: http://127.0.0.1:{ports['management']}",
            f"database: {{url: '{database}', password_file: {_DATABASE_USER}.password}}",
            "keys: keys",
        )
        self._write("pool.yaml", "\n".join(lines) + "\n")

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text, "utf-8")

    def _start(
        self,
        log: str,
        *command: object,
        as_other: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> "subprocess.Popen[bytes]":
        other = ("--reuid", _UNPRIVILEGED, "--clear-groups") if as_other and os.geteuid() == 0 else ()
        with (self._folder / log).open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - the programs of the packages
                ["/usr/bin/setpriv", *other, "--pdeathsig", "KILL", "--", *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C in a terminal is for this process
            )
        self._stack.callback(_end, process)
        return process

    def _wait(self, condition: Callable[[], bool], what: str, log: str) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN
        while not condition():
            if time.monotonic() > deadline:
                raise LocalServersError(f"{what} does not start: {self._last_line(log)}")
            time.sleep(0.2)  # a server that starts tells nobody when it is ready

    def _last_line(self, log: str) -> str:
        lines = (self._folder / log).read_text("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")


def _end(process: "subprocess.Popen[bytes]") -> None:
    # SIGQUIT would be kinder, but nothing of what they have is kept.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def definitions(users: Mapping[str, User]) -> str:
    """Return what a node loads at its first start, so that these users are there and no `guest`."""
    found = {
        "vhosts": [{"name": "/"}],
        "users": [
            {
                "name": name,
                "password_hash": _hash(user.password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": user.tags,
            }
            for name, user in users.items()
        ],
        "permissions": [
            {"user": name, "vhost": "/", "configure": configure, "write": write, "read": read}
            for name, (_, _, (configure, write, read)) in users.items()
        ],
    }
    return json.dumps(found)


def _hash(password: str) -> str:
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _free_ports(*names: str) -> dict[str, int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        return {name: listener.getsockname()[1] for name, listener in zip(names, sockets, strict=True)}
