"""The reader of history.sqlite3: what is stored comes back as rows, whichever way they are summed.

history/spans.py defines the rows (tests/history/test_spans.py). Here a plain walk over all stored rows, with
that definition, is the measure for the reader, which asks SQLite for whole days.
"""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.rows import By, DeviceEnergy, HistoryMeter, Peak, RegisterReading
from smarty_gateway.history.sample import REGISTERS
from smarty_gateway.history.spans import SUMMED, DeviceRegister, Point, pieces_of, rows_of
from smarty_gateway.state.history_reader import HistoryReader
from smarty_gateway.state.history_schema import COLUMNS, TABLES, checksum

ZONE = ZoneInfo("Europe/Luxembourg")
#: Long after all that is stored.
LATER = 4_000_000_000
THREE_KW = ReferencePower(((None, 3000),))
#: What a meter sends: totals, or tariffs of which some are not sent; export only; all there is.
SENT = [
    ("energy_import", "energy_export"),
    ("energy_import_tariff_1", "energy_import_tariff_2", "energy_export_tariff_1", "energy_export_tariff_2"),
    ("energy_import", "energy_import_tariff_1", "energy_import_tariff_2"),
    ("energy_export",),
    SUMMED,
]
Stored = dict[str, Any]


def at(text: str, zone: ZoneInfo = ZONE) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(new_file()) as connection:
        yield connection


def new_file() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    # Damage knows no constraints; the checksums are those of good rows.
    connection.execute("PRAGMA ignore_check_constraints=ON")
    insert(connection, "meters", (1, "house", 0), (2, "garage", 1))
    return connection


def insert(connection: sqlite3.Connection, table: str, *rows: tuple[Any, ...]) -> None:
    """Write rows, also those that no gateway would write."""
    for row in rows:
        are_good = all(value is None or isinstance(value, int | str) for value in row)
        places = ", ".join("?" * (len(row) + 1))
        connection.execute(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})",  # noqa: S608 - our own names
            (*row, checksum(table, row) if are_good else 0),
        )


def store(connection: sqlite3.Connection, *rows: Stored, meter: int = 1) -> None:
    """Store boundaries; their `end` is in quarter hours, and what a row lacks is not known."""
    columns = COLUMNS["quarters"]
    empty = {**dict.fromkeys(columns), "meter": meter, "series": 1, "telegrams": 90}
    insert(connection, "quarters", *(tuple({**empty, **row}[name] for name in columns) for row in rows))


def store_device(
    connection: sqlite3.Connection, number: int, *values: tuple[int, int], meter: int = 1
) -> None:
    """Store the values of a gas meter, each dated when it became known, in seconds."""
    insert(connection, "devices", (number, meter, f"gas {number}", "gas", "m³"))
    insert(
        connection, "device_values", *((number, -(-dated // 900), value, dated) for dated, value in values)
    )


def steady(first: str, last: str, watt_hours: int, *, register: int = 0, series: int = 1) -> list[Stored]:
    """Return boundaries without a gap; every quarter hour draws the same."""
    ends = range(at(first) // 900, at(last) // 900 + 1)
    return [
        {
            "end": end,
            "series": series,
            "max_power": 4 * watt_hours,
            "energy_import": register + number * watt_hours,
            "energy_export": 0,
        }
        for number, end in enumerate(ends)
    ]


def walk(connection: sqlite3.Connection, first: int | None, last: int | None) -> list[Point]:
    """Return all known boundaries of the first meter in a range, by the plainest way."""
    found = []
    for row in connection.execute(
        f"SELECT end, series, max_power, {', '.join(SUMMED)} FROM quarters WHERE meter = 1 ORDER BY end"  # noqa: S608
    ):
        end, series, max_power, *registers = row
        is_known = any(register is not None for register in registers) and series is not None
        if is_known and not any(isinstance(value, str | bytes | float) for value in row):
            found.append(Point(end * 900, series, max_power, tuple(registers)))
    found = [point for point in found if first is None or point.end >= first]
    inside = [point for point in found if last is None or point.end <= last]
    goes_on = inside and last is not None and inside[-1].end + 900 <= last  # a gap begins in the range
    return found[: len(inside) + 1] if goes_on else inside


@st.composite
def histories(draw: st.DrawFn) -> tuple[sqlite3.Connection, ZoneInfo, int, int]:
    """Draw a file with a few days around a change of time, of the year or of nothing, and their range."""
    zone = draw(st.sampled_from([ZONE, ZoneInfo("Atlantic/Azores"), ZoneInfo("UTC")]))
    begin = at(draw(st.sampled_from(["2026-03-27", "2026-10-23", "2025-12-30", "2026-06-02"])), zone) // 900
    begin += draw(st.sampled_from([0, 0, -1, 1, 50]))
    count = draw(st.integers(250, 450) | st.integers(1, 250))
    noise = random.Random(draw(st.integers(0, 1000)))
    sent = draw(st.sampled_from(SENT))
    registers = dict.fromkeys(sent, 10_000)
    rows: list[Stored] = []
    for number in range(count):
        for name in sent:
            registers[name] += noise.choice((0, 7, 749, 750, 751, 3000))
        power = noise.choice((None, -500, 4000))
        rows.append({"end": begin + number, "series": 5, "max_power": power, **registers})
    for change, place, length in draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(0, count - 1), st.integers(1, 120)),
            max_size=3,
        )
    ):
        CHANGES[change](rows, place, length)
    connection = new_file()
    store(connection, *rows)
    store(connection, *rows[::2], meter=2)
    gas = [
        (900 * (begin + place), place // 2) for place in range(0, count, draw(st.sampled_from([1, 4, 60])))
    ]
    store_device(connection, 1, *gas[: len(gas) // 2])
    store_device(connection, 2, *gas[len(gas) // 3 :])
    return connection, zone, 900 * begin, 900 * (begin + count)


def _remove(rows: list[Stored], place: int, length: int) -> None:
    del rows[place : place + length]


def _begin_series(rows: list[Stored], place: int, length: int) -> None:
    for row in rows[place:]:
        row["series"] = length


def _forget(*names: str) -> Callable[[list[Stored], int, int], None]:
    def forget(rows: list[Stored], place: int, length: int) -> None:
        for row in rows[place : place + length]:
            row.update({name: None for name in names if name in row})

    return forget


def _damage(damaged: Callable[[int], object]) -> Callable[[list[Stored], int, int], None]:
    def damage(rows: list[Stored], place: int, length: int) -> None:
        for row in rows[place : place + 1 + length % 2]:
            names = [name for name, value in row.items() if name != "end" and isinstance(value, int)]
            if names:
                name = names[length % len(names)]
                row[name] = damaged(row[name])

    return damage


def _send_another(rows: list[Stored], place: int, length: int) -> None:
    for row in rows[place : place + length]:
        row["energy_import_tariff_4"] = 1


def _fall(rows: list[Stored], place: int, length: int) -> None:
    for row in rows[place : place + 1]:
        name = sorted(set(row) & set(REGISTERS))[length % 2 - 1]
        row[name] = 0 if row[name] is None else length


CHANGES = {
    "rows are missing": _remove,
    "a series begins": _begin_series,
    "import is not known": _forget("energy_import", "energy_import_tariff_1"),
    "export is not known": _forget("energy_export"),
    "nothing is known": _forget(*REGISTERS),
    "a text": _damage(lambda value: f"{value} Wh"),
    "bytes": _damage(lambda _: b"\xff"),
    "half a Wh": _damage(lambda value: value + 0.5),
    "another register": _send_another,
    "a register falls": _fall,
}
REFERENCES = [
    None,
    THREE_KW,
    ReferencePower(((date(2026, 3, 29), 3000), (date(2026, 3, 30), 28))),
    ReferencePower(((None, 2996), (date(2026, 1, 1), 12000), (date(2026, 10, 25), 3000))),
]


@given(
    history=histories(),
    by=st.sampled_from([By.DAY, By.DAY, By.MONTH, By.YEAR, By.HOUR, By.QUARTER]),
    reference=st.sampled_from(REFERENCES),
    cut=st.tuples(st.integers(-20_000, 100_000), st.integers(-20_000, 100_000)),
    is_cut=st.booleans(),
)
def test_the_rows_are_those_of_a_walk_over_all_boundaries(
    history: tuple[sqlite3.Connection, ZoneInfo, int, int],
    by: By,
    reference: ReferencePower | None,
    cut: tuple[int, int],
    is_cut: bool,  # noqa: FBT001 - drawn
) -> None:
    connection, zone, begin, end = history
    first, last = (begin + cut[0], end - cut[1]) if is_cut else (None, None)
    now = end - abs(cut[0])
    with closing(connection):
        points = walk(connection, first, last)
        devices = [
            DeviceRegister.from_values(
                "gas",
                "m³",
                connection.execute(
                    "SELECT end * 900, value, dated FROM device_values WHERE device = ? ORDER BY end",
                    (number,),
                ).fetchall(),
            )
            for number in (1, 2)
        ]
        pieces = pieces_of(points, reference or ReferencePower(()), zone)
        expected = rows_of(pieces, by, now, zone, devices, last)
        assert HistoryReader(connection, zone).rows("house", by, first, last, now, reference) == expected


def test_a_meter_without_a_history_has_no_rows(connection: sqlite3.Connection) -> None:
    assert HistoryReader(connection, ZONE).rows("house", By.DAY, None, None, LATER) == []
    assert HistoryReader(connection, ZONE).rows("nobody", By.DAY, None, None, LATER) == []


def test_only_what_is_inside_the_range_counts(connection: sqlite3.Connection) -> None:
    store(connection, *steady("2026-05-17", "2026-05-22", 1000))
    connection.execute("DELETE FROM quarters WHERE end BETWEEN ? AND ?", crossing("2026-05-18"))
    reader = HistoryReader(connection, ZONE)
    (row,) = reader.rows("house", By.DAY, at("2026-05-18"), at("2026-05-19"), LATER)
    assert (row.start, row.import_) == (at("2026-05-18"), 92_000)  # the gap has begun the day before
    (row,) = reader.rows("house", By.DAY, at("2026-05-20T06:00"), at("2026-05-20T18:00"), LATER)
    assert (row.start, row.import_, row.covered) == (at("2026-05-20"), 48_000, 0.5)
    *_, row = reader.rows("house", By.DAY, at("2026-05-19"), at("2026-05-21T18:00"), LATER)
    assert (row.start, row.import_, row.covered) == (at("2026-05-21"), 72_000, 0.75)
    first, gap, second = reader.rows("house", By.DAY, at("2026-05-17"), at("2026-05-19"), LATER)
    assert (first.import_, gap.import_, second.import_) == (92_000, 8_000, 92_000)


@pytest.mark.parametrize("by", [By.QUARTER, By.HOUR, By.DAY, By.MONTH, By.YEAR])
def test_a_gap_stands_in_the_range_in_which_it_begins(connection: sqlite3.Connection, by: By) -> None:
    store(connection, *steady("2026-05-17", "2026-05-20", 1000))
    connection.execute("DELETE FROM quarters WHERE end BETWEEN ? AND ?", crossing("2026-05-18"))
    reader = HistoryReader(connection, ZONE)
    store_device(connection, 1, *((at("2026-05-17") + 900 * number, number) for number in range(200)))
    limits = [at(f"2026-05-{day}") for day in (17, 18, 19, 20)]
    days = [reader.rows("house", by, limits[day], limits[day + 1], LATER) for day in range(3)]
    gap = days[0][-1]
    assert (gap.start, gap.end) == (at("2026-05-17T23:00"), at("2026-05-18T01:00"))
    assert (gap.import_, gap.complete, gap.covered) == (8_000, False, 0)
    assert gap.devices == {"gas": DeviceEnergy(8, "m³")}
    assert sum(row.import_ or 0 for day in days for row in day) == 288_000
    inside = reader.rows("house", by, at("2026-05-17T23:15"), at("2026-05-18T00:45"), LATER)
    assert inside == []


def crossing(midnight: str) -> tuple[int, int]:
    """Return the first and last of seven boundaries around a midnight, in quarter hours."""
    return at(midnight) // 900 - 3, at(midnight) // 900 + 3


def test_a_year_has_the_growth_of_its_days(connection: sqlite3.Connection) -> None:
    store(connection, *steady("2024-01-01", "2026-01-01", 1000))
    found = HistoryReader(connection, ZONE).rows("house", By.YEAR, None, None, LATER, THREE_KW)
    assert [(row.import_, row.excess, row.complete) for row in found] == [
        (96_000 * days, 24_000 * days, True) for days in (366, 365)
    ]


@pytest.mark.parametrize("value", ["7 kWh", b"\xff\xfe", 144_000.5, -1, 2**62], ids=str)
@pytest.mark.parametrize("column", ["energy_import", "energy_export"])
def test_a_boundary_with_a_damaged_register_is_not_known(
    connection: sqlite3.Connection, column: str, value: object
) -> None:
    store(connection, *steady("2026-05-17", "2026-05-20", 1000))
    damaged = at("2026-05-18T12:00") // 900
    connection.execute(f"UPDATE quarters SET {column} = ? WHERE end = ?", (value, damaged))  # noqa: S608
    for by in By:
        found = HistoryReader(connection, ZONE).rows("house", by, None, None, LATER, THREE_KW)
        assert sum(row.import_ or 0 for row in found) == 288_000
        assert sum(row.excess or 0 for row in found) == 286 * 250
    assert [
        row.covered for row in HistoryReader(connection, ZONE).rows("house", By.DAY, None, None, LATER)
    ] == [1, 94 / 96, 1]


@pytest.mark.parametrize(
    "others", [None, '{"apparent_energy_import":12}'], ids=["numbers only", "with a text"]
)
@pytest.mark.parametrize("column", ["energy_import", "max_power", "series", "telegrams"])
def test_a_boundary_with_a_flipped_bit_is_not_known(
    connection: sqlite3.Connection, column: str, others: str | None
) -> None:
    store(connection, *({**row, "others": others} for row in steady("2026-05-17", "2026-05-20", 1000)))
    damaged = at("2026-05-18T12:00") // 900
    connection.execute(f"UPDATE quarters SET {column} = {column} + 1 WHERE end = ?", (damaged,))  # noqa: S608
    for by in By:
        found = HistoryReader(connection, ZONE).rows("house", by, None, None, LATER, THREE_KW)
        assert sum(row.import_ or 0 for row in found) == 288_000
        assert sum(row.excess or 0 for row in found) == 286 * 250
        assert max(row.max_power or 0 for row in found) == 4000


def test_a_value_of_a_device_with_a_flipped_bit_is_not_known(connection: sqlite3.Connection) -> None:
    store(connection, *steady("2026-05-17", "2026-05-20", 1000))
    store_device(connection, 1, *((at("2026-05-17") + 3600 * hour, hour) for hour in range(73)))
    damaged = at("2026-05-18T12:00") // 900
    connection.execute("UPDATE device_values SET value = value + 64 WHERE end = ?", (damaged,))
    for by in (By.DAY, By.MONTH):
        found = HistoryReader(connection, ZONE).rows("house", by, None, None, LATER)
        assert sum(row.devices["gas"].amount for row in found) == 72


def test_a_boundary_with_a_damaged_power_is_not_known(connection: sqlite3.Connection) -> None:
    store(connection, *steady("2026-05-17", "2026-05-20", 1000))
    damaged = at("2026-05-18T12:00") // 900
    connection.execute("UPDATE quarters SET max_power = 'much' WHERE end = ?", (damaged,))
    found = HistoryReader(connection, ZONE).rows("house", By.DAY, None, None, LATER)
    assert [(row.covered, row.max_power) for row in found] == [(1, 4000), (94 / 96, 4000), (1, 4000)]


def test_a_tariff_beside_a_total_may_be_known_for_a_part_of_a_day(connection: sqlite3.Connection) -> None:
    rows = steady("2026-05-17", "2026-05-20", 1000)
    for number in range(100, 105):
        rows[number]["energy_import_tariff_3"] = number
    store(connection, *rows)
    found = HistoryReader(connection, ZONE).rows("house", By.DAY, None, None, LATER)
    assert [(row.import_, row.covered) for row in found] == [(96_000, 1)] * 3
    assert [row.tariffs for row in found] == [{}, {"import_t3": 4}, {}]


@pytest.mark.parametrize("end", ["soon", b"\x00", 1.5, -7, 2**62], ids=str)
def test_a_boundary_with_a_damaged_time_is_not_known(connection: sqlite3.Connection, end: object) -> None:
    store(connection, *steady("2026-05-17", "2026-05-18", 1), {"end": end, "energy_import": 5})
    reader = HistoryReader(connection, ZONE)
    assert [row.start for row in reader.rows("house", By.DAY, None, None, LATER)] == [at("2026-05-17")]
    assert reader.registers("house", None, None)[-1].at == at("2026-05-18")
    assert [peak.power for peak in reader.peaks("house", None, None)] == [4]
    assert reader.meters()[0].first == at("2026-05-17")


def test_damaged_texts_and_devices_do_no_harm(connection: sqlite3.Connection) -> None:
    store(
        connection,
        *steady("2026-05-17", "2026-05-19", 1),
        {"end": at("2026-05-17") // 900, "others": "[" * 9999},
    )
    connection.execute("INSERT INTO devices VALUES (1, 1, 5, x'ff', CAST(x'ff' AS TEXT), 0)")
    insert(connection, "device_values", (1, at("2026-05-17") // 900, "x", "y"))
    insert(connection, "peaks", (1, 202605, "x", "y"), (1, "z", 7, 900), (1, 202600, 7, 900))
    connection.execute("INSERT INTO series VALUES (1, 1, CAST(x'ff41' AS TEXT), 0)")
    reader = HistoryReader(connection, ZONE)
    assert reader.meters()[0].meter_id == "\ufffdA"
    assert len(reader.rows("house", By.DAY, None, None, LATER)) == 2
    assert [peak.power for peak in reader.peaks("house", None, None)] == [4]
    assert len(reader.registers("house", None, None)) == 2


def test_meters_are_those_that_have_a_history(connection: sqlite3.Connection) -> None:
    insert(connection, "series", (2, 1, "OLD"), (2, 2, "NEW"))
    store(connection, *steady("2026-05-17", "2026-05-18", 1, series=2), meter=2)
    assert HistoryReader(connection, ZONE).meters() == [
        HistoryMeter("garage", at("2026-05-17"), at("2026-05-18"), "NEW", is_simulated=True)
    ]


def test_peaks_are_the_highest_complete_quarters_of_each_local_month(connection: sqlite3.Connection) -> None:
    rows = steady("2026-04-30T23:00", "2026-05-01T01:00", 500)
    rows[4]["energy_import"] += 300  # the last quarter of April
    for row in rows[5:]:
        row["energy_import"] += 300
    for row in rows[7:]:
        row["energy_import"] += 9000  # across a missing boundary
    del rows[6]
    store(connection, *rows)
    reader = HistoryReader(connection, ZONE)
    assert reader.peaks("house", None, None) == [
        Peak(202604, at("2026-04-30T23:45"), 3200),
        Peak(202605, at("2026-05-01T00:00"), 2000),
    ]
    assert [peak.start for peak in reader.peaks("house", None, at("2026-05-01"), 2)] == [
        at("2026-04-30T23:45"),
        at("2026-04-30T23:00"),
    ]


def test_the_peak_that_the_meter_says_stands_instead_of_ours(connection: sqlite3.Connection) -> None:
    store(connection, *steady("2026-04-30", "2026-05-02", 500))
    insert(
        connection, "peaks", (1, 202603, 4321, at("2026-03-07T18:15")), (1, 202604, 2500, at("2026-05-01"))
    )
    reader = HistoryReader(connection, ZONE)
    march, april, *may = reader.peaks("house", None, None, 3)
    assert march == Peak(202603, at("2026-03-07T18:00"), 4321, is_of_meter=True)
    assert april == Peak(202604, at("2026-04-30T23:45"), 2500, is_of_meter=True)
    assert [peak.month for peak in may] == [202605] * 3
    assert reader.peaks("house", at("2026-04-01"), at("2026-05-01")) == [april]


def test_the_registers_stand_at_each_midnight_where_they_are_known(connection: sqlite3.Connection) -> None:
    insert(connection, "series", (1, 1, "METER"))
    midnight = at("2026-05-18")
    store(
        connection,
        {"end": at("2026-05-17") // 900 + 1, "energy_import": 1},
        {
            "end": midnight // 900,
            "energy_import_tariff_1": 700,
            "energy_import_tariff_2": 77,
            "energy_export": 5,
            "reactive_energy_export": 3,
            "others": '{"apparent_energy": 12, "text": "no"}',
        },
        {"end": midnight // 900 + 96, "energy_import": 9},
    )
    store_device(connection, 1, (midnight - 3600, 4200))
    reader = HistoryReader(connection, ZONE)
    found = reader.registers("house", None, at("2026-05-19"))
    assert found == [
        RegisterReading(
            midnight,
            "METER",
            {
                "import": 777,
                "import_t1": 700,
                "import_t2": 77,
                "export": 5,
                "reactive_export": 3,
                "apparent_energy": 12,
            },
            {"gas": DeviceEnergy(4200, "m³")},
        )
    ]
    later = reader.registers("house", None, None)[-1]
    assert (later.at, later.devices) == (at("2026-05-19"), {"gas": DeviceEnergy(4200, "m³")})
