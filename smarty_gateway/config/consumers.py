"""What gateway.yaml says of the programs that get readings beside MQTT and the page.

Every part of `outputs` that stands here has one dataclass, and one module of the same name in
`smarty_gateway/outputs`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.listen_address import parse_listen_address
from smarty_gateway.config.server_url import parse_server_url
from smarty_gateway.config.settings import (
    BOOLEAN,
    Form,
    SettingError,
    by_name,
    choice,
    folder,
    list_of,
    number,
    one_or_list,
    parsed,
    path,
    seconds,
    section,
    setting,
)

_FILE: Final = path("the path of a file")
_METER: Final = parsed("the name of a meter", str, may_be_hex=True)
_TEXT: Final = parsed("a name", str, may_be_hex=True)
_LISTEN: Final[Form[Any]] = parsed("an address and a port", lambda text: parse_listen_address(text, 2001))
_CREDENTIALS_ADVICE: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file"
)
_LONGEST_RAW_TOPIC: Final = 100
_INFLUX_PORTS: Final = {"http": 8086, "https": 443}
_DOMOTICZ_PORTS: Final = {"http": 8080, "https": 443}


def _web_server(ports: dict[str, int], example: str) -> Form[Any]:
    """Return the form of the URL of a server, which sets host, port and tls."""

    def parse(text: str) -> dict[str, Any]:
        form = f"write the url as {example}"
        url = parse_server_url(text, ports, form, "; the gateway knows the path", _CREDENTIALS_ADVICE)
        if url.user is not None:
            raise SettingError("the user has a line of its own: `user: NAME`")
        return {"host": url.host, "port": url.port or ports[url.scheme], "tls": url.scheme == "https"}

    return parsed("the url of a server", parse)


def _udp_address(text: str) -> dict[str, Any]:
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_port = re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65_536
    if not colon or not is_port or not re.fullmatch(r"[\w.:%-]{1,253}", host):
        raise SettingError("write the host and the port of the receiver, such as 192.168.1.77:7000")
    return {"host": host, "port": int(port)}


#: Sets host and port.
_RECEIVER: Final[Form[Any]] = parsed("a host and a port", _udp_address)


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?o?[0-7]{3}", text.strip()):
        raise SettingError("write the permissions as digits, such as 0660")
    return int(text.strip()[-3:], 8)


def checked_topic(text: str) -> str:
    """Return the first levels of topics.

    Raises:
        SettingError: there can be no such topic.
    """
    if re.search(r"[+#]", text) or text.startswith("/") or text.endswith("/"):
        raise SettingError("a topic has no + and no #, and no / at its beginning or end; write `smarty`")
    return text


def checked_raw_topic(text: str) -> str:
    """Return the first levels of what edges send to, which RabbitMQ understands in MQTT and in AMQP.

    Raises:
        SettingError: there can be no such topic.
    """
    # RabbitMQ makes dots of slashes, and slashes of dots; a routing key of AMQP has 255 bytes at most.
    if not re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", text) or len(text) > _LONGEST_RAW_TOPIC:
        raise SettingError(
            "the topic has letters, digits and the signs _ and - in levels with / between, "
            f"{_LONGEST_RAW_TOPIC} in all at most; write `smarty/raw`"
        )
    return text


def checked_edge(text: str) -> str:
    """Return the user name of an edge, which is a level of a topic and part of a topic permission.

    Raises:
        SettingError: it is not one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise SettingError(
            "the user of an edge has a name of 1 to 64 characters: A to Z, a to z, 0 to 9, _ and -"
        )
    return text


def _shown_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True, slots=True)
class TcpConfig:
    """A port on which the telegrams of one meter are served.

    Attributes:
        host: the IP address on which it listens.
    """

    host: str = setting(
        _LISTEN,
        "where clients connect; 127.0.0.1 is for this machine only",
        key="listen",
        example="127.0.0.1:2001",
    )
    port: int = 2001
    meter: str | None = setting(
        _METER, "whose telegrams are served; needed only where there are several meters", default=None
    )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _shown_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class PtyConfig:
    """A pseudo-terminal to which the telegrams of one meter are written.

    Attributes:
        mode: the permission bits of the terminal.
    """

    link: Path = setting(
        path("the path of the port"),
        "the name under which programs open it as a serial port",
        example="/run/smarty-gateway/house",
    )
    meter: str | None = setting(
        _METER, "whose telegrams are served; needed only where there are several meters", default=None
    )
    group: str | None = setting(_TEXT, "the group that may open it", default=None)
    mode: int = setting(
        parsed("permissions such as 0660", _mode),
        "the permissions of the port",
        default=0o600,
        example="0600",
    )


UDP_FORMATS: Final = ("json", "telegram")


@dataclass(frozen=True, slots=True)
class UdpConfig:
    """A receiver of datagrams, one a telegram."""

    host: str = setting(
        _RECEIVER,
        "where the datagrams go",
        key="address",
        example="192.168.1.77:7000",
    )
    port: int = 7000
    meter: str | None = setting(
        _METER, "whose readings are sent; by default those of all meters", default=None
    )
    format: str = setting(
        choice(UDP_FORMATS), "the JSON object, or the telegram byte for byte", default="json"
    )
    fields: tuple[str, ...] = setting(
        list_of(parsed("the name of a value", str), "name", "power_import"),
        "only these values of the JSON object, as lines `name=value`",
        default=(),
    )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _shown_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class InfluxConfig:
    """An InfluxDB server.

    Attributes:
        database: of InfluxDB 1; None for 2 and 3, which have a bucket.
    """

    host: str = setting(
        _web_server(_INFLUX_PORTS, "http://HOST:8086 or https://HOST:8086"),
        "the server; without a port 8086, with https 443",
        key="url",
        example="http://localhost:8086",
    )
    port: int = 8086
    tls: bool = False
    database: str | None = setting(_TEXT, "InfluxDB 1: the database", default=None)
    user: str | None = setting(_TEXT, "InfluxDB 1: the user", default=None)
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    bucket: str | None = setting(_TEXT, "InfluxDB 2 and 3: the bucket or database", default=None)
    org: str | None = setting(_TEXT, "InfluxDB 2: the organisation", default=None)
    token_file: Path | None = setting(_FILE, "InfluxDB 2 and 3: a file with the token", default=None)
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the server's; the system's by default", default=None
    )
    megabytes: int = setting(
        number(1, 1_000_000),
        "disk space for readings while the server is away; the oldest are deleted first",
        default=50,
    )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _shown_address(self.host, self.port)


@dataclass(frozen=True, slots=True)
class DomoticzDevice:
    """The devices in Domoticz that show one meter, by their idx.

    Attributes:
        meter: its name.
    """

    meter: str
    electricity: int | None = setting(
        number(1, 999_999_999), "the idx of a sensor of the type `P1 Smart Meter (Electric)`", default=None
    )
    gas: int | None = setting(number(1, 999_999_999), "the idx of a sensor of the type `Gas`", default=None)


@dataclass(frozen=True, slots=True)
class DomoticzConfig:
    """A Domoticz server."""

    devices: tuple[DomoticzDevice, ...] = setting(
        by_name(DomoticzDevice, "meter", "house: {electricity: 12, gas: 13}"),
        "the devices in Domoticz that show each meter",
        example="{house: {electricity: 12, gas: 13}}",
    )
    host: str = setting(
        _web_server(_DOMOTICZ_PORTS, "http://HOST:8080 or https://HOST"),
        "the server; without a port 8080, with https 443",
        key="url",
        default="localhost",
        example="http://localhost:8080",
    )
    port: int = 8080
    tls: bool = False
    user: str | None = setting(_TEXT, "a user of Domoticz", default=None)
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the server's; the system's by default", default=None
    )
    interval: float = setting(seconds(86_400), "shortest time between two values of a device", default=10)
    mqtt: bool = setting(
        BOOLEAN, "send to `domoticz/in` over the broker of `mqtt` instead of over HTTP", default=False
    )

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _shown_address(self.host, self.port)


FILE_FORMATS: Final = ("jsonl", "csv")


@dataclass(frozen=True, slots=True)
class FilesConfig:
    """Files with all readings, one a day and meter."""

    folder: Path = setting(folder("the path of a folder"), "where the files are", example="telegrams")
    format: str = setting(
        choice(FILE_FORMATS),
        "one JSON object a line, or a table with a column for each value",
        default="jsonl",
    )
    compress_after: int = setting(
        number(1, 36_500), "days after which a file is compressed with gzip", default=31
    )


class ForwardNode(NamedTuple):
    """A node of a RabbitMQ cluster, as an edge reaches it."""

    host: str
    port: int
    tls: bool
    user: str | None

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return _shown_address(self.host, self.port)


_FORWARD_NODE: Final = parsed(
    "the url of a node", lambda text: ForwardNode(**parse_broker_url(text, _CREDENTIALS_ADVICE))
)


@dataclass(frozen=True, slots=True)
class ForwardConfig:
    """A pool, which gets frames as they came."""

    nodes: tuple[ForwardNode, ...] = setting(
        one_or_list(_FORWARD_NODE, "url", "mqtts://edge@a.example", least=1),
        "all nodes of the pool's cluster: `mqtts://USER@HOST`; with `mqtt://`, which has no TLS, what is not "
        "encrypted is not forwarded",
        key="urls",
        example="[mqtts://edge@a.example, mqtts://edge@b.example, mqtts://edge@c.example]",
    )
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the nodes'; the system's by default", default=None
    )
    topic: str = setting(
        parsed("a topic", checked_raw_topic, may_be_hex=True),
        "the first levels of all topics, as in the `topic` of the pool",
        default="smarty/raw",
    )
    megabytes: int = setting(
        number(1, 1_000_000),
        "disk space for frames while no node takes them; the oldest are deleted first",
        default=200,
    )

    @property
    def user(self) -> str | None:
        """The user, which is the same at all nodes."""
        return next((node.user for node in self.nodes), None)  # a list with a fault is empty

    @property
    def tls(self) -> bool:
        """True if the nodes have TLS: all of them or none."""
        return all(node.tls for node in self.nodes)

    @property
    def plaintext_fault(self) -> str:
        """Why telegrams that are not encrypted are not forwarded; an empty text if they are."""
        if not self.tls:
            return "they go out with TLS only; write mqtts:// in the urls"
        if self.user is None:
            return "the pool believes them from a known user only; write mqtts://USER@HOST"
        try:
            checked_edge(self.user)
        except SettingError as error:
            return f"{error}; add such a user to the cluster, and write it in the urls"
        return ""


TCP: Final = list_of(section(TcpConfig), "port", "listen: 127.0.0.1:2001", most=1000)
PTY: Final = list_of(section(PtyConfig), "port", "link: /run/smarty-gateway/house", most=1000)
UDP: Final = list_of(section(UdpConfig), "receiver", 'address: "192.168.1.77:7000"', most=1000)
