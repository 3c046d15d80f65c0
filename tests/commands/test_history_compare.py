"""`smarty-gateway history compare`, as its users run it."""

import json
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smarty_gateway.history.boundary import Boundary
from tests.support.commands import smarty_gateway
from tests.support.histories import registers, write_history

ZONE = ZoneInfo("Europe/Brussels")
#: Midnight before the day with two hours from two to three.
BEGIN = int(datetime(2026, 10, 25, tzinfo=ZONE).timestamp())
QUARTERS = 100
HEADINGS = (
    "Van (datum);Van (tijdstip);Tot (datum);Tot (tijdstip);EAN-code;Register;Volume;Eenheid;Validatiestatus"
)


def energy(quarter: int) -> tuple[int, int]:
    """Return import and export of a quarter hour in Wh."""
    return 100 + quarter * 37 % 900, quarter * 11 % 50


def boundaries(meter_id: str = "1SAG1100000001") -> list[Boundary]:
    found = []
    total = [1_000_000, 500_000]
    for quarter in range(QUARTERS + 1):
        known = registers(energy_import=total[0], energy_export=total[1])
        found.append(Boundary(BEGIN + quarter * 900, meter_id, 1, known, telegrams=90))
        total = [before + grown for before, grown in zip(total, energy(quarter), strict=True)]
    return found


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a history, where commands run."""
    monkeypatch.chdir(tmp_path)
    write_history(tmp_path / "state", "house", boundaries())
    return tmp_path


def fluvius(first: int = 0, last: int = QUARTERS) -> list[str]:
    lines = [HEADINGS]
    for quarter in range(first, last):
        stamps = ";".join(
            f"{datetime.fromtimestamp(BEGIN + 900 * number, ZONE):%d-%m-%Y;%H:%M:%S}"
            for number in (quarter, quarter + 1)
        )
        for register, watt_hours in zip(("Afname Nacht", "Injectie Nacht"), energy(quarter), strict=True):
            volume = f"{watt_hours / 1000:.3f}".replace(".", ",")
            lines.append(f'{stamps};="541448860000000001";{register};{volume};kWh;Gevalideerd')
    return lines


def write(lines: list[str], encoding: str = "utf-8") -> Path:
    path = Path("operator.csv")
    path.write_bytes("\r\n".join(lines).encode(encoding))
    return path


def run(*arguments: object, status: int = 0) -> tuple[str, str]:
    done = smarty_gateway("history", "compare", *arguments, "--state", "state")
    assert done.returncode == status, done.stderr.decode()
    return done.stdout.decode(), done.stderr.decode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_equal_quarters_end_with_0_and_a_summary(encoding: str) -> None:
    lines = [*fluvius(), "Prélèvement"]
    output, errors = run(write(lines, encoding), "--format", "table")
    assert "house: 100 quarter hours compared" in output
    counts = dict(line.strip().rsplit(maxsplit=1) for line in output.splitlines() if line.endswith("0"))
    assert counts["equal"] == "100"
    assert {counts[name] for name in ("different", "missing here", "missing in the file")} == {"0"}
    assert all(len(line) <= 40 for line in output.splitlines())
    assert "1 rows of operator.csv cannot be read" in errors


@pytest.mark.parametrize(("first", "changed"), [(9, True), (13, True), (0, False)])
def test_a_quarter_that_differs_is_printed_with_its_offset(*, first: int, changed: bool) -> None:
    lines = fluvius()
    if changed:
        lines[1 + 2 * first] = lines[1 + 2 * first].replace(";0,", ";1,")
    output, _ = run(write(lines), status=int(changed))
    records = [json.loads(line) for line in output.splitlines()]
    moment = datetime.fromtimestamp(BEGIN + 900 * first, ZONE)
    expected = energy(first)[0] / 1000
    assert records == [
        {
            "meter": "house",
            "start": moment.isoformat(timespec="minutes"),
            "end": datetime.fromtimestamp(BEGIN + 900 * (first + 1), ZONE).isoformat(timespec="minutes"),
            "direction": "import",
            "ours": expected,
            "operator": expected + 1,
            "difference": -1.0,
        }
    ] * int(changed)


def test_csv_has_the_same_names() -> None:
    lines = fluvius()
    lines[1] = lines[1].replace(";0,1", ";0,2")
    output, errors = run(write(lines), "--format", "csv", status=1)
    assert output.splitlines()[0] == "meter,start,end,direction,ours,operator,difference"
    assert output.splitlines()[1].endswith(",import,0.1,0.2,-0.1")
    assert "  different                     1\n" in errors


def test_two_watt_hours_are_no_difference_and_three_are() -> None:
    lines = fluvius()
    lines[1] = lines[1].replace("0,100", "0,102")
    run(write(lines))
    lines[1] = lines[1].replace("0,102", "0,103")
    run(write(lines), status=1)


def test_nothing_in_common_is_not_a_success() -> None:
    lines = [HEADINGS, "01-01-2020;00:00:00;01-01-2020;00:15:00;;Afname Dag;0,1;kWh;Gevalideerd"]
    _, errors = run(write(lines), status=1)
    assert "nothing to compare: the file goes from 2020-01-01T00:00+01:00" in errors


def test_times_that_are_the_end_are_noticed_and_can_be_said() -> None:
    lines = ["timestamp;import (kWh)"]
    lines += [
        f"{datetime.fromtimestamp(BEGIN + 900 * (quarter + 1), ZoneInfo('UTC')):%Y-%m-%dT%H:%MZ};"
        f"{energy(quarter)[0] / 1000}"
        for quarter in range(QUARTERS)
    ]
    _, errors = run(write(lines), status=1)
    assert "try --stamp end" in errors
    run(write(lines), "--stamp", "end")


@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_control_characters_of_a_file_reach_no_terminal(form: str) -> None:
    lines = [*fluvius(0, 4), "\x1b[2J;\x07;\x9b"]
    output, errors = run(write(lines), "--format", form)
    assert "\x1b" not in output + errors
    _, errors = run(write(["start;\x1b[2J\x9b;b", "2026-01-01 00:00;1;2"]), status=2)
    assert not {"\x1b", "\x9b"} & set(errors)


@pytest.mark.parametrize(
    ("lines", "arguments", "advice"),
    [
        (["hello"], [], "--column"),
        (["start;value", "2026-10-25 00:00;1"], [], "--unit"),
        (["start;value", "2026-10-25 00:00;1"], ["--column", "volume"], "no column 'volume'"),
        (["start;value", "2026-10-25 00:00;1"], ["--timezone", "Mars"], "time zone"),
        (["start;value", "2026-10-25 00:00;1"], ["--timezone", "Luxemburg"], "mean Europe/Luxembourg"),
        (["start;value", "2026-10-25 00:00;1"], ["--unit", "kVA"], "kWh"),
        (["start;value", "2026-10-25 00:00;1"], ["--meter", "barn"], "'house'|house"),
    ],
)
def test_what_is_not_understood_ends_with_2_and_one_line(
    lines: list[str], arguments: list[str], advice: str
) -> None:
    _, errors = run(write(lines), *arguments, status=2)
    assert any(word in errors for word in advice.split("|"))
    assert errors.count("\n") == 1


@pytest.mark.parametrize("path", ["missing.csv", ".", "state/history.sqlite3"])
def test_a_file_that_is_no_csv_ends_with_2(path: str) -> None:
    _, errors = run(path, status=2)
    assert errors.count("\n") == 1


def test_of_two_meters_one_must_be_named() -> None:
    write_history(Path("state"), "barn", boundaries("1SAG1100000002"))
    assert "--meter" in run(write(fluvius()), status=2)[1]
    run(write(fluvius()), "--meter", "barn")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda tail: "\n".join(fluvius(0, 3)).encode() + b"\n" + tail),
    )
)
def test_whatever_bytes_are_in_a_file_there_is_a_result_or_one_line(data: bytes) -> None:
    Path("operator.csv").write_bytes(data)
    done = smarty_gateway("history", "compare", "operator.csv", "--state", "state")
    assert done.returncode in (0, 1, 2)
    assert b"bug" not in done.stderr
    assert done.returncode != 2 or done.stderr.count(b"\n") == 1
    assert not set(done.stderr + done.stdout) & (set(range(32)) - {10})
