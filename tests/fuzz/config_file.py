"""gateway.yaml: every fault has its line, no secret is ever shown, and what is read is within its bounds."""

import re
from itertools import chain
from pathlib import Path
from typing import Final

from smarty_gateway.config.gateway_file import load_config, read_config
from smarty_gateway.config.value_names import is_value_name
from smarty_gateway.config.values import (
    Config,
    Durability,
    MeterConfig,
    MqttConfig,
    Outputs,
    Pace,
    StdoutConfig,
    Style,
)
from smarty_gateway.config.warnings import missing_ports, warnings
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.sources.address import FRAMINGS, SPEEDS, Kind
from tests.fuzz.folder import written
from tests.fuzz.picker import Picker
from tests.fuzz.secrets import assert_no_secret
from tests.fuzz.yaml_text import finished, key_text, scalar

_METERS: Final = {
    "name": ("house", "barn", "my house", "status", "a/b", "house"),
    "source": (
        "/dev/ttyUSB0", "tcp://192.168.1.20:2001", "tcp://bridge:2001", "-", "rfc2217://bridge:2001",
        "recording.bin",
        "tcp://bridge", "socket://[::1]:2001", "http://bridge", "/dev/null", "../x",
        "tcp://bridge:99999", ".",
    ),
    "id": ("SAG1030700012345", '"5341476770003039"', "1SAG1100000001"),
    "encrypted": ("true", "false", "yes"),
    "speed": ("115200", "9600", "9601"),
    "framing": ("8N1", "7E1", "9N1"),
    "pace": ("full", "recorded", "slow"),
}  # fmt: skip
_MQTT: Final = {
    "url": (
        "mqtt://localhost", "mqtts://gateway@broker.example:8883", "mqtt://me:c4n4ry7p4ssw0rd9@host",
        "localhost",
        "mqtt://host:0", "mqtt://host/topic", "mqtt://[::1]:1883", "mqtt://a..b", "mqtt://%00@host",
    ),
    "password_file": ("mqtt.password", "/etc/mqtt", "c4n4ry7p4ssw0rd9"),
    "ca_file": ("ca.pem",),
    "cert_file": ("cert.pem",),
    "key_file": ("key.pem",),
    "version": ("5", "3.1.1", '"4"'),
    "client_id": ("me",),
    "topic": ("smarty", "a/b", "a/#", "/a"),
    "interval": ("10", "0", "0.5", "86401", "1e3"),
    "telegrams": ("true", "false"),
    "values": ("true", "false"),
    "durability": ("batch", "each", "never"),
    "home_assistant": ("true", "{style: entity}", "{prefix: ha, style: device}", "{style: x}", "[]"),
    "password": ("c4n4ry7p4ssw0rd9",),
}  # fmt: skip
_METER: Final = ("house", "barn", "my house", "houes", '"5341476770003039"')
#: The first name of each is required.
_LISTS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "tcp": {
        "listen": ('"127.0.0.1:2001"', "0.0.0.0:2001", "'[::]:2001'", "2001", "host:x", '"[::1]:8300"'),
        "meter": _METER,
    },
    "pty": {
        "link": ("/run/smarty-gateway/house", "/dev/ttyUSB0", "house", "recording.bin", "a/../house"),
        "meter": _METER,
        "group": ("dialout", "0"),
        "mode": ("0660", "660", "0o660", "777", "8", "1e3"),
    },
    "udp": {
        "address": ('"192.168.1.77:7000"', "loxone:7000", "'[::1]:7000'", '"a:0"', '"a:65536"', "a"),
        "meter": _METER,
        "format": ("json", "telegram", "fields"),
        "fields": ("[power_import]", "[gas.value, gas]", "[power]", "[]", "[[a]]", "{a: b}", "power_import"),
    },
}  # fmt: skip
_MAPPINGS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "influxdb": {
        "url": (
            "http://localhost:8086", "https://h", "http://u:c4n4ry7p4ssw0rd9@h", "http://h/write", "ftp://h",
            "http://[::1]:8086", "http://h:0",
        ),
        "database": ("smarty",), "bucket": ("smarty",), "user": ("me",), "org": ("home",),
        "password_file": ("influx.password", "c4n4ry7p4ssw0rd9"), "token_file": ("influx.token",),
        "ca_file": ("ca.pem",), "megabytes": ("50", "0", "1000001", "1.5"),
    },
    "forward": {
        "urls": (
            "mqtts://edge@a.example", "[mqtts://edge@a, mqtts://edge@b:8883]", "[mqtts://edge@a, mqtt://b]",
            "[mqtts://u:c4n4ry7p4ssw0rd9@h]", "[]", "[[a]]", "mqtt://[::1]:1883", "https://h", "[{a: b}]",
        ),
        "password_file": ("edge.password", "c4n4ry7p4ssw0rd9"), "ca_file": ("ca.pem",),
        "topic": ("smarty/raw", "smarty/#", "/a"), "megabytes": ("200", "0", "1000001"),
    },
    "domoticz": {
        "devices": (
            "{house: {electricity: 12, gas: 13}}", "{house: {electricity: 12}, barn: {electricity: 12}}",
            "{houes: {gas: 1}}", "{house: {}}", "{house: }", "{house: 12}", "{}", "[]", "{[a]: {gas: 1}}",
            "{house: {electricity: 0}}", "{house: {gas: 1}, house: {gas: 2}}", "{? {a: b} : {gas: 1}}",
        ),
        "url": ("http://localhost:8080", "https://domoticz", "http://h/json.htm", "localhost:8080"),
        "user": ("gateway",), "password_file": ("domoticz.password",), "ca_file": ("ca.pem",),
        "interval": ("10", "0", "1e3", "86401"), "mqtt": ("true", "false"),
    },
    "files": {
        "folder": ("telegrams", "/nonexistent/state", "/etc/passwd", "..", "/"),
        "format": ("jsonl", "csv", "xml"), "compress_after": ("31", "0", "1", "99999"),
    },
    "moonlight": {"url": ("http://moon", "c4n4ry7p4ssw0rd9")},
}  # fmt: skip
_TWO_METERS: Final = (
    "meters:",
    "  - {name: house, source: recording.bin}",
    "  - {name: barn, source: tcp://localhost:2001}",
    "outputs:",
    "  stdout: {format: json}",
)
_TOP: Final = (
    "keys: keys.yaml",
    "state: /nonexistent/state",
    "store: {megabytes: 5, days: 3}",
    "store: {days: 0}",
)
_HEADS: Final = ("meters:", "meters:", "meters:", "Meters:", "meters: []", "")


def check_one(data: bytes) -> None:
    """Raise an exception if a configuration made of this is read wrongly."""
    picker = Picker(data)
    content = picker.take(600) if picker.one_in(20) else finished(picker, _file(picker))
    path = written(content, "gateway.yaml")
    config, errors = read_config(path)
    for error in errors:
        assert str(error).isprintable(), "an error is more than one line"
        assert_no_secret(error.message)
    if config is not None:
        _check(config)
        for warning in (*warnings(config), *missing_ports(config)):
            assert warning.isprintable(), "a warning is more than one line"
            assert_no_secret(warning)
    try:
        loaded = load_config(path)
    except UnusableFileError as error:
        assert errors
        assert str(error) == str(errors[0])
    else:
        assert not errors
        assert loaded == config
        assert loaded.meters
        _check_consumers(loaded.outputs)


def _file(picker: Picker) -> str:
    """Return a configuration with the mistakes that people make."""
    if picker.one_in(3):
        consumers = picker.items(4, lambda: _consumer(picker))
        return "\n".join((*_TWO_METERS, *chain.from_iterable(consumers), ""))
    lines = picker.items(2, lambda: _top(picker)) if picker.one_in(2) else []
    lines.append(picker.choice(_HEADS))
    for meter in picker.items(4, lambda: _section(picker, _METERS, "    ")):
        lines += [f"  - {meter[0].strip()}", *meter[1:]]
    if not picker.one_in(3):
        lines.append(picker.choice(("outputs:", "outputs:", "output:")))
        lines.append(picker.choice(("  stdout: {format: json}", "  stdout: {format: x}", "  stdout:", "")))
        if not picker.one_in(3):
            lines += [picker.choice(("  mqtt:", "  mqtt:", "  mqtts:")), *_section(picker, _MQTT, "    ")]
    return picker.choice(("\n", "\n", "\r\n")).join(lines) + "\n"


def _top(picker: Picker) -> str:
    if picker.one_in(4):
        name = picker.choice(("keys", "state", "store", "metres"))
        return f"{name}: {scalar(picker, (key_text(picker), 'x'))}"
    return picker.choice(_TOP)


def _consumer(picker: Picker) -> list[str]:
    name = picker.choice((*_LISTS, *_MAPPINGS))
    if name in _MAPPINGS:
        return [f"  {name}:", *_section(picker, _MAPPINGS[name], "    ")]
    entries = picker.items(3, lambda: _section(picker, _LISTS[name], "      "))
    return [f"  {name}:", *(line for first, *more in entries for line in (f"    - {first.strip()}", *more))]


def _section(picker: Picker, names: dict[str, tuple[str, ...]], indent: str) -> list[str]:
    """Return lines with names and values, the required name first."""
    known = list(names)
    first = list(names)[1] if "source" in names else known[0]
    lines = [f"{indent}{first}: {scalar(picker, names[first])}"]
    for name in picker.items(5, lambda: picker.choice(known)):
        if picker.one_in(12):
            lines.append(f"{indent}{scalar(picker, ('spede', 'Name', 'key'))}: {scalar(picker, ('x',))}")
        else:
            lines.append(f"{indent}{name}: {scalar(picker, names[name])}")
    return lines


def _check(config: Config) -> None:
    """Raise an exception if the rest of the program cannot use a value."""
    for meter in config.meters:
        _check_meter(meter)
    for path in (config.keys, config.state):
        assert path is None or path.is_absolute()
    assert config.outputs.stdout in (None, *map(StdoutConfig, ("json", "table", "telegram")))
    assert config.limits.megabytes > 0
    assert config.limits.days > 0
    if config.outputs.mqtt is not None:
        _check_broker(config.outputs.mqtt)


def _check_consumers(outputs: Outputs) -> None:
    servers = [each for each in (outputs.influxdb, outputs.domoticz, outputs.forward) if each is not None]
    nodes = () if outputs.forward is None else outputs.forward.nodes
    hosts = [each for each in (outputs.influxdb, outputs.domoticz) if each is not None]
    for each in (*outputs.tcp, *outputs.udp, *hosts, *nodes):
        assert re.fullmatch(r"[\w.:%-]+", each.host)
        assert 0 <= each.port < 65536
    for server in servers:
        for path in (server.password_file, server.ca_file):
            assert path is None or path.is_absolute()
    for pty in outputs.pty:
        assert pty.link.is_absolute()
        assert 0 <= pty.mode <= 0o777
    assert all(is_value_name(name) for receiver in outputs.udp for name in receiver.fields)
    if outputs.domoticz is not None:
        assert outputs.domoticz.devices
        for device in outputs.domoticz.devices:
            assert all(idx is None or idx > 0 for idx in (device.electricity, device.gas))
    if outputs.files is not None:
        assert outputs.files.folder.is_absolute()
        assert outputs.files.compress_after > 0
    assert not outputs.others


def _check_meter(meter: MeterConfig) -> None:
    assert meter.sources
    for source in meter.sources:
        assert isinstance(source.kind, Kind)
        assert str(source).isprintable()
        if source.kind in (Kind.TCP, Kind.RFC2217):
            assert source.host
            assert 0 < source.port < 65536
        elif source.kind is not Kind.STDIN:
            assert source.path.is_absolute()
    assert isinstance(meter.encrypted, bool)
    assert isinstance(meter.pace, Pace)
    assert meter.line is None or (meter.line.speed in SPEEDS and meter.line.framing in FRAMINGS)
    for name in (meter.name, meter.id):
        if name is not None:
            assert name.strip()
            name.encode()


def _check_broker(mqtt: MqttConfig) -> None:
    assert re.fullmatch(r"[\w.:%-]+", mqtt.host)
    assert 0 < mqtt.port < 65536
    assert mqtt.user is None or mqtt.user.strip()
    assert 0 <= mqtt.interval <= 86400
    assert not re.search("[+#\x00]", mqtt.topic)
    mqtt.topic.encode()
    assert mqtt.version in ("3.1.1", "5")
    assert isinstance(mqtt.durability, Durability)
    for flag in (mqtt.tls, mqtt.telegrams, mqtt.values):
        assert isinstance(flag, bool)
    if mqtt.home_assistant is not None:
        assert isinstance(mqtt.home_assistant.style, Style)
    for path in (mqtt.password_file, mqtt.ca_file, mqtt.cert_file, mqtt.key_file):
        assert path is None or (isinstance(path, Path) and path.is_absolute())
