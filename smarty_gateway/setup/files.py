"""The texts of the files that `setup` writes."""

import json
import os
import re
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

from smarty_gateway.config.gateway_file import read_config
from smarty_gateway.config.values import Config, HttpConfig, MqttConfig
from smarty_gateway.config.whole_file import FileError, write_file
from smarty_gateway.setup.answers import (
    GATEWAY_FILE,
    KEY_FILE,
    PAGE_PASSWORD_FILE,
    PASSWORD_FILE,
    UNKNOWN_POWER,
)
from smarty_gateway.sources.address import DSMR4_LINE, LineSettings

#: What YAML reads as text without quotes.
_PLAIN: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./:@%-]*(?<!:)")
_DEFAULT_PORTS: Final = {False: 1883, True: 8883}


def keep_backup(path: Path) -> Path:
    """Keep the present content of a file under another name, and return that name."""
    number = 1
    while os.path.lexists(backup := path.with_name(f"{path.name}.bak{'' if number == 1 else number}")):
        number += 1
    try:
        data, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror}") from None
    write_file(backup, data, mode)
    return backup


def meter_lines(name: str, source: str, line: LineSettings, power: str | None = None) -> list[str]:
    """Return the lines of a meter in gateway.yaml; `run` does not try all settings of a serial port.

    Args:
        name: of the meter.
        source: of the meter.
        line: the settings with which it was found.
        power: the reference power in kW; None where it is not known.
    """
    lines = [f"name: {_scalar(name)}", f"source: {_scalar(source)}"]
    if line != DSMR4_LINE:
        lines += [f"speed: {line.speed}", f"framing: {line.framing}"]
    return lines if power is None else [*lines, f"reference_power: {power}"]


def parse_power(text: str) -> str | None:
    """Return a reference power as it stands in gateway.yaml; None if it is not known.

    Raises:
        FileError: it is no such power.
    """
    power = text.lower().removesuffix("kw").strip().replace(",", ".")
    if power == UNKNOWN_POWER:
        return None
    config_of(f"meters: [{{source: /dev/null, reference_power: {json.dumps(power)}}}]")
    return power


def gateway_text(
    meter: list[str],
    broker: MqttConfig | None,
    page: HttpConfig | None = None,
    *,
    needs_keys: bool,
) -> str:
    """Return a gateway.yaml.

    Args:
        meter: its lines.
        broker: None for none; without broker and page, readings go to standard output.
        page: likewise.
        needs_keys: the meter encrypts.
    """
    lines = ["# Written by smarty-gateway setup. All settings: docs/gateway-yaml.md"]
    if needs_keys:
        lines.append(f"keys: {KEY_FILE}")
    lines += ["meters:", f"  - {meter[0]}", *(f"    {line}" for line in meter[1:])]
    if broker is not None or page is not None:
        lines.append("outputs:")
    if broker is not None:
        lines += ["  mqtt:", f"    url: {_scalar(broker_url(broker))}"]
        if broker.password_file is not None:
            lines.append(f"    password_file: {PASSWORD_FILE}")
        if broker.ca_file is not None:
            lines.append(f"    ca_file: {_scalar(str(broker.ca_file))}")
        lines.append(f"    home_assistant: {str(broker.home_assistant is not None).lower()}")
    if page is not None and page.password_file is None:
        lines.append("  http: true")
    elif page is not None:
        lines += ["  http:", f"    listen: {page.address}", f"    password_file: {PAGE_PASSWORD_FILE}"]
    return "\n".join([*lines, ""])


def broker_url(broker: MqttConfig) -> str:
    """Return the url of a broker, as in gateway.yaml."""
    user = "" if broker.user is None else f"{quote(broker.user, safe='')}@"
    host = f"[{broker.host}]" if ":" in broker.host else broker.host
    port = "" if broker.port == _DEFAULT_PORTS[broker.tls] else f":{broker.port}"
    return f"mqtt{'s' if broker.tls else ''}://{user}{host}{port}"


def config_of(text: str) -> Config:
    """Return the configuration that a text stands for.

    Raises:
        FileError: it has a fault.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / GATEWAY_FILE
        path.write_text(text, "utf-8")
        config, errors = read_config(path)
    if errors or config is None:
        raise FileError(errors[0].message)
    return config


def _scalar(text: str) -> str:
    """Return a text as YAML reads it back; its double-quoted form is that of JSON."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
