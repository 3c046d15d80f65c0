"""The folder that Home Assistant's Supervisor reads, and the gateway as it runs there."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest
import yaml
from PIL import Image, ImageChops

from smarty_gateway.config import app_options
from smarty_gateway.config.tariff_names import shipped_tariffs
from tests.packaging import app_files
from tests.packaging.app_files import APP
from tests.packaging.app_machine import MOSQUITTO, NAMESPACES, PORT_GROUP, ROOT

CONFIG: Final = yaml.safe_load((APP / "config.yaml").read_text())
LANGUAGES: Final = ("de", "en", "fr")
CAN_MAKE_MACHINES: Final = (
    os.geteuid() == 0
    and MOSQUITTO is not None
    and all(map(shutil.which, ("unshare", "setpriv", "ip")))
    and subprocess.run([*NAMESPACES, "true"], capture_output=True, check=False).returncode == 0
)
PARSER: Final = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")


def test_the_app_has_the_version_of_the_program() -> None:
    assert (APP / "config.yaml").read_text() == app_files.config()


def test_the_app_has_the_changelog_of_the_project_with_links_that_work_everywhere() -> None:
    written = (APP / "CHANGELOG.md").read_text()

    assert written == app_files.changelog(), "type `python -m tests.packaging.app_files`"
    assert not re.search(r"\]\((?!https://|#)", written)


@pytest.mark.parametrize(("name", "size"), [("icon", (128, 128)), ("logo", (250, 100))])
def test_the_pictures_are_drawn_from_the_icon_of_the_page(name: str, size: tuple[int, int]) -> None:
    written = Image.open(APP / f"{name}.png")
    drawn = Image.open(BytesIO(getattr(app_files, name)()))

    assert written.size == size
    # The fonts of a machine decide how the name beside the icon looks.
    compared = (0, 0, min(size[0], 76), size[1]) if name == "logo" else (0, 0, *size)
    difference = ImageChops.difference(written.crop(compared), drawn.crop(compared)).convert("L")
    assert sum(difference.tobytes()) / len(difference.tobytes()) < 1


def test_the_program_knows_every_option_and_no_other() -> None:
    assert {field.name for field in fields(app_options._Options)} == CONFIG["schema"].keys()
    assert {field.name for field in fields(app_options._Meter)} == CONFIG["schema"]["meters"][0].keys()


def test_a_person_chooses_among_the_tariffs_that_are_shipped() -> None:
    assert CONFIG["schema"]["meters"][0]["tariff"] == f"list({'|'.join(shipped_tariffs())})?"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_has_a_name_and_a_description(language: str) -> None:
    texts = yaml.safe_load((APP / "translations" / f"{language}.yaml").read_text())["configuration"]

    assert {name: set(entry) for name, entry in texts.items()} == {
        name: {"name", "description", "fields"} if isinstance(kind, list) else {"name", "description"}
        for name, kind in CONFIG["schema"].items()
    }
    assert {name: set(entry) for name, entry in texts["meters"]["fields"].items()} == {
        name: {"name", "description"} for name in CONFIG["schema"]["meters"][0]
    }


def test_the_documentation_explains_every_option() -> None:
    documentation = (APP / "DOCS.md").read_text()

    for name in CONFIG["schema"]["meters"][0]:
        assert f"| meters: {name} |" in documentation
    for name in CONFIG["schema"].keys() - {"meters"}:
        assert f"| {name} |" in documentation


def test_only_secrets_are_passwords_and_all_of_them() -> None:
    options = {**CONFIG["schema"], **CONFIG["schema"]["meters"][0]}

    assert {name for name, kind in options.items() if kind == "password?"} == {
        "key",
        "authentication_key",
        "broker_password",
    }


def test_the_profile_has_the_one_name_that_supervisor_replaces() -> None:
    names = re.findall(r"(?m)^profile ([^ ]+)", (APP / "apparmor.txt").read_text())

    assert names == [CONFIG["slug"]]


@pytest.mark.skipif(PARSER is None, reason="AppArmor's parser is not installed (apt-get install apparmor)")
def test_apparmor_accepts_the_profile() -> None:
    ended = subprocess.run(
        [str(PARSER), "--skip-kernel-load", "--skip-cache", str(APP / "apparmor.txt")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.slow
@pytest.mark.skipif(
    not CAN_MAKE_MACHINES, reason="needs root, namespaces, Mosquitto, iproute2 and util-linux"
)
def test_the_app_reads_its_meter_as_an_unprivileged_user_and_finds_a_broker_that_is_installed_last(
    tmp_path: Path,
) -> None:
    ended = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.packaging.app_machine", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout)
    log = "\n".join(shown.pop("log"))
    assert "Home Assistant has no MQTT broker yet" in log
    assert "connected to the broker core-mosquitto:1883 as addons" in log
    assert "house: first reading" in log
    assert "32 hex digits, this one has 31" in shown.pop("says")
    assert shown == {
        "runs without a broker": True,
        "state of": "house",
        "announced": True,
        "rights": {
            "Uid": "65532 65532 65532 65532",
            "Gid": "65532 65532 65532 65532",
            "Groups": f"18 20 {PORT_GROUP}",
            "CapEff": "0000000000000000",
            "CapPrm": "0000000000000000",
        },
        "state folder": "65532 700",
        "options": "0 600",
        "ingress": 200,
        "another app": 403,
        "watchdog": 200,
        "healthcheck": 0,
        "stopped": 0,
        "state after a new option": "haus",
        "stopped again": 0,
        "a wrong option": 78,
        "key in the log": False,
    }
