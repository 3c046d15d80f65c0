"""What months came to is remembered until anything of them changes."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

import pytest

from smarty_gateway.config.gateway_file import load_config
from smarty_gateway.history.boundary import SetBack
from smarty_gateway.history.rows import By
from smarty_gateway.history.sample import QUARTER, DeviceValue
from smarty_gateway.history.spans import sum_of
from smarty_gateway.history.stretches import Stretch, span_stretch
from smarty_gateway.state.history_access import opened_history
from smarty_gateway.state.history_file import HistoryFile
from smarty_gateway.state.history_memory import Memory
from tests.support.histories import ZONE, boundaries, second_of, write_history
from tests.support.kept_years import CONFIG, TARIFF

JUNE, JULY = second_of("2026-06-01"), second_of("2026-07-01")
QUARTERS: Final = 4 * 24 * 40
Change = Callable[[Path], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the history of 40 days from June, of which the 10th is missing."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    (tmp_path / "tariff.yaml").write_text(TARIFF, "utf-8")
    kept = list(boundaries(JUNE, QUARTERS, energy=800, export=50))
    write_history(tmp_path / "state", "house", kept[:960] + kept[1057:])
    return tmp_path


def year(folder: Path) -> list[Any]:
    """Return all that is remembered of a year."""
    config = load_config(folder / "gateway.yaml")
    with opened_history(folder / "state", config, second_of("2026-07-20")) as history:
        (meter,) = history.reader.meters()
        stretch = span_stretch(By.YEAR, date(2026, 1, 1), ZONE)
        assert stretch.first is not None
        assert stretch.last is not None
        return [
            history.rows(meter, stretch),
            history.peaks(meter, stretch.first, stretch.last),
            history.highest(meter, stretch.first, stretch.last),
            history.lowest_power(meter, stretch.first, stretch.last),
            [one.costs for one in history.priced(meter, stretch)],
        ]


def june(folder: Path) -> Any:  # noqa: ANN401 - costs, by name
    return year(folder)[-1][0]


def imported(folder: Path) -> None:
    missing = list(boundaries(JUNE, QUARTERS, energy=800, export=50))[960:1057]
    with closing(HistoryFile(folder / "state")) as file:
        file.write({"house": missing})


def removed(folder: Path) -> None:
    with closing(HistoryFile(folder / "state")) as file:
        file.write({"house": [SetBack(JUNE + 86_400)]})


def of_another_price(folder: Path) -> None:
    (folder / "tariff.yaml").write_text(TARIFF.replace("0.05", "0.10"), "utf-8")


def of_another_level(folder: Path) -> None:
    (folder / "gateway.yaml").write_text(CONFIG.replace("reference_power: 3", "reference_power: 7"), "utf-8")


@pytest.mark.parametrize("change", [imported, removed, of_another_price, of_another_level])
def test_a_change_is_seen_at_once(folder: Path, change: Change) -> None:
    before = june(folder)
    assert june(folder) == before
    change(folder)
    assert june(folder) != before


def test_another_end_of_a_gap_over_the_end_of_a_month_is_seen_at_once(tmp_path: Path) -> None:
    """As after a clock that was set back and came to the same time again."""
    (tmp_path / "gateway.yaml").write_text(CONFIG, "utf-8")
    (tmp_path / "tariff.yaml").write_text(TARIFF, "utf-8")
    *before, end = boundaries(JULY - 8 * QUARTER, 12)
    write_history(tmp_path / "state", "house", [*before[:5], end])
    assert year(tmp_path)[0][-1].import_ == 800
    more = replace(end, registers=tuple(value and value + 50 for value in end.registers))
    write_history(tmp_path / "state", "house", [more])
    assert year(tmp_path)[0][-1].import_ == 850


def test_a_late_value_of_a_device_is_seen_at_once(folder: Path) -> None:
    def gas() -> int:
        return int(year(folder)[0][0].devices["gas"].amount)

    before = gas()
    *_, last = boundaries(JUNE, 4 * 24 * 30, energy=800, export=50)
    late = DeviceValue("GFLO2133031470", "gas", "m³", last.devices[0].value + 5, last.end)
    with closing(HistoryFile(folder / "state")) as file:
        file.write({"house": [replace(last, devices=(late,))]})
    assert gas() == before + 5


def test_months_together_are_what_a_year_is(folder: Path) -> None:
    """Gaps lie over the end of a month, and the meter is replaced."""
    first = second_of("2026-08-20")
    new = boundaries(first + 25 * 86_400 + QUARTER, 4 * 24 * 30, energy=700, export=20, series=2)
    kept = [*boundaries(first, 4 * 24 * 25, energy=300, export=90), *new]
    for gap in (range(1100, 1170), range(2000, 2003), range(3980, 4100)):
        kept = [one for one in kept if (one.end - first) // QUARTER not in gap]
    write_history(folder / "state", "house", kept)
    config = load_config(folder / "gateway.yaml")
    with opened_history(folder / "state", config, second_of("2026-10-14T10:20")) as history:
        (meter,) = history.reader.meters()
        reference, now = history.reference_of(meter), history.now
        for begin, end in ((None, None), (JUNE + 4500, second_of("2026-10-03T07:15"))):
            for by in (By.DAY, By.MONTH):
                rows = history.rows(meter, Stretch(begin, end, by))
                assert rows == history.reader.rows("house", by, begin, end, now, reference)
                assert len(rows) > 5
        stretch = span_stretch(By.YEAR, date(2026, 1, 1), ZONE)
        years = history.reader.rows("house", By.YEAR, stretch.first, stretch.last, now, reference)
        whole = next(row for row in years if row.end == stretch.last)
        found = history.span(meter, By.YEAR, date(2026, 5, 1))
        assert found == whole


def test_what_a_device_counted_while_it_was_not_read_is_in_the_year(folder: Path) -> None:
    """A month has no growth between two values that are further apart than twice its length."""
    first = second_of("2026-08-01")
    kept = [
        one if number < 96 or number > 96 * 90 else replace(one, devices=())
        for number, one in enumerate(boundaries(first, 96 * 100))
    ]
    write_history(folder / "state", "barn", kept)
    config = load_config(folder / "gateway.yaml")
    with opened_history(folder / "state", config, second_of("2026-12-14")) as history:
        barn = next(meter for meter in history.reader.meters() if meter.name == "barn")
        found = history.span(barn, By.YEAR, date(2026, 5, 1))
        assert found is not None
        assert found.devices["gas"].amount == 10 * 96 * 100


def test_quarter_hours_are_the_complete_rows(folder: Path) -> None:
    with opened_history(folder / "state", None, second_of("2026-07-20")) as history:
        for begin, end in ((None, None), (JUNE + 4500, JULY + 8100)):
            rows = history.reader.rows("house", By.QUARTER, begin, end, history.now)
            known = [(row.start, row.import_) for row in rows if row.complete]
            assert history.reader.quarters("house", begin, end) == known


def test_a_span_without_anything_known_is_none() -> None:
    assert sum_of([], range(900), 0, {}) is None


def test_the_result_that_nobody_asked_for_is_forgotten_first() -> None:
    memory, computed = Memory(most=2), list[str]()

    def ask(key: str) -> None:
        memory.of(key, lambda: computed.append(key))

    for key in "abacab":
        ask(key)
    assert computed == ["a", "b", "c", "b"]
