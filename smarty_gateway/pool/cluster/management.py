"""RabbitMQ's management API, of whichever node answers."""

import base64
import json
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, Final
from urllib.parse import quote

from smarty_gateway.config.password_file import read_password
from smarty_gateway.config.pool_values import PoolConfig, ServerAddress
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.outputs.attempts import ConsumerAwayError
from smarty_gateway.outputs.http_client import Answer, HttpClient
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.safe_text import printable

#: Bytes of an answer: 50,000 edges, each with a user of its own.
_MOST_ANSWER: Final = 16_000_000
#: Of bytes, messages and seconds.
_MOST_COUNT: Final = 1 << 63
_PORTS: Final = {False: 15672, True: 15671}

#: Of one thing: a column that is not there is None.
Row = dict[str, Any]
#: The type of each column; with None where it may be missing.
Columns = Mapping[str, type | UnionType]


class ManagementError(GatewayError):
    """The management API does not do what it is asked for; the text is one line that says what to do."""

    exit_status = ExitStatus.REJECTED


class NodeAwayError(ManagementError):
    """A node does not answer; another one may."""


class NotPermittedError(ManagementError):
    """The user has too few rights."""


class RefusedError(ManagementError):
    """A request contradicts what is there; the text is the server's reason."""


class Management:
    """Asks one node after the other until one answers. Not for more than one thread.

    Args:
        config: which nodes, and who we are there.
        timeout: seconds for each answer.
    """

    def __init__(self, config: PoolConfig, timeout: float = 10.0) -> None:
        user = config.nodes[0].user or ""
        servers = config.management or tuple(map(_usual_address, config.nodes))
        password_file = config.management_password_file or config.password_file
        self._nodes = [_Node(config, server, timeout) for server in servers]
        self.user = printable(servers[0].user or user)
        self.vhost = config.vhost
        self._password_file = password_file
        password = b"" if password_file is None else read_password(password_file)
        login = base64.b64encode((servers[0].user or user).encode() + b":" + password).decode("ascii")
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    def rows(self, path: str, columns: Columns) -> list[Row]:
        """Return a list that the API knows, with nothing but these columns, each of its type.

        Raises:
            ManagementError: no node has it, or it is not like that.
        """
        return checked_rows(self._get(path, columns), columns)

    def row(self, path: str, columns: Columns) -> Row:
        """Return the only thing that the API knows at a path, as `rows` does."""
        return checked_rows([self._get(path, columns)], columns)[0]

    def _get(self, path: str, columns: Columns) -> Any:  # noqa: ANN401 - JSON
        return self.request("GET", f"{path}?columns={','.join(columns)}")[1]

    def of_vhost(self, kind: str, *names: str) -> str:
        """Return the path of something in the virtual host, such as `queues`, or one by its name."""
        return "/".join([kind, *(quote(name, safe="") for name in (self.vhost, *names))])

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request, and return the status and what the answer holds.

        Raises:
            ManagementError: no node does it.
        """
        for node in list(self._nodes):
            try:
                answer = self._ask(node, method, path, body)
            except NodeAwayError as error:
                away = error
                self._nodes.append(self._nodes.pop(0))  # the next request begins with another
            else:
                return answer.status, self._content(node, answer)
        others = "; the other nodes do not answer either" if len(self._nodes) > 1 else ""
        raise NodeAwayError(f"{away}{others}")

    def ask_each(self, path: str) -> Iterator[tuple[str, Answer | NodeAwayError]]:
        """Ask all nodes, and yield the name of each with its answer."""
        for node in list(self._nodes):
            try:
                yield node.text, self._ask(node, "GET", path, None)
            except NodeAwayError as error:
                yield node.text, error

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes:
            node.client.close()

    def _ask(self, node: "_Node", method: str, path: str, body: object) -> Answer:
        data = None if body is None else json.dumps(body).encode()
        try:
            answer = node.client.request(method, f"/api/{path}", data, self._headers)
        except ConsumerAwayError as error:
            raise NodeAwayError(_with_plugin(error)) from None
        if answer.status >= 500:
            raise NodeAwayError(f"{node.client.name} has no answer now ({answer.words}): read its log")
        return answer

    def _content(self, node: "_Node", answer: Answer) -> Any:  # noqa: ANN401 - JSON
        """Return what an answer holds, or raise what it means."""
        if answer.status < 300:
            try:
                return json.loads(answer.body) if answer.body else None
            except ValueError:
                answer = Answer(404, answer.body)
        reason = _reason(answer)
        if reason is None:
            raise ManagementError(
                f"{node.client.name} does not answer as RabbitMQ's management API does: check `management` "
                "in pool.yaml"
            )
        if answer.status in (401, 403):
            raise NotPermittedError(self._how_to_permit(reason))
        if reason == "vhost_not_found" or (answer.status == 404 and not self._has_vhost(node)):
            raise ManagementError(
                f"the virtual host {printable(self.vhost)} does not exist: type `rabbitmqctl add_vhost "
                f"{printable(self.vhost)}` on a node, or correct `vhost` in pool.yaml"
            )
        raise RefusedError(reason)

    def _has_vhost(self, node: "_Node") -> bool:
        return self._ask(node, "GET", self.of_vhost("vhosts"), None).status == 200

    def _how_to_permit(self, reason: str) -> str:
        user, vhost = self.user, printable(self.vhost)
        if "ogin failed" in reason:
            return (
                f"the nodes do not accept the user {user} with this password: check both in pool.yaml, and "
                f"the file {self._password_file}"
            )
        if "ot management user" in reason:
            return (
                f"the user {user} may not use the management API: type `rabbitmqctl set_user_tags {user} "
                "monitoring` on a node, or `administrator` instead of `monitoring` for all of it"
            )
        if "ccess refused" in reason:
            return (
                f"the user {user} has too few rights in the virtual host {vhost}: type `rabbitmqctl "
                f"set_permissions -p {vhost} {user} '.*' '.*' '.*'` on a node"
            )
        return (
            f"the user {user} may not do this ({reason}): name an administrator in pool.yaml, as "
            "`management: https://USER@HOST` with `management_password_file`, or type `rabbitmqctl "
            f"set_user_tags {user} administrator` on a node"
        )


class _Node:
    """One node: its address, and the client for it."""

    def __init__(self, config: PoolConfig, server: ServerAddress, timeout: float) -> None:
        self.text = server.text
        self.client = HttpClient(
            "RabbitMQ",
            server.host,
            server.port,
            tls=server.tls,
            ca_file=config.ca_file,
            timeout=timeout,
            named_in="pool.yaml",
            most=_MOST_ANSWER,
        )


def checked_rows(found: object, columns: Columns) -> list[Row]:
    """Return these columns of what may be a list of objects.

    Raises:
        ManagementError: it is none, or a column has another type.
    """
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise ManagementError(_not_understood("a list of objects is missing"))
    return [{name: _checked(name, each.get(name), kind) for name, kind in columns.items()} for each in found]


def _checked(name: str, value: object, kind: type | UnionType) -> object:
    if value == [] and isinstance({}, kind):
        return {}  # an empty object: Erlang has one word for both
    if not isinstance(value, kind) or (isinstance(value, int) and abs(value) > _MOST_COUNT):
        raise ManagementError(_not_understood(f"`{name}` is missing or of another type"))
    return value


def _not_understood(what: str) -> str:
    return (
        f"the management API answers what this program does not understand ({what}): check `management` in "
        "pool.yaml; RabbitMQ 3.10 was tried"
    )


def _usual_address(node: ServerAddress) -> ServerAddress:
    return ServerAddress(node.host, _PORTS[node.tls], node.tls)


def _with_plugin(error: ConsumerAwayError) -> str:
    """Return why a node does not answer; a port that is closed may be that of a plugin."""
    if isinstance(error.__context__, ConnectionRefusedError):
        return f"{error}; is its plugin on? (`rabbitmq-plugins enable rabbitmq_management` on each node)"
    return str(error)


def _reason(answer: Answer) -> str | None:
    """Return the reason that RabbitMQ gives for a refusal; None if something else answers."""
    try:
        content = json.loads(answer.body)
    except ValueError:
        return None
    reason = content.get("reason") if isinstance(content, dict) else None
    return printable(reason[:300]) if isinstance(reason, str) else None
