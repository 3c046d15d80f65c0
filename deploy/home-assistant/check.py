"""Checks this folder with the rules of Home Assistant's own Supervisor; `check` installs it.

Prints what Supervisor warns of, and the security rating. Ends with 1 if it would refuse the app or its
options, if it warns, or if the rating is not the highest.
"""
# A script, in no package, that prints its result:
# ruff: noqa: INP001, T201

import logging
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import voluptuous as vol
import yaml
from supervisor.apps.options import AppOptions, UiOptions
from supervisor.apps.utils import rating_security
from supervisor.apps.validate import SCHEMA_APP_CONFIG, SCHEMA_APP_TRANSLATIONS
from supervisor.const import SECURITY_PROFILE
from supervisor.store.validate import SCHEMA_REPOSITORY_CONFIG

FOLDER: Final = Path(__file__).parent
APP: Final = FOLDER / "smarty-gateway"
METER: Final = {"name": "house", "port": "/dev/ttyUSB0", "key": "0F1E2D3C4B5A69788796A5B4C3D2E1F0"}
BEST: Final = 8

#: What people may enter.
ACCEPTED: Final[tuple[dict[str, Any], ...]] = (
    {"meters": []},
    {"meters": [METER]},
    {
        "meters": [
            {**METER, "authentication_key": "00112233445566778899AABBCCDDEEFF", "id": "SAG1030700012345"},
            {"name": "barn", "address": "tcp://192.168.1.20:2001", "reference_power": 7, "tariff": "lu"},
        ],
        "broker": "mqtts://user@broker.example:8883",
        "broker_password": "a long one",
        "interval": 0,
    },
    {"meters": [], "configuration": "gateway.yaml"},
)
#: What Supervisor must refuse, so that the app need not start to say so.
REFUSED: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"meters": [{"port": "/dev/ttyUSB0"}]},
    {"meters": [{**METER, "tariff": "fr"}]},
    {"meters": [{**METER, "reference_power": 7000}]},
    {"meters": [{**METER, "key": 112233}]},
    {"meters": [METER], "interval": -1},
)


def main() -> int:
    """Check everything; return the exit status."""
    warnings = _Warnings()
    logging.getLogger().addHandler(warnings)
    try:
        written = _read(APP / "config.yaml")
        config = SCHEMA_APP_CONFIG(dict(written))
        SCHEMA_REPOSITORY_CONFIG(_read(FOLDER / "repository.yaml"))
        for translation in sorted(APP.glob("translations/*.yaml")):
            SCHEMA_APP_TRANSLATIONS(_read(translation))
        for options in ACCEPTED:
            _options(config).validate(options)
    except vol.Invalid as error:
        print(f"Supervisor refuses this: {error}")
        return 1
    wrong = [f"Supervisor accepts {options}" for options in REFUSED if _is_accepted(config, options)]
    wrong += [f"Supervisor does not know {key}" for key in sorted(written.keys() - config.keys())]
    rating = rating_security(_app(config))
    form = ", ".join(field["name"] for field in UiOptions(_machine())(config["schema"]))
    print(f"rating {rating} of {BEST}; {len(ACCEPTED) + len(REFUSED)} sets of options; the form has {form}")
    print(*warnings.texts, *wrong, sep="\n")
    return int(bool(warnings.texts or wrong) or rating < BEST)


class _Warnings(logging.Handler):
    """Keeps what Supervisor would write into its log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _read(file: Path) -> Any:  # noqa: ANN401 - YAML
    return yaml.safe_load(file.read_text(encoding="utf-8"))


class _Port(NamedTuple):
    """A serial port, as far as options need it."""

    path: Path = Path("/dev/ttyUSB0")
    by_id: Path | None = None


def _machine() -> Any:  # noqa: ANN401 - a part of Supervisor's CoreSys
    """Return a machine with one serial port."""
    hardware = SimpleNamespace(get_by_path=lambda _: _Port(), filter_devices=lambda **_: [_Port()])
    return SimpleNamespace(hardware=hardware)


def _options(config: dict[str, Any]) -> AppOptions:
    return AppOptions(_machine(), config["schema"], config["name"], config["slug"])


def _is_accepted(config: dict[str, Any], options: dict[str, Any]) -> bool:
    try:
        _options(config).validate(options)
    except vol.Invalid:
        return False
    return True


def _app(config: dict[str, Any]) -> Any:  # noqa: ANN401 - what Supervisor's AppModel makes of a configuration
    """Return the app as the rating sees it once it is installed with its AppArmor profile."""
    return SimpleNamespace(
        data=config,
        apparmor=SECURITY_PROFILE if config["apparmor"] and (APP / "apparmor.txt").exists() else None,
        with_ingress=config["ingress"],
        access_auth_api=config["auth_api"],
        signed=False,
        privileged=config.get("privileged", []),
        with_kernel_modules=config["kernel_modules"],
        hassio_role=config["hassio_role"],
        host_network=config["host_network"],
        host_pid=config["host_pid"],
        host_uts=config["host_uts"],
        access_docker_api=config["docker_api"],
        with_full_access=config["full_access"],
    )


if __name__ == "__main__":
    sys.exit(main())
