"""Words from other programs, from letters of operators and from DLMS lead to the right key of a file."""

import re
from pathlib import Path

import pytest

from smarty_gateway.config import consumers, key_file, pool_values, powers, values
from smarty_gateway.config.gateway_file import read_config
from smarty_gateway.config.key_file import read_key_file
from smarty_gateway.config.other_words import WORDS
from smarty_gateway.config.settings import settings_of

KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"
SERIAL = "SAG1030700012345"
SECRET = "hunter2"  # noqa: S105 - the password of nobody
METER = "meters:\n  - source: /dev/null\n"
MODULES = (values, consumers, powers, key_file, pool_values)
MQTT = METER + "outputs:\n  mqtt:\n    url: mqtt://localhost\n"


def faults(path: Path, text: str) -> list[str]:
    """Return what is wrong with a gateway.yaml, or with a keys.yaml that begins with its entries."""
    path.write_text(text, "utf-8")
    errors = read_config(path)[1] if path.name == "gateway.yaml" else read_key_file(path)[1]
    assert not any(secret in str(error) for error in errors for secret in (SECRET, KEY, KEY[:8], KEY[-8:]))
    return [str(error).removeprefix(f"{path}:") for error in errors]


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("baud", "`speed: 9600`"),
        ("baudrate", "`speed: 9600`"),
        ("Baud_Rate", "`speed: 9600`"),
        ("parity", "`framing: 7E1`"),
        ("port", "`source: /dev/ttyUSB0`"),
        ("device", "`source: /dev/ttyUSB0`"),
        ("serial-port", "`source: /dev/ttyUSB0`"),
        ("host", "`source: tcp://HOST:PORT`"),
        ("url", "`source: tcp://HOST:PORT`"),
        ("serial", "`id:` and the serial number"),
        ("friendly_name", "`name:`"),
        ("key", "keys.yaml"),
        ("guek", "keys.yaml"),
        ("dsmr_version", "found from its bytes"),
        ("reference", "`reference_power: 7`"),
        ("power_class", "`reference_power: 7`"),
        ("level", "`reference_power: 7`"),
        ("puissance_de_référence", "`reference_power: 7`"),
        ("tarif", "`tariff: lu`"),
        ("max_power", "`plausible_power: 250`"),
        ("time_zone", "at the top of the file"),
    ],
)
def test_another_word_for_a_setting_of_a_meter_leads_to_it(tmp_path: Path, word: str, advice: str) -> None:
    (fault,) = faults(tmp_path / "gateway.yaml", f"{METER}    {word}: {SECRET}\n")
    assert fault.startswith(f"3: '{word}' is not a known key; ")
    assert advice in fault


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("host", "`url: mqtt://HOST`"),
        ("broker", "`url: mqtt://HOST`"),
        ("port", "`url: mqtt://HOST:1883`"),
        ("user", "`url: mqtt://USER@HOST`"),
        ("username", "`url: mqtt://USER@HOST`"),
        ("password", "`password_file: mqtt.password`"),
        ("pwd", "`password_file: mqtt.password`"),
        ("tls", "mqtts://"),
        ("ca_cert", "`ca_file: FILE`"),
        ("topic_prefix", "`topic: smarty`"),
        ("base_topic", "`topic: smarty`"),
        ("discovery", "`home_assistant: true`"),
        ("discovery_prefix", "`home_assistant: {prefix: homeassistant}`"),
        ("update_interval", "`interval: 10`"),
        ("qos", "cannot be set"),
    ],
)
def test_another_word_for_a_setting_of_the_broker_leads_to_it(tmp_path: Path, word: str, advice: str) -> None:
    (fault,) = faults(tmp_path / "gateway.yaml", f"{MQTT}    {word}: {SECRET}\n")
    assert fault.startswith(f"6: '{word}' is not a known key; ")
    assert advice in fault


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("bind", "`listen: 127.0.0.1:8300`"),
        ("port", "`listen: 127.0.0.1:8300`"),
        ("password", "`password_file: web.password`"),
        ("username", "every user name is right"),
        ("no_auth", "`open: true`"),
        ("allowed_hosts", "`hosts: [smarty.example]`"),
        ("trusted_proxies", "`proxies: [192.168.1.5]`"),
        ("https", "a reverse proxy before it"),
        ("base_path", "below any path"),
        ("enabled", "the section itself"),
    ],
)
def test_another_word_for_a_setting_of_the_page_leads_to_it(tmp_path: Path, word: str, advice: str) -> None:
    text = f"{METER}outputs:\n  http:\n    {word}: {SECRET}\n"
    (fault,) = faults(tmp_path / "gateway.yaml", text)
    assert fault.startswith(f"5: '{word}' is not a known key; ")
    assert advice in fault


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("smtp_server", "`server: smtps://USER@HOST`"),
        ("port", "`server: smtps://USER@HOST:465`"),
        ("user", "`server: smtps://USER@HOST`"),
        ("password", "`password_file: mail.password`"),
        ("starttls", "smtp:// (STARTTLS)"),
        ("sender", "`from: gateway@example.org`"),
        ("recipients", "`to: [me@example.org]`"),
        ("ca_cert", "`ca_file: FILE`"),
    ],
)
def test_another_word_for_a_setting_of_the_mail_leads_to_it(tmp_path: Path, word: str, advice: str) -> None:
    settings = "server: smtp://localhost, from: a@example.org, to: b@example.org"
    (fault,) = faults(
        tmp_path / "gateway.yaml", f"{METER}outputs:\n  mail: {{{settings}, {word}: {SECRET}}}\n"
    )
    assert fault.startswith(f"4: '{word}' is not a known key; ")
    assert advice in fault


@pytest.mark.parametrize(
    ("output", "word", "advice"),
    [
        ("tcp: [{listen: '127.0.0.1:3001'", "port", "`listen: 127.0.0.1:2001`"),
        ("tcp: [{listen: '127.0.0.1:3001'", "password", "no password and no TLS"),
        ("pty: [{link: x", "path", "`link: /run/smarty-gateway/house`"),
        ("pty: [{link: x", "baudrate", "any speed"),
        ("pty: [{link: x", "owner", "`group: dialout`"),
        ("udp: [{address: 'h:7000'", "host", "`address:"),
        ("udp: [{address: 'h:7000'", "values", "`fields: [power_import]`"),
        ("influxdb: {url: 'http://h', database: d", "organization", "`org: home`"),
        ("influxdb: {url: 'http://h', database: d", "host", "`url: http://HOST:8086`"),
        ("influxdb: {url: 'http://h', database: d", "password", "`password_file: influx.password`"),
        ("influxdb: {url: 'http://h', bucket: d", "api_token", "`token_file: influx.token`"),
        ("influxdb: {url: 'http://h', database: d", "version", "`bucket` of 2 and 3"),
        ("domoticz: {devices: {house: {gas: 1}}", "server", "`url: http://HOST:8080`"),
        ("domoticz: {devices: {house: {gas: 1}}", "password", "`password_file: domoticz.password`"),
        ("domoticz: {devices: {house: {gas: 1}}", "idx", "`devices: {house: {electricity: 12, gas: 13}}`"),
        ("files: {folder: x", "directory", "`folder: telegrams`"),
        ("files: {folder: x", "retention", "nothing is deleted"),
    ],
)
def test_another_word_for_a_setting_of_a_consumer_leads_to_it(
    tmp_path: Path, output: str, word: str, advice: str
) -> None:
    meters = "meters:\n  - {name: house, source: /dev/null}\n"
    closing = "}]" if "[{" in output else "}"
    text = f"{meters}outputs:\n  {output}, {word}: {SECRET}{closing}\n"
    (fault,) = faults(tmp_path / "gateway.yaml", text)
    assert fault.startswith(f"4: '{word}' is not a known key; ")
    assert advice in fault


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("influx", "`influxdb:`"),
        ("influxdb2", "`influxdb:`"),
        ("socket", "`tcp: ["),
        ("telnet", "`tcp: ["),
        ("serial", "`pty: ["),
        ("loxone", "`udp: ["),
        ("csv", "`files: {folder: telegrams}`"),
        ("jsonl", "`files: {folder: telegrams}`"),
        ("domotics", "did you mean 'domoticz'?"),
    ],
)
def test_another_word_for_an_output_leads_to_it(tmp_path: Path, word: str, advice: str) -> None:
    (fault,) = faults(tmp_path / "gateway.yaml", f"{METER}outputs:\n  {word}: {SECRET}\n")
    assert advice in fault


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("port", "`- source: /dev/ttyUSB0`"),
        ("http", "below `outputs:`"),
        ("web", "`http: true`"),
        ("email", "`mail:`"),
        ("mqtt", "below `outputs:`"),
        ("broker", "`url: mqtt://HOST`"),
        ("password", "`password_file: mqtt.password`"),
        ("encryption_key", "keys.yaml"),
        ("log_level", "`run` with -v"),
        ("tz", "`timezone: Europe/Luxembourg`"),
        ("time_zone", "did you mean 'timezone'?"),
        ("reference_power", "an entry of `meters:`"),
    ],
)
def test_another_word_at_the_top_leads_to_its_place(tmp_path: Path, word: str, advice: str) -> None:
    (fault,) = faults(tmp_path / "gateway.yaml", f"{word}: {SECRET}\n{METER}")
    assert fault.startswith(f"1: '{word}' is not a known key; ")
    assert advice in fault


def test_a_word_like_no_other_gets_the_list_of_the_keys(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path / "gateway.yaml", METER + "    zzz: 1\n")
    assert "the keys here are: source, name, id," in fault


@pytest.mark.parametrize(
    "word",
    [
        "GUEK", "guek_sm_ci_128", "EK", "Global Unicast Encryption Key", "P1 key", "decryption_key",
        "P1 unitary key", "clé de décryptage", "Schlüssel",
    ],
)  # fmt: skip
def test_each_name_of_the_encryption_key_leads_to_it(tmp_path: Path, word: str) -> None:
    (first,) = faults(tmp_path / "keys.yaml", f"keys:\n  {SERIAL}:\n    {word}: {KEY}\n")
    assert first.startswith("3: ")
    assert first.endswith("is not a known key; write `encryption_key`")


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("GAK", "write `authentication_key`"),
        ("AK", "write `authentication_key`"),
        ("Global authentification key", "write `authentication_key`"),
        ("AAD", "leave out the 30 at its beginning, and write `authentication_key`"),
        ("GBEK", "the encryption key (GUEK) is needed, as `encryption_key`"),
        ("KEK", "the encryption key (GUEK) is needed, as `encryption_key`"),
        ("master key", "the encryption key (GUEK) is needed, as `encryption_key`"),
    ],
)
def test_each_other_key_of_dlms_is_explained(tmp_path: Path, word: str, advice: str) -> None:
    entry = f"{{encryption_key: {KEY}, {word}: {KEY}}}"
    (fault,) = faults(tmp_path / "keys.yaml", f"keys:\n  {SERIAL}: {entry}\n")
    assert fault.endswith(advice)


@pytest.mark.parametrize("word", ["GUEK", "GAK", "encryption_key"])
def test_the_name_of_a_key_is_not_that_of_a_meter(tmp_path: Path, word: str) -> None:
    (fault,) = faults(tmp_path / "keys.yaml", f"keys:\n  {word}: {KEY}\n")
    assert fault.startswith("2: ")
    assert "the meter's serial number" in fault


@pytest.mark.parametrize("name", [SERIAL, "any", "GUEK"])
def test_entries_without_the_word_keys_above_them_are_explained(tmp_path: Path, name: str) -> None:
    (fault,) = faults(tmp_path / "keys.yaml", f"{name}: {KEY}\n")
    assert "write `keys:`, and below it" in fault


def test_each_table_is_that_of_a_section_and_advises_only_keys_that_it_has() -> None:
    for section, words in WORDS.items():
        module = next(module for module in MODULES if hasattr(module, section))
        kind = getattr(module, section)
        known = settings_of(kind)
        assert not set(words) & {re.sub("[ _-]", "", key) for key in known}, section
        for advice in words.values():
            match = re.match(r"write `(\w+)", advice)
            assert match is None or "below" in advice or match[1] in known, advice
