"""The units have what a configuration needs, and no more."""

import grp
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.config.other_outputs import OtherOutput, OutputKind
from smarty_gateway.service import needs as needs_module
from smarty_gateway.service.needs import Needs, needs_of, problems_of
from smarty_gateway.service.units import UNIT, report_texts, unit_text
from tests.support.commands import LIMIT, ROOT, environment

PROGRAM = "/opt/smarty-gateway/bin/smarty-gateway"
CONFIG = Path("/etc/smarty-gateway/gateway.yaml")
#: Whose unit has the most rights.
EVERYTHING = """
mqtt: {url: mqtts://u@broker, password_file: mqtt.password}
http: {listen: "0.0.0.0:8300", password_file: web.password}
tcp: [{listen: "0.0.0.0:2001"}]
pty: [{link: /run/smarty-gateway/house, group: GROUP, mode: 0660}]
udp: [{address: "127.0.0.1:7000"}]
influxdb: {url: "http://localhost:8086", database: smarty, user: u, password_file: influx.password}
domoticz: {url: "http://localhost:8080", user: u, password_file: domoticz.password, devices: {house: {electricity: 12}}}
files: {folder: /srv/telegrams}
mail: {server: "smtps://u@mail.example", password_file: mail.password, from: g@mail.example, to: [m@mail.example]}
"""  # noqa: E501 - a line an output
#: Of Debian; any group will do.
GROUP = next(name for name in ("dialout", "uucp", "daemon") if name in {g.gr_name for g in grp.getgrall()})


def needs(folder: Path, outputs: str = "", rest: str = "") -> Needs:
    """Return what a gateway.yaml needs; its folder stands for that of the service."""
    path = configured(folder, outputs, rest)
    return needs_of(load_config(path), path, PROGRAM)


def configured(folder: Path, outputs: str, rest: str = "") -> Path:
    path = folder / "gateway.yaml"
    indented = outputs.strip().replace("\n", "\n  ").replace("GROUP", GROUP)
    listed = f"outputs:\n  {indented}\n" if indented else ""
    path.write_text(f"meters: [{{name: house, source: 'tcp://127.0.0.1:9'}}]\n{listed}{rest}", "utf-8")
    return path


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r"\w+=", line)]


def test_the_units_in_deploy_are_those_of_the_example() -> None:
    example = Needs(
        PROGRAM,
        CONFIG,
        secrets=(CONFIG.with_name("keys.yaml"),),
        mail_secrets=(CONFIG.with_name("mail.password"),),
        groups=("dialout",),
    )
    for name, text in {UNIT: unit_text(example), **report_texts(example)}.items():
        assert (ROOT / "deploy" / name).read_text("utf-8") == text, name


@pytest.mark.parametrize("program", [PROGRAM, "/usr/bin/python3 -m smarty_gateway"])
def test_without_its_program_a_unit_is_skipped(program: str) -> None:
    needs = Needs(program, CONFIG)
    for text in (unit_text(needs), report_texts(needs)["smarty-gateway-report@.service"]):
        assert f"\nConditionFileIsExecutable={program.split(maxsplit=1)[0]}\n" in text


def test_a_plain_configuration_gets_no_access_to_anything(tmp_path: Path) -> None:
    found = lines(unit_text(needs(tmp_path, "mqtt: {url: mqtt://localhost}")))
    assert [line for line in found if line.startswith(("Load", "Supp", "Runtime", "ReadWrite", "Amb"))] == []
    assert "CapabilityBoundingSet=" in found


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (
            "mqtt: {url: mqtts://u@h, password_file: mqtt.password, cert_file: a.crt, key_file: a.key}",
            ["LoadCredential=mqtt.password:FOLDER/mqtt.password", "LoadCredential=a.key:FOLDER/a.key"],
        ),
        (
            "mqtt: {url: mqtts://u@h, password_file: /run/credentials/smarty-gateway.service/mqtt.password}",
            ["LoadCredential=mqtt.password:FOLDER/mqtt.password"],
        ),
        (
            "influxdb: {url: 'http://h:8086', bucket: b, org: o, token_file: influx.token}",
            ["LoadCredential=influx.token:FOLDER/influx.token"],
        ),
        (
            "http: {listen: '0.0.0.0:80', password_file: /etc/web.password}",
            [
                "LoadCredential=web.password:/etc/web.password",
                "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
                "AmbientCapabilities=CAP_NET_BIND_SERVICE",
            ],
        ),
        ("pty: [{link: /run/smarty-gateway/house}]", ["RuntimeDirectory=smarty-gateway"]),
        (
            "pty: [{link: /run/smarty-gateway/house, group: GROUP}]",
            ["RuntimeDirectory=smarty-gateway", f"SupplementaryGroups={GROUP}", "SystemCallFilter=@chown"],
        ),
        ("files: {folder: /srv/telegrams}", ["ReadWritePaths=-/srv/telegrams"]),
        ("files: {folder: /var/lib/smarty-gateway/telegrams}", []),
        ("mail: {server: 'smtps://u@h', password_file: p, from: a@h, to: b@h}", []),
    ],
)
def test_what_is_configured_adds_its_lines_and_no_others(
    outputs: str, expected: list[str], tmp_path: Path
) -> None:
    plain = lines(unit_text(needs(tmp_path, "stdout: {format: json}")))
    found = lines(unit_text(needs(tmp_path, outputs)))
    added = [line for line in found if line not in plain and not line.startswith("ExecStartPre=")]
    assert sorted(added) == sorted(line.replace("FOLDER", str(tmp_path)) for line in expected)


def test_a_link_in_the_place_of_the_folder_for_files_gives_nothing_else_away(tmp_path: Path) -> None:
    found = lines(unit_text(needs(tmp_path, "files: {folder: /srv/telegrams}")))
    (line,) = [line for line in found if line.startswith("ExecStartPre=")]
    assert "chown --no-dereference " in line
    assert "-R" not in line


MOON = """
from dataclasses import dataclass
from pathlib import Path
from smarty_gateway.outputs.api import OutputKind, path, setting

@dataclass(frozen=True)
class Settings:
    token_file: Path = setting(path("a file"), "the token", example="moon.token")

KIND = OutputKind(Settings, print)
"""


def test_the_secrets_of_an_output_of_another_package_are_handed_over_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "moon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: moon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[smarty_gateway.outputs]\nmoon = moon:KIND\n")
    (tmp_path / "moon.py").write_text(MOON)
    monkeypatch.syspath_prepend(tmp_path)
    found = lines(unit_text(needs(tmp_path, "moon: {token_file: moon.token}")))
    assert f"LoadCredential=moon.token:{tmp_path}/moon.token" in found


def test_the_keys_are_handed_over_under_the_name_that_the_configuration_has_for_them(tmp_path: Path) -> None:
    text = unit_text(needs(tmp_path, rest="keys: my-keys.yaml"))
    assert f"LoadCredential=my-keys.yaml:{tmp_path}/my-keys.yaml" in lines(text)


def test_the_password_of_the_mail_server_is_for_the_report_alone(tmp_path: Path) -> None:
    found = needs(tmp_path, EVERYTHING)
    assert "mail.password" not in unit_text(found)
    report = report_texts(found)["smarty-gateway-report@.service"]
    assert [line for line in lines(report) if line.startswith("Load")] == [
        f"LoadCredential=mail.password:{tmp_path}/mail.password"
    ]


@pytest.mark.parametrize(
    ("outputs", "rest", "problem"),
    [
        ("", "keys: keys.yaml", "keys.yaml is not there; write the file"),
        ("", "state: /srv/state", "state: the service keeps its state in /var/lib/smarty-gateway"),
        ("pty: [{link: /tmp/house}]", "", "write link: /run/smarty-gateway/house"),
        (
            "pty: [{link: /run/smarty-gateway/h, group: nobodys}]",
            "",
            "there is no group nobodys; type: sudo gr",
        ),
        ("files: {folder: /home/me/telegrams}", "", "write folder: /var/lib/smarty-gateway/telegrams"),
        pytest.param(
            *("files: {folder: /etc}", "", "/etc is used for something else; name a folder that is empty"),
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root sees whose folders those are"),
        ),
        ("mqtt: {url: mqtts://h, ca_file: /etc/no.crt}", "", "/etc/no.crt is not there"),
        (
            "mqtt: {url: mqtts://h, ca_file: /home/me/ca.crt}",
            "",
            "/home/me/ca.crt: a service does not see home",
        ),
        (
            "mqtt: {url: mqtts://u@h, password_file: a/p}\nhttp: {password_file: b/p}",
            "",
            "b/p has the name of",
        ),
        (
            "mqtt: {url: mqtts://u@h, password_file: 'my password'}",
            "",
            "a unit of systemd cannot name this path",
        ),
    ],
)
def test_what_a_service_cannot_have_is_said_with_what_to_do(
    outputs: str, rest: str, problem: str, tmp_path: Path
) -> None:
    path = configured(tmp_path, outputs, rest)
    config = load_config(path)
    assert problem in "\n".join(problems_of(config, needs_of(config, path, PROGRAM)))


@pytest.mark.parametrize("program", ["/opt/my gateway/program", "/opt/%n/program", "/opt/a\nUser=root"])
def test_a_path_adds_nothing_to_the_unit(program: str, tmp_path: Path) -> None:
    path = configured(tmp_path, "mqtt: {url: mqtt://localhost}")
    config = load_config(path)
    found = "\n".join(problems_of(config, needs_of(config, path, program)))
    assert "a unit of systemd cannot name this path" in found


def test_a_program_whose_python_is_in_a_home_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.symlink_to("/home/me/.local/bin/python")
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(needs_module, "_HIDDEN", (Path("/home"),))
    path = configured(tmp_path, "mqtt: {url: mqtt://localhost}")
    config = load_config(path)
    found = "\n".join(problems_of(config, needs_of(config, path, "/bin/sh")))
    assert "/home/me/.local/bin/python: a service does not see home folders" in found


def test_an_output_of_another_package_gets_its_password(tmp_path: Path) -> None:
    path = configured(tmp_path, "mqtt: {url: mqtt://localhost}")
    config = load_config(path)
    secret = SimpleNamespace(password_file=tmp_path / "own.password", token_file=7)
    other = OtherOutput("own", "a package", OutputKind(SimpleNamespace, lambda *_: None), secret)
    config = replace(config, outputs=replace(config.outputs, others=(other,)))
    added = [line for line in lines(unit_text(needs_of(config, path, PROGRAM))) if line.startswith("Load")]
    assert added == [f"LoadCredential=own.password:{tmp_path}/own.password"]


def test_a_file_in_a_closed_folder_is_named_with_the_folder(tmp_path: Path) -> None:
    folder = Path("/var/lib/private")  # systemd's own, which it closes; any other will do
    if not folder.is_dir() or folder.stat().st_mode & 0o001:
        pytest.skip("this system has no closed folder")
    path = configured(tmp_path, "mqtt: {url: mqtts://h, ca_file: /var/lib/private}")
    config = load_config(path)
    assert "type: sudo chmod o+" in "\n".join(problems_of(config, needs_of(config, path, PROGRAM)))


@pytest.mark.parametrize(
    "outputs", ["mqtt: {url: mqtt://localhost}", EVERYTHING], ids=["plain", "everything"]
)
def test_systemd_finds_the_unit_secure_and_right(outputs: str, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not on this machine")
    unit = tmp_path / UNIT
    program = shutil.which("smarty-gateway", path=environment()["PATH"])
    unit.write_text(unit_text(needs(tmp_path, outputs)).replace(PROGRAM, str(program)), "utf-8")
    for question in (("security", "--offline=true", "--threshold=20"), ("verify",)):
        done = subprocess.run(
            [analyze, *question, str(unit)], capture_output=True, check=False, timeout=LIMIT, text=True
        )
        about_it = [line for line in done.stderr.splitlines() if "smarty-gateway" in line]
        assert (done.returncode, about_it) == (0, []), done.stdout[-500:]
