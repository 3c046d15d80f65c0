"""`history` prints what a gateway has kept, beside it and after it."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from smarty_gateway.config.tariff_file import load_tariff
from smarty_gateway.config.tariff_names import shipped_tariffs
from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.costs import PricedRow
from smarty_gateway.history.rows import By, HistoryMeter, Row
from smarty_gateway.history.sample import QUARTER, REGISTERS
from smarty_gateway.outputs.history_sheets import Shown, sheet_of_costs
from smarty_gateway.outputs.history_table import lines_of
from smarty_gateway.state.history_file import HistoryFile
from tests.support.commands import LIMIT, environment, smarty_gateway, smarty_gateway_process
from tests.support.histories import ZONE, boundaries, second_of, write_history

COLUMNS = "meter,start,end,import,export,mean_power,max_power,excess,complete,covered"
COSTS = ("--cost", "--month", "2026-10", "--by", "month")
AUTUMN = second_of("2026-10-25")
METER = HistoryMeter("house", 0, 0, "SAG1")
CONFIG = "meters: [{name: house, source: /dev/ttyS0, reference_power: 3, tariff: lu}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a configuration, and the history of the day on which clocks are set back."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    day = list(boundaries(AUTUMN, 100, energy=800, export=50))
    write_history(tmp_path / "state", "house", day[:53] + day[60:])
    return tmp_path


def history(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return smarty_gateway("history", *arguments, "--state", "state", folder=folder)


def printed(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    done = history(folder, *arguments, "--format", "json")
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_a_subcommand_the_history_is_shown(folder: Path) -> None:
    short = history(folder, "house", "--day", "2026-10-25")
    assert short.stdout == history(folder, "show", "house", "--day", "2026-10-25").stdout != b""


def test_a_day_is_shown_by_quarter_hour_with_its_gap_as_one_row(folder: Path) -> None:
    rows = printed(folder, "house", "--day", "2026-10-25")
    assert len(rows) == 100 - 7
    (gap,) = [row for row in rows if not row["complete"]]
    assert (gap["start"], gap["end"]) == ("2026-10-25T12:00:00+01:00", "2026-10-25T14:00:00+01:00")
    assert (gap["import"], gap["excess"], gap["covered"]) == (6.4, None, 0)


def test_a_gap_over_midnight_is_shown_with_the_day_in_which_it_begins(tmp_path: Path) -> None:
    days = list(boundaries(AUTUMN - 86_400, 196))
    write_history(tmp_path / "state", "house", days[:90] + days[110:])
    *_, gap = printed(tmp_path, "house", "--day", "2026-10-24")
    assert (gap["start"], gap["end"]) == ("2026-10-24T22:15:00+02:00", "2026-10-25T02:30:00+01:00")
    assert (gap["import"], gap["gas"], gap["complete"]) == (2.1, 0.21, 0)
    (day, again) = printed(tmp_path, "house", "--day", "2026-10-24", "--by", "day")
    assert (day["import"], again) == (8.9, gap)
    assert printed(tmp_path, "house", "--day", "2026-10-25")[0]["start"] == gap["end"]


def test_the_repeated_hour_is_told_apart_by_its_offset(folder: Path) -> None:
    starts = [row["start"] for row in printed(folder, "house", "--day", "2026-10-25")]
    assert "2026-10-25T02:15:00+02:00" in starts
    assert "2026-10-25T02:15:00+01:00" in starts
    assert len(set(starts)) == len(starts)


def test_csv_has_the_names_of_the_contract_and_then_devices(folder: Path) -> None:
    done = history(folder, "house", "--month", "2026-10", "--format", "csv")
    heading, row = done.stdout.decode().splitlines()
    assert heading == f"{COLUMNS},gas,gas_unit"
    assert row == (
        "house,2026-10-25T00:00:00+02:00,2026-10-26T00:00:00+01:00,80.000,5.000,3.200,3.200,4.600,0,0.92,"
        "1.000,m³"
    )


def test_csv_and_json_say_the_same(folder: Path) -> None:
    arguments = ("house", "--day", "2026-10-25", "--by", "hour")
    text = history(folder, *arguments, "--format", "csv").stdout.decode()
    for cells, row in zip(csv.DictReader(io.StringIO(text)), printed(folder, *arguments), strict=True):
        assert {name for name, cell in cells.items() if cell} == {k for k, v in row.items() if v is not None}
        for name, value in row.items():
            if isinstance(value, float):
                assert float(cells[name]) == value


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (("--month", "2026-10"), 1),
        (("--year", "2026"), 1),
        (("--day", "2026-10-25", "--by", "hour"), 24),
        (("--from", "2026-10-25T20:00", "--to", "2026-10-25T21:00"), 4),
        (("--from", "2026-10-25T02:00+02:00", "--to", "2026-10-25T02:00+01:00"), 4),
        (("--from", "2026-10-25T23:00"), 1),
        (("--to", "2026-10-25T01:00", "--by", "quarter"), 4),
        (("--by", "year"), 1),
    ],
    ids=str,
)
def test_a_range_and_a_span_choose_the_rows(folder: Path, arguments: tuple[str, ...], count: int) -> None:
    assert len(printed(folder, "house", *arguments)) == count


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hous",), "has no meter 'hous'; did you mean house? known are: house"),
        (("peeks",), "did you mean peaks?"),
        (("--day", "2026-02-30"), "--day '2026-02-30' is not a day such as 2026-10-25"),
        (("--day", "25.10.2026"), "is not a day such as"),
        (("--month", "2026-13"), "--month '2026-13' is not a month such as 2026-10"),
        (("--year", "26"), "--year '26' is not a year such as 2026"),
        (("--year", "9999"), "is not a year such as"),
        (("--from", "yesterday"), "is not a day or a time such as"),
        (("--from", "2026-10-25T02:15"), "type 2026-10-25T02:15+02:00 or 2026-10-25T02:15+01:00"),
        (("--from", "2026-03-29T02:15"), "does not exist, because clocks were set forward"),
        (("--to", "2026-10-25T04:10"), "the minutes must be 00, 15, 30 or 45"),
        (("--from", "2026-10-25", "--to", "2026-10-25"), "is not before --to 2026-10-25"),
        (("--day", "today", "--month", "2026-10"), "only one of --day, --month, --year"),
        (("--day", "today", "--by", "month"), "--by month is longer than a day: leave it out"),
        (("--by", "week"), "invalid choice: 'week'"),
        (("peaks", "--count", "0"), "'0' is not a number from 1"),
        (("--plot", "a.gif"), "'a.gif' is neither an .svg nor a .png file"),
        (("--plot", "missing/a.svg"), "missing/a.svg cannot be written"),
        (("show", "house", "garage"), "one argument too many: 'garage'"),
        (("--dya", "today"), "no option --dya: did you mean --day?"),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_usage_is_one_line_that_says_what_to_type(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = history(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("subcommand", ["show", "peaks", "levels", "registers"])
def test_without_a_history_one_line_says_how_to_get_one(tmp_path: Path, subcommand: str) -> None:
    done = history(tmp_path, subcommand)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
    assert b"is `smarty-gateway run` running with this state folder" in done.stderr
    assert b"history import FILE" in done.stderr


def test_by_month_without_a_range_is_the_last_twelve_months(tmp_path: Path) -> None:
    begin = datetime.now(ZONE).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=15)
    write_history(tmp_path / "state", "house", boundaries(int(begin.timestamp()), 96 * 3))
    (row,) = printed(tmp_path, "--by", "month")
    assert row["start"].startswith(f"{begin:%Y-%m}-01")


def test_a_time_of_which_nothing_is_known_is_answered_with_what_is_known(folder: Path) -> None:
    done = history(folder, "--day", "2026-10-20")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"the history holds house from 2026-10-25 00:00 to 2026-10-26 00:00" in done.stderr


def test_the_last_seven_days_come_without_a_range_and_today_is_not_complete(tmp_path: Path) -> None:
    today = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
    begin = int((today - timedelta(days=9)).timestamp())
    write_history(tmp_path / "state", "house", boundaries(begin, 9 * 96 + 8))
    rows = printed(tmp_path)
    assert [row["start"][:10] for row in rows] == [
        f"{today - timedelta(days=days):%Y-%m-%d}" for days in range(6, -1, -1)
    ]
    assert rows[-1]["complete"] == 0


def test_all_meters_are_shown_unless_one_is_named_and_rows_say_whose_they_are(folder: Path) -> None:
    write_history(folder / "state", "garage", boundaries(AUTUMN, 100), is_simulated=True)
    done = history(folder, "--month", "2026-10", "--format", "csv")
    assert [line.partition(b",")[0] for line in done.stdout.splitlines()] == [b"meter", b"garage", b"house"]
    assert done.stderr == b"garage is simulated: nobody has measured this\n"
    assert {row["meter"] for row in printed(folder, "house", "--month", "2026-10")} == {"house"}


def test_the_highest_quarter_of_each_month_is_a_peak_and_more_of_them_on_request(folder: Path) -> None:
    (peak,) = printed(folder, "peaks", "--year", "2026")
    assert (peak["month"], peak["power"], peak["of_meter"]) == ("2026-10", 3.2, 0)
    assert len(printed(folder, "peaks", "--year", "2026", "--count", "5")) == 5


def test_registers_are_those_of_each_midnight(folder: Path) -> None:
    rows = printed(folder, "registers", "--year", "2026")
    assert [row["time"] for row in rows] == ["2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"]
    assert [(row["import"], row["export"], row["gas"]) for row in rows] == [
        (5000.0, 2000.0, 435.0), (5080.0, 2005.0, 436.0),
    ]  # fmt: skip


def test_levels_name_the_tariff_and_come_with_every_reading_of_a_doubtful_price(folder: Path) -> None:
    rows = printed(folder, "levels")
    assert [row["level"] for row in rows][:3] == [3.0, 7.0, 12.0]
    assert {row["tariff"] for row in rows} == {"lu"}
    assert {"cost_added", "cost_instead"} <= rows[0].keys()
    table = history(folder, "levels", "--format", "table").stdout.decode()
    assert "Tariff lu: Luxembourg" in table


def test_costs_come_behind_the_other_columns_with_both_readings_and_their_tariff(folder: Path) -> None:
    lines = history(folder, *COSTS, "--format", "csv").stdout.decode().splitlines()
    names = lines[0].split(",")
    assert names[:10] == COLUMNS.split(",")
    assert names[-2:] == ["currency", "tariff"]
    assert {"cost_added", "cost_instead", "cost_fixed", "cost_volume"} <= set(names[10:])
    assert all(line.endswith(",EUR,lu") for line in lines[1:])


def test_the_table_of_costs_marks_a_lower_bound_and_says_where_the_prices_are_from(folder: Path) -> None:
    table = history(folder, *COSTS, "--format", "table").stdout.decode()
    assert "≥ " in table
    assert "Tariff lu: Luxembourg" in table
    assert "Doubtful: excess price" in table


def test_a_narrow_terminal_shows_both_totals_of_a_doubtful_price() -> None:
    tariff = load_tariff(shipped_tariffs()["lu"])
    row = Row(AUTUMN, AUTUMN + 90_000, 12_345, 0, 90_000, None, 0.0, complete=False, covered=0.5)
    names = ("cost_volume", "cost_added", "cost_instead")
    priced = [PricedRow(tariff, row, dict.fromkeys(names, Decimal("1234.5")), is_whole=False)]
    shown = Shown("2026-10", By.DAY, ZONE, AUTUMN)
    head = next(islice(lines_of(sheet_of_costs(METER, priced, shown, ()), 40), 1, None)).plain
    assert head.split() == ["day", "cost", "added", "cost", "instead"]


def test_costs_of_a_quarter_hour_are_refused(folder: Path) -> None:
    done = history(folder, "--cost", "--day", "2026-10-25")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"add --by day, month or year" in done.stderr


def test_in_flanders_the_peaks_say_which_power_is_paid_for(folder: Path) -> None:
    tariff = "meters: [{name: house, source: /dev/ttyS0, tariff: be-flanders}]\n"
    (folder / "gateway.yaml").write_text(tariff, "utf-8")
    table = history(folder, "peaks", "--year", "2026", "--format", "table").stdout.decode()
    assert "3.200 kW is the mean of the months above (of the newest 12)" in table
    assert "mean of 12 months." in table
    assert "EUR" not in table


def test_a_price_per_kilowatt_says_what_the_peaks_would_cost_in_a_year(folder: Path) -> None:
    (folder / "gateway.yaml").write_text("meters: [{name: house, source: /dev/ttyS0, tariff: ./mine.yaml}]\n")
    capacity = "capacity: {price: 50, minimum: 2.5, doubt: made up}"
    tariff = f"name: mine\ncurrency: EUR\nperiods:\n  - {{valid_from: 2026-01-01, {capacity}}}\n"
    (folder / "mine.yaml").write_text(tariff, "utf-8")
    table = history(folder, "peaks", "--year", "2026", "--format", "table").stdout.decode()
    assert "At 50 EUR per kW and year that would be 160.00 EUR a year, without VAT." in table
    assert "Doubtful: capacity price: made up." in table


def test_a_meter_is_found_by_its_configured_name_too(folder: Path) -> None:
    assert history(folder, "house ").returncode == 2
    write_history(folder / "state", "my_house", [Boundary(1_800_000_000, "SAG1", 1, (5, *[None] * 11))])
    assert history(folder, "registers", "my house").returncode == 1  # it is known, and has no day yet


def test_levels_without_a_tariff_are_those_of_luxembourg_and_say_so(folder: Path) -> None:
    (folder / "gateway.yaml").write_text("meters: [{name: house, source: /dev/ttyS0}]\n", "utf-8")
    assert {row["tariff"] for row in printed(folder, "levels")} == {"lu"}
    table = history(folder, "levels", "--format", "table").stdout.decode()
    assert "gateway.yaml names no tariff, so lu is used." in table


def test_levels_without_a_tariff_ask_for_one_where_the_meter_has_day_and_night(folder: Path) -> None:
    (folder / "gateway.yaml").write_text("meters: [{name: house, source: /dev/ttyS0}]\n", "utf-8")
    registers = [5_000_000 if "tariff" in name else None for name in REGISTERS]
    day = [Boundary(AUTUMN + QUARTER * number, "1SAG1", 1, tuple(registers)) for number in range(2)]
    (folder / "state" / "history.sqlite3").unlink()
    write_history(folder / "state", "house", day)
    done = history(folder, "levels")
    assert (done.returncode, done.stdout) == (78, b"")
    assert b"add `tariff: lu`" in done.stderr


def test_the_level_of_the_bill_is_marked_and_needless_ones_are_left_out(folder: Path) -> None:
    table = history(folder, "levels", "--format", "table").stdout.decode()
    assert "your reference power" in table
    assert "100 kW" not in table
    assert "higher levels have no excess either" in table


def test_a_table_of_costs_without_any_price_says_so(folder: Path) -> None:
    tariff = "meters: [{name: house, source: /dev/ttyS0, tariff: be-flanders}]\n"
    (folder / "gateway.yaml").write_text(tariff, "utf-8")
    table = history(folder, "--cost", "--month", "2026-10", "--format", "table").stdout.decode()
    assert "no costs are known" in table


def test_a_subcommand_behind_an_option_is_answered_with_where_it_belongs(folder: Path) -> None:
    done = history(folder, "--config", "gateway.yaml", "peaks")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"a subcommand comes first: smarty-gateway history peaks" in done.stderr


def test_a_picture_of_costs_is_refused(folder: Path) -> None:
    done = history(folder, "--cost", "--month", "2026-10", "--plot", "x.svg")
    assert (done.returncode, (folder / "x.svg").exists()) == (2, False)


def test_reading_beside_a_running_gateway_sees_what_it_has_just_written(folder: Path) -> None:
    file = HistoryFile(folder / "state")
    try:
        file.write({"house": list(boundaries(second_of("2026-11-02"), 4, series=2))})
        assert len(printed(folder, "house", "--day", "2026-11-02")) == 4
    finally:
        file.close()


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_reader_of_the_output_that_goes_away_ends_the_command_quietly(folder: Path, form: str) -> None:
    command = f"{sys.executable} -m smarty_gateway history --state state --day 2026-10-25 --format {form}"
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],  # noqa: S607 - any bash
        cwd=folder, env=environment(), capture_output=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (b"0\n", b"")


def test_a_picture_shows_the_day_with_the_level_of_the_configuration(folder: Path) -> None:
    done = history(folder, "house", "--day", "2026-10-25", "--plot", "day.svg")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"day.svg is written\n")
    texts = [node.text for node in ET.parse(folder / "day.svg").iter() if node.text]  # noqa: S314 - our own
    assert "house, 2026-10-25" in texts
    assert "over 3 kW" in texts


def test_a_picture_as_png_is_one(folder: Path) -> None:
    assert history(folder, "--year", "2026", "--plot", "year.png").returncode == 0
    assert (folder / "year.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_several_meters_asks_for_one(folder: Path) -> None:
    write_history(folder / "state", "garage", boundaries(AUTUMN, 4))
    done = history(folder, "--plot", "a.svg")
    assert done.returncode == 2
    assert b"a picture shows one meter; name one of: garage, house" in done.stderr


def test_more_bars_than_a_picture_has_room_for_are_refused_with_advice(tmp_path: Path) -> None:
    write_history(tmp_path / "state", "house", boundaries(AUTUMN, 1100))
    done = history(tmp_path, "--year", "2026", "--by", "quarter", "--plot", "a.svg")
    assert done.returncode == 2
    assert b"choose longer ones, such as --by day" in done.stderr


@pytest.mark.parametrize("library", ["pygal", "cairosvg"])
def test_a_missing_extra_is_answered_with_the_line_to_type(folder: Path, library: str) -> None:
    (folder / library).mkdir()
    (folder / library / "__init__.py").write_text("raise ImportError('not there')\n", "utf-8")
    done = smarty_gateway_process(
        "history", "--state", "state", "--year", "2026", "--plot", "a.png", folder=folder
    )
    assert done.returncode == 2
    assert b"pip install 'smarty-gateway[plot]'" in done.stderr
    assert not (folder / "a.png").exists()


def test_a_missing_cairo_is_answered_with_its_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "cairosvg.py").write_text("raise OSError('no library called \"cairo-2\" was found')\n", "utf-8")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "cairosvg", raising=False)
    done = history(folder, "--year", "2026", "--plot", "a.png")
    assert done.returncode == 2
    assert b"sudo apt install libcairo2" in done.stderr


def test_a_terminal_gets_a_table(folder: Path) -> None:
    terminal, its_end = pty.openpty()
    with open(terminal, "rb", buffering=0) as shown:  # noqa: PTH123 - no path
        subprocess.run(
            [sys.executable, "-m", "smarty_gateway", "history", "--state", "state", "--month", "2026-10"],
            cwd=folder, env={**environment(), "COLUMNS": "80"}, stdout=its_end, check=True, timeout=LIMIT,
        )  # fmt: skip
        os.close(its_end)
        assert b"house, 2026-10" in shown.read(4096)
