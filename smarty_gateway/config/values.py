"""What gateway.yaml and the options for a single meter can say: every key, its range and its default.

docs/gateway-yaml.md is made from this file. What a frame is (encrypted or plain, of which country) is found
from the bytes and never configured.
"""

import ipaddress
import socket
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.consumers import (
    PTY,
    TCP,
    UDP,
    DomoticzConfig,
    FilesConfig,
    ForwardConfig,
    InfluxConfig,
    PtyConfig,
    TcpConfig,
    UdpConfig,
    checked_topic,
)
from smarty_gateway.config.listen_address import parse_host, parse_listen_address, parse_network
from smarty_gateway.config.mail_server import Encryption, parse_mail_address, parse_mail_server
from smarty_gateway.config.other_outputs import OTHER_OUTPUTS, OtherOutput
from smarty_gateway.config.powers import REFERENCE_POWER, kilowatts
from smarty_gateway.config.settings import (
    BOOLEAN,
    Form,
    SettingError,
    choice,
    folder,
    list_of,
    number,
    one_or_list,
    parsed,
    path,
    rest,
    seconds,
    section,
    setting,
    settings_of,
    switch,
)
from smarty_gateway.config.source import SOURCES
from smarty_gateway.config.tariff_names import TARIFF
from smarty_gateway.config.zone_names import checked_zone
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.safe_text import topic_part
from smarty_gateway.sources.address import DSMR2_LINE, DSMR4_LINE, FRAMINGS, SPEEDS, Address, LineSettings
from smarty_gateway.sources.container import is_home_assistant_app, is_in_container

#: On one source; an attacker on it can invent no more.
UNNAMED_METERS: Final = 50
#: Seconds of silence after which a meter that nobody configured is forgotten.
FORGOTTEN_SECONDS: Final = 86_400.0
#: Of a household or a farm; whoever has more says so.
_PLAUSIBLE_WATTS: Final = 250_000
#: How readings are printed.
STDOUT_FORMATS: Final = ("json", "table", "telegram")
DEFAULT_CONFIG_FILES: Final = (Path("gateway.yaml"), Path("/etc/smarty-gateway/gateway.yaml"))
#: Of a meter that options name and no gateway.yaml.
METER_NAME: Final = "meter"
#: What the gateway itself publishes beside the meters.
TAKEN_NAMES: Final = ("status", "health")


class Pace(StrEnum):
    """How fast a capture is replayed."""

    FULL = "full"
    RECORDED = "recorded"


class Style(StrEnum):
    """How Home Assistant learns of entities: one payload a device, or one an entity (Domoticz)."""

    DEVICE = "device"
    ENTITY = "entity"


class Durability(StrEnum):
    """When a telegram goes to disk: if it is not acknowledged in time, or before it is sent."""

    BATCH = "batch"
    EACH = "each"


def checked_name(text: str) -> str:
    """Return the name of a meter.

    Raises:
        SettingError: it has another meaning in topics.
    """
    if (taken := topic_part(text).casefold()) in TAKEN_NAMES:
        raise SettingError(f"the name {taken} is reserved for the gateway; write another name")
    return text


_FILE: Final = path("the path of a file")
_TOPIC: Final = parsed("a topic", checked_topic, may_be_hex=True)
#: Sets host, port, tls and user.
_BROKER: Final[Form[Any]] = parsed("the url of the broker", parse_broker_url)
#: Sets host and port.
_LISTEN: Final[Form[Any]] = parsed("an address and a port", parse_listen_address)
#: Sets host, port, encryption and user.
_MAIL_SERVER: Final[Form[Any]] = parsed("the url of the mail server", parse_mail_server)


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """One entry of `meters`."""

    sources: tuple[Address, ...] = setting(
        SOURCES, "where the meter is read", key="source", example="/dev/ttyUSB0"
    )
    name: str | None = setting(
        parsed("a name", checked_name), "names the readings; without it the meter's id does", default=None
    )
    id: str | None = setting(
        parsed("a meter_id, serial number or system title", str, may_be_hex=True),
        "identifies the meter; needed only where several share a source",
        default=None,
    )
    encrypted: bool = setting(BOOLEAN, "refuse plaintext from this meter", default=False)
    speed: int | None = setting(
        choice(SPEEDS), "the baud rate of a serial port or `rfc2217://`; detected by default", default=None
    )
    framing: str | None = setting(
        choice(FRAMINGS),
        "data bits, parity and stop bits of a serial port or `rfc2217://`; detected by default",
        default=None,
    )
    pace: Pace = setting(choice(Pace), "how fast a recording is replayed", default=Pace.FULL)
    unnamed: int = setting(
        number(0, 10_000),
        "maximum number of meters on this source that have neither an entry here nor a key",
        default=UNNAMED_METERS,
    )
    reference_power: ReferencePower | None = setting(
        REFERENCE_POWER,
        "Luxembourg: the level on the bill; turns on excess. A list where it has changed: a level counts "
        "from its date on, a single number always",
        default=None,
    )
    tariff: Path | None = setting(
        TARIFF, "the prices and levels that the history compares with (docs/tariffs.md)", default=None
    )
    plausible_power: float | None = setting(
        kilowatts(1, 100_000),
        "a register that grows faster is not believed by the history; 250, or twice the reference power if "
        "that is more, by default",
        default=None,
    )

    @property
    def plausible_watts(self) -> int:
        """A register that grows faster than this is not believed by the history."""
        if self.plausible_power is not None:
            return round(self.plausible_power * 1000)
        levels = () if self.reference_power is None else self.reference_power.levels
        return max([_PLAUSIBLE_WATTS, *(2 * power for _, power in levels)])

    @property
    def is_live(self) -> bool:
        """True if it is read from a port, and not from a recording."""
        return any(source.is_live for source in self.sources)

    @property
    def line(self) -> LineSettings | None:
        """Settings of the serial port, None where they are to be found out.

        With only a speed or a framing, the other is that of the meters which use it.
        """
        if self.speed is None and self.framing is None:
            return None
        is_old = DSMR2_LINE.speed == self.speed or (self.speed is None and DSMR2_LINE.framing == self.framing)
        usual = DSMR2_LINE if is_old else DSMR4_LINE
        return LineSettings(self.speed or usual.speed, self.framing or usual.framing)


@dataclass(frozen=True, slots=True)
class StdoutConfig:
    """What standard output gets."""

    format: str = setting(
        choice(STDOUT_FORMATS),
        "a JSON object a line, a table, or telegrams byte for byte",
        default="json",
    )


@dataclass(frozen=True, slots=True)
class HomeAssistantConfig:
    """Discovery by Home Assistant and other programs that understand it."""

    prefix: str = setting(
        _TOPIC,
        "the discovery prefix set in Home Assistant",
        default="homeassistant",
    )
    style: Style = setting(
        choice(Style), "one message a device, or one an entity (for Domoticz)", default=Style.DEVICE
    )


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker, and what it gets. All paths are absolute.

    Attributes:
        is_from_supervisor: Home Assistant's Supervisor names the broker, before each connection.
        password: of the user, where no file holds it: an option of the app, or what Supervisor says.
    """

    host: str = setting(
        _BROKER,
        "`mqtt://HOST` or, with TLS, `mqtts://USER@HOST:PORT`; never with a password",
        key="url",
        example="mqtt://localhost",
    )
    port: int = 1883
    tls: bool = False
    user: str | None = None
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    ca_file: Path | None = setting(
        _FILE,
        "certificates that sign the broker's; the system's by default",
        default=None,
    )
    cert_file: Path | None = setting(_FILE, "the gateway's own certificate; needs `key_file`", default=None)
    key_file: Path | None = setting(_FILE, "the private key of `cert_file`", default=None)
    version: str = setting(choice(("3.1.1", "5")), "the version of MQTT", default="3.1.1")
    client_id: str | None = setting(
        parsed("a client id", str, may_be_hex=True), "names the gateway to the broker", default=None
    )
    topic: str = setting(
        _TOPIC,
        "the first level of all topics; two gateways on one broker need two",
        default="smarty",
    )
    interval: float = setting(
        seconds(86_400),
        "shortest time between two states of a meter; 0 publishes every telegram",
        default=10,
    )
    telegrams: bool = setting(
        BOOLEAN, "publish every telegram too, kept until the broker has acknowledged it", default=False
    )
    values: bool = setting(BOOLEAN, "publish each value to a topic of its own too", default=False)
    durability: Durability = setting(
        choice(Durability),
        "write undelivered telegrams to disk in batches, or each before it is sent",
        default=Durability.BATCH,
    )
    home_assistant: HomeAssistantConfig | None = setting(
        switch(HomeAssistantConfig), "announce the meters to Home Assistant; off by default", default=None
    )
    is_from_supervisor: bool = False
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Host and port of the broker, for messages."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The page, the JSON API and the metrics.

    Attributes:
        host: the IP address on which they are served.
        proxies: IP addresses and networks.
    """

    host: str = setting(
        _LISTEN,
        "where the page is served; beyond this machine it needs a `password_file` or `open: true`",
        key="listen",
        default="127.0.0.1",
        example="127.0.0.1:8300",
    )
    port: int = 8300
    password_file: Path | None = setting(
        _FILE, "a file with the password that a browser must give, with any user name", default=None
    )
    is_open: bool = setting(
        BOOLEAN,
        "serve the page without a password to everybody who can reach `listen`",
        key="open",
        default=False,
    )
    hosts: tuple[str, ...] = setting(
        one_or_list(parsed("the name of a host", parse_host), "host", "smarty.example"),
        "further names under which a browser may ask for the page",
        default=(),
    )
    proxies: tuple[str, ...] = setting(
        one_or_list(parsed("an IP address or a network", parse_network), "proxy", "192.168.1.5"),
        "reverse proxies, whose X-Forwarded-For and X-Ingress-Path count",
        default=(),
    )

    @property
    def is_in_app(self) -> bool:
        """True for the page of the Home Assistant app: only Home Assistant's own proxy may reach it."""
        return is_home_assistant_app()

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """What to type into a browser: for all addresses of the machine, its name."""
        is_any = ipaddress.ip_address(self.host).is_unspecified
        name = "localhost" if is_in_container() else socket.gethostname()  # of a container it is its id
        return f"http://{f'{name}:{self.port}' if is_any else self.address}/"

    @property
    def url_elsewhere(self) -> str | None:
        """What another machine opens; None where that is not known, as behind a proxy.

        Other machines may not know the name of this one, and never the zone of an IPv6 address.
        """
        address = ipaddress.ip_address(self.host)
        if self.proxies or address.is_loopback or "%" in self.host:
            return None
        if self.hosts:
            return f"http://{self.hosts[0]}:{self.port}/"
        return None if address.is_unspecified else self.url


@dataclass(frozen=True, slots=True)
class MailConfig:
    """The mail server for reports."""

    host: str = setting(
        _MAIL_SERVER,
        "`smtps://USER@HOST` (TLS) or `smtp://USER@HOST`, which goes on with STARTTLS; never with a "
        "password. `smtp://localhost` without a user is not encrypted",
        key="server",
        example="smtps://me@mail.example",
    )
    sender: str = setting(
        parsed("a mail address", parse_mail_address),
        "the sender of mails",
        key="from",
        example="gateway@example.org",
    )
    to: tuple[str, ...] = setting(
        one_or_list(parsed("a mail address", parse_mail_address), "address", "me@example.org", least=1),
        "who gets them",
        example="me@example.org",
    )
    port: int = 465
    encryption: Encryption = Encryption.TLS
    user: str | None = None
    password_file: Path | None = setting(_FILE, "a file with the password of the user", default=None)
    ca_file: Path | None = setting(
        _FILE, "certificates that sign the server's; the system's by default", default=None
    )


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where readings go.

    Attributes:
        others: outputs of other packages, under names of their own.
    """

    stdout: StdoutConfig | None = setting(section(StdoutConfig), "standard output", default=None)
    mqtt: MqttConfig | None = setting(section(MqttConfig), "an MQTT broker", default=None)
    http: HttpConfig | None = setting(
        switch(HttpConfig), "the page, the JSON API and the metrics (extra `web`)", default=None
    )
    tcp: tuple[TcpConfig, ...] = setting(TCP, "ports on which telegrams are served byte for byte", default=())
    pty: tuple[PtyConfig, ...] = setting(
        PTY, "pseudo-terminals to which telegrams are written byte for byte", default=()
    )
    udp: tuple[UdpConfig, ...] = setting(UDP, "receivers of a datagram for each telegram", default=())
    influxdb: InfluxConfig | None = setting(section(InfluxConfig), "an InfluxDB server", default=None)
    domoticz: DomoticzConfig | None = setting(section(DomoticzConfig), "a Domoticz server", default=None)
    files: FilesConfig | None = setting(section(FilesConfig), "files with all readings", default=None)
    forward: ForwardConfig | None = setting(
        section(ForwardConfig), "a pool, which gets frames and telegrams as they came", default=None
    )
    mail: MailConfig | None = setting(
        section(MailConfig), "the mail server to which `report --mail` hands reports", default=None
    )
    others: tuple[OtherOutput, ...] = rest(OTHER_OUTPUTS)

    @property
    def names(self) -> list[str]:
        """The names of the outputs that get readings."""
        ours = [key for key in settings_of(Outputs) if key != "mail" and getattr(self, key)]
        return [*ours, *(other.name for other in self.others)]


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much of what could not be delivered is kept; the oldest is deleted first."""

    megabytes: int = setting(number(1, 1_000_000), "maximum disk space", default=200)
    days: int = setting(number(1, 36_500), "maximum age", default=30)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that `run` needs to know except the keys themselves."""

    meters: tuple[MeterConfig, ...] = setting(
        list_of(section(MeterConfig), "meter", "source: /dev/ttyUSB0"),
        "the meters to read",
        example="[{source: /dev/ttyUSB0}]",
    )
    keys: Path | None = setting(
        path("the path of the key file (not the keys themselves)"), "the key file", default=None
    )
    state: Path | None = setting(
        folder("the path of a folder"),
        "the folder for frame counters and undelivered telegrams",
        default=None,
    )
    outputs: Outputs = setting(section(Outputs), "where readings go", default=Outputs())
    limits: StoreLimits = setting(
        section(StoreLimits),
        "limits for telegrams that could not be delivered; the oldest are deleted first",
        key="store",
        default=StoreLimits(),
    )
    time_zone: str | None = setting(
        parsed("a time zone such as Europe/Luxembourg", checked_zone),
        "of days, months and years, and of meters that do not say whether it is summer; by default the "
        "machine's if it is in Europe, else Europe/Luxembourg",
        key="timezone",
        default=None,
    )
    history: bool = setting(
        BOOLEAN,
        "keep the registers of each quarter hour for ever",
        default=True,
    )

    @property
    def keeps_history(self) -> bool:
        """True if the gateway keeps a history: it reads a port, and nobody has switched the history off."""
        return self.history and any(meter.is_live for meter in self.meters)

    def entry_of(self, meter: str, meter_id: str) -> MeterConfig | None:
        """Return the entry of a meter; the only one, if that names no meter, is the entry of every meter.

        Args:
            meter: its name, or what becomes of that in topics.
            meter_id: of the meter.
        """
        for entry in self.meters:
            name = entry.name or entry.id
            if name is None:
                if len(self.meters) == 1:
                    return entry
            elif topic_part(name) == topic_part(meter) or (entry.name is None and entry.id == meter_id):
                return entry
        return None
