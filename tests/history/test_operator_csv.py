"""What grid operators write into their CSV files, and what is read from it."""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.history.comparison import better_shift, compare
from smarty_gateway.history.operator_csv import (
    Flow,
    OperatorFileError,
    OperatorQuarters,
    Options,
    Unit,
    read_operator_csv,
)
from smarty_gateway.history.rows import Row

BRUSSELS = ZoneInfo("Europe/Brussels")
HEADINGS = (
    "Van (datum);Van (tijdstip);Tot (datum);Tot (tijdstip);EAN-code;Meter;Metertype;Register;Volume;Eenheid;"
    "Validatiestatus;Omschrijving"
)
#: Two days around each change of time, and one in between.
BEGINNINGS = {
    "spring": datetime(2026, 3, 28, 23, tzinfo=UTC),
    "summer": datetime(2026, 6, 30, 22, tzinfo=UTC),
    "autumn": datetime(2026, 10, 24, 22, tzinfo=UTC),
}
DAYS = pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def read(lines: Iterable[str], zone: str = "Europe/Luxembourg", **options: object) -> OperatorQuarters:
    return read_operator_csv(lines, Options(ZoneInfo(zone), **options))  # type: ignore[arg-type]


def quarter(start: int, energy_import: int | None, energy_export: int | None, covered: float = 1.0) -> Row:
    return Row(
        start,
        start + 900,
        energy_import,
        energy_export,
        known_seconds=900,
        max_power=None,
        excess=None,
        complete=covered == 1.0,
        covered=covered,
    )


def simulated(beginning: datetime, seed: int = 1) -> list[Row]:
    """Return the quarter hours of two days."""
    chance = random.Random(seed)
    start = int(beginning.timestamp())
    return [
        quarter(at, chance.randrange(3000), chance.randrange(1500))
        for at in range(start, start + 2 * 86_400, 900)
    ]


def kilo(watt_hours: int) -> str:
    return f"{watt_hours / 1000:.3f}".replace(".", ",")


def fluvius_row(start: int, register: str, volume: str, status: str = "Gevalideerd") -> str:
    moments = [datetime.fromtimestamp(start + after, BRUSSELS) for after in (0, 900)]
    stamps = ";".join(f"{moment:%d-%m-%Y;%H:%M:%S}" for moment in moments)
    return f'{stamps};="541448860000000001";1SAG1100000001;Digitale meter;{register};{volume};kWh;{status};'


def fluvius(rows: Iterable[Row]) -> list[str]:
    """Write quarter hours as Fluvius does."""
    lines = [HEADINGS]
    for row in rows:
        local = datetime.fromtimestamp(row.start, BRUSSELS)
        tariff = "Dag" if local.weekday() < 5 and 7 <= local.hour < 22 else "Nacht"
        lines += [
            fluvius_row(row.start, f"Afname {tariff}", kilo(row.import_ or 0)),
            fluvius_row(row.start, f"Injectie {tariff}", kilo(row.export or 0)),
        ]
    return lines


def leneda(rows: Iterable[Row]) -> list[str]:
    """Write quarter hours as mean powers with Leneda's names."""
    lines = ["meteringPointCode,obisCode,startedAt,value,unit,type"]
    for row in rows:
        for code, energy in (("1-1:1.29.0", row.import_), ("1-1:2.29.0", row.export)):
            at = f"{datetime.fromtimestamp(row.start, UTC):%Y-%m-%dT%H:%M:%SZ}"
            lines.append(f"LU0000010000000000000000000000001,{code},{at},{(energy or 0) / 250:.3f},kW,Actual")
    return lines


# Fluvius


@DAYS
@pytest.mark.parametrize("write", [fluvius, leneda], ids=["Fluvius", "Leneda"])
def test_our_own_quarters_in_the_operators_form_are_equal(
    write: Callable[[Iterable[Row]], list[str]],
    beginning: datetime,
) -> None:
    rows = simulated(beginning)
    found = compare(read(write(rows)), rows)
    assert len(found.compared) == 192
    assert (found.different, found.missing_here, found.missing_there, found.estimated) == ({}, 0, 0, 0)
    assert all(pair.difference == 0 for pairs in found.compared.values() for pair in pairs.values())


@DAYS
@pytest.mark.parametrize("write", [fluvius, leneda], ids=["Fluvius", "Leneda"])
@settings(max_examples=8)
@given(place=st.integers(0, 191), by=st.sampled_from([-7, -3, 3, 250]))
def test_one_changed_value_is_found(
    write: Callable[[Iterable[Row]], list[str]],
    beginning: datetime,
    place: int,
    by: int,
) -> None:
    rows = simulated(beginning)
    theirs = read(write(rows))
    changed = list(rows)
    row = rows[place]
    changed[place] = quarter(row.start, (row.import_ or 0) + by, row.export)
    found = compare(theirs, changed)
    assert list(found.different) == [row.start]
    assert found.different[row.start][Flow.IMPORT].difference == by


@DAYS
def test_a_file_that_runs_backwards_says_the_same(beginning: datetime) -> None:
    heading, *lines = fluvius(simulated(beginning))
    assert read([heading, *reversed(lines)]) == read([heading, *lines])


@settings(max_examples=25)
@given(chance=st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter_where_no_hour_is_repeated(chance: random.Random) -> None:
    heading, *lines = fluvius(simulated(BEGINNINGS["summer"])[:20])
    shuffled = lines.copy()
    chance.shuffle(shuffled)
    assert read([heading, *shuffled]) == read([heading, *lines])


@settings(max_examples=25)
@given(chance=st.randoms(use_true_random=False))
def test_the_order_of_registers_does_not_matter_in_the_repeated_hour(chance: random.Random) -> None:
    heading, *lines = fluvius(simulated(BEGINNINGS["autumn"])[:40])
    by_register = [[line for line in lines if name in line] for name in ("Afname", "Injectie")]
    merged: list[str] = []
    while any(by_register):
        merged.append(chance.choice([left for left in by_register if left]).pop(0))
    assert read([heading, *merged]) == read([heading, *lines])


def test_day_and_night_are_added_up_by_direction() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    rows = [("Afname Dag", "0,100"), ("Afname Nacht", "0,020"), ("Injectie Dag", "0,003")]
    found = read([HEADINGS, *(fluvius_row(start, *row) for row in rows)])
    assert found.quarters == {start: {Flow.IMPORT: 120, Flow.EXPORT: 3}}


def test_reactive_energy_and_power_are_left_out() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    lines = [HEADINGS, fluvius_row(start, "Afname Actief", "0,100")]
    lines += [fluvius_row(start, name, "9,000") for name in ("Afname Reactief", "Afname Capacitief")]
    lines.append(fluvius_row(start, "Afname Actief", "0,900").replace("kWh", "kW"))
    lines.append(fluvius_row(start, "Productie Actief", "5,000"))
    assert read(lines).quarters == {start: {Flow.IMPORT: 100}}


def test_estimated_values_are_left_out_and_counted() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    lines = [HEADINGS, fluvius_row(start, "Afname Nacht", "0,100")]
    lines.append(fluvius_row(start + 900, "Afname Nacht", "0,100", "Geschat"))
    lines.append(fluvius_row(start + 900, "Injectie Nacht", "0,000", "Gevalideerd"))
    found = read(lines)
    assert list(found.quarters) == [start]
    assert found.estimated == {start + 900}


def test_a_register_without_a_value_is_not_zero() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    lines = [HEADINGS, fluvius_row(start, "Afname Dag", "", "Geen verbruik")]
    lines.append(fluvius_row(start, "Afname Nacht", "0,100"))
    lines.append(fluvius_row(start + 900, "Afname Nacht", "", "Geen verbruik"))
    assert read(lines).quarters == {start: {Flow.IMPORT: 100}}


def test_a_value_that_stands_alone_in_the_repeated_hour_is_left_out() -> None:
    rows = simulated(BEGINNINGS["autumn"])[:20]
    found = read(fluvius([row for row in rows if row.start != rows[8].start]))
    assert found.unclear == {rows[8].start, rows[12].start}
    assert len(found.quarters) == 18


def test_the_same_row_twice_counts_once_and_two_values_not_at_all() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    one = fluvius_row(start, "Afname Nacht", "0,100")
    assert read([HEADINGS, one, one]).quarters == {start: {Flow.IMPORT: 100}}
    found = read([HEADINGS, one, one.replace("0,100", "0,101"), fluvius_row(start + 900, "Afname Dag", "1")])
    assert list(found.quarters) == [start + 900]
    assert found.unclear == {start}


def test_two_meters_in_one_file_are_refused() -> None:
    start = seconds("2026-06-30T22:00+00:00")
    one = fluvius_row(start, "Afname Nacht", "0,100")
    with pytest.raises(OperatorFileError, match="several meters"):
        read([HEADINGS, one, one.replace("000001", "000002")])


def test_french_headings_are_known() -> None:
    lines = [
        "De (date);De (heure);À (date);À (heure);Code EAN;Registre;Volume;Unité;Statut de validation",
        "01/07/2026;00:00;01/07/2026;00:15;;Prélèvement Nuit;0,250;kWh;Validé",
        "01/07/2026;00:00;01/07/2026;00:15;;Injection Nuit;0,010;kWh;Validé",
        "01/07/2026;00:15;01/07/2026;00:30;;Prélèvement Nuit;0,250;kWh;Estimé",
    ]
    found = read(lines)
    start = seconds("2026-06-30T22:00+00:00")
    assert found.quarters == {start: {Flow.IMPORT: 250, Flow.EXPORT: 10}}
    assert found.estimated == {start + 900}


# Leneda and others


def test_lenedas_codes_may_be_headings() -> None:
    lines = ["startedAt;1-1:1.29.0;1-1:2.29.0;1-65:1.29.9", "2026-01-01T00:00:00Z;1,234;0,000;7,000"]
    start = seconds("2026-01-01T00:00+00:00")
    assert read(lines).quarters == {start: {Flow.IMPORT: Decimal("308.5"), Flow.EXPORT: 0}}


def test_a_time_without_an_offset_is_utc_in_lenedas_file_and_local_in_others() -> None:
    line = "2026-01-01 00:00:00,1.234"
    assert list(read(["startedAt,value", line], unit=Unit.KILOWATTS).quarters) == [
        seconds("2026-01-01T00:00Z")
    ]
    assert list(read(["timestamp,value", line], unit=Unit.KILOWATTS).quarters) == [
        seconds("2025-12-31T23:00Z")
    ]


def test_the_users_zone_and_the_end_stamp_count() -> None:
    lines = ["time;import (kWh)", "2026-01-01 00:15;0,5"]
    with pytest.raises(OperatorFileError):  # "time" alone has no date
        read(lines)
    lines[0] = "Datum;import (kWh)"
    found = read(lines, zone="UTC", is_zone_certain=True, is_end=True)
    assert found.quarters == {seconds("2026-01-01T00:00Z"): {Flow.IMPORT: 500}}


def test_our_own_csv_is_understood() -> None:
    lines = [
        "meter,start,end,import,export,mean_power,max_power,excess,complete,covered,import_t1",
        "house,2026-01-01T00:00+01:00,2026-01-01T00:15+01:00,0.250,0.001,1.000,2.000,,1,1,0.250",
    ]
    with pytest.raises(OperatorFileError, match="--unit"):
        read(lines)
    start = seconds("2025-12-31T23:00Z")
    assert read(lines, unit=Unit.KILOWATT_HOURS).quarters == {start: {Flow.IMPORT: 250, Flow.EXPORT: 1}}


@pytest.mark.parametrize(
    ("number", "watt_hours"),
    [
        ("0,065", 65), ("0.065", 65), ("1,5", 1500), ("12", 12_000), ("1.234,5", 1_234_500),
        ("1,234.5", 1_234_500), ("1 234,5", 1_234_500), ("1'234.5", 1_234_500),
        ("1.234.567,8", 1_234_567_800),        ("1.234", 1234), ("1,234", 1234),
    ],
)  # fmt: skip
def test_a_number_is_read_in_any_usual_form(number: str, watt_hours: int) -> None:
    found = read(["start;import (kWh)", f"2026-01-01T00:00Z;{number}"])
    assert list(found.quarters.values()) == [{Flow.IMPORT: watt_hours}]


def test_the_other_numbers_of_a_file_tell_thousands_from_decimals() -> None:
    found = read(["start;import (Wh)", "2026-01-01T00:00Z;1.234", "2026-01-01T00:15Z;0,5"])
    assert [energies[Flow.IMPORT] for energies in found.quarters.values()] == [1234, Decimal("0.5")]


@pytest.mark.parametrize(
    "stamp",
    ["2026-07-01 00:00", "2026-07-01T00:00:00", "2026/07/01 00:00:00.000", "1-7-2026 0:00",
     "01/07/2026 00:00", "01.07.2026 00:00", "30.06.2026 24:00", "2026-06-30T22:00Z",
     "2026-07-01 00:00 +02:00", "2026-06-30T17:00-0500"],
)  # fmt: skip
def test_a_time_is_read_in_any_usual_form(stamp: str) -> None:
    found = read(["Start\tImport [kWh]", f"{stamp}\t1.0"])
    assert list(found.quarters) == [seconds("2026-06-30T22:00Z")]


def test_a_title_above_the_headings_is_skipped() -> None:
    assert read(["Load curve", "", "of a meter;2026", "start;import (kWh)", "2026-07-01 00:00;1"]).quarters


def test_a_column_is_named_by_heading_or_number() -> None:
    lines = ["start;A (kWh);B (kWh)", "2026-07-01 00:00;1;2"]
    for name, expected in (("a (kwh)", 1000), ("3", 2000)):
        assert list(read(lines, columns=[name]).quarters.values()) == [{Flow.IMPORT: expected}]
    assert list(read(lines, columns=["2", "3"]).quarters.values()) == [{Flow.IMPORT: 3000}]
    bare = read(["2026-07-01 00:00;1"], columns=["2"], unit=Unit.KILOWATT_HOURS)
    assert list(bare.quarters.values()) == [{Flow.IMPORT: 1000}]


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ([], "--column"),
        (["hello"], "--column"),
        (["start;power", "2026-07-01 00:00;1"], "--column"),
        (["2026-07-01 00:00;1"], "--column 2"),
        (["start;value", "2026-07-01 00:00;1"], "--unit"),
        (["start;import kWh;consumption kWh", "2026-07-01 00:00;1;1"], "--column"),
        (["start;import kWh", "2026-07-01 00:00;1", "2026-07-01 01:00;1"], "60 minutes apart"),
        (["start;import kWh", "2026-07-01 00:05;1"], "every 15 minutes"),
        (["start;import kWh", "yesterday;1"], "1 rows cannot be read"),
        (["start;import kWh", "2026-07-01 00:00;" + "1" * 20_000], "line 2 is longer"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_said_with_the_option_that_helps(lines: list[str], advice: str) -> None:
    with pytest.raises(OperatorFileError, match=advice):
        read(lines)


TEXT = st.text(st.sampled_from(';,\t"=0123456789:-/.TZ+ kWhstarimporVandtuRegeloxé\r\n\0'), max_size=80)
LINES = st.lists(
    st.one_of(
        TEXT,
        st.text(max_size=30),
        st.sampled_from(
            [HEADINGS, "start;import (kWh)", "startedAt,value", "2026-10-25 02:00;1", "9999-12-31;1"]
        ),
    ),
    max_size=12,
)


@given(lines=LINES, columns=st.lists(TEXT, max_size=2), stamp=st.sampled_from(["start", "end"]))
def test_whatever_is_in_a_file_there_is_a_result_or_one_clear_error(
    lines: Sequence[str], columns: Sequence[str], stamp: str
) -> None:
    try:
        found = read(lines, columns=columns, unit=Unit.KILOWATT_HOURS, is_end=stamp == "end")
    except OperatorFileError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either is right; what escapes is a bug
    else:
        assert found.quarters or found.estimated or found.unclear


# The comparison


def test_quarters_that_only_one_side_knows_are_counted() -> None:
    rows = simulated(BEGINNINGS["summer"])
    theirs = read(fluvius(rows[4:12]))
    ours = rows[:6] + rows[8:16]
    found = compare(theirs, ours)
    assert (len(found.compared), found.missing_here, found.missing_there) == (6, 2, 0)
    found = compare(read([*fluvius(rows[4:6]), *fluvius(rows[8:12])[1:]]), rows)
    assert (len(found.compared), found.missing_here, found.missing_there) == (6, 0, 2)


@pytest.mark.parametrize("shift", [900, -900, 3600, -7200])
def test_times_that_are_off_are_noticed(shift: int) -> None:
    rows = simulated(BEGINNINGS["summer"])
    moved = [quarter(row.start + shift, row.import_, row.export) for row in rows]
    assert better_shift(read(fluvius(moved)), rows) == -shift
    assert better_shift(read(fluvius(rows)), rows) is None


def test_a_quarter_that_is_not_complete_is_not_compared() -> None:
    row = simulated(BEGINNINGS["summer"])[0]
    gap = quarter(row.start, 1, 1, covered=0.0)
    assert compare(read(fluvius([row])), [gap]).missing_here == 1


@pytest.mark.parametrize("stamp", ["9999-12-31T23:45-99:59", "0001-01-01T00:00+23:59", "2100-01-01T00:00Z"])
def test_a_row_of_another_century_cannot_be_read(stamp: str) -> None:
    found = read(["start,import (kWh)", f"{stamp},1", "2026-03-01T00:00Z,1"])
    assert list(found.quarters) == [seconds("2026-03-01T00:00+00:00")]
    assert found.unreadable == 1


def test_many_registers_of_one_quarter_hour_are_added_up_in_time() -> None:
    rows = [f"2026-03-01T00:00Z,afname {number},1,Wh" for number in range(10_000)]
    found = read(["start,register,volume,unit", *rows])
    assert found.quarters == {seconds("2026-03-01T00:00+00:00"): {Flow.IMPORT: 10_000}}
