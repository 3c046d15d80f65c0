"""The tables of the history fit every terminal, and say in words what is special."""

from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, HistoryMeter, Peak, Row
from smarty_gateway.outputs.history_sheets import Sheet, Shown, sheet_of_peaks, sheet_of_rows
from smarty_gateway.outputs.history_table import lines_of
from tests.support.histories import second_of

ZONE = ZoneInfo("Europe/Luxembourg")
METER = HistoryMeter("house", 0, 0, "SAG1030700012345")
SIMULATED = HistoryMeter("house", 0, 0, "SAG1030700012345", is_simulated=True)
MIDNIGHT = second_of("2026-10-25")
_COMPLETE = (True, 1.0)
LATER = second_of("2027-01-01")


def quarter(number: int, *, energy: int = 800, excess: float | None = 50.0) -> Row:
    start = MIDNIGHT + 900 * number
    gas = {"gas": DeviceEnergy(120, "m³")}
    return Row(start, start + 900, energy, 20, 900, 4000, excess, *_COMPLETE, {"import_t1": energy}, gas)


def drawn(rows: list[Row], width: int = 80, by: By = By.QUARTER, meter: HistoryMeter = METER) -> list[str]:
    sheet = sheet_of_rows(meter, rows, Shown("2026-10-25", by, ZONE, LATER))
    return [line.plain for line in lines_of(sheet, width)]


@pytest.mark.parametrize("width", range(24, 130, 7))
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width: int) -> None:
    lines = drawn([quarter(number, energy=123_456) for number in range(100)], width)
    assert max(map(cell_len, lines)) <= width
    assert sum("123.456" in line for line in lines) == 100


def test_columns_that_do_not_fit_are_named_below() -> None:
    lines = drawn([quarter(0), quarter(1)], 32)
    assert lines[1].split() == ["from", "import", "export", "excess"]
    below = " ".join(map(str.strip, lines))
    assert below.endswith("no room for: mean, max, import t1, gas")


def test_a_column_without_any_value_is_left_out() -> None:
    assert "excess" in drawn([quarter(0)])[1]
    assert "excess" not in drawn([quarter(0, excess=None)])[1]


def test_the_repeated_hour_has_offsets_and_no_other_has() -> None:
    lines = drawn([quarter(number) for number in range(100)])
    assert [line[:12] for line in lines if "+" in line] == [
        f"02:{minute} {offset}" for offset in ("+02:00", "+01:00") for minute in ("00", "15", "30", "45")
    ]


def test_a_gap_a_break_and_a_running_span_say_so() -> None:
    start, end = MIDNIGHT, second_of("2026-10-26T03:00")
    gap = Row(start, end, 1234, 0, end - start, None, None, complete=False, covered=0.0)
    unknown = Row(start, end, None, None, 0, None, None, complete=False, covered=0.0)
    running = Row(start, LATER + 900, 1234, 0, 3600, None, None, complete=False, covered=1.0)
    for row, words in (
        (
            gap,
            "gap from 2026-10-25 00:00 until 2026-10-26 03:00: the total is known, but not how it is spread",
        ),
        (unknown, "from 2026-10-25 00:00 until 2026-10-26 03:00: unknown, a new meter"),
        (running, "still running, until 2027-01-01 00:15"),
    ):
        assert words in " ".join(map(str.strip, drawn([row], 60, By.DAY)))


def test_the_total_is_the_sum_of_the_rows() -> None:
    (total,) = [line for line in drawn([quarter(0), quarter(1)], 40) if "total" in line]
    assert total.split() == ["total", "1.600", "0.040", "0.100"]


def test_bars_are_as_long_as_their_share_of_the_largest() -> None:
    lines = drawn([quarter(0, energy=400, excess=0.0), quarter(1, energy=800, excess=0.0)], 90)
    short, long = (line.count("█") for line in lines if line.startswith("00:"))
    assert abs(long - 2 * short) <= 1


def test_the_columns_and_the_bars_of_a_table_are_explained_below_it() -> None:
    reference = ReferencePower(((None, 3000),))
    shown = Shown("2026-10-25", By.QUARTER, ZONE, LATER, reference)
    sheet = sheet_of_rows(METER, [quarter(0)], shown)
    text = " ".join(line.plain.strip() for line in lines_of(sheet, 100))
    assert "█ import  ▓ excess  ░ export" in text
    assert "excess: what quarter hours took over 3 kW; " in text
    narrow = " ".join(line.plain.strip() for line in lines_of(sheet, 32))
    assert "highest power seen" in text
    assert "highest power seen" not in narrow


def test_excess_is_a_lower_bound_where_quarter_hours_are_not_known() -> None:
    day = Row(MIDNIGHT, MIDNIGHT + 90_000, 8000, 0, 90_000, 4000, 50.0, complete=False, covered=0.5)
    assert "or more where some are not known" in " ".join(map(str.strip, drawn([day], by=By.DAY)))
    assert "or more" not in "".join(drawn([quarter(0)]))


def test_a_terminal_without_such_characters_gets_bars_in_ascii() -> None:
    sheet = sheet_of_rows(METER, [quarter(0)], Shown("2026-10-25", By.QUARTER, ZONE, LATER))
    assert "m³" in "".join(line.plain for line in lines_of(sheet, 100, "#!-"))
    assert any("###" in line.plain for line in lines_of(sheet, 100, "#!-"))


def test_a_simulated_meter_is_marked_in_the_heading() -> None:
    assert drawn([quarter(0)], meter=SIMULATED)[0] == (
        "house, 2026-10-25  simulated, nobody has measured this"
    )


def test_a_peak_that_the_meter_has_stored_is_marked_in_40_columns() -> None:
    peaks = [Peak(202609, MIDNIGHT, 3000.0, is_of_meter=True), Peak(202610, MIDNIGHT, 3200.0)]
    sheet: Sheet = sheet_of_peaks(METER, peaks, ZONE)
    lines = [line.plain for line in lines_of(sheet, 40)]
    assert lines[3].split() == ["2026-09", "3.000", "2026-10-25", "00:00", "meter"]
    assert lines[4].split() == ["2026-10", "3.200", "2026-10-25", "00:00"]


def test_control_characters_of_a_name_never_reach_the_terminal() -> None:
    name = HistoryMeter("ho\x1b[2Juse", 0, 0, "X")
    assert "\x1b" not in "".join(drawn([quarter(0)], meter=name))
