"""The options of the Home Assistant app stand for gateway.yaml and keys.yaml, in the words of its form."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smarty_gateway.config import gateway_file
from smarty_gateway.config.gateway_file import find_config_file, load_config, read_config
from smarty_gateway.config.key_file import load_key_ring, read_key_file
from smarty_gateway.config.values import Config, HomeAssistantConfig, HttpConfig, MqttConfig
from smarty_gateway.config.warnings import warnings
from smarty_gateway.protocol.key_ring import KeyRing, MeterKey, Secret
from smarty_gateway.protocol.key_text import system_title_from_text
from tests.support.commands import smarty_gateway
from tests.support.fake_supervisor import written_options
from vectors.building_blocks import BARN_KEY, HOUSE_KEY

TAB = "the app's Configuration tab"
SERIAL = "SAG1030700012345"
OTHER_TITLE = bytes.fromhex("5341476770000001")
PORT = "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - within the container
TYPED = "s: #3"
KEY = HOUSE_KEY.hex()
HOUSE = {"name": "house", "port": PORT}
BARN = {"name": "barn", "address": "tcp://192.168.1.20:2001"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return what is /data for the app; /config is beside it."""
    monkeypatch.setenv("SUPERVISOR_TOKEN", "a token")
    for name in ("data", "config"):
        (tmp_path / name).mkdir()
    return tmp_path / "data"


def written(data: Path, **options: object) -> Path:
    """Write options, also such as Supervisor would not write."""
    path = data / "options.json"
    path.write_text(json.dumps(options, indent=2, ensure_ascii=False), "utf-8")
    path.chmod(0o600)
    return path


def config_of(data: Path, *meters: dict[str, Any], **options: object) -> Config:
    return load_config(written_options(data, {"meters": list(meters), **options}))


def keys_of(data: Path, *meters: dict[str, Any]) -> KeyRing:
    return load_key_ring(written_options(data, {"meters": list(meters)}))


def faults(path: Path) -> list[str]:
    return [str(error) for error in read_config(path)[1]]


def key(value: bytes) -> MeterKey:
    return MeterKey(Secret(value))


def test_options_become_a_configuration_with_what_is_the_same_in_every_app(data: Path) -> None:
    config = config_of(data, {**HOUSE, "key": HOUSE_KEY.hex(), "reference_power": 7, "tariff": "lu"}, BARN)
    house, barn = config.meters
    assert (house.name, str(house.sources[0]), house.encrypted) == ("house", PORT, True)
    assert house.reference_power is not None
    assert house.reference_power.levels == ((None, 7000),)
    assert house.tariff is not None
    assert house.tariff.name == "lu.yaml"
    assert (barn.name, str(barn.sources[0]), barn.encrypted) == ("barn", "tcp://192.168.1.20:2001", False)
    assert config.state == data / "state"
    assert config.outputs.names == ["mqtt", "http"]
    assert config.outputs.http == HttpConfig(EVERYWHERE, 8300)
    mqtt = config.outputs.mqtt
    assert mqtt is not None
    assert (mqtt.is_from_supervisor, mqtt.interval) == (True, 10)
    assert mqtt.home_assistant == HomeAssistantConfig()
    assert warnings(config) == []


def test_a_broker_of_ones_own_is_used_with_its_password(data: Path) -> None:
    config = config_of(data, HOUSE, broker="mqtts://me@nas.lan", broker_password=TYPED, interval=0)
    home_assistant = HomeAssistantConfig()
    assert config.outputs.mqtt == MqttConfig(
        "nas.lan", 8883, tls=True, user="me", password=TYPED, interval=0, home_assistant=home_assistant
    )
    assert TYPED not in repr(config)
    assert warnings(config) == []


@pytest.mark.parametrize("escapes", [True, False])
def test_a_name_is_what_was_typed_in_every_form_of_json(data: Path, *, escapes: bool) -> None:
    name = "Chalêt \U0001f3e0"
    (data / "options.json").write_text(
        json.dumps({"meters": [{**HOUSE, "name": name}]}, ensure_ascii=escapes)
    )
    assert load_config(data / "options.json").meters[0].name == name


@pytest.mark.parametrize("escapes", [True, False])
@pytest.mark.parametrize("character", ["\0", "\n", "\x7f", "\x85", "\u2028", "\ufeff", "\uffff"])
def test_an_invisible_character_is_a_fault_of_its_field(data: Path, character: str, *, escapes: bool) -> None:
    options = {"meters": [{**HOUSE, "name": f"a{character}b"}]}
    (data / "options.json").write_text(json.dumps(options, ensure_ascii=escapes), "utf-8")
    (fault,) = faults(data / "options.json")
    assert fault.startswith(f"{TAB}, meter 1, name: a name is needed here")


def test_a_password_and_a_serial_number_may_look_like_a_key(data: Path) -> None:
    config = config_of(data, {**HOUSE, "id": KEY}, broker="mqtt://me@nas", broker_password=KEY)
    assert config.outputs.mqtt is not None
    assert (config.meters[0].id, config.outputs.mqtt.password) == (KEY, KEY)


def test_fields_that_were_emptied_count_as_absent(data: Path) -> None:
    empty = {"address": "", "key": None, "authentication_key": " ", "id": "", "reference_power": None}
    path = written(
        data, meters=[{**HOUSE, **empty}], broker="", broker_password=None, interval=None, configuration=" "
    )
    assert load_config(path) == config_of(data, HOUSE)
    assert load_key_ring(path).entries() == {}


@pytest.mark.parametrize("between", [" ", ",0x", ":", "-", "\u00a0", "\t", "\n"])
def test_a_key_may_be_typed_with_what_people_put_between_its_digits(data: Path, between: str) -> None:
    pairs = [HOUSE_KEY.hex()[at : at + 2] for at in range(0, 32, 2)]
    typed = f" {'0x' if 'x' in between else ''}{between.join(pairs)} "
    assert keys_of(data, {**HOUSE, "key": typed}).keys_for(OTHER_TITLE) == (key(HOUSE_KEY),)


def test_the_key_of_a_meter_with_a_serial_number_is_for_it_and_others_for_any(data: Path) -> None:
    ring = keys_of(
        data, {**HOUSE, "key": HOUSE_KEY.hex(), "id": SERIAL}, {**BARN, "key": "0x" + BARN_KEY.hex(":")}
    )
    title = system_title_from_text(SERIAL)
    assert title is not None
    assert ring.entries() == {title: (key(HOUSE_KEY),), None: (key(BARN_KEY),)}


def test_two_meters_without_serial_numbers_may_have_a_key_each(data: Path) -> None:
    meters = ({**HOUSE, "key": HOUSE_KEY.hex()}, {**BARN, "key": BARN_KEY.hex()})
    third = {"name": "shed", "address": "tcp://192.168.1.21:2001", "key": HOUSE_KEY.hex()}
    assert keys_of(data, *meters, third).keys_for(OTHER_TITLE) == (key(HOUSE_KEY), key(BARN_KEY))


def test_an_id_that_is_no_serial_number_does_not_keep_the_key_from_its_meter(data: Path) -> None:
    ring = keys_of(data, {**HOUSE, "key": HOUSE_KEY.hex(), "id": "meter in the cellar"})
    assert ring.keys_for(OTHER_TITLE) == (key(HOUSE_KEY),)


def test_an_authentication_key_goes_with_the_key_of_its_meter(data: Path) -> None:
    ring = keys_of(data, {**HOUSE, "key": HOUSE_KEY.hex(), "authentication_key": BARN_KEY.hex()})
    assert ring.keys_for(OTHER_TITLE) == (replace(key(HOUSE_KEY), authentication_key=Secret(BARN_KEY)),)


FAULTS: list[tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = [
    ([], {}, [": there is no meter yet; add one"]),
    ([{"name": "", "port": PORT}], {}, [", meter 1: name is empty; write a name such as house"]),
    ([{**HOUSE, "name": "status"}], {}, [", meter 1, name: the name status is reserved"]),
    (
        [{**HOUSE, "name": KEY}],
        {},
        [", meter 1, name: this looks like a key, which belongs in the field key"],
    ),
    ([{"name": "house"}], {}, [", meter 1: choose the port of the meter, or fill in its address"]),
    ([{**HOUSE, **BARN}], {}, [", meter 1, address: there is a port, too; empty one of the two"]),
    ([{**HOUSE, "port": "/dev"}], {}, [", meter 1, port: source is a folder"]),
    ([{**HOUSE, "port": __file__}], {}, [", meter 1, port: choose a serial port here"]),
    ([{**HOUSE, "port": "tcp://nas:1"}], {}, [", meter 1, port: choose a serial port here"]),
    ([{**BARN, "address": "192.168.1.20:2001"}], {}, [", meter 1, address: write tcp://HOST:PORT or"]),
    ([{**BARN, "address": "http://nas"}], {}, [", meter 1, address: write tcp://HOST:PORT or"]),
    ([{**BARN, "address": "/dev/ttyUSB0"}], {}, [", meter 1, address: write tcp://HOST:PORT or"]),
    ([{**BARN, "address": "tcp://nas"}], {}, [", meter 1, address: source: write it as tcp://HOST:PORT"]),
    (
        [HOUSE, {**BARN, "key": KEY[1:]}],
        {},
        [", meter 2, key: a key has 32 hex digits, this one has 31"],
    ),
    ([{**HOUSE, "key": "O" + KEY[1:]}], {}, [", meter 1, key: a key consists of the digits 0 to 9"]),
    (
        [{**HOUSE, "key": "00112233445566778899AABBCCDDEEFF"}],
        {},
        [", meter 1, key: this is the authentication key"],
    ),
    (
        [{**HOUSE, "key": KEY, "authentication_key": "30" + KEY}],
        {},
        [", meter 1, authentication_key: this is the AAD: leave out the 30"],
    ),
    (
        [{**HOUSE, "authentication_key": KEY}],
        {},
        [", meter 1, authentication_key: it is of no use without a key; fill in key"],
    ),
    (
        [{**HOUSE, "reference_power": 7000}],
        {},
        [", meter 1, reference_power: reference_power is a number of"],
    ),
    ([{**HOUSE, "tariff": "fr"}], {}, [", meter 1, tariff: there is no tariff of this name"]),
    ([{**HOUSE, "keys": KEY}], {}, [", meter 1: 'keys' is not a known key; did you mean 'key'?"]),
    (
        [HOUSE, {**BARN, "name": "House"}],
        {},
        [", meter 2, name: this name is that of meter 1, or becomes it"],
    ),
    (
        [HOUSE, {**HOUSE, "name": "barn"}],
        {},
        [
            ", meter 1, port: meter 2 has the same source; write another, or the id of each meter on it",
            ", meter 2, port: meter 1 has the same source; write another, or the id of each meter on it",
        ],
    ),
    (
        [BARN, {"name": "shed", "address": "rfc2217://192.168.1.20:2001"}],
        {},
        [
            ", meter 1, address: meter 2 has the same source",
            ", meter 2, address: this is the same host and port as in meter 1; name it in the same way",
        ],
    ),
    (
        [{**HOUSE, "id": SERIAL}, {**HOUSE, "name": "barn", "id": SERIAL}],
        {},
        [", meter 2, id: meter 1 has this id for the same source"],
    ),
    ([HOUSE], {"broker": "nas"}, [", broker: write the url as mqtt://HOST"]),
    (
        [HOUSE],
        {"broker": "mqtt://me:secret@nas"},
        [", broker: a password is never part of the url; write it into broker_password"],
    ),
    ([HOUSE], {"broker": "mqtt://me@nas"}, [", broker: a user and a password belong together; fill in"]),
    (
        [HOUSE],
        {"broker": "mqtt://nas", "broker_password": "secret"},
        [", broker: a user and a password belong together; write the user in front of the host"],
    ),
    *(
        (
            [HOUSE],
            {"broker": "mqtt://me@nas", "broker_password": f"secret{invisible}word"},
            [", broker_password: a password is needed here, without line breaks and invisible characters"],
        )
        for invisible in ("\x7f", "\x85", "\x9f", "\u2028", "\uffff")
    ),
    ([HOUSE], {"broker_password": "secret"}, [", broker_password: there is no broker that it is for"]),
    ([HOUSE], {"interval": 3601}, [", interval: interval is a number of seconds from 0 to 3600"]),
    ([], {"configuration": "a.yaml"}, [", configuration: there is no such file in the app's own folder"]),
    (
        [],
        {"configuration": "../data/options.json"},
        [", configuration: write the name of a file"],
    ),
    ([], {"configuration": "/etc/passwd"}, [", configuration: write the name of a file"]),
]


@pytest.mark.parametrize(("meters", "options", "expected"), FAULTS)
def test_a_fault_names_the_field_and_what_to_do(
    data: Path, meters: list[dict[str, Any]], options: dict[str, Any], expected: list[str]
) -> None:
    found = faults(written(data, meters=meters, **options))
    assert len(found) == len(expected), found
    for message, beginning in zip(found, expected, strict=True):
        assert message.startswith(f"{TAB}{beginning}")
        assert "secret" not in message
        assert KEY[8:24] not in message
        assert "keys.yaml" not in message


#: What people may type, and some of it in the wrong field.
_TYPED = st.text(max_size=9) | st.sampled_from(
    (*("house", PORT, "/dev/null", "tcp://nas:1", "mqtt://me@nas", "lu", "any", SERIAL, KEY),
     *("", " ", "a.yaml", "..", "a" * 300, "a/" * 3000))
)  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TYPED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TYPED, inner, max_size=3),
    max_leaves=5,
)
_OF_METERS = ("name", "port", "address", "key", "authentication_key", "id", "reference_power", "tariff", "x")
_OF_ALL = ("meters", "broker", "broker_password", "interval", "configuration", "x")
_METERS = st.lists(st.dictionaries(st.sampled_from(_OF_METERS), _VALUES, max_size=8), max_size=3)
_OPTIONS = st.dictionaries(st.sampled_from(_OF_ALL), _VALUES, max_size=6)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_OPTIONS, st.none() | _METERS)
def test_whatever_is_in_the_options_becomes_a_configuration_or_errors_of_one_line(
    data: Path, options: dict[str, Any], meters: list[dict[str, Any]] | None
) -> None:
    path = written(data, **options, **({} if meters is None or "meters" in options else {"meters": meters}))
    config, errors = read_config(path)
    assert errors or (config is not None and config.meters)
    for error in errors:
        assert str(error).isprintable()
        assert KEY[8:24] not in str(error)
    for warning in [] if config is None else warnings(config):
        assert warning.isprintable()


def test_check_and_run_print_every_fault_from_top_to_bottom_and_end_with_78(data: Path) -> None:
    path = written(data, meters=[{**HOUSE, "key": KEY[1:]}, {"name": "barn"}], interval=-1)
    fields = [f"{TAB}, meter 1, key:", f"{TAB}, meter 2:", f"{TAB}, interval:"]
    for command, prefix in (("check", ""), ("run", "smarty-gateway: ")):
        done = smarty_gateway(command, "--config", path)
        assert done.returncode == 78
        lines = done.stderr.decode().splitlines()[-3:]
        assert [line.startswith(prefix + field) for line, field in zip(lines, fields, strict=True)] == [
            True
        ] * 3


def test_check_calls_options_good_in_its_usual_form(data: Path) -> None:
    path = written_options(data, {"meters": [{**HOUSE, "port": "/dev/null", "key": BARN_KEY.hex()}]})
    done = smarty_gateway("check", "--config", path)
    assert done.returncode == 0
    assert done.stdout.decode().startswith(f"{path}: good, 1 meter, 2 outputs (mqtt, http)\n{path}: ")


@pytest.mark.parametrize("content", [b"", b"{", b"meters: []", b"\xff", b"[" * 100_000, b"9" * 5000])
def test_options_that_are_no_json_are_one_line(data: Path, content: bytes) -> None:
    (data / "options.json").write_bytes(content)
    config, errors = read_config(data / "options.json")
    assert config is None
    assert [str(error).startswith(str(data / "options.json")) for error in errors] == [True]
    assert read_key_file(data / "options.json")[1]


def test_outside_the_app_a_file_of_that_name_is_an_ordinary_configuration(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(data, meters=[{"source": "/dev/null"}])
    monkeypatch.delenv("SUPERVISOR_TOKEN")
    assert load_config(path).outputs.names == []


# A gateway.yaml in the app's own folder


def with_file(data: Path, text: str, name: str = "gateway.yaml") -> Path:
    """Write a configuration into the app's own folder, and options that name it."""
    file = data.parent / "config" / name
    file.write_text(text, "utf-8")
    file.chmod(0o644)  # as a file editor in Home Assistant does
    return written_options(data, {"configuration": name})


def test_a_file_in_the_folder_of_the_app_says_everything_else(data: Path) -> None:
    folder = data.parent / "config"
    keys = folder / "keys.yaml"
    keys.write_text(f"keys:\n  {SERIAL}: {KEY}\n")
    keys.chmod(0o644)
    (folder / "page.password").write_text("swordfish")
    http = "{listen: 127.0.0.1:9000, password_file: page.password}"
    path = with_file(data, f"meters: [{{source: /dev/null}}]\noutputs:\n  http: {http}\n")
    config = load_config(path)
    assert config.outputs.http == HttpConfig(EVERYWHERE, 8300, password_file=folder / "page.password")
    assert config.outputs.mqtt is not None
    assert config.outputs.mqtt.is_from_supervisor
    assert (config.keys, config.state) == (keys, data / "state")
    done = smarty_gateway("check", "--config", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().splitlines()[1].startswith(f"{keys}: ")


def test_a_broker_in_that_file_comes_before_the_one_of_supervisor(data: Path) -> None:
    text = "meters: [{source: /dev/null}]\noutputs: {mqtt: {url: 'mqtt://nas'}}\nkeys: my.yaml\n"
    config = load_config(with_file(data, text))
    assert config.outputs.mqtt == MqttConfig("nas")
    assert config.keys == data.parent / "config" / "my.yaml"


def test_faults_of_that_file_and_of_fields_beside_it_are_told_together(data: Path) -> None:
    path = with_file(data, "meters: [{source: /dev/null, pace: full}]\nstate: /var/lib/other\n")
    written(data, configuration="gateway.yaml", interval=5, meters=[HOUSE])
    file = data.parent / "config" / "gateway.yaml"
    assert [message.partition(";")[0] for message in faults(path)] == [
        f"{TAB}, interval: the file that `configuration` names says this",
        f"{TAB}, meters: the file that `configuration` names says this",
        f"{file}:1: pace is for a recording only",
        f"{file}: state: the app keeps its state in a folder of its own",
    ]


@pytest.mark.parametrize("target", ["../data/options.json", "/etc/hostname", "gateway.yaml"])
def test_no_link_leads_out_of_the_folder_of_the_app(data: Path, target: str) -> None:
    (data.parent / "config" / "gateway.yaml").symlink_to(target)
    (message,) = faults(written_options(data, {"configuration": "gateway.yaml"}))
    assert message.startswith(f"{TAB}, configuration: ")


# All commands


def test_without_config_the_options_come_first_and_then_the_usual_files(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_file, "OPTIONS_FILE", data / "options.json")
    usual = data.parent / "gateway.yaml"
    usual.write_text("meters: [{source: /dev/null}]\n")
    assert find_config_file([usual]) == usual
    path = written_options(data, {"meters": [HOUSE]})
    assert find_config_file([usual]) == path
    monkeypatch.delenv("SUPERVISOR_TOKEN")
    assert find_config_file([usual]) == usual


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("history",), "there is no history in {data}/state yet"),
        (("report",), "there is no history in {data}/state yet"),
        (("reset-counter", "house"), "no frame counter is stored for house in {data}/state/"),
        (("forget", "house"), "nothing is stored of a meter named house"),
        (("setup",), "enter the meters and their keys in its Configuration tab"),
        (("service", "install"), "Home Assistant itself starts, stops and removes it"),
    ],
)
def test_every_command_finds_the_options_of_the_app(
    data: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    path = written_options(data, {"meters": [HOUSE]})
    monkeypatch.setattr(gateway_file, "OPTIONS_FILE", path)
    done = smarty_gateway(*command, folder=data.parent)
    assert words.format(data=data) in done.stderr.decode()
    assert done.returncode in {1, 2}
