"""CSV and JSON of the history: names, order, units, and what is not known."""

import pytest

from smarty_gateway.history.rows import DeviceEnergy, Row
from smarty_gateway.outputs.history_records import COLUMNS, record_of, to_lines
from tests.support.histories import ZONE, second_of

START = second_of("2026-03-29")


def row(**changes: object) -> Row:
    values = {
        "start": START, "end": START + 900, "import_": 1000, "export": 7, "known_seconds": 900,
        "max_power": 5123, "excess": 250.25, "complete": True, "covered": 1.0,
    }  # fmt: skip
    return Row(**(values | changes))  # type: ignore[arg-type]


def csv_of(*rows: Row) -> list[str]:
    return list(to_lines("csv", [record_of("house", one, ZONE) for one in rows]))


def test_powers_are_kilowatts_and_energies_kilowatt_hours() -> None:
    assert record_of("house", row(), ZONE) == {
        "meter": "house",
        "start": "2026-03-29T00:00:00+01:00",
        "end": "2026-03-29T00:15:00+01:00",
        "import": 1.0, "export": 0.007, "mean_power": 4.0, "max_power": 5.123, "excess": 0.25,
        "complete": 1, "covered": 1.0,
    }  # fmt: skip


def test_what_is_not_known_is_null_and_empty() -> None:
    unknown = row(import_=None, export=None, known_seconds=0, max_power=None, excess=None, complete=False,
                  covered=None)  # fmt: skip
    record = record_of("house", unknown, ZONE)
    assert list(record) == list(COLUMNS)
    assert [name for name, value in record.items() if value is None] == [
        "import", "export", "mean_power", "max_power", "excess", "covered",
    ]  # fmt: skip
    assert csv_of(unknown)[1].endswith("+01:00,,,,,,0,")


@pytest.mark.parametrize("name", ["=cmd|'/C calc'!A0", "+1", "-1", "@SUM(1)"])
def test_no_name_is_a_formula_in_a_spreadsheet(name: str) -> None:
    energy = DeviceEnergy(1000, name)
    head, line = to_lines("csv", [record_of(name, row(devices={name: energy}), ZONE)])
    assert line.startswith(f"'{name},")
    assert line.endswith(f",'{name}")
    assert f",'{name},'{name}_unit" in head


def test_csv_has_three_decimals_whatever_the_value() -> None:
    assert csv_of(row())[1].endswith("1.000,0.007,4.000,5.123,0.250,1,1")


def test_the_columns_are_those_of_all_rows_tariffs_before_devices() -> None:
    gas, heat = DeviceEnergy(1500, "m³"), DeviceEnergy(2, "GJ")
    lines = csv_of(
        row(devices={"thermal": heat}),
        row(tariffs={"import_t2": 3, "export_t1": 4, "import_t1": 2}, devices={"gas_2": gas, "gas": gas}),
    )
    names = "import_t1,import_t2,export_t1,gas,gas_unit,gas_2,gas_2_unit,thermal,thermal_unit"
    assert lines[0] == f"{','.join(COLUMNS)},{names}"
    assert lines[1].endswith(",,,,,,,,0.002,GJ")
    assert lines[2].endswith(",0.002,0.003,0.004,1.500,m³,1.500,m³,,")


@pytest.mark.parametrize(
    ("covered", "printed"), [(1.0, 1.0), (35039 / 35040, 0.9999), (0.0, 0.0), (95 / 96, 0.9896)]
)
def test_only_all_of_a_span_is_printed_as_1(covered: float, printed: float) -> None:
    assert record_of("house", row(covered=covered), ZONE)["covered"] == printed


def test_without_rows_nothing_is_printed() -> None:
    assert list(to_lines("csv", [])) == list(to_lines("json", [])) == []
