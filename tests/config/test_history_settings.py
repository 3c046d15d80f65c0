"""The settings of the history: time zone, reference power, tariff and plausible power."""

import os
from datetime import date
from pathlib import Path

import pytest

from smarty_gateway.config.gateway_file import config_from_options, read_config
from smarty_gateway.config.tariff_names import shipped_tariffs, tariff_name
from smarty_gateway.config.time_zone import zone_of
from smarty_gateway.config.values import Config, MeterConfig

SHIPPED = ["be-flanders", "be-wallonia", "be-wallonia-impact", "lu"]
METER = "meters:\n  - source: /dev/ttyS0\n"


def read(folder: Path, text: str) -> tuple[Config | None, list[str]]:
    path = folder / "gateway.yaml"
    path.write_text(text, "utf-8")
    config, errors = read_config(path)
    return config, [f"{error.line}: {error.message}" for error in errors]


def meter(folder: Path, *lines: str) -> MeterConfig:
    config, errors = read(folder, METER + "".join(f"    {line}\n" for line in lines))
    assert errors == []
    assert config is not None
    return config.meters[0]


def fault(folder: Path, text: str) -> str:
    _, errors = read(folder, text)
    (only,) = errors
    return only


# The history itself


def test_the_history_is_kept_unless_it_is_switched_off(tmp_path: Path) -> None:
    for text, kept in (("", True), ("history: true\n", True), ("history: off\n", False)):
        config, _ = read(tmp_path, text + METER)
        assert config is not None
        assert config.history is kept


def test_options_for_one_meter_need_no_settings_of_the_history() -> None:
    config = config_from_options("/dev/ttyS0")
    assert config.history
    assert config.meters[0].reference_power is None
    assert config.meters[0].plausible_watts == 250_000
    assert zone_of(config)


# The reference power


def test_a_reference_power_is_in_kilowatts_and_holds_on_all_days(tmp_path: Path) -> None:
    for text, watts in (("7", 7000), ("'43.5'", 43_500), ("3.125", 3125), ("1000", 1_000_000)):
        reference = meter(tmp_path, f"reference_power: {text}").reference_power
        assert reference is not None
        assert reference.on(date(1990, 1, 1)) == reference.on(date(2090, 1, 1)) == watts


def test_each_level_of_a_list_holds_from_its_date_on_in_whatever_order_they_stand(tmp_path: Path) -> None:
    levels = "[{from: 2026-07-01, kw: 7}, {from: '2025-01-01', kw: 12}]"
    reference = meter(tmp_path, f"reference_power: {levels}").reference_power
    assert reference is not None
    assert [reference.on(date(2024, 12, 31)), reference.on(date(2025, 1, 1))] == [None, 12_000]
    assert [reference.on(date(2026, 6, 30)), reference.on(date(2026, 7, 1))] == [12_000, 7000]


@pytest.mark.parametrize("text", ["7000", "0", "0.9", "-7", "7,5", "7 kW", "7kw", "1e2", "", "x", "3.1234"])
def test_what_is_no_power_in_kilowatts_is_refused(tmp_path: Path, text: str) -> None:
    line = f"{METER}    reference_power: {text}\n"
    assert fault(tmp_path, line) == "3: reference_power is a number of kW from 1 to 1000"


@pytest.mark.parametrize("text", ["[]", "{from: 2026-01-01, kw: 7}"])
def test_what_is_neither_a_power_nor_a_list_is_shown_the_form_of_the_list(tmp_path: Path, text: str) -> None:
    found = fault(tmp_path, f"{METER}    reference_power: {text}\n")
    assert found.endswith("or a list such as `[{from: 2026-01-01, kw: 7}]`")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{from: 2026-02-30, kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{from: 20260101, kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{from: 2026-W01-1, kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{from: 0026-01-01, kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{from: 01.01.2026, kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{from: [], kw: 7}", "from is a date of this century, such as 2026-01-31"),
        ("{kw: 7}", "from is missing; add a line such as `from: 2026-01-01`"),
        ("{from: 2026-01-01}", "kw is missing; add a line such as `kw: 7`"),
        ("{from: 2026-01-01, kw: 7000}", "kw is a number of kW from 1 to 1000"),
        ("{from: 2025-01-01, kw: 7}", "this date is in the list twice; keep one of the two"),
        ("{begin: 2026-01-01, kw: 7}", "'begin' is not a known key; write `from: 2026-01-01`"),
        ("{from: 2026-01-01, level: 7}", "'level' is not a known key; write `kw: 7`"),
        (
            "7",
            (
                "a level needs lines of the form `name: value`, such as `from: 2026-01-01`; "
                "the keys here are: from, kw"
            ),
        ),
    ],
)
def test_a_fault_in_the_list_of_levels_is_named_with_its_line(
    tmp_path: Path, item: str, message: str
) -> None:
    lines = f"    reference_power:\n      - {{from: 2025-01-01, kw: 12}}\n      - {item}\n"
    assert fault(tmp_path, METER + lines) == f"5: {message}"


# The plausible power


def test_the_plausible_power_is_250_kw_or_twice_the_highest_reference_power(tmp_path: Path) -> None:
    levels = "reference_power: [{from: 2025-01-01, kw: 200}, {from: 2026-01-01, kw: 70}]"
    assert meter(tmp_path).plausible_watts == 250_000
    assert meter(tmp_path, "reference_power: 7").plausible_watts == 250_000
    assert meter(tmp_path, levels).plausible_watts == 400_000
    assert meter(tmp_path, levels, "plausible_power: 220.5").plausible_watts == 220_500


@pytest.mark.parametrize("reference", ["12", "[{from: 2025-01-01, kw: 12}, {from: 2026-01-01, kw: 7}]"])
def test_a_plausible_power_below_the_reference_power_is_refused(tmp_path: Path, reference: str) -> None:
    lines = f"    reference_power: {reference}\n    plausible_power: 11\n"
    assert fault(tmp_path, METER + lines) == (
        "4: the history would believe no peak; write more than the reference power of 12 kW"
    )


# The tariff


@pytest.mark.parametrize("name", SHIPPED)
def test_a_tariff_that_comes_with_the_program_has_a_name(tmp_path: Path, name: str) -> None:
    found = meter(tmp_path, f"tariff: {name}").tariff
    assert found == shipped_tariffs()[name]
    assert found.is_file()
    assert tariff_name(found) == name


@pytest.mark.parametrize("text", ["./mine.yaml", "mine.yaml", "folder/mine"])
def test_a_tariff_with_a_dot_or_a_slash_is_a_file_beside_gateway_yaml(tmp_path: Path, text: str) -> None:
    found = meter(tmp_path, f"tariff: {text}").tariff
    assert found == tmp_path / text
    assert tariff_name(found) == Path(text).name


def test_an_unknown_tariff_is_refused_with_the_names_that_there_are(tmp_path: Path) -> None:
    unlike = fault(tmp_path, f"{METER}    tariff: sudstroum\n")
    assert unlike.startswith(
        f"3: there is no tariff of this name; there are {', '.join(SHIPPED)}. A file has"
    )
    alike = fault(tmp_path, f"{METER}    tariff: Flanders\n")
    assert alike.startswith("3: there is no tariff of this name; did you mean be-flanders?")


# The time zone


@pytest.mark.parametrize("name", ["Europe/Lisbon", "Atlantic/Azores", "America/New_York", "UTC"])
def test_a_configured_time_zone_holds_wherever_it_is(tmp_path: Path, name: str) -> None:
    config, errors = read(tmp_path, f"timezone: {name}\n{METER}")
    assert errors == []
    assert zone_of(config).key == name


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("luxembourg", "did you mean Europe/Luxembourg?"),
        ("Europe/Luxemburg", "did you mean Europe/Luxembourg?"),
        ("BRUSSELS", "did you mean Europe/Brussels?"),
        ("../../etc/passwd", "write one such as Europe/Luxembourg"),
        ("/etc/localtime", "write one such as Europe/Luxembourg"),
        ("right/Europe/Luxembourg", "did you mean Europe/Luxembourg?"),
        ("x" * 10_000, "write one such as Europe/Luxembourg"),
    ],
)
def test_an_unknown_time_zone_is_refused_with_the_nearest(tmp_path: Path, text: str, hint: str) -> None:
    assert fault(tmp_path, f"timezone: {text}\n{METER}") == f"1: there is no time zone of this name; {hint}"


@pytest.mark.parametrize(
    ("names", "zone"),
    [
        (("", "", None), "Europe/Luxembourg"),
        (("Europe/Lisbon", "", None), "Europe/Lisbon"),
        ((":Europe/Lisbon", "", None), "Europe/Lisbon"),
        ((":/usr/share/zoneinfo/Europe/Lisbon", "", None), "Europe/Lisbon"),
        (("", "/usr/share/zoneinfo/Europe/Berlin", None), "Europe/Berlin"),
        (("", "../usr/share/zoneinfo/Atlantic/Canary", None), "Atlantic/Canary"),
        (("", "", b"Europe/Brussels\n"), "Europe/Brussels"),
        (("Europe/Lisbon", "/usr/share/zoneinfo/Europe/Berlin", b"Europe/Rome"), "Europe/Lisbon"),
        (("UTC", "/usr/share/zoneinfo/Etc/UTC", b"Etc/UTC"), "Europe/Luxembourg"),
        (("America/New_York", "/usr/share/zoneinfo/Asia/Tokyo", b"Atlantic/Bermuda"), "Europe/Luxembourg"),
        (("CET-1CEST,M3.5.0,M10.5.0/3", "", None), "Europe/Luxembourg"),
        (("Europe/Atlantis", "/usr/share/zoneinfo/Europe/../../../../etc/passwd", None), "Europe/Luxembourg"),
        (("Europe/\udcff", "localtime", b"Europe/\xff\x00\n"), "Europe/Luxembourg"),
        (("Europe/", "/usr/share/zoneinfo/", b"\n" * 2_000_000), "Europe/Luxembourg"),
    ],
)
def test_the_zone_of_a_european_machine_holds_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str, bytes | None], zone: str
) -> None:
    tz, localtime, timezone = names
    monkeypatch.setenv("TZ", tz)
    if localtime:
        (tmp_path / "localtime").symlink_to(localtime)
    if timezone is not None:
        (tmp_path / "timezone").write_bytes(timezone)
    assert zone_of(None, tmp_path).key == zone


def test_a_pipe_in_place_of_the_name_of_the_zone_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "")
    os.mkfifo(tmp_path / "timezone")
    assert zone_of(None, tmp_path).key == "Europe/Luxembourg"


def test_a_machine_without_a_folder_etc_is_in_luxembourg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TZ", raising=False)
    assert zone_of(None, tmp_path / "none").key == "Europe/Luxembourg"
