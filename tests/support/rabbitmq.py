"""A RabbitMQ cluster for tests and trials: nodes of its own, which the services of this machine do not see.

On loopback it needs no rights. With `is_divisible` each node has its own network, joined to the others by a
bridge, so that `cut` takes it away from them as a broken cable does; that needs root. Nothing is left over
when the process that started it is killed: `tests.support.guard` ends the nodes, and the kernel removes a
network with its last process.
"""

import base64
import http.client
import json
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from smarty_gateway.pool.local_servers import User, definitions
from tests.support.brokers import Authority, free_port
from tests.support.commands import LIMIT, ROOT
from tests.support.guard import GuardedServer
from tests.support.running import wait_until

_BIN: Final = Path("/usr/lib/rabbitmq/bin")
#: Each node's listeners, in the order of the ports after `first_port`.
_LISTENERS: Final = ("dist", "amqp", "mqtt", "management", "amqps", "mqtts", "management with TLS")
#: How a node is set up: what the documentation advises is what the tests run on.
_EXAMPLE: Final = ROOT / "deploy/pool"
_UNSHARE: Final = ("unshare", "--net")
_OF_WORKERS: Final = (r"^smarty\.", r"^smarty\.", r"^(smarty\..*|amq\.topic)$")
_OF_EDGES: Final = ("^$", r"^amq\.topic$", "^$")
_USERS: Final = {
    "admin": User("admin-password", ["administrator"], (".*", ".*", ".*")),
    "worker": User("worker-password", ["monitoring"], _OF_WORKERS),
    "edge": User("edge-password", [], _OF_EDGES),
    "edge-b": User("edge-b-password", [], _OF_EDGES),
}


class RabbitCluster(GuardedServer):
    """A cluster.

    Args:
        folder: an existing one for its files.
        nodes: how many.
        first_port: the first of 1 + 7 for each node; None for free ones.
        is_divisible: each node has its own network; needs root.
        settings: of rabbitmq.conf, other than in deploy/pool.

    Attributes:
        hosts: the address of each node, for all ports.
        users: name -> password of `admin` (administrator), `worker` and the edges `edge` and `edge-b`.
        ca_file: what signs the certificates of the nodes.
        processes: of the nodes, so that trials can measure them.
    """

    users = MappingProxyType({name: user.password for name, user in _USERS.items()})

    def __init__(
        self,
        folder: Path,
        nodes: int = 3,
        first_port: int | None = None,
        *,
        is_divisible: bool = False,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self._folder = folder / "rabbitmq"
        self._folder.mkdir()
        self._nodes = range(nodes)
        self._is_divisible = is_divisible
        self._settings = settings
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * nodes
        self._others: list[subprocess.Popen[bytes]] = []
        self._networks: list[int] = []
        number = os.getpid()
        self._net = f"10.{200 + number // 250 % 50}.{number % 250}"
        self.hosts = [f"{self._net}.{i + 1}" if is_divisible else "127.0.0.1" for i in self._nodes]
        self._choose_ports(first_port)
        authority = Authority(self._folder)
        self.ca_file = authority.file
        self._certificates = [authority.issue(f"node{i}", address=self.hosts[i]) for i in self._nodes]

    def _choose_ports(self, first_port: int | None) -> None:
        count = 1 + len(_LISTENERS) * len(self._nodes)
        ports = set() if first_port is None else set(range(first_port, first_port + count))
        while len(ports) < count:
            ports.add(free_port())
        self._epmd_port, *rest = sorted(ports)
        of_each = (rest[number :: len(_LISTENERS)] for number in range(len(_LISTENERS)))
        self._dist_ports, self.amqp_ports, self.mqtt_ports, self.management_ports, *of_tls = of_each
        self.amqps_ports, self.mqtts_ports, self.management_tls_ports = of_tls

    # Start and end

    def begin(self) -> None:
        """Start the first node, and wait for nothing: `wait` does."""
        if self._is_divisible:
            self._make_networks()
        (self._folder / "definitions.json").write_text(definitions(_USERS), "utf-8")
        for name, password in self.users.items():
            self.password_file(name).write_text(password, "utf-8")
            self.password_file(name).chmod(0o600)
        cookie = self._folder / ".erlang.cookie"
        cookie.write_text("SMARTYTEST", "utf-8")
        cookie.chmod(0o400)
        (self._folder / "env.conf").touch()
        self._start_epmd()
        for i in self._nodes:
            (self._folder / f"r{i}.conf").write_text(self._configuration(i), "utf-8")
        self.start(0, wait=False)

    def _start_epmd(self) -> None:
        """Start the port mappers, which the nodes would otherwise leave behind."""
        address = [] if self._is_divisible else ["-address", "127.0.0.1"]
        for i in self._nodes if self._is_divisible else [0]:
            command = ["epmd", *address, "-port", str(self._epmd_port)]
            self._keep(self.run_in(i, command, stderr=subprocess.DEVNULL))
            wait_until(lambda i=i: self._is_open(i, self._epmd_port), "epmd")  # type: ignore[misc]

    def wait(self) -> None:
        """Wait until all nodes know each other and serve clients.

        The others start when the first serves clients: one of them could otherwise hold the lock for joining
        a cluster, and wait with it for the first, which waits for the lock.
        """
        self.wait_for(0)
        for i in self._nodes:
            if self.processes[i] is None:
                self.start(i, wait=False)
        for i in self._nodes:
            self.wait_for(i)

    def wait_for(self, i: int) -> None:
        """Wait until a node serves clients, and knows that all that were started run."""
        wait_until(lambda: self._is_ready(i), f"node {i}; its log is in {self._folder}")

    def stop(self) -> None:
        """End everything."""
        self.guard.close()
        for process in [*self.processes, *self._others]:
            if process is not None:
                process.wait(LIMIT)

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        self._others.append(process)
        self.guard.watch(process)

    # One node

    def start(self, i: int, *, wait: bool = True) -> None:
        """Start a node that does not run."""
        with (self._folder / f"r{i}.out").open("ab") as output:
            process = self.run_in(i, [_BIN / "rabbitmq-server"], stdout=output, stderr=output)
        self.processes[i] = process
        self.guard.watch(process)
        if wait:
            self.wait_for(i)

    def kill(self, i: int) -> None:
        """End a node as a power failure does."""
        process = self._process(i)
        process.kill()
        process.wait(LIMIT)
        self.processes[i] = None

    def freeze(self, i: int) -> None:
        """Stop a node's process."""
        self._process(i).send_signal(signal.SIGSTOP)

    def wake(self, i: int) -> None:
        """Resume a frozen node."""
        self._process(i).send_signal(signal.SIGCONT)

    def ctl(self, i: int, *arguments: object, program: str = "rabbitmqctl") -> str:
        """Run rabbitmqctl (or another of its programs) for a node, and return what it prints."""
        command = [_BIN / program, "--quiet", *arguments]
        process = self.run_in(i, command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = process.communicate(timeout=LIMIT)[0].decode()
        assert process.returncode == 0, output
        return output

    def run_in(self, i: int, command: Sequence[object], **options: Any) -> "subprocess.Popen[bytes]":  # noqa: ANN401 - of Popen
        """Start a program where a node is: in its network, and with what RabbitMQ's programs need."""
        enter = _enter(self._networks[i]) if self._is_divisible else []
        return subprocess.Popen(
            [*enter, *map(str, command)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **{"env": {**os.environ, **self._environment(i)}, **options},
        )

    def _process(self, i: int) -> subprocess.Popen[bytes]:
        process = self.processes[i]
        assert process is not None, f"node {i} does not run"
        return process

    # Network

    def cut(self, i: int) -> None:
        """Take a node's network away from the others and from this machine."""
        self._in(self._switch, f"bridge link set dev n{i} state 0")

    def heal(self, i: int) -> None:
        """Connect a node's network again."""
        self._in(self._switch, f"bridge link set dev n{i} state 3")

    def _make_networks(self) -> None:
        """Make a network for each node and one for the bridge, which ends in an interface of this machine."""
        self._switch = self._network()
        self._in(self._switch, "ip link add bridge0 type bridge", "ip link set bridge0 up")
        for i in self._nodes:
            self._networks.append(self._network())
            self._in(self._networks[i], f"ip link add eth0 type veth peer name n{i} netns {self._switch}")
            self._in(self._networks[i], f"ip address add {self.hosts[i]}/24 dev eth0", "ip link set eth0 up")
            self._in(self._switch, f"ip link set n{i} master bridge0", f"ip link set n{i} up")
        name = f"sgr{os.getpid()}"
        self._in(os.getpid(), f"ip link add {name} type veth peer name out netns {self._switch}")
        self._in(os.getpid(), f"ip address add {self._net}.254/24 dev {name}", f"ip link set {name} up")
        self._in(self._switch, "ip link set out master bridge0", "ip link set out up")

    def _network(self) -> int:
        """Return the number of a process that has a network of its own."""
        process = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", "ip link set lo up && echo && exec sleep infinity"],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._keep(process)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline(), "no network namespace; that needs root"
        return process.pid

    @staticmethod
    def _in(number: int, *commands: str) -> None:
        for command in commands:
            subprocess.run([*_enter(number), *command.split()], check=True)

    # Configuration

    def password_file(self, user: str) -> Path:
        """Return the file with the password of a user."""
        return self._folder / f"{user}.password"

    def _name(self, i: int) -> str:
        return f"r{i}@{self.hosts[i] if self._is_divisible else 'localhost'}"

    def _listen(self, i: int) -> str:
        return "0.0.0.0" if self._is_divisible else self.hosts[i]  # noqa: S104 - of its own network

    def _environment(self, i: int) -> dict[str, str]:
        folder = self._folder / f"r{i}"
        return {
            "HOME": str(self._folder),
            "ERL_CRASH_DUMP_SECONDS": "0",  # else one that is killed leaves a dump where it was started
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_ALLOW_INPUT": "yes",  # the server replaces the shell, so its number is the process's
            "RABBITMQ_CONF_ENV_FILE": str(self._folder / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(self._folder / f"r{i}.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(_EXAMPLE / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(_EXAMPLE / "enabled_plugins"),
            "RABBITMQ_NODENAME": self._name(i),
            "RABBITMQ_USE_LONGNAME": str(self._is_divisible).lower(),
            "RABBITMQ_DIST_PORT": str(self._dist_ports[i]),
            "RABBITMQ_MNESIA_BASE": str(folder),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput +S 2:2 +sbwt none"
            + ("" if self._is_divisible else " -kernel inet_dist_use_interface {127,0,0,1}"),
        }

    def _configuration(self, i: int) -> str:
        """Return rabbitmq.conf: the example, with what is different here."""
        here = self._listen(i)
        settings = {
            "listeners.tcp.default": f"{here}:{self.amqp_ports[i]}",
            "listeners.ssl.default": f"{here}:{self.amqps_ports[i]}",
            "mqtt.listeners.tcp.default": f"{here}:{self.mqtt_ports[i]}",
            "mqtt.listeners.ssl.default": f"{here}:{self.mqtts_ports[i]}",
            "management.tcp.ip": here,
            "management.tcp.port": str(self.management_ports[i]),
            "management.ssl.ip": here,
            "management.ssl.port": str(self.management_tls_ports[i]),
            # The first is alone, and the others join it: nodes that look for each other do so until they give
            # up.
            **{f"cluster_formation.classic_config.nodes.{j}": self._name(0) for j in (1, 2, 3)},
            "cluster_formation.discovery_retry_limit": "300",
            "cluster_formation.discovery_retry_interval": "200",
        }
        if i == 0:
            settings["load_definitions"] = str(self._folder / "definitions.json")
        for prefix in ("ssl_options", "management.ssl"):
            settings[f"{prefix}.cacertfile"] = str(self.ca_file)
            settings[f"{prefix}.certfile"] = str(self._certificates[i].certificate)
            settings[f"{prefix}.keyfile"] = str(self._certificates[i].key)
        lines = (_EXAMPLE / "rabbitmq.conf").read_text("utf-8").splitlines()
        example = dict(line.split(" = ", 1) for line in lines if line and not line.startswith("#"))
        return "\n".join(
            f"{key} = {value}" for key, value in {**example, **settings, **self._settings}.items()
        )

    # Whether it runs

    def clear(self) -> None:
        """Remove what a pool has in the cluster, with all frames that wait."""
        for kind, key in (("queues", "name"), ("policies", "name"), ("topic-permissions", "user")):
            for each in self.management(0, "GET", f"/api/{kind}"):
                self.management(0, "DELETE", f"/api/{kind}/%2F/{each[key]}")
        with suppress(ValueError):
            self.management(0, "DELETE", "/api/exchanges/%2F/smarty.unrouted")

    def _is_ready(self, i: int) -> bool:
        assert self._process(i).poll() is None, (self._folder / f"r{i}.out").read_text("utf-8", "replace")
        ports = (self.amqp_ports[i], self.mqtt_ports[i])
        return all(self._is_open(i, port) for port in ports) and self._knows_the_others(i)

    def _is_open(self, i: int, port: int) -> bool:
        with suppress(OSError), socket.create_connection((self.hosts[i], port), 1):
            return True
        return False

    def _knows_the_others(self, i: int) -> bool:
        alive = sum(process is not None for process in self.processes)
        with suppress(OSError, http.client.HTTPException, ValueError):
            nodes = self.management(i, "GET", "/api/nodes")
            return [node["running"] for node in nodes].count(True) >= alive
        return False

    def management(self, i: int, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Send a request to a node's management API as `admin`, and return the answer."""
        login = base64.b64encode(f"admin:{self.users['admin']}".encode()).decode()
        connection = http.client.HTTPConnection(self.hosts[i], self.management_ports[i], timeout=5)
        try:
            data = None if body is None else json.dumps(body)
            headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
            connection.request(method, path, data, headers)
            with connection.getresponse() as response:
                text = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise ValueError(f"{method} {path}: {response.status} {text[:300]!r}")
        return json.loads(text) if text else None


def has_rabbitmq() -> bool:
    """Return whether RabbitMQ is installed."""
    return (_BIN / "rabbitmq-server").exists()


def _enter(number: int) -> list[str]:
    """Return what starts a program in the network of a process."""
    return ["nsenter", f"--net=/proc/{number}/ns/net", "--"]
