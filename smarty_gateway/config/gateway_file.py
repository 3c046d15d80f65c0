"""Reads gateway.yaml, and the options that replace it for a single meter.

A gateway runs unattended for years, so every possible mistake is reported before it starts: with its line
and with what to write instead. `values` declares the keys; here are the checks between them. No message
repeats a value that could contain a password.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.consumer_checks import check_consumers
from smarty_gateway.config.listen_address import is_home_assistant_app, is_this_machine
from smarty_gateway.config.settings import Section, SettingError
from smarty_gateway.config.source import parse_source
from smarty_gateway.config.values import (
    DEFAULT_CONFIG_FILES,
    METER_NAME,
    Config,
    HomeAssistantConfig,
    HttpConfig,
    MeterConfig,
    MqttConfig,
    Outputs,
    checked_name,
)
from smarty_gateway.config.yaml_file import UnusableFileError, YamlFile, first_existing
from smarty_gateway.protocol.errors import KeyFormatError
from smarty_gateway.protocol.system_title import system_title_from_serial
from smarty_gateway.safe_text import looks_like_key, object_id, topic_part
from smarty_gateway.sources.address import Address, Kind


def find_config_file(candidates: Iterable[Path] = DEFAULT_CONFIG_FILES) -> Path | None:
    """Return the first configuration that exists, None if none does."""
    return first_existing(candidates)


def load_config(path: Path) -> Config:
    """Read gateway.yaml.

    Raises:
        UnusableFileError: it has a fault; the first one.
    """
    config, errors = read_config(path)
    if errors or config is None:
        raise errors[0]
    return config


def read_config(path: Path) -> tuple[Config | None, list[UnusableFileError]]:
    """Read gateway.yaml and find all its faults, from its first line to its last.

    The configuration holds what has no fault, for `check`; it is None if the file is not YAML.
    """
    file = YamlFile(path, "configuration")
    config = None
    with file.collected():
        root = Section(file, file.compose(), Config, "the file")
        _check_meters(file, root.values.setdefault("meters", []))
        outputs = root.values["outputs"].values if "outputs" in root.values else {}
        _check_certificates(file, outputs.get("mqtt"))
        _check_page(file, outputs.get("http"))
        check_consumers(file, root)
        config = root.build()
    return config, sorted(file.errors, key=lambda error: error.line or 0)


def config_from_options(
    source: str, *, name: str = METER_NAME, mqtt: str | None = None, password_file: Path | None = None
) -> Config:
    """Return the configuration for a single meter as options name it; MQTT implies Home Assistant.

    Args:
        source: as for `source` in gateway.yaml; a relative path counts from the working folder.
        name: as for `name` in gateway.yaml.
        mqtt: the url of the broker, None for no MQTT.
        password_file: holds the password of the broker.

    Raises:
        AddressError: it is not a source.
        SettingError: the name cannot be used; the url of the broker cannot be used, or is missing beside the
            password.
    """
    broker = None
    if mqtt is not None:
        broker = MqttConfig(
            **parse_broker_url(mqtt),
            password_file=None if password_file is None else password_file.absolute(),
            home_assistant=HomeAssistantConfig(),
        )
    elif password_file is not None:
        raise SettingError("--mqtt-password-file needs the broker beside it: --mqtt mqtt://USER@HOST")
    if not name.strip() or not name.isprintable() or looks_like_key(name):
        raise SettingError(
            "--name needs the name of the meter, such as house: no key, no invisible characters"
        )
    meter = MeterConfig((parse_source(source),), checked_name(name))
    return Config((meter,), outputs=Outputs(mqtt=broker))


_Meters = list[Section[MeterConfig]]


def _check_certificates(file: YamlFile, mqtt: Section[MqttConfig] | None) -> None:
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if mqtt is not None and one in mqtt.nodes and other not in mqtt.nodes:
            file.note(mqtt.nodes[one], f"{one} needs a {other}; add that line")


def _check_page(file: YamlFile, http: Section[HttpConfig] | HttpConfig | None) -> None:
    """Check that the page is protected where others can reach it, or that this is wanted."""
    if not isinstance(http, Section) or "listen" not in http.values:
        return  # `true` stands for this machine
    is_protected = "password_file" in http.nodes or http.values.get("open") or is_home_assistant_app()
    if not is_protected and not is_this_machine(http.values["listen"]["host"]):
        file.note(
            http.nodes["listen"],
            "other machines can reach this address, so the page needs a password: write one into a file of "
            "its own (chmod 600) and add `password_file: web.password`; or add `open: true` if everybody in "
            "this network may see the page",
        )


def _check_meters(file: YamlFile, meters: _Meters) -> None:
    _check_names(file, meters)
    usable = [meter for meter in meters if "source" in meter.values]
    for meter in usable:
        _check_settings(file, meter)
    for sharing in _by_source(usable):
        _check_sharing(file, sharing)


def _check_names(file: YamlFile, meters: _Meters) -> None:
    first: dict[str, tuple[Section[MeterConfig], str]] = {}
    for meter in meters:
        # A meter without a name is published under its id.
        key = "name" if "name" in meter.nodes else "id"
        if key not in meter.values:
            continue
        # Ids of Home Assistant distinguish fewer names than topics do.
        own_id = object_id(topic_part(meter.values[key])).casefold()
        other, other_key = first.setdefault(own_id, (meter, key))
        # The same id twice on one source is found by `_check_id`.
        is_same_id = key == other_key == "id" and _identity(meter.values[key]) == _identity(other.values[key])
        if other is not meter and not (is_same_id and _identities(meter) & _identities(other)):
            alike = f"is that of line {other.line(other_key)}, or becomes it in topics and Home Assistant ids"
            rule = "only letters a to z in either case, digits, - and _ count there"
            file.note(meter.nodes[key], f"this {key} {alike} ({rule}); give each meter another name")


def _check_settings(file: YamlFile, meter: Section[MeterConfig]) -> None:
    found = {source.kind for source in meter.values["source"]}
    for key, kinds, where in (
        ("speed", {Kind.SERIAL, Kind.RFC2217}, "a serial port or rfc2217://"),
        ("framing", {Kind.SERIAL, Kind.RFC2217}, "a serial port or rfc2217://"),
        ("pace", {Kind.FILE}, "a recording"),
    ):
        if key in meter.nodes and not found <= kinds:
            file.note(meter.nodes[key], f"{key} is for {where} only; remove this line")
    _check_plausible_power(file, meter)


def _check_plausible_power(file: YamlFile, meter: Section[MeterConfig]) -> None:
    plausible, reference = (meter.values.get(key) for key in ("plausible_power", "reference_power"))
    if plausible is not None and reference is not None:
        highest = max((power for _, power in reference.levels), default=0)
        if plausible * 1000 <= highest:
            advice = f"write more than the reference power of {highest / 1000:g} kW"
            file.note(meter.nodes["plausible_power"], f"the history would believe no peak; {advice}")


def _check_sharing(file: YamlFile, sharing: _Meters) -> None:
    """Check the meters on one source, and give each the settings that one of them has for it."""
    ids: dict[bytes | str, int] = {}
    for meter in sharing if len(sharing) > 1 else []:
        _check_id(file, meter, sharing, ids)
    for key in ("speed", "framing", "pace", "unnamed"):
        having = [meter for meter in sharing if key in meter.values]
        for meter in having[1:]:
            if meter.values[key] != having[0].values[key]:
                file.note(
                    meter.nodes[key], f"line {having[0].line(key)} has another {key} for the same source"
                )
        for meter in sharing if having else []:
            meter.values[key] = having[0].values[key]


def _check_id(
    file: YamlFile, meter: Section[MeterConfig], sharing: _Meters, ids: dict[bytes | str, int]
) -> None:
    """Check that a meter can be told from those with which it shares a source."""
    node = meter.nodes["source"]
    line = next(other for other in sharing if other is not meter).line("source")
    kind, first = _shared_source(meter, sharing).kind, _shared_source(sharing[0], sharing).kind
    if kind is Kind.STDIN:
        if meter is not sharing[0]:
            file.note(node, f"standard input serves one meter only, that of line {line}")
    elif kind is not first:
        file.note(node, f"this is the same host and port as in line {line}; name it in the same way")
    elif "id" not in meter.nodes:
        advice = "write the id of each meter on it (its serial number, for example)"
        file.note(node, f"line {line} has the same source; {advice}")
    elif "id" in meter.values:
        identity = _identity(meter.values["id"])
        if identity in ids:
            file.note(meter.nodes["id"], f"line {ids[identity]} has this id for the same source")
        ids.setdefault(identity, meter.line("id"))


def _identities(meter: Section[MeterConfig]) -> set[object]:
    """Return what is behind the sources of a meter: two names of one port are equal."""
    return {source.identity for source in meter.values.get("source", ())}


def _shared_source(meter: Section[MeterConfig], sharing: _Meters) -> Address:
    """Return the source of this meter that the others have, too."""
    shared = set.intersection(*map(_identities, sharing))
    sources: tuple[Address, ...] = meter.values["source"]
    return next(source for source in sources if source.identity in shared)


def _by_source(meters: _Meters) -> list[_Meters]:
    groups: dict[object, _Meters] = {}
    for meter in meters:
        for identity in _identities(meter):
            groups.setdefault(identity, []).append(meter)
    return list(groups.values())


def _identity(text: str) -> bytes | str:
    """Return which meter an id names: a serial number and its system title are the same."""
    try:
        return system_title_from_serial(text)
    except KeyFormatError:
        is_title = re.fullmatch(r"[0-9A-Fa-f]{16}", text)
        return bytes.fromhex(text) if is_title else text.casefold()
