"""The JSON API: what it answers, and what it refuses."""

import csv
import io
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.outputs.history_records import COLUMNS
from smarty_gateway.outputs.output import Reading
from tests.support.commands import smarty_gateway
from tests.support.every_meter import EVERY_KIND
from tests.support.histories import ZONE, boundaries, boundary, registers, write_history
from tests.support.site import OWN_NAME, UNNAMED, Site, damage, write_days
from tests.support.views import config_of

METERS = "/api/v1/meters"
HOUSE = f"{METERS}/house"
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a state folder with a history."""
    found = tmp_path_factory.mktemp("state")
    write_days(found)
    return found


@pytest.fixture(scope="module")
def site(folder: Path) -> Site:
    """Return a site with a history."""
    found = Site(folder, config_of("house", "barn", reference_power=ReferencePower(((None, 900),))))
    found.send()
    return found


def error(site: Site, address: str, status: int = 400) -> str:
    """Return what the API says is wrong."""
    answer = site.ask(address)
    assert answer.status == status
    assert set(answer.json) == {"error"}
    return str(answer.json["error"])


# The present


def test_it_lists_all_meters_under_public_names(site: Site) -> None:
    site.send()
    found = {meter["meter"]: meter for meter in site.ask(METERS).json}
    assert list(found) == ["house", "barn", UNNAMED, "shed"]
    assert [meter["availability"] for meter in found.values()] == ["online", "starting", "online", None]
    assert found["barn"]["history"] is None
    assert found["house"]["history"]["simulated"] is False
    assert datetime.fromisoformat(found["house"]["history"]["to"]) <= datetime.now(ZONE)


def test_now_is_the_json_object_with_the_running_quarter_and_its_age(site: Site) -> None:
    site.send(at=int(time.time()) - 5)
    found = site.ask(f"{HOUSE}/now").json
    assert found["meter"] == "house"
    assert found["availability"] == "online"
    assert 5 <= found["age"] < 60
    assert found["energy_import"] > 0
    assert found["quarter"]["reference_power"] == 3.0
    assert "name" in found["gas"]


def test_a_clock_that_was_set_back_makes_no_negative_age(site: Site) -> None:
    site.send(at=int(time.time()) + 3600)
    assert site.ask(f"{HOUSE}/now").json["age"] == 0


def test_a_meter_that_was_never_heard_has_no_values(site: Site) -> None:
    assert site.ask(f"{METERS}/barn/now").json == {"meter": "barn", "availability": "starting", "age": None}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_nothing_that_says_which_meter_it_is_is_served(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    site = Site(config=config_of("house"))
    site.live.take(Reading("house", telegram, datetime.now(ZONE)))
    served = site.ask(f"{HOUSE}/now").text
    record = telegram.as_object()
    names = (
        "meter_id",
        "system_title",
        "header",
        "equipment_id",
        "serial_number",
        "logical_device_name",
        "ean",
    )
    secrets = [record[name] for name in names if len(record.get(name, "")) > 4]
    secrets += [device["id"] for device in telegram.decoded.devices.values() if len(device.get("id", "")) > 4]
    assert [secret for secret in secrets if json.dumps(secret)[1:-1] in served] == []
    assert not {*names, "unknown"} & set(site.ask(f"{HOUSE}/now").json)


def test_the_health_is_there_while_something_is_wrong(site: Site) -> None:
    answer = site.ask("/api/v1/health")
    assert answer.status == 200
    assert answer.json["status"] == "failing"


# The history


def test_the_history_is_that_of_the_command(site: Site, folder: Path) -> None:
    for question, options in (
        ("", ""),
        ("?by=month", "--by month"),
        ("?by=year", "--by year"),
        ("?from=2026-01-01&by=day", "--from 2026-01-01 --by day"),
    ):
        printed = smarty_gateway("history", "show", "house", "--state", str(folder), *options.split())
        rows = [json.loads(line) for line in printed.stdout.splitlines()]
        served = site.ask(f"{HOUSE}/history{question}").json
        assert [{**row, "excess": None} for row in served] == rows, question


def test_quarter_hours_have_their_excess(site: Site) -> None:
    yesterday = (datetime.now(ZONE) - DAY).date()
    rows = site.ask(f"{HOUSE}/history?from={yesterday}&to={yesterday + DAY}").json
    assert len(rows) in {92, 96, 100}
    assert {row["excess"] for row in rows} == {0.025}
    assert list(rows[0])[: len(COLUMNS)] == list(COLUMNS)
    assert rows[0]["start"].startswith(f"{yesterday}T00:00:00")


def test_a_table_is_the_same_as_the_objects(site: Site) -> None:
    rows = site.ask(f"{HOUSE}/history").json
    answer = site.ask(f"{HOUSE}/history?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert 'filename="house-day.csv"' in answer.headers["Content-Disposition"]
    table = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["start"] for row in table] == [row["start"] for row in rows]
    assert [float(row["import"]) for row in table] == [row["import"] for row in rows]


def test_the_name_of_a_file_is_that_of_the_meter_in_any_script(tmp_path: Path) -> None:
    write_history(tmp_path, "Küche;1", boundaries(1_700_000_100, 4))
    site = Site(tmp_path, config_of("Küche;1"))
    header = site.ask(f"{METERS}/K%C3%BCche%3B1/history?by=year&format=csv").headers["Content-Disposition"]
    assert header == "attachment; filename=\"K_che_1-year.csv\"; filename*=UTF-8''K%C3%BCche%3B1-year.csv"


def test_a_table_without_rows_has_its_head(site: Site) -> None:
    assert (
        site.ask(f"{HOUSE}/history?from=2001-01-01&to=2002-01-01&format=csv").text
        == ",".join(COLUMNS) + "\r\n"
    )
    assert site.ask(f"{HOUSE}/history?from=2001-01-01&to=2002-01-01").json == []


def test_a_plus_that_became_a_blank_is_one(site: Site) -> None:
    right = site.ask(f"{HOUSE}/history?from=2020-10-25T02:15%2B01:00&by=day").json
    assert site.ask(f"{HOUSE}/history?from=2020-10-25T02:15+01:00&by=day").json == right != []


def test_peaks_registers_and_levels_are_those_of_the_commands(site: Site, folder: Path) -> None:
    for what in ("peaks", "registers", "levels"):
        printed = smarty_gateway("history", what, "house", "--state", str(folder))
        rows = [json.loads(line) for line in printed.stdout.splitlines()]
        for row in rows:
            row.pop("meter_id", None)
        assert site.ask(f"{HOUSE}/{what}").json == rows != [], what


def test_as_many_peaks_as_are_asked_for_are_returned(site: Site) -> None:
    months = {peak["month"] for peak in site.ask(f"{HOUSE}/peaks").json}
    assert len(site.ask(f"{HOUSE}/peaks?count=5").json) == 5 * len(months)


def test_no_error_names_an_unnamed_meter(tmp_path: Path) -> None:
    """A meter with registers for day and night has no levels; the reason must not have its serial number."""
    found = [
        replace(
            boundary(number), registers=registers(energy_import_tariff_1=number, energy_import_tariff_2=1)
        )
        for number in range(4)
    ]
    write_history(tmp_path, OWN_NAME, found)
    site = Site(tmp_path)
    site.send()
    assert error(site, f"{METERS}/{UNNAMED}/levels", 404).startswith(f"{UNNAMED} has no tariff with levels")
    for name in ("nothing", "history?by=week", "peaks?from=2023-02-30"):
        answer = site.ask(f"{METERS}/{UNNAMED}/{name}")
        assert answer.status in {400, 404}
        assert OWN_NAME not in answer.text


# What is refused


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("from=", "from '' is not a day or a time"),
        ("by=", "by is not ''"),
        ("by=week", "by is not 'week' but one of: quarter, hour, day, month, year"),
        ("format=xml", "format is not 'xml' but one of: json, csv"),
        ("from=yesterday", "from 'yesterday' is not a day or a time such as 2026-10-25 or 2026-10-25T18:00"),
        ("from=2026-10-25T18:07", "the minutes must be 00, 15, 30 or 45"),
        ("from=2026-10-25T02:15", "occurs twice, because clocks were set back"),
        ("from=2026-10-25&to=2026-10-25", "from 2026-10-25 is not before to 2026-10-25; to is exclusive"),
        ("from=1999-12-31", "is not a day or a time"),
        ("from=2026-10-24&from=2026-10-25", "from is there twice"),
        ("day=2026-10-25", "there is no parameter 'day'; known are: from, to, by, format"),
        (f"from={'2' * 65}", "from is longer than 64 characters"),
        ("from=%FF", "the parameters cannot be read"),
        ("&".join(f"a{number}" for number in range(30)), "the parameters cannot be read"),
        ("from=%1B%5B2J", r"from '\x1b[2J' is not"),
    ],
)  # fmt: skip
def test_a_wrong_parameter_is_refused_with_the_right_ones(site: Site, question: str, said: str) -> None:
    assert said in error(site, f"{HOUSE}/history?{question}")


@pytest.mark.parametrize("count", ["0", "101", "-1", "1.5", "one", "%D9%A2"])
def test_a_number_of_peaks_outside_of_its_bounds_is_refused(site: Site, count: str) -> None:
    assert error(site, f"{HOUSE}/peaks?count={count}").endswith("one of: 1 to 100")


@pytest.mark.parametrize("what", ["history?by=quarter&", "history?by=hour&", "peaks?"])
def test_a_time_that_takes_a_small_computer_seconds_is_refused(site: Site, what: str) -> None:
    whole = f"{METERS}/shed/{what}from=2001-01-01&to=2099-01-01"
    assert "days at most: name a shorter time with from and to" in error(site, whole)
    assert site.ask(f"{HOUSE}/{what}from=2001-01-01&to=2099-01-01").status == 200
    assert site.ask(f"{METERS}/shed/history?by=day&from=2001-01-01").status == 200


@pytest.mark.parametrize("what", ["now", "history", "peaks", "registers", "levels"])
def test_a_meter_that_is_not_there_is_404_with_those_that_are(site: Site, what: str) -> None:
    said = error(site, f"{METERS}/hous/{what}", 404)
    assert "'hous'; known are: house, barn" in said


def test_a_meter_without_readings_or_without_a_history_is_404(site: Site) -> None:
    assert "reads no meter 'shed'" in error(site, f"{METERS}/shed/now", 404)
    assert error(site, f"{METERS}/barn/history", 404) == "there is no history of barn"


@pytest.mark.parametrize("address", ["/api/v1/", "/api/v1/nothing", "/api/v1/meters/house", "/api/v2/meters"])
def test_an_address_that_is_not_there_is_an_error_in_json(site: Site, address: str) -> None:
    answer = site.ask(address)
    if answer.status == 308:
        answer = site.ask(address.rstrip("/"))
    assert answer.status == 404


def test_a_history_that_cannot_be_read_is_503_and_the_present_goes_on(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").write_bytes(b"no database" * 1000)
    site = Site(tmp_path)
    site.send()
    assert error(site, f"{HOUSE}/history", 503).startswith("the history cannot be read")
    assert site.ask(f"{HOUSE}/now").status == 200
    assert len(site.ask(METERS).json) == 3


def test_damage_that_is_found_while_reading_is_503_and_the_present_goes_on(tmp_path: Path) -> None:
    write_days(tmp_path)
    damage(tmp_path)
    site = Site(tmp_path)
    site.send()
    assert error(site, f"{HOUSE}/history", 503).startswith("the history cannot be read")
    assert [meter["history"] for meter in site.ask(METERS).json] == [None, None, None]
    assert site.ask(f"{HOUSE}/now").status == 200


def test_a_tariff_that_cannot_be_used_is_503(tmp_path: Path) -> None:
    write_days(tmp_path)
    (tmp_path / "tariff.yaml").write_text("nonsense")
    site = Site(tmp_path, config_of("house", tariff=tmp_path / "tariff.yaml"))
    assert "smarty-gateway check" in error(site, f"{HOUSE}/levels", 503)
    assert str(tmp_path) not in site.ask(f"{HOUSE}/levels").text
