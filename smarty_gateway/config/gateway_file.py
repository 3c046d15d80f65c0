"""Reads gateway.yaml, and the options that stand for it with a single meter.

A gateway runs unattended for years, so whatever could be a mistake is said before it starts: with its
line, and with what to write instead. What is legal but unwise is a warning. No message repeats a value
that could hold a password.
"""

import contextlib
import ipaddress
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import yaml

from smarty_gateway.config.key_file import permission_problem
from smarty_gateway.config.values import (
    DEFAULT_CONFIG_FILES,
    STDOUT_FORMATS,
    UNNAMED_METERS,
    Config,
    Durability,
    HomeAssistantConfig,
    MeterConfig,
    MqttConfig,
    Pace,
    StoreLimits,
    Style,
)
from smarty_gateway.config.yaml_file import Section, UnusableFileError, YamlReader, first_existing, line_of
from smarty_gateway.protocol.errors import GatewayError, KeyFormatError
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.safe_text import object_id, topic_part
from smarty_gateway.sources.address import (
    DSMR2_LINE,
    DSMR4_LINE,
    FRAMINGS,
    SPEEDS,
    Address,
    AddressError,
    Kind,
    LineSettings,
    parse_address,
)

MQTT_VERSIONS: Final = ("3.1.1", "5")
#: What the gateway itself publishes beside the meters.
_TAKEN_NAMES: Final = ("status", "health")
_LONGEST_INTERVAL: Final = 86400
_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_URL_FORM: Final = "write the url as mqtt://HOST or mqtts://USER@HOST:PORT (mqtts is with TLS)"
_NEVER_IN_URL: Final = (
    "a password is never part of the url; write it into a file of its own and name that as password_file "
    "(--mqtt-password-file on the command line)"
)
_BY_ID: Final = Path("/dev/serial/by-id")


class OptionError(GatewayError):
    """What an option says cannot be used; the text says what to write instead."""


def find_config_file(candidates: Iterable[Path] = DEFAULT_CONFIG_FILES) -> Path | None:
    """Give the first configuration that is there, None if there is none."""
    return first_existing(candidates)


def load_config(path: Path) -> Config:
    """Read gateway.yaml.

    Raises:
        UnusableFileError: it cannot be read, or anything in it is not as it should be; the first fault.
    """
    config, errors = read_config(path)
    if errors or config is None:
        raise errors[0]
    return config


def read_config(path: Path) -> tuple[Config | None, list[UnusableFileError]]:
    """Read gateway.yaml, and find all that is wrong with it.

    Of a file with faults the configuration holds what is without, None if that is nothing; only
    `check` has a use for that.
    """
    reader = _ConfigReader(path)
    config = None
    with reader.collected():
        config = reader.config()
    return config, reader.errors


def config_from_options(
    source: str, *, mqtt: str | None = None, password_file: Path | None = None, stdout: str | None = None
) -> Config:
    """Make the configuration for a single meter, as options name it; MQTT implies Home Assistant.

    Args:
        source: as for `source` in gateway.yaml; a relative path counts from the working folder.
        mqtt: the url of the broker, None for no MQTT.
        password_file: holds the password of the broker.
        stdout: the format for standard output, None for nothing there.

    Raises:
        AddressError: the source cannot be meant.
        OptionError: the url of the broker cannot be used, or there is none to the password.
    """
    broker = None
    if mqtt is not None:
        broker = MqttConfig(
            **_parse_broker_url(mqtt),
            password_file=None if password_file is None else password_file.absolute(),
            home_assistant=HomeAssistantConfig(),
        )
    elif password_file is not None:
        raise OptionError("--mqtt-password-file needs the broker beside it: --mqtt mqtt://USER@HOST")
    return Config(meters=(MeterConfig((_parse_source(source, None),)),), stdout=stdout, mqtt=broker)


def warnings(config: Config, ports: Path = _BY_ID) -> list[str]:
    """Say what is legal but unwise, one line each.

    Args:
        config: what was read.
        ports: the folder in which the system names ports by what is plugged in.
    """
    sources = dict.fromkeys(source for meter in config.meters for source in meter.sources)
    found = [
        f"{source}: {_lasting_name(source, ports)}"
        for source in sources
        if re.match(r"/dev/tty(USB|ACM)", str(source.path))
    ]
    return found if config.mqtt is None else found + list(_broker_warnings(config.mqtt))


def _lasting_name(source: Address, ports: Path) -> str:
    """Say how to name a port so that it stays the same port."""
    try:
        links = [link for link in sorted(ports.iterdir()) if link.resolve() == source.path.resolve()]
    except OSError:
        links = []
    better = links[0] if links else f"{_BY_ID}/… (see `ls {_BY_ID}`)"
    return f"this name can go to another port after a restart; write {better}"


def _broker_warnings(mqtt: MqttConfig) -> Iterable[str]:
    if not mqtt.tls and not _is_local(mqtt.host):
        secrets = "readings and password" if mqtt.password_file else "readings"
        yield f"mqtt: {secrets} go to {mqtt.host} unencrypted; write mqtts:// if the broker has TLS"
    if not mqtt.tls and (mqtt.ca_file or mqtt.cert_file):
        yield "mqtt: certificates are used with TLS only; write mqtts://"
    if mqtt.user is not None and mqtt.password_file is None:
        yield "mqtt: there is a user but no password_file; most brokers want both"
    if mqtt.user is None and mqtt.password_file is not None:
        yield "mqtt: a password_file is of use with a user only; write mqtts://USER@HOST"
    for name in ("password_file", "ca_file", "cert_file", "key_file"):
        path = getattr(mqtt, name)
        if path is not None and not _is_readable_file(path):
            # Not shown, because it may be the password itself, written in the wrong place.
            yield f"mqtt: {name} names no file that can be read"
    secret_files = ((mqtt.password_file, "the password"), (mqtt.key_file, "the private key"))
    for path, content in secret_files:
        problem = None if path is None else permission_problem(path, content)
        if problem is not None:
            yield problem


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_readable_file(path: Path) -> bool:
    return os.access(path, os.R_OK) and not path.is_dir()  # not opened: it may be a pipe


def _parse_source(text: str, folder: Path | None) -> Address:
    """Read a source without ever repeating a password in it.

    Raises:
        AddressError: nothing can be meant by it.
    """
    if "://" in text and "@" in text:
        raise AddressError("write it as tcp://HOST:PORT or rfc2217://HOST:PORT; users are of no use here")
    try:
        return parse_address(text, folder)
    except (RuntimeError, ValueError):  # a `~name` of nobody, a path that no system could have
        raise AddressError("no path can be meant by this; write a port, tcp://HOST:PORT or a file") from None


def _parse_broker_url(text: str) -> dict[str, Any]:
    """Read the url of a broker into the fields of `MqttConfig`; no message repeats any of it.

    Raises:
        OptionError: it is none, or there is a password in it.
    """
    scheme, separator, rest = text.strip().partition("://")
    user, at, host_and_port = rest.rpartition("@")
    if ":" in user:
        raise OptionError(_NEVER_IN_URL)
    if not separator or (scheme := scheme.lower()) not in _PORTS:
        raise OptionError(_URL_FORM)
    try:
        url = urlsplit(f"//{host_and_port}")
        host, port = url.hostname, url.port
        (host or "").encode("idna")
    except UnicodeError:
        raise OptionError(f"{_URL_FORM}; between two dots of a host are 1 to 63 letters") from None
    except ValueError:
        raise OptionError(f"{_URL_FORM}; a port is a number from 1 to 65535") from None
    user = unquote(user)
    if not host or not re.fullmatch(r"[\w.:%-]+", host) or port == 0 or (at and not user.strip()):
        raise OptionError(_URL_FORM)
    if url.path not in ("", "/") or url.query or url.fragment or not user.isprintable():
        raise OptionError(f"{_URL_FORM}; nothing else belongs in it, a topic stands in a line of its own")
    return {"host": host, "port": port or _PORTS[scheme], "tls": scheme == "mqtts", "user": user or None}


class _ConfigReader(YamlReader):
    """Reads one gateway.yaml."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "configuration")
        self._folder = path.absolute().parent

    def config(self) -> Config:
        """Read the whole file.

        Raises:
            UnusableFileError: nothing in it can be read; whatever else is wrong is collected.
        """
        root = self.compose()
        if root is None:
            self.fail(1, "the file is empty; begin with a line `meters:`")
        readers = {
            "keys": self._key_file,
            "state": self._state,
            "meters": self._meters,
            "outputs": self._outputs,
            "store": self._store,
        }
        found = self.section(root, "the file", readers)
        if "meters" not in found.nodes:
            self.note(1, "there are no meters; write a line `meters:` and below it `- source: /dev/…`")
        values = found.values
        return Config(
            meters=values.get("meters", ()),
            keys=values.get("keys"),
            state=values.get("state"),
            limits=values.get("store", StoreLimits()),
            **values.get("outputs", {}),
        )

    def _path(self, node: yaml.Node) -> Path:
        text = self.text(node, "the path of a file")
        try:
            return self._folder / Path(text).expanduser()
        except RuntimeError:
            self.fail(node, "there is no such user behind the `~`; write the path from the root on")

    def _key_file(self, node: yaml.Node) -> Path:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "the path of the key file is needed here; keys themselves stand in that file")
        return self._path(node)

    def _state(self, node: yaml.Node) -> Path:
        path = self._path(node)
        with contextlib.suppress(OSError):  # what keeps us from looking, `run` will tell
            if path.is_file():
                self.fail(node, "state names a folder, and this is a file")
        return path

    def _store(self, node: yaml.Node) -> StoreLimits:
        readers = {
            "megabytes": lambda item: self.number(item, "megabytes", 1, 1_000_000),
            "days": lambda item: self.number(item, "days", 1, 36_500),
        }
        return StoreLimits(**self.section(node, "store", readers).values)

    # Meters, and what they have to do with each other.

    def _meters(self, node: yaml.Node) -> tuple[MeterConfig, ...]:
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, "meters is a list; begin each meter with `- `, as in `- source: /dev/ttyUSB0`")
        if not node.value:
            self.fail(node, "there are no meters; write `- source: /dev/…` below")
        readers = {
            "name": self._name,
            "source": self._sources,
            "id": lambda item: self.text(item, "a meter_id, serial number or system title", may_be_hex=True),
            "encrypted": self.boolean,
            "speed": lambda item: int(self.choice(item, "speed", map(str, SPEEDS))),
            "framing": lambda item: self.choice(item, "framing", FRAMINGS),
            "pace": lambda item: Pace(self.choice(item, "pace", Pace)),
            "unnamed": lambda item: self.number(item, "unnamed", 0, 10_000),
        }
        sections = []
        for item in node.value:
            with self.collected():
                sections.append(self.section(item, "a meter", readers))
                if "source" not in sections[-1].nodes:
                    self.fail(item, "this meter has no source; add a line such as `source: /dev/ttyUSB0`")
        self._check_names(sections)
        usable = [section for section in sections if "source" in section.values]
        for section in usable:
            self._check_settings(section)
        for sharing in _by_source(usable):
            self._check_sharing(sharing)
        return tuple(_meter(section.values) for section in usable)

    def _name(self, node: yaml.Node) -> str:
        name = self.text(node, "a name")
        if (taken := topic_part(name).casefold()) in _TAKEN_NAMES:
            self.fail(node, f"the name {taken} is taken by the gateway itself; write another name")
        return name

    def _sources(self, node: yaml.Node) -> tuple[Address, ...]:
        """Read one source, or a list of bridges that lead to the same meter."""
        if not isinstance(node, yaml.SequenceNode):
            return (self._source(node),)
        found: dict[object, Address] = {}
        for item in node.value:
            address = self._source(item)
            if not address.is_live:
                self.fail(item, "a list of sources is for ports and bridges; name a recording alone")
            if address.identity in found:
                self.fail(item, "this source stands in the list twice; keep one of the two")
            found[address.identity] = address
        if not found:
            self.fail(node, "the list is empty; write `source: /dev/ttyUSB0` or a list of bridges")
        return tuple(found.values())

    def _source(self, node: yaml.Node) -> Address:
        text = self.text(node, "a source: a port, tcp://host:port, a file or -")
        try:
            address = _parse_source(text, self._folder)
            _ = address.identity
        except AddressError as error:
            # The line tells which source is meant; what is written there may hold a key.
            words = str(error)
            for shown in (text.strip(), repr(text.strip())):
                if words.startswith(shown):
                    words = f"source{words.removeprefix(shown)}"
            self.fail(node, words)
        except RuntimeError:
            self.fail(node, "this path leads in a circle of links")
        return address

    def _check_names(self, sections: list[Section]) -> None:
        first: dict[str, tuple[Section, str]] = {}
        for section in sections:
            # A meter without a name goes out under its id.
            key = "name" if "name" in section.nodes else "id"
            if key not in section.values:
                continue
            # Equal topics give equal ids of Home Assistant, which tell less apart.
            own_id = object_id(topic_part(section.values[key])).casefold()
            other, other_key = first.setdefault(own_id, (section, key))
            # The same id twice on one source is found elsewhere.
            is_same_id = key == other_key == "id" and _identity(section.values[key]) == _identity(
                other.values[key]
            )
            if other is not section and not (is_same_id and _same_source(section, other)):
                line = line_of(other.nodes[other_key])
                alike = f"is the same as in line {line}, or becomes it in topics and Home Assistant ids"
                rule = "only letters a to z in either case, digits, - and _ count there"
                self.note(section.nodes[key], f"this {key} {alike} ({rule}); give each meter another name")

    def _check_settings(self, section: Section) -> None:
        found = {source.kind for source in section.values["source"]}
        for name, kinds, where in (
            ("speed", (Kind.SERIAL, Kind.RFC2217), "a serial port or rfc2217://"),
            ("framing", (Kind.SERIAL, Kind.RFC2217), "a serial port or rfc2217://"),
            ("pace", (Kind.FILE,), "a recording"),
        ):
            if name in section.nodes and not found <= set(kinds):
                self.note(section.nodes[name], f"{name} is for {where} only; take this line out")

    def _check_sharing(self, sharing: list[Section]) -> None:
        """Check meters on one source, and give to each the settings that one of them has for it."""
        ids: dict[bytes | str, int] = {}
        for section in sharing if len(sharing) > 1 else []:
            self._check_id(section, sharing, ids)
        for name in ("speed", "framing", "pace", "unnamed"):
            setting = [section for section in sharing if name in section.values]
            for section in setting[1:]:
                if section.values[name] != setting[0].values[name]:
                    line = line_of(setting[0].nodes[name])
                    self.note(section.nodes[name], f"line {line} has another {name} for the same source")
            for section in sharing if setting else []:
                section.values[name] = setting[0].values[name]

    def _check_id(self, section: Section, sharing: list[Section], ids: dict[bytes | str, int]) -> None:
        """Check that a meter can be told from those it shares a source with."""
        node = section.nodes["source"]
        other = next(one for one in sharing if one is not section)
        line = line_of(other.nodes["source"])
        kind, first = _shared_source(section, sharing).kind, _shared_source(sharing[0], sharing).kind
        if kind is Kind.STDIN:
            if section is not sharing[0]:
                self.note(node, f"standard input feeds one meter only, that of line {line}")
        elif kind is not first:
            self.note(node, f"this is the same host and port as in line {line}; name it in the same way")
        elif "id" not in section.nodes:
            words = "write the id of each meter on it (its serial number, for example)"
            self.note(node, f"line {line} has the same source; {words}")
        elif "id" in section.values:
            identity = _identity(section.values["id"])
            if identity in ids:
                self.note(section.nodes["id"], f"line {ids[identity]} has this id for the same source")
            ids.setdefault(identity, line_of(section.nodes["id"]))

    # Outputs.

    def _outputs(self, node: yaml.Node) -> dict[str, Any]:
        return self.section(node, "outputs", {"stdout": self._stdout, "mqtt": self._mqtt}).values

    def _stdout(self, node: yaml.Node) -> str:
        readers = {"format": lambda item: self.choice(item, "format", STDOUT_FORMATS)}
        return str(self.section(node, "stdout", readers).values.get("format", STDOUT_FORMATS[0]))

    def _mqtt(self, node: yaml.Node) -> MqttConfig | None:
        readers = {
            "url": self._url,
            "password_file": self._path,
            "ca_file": self._path,
            "cert_file": self._path,
            "key_file": self._path,
            "version": lambda item: self.choice(item, "version", MQTT_VERSIONS),
            "client_id": lambda item: self.text(item, "a client id", may_be_hex=True),
            "topic": self._topic,
            "interval": self._interval,
            "telegrams": self.boolean,
            "values": self.boolean,
            "durability": lambda item: Durability(self.choice(item, "durability", Durability)),
            "home_assistant": self._home_assistant,
        }
        found = self.section(node, "mqtt", readers)
        for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
            if one in found.nodes and other not in found.nodes:
                self.note(found.nodes[one], f"{one} is of use with a {other} only; add that line")
        if "url" not in found.nodes:
            self.fail(node, "the broker is missing; add a line such as `url: mqtt://localhost`")
        broker = found.values.pop("url", None)
        return None if broker is None else MqttConfig(**broker, **found.values)

    def _url(self, node: yaml.Node) -> dict[str, Any]:
        try:
            return _parse_broker_url(self.text(node, "the url of the broker"))
        except OptionError as error:
            self.fail(node, str(error))

    def _topic(self, node: yaml.Node) -> str:
        text = self.text(node, "a topic", may_be_hex=True)
        if re.search(r"[+#]", text) or text.startswith("/") or text.endswith("/"):
            self.fail(node, "a topic has no + and no #, and no / at its beginning or end; write `smarty`")
        return text

    def _interval(self, node: yaml.Node) -> float:
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        seconds = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else math.nan
        if not 0 <= seconds <= _LONGEST_INTERVAL:
            self.fail(node, f"interval is a number of seconds from 0 (every telegram) to {_LONGEST_INTERVAL}")
        return seconds

    def _home_assistant(self, node: yaml.Node) -> HomeAssistantConfig | None:
        if not isinstance(node, yaml.MappingNode):
            return HomeAssistantConfig() if self.boolean(node) else None
        readers = {
            "prefix": self._topic,
            "style": lambda item: Style(self.choice(item, "style", Style)),
        }
        return HomeAssistantConfig(**self.section(node, "home_assistant", readers).values)


def _same_source(one: Section, other: Section) -> bool:
    return bool(_identities_of_sources(one) & _identities_of_sources(other))


def _identities_of_sources(section: Section) -> set[object]:
    return {source.identity for source in section.values.get("source", ())}


def _shared_source(section: Section, sharing: list[Section]) -> Address:
    """Return the source of this entry that the others have, too."""
    shared = set.intersection(*map(_identities_of_sources, sharing))
    sources: tuple[Address, ...] = section.values["source"]
    return next(source for source in sources if source.identity in shared)


def _by_source(sections: list[Section]) -> list[list[Section]]:
    """Put together the meters on one source."""
    groups: dict[object, list[Section]] = {}
    for section in sections:
        for identity in _identities_of_sources(section):
            groups.setdefault(identity, []).append(section)
    return list(groups.values())


def _identity(text: str) -> bytes | str:
    """Tell what meter an id means: a serial number and its system title are the same."""
    try:
        return system_title_from_serial(text)
    except KeyFormatError:
        is_title = re.fullmatch(r"[0-9A-Fa-f]{16}", text)
        return bytes.fromhex(text) if is_title else text.casefold()


def _meter(values: dict[str, Any]) -> MeterConfig:
    """Make the entry of a meter out of what stands there.

    Of a serial line with only a speed or a framing the other one is that of the meters which use it.
    """
    line = None
    if "speed" in values or "framing" in values:
        is_old = values.get("speed") == DSMR2_LINE.speed or (
            "speed" not in values and values["framing"] == DSMR2_LINE.framing
        )
        usual = DSMR2_LINE if is_old else DSMR4_LINE
        line = LineSettings(values.get("speed", usual.speed), values.get("framing", usual.framing))
    return MeterConfig(
        sources=values["source"],
        name=values.get("name"),
        id=values.get("id"),
        encrypted=values.get("encrypted", False),
        line=line,
        pace=values.get("pace", Pace.FULL),
        unnamed=values.get("unnamed", UNNAMED_METERS),
    )
