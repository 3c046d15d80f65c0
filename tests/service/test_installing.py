"""`service install` shows and does what is needed, again and again; a script stands for systemctl."""

import os
from pathlib import Path

import pytest

import smarty_gateway as package
from smarty_gateway.exit_status import ExitStatus
from smarty_gateway.protocol.errors import GatewayError
from smarty_gateway.service import installing, udev
from smarty_gateway.service.installing import Installation
from smarty_gateway.service.needs import own_program
from smarty_gateway.service.system import System
from smarty_gateway.service.units import MARK
from smarty_gateway.setup.terminal import Terminal
from tests.support.commands import smarty_gateway

_SYSTEMCTL = """#!/bin/sh
cd "$(dirname "$0")/.."
case "$1" in
is-*) test -e "$1-$3"; exit ;;
show)
  case "$*" in
  *StatusText*) echo "1 of 1 meters heard; mqtt ok" ;;
  *Monotonic*)
    read -r uptime _ < /proc/uptime
    echo $(((${uptime%.*} - $(date +%s) + $(stat -c %Y started)) * 1000000)) ;;
  *Invocation*) echo 0123456789abcdef0123456789abcdef ;;
  esac
  exit ;;
enable) for unit in $2 $3 $4; do touch "is-enabled-$unit"; done ;;
start|restart)
  test ! -e broken || exit 1
  touch started
  for unit in $2 $3 $4; do touch "is-active-$unit"; done ;;
disable) rm -f is-* ;;
esac
echo "systemctl $*" >> done
"""
_JOURNALCTL = '#!/bin/sh\necho "house: first reading of SAG1030700012345"\n'
_UDEVADM = """#!/bin/sh
cd "$(dirname "$0")/.."
test "$1" != info || exec cat "properties${3##*/}"
echo "udevadm $*" >> done
"""
ADAPTER = """ID_VENDOR_ID=0403
ID_MODEL_ID=6001
ID_SERIAL_SHORT=A50285BI
ID_USB_INTERFACE_NUM=00
ID_PATH=usb-0:1
"""
BY_SERIAL = (
    'ENV{ID_VENDOR_ID}=="0403", ENV{ID_MODEL_ID}=="6001", ENV{ID_SERIAL_SHORT}=="A50285BI", '
    'ENV{ID_USB_INTERFACE_NUM}=="00"'
)


class Machine:
    """A system in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.system = System(folder / "units", folder / "rules", folder, folder / "packaged")
        self.config = folder / "etc/gateway.yaml"
        self.unit = self.system.units / "smarty-gateway.service"
        for path in (self.system.units, self.system.rules, folder / "etc", folder / "bin"):
            path.mkdir()
        for name, text in (("systemctl", _SYSTEMCTL), ("journalctl", _JOURNALCTL), ("udevadm", _UDEVADM)):
            (folder / "bin" / name).write_text(text, "ascii")
            (folder / "bin" / name).chmod(0o755)
        self.configure("mqtt: {url: mqtt://localhost}")

    def configure(self, outputs: str, source: str = "tcp://127.0.0.1:9") -> None:
        """Write gateway.yaml."""
        text = f"meters: [{{name: house, source: '{source}'}}]\noutputs:\n  {outputs}\n"
        self.config.write_text(text, "utf-8")
        os.utime(self.config, (1, 1))  # older than the service

    def installation(self, *, dry_run: bool = False) -> Installation:
        """Return the command that asks nobody."""
        terminal = Terminal(is_there=False, takes_defaults=True)
        return Installation(self.system, terminal, self.config, dry_run=dry_run)

    def done(self) -> list[str]:
        """Return the commands that changed something since the last call."""
        path = self.folder / "done"
        found = path.read_text("utf-8").splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return found


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    # A service sees neither this folder nor, often, this program.
    monkeypatch.setattr(installing, "problems_of", lambda *_: [])
    # What this test wrote is newer than the service of a moment ago.
    (tmp_path / "packages").mkdir()
    os.utime(tmp_path / "packages", (1, 1))
    monkeypatch.setattr(package, "__file__", str(tmp_path / "packages/smarty_gateway/__init__.py"))
    return found


def test_it_writes_the_unit_and_starts_it(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    assert machine.installation().install() == ExitStatus.GOOD
    assert machine.unit.read_text("utf-8").startswith(MARK)
    assert machine.unit.stat().st_mode & 0o777 == 0o644
    assert machine.done() == [
        "systemctl daemon-reload",
        "systemctl enable smarty-gateway.service",
        "systemctl start smarty-gateway.service",
    ]
    shown = capfd.readouterr().err
    assert "    DynamicUser=yes\n" in shown
    assert "The service runs: 1 of 1 meters heard; mqtt ok\n    house: first reading of SAG103" in shown


def test_a_second_time_it_changes_nothing(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    machine.installation().install()
    machine.done()
    capfd.readouterr()
    assert machine.installation().install() == ExitStatus.GOOD
    assert machine.done() == []
    assert f"{machine.unit} stays as it is." in capfd.readouterr().err.replace("\n", " ")


def test_a_changed_need_is_shown_as_a_difference_and_restarts_the_service(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.installation().install()
    machine.done()
    capfd.readouterr()
    machine.configure("mqtt: {url: mqtts://u@localhost, password_file: mqtt.password}")
    machine.installation().install()
    assert machine.done() == ["systemctl daemon-reload", "systemctl restart smarty-gateway.service"]
    assert f"    +LoadCredential=mqtt.password:{machine.folder}/etc/mqtt.password\n" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["etc/gateway.yaml", "packages", "etc/ca.crt", "etc/mqtt.password"])
def test_a_newer_file_or_package_restarts_the_service(name: str, machine: Machine) -> None:
    machine.configure("mqtt: {url: mqtts://u@localhost, password_file: mqtt.password, ca_file: ca.crt}")
    for secret in ("mqtt.password", "ca.crt"):
        (machine.folder / "etc" / secret).write_text("x", "ascii")
        os.utime(machine.folder / "etc" / secret, (1, 1))
    machine.installation().install()
    machine.done()
    machine.installation().install()
    assert machine.done() == []
    later = (machine.folder / "started").stat().st_mtime + 60
    os.utime(machine.folder / name, (later, later))
    machine.installation().install()
    assert machine.done() == ["systemctl restart smarty-gateway.service"]


def test_settings_of_the_user_stay(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    own = machine.system.units / "smarty-gateway.service.d/override.conf"
    own.parent.mkdir()
    own.write_text("[Service]\nNice=5\n", "ascii")
    machine.installation().install()
    machine.installation().uninstall()
    assert own.read_text("ascii") == "[Service]\nNice=5\n"
    assert "your own settings" in capfd.readouterr().err.replace("\n", " ")


def test_another_installation_that_a_shell_finds_is_named(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    other = machine.folder / "bin/smarty-gateway"
    other.write_text("#!/bin/sh\n", "ascii")
    other.chmod(0o755)
    machine.installation(dry_run=True).install()
    said = " ".join(capfd.readouterr().err.split())
    assert f"{other} is another installation; the service starts {own_program()}." in said
    other.unlink()
    other.symlink_to(own_program())
    machine.installation(dry_run=True).install()
    assert "another installation" not in capfd.readouterr().err


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_dry_run_shows_all_and_changes_nothing(
    verb: str, machine: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if verb == "uninstall":
        machine.installation().install()
        machine.done()
    before = sorted(machine.folder.rglob("*"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert getattr(machine.installation(dry_run=True), verb)() == ExitStatus.GOOD
    assert (sorted(machine.folder.rglob("*")), machine.done()) == (before, [])
    assert "systemctl daemon-reload" in capfd.readouterr().err


def test_a_service_that_does_not_start_shows_its_last_lines(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    (machine.folder / "broken").touch()
    with pytest.raises(GatewayError, match=r"systemctl start smarty-gateway\.service failed"):
        machine.installation().install()
    assert "    house: first reading of SAG1030700012345" in capfd.readouterr().err


def test_mails_are_offered_where_there_is_a_mail_server(machine: Machine) -> None:
    machine.configure("mail: {server: 'smtp://localhost', from: a@b.example, to: [c@d.example]}")
    machine.installation().install()
    units = "smarty-gateway.service smarty-gateway-report-day.timer smarty-gateway-report-month.timer"
    assert f"systemctl enable {units}" in machine.done()
    machine.installation().uninstall()
    assert machine.done()[:2] == [
        f"systemctl disable --now {units}",
        "systemctl stop smarty-gateway-report@*.service",
    ]
    assert list(machine.system.units.iterdir()) == []


def test_without_a_mail_server_the_timers_go(machine: Machine) -> None:
    machine.configure("mail: {server: 'smtp://localhost', from: a@b.example, to: [c@d.example]}")
    machine.installation().install()
    machine.done()
    machine.configure("mqtt: {url: mqtt://localhost}")
    machine.installation().install()
    assert machine.done()[:3] == [
        "systemctl disable --now smarty-gateway-report-day.timer smarty-gateway-report-month.timer",
        "systemctl stop smarty-gateway-report@*.service",
        "systemctl daemon-reload",
    ]
    assert list(machine.system.units.iterdir()) == [machine.unit]


def test_it_removes_what_it_has_written_and_nothing_else(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.installation().install()
    machine.done()
    own = machine.system.units / "smarty-gateway-report-day.timer"
    own.write_text("# of the user\n", "ascii")
    machine.installation().uninstall()
    assert machine.done() == [
        "systemctl disable --now smarty-gateway.service",
        "systemctl daemon-reload",
    ]
    assert list(machine.system.units.iterdir()) == [own]
    assert machine.config.exists()
    assert f"sudo rm {own}" in capfd.readouterr().err.replace("\n", " ")


def test_it_names_the_line_that_stops_the_service_of_a_package(
    machine: Machine, capfd: pytest.CaptureFixture[str]
) -> None:
    machine.system.packaged.mkdir()
    (machine.system.packaged / machine.unit.name).touch()
    assert machine.installation().uninstall() == ExitStatus.GOOD
    assert machine.done() == []
    shown = capfd.readouterr().err.replace("\n", " ")
    assert "type: sudo systemctl disable --now smarty-gateway" in shown


def test_without_root_it_names_the_line_to_type(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(
        GatewayError, match=r"only root can do this; type: sudo /.+ service install --config /"
    ):
        machine.installation().install()


def test_without_systemd_it_says_so(machine: Machine) -> None:
    machine.system = System(machine.system.units, machine.system.rules, machine.folder / "none")
    with pytest.raises(GatewayError, match="systemd does not run on this machine") as caught:
        machine.installation().install()
    assert caught.value.exit_status == ExitStatus.REJECTED


def test_without_a_configuration_it_names_setup(machine: Machine) -> None:
    machine.config.unlink()
    with pytest.raises(GatewayError, match=r"there is no .*; type: .* setup --folder"):
        machine.installation().install()


@pytest.mark.parametrize(
    ("adapters", "match"),
    [
        (
            [ADAPTER],
            BY_SERIAL,
        ),
        ([ADAPTER, ADAPTER.replace("usb-0:1", "usb-0:2")], 'ENV{ID_PATH}=="usb-0:1"'),
        ([ADAPTER.replace("ID_SERIAL_SHORT", "OTHER")], 'ENV{ID_PATH}=="usb-0:1"'),
    ],
    ids=["by its serial number", "by its socket where two have the same", "by its socket without a number"],
)
def test_a_port_that_is_only_counted_gets_a_name_of_its_own(
    adapters: list[str], match: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = [machine.folder / f"ttyUSB{number}" for number in range(len(adapters))]
    for port, text in zip(ports, adapters, strict=True):
        port.symlink_to(os.ttyname(os.openpty()[1]))
        (machine.folder / f"properties{port.name}").write_text(text, "ascii")
    monkeypatch.setattr(udev, "serial_ports", lambda: ports)
    machine.configure("mqtt: {url: mqtt://localhost}", str(ports[0]))
    machine.installation().install()
    rules = machine.system.rules / "90-smarty-gateway.rules"
    assert rules.read_text("ascii") == f'{MARK}SUBSYSTEM=="tty", {match}, SYMLINK+="smarty-house"\n'
    assert "source: '/dev/smarty-house'" in machine.config.read_text("ascii")
    assert machine.done()[:2] == [
        "udevadm control --reload",
        "udevadm trigger --settle --subsystem-match=tty",
    ]
    # The next time the port has its name, and the rule stays, as long as the name is needed.
    machine.installation().install()
    assert match in rules.read_text("ascii")
    machine.installation().uninstall()
    assert match in rules.read_text("ascii")
    machine.configure("mqtt: {url: mqtt://localhost}")
    machine.installation().install()
    machine.installation().uninstall()
    assert not rules.exists()


def test_what_udev_knows_never_adds_to_a_rule(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    port = machine.folder / "ttyUSB0"
    port.symlink_to(os.ttyname(os.openpty()[1]))
    (machine.folder / "propertiesttyUSB0").write_text('ID_PATH=a", RUN+="b\n', "ascii")
    monkeypatch.setattr(udev, "serial_ports", lambda: [port])
    machine.configure("mqtt: {url: mqtt://localhost}", str(port))
    machine.installation().install()
    assert list(machine.system.rules.iterdir()) == []


def test_the_command_says_line_by_line_what_a_service_cannot_have(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("keys: none.yaml\nmeters: [{source: 'tcp://127.0.0.1:9'}]\nstate: /srv\n", "ascii")
    done = smarty_gateway("service", "install", "--dry-run", "--config", path)
    assert done.returncode == ExitStatus.UNUSABLE_FILE
    assert b"state: the service keeps its state in" in done.stderr.replace(b"\n", b" ")
