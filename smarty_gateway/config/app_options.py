"""Reads the options of the app of Home Assistant, which take the place of gateway.yaml and keys.yaml there.

Supervisor writes them as JSON before each start, for root alone. Here they become nodes of YAML, so that the
checks of gateway.yaml follow. A reader of YAML could not read them: it knows no surrogate pairs, and refuses
or folds characters that JSON allows. People see the options as the fields of a form, so an error names the
field and no line. A field that was emptied is still written, and counts as absent.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.representer import SafeRepresenter

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.key_file import AUTHENTICATION_KEY, ENCRYPTION_KEYS
from smarty_gateway.config.meter_checks import check_meters
from smarty_gateway.config.powers import REFERENCE_POWER
from smarty_gateway.config.settings import (
    Form,
    Section,
    list_of,
    parsed,
    read_text,
    seconds,
    section,
    setting,
)
from smarty_gateway.config.source import SOURCES
from smarty_gateway.config.tariff_names import TARIFF
from smarty_gateway.config.values import (
    Config,
    HomeAssistantConfig,
    HttpConfig,
    MeterConfig,
    MqttConfig,
    Outputs,
    checked_name,
)
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile, line_of
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.key_text import system_title_from_text
from smarty_gateway.sources.address import Address, Kind
from smarty_gateway.sources.container import configuration_name

#: Where Supervisor writes them; what the app keeps is in the same folder.
OPTIONS_FILE: Final = Path("/data/options.json")
#: Of the app's own files, beside the folder of the options.
_CONFIG_FOLDER: Final = "config"
#: Supervisor asks here for the page, and whether the gateway lives; web/access.py answers nobody else.
_PAGE_HOST: Final = "0.0.0.0"  # noqa: S104 - the address of a container is not known before it starts
_PAGE_PORT: Final = 8300
#: Of the usual app, until Supervisor has named the broker.
_USUAL_BROKER: Final = "core-mosquitto"
_URL_ADVICE: Final = "a password is never part of the url; write it into broker_password"
_NULL: Final = "tag:yaml.org,2002:null"


class OptionError(UnusableFileError):
    """An option cannot be used; the text names the field where a person has entered it."""

    def __str__(self) -> str:
        return self.message  # without file and line, which nobody has seen


@dataclass(frozen=True, slots=True)
class AppOptions:
    """What the options stand for.

    Attributes:
        config: the configuration; None where a file has it.
        keys: of the meters.
        file: a gateway.yaml in the folder of the app, which has the rest.
        errors: the faults of the options.
    """

    config: Config | None
    keys: KeyRing
    file: Path | None
    errors: list[UnusableFileError]


def read_app_options(path: Path) -> AppOptions:
    """Read the options of an app and find all their faults; what has none is in the configuration."""
    file = _OptionsFile(path, "configuration of the app")
    config, keys, named = None, KeyRing(), None
    with file.collected():
        root = Section(file, file.compose(), _Options, "the configuration")
        if "configuration" in root.nodes:
            for other in [key for key in root.nodes if key != "configuration"]:
                file.note(
                    root.nodes[other], "the file that `configuration` names says this; leave this empty"
                )
            named = root.values.get("configuration")
        else:
            _check(file, root)
            meters = root.values.get("meters", [])
            keys = _keys_of(meters)
            config = _config_of(root, meters, path)
    return AppOptions(config, keys, named, sorted(file.errors, key=lambda error: error.line or 0))


def as_in_app(config: Config, options: Path, file: Path) -> Config:
    """Return what a gateway.yaml says, with what is the same in every app.

    Args:
        config: what it says.
        options: the path of the options.
        file: its own path; keys.yaml may be beside it.
    """
    keys, http = file.with_name("keys.yaml"), config.outputs.http or HttpConfig()
    outputs = replace(
        config.outputs,
        http=replace(http, host=_PAGE_HOST, port=_PAGE_PORT),
        mqtt=config.outputs.mqtt or _supervisors_broker(),
    )
    return replace(
        config,
        keys=config.keys or (keys if keys.exists() else None),
        state=options.with_name("state"),
        outputs=outputs,
    )


class _OptionsFile(YamlFile):
    """The options as nodes of YAML, and the fields that they come from."""

    key_place = "the field key"

    def compose(self) -> yaml.Node:
        self._fields: dict[yaml.Node, str] = {}
        try:
            root = SafeRepresenter(sort_keys=False).represent_data(json.loads(self._content()))
        except (ValueError, RecursionError):
            self.fail(None, "this is not JSON; save the app's Configuration tab again, and restart the app")
        self._name_fields(root, "")
        return root

    def pairs(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Yield the options that were not left empty."""
        return ((name, value) for name, value in node.value if not _is_empty(value))

    def where(self, node: yaml.Node) -> str:
        return self._fields[node].removeprefix(", ").partition(",")[0]

    def _name_fields(self, node: yaml.Node, field: str) -> None:
        # The number of the node takes the place of its line: faults are sorted by it, and none shows it.
        node.start_mark = yaml.Mark("", 0, len(self._fields), 0, None, 0)
        self._fields[node] = field
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                self._name_fields(name, field)
                self._name_fields(value, f"{field}, {name.value}")
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value, 1):
                self._name_fields(item, f"{field.removesuffix('s')} {number}")

    def _new_error(self, place: yaml.Node | int | None, message: str) -> UnusableFileError:
        if not isinstance(place, yaml.Node):
            return super()._new_error(place, message)
        field = f"{configuration_name()}{self._fields[place]}"
        return OptionError(self.path, line_of(place), f"{field}: {message}")


def _is_empty(node: yaml.Node) -> bool:
    if isinstance(node, yaml.ScalarNode):
        return node.tag == _NULL or not node.value.strip()
    return not node.value


# The forms


def _read_port(file: YamlFile, node: yaml.Node, name: str) -> object:
    sources: Any = SOURCES.read(file, node, name)
    if any(source.kind is not Kind.SERIAL for source in sources):
        file.fail(node, "choose a serial port here; a meter in the network has an address instead")
    return sources


def _read_address(file: YamlFile, node: yaml.Node, name: str) -> object:
    text = read_text(file, node, "an address such as tcp://192.168.1.20:2001")
    if re.match(r"\s*(tcp|socket|rfc2217)://", text, re.IGNORECASE) is None:
        file.fail(node, "write tcp://HOST:PORT or rfc2217://HOST:PORT; a serial port is chosen under port")
    return SOURCES.read(file, node, name)


def _file_in_folder(file: YamlFile, node: yaml.Node, _: str) -> Path:
    """Return a file in the folder of the app, from which no path and no link may lead out."""
    name = read_text(file, node, "the name of a file")
    folder = file.folder.with_name(_CONFIG_FOLDER)
    found = folder / name.strip()
    try:
        is_inside, is_file = found.resolve().is_relative_to(folder.resolve()), found.is_file()
    except (OSError, RuntimeError):  # a loop of links, a name that is too long
        is_inside = is_file = False
    if not is_inside:
        file.fail(node, "write the name of a file in the app's own folder, such as gateway.yaml")
    if not is_file:
        file.fail(node, "there is no such file in the app's own folder; put it there, or correct the name")
    return found


@dataclass(frozen=True, slots=True)
class _Meter:
    """One entry of the option `meters`."""

    name: str | None = setting(parsed("a name", checked_name), "names the readings", default=None)
    port: tuple[Address, ...] | None = setting(
        Form("a serial port", _read_port), "where the meter is plugged in", default=None
    )
    address: tuple[Address, ...] | None = setting(
        Form("`tcp://HOST:PORT` or `rfc2217://HOST:PORT`", _read_address),
        "where the meter is in the network",
        default=None,
    )
    key: tuple[MeterKey, ...] | None = setting(ENCRYPTION_KEYS, "from the grid operator", default=None)
    authentication_key: Secret | None = setting(
        AUTHENTICATION_KEY, "the same for every Luxembourg meter", default=None
    )
    id: str | None = setting(
        parsed("a serial number", str, may_be_hex=True), "where several share a source", default=None
    )
    reference_power: ReferencePower | None = setting(REFERENCE_POWER, "the level on the bill", default=None)
    tariff: Path | None = setting(TARIFF, "what the history compares with", default=None)


@dataclass(frozen=True, slots=True)
class _Options:
    """All options."""

    meters: tuple[_Meter, ...] = setting(
        list_of(section(_Meter), "meter", "port: /dev/ttyUSB0"), "the meters to read", default=()
    )
    broker: dict[str, Any] | None = setting(
        parsed("the url of the broker", partial(parse_broker_url, advice=_URL_ADVICE)),
        "a broker of one's own",
        default=None,
    )
    broker_password: str | None = setting(
        parsed("a password", str, may_be_hex=True), "of its user", default=None
    )
    interval: float = setting(seconds(3600), "shortest time between two states of a meter", default=10)
    configuration: Path | None = setting(
        Form("the name of a file", _file_in_folder), "a gateway.yaml with everything", default=None
    )


# The checks between fields, and what follows from all of them


def _check(file: YamlFile, root: Section[_Options]) -> None:
    """Check everything that no field alone shows."""
    if "meters" not in root.nodes:
        file.note(root.node, "there is no meter yet; add one below Meters, with its port")
    meters: list[Section[_Meter]] = root.values.get("meters", [])
    for meter in meters:
        _check_meter(file, meter)
    check_meters(file, meters)
    has_user = root.values.get("broker", {}).get("user") is not None
    if "broker_password" in root.nodes and "broker" not in root.nodes:
        file.note(root.nodes["broker_password"], "there is no broker that it is for; fill in broker, too")
    elif "broker" in root.values and has_user != ("broker_password" in root.nodes):
        lacks = "write the user in front of the host: mqtt://USER@HOST"
        advice = "fill in broker_password, too, or leave out the user" if has_user else lacks
        file.note(root.nodes["broker"], f"a user and a password belong together; {advice}")


def _check_meter(file: YamlFile, meter: Section[_Meter]) -> None:
    """Check one meter, and note its source as `check_meters` knows it."""
    if "name" not in meter.nodes:
        file.note(meter.node, "name is empty; write a name such as house")
    sources = [key for key in ("port", "address") if key in meter.nodes]
    if not sources:
        file.note(meter.node, "choose the port of the meter, or fill in its address")
    elif len(sources) > 1:
        file.note(meter.nodes["address"], "there is a port, too; empty one of the two")
    elif sources[0] in meter.values:
        meter.values["source"], meter.nodes["source"] = meter.values[sources[0]], meter.nodes[sources[0]]
    if "authentication_key" in meter.nodes and "key" not in meter.nodes:
        advice = "fill in key, which comes from the grid operator, or empty this field"
        file.note(meter.nodes["authentication_key"], f"it is of no use without a key; {advice}")


def _keys_of(meters: list[Section[_Meter]]) -> KeyRing:
    """Return the keys: that of a meter with a serial number or system title for it, others for any meter."""
    found: dict[bytes | None, tuple[MeterKey, ...]] = {}
    for meter in meters:
        title = _title_of(meter.values.get("id"))
        for key in meter.values.get("key", ()):
            authentication_key = meter.values.get("authentication_key", key.authentication_key)
            others = found.get(title, ())
            if (whole := replace(key, authentication_key=authentication_key)) not in others:
                found[title] = (*others, whole)
    others = found.pop(None, ())
    return KeyRing({title: keys for title, keys in found.items() if title is not None}, others)


def _title_of(meter_id: str | None) -> bytes | None:
    """Return the system title of a meter; None where its id does not say that."""
    try:
        return None if meter_id is None else system_title_from_text(meter_id)
    except KeyFormatError:
        return None


def _config_of(root: Section[_Options], meters: list[Section[_Meter]], path: Path) -> Config:
    mqtt = _supervisors_broker()
    mqtt = replace(mqtt, interval=root.values.get("interval", mqtt.interval))
    if "broker" in root.values:
        own = {**root.values["broker"], "password": root.values.get("broker_password")}
        mqtt = replace(mqtt, **own, is_from_supervisor=False)
    return Config(
        tuple(_meter_config(meter) for meter in meters if "source" in meter.values),
        keys=path,
        state=path.with_name("state"),
        outputs=Outputs(
            mqtt=mqtt,
            http=HttpConfig(_PAGE_HOST, _PAGE_PORT),
        ),
    )


def _meter_config(meter: Section[_Meter]) -> MeterConfig:
    values = meter.values
    return MeterConfig(
        values["source"],
        name=values.get("name"),
        id=values.get("id"),
        encrypted="key" in meter.nodes,
        reference_power=values.get("reference_power"),
        tariff=values.get("tariff"),
    )


def _supervisors_broker() -> MqttConfig:
    return MqttConfig(_USUAL_BROKER, home_assistant=HomeAssistantConfig(), is_from_supervisor=True)
