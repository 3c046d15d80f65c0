"""What users may do in the cluster, and whether an edge may do more than an edge must."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Final

from smarty_gateway.config.consumers import checked_edge
from smarty_gateway.config.pool_values import PoolConfig
from smarty_gateway.config.settings import SettingError
from smarty_gateway.pool.cluster.management import Management, NotPermittedError, Row
from smarty_gateway.pool.cluster.topology import EXCHANGE, edge_may_write, queue_of
from smarty_gateway.pool.finding import Finding, Level
from smarty_gateway.safe_text import printable

#: RabbitMQ's name of the exchange that leads to any queue by its name.
_DEFAULT_EXCHANGE: Final = "amq.default"
#: Bytes of the salt in front of a hash.
_SALT: Final = 4
_GUEST: Final = "guest"
#: RabbitMQ writes an empty regular expression for one that matches nothing.
_NOTHING: Final = "^$"

_OF_USER: Final = {
    "name": str,
    "tags": list | str,
    "password_hash": str | None,
    "hashing_algorithm": str | None,
}
_OF_PERMISSION: Final = dict.fromkeys(("user", "configure", "write", "read"), str)
_OF_TOPIC: Final = dict.fromkeys(("user", "exchange", "write"), str)

_fault = partial(Finding, Level.FAULT)
_warning = partial(Finding, Level.WARNING)
_good = partial(Finding, Level.GOOD)


def check_rights(config: PoolConfig, management: Management) -> Iterator[Finding]:
    """Yield which users have too few rights, or dangerous ones. Only an administrator sees them."""
    try:
        users = {user["name"]: user for user in management.rows("users", _OF_USER)}
        permissions = management.rows(management.of_vhost("vhosts") + "/permissions", _OF_PERMISSION)
        topics = management.rows(management.of_vhost("vhosts") + "/topic-permissions", _OF_TOPIC)
    except NotPermittedError as error:
        yield _warning(f"what edges may do was not looked at: {error}")
        return
    if _has_default_password(users.get(_GUEST)):
        yield _warning(
            "everybody on a node is an administrator, as `guest` has its first password: type `rabbitmqctl "
            "delete_user guest` on a node",
        )
    rights = {permission["user"]: permission for permission in permissions}
    worker = config.nodes[0].user or ""
    yield from _check_worker(config, worker, rights.get(worker))
    plain = {
        name: permission
        for name, permission in rights.items()
        if name != worker and "administrator" not in users.get(name, {}).get("tags", ())
    }
    yield from _check_edges(config, plain, topics)
    if makers := sorted(name for name in plain if "policymaker" in users.get(name, {}).get("tags", ())):
        yield _warning(
            f"{_named(makers)} may make policies, and with them let queues drop frames: type `rabbitmqctl "
            f"set_user_tags {printable(makers[0])}` with other tags or none on a node"
        )
    for name in sorted({meter.user for meter in config.plaintext} - set(users)):
        yield _warning(
            f"there is no user {name}, from whom pool.yaml believes plaintext: type `rabbitmqctl add_user "
            f"{name}` on a node, or correct `plaintext` in pool.yaml",
        )


def _check_worker(config: PoolConfig, worker: str, permission: Row | None) -> Iterator[Finding]:
    if permission is None or not _may(permission, "read", queue_of(0)):
        name = printable(worker)
        yield _fault(
            f"the user {name} may not read the queues: type `rabbitmqctl set_permissions -p "
            f"{printable(config.vhost)} {name} '^$' '^$' '^smarty\\.shard\\.'` on a node",
        )


def _check_edges(config: PoolConfig, rights: dict[str, Row], topics: Iterable[Row]) -> Iterator[Finding]:
    """Yield what is dangerous about all users that may send what edges send."""
    edges = sorted(name for name, permission in rights.items() if _may(permission, "write", EXCHANGE))
    may_write = {topic["user"]: topic["write"] for topic in topics if topic["exchange"] == EXCHANGE}
    found = []
    if free := [
        name for name in edges if may_write.get(name) != edge_may_write(config) or not _is_plain(name)
    ]:
        # A node that delivers a topic of more than 255 bytes ends the connection, of each worker in turn.
        danger = (
            "can pretend to be the edge of a plaintext meter"
            if config.plaintext
            else "may send any topic, and one that is too long stops its shard"
        )
        found.append(
            _fault(
                f"{_named(free)} {danger}: type `smarty-gateway pool declare --edge {printable(free[0])}`, "
                "or take away the permission to write to amq.topic",
            )
        )
    if mighty := [name for name, permission in rights.items() if _is_more_than_an_edge(permission)]:
        found.append(
            _warning(
                f"{_named(sorted(mighty))} may take frames out of queues, or put some into them: type "
                f"`rabbitmqctl set_permissions -p {printable(config.vhost)} {printable(min(mighty))} '^$' "
                "'^amq\\.topic$' '^$'` on a node"
            )
        )
    yield from found
    if not found and edges:
        users = "1 user" if len(edges) == 1 else f"{len(edges)} users"
        yield _good(f"{users} may send as edges, plaintext below their own names only")


def _is_plain(name: str) -> bool:
    """True if the name of a user means itself only, as a part of a regular expression."""
    try:
        return checked_edge(name) == name
    except SettingError:
        return False


def _is_more_than_an_edge(permission: Row) -> bool:
    return (
        _may(permission, "read", queue_of(0))
        or _may(permission, "read", EXCHANGE)
        or _may(permission, "write", queue_of(0))
        or _may(permission, "write", _DEFAULT_EXCHANGE)
        or _may(permission, "configure", queue_of(0))
    )


def _may(permission: Row, what: str, name: str) -> bool:
    """True if a permission covers a name, or cannot be understood."""
    try:
        return re.search(permission[what] or _NOTHING, name) is not None
    except re.error:  # RabbitMQ's regular expressions are those of Perl
        return True


def _has_default_password(guest: Row | None) -> bool:
    """True if a user's password is `guest`, as RabbitMQ comes."""
    if guest is None or guest["hashing_algorithm"] != "rabbit_password_hashing_sha256":
        return False
    try:
        known = base64.b64decode(guest["password_hash"] or "")
    except ValueError:
        return False
    expected = hashlib.sha256(known[:_SALT] + _GUEST.encode()).digest()
    return hmac.compare_digest(known[_SALT:], expected)


def _named(names: Sequence[str]) -> str:
    """Return the beginning of a sentence about users, which are few or thousands."""
    shown = ", ".join(printable(name) for name in names[:3])
    if len(names) > 3:
        return f"the users {shown} and {len(names) - 3} others"
    return f"the user{'s' if len(names) > 1 else ''} {shown}"
