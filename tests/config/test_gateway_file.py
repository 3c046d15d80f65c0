"""gateway.yaml is read as written, and every fault is reported with its line and what to write instead."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.config.gateway_file import (
    config_from_options,
    find_config_file,
    load_config,
    read_config,
)
from smarty_gateway.config.key_file import read_key_file
from smarty_gateway.config.settings import SettingError
from smarty_gateway.config.values import (
    Config,
    Durability,
    HomeAssistantConfig,
    MqttConfig,
    Pace,
    StdoutConfig,
    StoreLimits,
    Style,
)
from smarty_gateway.config.yaml_file import UnusableFileError
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.sources.address import AddressError, Kind, LineSettings
from tests.support.commands import smarty_gateway

KEY = "0F1E2D3C4B5A69788796A5B4C3D2E1F0"
SERIAL = "SAG1030700012345"
PORT = "meters:\n  - source: /dev/ttyS0\n"
MQTT = PORT + "outputs:\n  mqtt:\n"
EXAMPLE = """\
keys: keys.yaml
state: /var/lib/smarty-gateway        # frame counters, undelivered telegrams
meters:
  - name: house
    source: /dev/serial/by-id/usb-FTDI_FT232R-if00-port0
  - name: barn
    source: tcp://192.168.1.20:2001   # also rfc2217://host:port, a capture file, or - for standard input
    id: SAG1030700012345              # only where several meters share a source
outputs:
  stdout: {format: json}
  mqtt:
    url: mqtts://gateway@broker.example:8883
    password_file: /etc/smarty-gateway/mqtt.password
    ca_file: /etc/ssl/certs/ca-certificates.crt
    topic: smarty                     # two gateways on one broker need two
    interval: 10                      # seconds between two states at most; 0 for every telegram
    telegrams: false                  # true: every telegram too, kept until acknowledged
    home_assistant: true              # or {prefix: homeassistant, style: device | entity}
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.yaml"


def load(path: Path, text: str) -> Config:
    path.write_text(text, "utf-8")
    return load_config(path)


def errors(path: Path, text: str) -> list[str]:
    """Return all faults, each as `line: message`."""
    path.write_text(text, "utf-8")
    _, found = read_config(path)
    messages = [str(error) for error in found]
    assert all("\n" not in line for line in messages)
    if found:
        with pytest.raises(UnusableFileError) as caught:
            load_config(path)
        assert str(caught.value) == messages[0]
    return [line.removeprefix(f"{path}:") for line in messages]


def error(path: Path, text: str) -> str:
    (only,) = errors(path, text)
    return only


def mqtt(path: Path, lines: str, url: str = "mqtt://localhost") -> MqttConfig:
    found = load(path, MQTT + f"    url: {url}\n" + "".join(f"    {line}\n" for line in lines.splitlines()))
    assert found.outputs.mqtt is not None
    return found.outputs.mqtt


def test_the_example_of_the_contract_is_read(config_file: Path) -> None:
    config = load(config_file, EXAMPLE)
    assert config.keys == config_file.parent / "keys.yaml"
    assert config.state == Path("/var/lib/smarty-gateway")
    assert config.outputs.stdout == StdoutConfig("json")
    assert config.limits == StoreLimits()
    house, barn = config.meters
    assert (house.name, house.sources[0].kind, house.line, house.id) == ("house", Kind.SERIAL, None, None)
    assert (barn.name, barn.sources[0].text, barn.id) == ("barn", "tcp://192.168.1.20:2001", SERIAL)
    assert config.outputs.mqtt == MqttConfig(
        host="broker.example",
        port=8883,
        tls=True,
        user="gateway",
        password_file=Path("/etc/smarty-gateway/mqtt.password"),
        ca_file=Path("/etc/ssl/certs/ca-certificates.crt"),
        home_assistant=HomeAssistantConfig(),
    )


def test_one_meter_with_a_source_is_enough(config_file: Path) -> None:
    config = load(config_file, PORT)
    assert (config.keys, config.state, config.outputs.stdout, config.outputs.mqtt) == (None, None, None, None)
    assert len(config.meters) == 1


def test_relative_paths_count_from_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    (folder / "monday.bin").touch()
    (folder / "gateway.yaml").write_text(
        "keys: sub/keys.yaml\nstate: state\nmeters:\n  - source: monday.bin\n    pace: recorded\n"
        "outputs:\n  mqtt: {url: mqtt://localhost, cert_file: a.pem, key_file: b.pem}\n"
    )
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("there/gateway.yaml"))
    assert (config.keys, config.state) == (folder / "sub/keys.yaml", folder / "state")
    assert config.meters[0].sources[0].path == folder / "monday.bin"
    assert config.meters[0].pace is Pace.RECORDED
    assert config.outputs.mqtt is not None
    assert config.outputs.mqtt.cert_file == folder / "a.pem"
    assert config.outputs.mqtt.key_file == folder / "b.pem"


def test_all_settings_of_the_broker_are_read(config_file: Path) -> None:
    found = mqtt(
        config_file,
        "version: 5\nclient_id: 0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\ntopic: home/p1\ninterval: 2.5\n"
        "telegrams: yes\nvalues: On\ndurability: each\nhome_assistant: {prefix: ha, style: entity}",
    )
    assert (found.version, found.topic, found.interval) == ("5", "home/p1", 2.5)
    assert (found.telegrams, found.values, found.durability) == (True, True, Durability.EACH)
    assert found.home_assistant == HomeAssistantConfig("ha", Style.ENTITY)
    assert mqtt(config_file, "version: 3.1.1\nhome_assistant: off").home_assistant is None
    assert mqtt(config_file, "").home_assistant is None
    assert mqtt(config_file, "home_assistant: {}").home_assistant == HomeAssistantConfig()


def test_the_store_and_the_format_of_standard_output_are_read(config_file: Path) -> None:
    config = load(config_file, PORT + "store: {megabytes: 50, days: 7}\noutputs: {stdout: {format: table}}\n")
    assert config.limits == StoreLimits(50, 7)
    assert config.outputs.stdout == StdoutConfig("table")
    assert load(config_file, PORT + "outputs: {stdout: {}}\n").outputs.stdout == StdoutConfig("json")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://localhost", ("localhost", 1883, False, None)),
        ("mqtts://broker.example", ("broker.example", 8883, True, None)),
        ("MQTTS://me@broker.example:1234/", ("broker.example", 1234, True, "me")),
        ("mqtt://a%40b.lu@10.0.0.1", ("10.0.0.1", 1883, False, "a@b.lu")),
        ("mqtt://me@home@[::1]:99", ("::1", 99, False, "me@home")),
    ],
)
def test_a_broker_is_named_by_its_url(
    config_file: Path, url: str, expected: tuple[str, int, bool, str | None]
) -> None:
    found = mqtt(config_file, "", f'"{url}"')
    assert (found.host, found.port, found.tls, found.user) == expected


@pytest.mark.parametrize(
    "url",
    ["mqtt://me:hunter2@localhost", "mqtt://:hunter2@localhost", "mqtt://me:hun@ter2@localhost",
     "mqtts://me:hunter/2@localhost", "http://me:hunter2@localhost", "mqtt://me:hunter#2@h"],
)  # fmt: skip
def test_a_password_in_the_url_is_refused_and_not_repeated(config_file: Path, url: str) -> None:
    message = error(config_file, MQTT + f'    url: "{url}"\n')
    assert message.startswith("5: ")
    assert "password_file" in message
    assert "hun" not in message
    assert "me:" not in message
    with pytest.raises(SettingError, match="--mqtt-password-file") as caught:
        config_from_options("-", mqtt=url)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["localhost", "mqtt://", "tcp://localhost", "mqtt://localhost:0", "mqtt://localhost:99999",
     "mqtt://me:hunter2", "mqtt://localhost/topic", "mqtt://localhost?x=1", "mqtt://a b", "mqtt://@localhost",
     "me:hunter2@localhost", "mqtt://[::1", "mqtt://%00@localhost"],
)  # fmt: skip
def test_anything_but_the_url_of_a_broker_is_refused_with_the_form_to_write(
    config_file: Path, url: str
) -> None:
    message = error(config_file, MQTT + f'    url: "{url}"\n')
    assert "mqtt://HOST" in message
    assert "hunter" not in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["1: ", "meters is missing", "`meters: "]),
        ("keys: a.yaml\n", ["1: ", "meters is missing"]),
        ("meters:\n", ["1: ", "is a list"]),
        ("meters: []\n", ["1: ", "is a list", "`- source: "]),
        ("meters: {source: -}\n", ["1: ", "`- `"]),
        ("- a\n", ["1: ", "`name: value`", "meters"]),
        ("meters:\n  - house\n", ["2: ", "source"]),
        ("meters:\n  - name: house\n", ["2: ", "source is missing", "`source: "]),
        ("meters:\n  - source:\n", ["2: ", "nothing is written here"]),
        ("meters:\n  - source: ftp://x\n", ["2: ", "tcp://"]),
        ("meters:\n  - source: tcp://host\n", ["2: ", "port"]),
        ("meters:\n  - source: missing.bin\n", ["2: ", "no such file"]),
        ("meters:\n  - source: ~nobody-of-that-name/x\n", ["2: ", "not a valid path"]),
        ("meters:\n  - source: {a: b}\n", ["2: ", "tcp://"]),
        (PORT + "    name: ''\n", ["3: ", "name"]),
        (PORT + "    name: '  '\n", ["3: ", "name"]),
        (PORT + '    name: "a\\nb"\n', ["3: ", "line breaks"]),
        (PORT + "    name: status\n", ["3: ", "status is reserved"]),
        (PORT + "    name: Health\n", ["3: ", "health is reserved"]),
        (PORT + "    nmae: a\n", ["3: ", "'nmae'", "did you mean 'name'"]),
        (PORT + "    source: /dev/ttyS1\n", ["3: ", "already in line 2"]),
        (PORT + "    encrypted: maybe\n", ["3: ", "true or false"]),
        (PORT + "    speed: fast\n", ["3: ", "115200"]),
        (PORT + "    speed: 115201\n", ["3: ", "did you mean '115200'"]),
        (PORT + "    framing: 8n1\n", ["3: ", "8N1"]),
        (PORT + "    pace: recorded\n", ["3: ", "recording only"]),
        (PORT + "    id: ''\n", ["3: ", "system title"]),
        ("meters:\n  - source: tcp://h:1\n    speed: 9600\n", ["3: ", "speed is for a serial port"]),
        ("meters:\n  - source: '-'\n    framing: 7E1\n", ["3: ", "framing is for a serial port"]),
        ("meters:\n  - source: '-'\n  - source: '-'\n", ["3: ", "one meter only", "line 2"]),
        (PORT + "output: {}\n", ["3: ", "did you mean 'outputs'"]),
        (PORT + "outputs: {mqqt: {}}\n", ["3: ", "did you mean 'mqtt'"]),
        (PORT + "outputs: {stdout: json}\n", ["3: ", "format"]),
        (PORT + "outputs: {stdout: {format: jsn}}\n", ["3: ", "did you mean 'json'"]),
        (PORT + "outputs: {mqtt: {topic: a}}\n", ["3: ", "url: mqtt://"]),
        (PORT + "store: {days: 0}\n", ["3: ", "from 1"]),
        (PORT + "store: {megabytes: 1e3}\n", ["3: ", "whole number"]),
        (PORT + "keys: {any: x}\n", ["3: ", "path of the key file (not the keys themselves)"]),
        (PORT + "state: [x]\n", ["3: ", "path"]),
        (PORT + "state: gateway.yaml\n", ["3: ", "a folder"]),
        (PORT + "state: ~nobody-of-that-name/x\n", ["3: ", "no such user"]),
        (PORT + "\tkeys: x\n", ["3: ", "YAML"]),
    ],
)
def test_a_fault_is_reported_with_its_line_and_what_to_write(
    config_file: Path, text: str, parts: list[str]
) -> None:
    message = error(config_file, text)
    assert message.startswith(parts[0]), message
    for part in parts[1:]:
        assert part in message


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("topic: ''", "a topic"),
        ("topic: a/+", "no +"),
        ("topic: a#", "no #"),
        ("topic: /a", "no /"),
        ("topic: a/", "no /"),
        ("home_assistant: {prefix: /ha}", "no /"),
        ("home_assistant: {style: devise}", "did you mean 'device'"),
        ("home_assistant: perhaps", "true or false"),
        ("interval: -1", "from 0"),
        ("interval: 10s", "number of seconds"),
        ("interval: 1e400", "number of seconds"),
        ("interval: .nan", "number of seconds"),
        ("interval: 999999999", "86400"),
        ("version: 3.1", "did you mean '3.1.1'"),
        ("version: 4", "3.1.1 or 5"),
        ("durability: bach", "did you mean 'batch'"),
        ("telegrams: 1", "true or false"),
        ("cert_file: a.pem", "key_file"),
        ("key_file: a.pem", "cert_file"),
        ("password: hunter2", "as `password_file: mqtt.password`"),
        ("password_file: [hunter2]", "path"),
    ],
)
def test_a_fault_of_the_broker_is_reported_with_its_line(config_file: Path, line: str, part: str) -> None:
    message = error(config_file, MQTT + f"    url: mqtt://localhost\n    {line}\n")
    assert message.startswith("6: ")
    assert part in message
    assert "hunter" not in message


def test_no_hint_names_a_setting_that_is_not_similar(config_file: Path) -> None:
    assert "did you mean" not in error(config_file, PORT + "outputs: {stdout: {format: csv}}\n")
    keys = config_file.with_name("keys.yaml")
    keys.write_text(f"keys:\n  any: {{encryption_key: {KEY}, verification: none}}\n")
    _, found = read_key_file(keys)
    assert [str(one) for one in found] == [f"{keys}:2: verification is required or crc-only"]


def test_an_option_that_names_a_loop_of_links_is_answered_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = smarty_gateway("run", "--source", "loop", "--state", tmp_path / "state", folder=tmp_path)
    assert done.returncode == 2
    assert b"bug" not in done.stderr
    assert b"symbolic links" in done.stderr


def test_a_source_that_is_a_loop_of_links_ends_in_no_traceback(config_file: Path) -> None:
    loop = config_file.with_name("loop")
    loop.symlink_to(loop)
    message = errors(config_file, "meters:\n  - source: loop\n")
    assert message == ["2: this path is a loop of symbolic links"]


def test_all_faults_are_found_at_once(config_file: Path) -> None:
    text = (
        "kees: x\nmeters:\n  - name: status\n    sorce: /dev/ttyS0\n  - source: ftp://h\n    speed: 1\n"
        "outputs:\n  mqtt: {url: h, interval: x}\n  sdout: {}\nstore: {days: x}\n"
    )
    found = errors(config_file, text)
    lines = sorted(int(line.partition(":")[0]) for line in found)
    assert lines == [1, 3, 3, 4, 5, 6, 8, 8, 9, 10]


def two_meters(first: str, second: str) -> str:
    return f"meters:\n  - {{{first}}}\n  - {{{second}}}\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("name: house", "name: house"),
        ("name: my house", "name: my_house"),
        ("name: a/b", "name: a+b"),
        ("name: 'a#b'", "name: a b"),
        ("name: House", "name: house"),
        ("name: küche", "name: kÜche"),
        ("name: a.b", "name: a b"),
        (f"name: {'x' * 64}a", f"name: {'x' * 64}b"),
        (f"name: {SERIAL}", f"id: {SERIAL}"),
        (f"id: {SERIAL}", f"id: {SERIAL}"),
        (f"id: {SERIAL}", f"id: {SERIAL.lower()}"),
    ],
)
def test_two_meters_that_would_share_their_topics_are_refused(
    config_file: Path, first: str, second: str
) -> None:
    message = error(config_file, two_meters(f"source: /dev/ttyS0, {first}", f"source: /dev/ttyS1, {second}"))
    assert message.startswith("3: ")
    assert "line 2" in message


@pytest.mark.parametrize(
    ("first", "second"), [(f"name: {SERIAL}, id: A", f"id: {SERIAL}"), ("id: a.b", "id: a_b")]
)
def test_two_meters_on_one_source_that_would_share_their_topics_are_refused(
    config_file: Path, first: str, second: str
) -> None:
    message = error(config_file, two_meters(f"source: /dev/ttyS0, {first}", f"source: /dev/ttyS0, {second}"))
    assert message.startswith("3: this id")
    assert "line 2" in message


def test_meters_on_one_source_need_an_id_each(config_file: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/ttyS7")
    first, second = "source: /dev/ttyS7", "source: link"
    found = errors(config_file, two_meters(first, second))
    assert [line[:3] for line in found] == ["2: ", "3: "]
    assert all("the id of each meter" in line for line in found)
    assert error(config_file, two_meters(first + ", id: A", second)).startswith(
        "3: line 2 has the same source"
    )
    for other in (SERIAL, SERIAL.lower(), "5341476770003039"):
        text = two_meters(f"{first}, id: {SERIAL}, name: a", f"{second}, id: {other}, name: b")
        assert "this id" in error(config_file, text)
    assert len(load(config_file, two_meters(first + ", id: A", second + ", id: B")).meters) == 2


def test_one_port_has_one_protocol_one_speed_and_one_framing(config_file: Path) -> None:
    message = error(config_file, two_meters("source: tcp://h:1, id: a", "source: rfc2217://H:1, id: b"))
    assert message.startswith("3: this is the same host and port as in line 2")
    first, second = "source: /dev/ttyS7, id: a", "source: /dev/ttyS7, id: b"
    for one, other in (("speed: 9600", "speed: 115200"), ("framing: 7E1", "framing: 8N1")):
        message = error(config_file, two_meters(f"{first}, {one}", f"{second}, {other}"))
        assert message.startswith("3: line 2 has another")
    both = load(config_file, two_meters(f"{first}, speed: 9600, framing: 8N1", second)).meters
    assert [meter.line for meter in both] == [LineSettings(9600, "8N1")] * 2


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("speed: 9600", LineSettings(9600, "7E1")),
        ("framing: 7E1", LineSettings(9600, "7E1")),
        ("speed: 115200", LineSettings(115200, "8N1")),
        ("framing: 8N1", LineSettings(115200, "8N1")),
        ("speed: 2400, framing: 8E1", LineSettings(2400, "8E1")),
    ],
)
def test_a_missing_speed_or_framing_is_that_of_meters_with_the_other(
    config_file: Path, setting: str, line: LineSettings
) -> None:
    config = load(config_file, f"meters: [{{source: 'rfc2217://host:1', {setting}}}]\n")
    assert config.meters[0].line == line


@pytest.mark.parametrize(
    "text",
    [
        f"keys: {KEY}\n{PORT}",
        f"meters:\n  - source: {KEY}\n",
        f"{PORT}    name: 0F1E2D3C 4B5A6978 8796A5B4 C3D2E1F0\n",
        f"{PORT}    {KEY}: x\n",
        f"{PORT}    {KEY}: x\n    {KEY}: y\n",
        f"{PORT}outputs: {{mqtt: {{url: {KEY}}}}}\n",
        f"{PORT}outputs: {{mqtt: {{url: mqtt://h, password_file: {KEY}}}}}\n",
        f"{PORT}    speed: {KEY}\n",
        f"keys:\n  any: {KEY}\n{PORT}",
        f"{KEY}\n",
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(config_file: Path, text: str) -> None:
    for message in errors(config_file, text):
        assert KEY[:8] not in message
    assert errors(config_file, text)


@pytest.mark.parametrize(
    "source", [f"/{KEY}.txt", f"mqtt://me:{KEY}", f"tcp://{KEY}", f"~nobody-of-that-name/{KEY}"]
)
def test_a_source_that_holds_a_key_is_refused_and_not_repeated(config_file: Path, source: str) -> None:
    message = error(config_file, f"meters:\n  - source: {source}\n")
    assert message.startswith("2: source")
    assert KEY[:8] not in message


def test_a_source_with_user_and_password_is_refused_and_not_repeated(config_file: Path) -> None:
    message = error(config_file, "meters:\n  - source: tcp://me:hunter2@host:x\n")
    assert "tcp://HOST:PORT" in message
    assert "hunter2" not in message
    with pytest.raises(AddressError, match="HOST:PORT"):
        config_from_options("mqtt://me:hunter2@host")


def test_a_file_that_cannot_be_read_is_a_gateway_error(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "directory"), (tmp_path / "missing.yaml", "No such file")):
        config, found = read_config(path)
        assert config is None
        assert [message in str(one) for one in found] == [True]
    path = tmp_path / "gateway.yaml"
    for content in (
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'"\\UFFFFFFFF"',
        b"&a {meters: *a}",
        b"# " + b"x" * 2_000_000,
    ):
        path.write_bytes(content)
        with pytest.raises(UnusableFileError):
            load_config(path)


@given(
    content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "ignore"))
)
def test_any_file_content_loads_or_is_a_gateway_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("config") / "gateway.yaml"
    for prefix in (b"", b"meters:\n  - source: ", PORT.encode() + b"outputs:\n  mqtt:\n    url: mqtt://"):
        path.write_bytes(prefix + content)
        with contextlib.suppress(UnusableFileError):
            load_config(path)


@given(url=st.text(max_size=50), source=st.text(max_size=50))
def test_any_option_gives_a_configuration_or_a_gateway_error(url: str, source: str) -> None:
    for text in (url, f"mqtt://{url}"):
        with contextlib.suppress(SettingError):
            config_from_options("-", mqtt=text)
    for text in (source, f"tcp://{source}"):
        with contextlib.suppress(GatewayError):
            config_from_options(text)


def test_one_meter_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = config_from_options("/dev/ttyS0", mqtt="mqtt://me@localhost", password_file=Path("password"))
    assert [meter.sources[0].text for meter in config.meters] == ["/dev/ttyS0"]
    assert config.outputs.mqtt == MqttConfig(
        "localhost", user="me", password_file=tmp_path / "password", home_assistant=HomeAssistantConfig()
    )
    assert [meter.name for meter in config.meters] == ["meter"]
    assert [meter.name for meter in config_from_options("-", name="house").meters] == ["house"]
    assert config_from_options("-").outputs.mqtt is None
    with pytest.raises(SettingError, match="--mqtt"):
        config_from_options("-", password_file=Path("password"))


@pytest.mark.parametrize("name", ["", " ", "Status", "health", "a\x1b[2J", "\udcff", "0F" * 16])
def test_a_name_that_cannot_be_published_is_refused_with_what_to_do(name: str) -> None:
    with pytest.raises(SettingError) as caught:
        config_from_options("-", name=name)
    assert str(caught.value).isprintable()


def test_the_first_configuration_that_exists_is_taken(tmp_path: Path) -> None:
    places = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    assert find_config_file(places) is None
    places[1].touch()
    assert find_config_file(places) == places[1]
