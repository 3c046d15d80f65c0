"""What pool.yaml can say: every key, its range and its default."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.consumers import FilesConfig, InfluxConfig, checked_edge, checked_raw_topic
from smarty_gateway.config.server_url import parse_server_url
from smarty_gateway.config.settings import (
    BOOLEAN,
    Form,
    SettingError,
    folder,
    list_of,
    number,
    one_or_list,
    parsed,
    path,
    section,
    setting,
    switch,
)
from smarty_gateway.config.values import Config, HttpConfig, MqttConfig, Outputs, StdoutConfig, checked_name
from smarty_gateway.config.zone_names import checked_zone
from smarty_gateway.protocol.identities import fold

#: Where `pool` looks for its configuration.
DEFAULT_POOL_FILES: Final = (Path("pool.yaml"), Path("/etc/smarty-gateway/pool.yaml"))
_FILE: Final = path("the path of a file")
#: DSMR 5.0.2 P1, 6.12: 96 digits.
_LONGEST_ID: Final = 96
_LONGEST_VHOST: Final = 255
_CREDENTIALS_ADVICE: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file"
)
#: Keys of `outputs: mqtt:` that a pool has not, and why.
NOT_IN_POOLS: Final[Mapping[str, str]] = {
    "client_id": "two workers with one client id would throw each other out",
    "durability": "the database keeps every reading",
    "home_assistant": "Home Assistant is for one house",
    "values": "`state` has all values of a meter",
}


def checked_worker(text: str) -> str:
    """Return the name of a worker.

    Raises:
        SettingError: it is not one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", text) or not text.strip("."):
        raise SettingError("a worker has a name of 1 to 64 letters, digits and the signs _ . -")
    return text


def _vhost(text: str) -> str:
    if len(text) > _LONGEST_VHOST:
        raise SettingError(f"a virtual host has a name of at most {_LONGEST_VHOST} characters")
    return text


def _meter_id(text: str) -> str:
    if len(text) > _LONGEST_ID:
        raise SettingError(f"a meter_id has at most {_LONGEST_ID} characters")
    if not fold(text):
        raise SettingError("a meter_id has letters or digits; write it as in the JSON object")
    if re.fullmatch("[0-9a-f]{16}", fold(text)):
        raise SettingError(
            "this looks like a system title, which only encrypted meters have; write the meter_id, as in the "
            "JSON object"
        )
    return text


_METER_ID: Final = parsed("a meter_id", lambda text: checked_name(_meter_id(text)), may_be_hex=True)
_WORKER: Final = parsed("a name", checked_worker, may_be_hex=True)
_USER: Final = parsed("the name of a user", checked_edge, may_be_hex=True)
_TOPIC: Final = parsed("a topic", checked_raw_topic, may_be_hex=True)
_VHOST: Final = parsed("a virtual host", _vhost, may_be_hex=True)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server that a worker connects to.

    Attributes:
        user: None where the url names none.
    """

    host: str
    port: int
    tls: bool
    user: str | None = None

    @property
    def text(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _server(ports: dict[str, int], example: str) -> Form[ServerAddress]:
    def parse(text: str) -> ServerAddress:
        form = f"write the url as {example}"
        url = parse_server_url(text, ports, form, "", _CREDENTIALS_ADVICE)
        return ServerAddress(url.host, url.port or ports[url.scheme], url.scheme.endswith("s"), url.user)

    return parsed("the url of a server", parse)


_NODE: Final = _server({"amqp": 5672, "amqps": 5671}, "amqps://USER@HOST")
_MANAGEMENT: Final = _server({"http": 15672, "https": 15671}, "https://HOST")


def _database(text: str) -> dict[str, Any]:
    base, _, name = text.strip().rpartition("/")
    form = "write the url as postgresql://USER@HOST/DATABASE"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,63}", name):
        raise SettingError(form)
    url = parse_server_url(base, {"postgresql": 5432}, form, "", _CREDENTIALS_ADVICE)
    if url.user is None:
        raise SettingError(form)
    return {"host": url.host, "port": url.port or 5432, "user": url.user, "name": name}


#: Sets host, port, user and name.
_DATABASE: Final[Form[Any]] = parsed("the url of a database", _database)


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """The PostgreSQL database. Beyond this machine the connection is encrypted and the server verified."""

    host: str = setting(
        _DATABASE,
        "`postgresql://USER@HOST/DATABASE`; never with a password",
        key="url",
        example="postgresql://smarty@db.example/smarty",
    )
    port: int = 5432
    user: str = ""
    name: str = ""
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the server's; the system's by default", default=None
    )
    keep_days: int | None = setting(
        number(2, 36_500), "days after which readings are deleted; by default they stay", default=None
    )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return ServerAddress(self.host, self.port, tls=False).text


@dataclass(frozen=True, slots=True)
class PlaintextMeter:
    """A meter that sends plaintext, and the edge that it is believed from."""

    meter_id: str = setting(_METER_ID, "as in its JSON object", example='"1SAG1100000001"')
    user: str = setting(_USER, "the user name of its edge at the brokers", example="edge-barn")


@dataclass(frozen=True, slots=True)
class PoolOutputs:
    """Where readings go beside the database."""

    stdout: StdoutConfig | None = setting(section(StdoutConfig), "standard output", default=None)
    mqtt: MqttConfig | None = setting(
        section(MqttConfig), "an MQTT broker, which is not one of the nodes", default=None
    )
    influxdb: InfluxConfig | None = setting(section(InfluxConfig), "an InfluxDB server", default=None)
    files: FilesConfig | None = setting(section(FilesConfig), "files with all readings", default=None)


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """Everything that a worker needs to know except the keys themselves."""

    nodes: tuple[ServerAddress, ...] = setting(
        one_or_list(_NODE, "node", "amqps://worker@a.example", least=1),
        "the nodes of the RabbitMQ cluster: `amqp://USER@HOST` or, with TLS, `amqps://USER@HOST`",
        example="[amqps://worker@a.example, amqps://worker@b.example, amqps://worker@c.example]",
    )
    database: DatabaseConfig = setting(
        section(DatabaseConfig),
        "where readings are kept",
        example="{url: postgresql://smarty@db.example/smarty}",
    )
    keys: Path = setting(
        folder("the path of a folder"),
        "the folder of the key files, shard-00.yaml to shard-63.yaml",
        example="/etc/smarty-gateway/keys",
    )
    password_file: Path | None = setting(
        _FILE, "a file with the password of the user at the nodes", default=None
    )
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the nodes'; the system's by default", default=None
    )
    trusted_network: bool = setting(
        BOOLEAN,
        "allow `amqp://` and `http://` to other machines: nobody else can reach the network between",
        default=False,
    )
    vhost: str = setting(
        _VHOST, "the virtual host at the nodes; `mqtt.vhost` in rabbitmq.conf must be the same", default="/"
    )
    management: tuple[ServerAddress, ...] = setting(
        one_or_list(_MANAGEMENT, "url", "https://a.example"),
        "the management API of the nodes, `http://HOST` or `https://HOST`, with `USER@` for another user "
        "than theirs; by default that of each node at its usual port, with TLS where the node has it",
        default=(),
    )
    management_password_file: Path | None = setting(
        _FILE,
        "a file with the password of the user at the management API, if it is another one",
        default=None,
    )
    topic: str = setting(_TOPIC, "what edges send to, as in their `forward`", default="smarty/raw")
    queue_megabytes: int = setting(
        number(1, 1_000_000),
        "what each of the 64 queues may hold; beyond that edges keep what they have",
        default=1024,
    )
    worker: str | None = setting(
        _WORKER, "the name of this worker, which no other may have; by default the host name", default=None
    )
    plaintext: tuple[PlaintextMeter, ...] = setting(
        list_of(section(PlaintextMeter), "meter", "{meter_id: ..., user: ...}"),
        "the meters that are believed without encryption",
        default=(),
    )
    state: Path | None = setting(
        folder("the path of a folder"), "the folder for what outputs could not deliver", default=None
    )
    time_zone: str | None = setting(
        parsed("a time zone such as Europe/Luxembourg", checked_zone),
        "of the days of `files`, and of meters that do not say whether it is summer; by default the "
        "machine's if it is in Europe, else Europe/Luxembourg",
        key="timezone",
        default=None,
    )
    outputs: PoolOutputs = setting(
        section(PoolOutputs), "where readings go beside the database", default=PoolOutputs()
    )
    http: HttpConfig | None = setting(
        switch(HttpConfig), "health and metrics of this worker (extra `web`)", default=None
    )

    @property
    def as_gateway(self) -> Config:
        """A gateway without meters that has the same outputs, for what is common to both."""
        ours = self.outputs
        outputs = Outputs(ours.stdout, ours.mqtt, self.http, influxdb=ours.influxdb, files=ours.files)
        return Config((), state=self.state, outputs=outputs, time_zone=self.time_zone)
