"""Finds in a configuration what is permitted but unwise."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from smarty_gateway.config.consumers import DomoticzConfig, ForwardConfig, InfluxConfig
from smarty_gateway.config.credentials import credential_or
from smarty_gateway.config.key_file import permission_problem
from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.mail_server import Encryption
from smarty_gateway.config.password_file import PasswordFileError, read_password
from smarty_gateway.config.pool_values import DatabaseConfig, PoolConfig
from smarty_gateway.config.small_file import is_there
from smarty_gateway.config.tariff_file import read_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.config.values import Config, HttpConfig, MailConfig, MeterConfig, MqttConfig, Outputs
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.sources.ports import lasting_name, ports_instead


def pool_warnings(config: PoolConfig) -> list[str]:
    """Return the warnings for a pool, one line each."""
    found = [*_node_warnings(config), *_database_warnings(config.database)]
    others = [node.host for node in config.nodes if not is_this_machine(node.host)]
    if config.outputs.mqtt is not None and config.outputs.mqtt.host in others:
        found.append(
            "mqtt: this broker is on a machine of the cluster; if it is RabbitMQ, name another: retained "
            "messages are local to a node, so subscribers at the other nodes find no state"
        )
    return [*found, *warnings(config.as_gateway)]


def _node_warnings(config: PoolConfig) -> Iterator[str]:
    if config.trusted_network and any(not node.tls for node in (*config.nodes, *config.management)):
        yield (
            "nodes: passwords, and the values of plaintext meters, are not encrypted; `trusted_network: "
            "true` is right only where nobody else can reach the network between"
        )
    if config.ca_file is not None and not any(node.tls for node in (*config.nodes, *config.management)):
        yield "nodes: certificates are used only with TLS; write amqps://"
    yield from _unreadable_warning("nodes", "ca_file", config.ca_file)
    if len(config.nodes) == 2:
        yield "nodes: two nodes stand still when one fails; a cluster has three"


def _database_warnings(database: DatabaseConfig) -> Iterator[str]:
    if database.password_file is None and not is_this_machine(database.host):
        yield "database: there is no password_file; most servers require a password"
    if database.ca_file is not None and is_this_machine(database.host):
        yield "database: certificates are not used on this machine; remove `ca_file`"
    yield from _unreadable_warning("database", "ca_file", database.ca_file)


def warnings(config: Config) -> list[str]:
    """Return the warnings, one line each."""
    found = [
        f"{source}: this name may belong to another port after a restart; {_better_name(source.path)}"
        for source in _sources(config)
        if re.match(r"tty(USB|ACM)", source.path.name)
    ]
    for meter in config.meters:
        found += _level_warnings(meter)
    outputs = config.outputs
    if outputs.mqtt is not None and not outputs.mqtt.is_from_supervisor:
        found += _broker_warnings(outputs.mqtt)
    if outputs.http is not None and outputs.http.password_file is not None:
        found += _password_warnings(outputs.http, outputs.http.password_file)
    if outputs.mail is not None:
        found += _mail_warnings(outputs.mail)
    return [*found, *_consumer_warnings(outputs)]


def missing_ports(config: Config) -> list[str]:
    """Return a line for each serial port that is not there; it may be plugged in later."""
    return [
        f"{_shown(source)} is not there; {ports_instead(str(source.path))}"
        for source in _sources(config)
        if source.kind is Kind.SERIAL and not _exists(source.path)
    ]


def _level_warnings(meter: MeterConfig) -> Iterator[str]:
    """Yield a line if the newest reference power is none of those that one can have."""
    reference = meter.reference_power
    if reference is None or not reference.levels:
        return  # a list with a fault is empty
    path = meter.tariff or shipped_tariffs()["lu"]
    tariff, errors = read_tariff(path)
    if tariff is None or errors:
        return  # `check` reports the faults of a tariff
    watts = reference.levels[-1][1]
    levels = tariff.periods[-1].levels
    if levels and watts not in [level.watts for level in levels]:
        name = meter.name or meter.id or "a meter"
        listed = ", ".join(f"{level.kilowatts:f}" for level in levels)
        yield (
            f"{name}: the reference power of {watts / 1000:g} kW is not among the levels of the tariff "
            f"{tariff.file} ({listed} kW); compare it with your bill"
        )


def _sources(config: Config) -> list[Address]:
    return list(dict.fromkeys(source for meter in config.meters for source in meter.sources))


def _shown(source: Address) -> str:
    # What is no name of a port may be a password in the wrong place.
    is_port = re.fullmatch(r"/dev/(serial/by-\w+/)?[^/]+", str(source.path)) is not None
    return f"the port {source}" if is_port else "the source of a meter"


def _exists(path: Path) -> bool:
    try:
        return is_there(path)
    except PermissionError:
        return True  # in a folder that this user cannot enter
    except OSError:  # too long a name, for example
        return False


def _better_name(port: Path) -> str:
    better = lasting_name(port, port.parent)
    return f"write {better}" if better != port else "names that last are those in /dev/serial/by-id/"


def _broker_warnings(mqtt: MqttConfig) -> Iterator[str]:
    if not mqtt.tls and not is_this_machine(mqtt.host):
        secrets = "readings and password" if mqtt.password_file or mqtt.password else "readings"
        yield f"mqtt: {secrets} go to {mqtt.host} unencrypted; write mqtts:// if the broker has TLS"
    if not mqtt.tls and (mqtt.ca_file or mqtt.cert_file):
        yield "mqtt: certificates are used only with TLS; write mqtts://"
    if mqtt.password is None:
        yield from _login_warnings("mqtt", mqtt, "most brokers require both", "mqtts://USER@HOST")
    for name in ("password_file", "ca_file", "cert_file", "key_file"):
        yield from _unreadable_warning("mqtt", name, getattr(mqtt, name))
    secret_files = ((mqtt.password_file, "the password"), (mqtt.key_file, "the private key"))
    for path, content in secret_files:
        problem = None if path is None else permission_problem(credential_or(path), content)
        if problem is not None:
            yield problem


def _password_warnings(http: HttpConfig, path: Path) -> Iterator[str]:
    if http.is_open:
        yield "http: the password counts, and `open: true` does nothing; remove one of the two lines"
    # The content of a pipe can be read once only, by the page itself.
    with contextlib.suppress(PasswordFileError):  # `check` and `run` report it
        if not path.is_fifo() and (password := read_password(path)) != password.strip():
            yield (
                f"http: the password in {path} begins or ends with a blank, which must be typed too; remove "
                "the blank, if it is not meant"
            )


def _mail_warnings(mail: MailConfig) -> Iterator[str]:
    yield from _login_warnings("mail", mail, "most servers require both", "smtps://USER@HOST")
    yield from _unreadable_warning("mail", "ca_file", mail.ca_file)
    if mail.ca_file is not None and mail.encryption is Encryption.NONE:
        yield "mail: certificates are used only with TLS; write smtps://"


def _consumer_warnings(outputs: Outputs) -> Iterator[str]:
    if open_ports := [port.address for port in outputs.tcp if not is_this_machine(port.host)]:
        more = f" and {len(open_ports) - 1} more" if len(open_ports) > 1 else ""
        yield (
            f"tcp: everybody who can reach {open_ports[0]}{more} reads the telegrams; write 127.0.0.1 if "
            "only programs on this machine shall"
        )
    if (influx := outputs.influxdb) is not None:
        yield from _server_warnings("influxdb", influx, influx.password_file or influx.token_file)
        if influx.bucket is not None and (influx.org is None or influx.token_file is None):
            yield "influxdb: InfluxDB 2 needs `org` and `token_file` beside the bucket; InfluxDB 3 may not"
    if (domoticz := outputs.domoticz) is not None:
        yield from _server_warnings("domoticz", domoticz, domoticz.password_file)
    if outputs.forward is not None:
        yield from _forward_warnings(outputs.forward)


def _forward_warnings(forward: ForwardConfig) -> Iterator[str]:
    if forward.nodes:  # a list with a fault is empty
        yield from _forward_node_warnings(forward)
    yield from _unreadable_warning("forward", "ca_file", forward.ca_file)
    if forward.password_file is not None:
        problem = permission_problem(credential_or(forward.password_file), "the password")
        if problem is not None:
            yield problem


def _forward_node_warnings(forward: ForwardConfig) -> Iterator[str]:
    elsewhere = [node.host for node in forward.nodes if not node.tls and not is_this_machine(node.host)]
    if elsewhere:
        secrets = "frames and password" if forward.password_file else "frames"
        yield f"forward: {secrets} go to {elsewhere[0]} without TLS; write mqtts:// if the nodes have it"
    if forward.plaintext_fault:
        yield f"forward: telegrams that are not encrypted are not forwarded: {forward.plaintext_fault}"
    if forward.ca_file is not None and not forward.tls:
        yield "forward: certificates are used only with TLS; write mqtts://"
    yield from _login_warnings("forward", forward, "the nodes require both", "mqtts://USER@HOST")


def _server_warnings(
    output: str, server: InfluxConfig | DomoticzConfig, secret: Path | None
) -> Iterator[str]:
    if secret is not None and not server.tls and not is_this_machine(server.host):
        what = "password" if secret == server.password_file else "token"
        yield f"{output}: the {what} goes to {server.host} unencrypted; write https:// if the server has TLS"
    if server.ca_file is not None and not server.tls:
        yield f"{output}: certificates are used only with TLS; write https://"
    yield from _unreadable_warning(output, "ca_file", server.ca_file)


def _login_warnings(
    output: str, server: MqttConfig | MailConfig | ForwardConfig, both: str, form: str
) -> Iterator[str]:
    if server.user is not None and server.password_file is None:
        yield f"{output}: there is a user but no password_file; {both}"
    if server.user is None and server.password_file is not None:
        yield f"{output}: a password_file needs a user; write {form}"


def _unreadable_warning(output: str, name: str, path: Path | None) -> Iterator[str]:
    if path is not None and not _is_readable_file(credential_or(path)):
        # Without the path, which may be the password itself in the wrong place.
        yield f"{output}: {name} names no file that can be read"


def _is_readable_file(path: Path) -> bool:
    return os.access(path, os.R_OK) and not path.is_dir()  # not opened: it may be a pipe
