"""Reads pool.yaml, the configuration of a pool's workers.

`pool_values` declares the keys; here are the checks between them. No message repeats a value that could
contain a password.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from smarty_gateway.config.consumer_checks import check_folder, check_influxdb
from smarty_gateway.config.gateway_file import check_certificates, check_page
from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.pool_values import (
    DEFAULT_POOL_FILES,
    NOT_IN_POOLS,
    PlaintextMeter,
    PoolConfig,
    ServerAddress,
)
from smarty_gateway.config.settings import Section
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile, first_existing, line_of
from smarty_gateway.protocol.identities import fold
from smarty_gateway.safe_text import topic_part

_TRUSTED: Final = "or add `trusted_network: true` if nobody else can reach the network between"


def find_pool_file(candidates: Iterable[Path] = DEFAULT_POOL_FILES) -> Path | None:
    """Return the first configuration of a pool that exists, None if none does."""
    return first_existing(candidates)


def load_pool_config(path: Path) -> PoolConfig:
    """Read pool.yaml.

    Raises:
        UnusableFileError: it has a fault; the first one.
    """
    config, errors = read_pool_config(path)
    if errors or config is None:
        raise errors[0]
    return config


def read_pool_config(path: Path) -> tuple[PoolConfig | None, list[UnusableFileError]]:
    """Read pool.yaml and find all its faults, from its first line to its last.

    The configuration holds what has no fault, for `pool check`; it is None if the file is not YAML, or if
    something that is required has a fault.
    """
    file = YamlFile(path, "configuration")
    file.key_place = "a file of the key folder"
    config = None
    with file.collected():
        root = Section(file, file.compose(), PoolConfig, "the file")
        _check_nodes(file, root)
        _check_management(file, root)
        _check_encryption(file, root)
        _check_plaintext(file, root.values.get("plaintext", ()))
        _check_outputs(file, root)
        check_page(file, root.values.get("http"))
        config = root.build()
    return config, sorted(file.errors, key=lambda error: error.line or 0)


def _check_nodes(file: YamlFile, root: Section[PoolConfig]) -> None:
    """Check that all nodes are different and take the same user, who has one password file."""
    nodes: Sequence[ServerAddress] = root.values.get("nodes", ())
    if not nodes:
        return
    users = {node.user for node in nodes}
    if None in users:
        file.note(root.nodes["nodes"], "each node needs the user; write amqps://USER@HOST")
    elif len(users) > 1:
        file.note(root.nodes["nodes"], "the nodes of a cluster share their users; write the same for all")
    if len({(node.host.lower(), node.port) for node in nodes}) < len(nodes):
        file.note(root.nodes["nodes"], "a node is there twice; write each once")
    if "password_file" not in root.nodes and not root.is_advised("password_file"):
        file.note(
            root.nodes["nodes"],
            "the user needs a password: write it into a file of its own (chmod 600), and add "
            "`password_file: amqp.password`",
        )


def _check_management(file: YamlFile, root: Section[PoolConfig]) -> None:
    """Check that another user has another password."""
    servers: Sequence[ServerAddress] = root.values.get("management", ())
    users = {server.user for server in servers}
    has_file = "management_password_file" in root.nodes
    if len(users) > 1 or (has_file and not any(users)):
        file.note(
            root.nodes["management" if servers else "management_password_file"],
            "name one user for all of the management API; write https://USER@HOST, or no user at all",
        )
    elif any(users) and not has_file:
        file.note(
            root.nodes["management"], "this user needs a password: add `management_password_file: FILE`"
        )


def _check_encryption(file: YamlFile, root: Section[PoolConfig]) -> None:
    """Check that passwords and readings leave this machine encrypted only."""
    if root.values.get("trusted_network"):
        return
    for key, form in (("nodes", "amqps://USER@HOST"), ("management", "https://HOST")):
        servers: Sequence[ServerAddress] = root.values.get(key, ())
        if any(not server.tls and not is_this_machine(server.host) for server in servers):
            file.note(
                root.nodes[key], f"the password would leave this machine in clear; write {form}, {_TRUSTED}"
            )


def _check_plaintext(file: YamlFile, entries: Sequence[Section[PlaintextMeter]]) -> None:
    """Check that no two entries stand for one meter, as meters are compared and as they stand in topics."""
    lines: dict[str, int] = {}
    for entry in entries:
        meter_id = entry.values.get("meter_id")
        if meter_id is None:
            continue
        line = line_of(entry.nodes["meter_id"])
        forms = {fold(meter_id), f"/{topic_part(meter_id)}"}
        if (other := next((lines[form] for form in forms if form in lines), None)) is not None:
            file.note(
                entry.nodes["meter_id"],
                f"this meter already has an entry in line {other}; a meter is believed from one edge only",
            )
        for form in forms:
            lines.setdefault(form, line)


def _check_outputs(file: YamlFile, root: Section[PoolConfig]) -> None:
    outputs = root.values["outputs"].values if "outputs" in root.values else {}
    if "influxdb" in outputs:
        check_influxdb(file, outputs["influxdb"])
    if "files" in outputs:
        check_folder(file, outputs["files"], root)
    if "mqtt" in outputs:
        mqtt = outputs["mqtt"]
        check_certificates(file, mqtt)
        for key, reason in NOT_IN_POOLS.items():
            if key in mqtt.nodes:
                file.note(mqtt.nodes[key], f"{key} is not for a pool: {reason}; remove this line")
