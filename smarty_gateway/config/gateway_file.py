"""Reads gateway.yaml, and the options that replace it for a single meter.

A gateway runs unattended for years, so every possible mistake is reported before it starts: with its line
and with what to write instead. `values` declares the keys; here are the checks between them. No message
repeats a value that could contain a password.
"""

from collections.abc import Iterable
from pathlib import Path

from smarty_gateway.config.app_options import OPTIONS_FILE, as_in_app, read_app_options
from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.consumer_checks import check_consumers
from smarty_gateway.config.key_file import is_app_options
from smarty_gateway.config.listen_address import is_this_machine
from smarty_gateway.config.meter_checks import check_meters
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
from smarty_gateway.safe_text import looks_like_key
from smarty_gateway.sources.container import is_home_assistant_app


def find_config_file(candidates: Iterable[Path] = DEFAULT_CONFIG_FILES) -> Path | None:
    """Return the first configuration that exists, None if none does; the options of an app come first."""
    return first_existing([*([OPTIONS_FILE] if is_home_assistant_app() else []), *candidates])


def load_config(path: Path) -> Config:
    """Read gateway.yaml, or the options of an app of Home Assistant.

    Raises:
        UnusableFileError: it has a fault; the first one.
    """
    config, errors = read_config(path)
    if errors or config is None:
        raise errors[0]
    return config


def read_config(path: Path) -> tuple[Config | None, list[UnusableFileError]]:
    """Read gateway.yaml and find all its faults, from its first line to its last.

    The configuration holds what has no fault, for `check`; it is None if the file is not YAML. The options of
    an app stand for a configuration, or name a file with one.
    """
    if not is_app_options(path):
        return _read_file(path)
    options = read_app_options(path)
    if options.file is None:
        return options.config, options.errors
    config, errors = _read_file(options.file)
    if config is not None and config.state is not None:
        advice = "the app keeps its state in a folder of its own; remove this line"
        errors.append(UnusableFileError(options.file, None, f"state: {advice}"))
    return None if config is None else as_in_app(config, path, options.file), [*options.errors, *errors]


def _read_file(path: Path) -> tuple[Config | None, list[UnusableFileError]]:
    file = YamlFile(path, "configuration")
    config = None
    with file.collected():
        root = Section(file, file.compose(), Config, "the file")
        check_meters(file, root.values.setdefault("meters", []))
        outputs = root.values["outputs"].values if "outputs" in root.values else {}
        check_certificates(file, outputs.get("mqtt"))
        check_page(file, outputs.get("http"))
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


def check_certificates(file: YamlFile, mqtt: Section[MqttConfig] | None) -> None:
    """Note a certificate without its private key, and the reverse."""
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if mqtt is not None and one in mqtt.nodes and other not in mqtt.nodes:
            file.note(mqtt.nodes[one], f"{one} needs a {other}; add that line")


def check_page(file: YamlFile, http: Section[HttpConfig] | HttpConfig | None) -> None:
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
