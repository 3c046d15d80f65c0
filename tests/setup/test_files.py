"""What `setup` writes is whole, is read back as it was meant, and never replaces a file that is to stay."""

from pathlib import Path

import pytest

from smarty_gateway.config.broker_url import parse_broker_url
from smarty_gateway.config.values import HomeAssistantConfig, MqttConfig
from smarty_gateway.config.whole_file import FileError, write_secret
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.setup.files import (
    broker_url,
    config_of,
    gateway_text,
    keep_backup,
    meter_lines,
)
from smarty_gateway.sources.address import DSMR4_LINE


@pytest.mark.parametrize(
    "name", ["house", "12", "true", "my house", "Füße: #1", 'a "b"', "- x", "[a]", "\\n"]
)
def test_a_name_is_read_back_as_it_was_typed(name: str) -> None:
    text = gateway_text(meter_lines(name, "tcp://h:1", DSMR4_LINE), None, needs_keys=False)
    assert config_of(text).meters[0].name == name


@pytest.mark.parametrize("name", ["null", "status", "", "a\x1b"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    text = gateway_text(meter_lines(name, "tcp://h:1", DSMR4_LINE), None, needs_keys=False)
    with pytest.raises(FileError):
        config_of(text)


@pytest.mark.parametrize(
    "url", ["mqtt://a", "mqtts://a", "mqtt://a:8883", "mqtts://u%40v@a.example:1", "mqtt://u@[::1]:1884"]
)
def test_the_url_of_a_broker_is_read_back(url: str) -> None:
    broker = MqttConfig(
        **parse_broker_url(url),
        password_file=Path("mqtt.password"),
        ca_file=Path("/etc/my ca.crt"),
        home_assistant=HomeAssistantConfig(),
    )
    assert broker_url(broker) == url
    lines = meter_lines("house", "tcp://h:1", DSMR4_LINE)
    found = config_of(gateway_text(lines, broker, needs_keys=True)).outputs.mqtt
    assert found is not None
    assert (found.host, found.port, found.tls, found.user) == (
        broker.host,
        broker.port,
        broker.tls,
        broker.user,
    )
    assert found.ca_file == broker.ca_file
    assert found.home_assistant == HomeAssistantConfig()


def test_a_configuration_names_the_secrets_beside_it() -> None:
    broker = MqttConfig("localhost", user="u", password_file=Path("mqtt.password"))
    lines = meter_lines("house", "tcp://h:1", DSMR4_LINE)
    text = gateway_text(lines, broker, needs_keys=True)
    assert "password_file: mqtt.password\n" in text
    assert "keys: keys.yaml\n" in text


def test_a_draft_that_is_not_as_it_shall_be_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old", "ascii")

    def refuse(draft: Path) -> None:
        assert draft.read_text("ascii") == "new"
        raise GatewayError("no")

    with pytest.raises(GatewayError):
        write_secret(path, "new", refuse)
    assert [found.read_text("ascii") for found in tmp_path.iterdir()] == ["old"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    write_secret(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").read_text("ascii") == "new"


def test_a_folder_in_which_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="cannot write"):
        write_secret(tmp_path / "missing/a", "new")


def test_a_backup_never_replaces_another(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("old", "ascii")
    assert [keep_backup(path).name for _ in range(3)] == [
        "gateway.yaml.bak",
        "gateway.yaml.bak2",
        "gateway.yaml.bak3",
    ]
