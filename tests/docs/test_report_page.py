"""docs/report.md and the units in deploy/ that mail reports are true of the program."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from smarty_gateway import cli
from smarty_gateway.config.gateway_file import load_config
from tests.support.commands import LIMIT, ROOT, environment
from tests.test_docs import METERS, blocks, commands_in

DEPLOY = ROOT / "deploy"
UNIT = (DEPLOY / "smarty-gateway-report@.service").read_text("utf-8")
TIMERS = ("day", "month")
PROGRAM = "/opt/smarty-gateway/bin/smarty-gateway"


def value_of(unit: str, key: str) -> str:
    """Return the only value of a key."""
    (value,) = re.findall(rf"^{key}=(.+)$", unit, re.MULTILINE)
    return str(value)


@pytest.mark.parametrize("span", ["day", "month", "year"])
def test_the_unit_mails_a_report_with_options_that_the_program_has(span: str) -> None:
    (shown,) = blocks("docs/report.md", "ini")
    for line in (value_of(UNIT, "ExecStart"), value_of(shown, "ExecStart")):
        (words,) = commands_in(line.replace("%i", span))
        args = cli._parsed(words)
        assert (args.mail, args.latest, str(args.config)) == (True, span, "/etc/smarty-gateway/gateway.yaml")


def test_the_lines_for_cron_are_commands_that_the_program_has() -> None:
    (shown,) = blocks("docs/report.md", "text")
    spans = [cli._parsed(words).latest for words in commands_in(shown.replace(" * smarty", " *;smarty"))]
    assert spans == ["day", "month"]


@pytest.mark.parametrize("span", TIMERS)
def test_a_timer_starts_the_unit_for_its_span_and_makes_up_for_a_night_without_power(span: str) -> None:
    timer = (DEPLOY / f"smarty-gateway-report-{span}.timer").read_text("utf-8")
    assert value_of(timer, "Unit") == f"smarty-gateway-report@{span}.service"
    assert value_of(timer, "Persistent") == "true"
    assert f"smarty-gateway-report-{span}.timer" in "".join(blocks("docs/report.md", "sh"))


def test_attempts_end_before_the_next_report_and_leave_it_all_of_its_own() -> None:
    hours = {"RestartSec": 1 / 4, "StartLimitIntervalSec": 12.0}
    assert (value_of(UNIT, "RestartSec"), value_of(UNIT, "StartLimitIntervalSec")) == ("15min", "12h")
    attempts = int(value_of(UNIT, "StartLimitBurst"))
    # systemd refuses a start beyond the burst within the interval, also the first one of the next night.
    assert hours["StartLimitIntervalSec"] + attempts * hours["RestartSec"] < 24


def test_the_report_runs_as_the_user_of_the_gateway_who_may_read_its_history() -> None:
    gateway = (DEPLOY / "smarty-gateway.service").read_text("utf-8")
    # Without User=, systemd names a dynamic user after the unit.
    assert "User=" not in gateway.replace("DynamicUser=", "")
    assert value_of(UNIT, "User") == "smarty-gateway"
    for key in ("DynamicUser", "StateDirectory", "StateDirectoryMode"):
        assert value_of(UNIT, key) == value_of(gateway, key)


def test_systemd_passes_the_password_under_the_name_that_the_page_tells_to_write(tmp_path: Path) -> None:
    (shown,) = [block for block in blocks("docs/report.md", "yaml") if block.startswith("outputs:")]
    (tmp_path / "gateway.yaml").write_text(METERS + shown, "utf-8")
    mail = load_config(tmp_path / "gateway.yaml").outputs.mail
    assert mail is not None
    assert mail.password_file == tmp_path / "mail.password"
    name, _, file = value_of(UNIT, "LoadCredential").partition(":")
    assert (name, file) == ("mail.password", "/etc/smarty-gateway/mail.password")


def test_the_password_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    (line,) = [block for block in blocks("docs/report.md", "sh") if "umask" in block]
    done = subprocess.run(
        ["/bin/bash", "-c", line], cwd=tmp_path, input=b"secret\n", check=False, timeout=LIMIT
    )
    assert done.returncode == 0
    file = tmp_path / "mail.password"
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"secret\n", 0o600)


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not on this machine")
    program = shutil.which("smarty-gateway", path=environment()["PATH"])
    for file in DEPLOY.glob("smarty-gateway-report*"):
        text = file.read_text("utf-8").replace(PROGRAM, str(program))
        (tmp_path / file.name).write_text(text, "utf-8")
    units = sorted(map(str, tmp_path.glob("*.timer")))
    assert len(units) == len(TIMERS)
    # A timer brings the unit that it starts.
    done = subprocess.run(
        [analyze, "verify", *units], capture_output=True, check=False, timeout=LIMIT, text=True
    )
    about_them = [line for line in done.stderr.splitlines() if "smarty-gateway" in line]
    assert (done.returncode, about_them) == (0, [])
