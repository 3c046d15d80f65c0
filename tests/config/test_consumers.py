"""What gateway.yaml says of the consumers: what is read, refused and warned about."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from smarty_gateway.config.gateway_file import load_config, read_config
from smarty_gateway.config.needs import unmet_needs
from smarty_gateway.config.pool_file import read_pool_config
from smarty_gateway.config.value_names import is_value_name, nearest_value_name
from smarty_gateway.config.warnings import warnings
from smarty_gateway.outputs.plain_values import value_at
from tests.support.every_meter import EVERY_KIND

METERS = (
    "meters: [{name: house, source: 'tcp://localhost:2001'}, {name: barn, source: run/barn}]\nstate: state\n"
)
INFLUX = "url: 'http://localhost:8086'"
TO_UDP = "address: '192.168.1.77:7000'"


def errors(folder: Path, outputs: str, meters: str = METERS) -> list[str]:
    path = folder / "gateway.yaml"
    path.write_text(f"{meters}outputs:\n  {outputs}\n", "utf-8")
    found = [str(error).removeprefix(f"{path}:") for error in read_config(path)[1]]
    assert not any("hunter" in message for message in found)
    return found


def warned(folder: Path, outputs: str) -> list[str]:
    assert errors(folder, outputs) == []
    return warnings(load_config(folder / "gateway.yaml"))


def needed(folder: Path, outputs: str) -> list[str]:
    errors(folder, outputs)
    return [str(need) for need in unmet_needs(load_config(folder / "gateway.yaml"))]


@pytest.mark.parametrize(
    ("outputs", "part"),
    [
        (
            "tcp: [{listen: '127.0.0.1:3001'}]",
            "several meters, and this serves one of them; add a line such as",
        ),
        ("pty: [{link: x}]", "add a line such as `meter: house`"),
        ("tcp: [{listen: '127.0.0.1:3001', meter: hous}]", "has this name; did you mean 'house'?"),
        ("pty: [{link: x, meter: hunter}]", "has this name; the names are: house, barn"),
        (f"udp: [{{{TO_UDP}, meter: bran}}]", "did you mean 'barn'?"),
        ("tcp: [{listen: 3001, meter: house}]", "127.0.0.1:2001 (this machine only)"),
        ("tcp: [{listen: '127.0.0.1:2001', meter: house}]", "would read what it writes itself"),
        ("tcp: [{listen: '[::1]:2001', meter: house}]", "would read what it writes itself"),
        ("tcp: [{listen: '0.0.0.0:2001', meter: barn}]", "line 1 reads this port"),
        ("http: {listen: '127.0.0.1:3001'}\n  tcp: [{listen: '[::]:3001', meter: barn}]", "the page listens"),
        ("http: true\n  tcp: [{listen: '127.0.0.1:8300', meter: barn}]", "the page listens on this port"),
        ("pty: [{link: run/barn, meter: barn}]", "line 1 reads this port"),
        ("pty: [{link: run/../run/barn, meter: house}]", "line 1 reads this port"),
        ("pty: [{link: x, meter: house}, {link: ./x, meter: barn}]", "line 4 has this link, too"),
        ("pty: [{link: x, meter: house, mode: rw}]", "such as 0660"),
        (f"udp: [{{{TO_UDP}, fields: [[power_import]]}}]", "the name of a value is needed here"),
        (f"udp: [{{{TO_UDP}, fields: [power_import], format: json}}]", "remove one of the two"),
        (f"udp: [{{{TO_UDP}, fields: [power]}}]", "did you mean 'power_import'?"),
        (f"udp: [{{{TO_UDP}, fields: [power_import, gass]}}]", "did you mean 'gas'?"),
        (f"udp: [{{{TO_UDP}, fields: [blurb]}}]", "docs/reference.md lists them"),
        (f"influxdb: {{{INFLUX}}}", "`database: smarty` (InfluxDB 1) or `bucket: smarty` (InfluxDB 2 and 3)"),
        (f"influxdb: {{{INFLUX}, databse: x}}", "did you mean 'database'?"),
        (f"influxdb: {{{INFLUX}, database: x, bucket: x}}", "remove one of the two"),
        (f"influxdb: {{{INFLUX}, database: x, org: x}}", "org is only for InfluxDB 2 and 3"),
        (f"influxdb: {{{INFLUX}, bucket: x, password_file: x}}", "password_file is only for InfluxDB 1"),
        (f"influxdb: {{{INFLUX}, database: x, user: x}}", "user needs a password_file"),
        (f"influxdb: {{{INFLUX}, database: x, password_file: x}}", "password_file needs a user"),
        (f"influxdb: {{{INFLUX}, bucket: x, token: hunter2}}", "`token_file: influx.token`"),
        ("forward: {urls: 'mqtts://edge:hunter2@a'}", "a password is never part of the url"),
        ("forward: {urls: [mqtts://edge@a, mqtt://edge@b]}", "write the same user, and mqtts://, in all"),
        ("forward: {urls: [mqtts://edge@a, mqtts://other@b]}", "write the same user, and mqtts://, in all"),
        ("forward: {urls: []}", "begin each url with"),
        ("forward: {url: mqtts://edge@a}", "write `urls: [mqtts://USER@HOST]`"),
        (
            "forward: {urls: mqtts://edge@a, topic: smarty/#}",
            "the topic has letters, digits and the signs _ and -",
        ),
        ("influxdb: {url: 'http://me:hunter2@nas:8086', database: x}", "a password is never part of the url"),
        ("domoticz: {devices: {house: {gas: 1}}, user: x}", "user needs a password_file"),
        ("tcp: 2001", "begin each port with `- `, as in `- listen: 127.0.0.1:2001`"),
        ("tcp: ['127.0.0.1:2001']", "such as `listen: 127.0.0.1:2001`; the keys here are: listen, meter"),
        ("pty: /dev/ttyV0", "as in `- link: /run/smarty-gateway/house`"),
        ("udp: 192.168.1.77:7000", 'as in `- address: "192.168.1.77:7000"`'),
        ("udp: [192.168.1.77:7000]", "such as `address: 192.168.1.77:7000`"),
        ("influxdb: http://localhost:8086", "such as `url: http://localhost:8086`; the keys here are: url, "),
        ("influxdb:", "`name: value` below it, further to the right, such as `url: http://"),
        ("domoticz: true", "such as `devices: {house: {electricity: 12, gas: 13}}`"),
        ("domoticz: {devices: {house: {gas: 1}}}\n  devices: {}", "below `domoticz:`, further to the right"),
        (
            "influxdb: {url: 'http://nas', database: x}\n  bucket: x",
            "below `influxdb:`, further to the right",
        ),
        (
            f"udp: [{{{TO_UDP}}}]\n  udp: [{{{TO_UDP}}}]",
            "already in line 4; write all entries below that line",
        ),
        (f"udp: [{{{TO_UDP}, interval: 60}}]", "every reading is sent"),
        ("domoticz: {devices: {house: {gas: 1, water: 2}}}", "only electricity and gas are sent"),
        ("files: {folder: x, enabled: true}", "the section itself switches it on"),
        ("files: telegrams", "such as `folder: telegrams`"),
        ("mqtt: {url: mqtt://localhost, domoticz: true}", "`domoticz:` below `outputs:`"),
        ("files: {folder: state}", "the state folder of line 2"),
        ("files: {folder: gateway.yaml}", "this is a file"),
        ("files: {folder: x, format: cvs}", "did you mean 'csv'?"),
    ],
)
def test_what_cannot_be_is_one_line_with_what_to_write(tmp_path: Path, outputs: str, part: str) -> None:
    (message,) = errors(tmp_path, outputs)
    assert message.startswith(f"{3 + outputs.count(chr(10)) + 1}: ")
    assert part in message


@pytest.mark.parametrize(
    "outputs",
    [
        "tcp: [{listen: '127.0.0.1:3001', meter: house}, {listen: '127.0.0.1:3002', meter: house}]",
        "tcp: [{listen: '127.0.0.1:3001', meter: house}, {listen: '[::1]:3001', meter: barn}]",
        "tcp: [{listen: '192.168.1.5:2001', meter: house}]",
        "pty: [{link: run/house, meter: house, group: dialout, mode: 0660}]",
        f"udp: [{{{TO_UDP}}}, {{{TO_UDP}, meter: barn, fields: [power_import, gas_2, water.timestamp]}}]",
        f"influxdb: {{{INFLUX}, database: smarty}}",
        f"influxdb: {{{INFLUX}, bucket: smarty, org: home, token_file: influx.token}}",
        "files: {folder: state/telegrams}",
    ],
)
def test_what_can_be_is_read(tmp_path: Path, outputs: str) -> None:
    assert errors(tmp_path, outputs) == []


@pytest.mark.parametrize("output", ["tcp: [{listen: '127.0.0.1:3001'}]", "pty: [{link: x}]"])
def test_the_only_meter_need_not_be_named(tmp_path: Path, output: str) -> None:
    assert errors(tmp_path, output, "meters: [{source: /dev/ttyS0}]\n\n") == []


def test_where_no_meter_has_a_name_it_needs_one(tmp_path: Path) -> None:
    meters = "meters: [{source: /dev/ttyS0}, {source: /dev/ttyS1}]\n"
    (message,) = errors(tmp_path, "pty: [{link: x}]", meters)
    assert message.endswith("give them names, and add `meter: NAME`")
    (message,) = errors(tmp_path, "pty: [{link: x, meter: house}]", meters)
    assert message.endswith("give the meter a `name:`, and write that here")


@pytest.mark.parametrize("secret", ["101112131415161718191a1b1c1d1e1f x", "mqtt://me:h4n73r2-s3cr3t@host"])
def test_no_message_repeats_a_key_or_a_password_in_the_place_of_a_name(tmp_path: Path, secret: str) -> None:
    meters = (
        f"meters: [{{name: '{secret}', source: /dev/ttyS0}}, {{name: 'y {secret}', source: /dev/ttyS1}}]\n"
    )
    for output in ("pty: [{link: x}]", "pty: [{link: x, meter: house}]"):
        (message,) = errors(tmp_path, output, meters)
        assert secret[:20] not in message
        assert "`name:` or `id:` of one" in message


def test_two_listeners_cannot_have_one_port_of_one_address(tmp_path: Path) -> None:
    first = "tcp:\n  - {listen: '127.0.0.1:3001', meter: house}\n"
    for other in ("127.0.0.1", "0.0.0.0", "[::]"):  # noqa: S104 - not listened on
        (message,) = errors(tmp_path, f"{first}  - {{listen: '{other}:3001', meter: barn}}")
        assert message == "6: line 5 listens on this port, too; write another port"


def test_a_message_lists_a_few_names_only(tmp_path: Path) -> None:
    meters = ", ".join(f"{{name: m{number}, source: /dev/ttyS{number}}}" for number in range(100))
    (message,) = errors(tmp_path, "pty: [{link: x, meter: quark}]", f"meters: [{meters}]\n")
    assert message.endswith("the names are: m0, m1, m2, m3, m4, …")


def test_a_port_that_others_can_reach_is_warned_about_once(tmp_path: Path) -> None:
    (warning,) = warned(
        tmp_path,
        "tcp: [{listen: '0.0.0.0:3001', meter: house}, {listen: '192.168.1.5:3003', meter: barn}, "
        "{listen: '127.0.0.1:3002', meter: barn}]",
    )
    assert warning.startswith("tcp: everybody who can reach 0.0.0.0:3001 and 1 more reads the telegrams")


def test_a_secret_that_goes_through_the_network_in_clear_text_is_warned_about(tmp_path: Path) -> None:
    influx = "influxdb: {url: 'http://nas:8086', bucket: b, org: o, token_file: t}"
    assert warned(tmp_path, influx) == [
        "influxdb: the token goes to nas unencrypted; write https:// if the server has TLS"
    ]
    domoticz = "domoticz: {url: 'http://nas:8080', user: u, password_file: t, devices: {house: {gas: 1}}}"
    (warning,) = warned(tmp_path, domoticz)
    assert warning.startswith("domoticz: the password goes to nas unencrypted")
    for url in ("https://nas:8086", "http://localhost:8086", "http://127.0.0.1:8086"):
        assert warned(tmp_path, influx.replace("http://nas:8086", url)) == []


@pytest.mark.parametrize(
    ("urls", "parts"),
    [
        ("mqtts://edge@a", []),
        ("mqtt://edge@127.0.0.1", ["are not forwarded: they go out with TLS only"]),
        ("mqtt://edge@a", ["frames and password go to a without TLS", "are not forwarded: they go out with"]),
        ("mqtts://a", ["believes them from a known user only", "a password_file needs a user"]),
    ],
)
def test_an_edge_is_warned_of_what_it_cannot_forward(tmp_path: Path, urls: str, parts: list[str]) -> None:
    (tmp_path / "secret").touch(0o600)
    found = warned(tmp_path, f"forward: {{urls: '{urls}', password_file: secret}}")
    assert [part in message for part, message in zip(parts, found, strict=True)] == [True] * len(parts)


@pytest.mark.parametrize(
    ("user", "is_believed"),
    [
        *((user, True) for user in ("edge", "edge-barn_2", "e" * 64)),
        *(
            (user, False)
            for user in ("my.edge", "edge:x", "bär", "edge@x", "a/b", "a b", "a+", "#", "e" * 65)
        ),
    ],
)
def test_plaintext_is_forwarded_for_those_users_that_a_pool_believes(
    tmp_path: Path,
    user: str,
    is_believed: bool,  # noqa: FBT001
) -> None:
    pool = tmp_path / "pool.yaml"
    pool.write_text(f"plaintext: [{{meter_id: 1SAG1100000001, user: '{user}'}}]\n", "utf-8")
    rule = "the user of an edge has a name of 1 to 64 characters: A to Z, a to z, 0 to 9, _ and -"
    assert any(error.message == rule for error in read_pool_config(pool)[1]) != is_believed
    (tmp_path / "secret").touch(0o600)
    refused = f"{rule}; add such a user to the cluster, and write it in the urls"
    expected = f"forward: telegrams that are not encrypted are not forwarded: {refused}"
    found = warned(tmp_path, f"forward: {{urls: 'mqtts://{quote(user)}@a', password_file: secret}}")
    assert found == ([] if is_believed else [expected])


def test_a_bucket_without_org_and_token_is_warned_about(tmp_path: Path) -> None:
    (warning,) = warned(tmp_path, f"influxdb: {{{INFLUX}, bucket: b}}")
    assert "InfluxDB 2 needs `org` and `token_file`" in warning


@pytest.mark.parametrize("output", ["influxdb", "domoticz"])
def test_certificates_that_cannot_be_read_or_are_not_used_are_warned_about(
    tmp_path: Path, output: str
) -> None:
    rest = "database: x" if output == "influxdb" else "devices: {house: {gas: 1}}"
    assert warned(tmp_path, f"{output}: {{url: 'https://nas:8086', ca_file: none.pem, {rest}}}") == [
        f"{output}: ca_file names no file that can be read"
    ]
    (tmp_path / "ca.pem").touch()
    assert warned(tmp_path, f"{output}: {{url: 'http://nas:8086', ca_file: ca.pem, {rest}}}") == [
        f"{output}: certificates are used only with TLS; write https://"
    ]


@pytest.mark.parametrize(
    ("outputs", "what"),
    [
        (f"influxdb: {{{INFLUX}, bucket: b, org: o, token_file: secret}}", "token"),
        (f"influxdb: {{{INFLUX}, database: d, user: u, password_file: secret}}", "password"),
        ("domoticz: {devices: {house: {gas: 1}}, user: u, password_file: secret}", "password"),
        ("forward: {urls: mqtts://edge@a, password_file: secret}", "password"),
    ],
)
def test_files_with_secrets_are_verified_before_the_start(tmp_path: Path, outputs: str, what: str) -> None:
    file = tmp_path / "secret"
    (missing,) = needed(tmp_path, outputs)
    assert f"the {what}_file cannot be read" in missing
    file.touch(0o600)
    (empty,) = needed(tmp_path, outputs)
    assert empty.endswith(f"the file is empty; write the {what} into it")
    file.write_text("hunter2\n")
    assert needed(tmp_path, outputs) == []
    file.chmod(0o640)
    (readable,) = needed(tmp_path, outputs)
    assert f"others on this machine can read the {what} in it; type: chmod 600" in readable


@pytest.mark.parametrize(
    "name", ["meter", "energy_import_tariff_1", "gas", "gas_2", "gas.timestamp", "device_9"]
)
def test_names_of_single_values_are_known(name: str) -> None:
    assert is_value_name(name)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_single_value_of_every_kind_of_meter_has_a_name_that_is_known(kind: str) -> None:
    record = EVERY_KIND[kind].as_object()
    inside = [
        f"{name}.{inner}" for name, value in record.items() if isinstance(value, Mapping) for inner in value
    ]
    for name in (*record, *inside):
        if value_at(record, name) is not None and not name.startswith("unknown."):
            assert is_value_name(name), name


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("unknown", None),
        ("", None),
        ("gas.colour", None),
        ("Power_Export", "power_export"),
        ("energy", "energy_import"),
    ],
)
def test_other_names_are_not(name: str, meant: str | None) -> None:
    assert not is_value_name(name)
    assert nearest_value_name(name) == meant
