"""The table of `decode` shows whole values, units, times and codes at any width, for every kind of meter."""

import io
import re
from datetime import UTC, datetime
from itertools import groupby

import pytest
from rich.cells import cell_len
from rich.console import Console

from smarty_gateway.outputs.labels import label_of
from smarty_gateway.outputs.table import table_of
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.protocol.obis import BY_NAME, Form
from smarty_gateway.simulator.meters import MeterKind, SimulatedMeter
from tests.support.every_meter import EVERY_KIND, measured
from tests.support.streams import read, telegrams
from vectors.building_blocks import telegram as text_of
from vectors.building_blocks import time_line

WIDTHS = (*range(40, 161, 9), 60, 80, 100, 120, 160)
NOON = datetime(2026, 6, 21, 11, 0, tzinfo=UTC)
#: A longer value, such as a message, may be folded.
LONGEST = 25


def table(telegram: MeterTelegram, width: int) -> list[str]:
    """Return the lines of the table; the console is wider, so that it wraps none of them."""
    file = io.StringIO()
    console = Console(file=file, width=1000, color_system=None, highlight=False)
    console.print(table_of(telegram, width))
    return file.getvalue().splitlines()


def cells(telegram: MeterTelegram) -> dict[str, str]:
    """Return each single value of the JSON object with its unit, as people write it, by its name."""
    found = measured(telegram)
    for name, value in telegram.decoded.fields.items():
        if isinstance(value, str | int | float) and name not in found:
            is_time = BY_NAME[name].quantity.form is Form.TIME
            found[name] = str(value).replace("T", " ") if is_time else str(value)
    return {name: cell for name, cell in found.items() if cell}


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_value_unit_time_or_code_is_cut_at_any_width(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    wanted = {*cells(telegram).values(), *(telegram.decoded.codes[name] for name in telegram.decoded.fields)}
    for device in telegram.decoded.devices.values():
        wanted |= {
            str(value).replace("T", " ") for key, value in device.items() if key in {"id", "timestamp"}
        }
    for width in WIDTHS:
        lines = table(telegram, width)
        assert max(map(cell_len, lines)) <= width
        for text in wanted:
            if len(text) <= LONGEST and text.isprintable():
                assert any(re.search(rf"(?<!\S){re.escape(text)}(?!\S)", line) for line in lines)


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_from_80_columns_on_a_row_has_its_label_its_value_with_unit_and_its_code(kind: str) -> None:
    telegram = EVERY_KIND[kind]
    codes = telegram.decoded.codes
    for width in (80, 120, 160):
        lines = table(telegram, width)
        for name, cell in cells(telegram).items():
            if name in BY_NAME and len(cell) <= LONGEST and cell.isprintable():
                row = re.compile(rf"  (.*\S) +{re.escape(cell)} * {{2}}{re.escape(codes[name])}")
                found = [match[1] for line in lines if (match := row.fullmatch(line))]
                assert label_of(name) in found or BY_NAME[name].description in found


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_no_two_rows_of_a_section_have_the_same_label(kind: str) -> None:
    for width in (80, 120):
        lines = table(EVERY_KIND[kind], width)[3:]
        for is_row, rows in groupby(lines, key=lambda line: line.startswith("  ") and line[2:3].isalpha()):
            if is_row:
                labels = [re.split(r" {2,}", row.strip())[0] for row in rows]
                assert len(labels) == len(set(labels))


def test_the_long_descriptions_are_used_where_all_of_them_fit() -> None:
    (telegram,) = telegrams(read(SimulatedMeter(MeterKind.BELGIUM, 1).telegram(NOON)))
    for width, words in ((120, "Active energy imported, tariff 1"), (60, "Energy import tariff 1")):
        assert any(line.startswith(f"  {words} ") for line in table(telegram, width))


def test_a_long_text_goes_on_in_the_next_line_and_loses_nothing() -> None:
    message = "".join(f"{number:04d}" for number in range(200))
    (telegram,) = telegrams(
        read(text_of("FLU5", time_line(1), f"0-0:96.14.0({message})", f"9-9:9.9.9({message})"))
    )
    for width in WIDTHS:
        lines = table(telegram, width)
        assert "".join(line.strip() for line in lines).count(message) == 2


def test_the_title_is_folded_between_its_parts() -> None:
    (telegram,) = telegrams(read(text_of("FLU5", time_line(1), "0-0:96.1.1(meter)")))
    lines = table(telegram, 40)
    assert lines[0].startswith("meter  2026-01-30 10:20:01+01:00")
    assert "plaintext" in "".join(lines[:2])


@pytest.mark.parametrize("width", [1, 4, 5, 19, 20, 39])
def test_a_terminal_that_is_too_narrow_is_no_reason_to_fail(width: int) -> None:
    telegram = EVERY_KIND["simulated-belgium-11"]
    assert measured(telegram)["energy_import_tariff_1"] in "\n".join(table(telegram, width))
