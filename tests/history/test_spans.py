"""What rows are made of single boundaries, by the definitions of docs/reference.md, "History"."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, Row
from smarty_gateway.history.spans import DeviceRegister, Point, pieces_of, rows_of

ZONE = ZoneInfo("Europe/Luxembourg")
#: Long after all that is stored.
LATER = 4_000_000_000
THREE_KW = ReferencePower(((None, 3000),))


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


def point(
    time: str | int, import_: int | None, export: int | None = 0, *, series: int = 1, power: int | None = None
) -> Point:
    end = at(time) if isinstance(time, str) else time
    return Point(end, series, power, (import_, *(None,) * 4, export, *(None,) * 4))


def replaced_export(one: Point, export: int | None) -> Point:
    return one._replace(registers=(*one.registers[:5], export, *one.registers[6:]))


def tariffs(time: str, *registers: int | None) -> Point:
    """Return a boundary of a meter that sends two tariffs of import and of export, and no totals."""
    first, second, third, fourth = registers
    return Point(at(time), 1, None, (None, first, second, None, None, None, third, fourth, None, None))


def steady(first: str, last: str, watt_hours: int, *, register: int = 0, series: int = 1) -> list[Point]:
    """Return boundaries without a gap; every quarter hour draws the same."""
    ends = range(at(first), at(last) + 1, 900)
    return [
        point(end, register + number * watt_hours, series=series, power=4 * watt_hours)
        for number, end in enumerate(ends)
    ]


def rows(
    points: Sequence[Point],
    by: By = By.DAY,
    *,
    now: int = LATER,
    reference: ReferencePower = THREE_KW,
    devices: Sequence[DeviceRegister] = (),
) -> list[Row]:
    return rows_of(pieces_of(points, reference, ZONE), by, now, ZONE, devices)


def test_a_complete_day_has_its_growth_its_excess_and_its_peak() -> None:
    (row,) = rows(steady("2026-05-17", "2026-05-18", 1000))
    assert row == Row(
        at("2026-05-17"),
        at("2026-05-18"),
        import_=96_000,
        export=0,
        known_seconds=86400,
        max_power=4000,
        excess=96 * 250.0,
        complete=True,
        covered=1.0,
    )


@pytest.mark.parametrize(("day", "following"), [("2026-03-29", "2026-03-30"), ("2026-10-25", "2026-10-26")])
def test_a_day_with_a_change_of_time_is_complete_with_92_or_100_quarters(day: str, following: str) -> None:
    (row,) = rows(steady(day, following, 1))
    assert row.complete
    assert row.import_ == (92 if day == "2026-03-29" else 100)


def test_a_gap_inside_a_day_counts_for_the_day_and_not_for_what_is_covered() -> None:
    points = steady("2026-05-17", "2026-05-18", 1000)
    (row,) = rows(points[:10] + points[18:])
    assert (row.import_, row.complete, row.covered) == (96_000, False, 87 / 96)
    assert row.known_seconds == 86400
    assert row.excess == 87 * 250


def test_a_gap_over_midnight_is_a_row_of_its_own_between_the_days() -> None:
    points = steady("2026-05-17", "2026-05-19", 1000)
    first, gap, second = rows(points[:90] + points[110:])
    assert (gap.start, gap.end) == (points[89].end, points[110].end)
    assert (gap.import_, gap.excess, gap.complete, gap.covered) == (21_000, None, False, 0)
    assert (first.import_, second.import_) == (89_000, 82_000)
    assert (first.start, first.end) == (at("2026-05-17"), at("2026-05-18"))


def test_a_gap_over_midnight_is_inside_the_month() -> None:
    points = steady("2026-05-17", "2026-05-19", 1000)
    (row,) = rows(points[:90] + points[110:], By.MONTH)
    assert row.import_ == 192_000


def test_a_gap_is_a_row_of_its_own_by_quarter() -> None:
    points = steady("2026-05-17", "2026-05-17T03:00", 1000)
    found = rows(points[:4] + points[6:], By.QUARTER)
    assert [(row.end - row.start) // 900 for row in found] == [1, 1, 1, 3, 1, 1, 1, 1, 1, 1]
    assert [row.complete for row in found].count(False) == 1


@pytest.mark.parametrize("by", list(By))
def test_a_break_is_always_a_row_of_its_own_without_energies(by: By) -> None:
    old = steady("2026-05-17", "2026-05-17T12:00", 1000)
    new = steady("2026-05-17T12:15", "2026-05-18", 1000, register=70_000, series=2)
    found = rows(old + new, by)
    (gone,) = [row for row in found if row.import_ is None]
    assert (gone.start, gone.end) == (at("2026-05-17T12:00"), at("2026-05-17T12:15"))
    assert (gone.export, gone.excess, gone.complete, gone.known_seconds) == (None, None, False, 0)
    others = [row for row in found if row is not gone]
    assert sum(row.import_ or 0 for row in others) == 95_000
    if by is By.DAY:
        assert (others[0].complete, others[0].covered) == (False, 95 / 96)


def test_a_register_that_falls_or_is_missing_within_a_series_makes_a_break() -> None:
    start = at("2026-05-17")
    points = [
        point(start, 100),
        point(start + 900, 90),
        point(start + 1800, 95),
        point(start + 2700, None),
        point(start + 3600, 99),
    ]
    assert [row.import_ for row in rows(points, By.QUARTER)] == [None, 5, None, None]


def test_rows_come_by_their_starts_and_the_longer_first() -> None:
    points = [
        *steady("2026-05-17", "2026-05-17T01:00", 1),
        *steady("2026-05-18", "2026-05-18T01:00", 1, register=9, series=2),
        *steady("2026-05-18T02:00", "2026-05-18T03:00", 1, register=90, series=3),
    ]
    spans = [(row.start, row.end) for row in rows(points)]
    assert spans == sorted(spans, key=lambda span: (span[0], -span[1]))
    assert len(spans) == 4


def test_import_is_the_sum_of_the_tariffs_where_there_is_no_total() -> None:
    (row,) = rows(
        [tariffs("2026-05-17T10:00", 100, 200, 30, 40), tariffs("2026-05-17T10:15", 1100, 201, 30, 47)],
        By.QUARTER,
    )
    assert (row.import_, row.export, row.excess) == (1001, 7, 251)
    assert row.tariffs == {"import_t1": 1000, "import_t2": 1, "export_t1": 0, "export_t2": 7}


def test_a_tariff_that_comes_without_a_total_makes_a_break() -> None:
    found = rows(
        [
            tariffs("2026-05-17T10:00", 100, None, 30, 40),
            tariffs("2026-05-17T10:15", 200, 7000, 30, 40),
            tariffs("2026-05-17T10:30", 300, 7000, 30, 40),
        ],
        By.QUARTER,
    )
    assert [row.import_ for row in found] == [None, 100]


@pytest.mark.parametrize("by", [By.QUARTER, By.DAY])
def test_export_that_comes_in_addition_costs_no_import(by: By) -> None:
    old = [replaced_export(one, None) for one in steady("2026-05-17", "2026-05-17T12:00", 1000)]
    new = steady("2026-05-17T12:15", "2026-05-18", 1000, register=49_000)
    found = rows([*old, *new], by)
    assert all(row.complete for row in found)
    assert sum(row.import_ or 0 for row in found) == 96_000
    assert {row.export for row in found} == ({None, 0} if by is By.QUARTER else {0})


def test_a_meter_without_a_register_of_import_has_no_excess() -> None:
    (row,) = rows([point("2026-05-17T10:00", None, 5), point("2026-05-17T10:15", None, 9)], By.QUARTER)
    assert (row.import_, row.export, row.excess, row.complete) == (None, 4, 0, True)


def test_excess_is_counted_by_the_level_of_each_date() -> None:
    levels = ReferencePower(((date(2026, 5, 18), 3000), (date(2026, 5, 19), 3999)))
    found = rows(steady("2026-05-17", "2026-05-20", 1000), reference=levels)
    assert [row.excess for row in found] == [None, 96 * 250, 96 * 0.25]


def test_a_running_day_is_covered_if_all_that_is_over_is_known() -> None:
    points = steady("2026-05-17", "2026-05-17T10:00", 1)
    (row,) = rows(points, now=at("2026-05-17T10:14:59"))
    assert (row.covered, row.complete) == (1, False)
    (row,) = rows(points, now=at("2026-05-17T10:15"))
    assert row.covered == 40 / 41


def test_what_the_meter_has_counted_is_complete_though_the_clock_of_the_gateway_is_behind() -> None:
    found = rows(steady("2026-05-17", "2026-05-18T00:15", 1), By.QUARTER, now=at("2026-05-17T12:07"))
    assert {(row.complete, row.covered) for row in found} == {(True, 1)}
    (day, _) = rows(steady("2026-05-17", "2026-05-18T00:15", 1), now=at("2026-05-17T23:59"))
    assert (day.complete, day.covered) == (True, 1)


def test_a_running_span_of_which_no_quarter_is_over_counts_as_covered() -> None:
    (row,) = rows(steady("2026-05-17", "2026-05-17T00:15", 1), now=at("2026-05-17T00:14:59"))
    assert (row.covered, row.complete) == (1, False)


def device(*values: tuple[str, int], column: str = "gas") -> DeviceRegister:
    """Return a device whose values are stored at once when they are read."""
    return DeviceRegister.from_values(column, "m³", [(at(time), value, at(time)) for time, value in values])


QUARTERS = [
    *((f"2026-05-17T{hour:02}", minute) for hour in range(24) for minute in (0, 15, 30, 45)),
    ("2026-05-18T00", 0),
]
HOURS = [f"2026-05-{day}T{hour:02}:00" for day in (17, 18) for hour in range(24)]


def test_gas_stands_in_the_rows_that_are_long_enough_for_it() -> None:
    gas = device(*((hour, 100 * number) for number, hour in enumerate(HOURS)))
    points = steady("2026-05-17", "2026-05-18", 1)
    assert [row.devices for row in rows(points, devices=[gas])] == [{"gas": DeviceEnergy(2400, "m³")}]
    assert {row.devices["gas"].amount for row in rows(points, By.HOUR, devices=[gas])} == {100}
    assert not any(row.devices for row in rows(points, By.QUARTER, devices=[gas]))


def test_a_device_that_is_read_once_a_day_has_no_amount_in_an_hour() -> None:
    gas = device(("2026-05-16T06:00", 0), ("2026-05-17T06:00", 700), ("2026-05-18T06:00", 900))
    points = steady("2026-05-17", "2026-05-18", 1)
    assert not any(row.devices for row in rows(points, By.HOUR, devices=[gas]))
    assert rows(points, devices=[gas])[0].devices["gas"].amount == 700


def test_a_value_older_than_25_hours_is_not_that_of_a_boundary() -> None:
    gas = device(("2026-05-15T22:59", 0), ("2026-05-17T12:00", 700))
    assert not rows(steady("2026-05-17", "2026-05-18", 1), devices=[gas])[0].devices


def test_a_device_that_is_replaced_adds_up_under_its_column() -> None:
    old = device(*((hour, 5000 + 10 * number) for number, hour in enumerate(HOURS[:13])))
    new = device(*((hour, number) for number, hour in enumerate(HOURS[13:25])))
    (row,) = rows(steady("2026-05-17", "2026-05-18", 1), devices=[old, new])
    assert row.devices == {"gas": DeviceEnergy(120 + 11, "m³")}


@pytest.mark.parametrize("by", list(By))
def test_a_new_electricity_meter_does_not_count_gas_twice(by: By) -> None:
    gas = device(*((f"{day}:{minute:02}", n) for n, (day, minute) in enumerate(QUARTERS)))
    old = steady("2026-05-17", "2026-05-17T10:00", 1)
    new = steady("2026-05-17T10:30", "2026-05-18", 1, series=2)
    found = [row.devices for row in rows(old + new, by, devices=[gas])]
    assert sum(devices["gas"].amount for devices in found if devices) == 96


def test_a_device_register_that_falls_counts_nothing_for_that_step() -> None:
    gas = device(("2026-05-17", 900), ("2026-05-17T08:00", 950), ("2026-05-17T09:00", 3), ("2026-05-18", 10))
    assert rows(steady("2026-05-17", "2026-05-18", 1), devices=[gas])[0].devices["gas"].amount == 57


@given(
    steps=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 9000), st.integers(0, 9)), max_size=60),
    start=st.integers(at("2026-03-27") // 900, at("2026-04-02") // 900),
    by=st.sampled_from(list(By)),
)
def test_rows_together_equal_the_growth_of_each_series(
    steps: list[tuple[int, int, int]], start: int, by: By
) -> None:
    points = [point(start * 900, 1000)]
    for quarters, grown, chance in steps:
        last = points[-1]
        begins_series = chance == 0
        registers = (7 if begins_series else (last.registers[0] or 0) + grown, *last.registers[1:])
        end = last.end + 900 * (quarters if chance < 3 else 1)
        points.append(Point(end, last.series + begins_series, None, registers))
    known = [(new, old) for old, new in pairwise(points) if old.series == new.series]
    total = sum((new.registers[0] or 0) - (old.registers[0] or 0) for new, old in known)
    found = rows(points, by)
    assert sum(row.import_ or 0 for row in found) == total
    assert sum(row.known_seconds for row in found) == sum(new.end - old.end for new, old in known)
    assert all(row.excess is not None for row in found if row.complete)


def test_what_is_cut_off_makes_no_difference_to_the_other_rows() -> None:
    points = steady("2026-05-17", "2026-05-20", 1000)
    whole = rows(points)
    assert rows(points[96:193]) == whole[1:2]
    assert rows(points[100:193])[0] == replace(
        whole[1], import_=92_000, known_seconds=92 * 900, excess=92 * 250.0, complete=False, covered=92 / 96
    )
