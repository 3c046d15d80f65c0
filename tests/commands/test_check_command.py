"""`smarty-gateway check`: all faults of both files at once, and nothing is started."""

import os
import threading
from pathlib import Path

import pytest

from smarty_gateway.config.gateway_file import config_from_options, load_config
from smarty_gateway.config.warnings import missing_ports, warnings
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter, keys_yaml
from tests.support.commands import ROOT, SAMPLE_KEYS, smarty_gateway

KEY = "4D3C2B1A09F8E7D6C5B4A39281706F5E"
SERIAL = "SAG1030700012345"
GATEWAY = "meters:\n  - source: /dev/null\n"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def check(folder: Path, *arguments: object) -> tuple[int, str, list[str]]:
    """Return exit status, standard output and the lines of standard error."""
    done = smarty_gateway("check", *arguments, folder=folder)
    return done.returncode, done.stdout.decode(), done.stderr.decode().splitlines()


def test_the_template_for_users_has_no_fault(tmp_path: Path) -> None:
    template = write(tmp_path / "keys.example.yaml", (ROOT / "keys.example.yaml").read_text("utf-8"))
    status, out, errors = check(tmp_path, "--keys", template.name)
    assert status == 0
    assert out.startswith("keys.example.yaml: valid, 3 keys, but with published dummies")
    assert "SAG1030700012345, SAG1030700011111, any; write the keys from" in out
    assert [line.split(":")[0] for line in errors] == ["note"]


def test_an_edge_needs_no_keys(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", f"{GATEWAY}outputs:\n  forward: {{urls: mqtts://a.example}}\n")
    status, _, errors = check(tmp_path)
    assert status == 0
    assert not [line for line in errors if "key" in line]


@pytest.mark.parametrize("url", ["mqtts://edge:hunter2@a.example", "http://a.example"])
def test_a_list_of_nodes_with_a_fault_brings_no_warning_about_nodes(tmp_path: Path, url: str) -> None:
    write(tmp_path / "edge.password", "x\n")
    write(tmp_path / "ca.crt", "")
    files = "password_file: edge.password, ca_file: ca.crt"
    write(tmp_path / "gateway.yaml", f"{GATEWAY}outputs:\n  forward: {{urls: ['{url}'], {files}}}\n")
    status, _, errors = check(tmp_path)
    (fault,) = errors
    assert status == 78
    assert fault.startswith("gateway.yaml:4: ")


def test_the_credential_of_the_key_file_is_checked_as_run_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "secrets/keys.yaml", f"keys:\n  {SERIAL}: {KEY}\n", mode=0o444)
    write(tmp_path / "gateway.yaml", f"keys: keys.yaml\n{GATEWAY}")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))
    status, out, _ = check(tmp_path)
    assert (status, "secrets/keys.yaml: good, 1 key" in out) == (0, True)


def test_a_dummy_that_was_left_beside_a_key_is_named(tmp_path: Path) -> None:
    dummy = "000102030405060708090A0B0C0D0E0F"
    write(tmp_path / "keys.yaml", f"keys:\n  {SERIAL}: {KEY}\n  any: {dummy}\n")
    _, out, _ = check(tmp_path)
    assert "valid, 2 keys, but with published dummies, which open no real meter: any;" in out


def test_the_keys_of_the_simulator_are_called_dummies(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", keys_yaml([SimulatedMeter(MeterKind.LUXEMBOURG, 7)]))
    assert "no real meter: SAG1030700000007;" in check(tmp_path)[1]


def test_the_unedited_template_of_the_configuration_is_not_called_good(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", (ROOT / "deploy/gateway.example.yaml").read_text("utf-8"))
    status, out, errors = check(tmp_path)
    assert (status, out) == (0, "gateway.yaml: valid, 1 meter, 1 output (mqtt), but a port is not there\n")
    port = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
    assert errors[0].startswith(f"warning: the port {port} is not there; ")


def test_which_files_were_looked_for_and_not_found_is_said(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", f"keys:\n  any: {KEY}\n")
    (note,) = check(tmp_path)[2]
    assert note.startswith(
        "note: no configuration was found (gateway.yaml, /etc/smarty-gateway/gateway.yaml)"
    )
    (tmp_path / "keys.yaml").unlink()
    write(tmp_path / "gateway.yaml", GATEWAY)
    (note,) = check(tmp_path)[2]
    assert note.startswith("note: no key file was found (keys.yaml, /etc/smarty-gateway/keys.yaml)")


def test_both_files_are_found_in_the_working_folder(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", f"keys:\n  any: {KEY}\n")
    write(tmp_path / "gateway.yaml", GATEWAY)
    assert check(tmp_path) == (0, "gateway.yaml: good, 1 meter\nkeys.yaml: good, 1 key\n", [])


def test_the_key_file_is_the_one_that_the_configuration_names(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", "faulty")
    keys = write(tmp_path / "there/my.yaml", f"keys:\n  any: [{KEY}, {KEY[::-1]}]\n")
    config = write(tmp_path / "there/gateway.yaml", "keys: my.yaml\n" + GATEWAY)
    expected = f"{config}: good, 1 meter\n{keys}: good, 2 keys\n"
    assert check(tmp_path, "--config", config) == (0, expected, [])
    status, _, errors = check(tmp_path, "--config", config, "--keys", "keys.yaml")
    assert status == 78
    assert errors[0].startswith("keys.yaml:1: ")


def test_the_key_file_that_a_faulty_configuration_names_is_checked_too(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", "keys: my.yaml\nmeters: /dev/ttyS0\n")
    write(tmp_path / "my.yaml", "keys:\n  any: x\n")
    status, out, errors = check(tmp_path)
    assert (status, out) == (78, "")
    places = [line.split(" ")[0] for line in errors]
    assert places == ["gateway.yaml:2:", f"{tmp_path}/my.yaml:2:"]


def test_every_error_of_both_files_is_shown_at_once_without_a_key(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", GATEWAY + "    nmae: x\n    speed: 1\nstore: {days: x}\n")
    entries = (
        f"{SERIAL}: {KEY[:-1]}",
        f"5341476770003039: {KEY}",
        f"any: [{KEY}G, {KEY}0]",
        f"nobody: {KEY}",
    )
    bad = "keys:\n" + "".join(f"  {entry}\n" for entry in entries)
    write(tmp_path / "keys.yaml", bad)
    status, out, errors = check(tmp_path)
    assert (status, out) == (78, "")
    assert [line.split(" ")[0] for line in errors] == [
        "gateway.yaml:3:", "gateway.yaml:4:", "gateway.yaml:5:",
        "keys.yaml:2:", "keys.yaml:3:", "keys.yaml:4:", "keys.yaml:4:", "keys.yaml:5:",
    ]  # fmt: skip
    assert KEY[:8] not in "".join(errors)


def test_the_permitted_baud_rates_are_not_hidden_as_a_key(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", GATEWAY + "    speed: 1\n")
    _, _, errors = check(tmp_path)
    assert errors[0].startswith("gateway.yaml:3: speed is 300 or 1200 or ")
    assert "115200" in errors[0]


def test_a_key_in_the_place_of_two_names_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", f"keys:\n  {KEY}: a\n  {KEY}: b\n")
    status, _, errors = check(tmp_path)
    assert (status, len(errors)) == (78, 2)
    assert KEY[:8] not in "".join(errors)


def test_one_good_file_is_called_good_where_the_other_is_not(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", "meters:\n")
    write(tmp_path / "keys.yaml", f"keys:\n  any: {KEY}\n")
    status, out, errors = check(tmp_path)
    assert (status, out, len(errors)) == (78, "keys.yaml: good, 1 key\n", 1)


def test_warnings_do_not_change_the_exit_status(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", GATEWAY + "outputs: {mqtt: {url: mqtt://broker.example}}\n")
    write(tmp_path / "keys.yaml", f"keys:\n  any: {KEY}\n")
    status, out, errors = check(tmp_path)
    assert status == 0
    assert out.count("good") == 2
    assert [line.split(" ")[0] for line in errors] == ["warning:"]
    assert "mqtts://" in errors[0]


def test_a_key_file_that_others_can_read_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", GATEWAY)
    write(tmp_path / "keys.yaml", f"keys:\n  any: {KEY}\n", 0o644)
    status, out, errors = check(tmp_path)
    assert (status, out) == (78, "gateway.yaml: good, 1 meter\n")
    assert errors == ["keys.yaml: others on this machine can read the keys in it; type: chmod 600 keys.yaml"]


def test_a_key_file_of_dummies_needs_no_protection(tmp_path: Path) -> None:
    status, out, errors = check(tmp_path, "--keys", SAMPLE_KEYS)
    assert status == 0
    assert "published dummies" in out
    assert [line.split(":")[0] for line in errors] == ["note"]


@pytest.mark.parametrize("key", [KEY, "000102030405060708090A0B0C0D0E0F"])
def test_every_command_has_the_same_answer_for_a_named_pipe_of_keys(tmp_path: Path, key: str) -> None:
    pipe = tmp_path / "keys.yaml"
    os.mkfifo(pipe)
    pipe.chmod(0o644)
    (tmp_path / "empty.bin").touch()
    answers = {}
    for command in (("check",), ("decode", "empty.bin"), ("doctor", "empty.bin", "--format", "json")):
        writer = threading.Thread(target=pipe.write_text, args=(f"keys:\n  any: {key}\n",))
        writer.start()
        done = smarty_gateway(*command, "--keys", pipe, folder=tmp_path)
        writer.join()
        answers[command[0]] = b"chmod 600" in done.stdout + done.stderr
    assert answers == dict.fromkeys(("check", "decode", "doctor"), key == KEY)


def test_an_encrypted_meter_without_any_key_file_is_warned_about(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", GATEWAY + "    encrypted: true\n")
    status, _, errors = check(tmp_path)
    assert (status, len(errors)) == (0, 1)
    assert "no keys.yaml" in errors[0]


@pytest.mark.parametrize("option", ["--config", "--keys"])
def test_a_file_that_is_named_and_not_there_is_an_error(tmp_path: Path, option: str) -> None:
    status, out, errors = check(tmp_path, option, "missing.yaml")
    assert (status, out, len(errors)) == (78, "", 1)
    assert errors[0].startswith("missing.yaml: ")
    assert "No such file" in errors[0]


def test_without_any_file_one_line_says_what_to_do(tmp_path: Path) -> None:
    status, out, errors = check(tmp_path)
    assert (status, out, len(errors)) == (2, "", 1)
    assert "--config FILE" in errors[0]


def test_an_escape_that_python_cannot_represent_is_reported_in_one_line(tmp_path: Path) -> None:
    write(tmp_path / "keys.yaml", '"\\UFFFFFFFF"\n')
    status, _, errors = check(tmp_path)
    assert (status, len(errors)) == (78, 1)
    assert "YAML" in errors[0]


def test_unencrypted_readings_on_the_network_are_warned_about() -> None:
    for host in ("localhost", "127.0.0.1", "127.1.2.3", "[::1]"):
        assert warnings(config_from_options("-", mqtt=f"mqtt://{host}")) == []
    for host in ("broker.example", "10.0.0.1", "[fe80::1]"):
        (message,) = warnings(config_from_options("-", mqtt=f"mqtt://{host}"))
        assert "mqtts://" in message
        assert warnings(config_from_options("-", mqtt=f"mqtts://{host}")) == []


def test_a_port_whose_name_can_change_is_warned_about_with_its_lasting_name(tmp_path: Path) -> None:
    (message,) = warnings(config_from_options("/dev/ttyUSB7"))
    assert "/dev/serial/by-id/" in message
    for port in ("ttyUSB7", "ttyUSB8"):
        (tmp_path / port).touch()
    link = tmp_path / "serial/by-id/usb-FTDI"
    link.parent.mkdir(parents=True)
    (link.parent / "usb-other").symlink_to(tmp_path / "ttyUSB8")
    link.symlink_to(tmp_path / "ttyUSB7")
    (message,) = warnings(config_from_options(f"{tmp_path}/ttyUSB7"))
    assert message.endswith(f"write {link}")
    assert len(warnings(config_from_options("/dev/ttyACM0"))) == 1
    assert warnings(config_from_options("/dev/ttyS0")) == []


def test_passwords_that_are_missing_or_open_to_others_are_warned_about(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("hunter2")
    password.chmod(0o600)
    with_user = "mqtt://me@localhost"
    assert warnings(config_from_options("-", mqtt=with_user, password_file=password)) == []
    password.chmod(0o644)
    (message,) = warnings(config_from_options("-", mqtt=with_user, password_file=password))
    assert f"chmod 600 {password}" in message
    assert "the password" in message
    password.chmod(0o600)
    (message,) = warnings(config_from_options("-", mqtt=with_user))
    assert "no password_file" in message
    (message,) = warnings(config_from_options("-", mqtt="mqtt://localhost", password_file=password))
    assert "mqtts://USER@HOST" in message
    (message,) = warnings(config_from_options("-", mqtt=with_user, password_file=tmp_path / "hunter2"))
    assert "password_file names no file" in message
    assert "hunter2" not in message


def test_certificates_without_tls_are_warned_about(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    text = GATEWAY + "outputs: {mqtt: {url: mqtt://localhost, ca_file: ca.pem}}\n"
    (message,) = warnings(load_config(write(tmp_path / "gateway.yaml", text)))
    assert "mqtts://" in message


def test_a_port_with_an_impossible_name_is_only_missing() -> None:
    config = config_from_options(f"/dev/{'x' * 300}")
    (message,) = missing_ports(config)
    assert "is not there" in message
    assert warnings(config) == []


def test_a_port_in_a_folder_that_this_user_cannot_enter_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> os.stat_result:  # root, who runs CI, is never refused
        raise PermissionError(13, "Permission denied")

    config = config_from_options(str(tmp_path / "port"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", refuse)
        patch.setattr(Path, "exists", lambda _: False)  # as since Python 3.14
        assert missing_ports(config) == []
    assert missing_ports(config_from_options("/dev/ttyUSB77")) != []


LEVELS = """\
meters:
  - source: /dev/null
    name: house
    reference_power: POWER
    tariff: TARIFF
"""


@pytest.mark.parametrize("power", ["5", "43.5", "[{from: 2025-01-01, kw: 7}, {from: 2026-01-01, kw: 5}]"])
@pytest.mark.parametrize("line", ["    tariff: lu\n", ""])
def test_a_reference_power_that_is_no_level_is_pointed_out(tmp_path: Path, power: str, line: str) -> None:
    text = LEVELS.replace("    tariff: TARIFF\n", line).replace("POWER", power)
    (warning,) = warnings(load_config(write(tmp_path / "gateway.yaml", text)))
    assert warning.startswith("house: the reference power of ")
    levels = "3, 7, 12, 17, 27, 43, 70, 100, 150, 200 kW"
    assert warning.endswith(
        f" kW is not among the levels of the tariff lu ({levels}); compare it with your bill"
    )


@pytest.mark.parametrize("power", ["43", "[{from: 2025-01-01, kw: 5}, {from: 2026-01-01, kw: 7}]"])
def test_a_level_of_the_tariff_is_not_pointed_out(tmp_path: Path, power: str) -> None:
    text = LEVELS.replace("TARIFF", "lu").replace("POWER", power)
    assert warnings(load_config(write(tmp_path / "gateway.yaml", text))) == []


def test_a_tariff_of_the_users_own_is_checked_once_with_all_its_faults(tmp_path: Path) -> None:
    write(tmp_path / "gateway.yaml", LEVELS.replace("TARIFF", "./mine.yaml").replace("POWER", "7"))
    own = write(tmp_path / "mine.yaml", "name: mine\nperiods:\n  - {valid_form: 2026-01-01, vat: {}}\n")
    status, out, errors = check(tmp_path)
    assert (status, out) == (78, "gateway.yaml: good, 1 meter\n")
    assert [line.partition(": ")[0] for line in errors if "mine.yaml" in line] == [f"{own}:3"] * 3
    own.write_text("name: mine\nperiods: [{valid_from: 2026-01-01, levels: [{kw: 7}]}]\n")
    status, out, _ = check(tmp_path)
    assert (status, out) == (0, f"gateway.yaml: good, 1 meter\n{own}: good, 1 period of prices\n")


def test_a_list_of_levels_whose_only_entry_is_faulty_is_one_error(tmp_path: Path) -> None:
    levels = "reference_power: [{from: 2026-13-01, kw: 7}]"
    (tmp_path / "gateway.yaml").write_text(f"meters:\n  - {{source: /dev/ttyS0, {levels}}}\n", "utf-8")
    done = smarty_gateway("check", folder=tmp_path)
    assert done.returncode == 78
    assert b"gateway.yaml:2: " in done.stderr


MAIL = "mail: {server: smtps://me@localhost, from: a@example.org, to: b@example.org, "


@pytest.mark.parametrize(("command", "output"), [("check", "http: {"), ("run", "http: {"), ("check", MAIL)])
@pytest.mark.parametrize(
    ("content", "mode", "part"),
    [
        (None, 0o600, "the password_file cannot be read: No such file or directory"),
        ("", 0o600, "the file is empty"),
        ("secret\n", 0o644, "others on this machine can read the password in it; type: chmod 600 "),
    ],
)
def test_a_password_file_that_cannot_be_used_is_a_fault(  # noqa: PLR0913, PLR0917 - a table of cases
    tmp_path: Path, command: str, output: str, content: str | None, mode: int, part: str
) -> None:
    write(tmp_path / "gateway.yaml", f"{GATEWAY}outputs: {{{output}password_file: hunter2}}}}\n")
    if content is not None:
        write(tmp_path / "hunter2", content, mode)
    done = smarty_gateway(command, folder=tmp_path)
    assert (done.returncode, done.stdout) == (78, b"")
    (line,) = [line for line in done.stderr.decode().splitlines() if part in line]
    assert f"{output.partition(':')[0]}: " in line
    assert content is not None or "hunter2" not in line


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_page_without_its_libraries_is_a_fault_with_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    write(tmp_path / "gateway.yaml", f"{GATEWAY}outputs: {{http: true}}\n")
    monkeypatch.setattr("smarty_gateway.config.needs.find_spec", lambda _: None)
    done = smarty_gateway(command, folder=tmp_path)
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"pip install 'smarty-gateway[web]'" in done.stderr


def test_a_page_beyond_this_machine_without_a_password_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPERVISOR_TOKEN", raising=False)
    write(tmp_path / "gateway.yaml", f"{GATEWAY}outputs:\n  http:\n    listen: 0.0.0.0:8300\n")
    for command in ("check", "run"):
        done = smarty_gateway(command, folder=tmp_path)
        assert done.returncode == 78
        assert b"gateway.yaml:5: other machines can reach this address" in done.stderr
