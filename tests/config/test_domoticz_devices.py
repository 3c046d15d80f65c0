"""The devices of Domoticz in gateway.yaml: what is read, and what is wrong with it."""

from pathlib import Path

import pytest

from smarty_gateway.config.consumers import DomoticzDevice
from smarty_gateway.config.gateway_file import load_config, read_config

METERS = "meters:\n  - {name: house, source: /dev/ttyS0}\n  - {name: barn, source: /dev/ttyS1}\noutputs:\n"
NEVER_IN_URL = (
    "a password is never part of the url; write it into a file of its own and name that as password_file"
)


def errors_of(folder: Path, domoticz: str, meters: str = METERS) -> list[str]:
    path = folder / "gateway.yaml"
    path.write_text(f"{meters}  domoticz: {domoticz}\n", "utf-8")
    _, errors = read_config(path)
    return [f"{error.line}: {error.message}" for error in errors]


def test_the_devices_are_named_by_meter(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        f"{METERS}  domoticz:\n    url: https://domoticz.example\n"
        "    user: gateway\n    password_file: password\n"
        "    devices:\n      house: {electricity: 12, gas: 13}\n      barn:\n        gas: 14\n",
        "utf-8",
    )
    domoticz = load_config(path).outputs.domoticz
    assert domoticz is not None
    assert domoticz.devices == (DomoticzDevice("house", 12, 13), DomoticzDevice("barn", None, 14))
    assert (domoticz.address, domoticz.tls, domoticz.interval) == ("domoticz.example:443", True, 10)


def test_a_meter_without_a_name_is_named_by_its_id(tmp_path: Path) -> None:
    meters = "meters: [{id: SAG1030700012345, source: /dev/ttyS0}]\noutputs:\n"
    assert errors_of(tmp_path, "{devices: {SAG1030700012345: {electricity: 12}}}", meters) == []


@pytest.mark.parametrize(
    ("domoticz", "error"),
    [
        (
            "{}",
            "5: devices is missing; add a line such as `devices: {house: {electricity: 12, gas: 13}}`",
        ),
        (
            "{devices: {}}",
            "5: devices needs a line for each meter, such as `house: {electricity: 12, gas: 13}`",
        ),
        (
            "{devices: [house]}",
            "5: devices needs a line for each meter, such as `house: {electricity: 12, gas: 13}`",
        ),
        (
            "\n    devices:\n      house: 12",
            "7: devices needs a line for each meter, such as `house: {electricity: 12, gas: 13}`",
        ),
        (
            "\n    devices:\n      house: {idx: 12}",
            "7: 'idx' is not a known key; write `electricity: 12` or `gas: 13`",
        ),
        (
            "\n    devices:\n      house: {gaz: 12}",
            "7: 'gaz' is not a known key; did you mean 'gas'?",
        ),
        (
            "\n    devices:\n      house: {gas: twelve}",
            "7: gas is a whole number from 1 to 999999999",
        ),
        (
            "\n    devices:\n      house: {gas: 12}\n      house: {gas: 13}",
            "8: 'house' is already in line 7; keep one of the two",
        ),
        (
            "\n    devices:\n      house: {gas: 12}\n      hose: {gas: 13}",
            "8: no entry of `meters:` has this name; did you mean 'house'?",
        ),
        (
            "\n    devices:\n      house: {gas: 12}\n      barn: {}",
            "8: no device is named; add the idx of one from Domoticz, such as `{electricity: 12}`",
        ),
        (
            "\n    devices:\n      house: {gas: 12}\n      barn: {electricity: 12}",
            "8: line 7 has this idx, too; each value needs a device of its own",
        ),
        (
            "\n    devices: {house: {gas: 12}}\n    mqtt: true",
            "7: this needs a broker; add `mqtt: {url: mqtt://localhost}` below `outputs:`",
        ),
        (
            "\n    devices: {house: {gas: 12}}\n    user: gateway",
            "7: user needs a password_file; add that line",
        ),
        (
            "\n    devices: {house: {gas: 12}}\n    url: http://me:secret@localhost",
            f"7: {NEVER_IN_URL}",
        ),
    ],
)
def test_each_fault_is_named_with_its_line_and_what_to_write(
    tmp_path: Path, domoticz: str, error: str
) -> None:
    assert errors_of(tmp_path, domoticz) == [error]


def test_mqtt_needs_no_second_broker_where_one_is_named_with_a_fault(tmp_path: Path) -> None:
    domoticz = "{devices: {house: {gas: 12}}, mqtt: true}\n  mqtt: {url: nonsense}"
    (error,) = errors_of(tmp_path, domoticz)
    assert error.startswith("6: ")
