"""The running quarter hour, and the sums of the running day, month and year."""

from collections.abc import Iterable
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.reference_power import ReferencePower
from smarty_gateway.history.running_quarter import RunningSums, running_quarter
from smarty_gateway.history.sample import QUARTER, REGISTERS, MeterPeak, Registers, Sample

ZONE = ZoneInfo("Europe/Luxembourg")
SEVEN = ReferencePower(((None, 7000),))


def at(text: str) -> int:
    """Return a local time in seconds since 1970."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp())


#: A quarter hour of a Tuesday in autumn.
START = at("2026-11-24T18:15:00")


def registers(imported: int, exported: int | None = 0) -> Registers:
    found: list[int | None] = [None] * len(REGISTERS)
    found[REGISTERS.index("energy_import")] = imported
    found[REGISTERS.index("energy_export")] = exported
    return tuple(found)


def sample(time: int, imported: int, exported: int = 0, **more: object) -> Sample:
    return Sample("A", time, registers(imported, exported), **more)  # type: ignore[arg-type] # of one test each


def boundary(end: int, imported: int, exported: int = 0, series: int = 1) -> Boundary:
    return Boundary(end, "A", series, registers(imported, exported))


def shown(
    *samples: Sample, reference: ReferencePower | None = None, newest: Boundary | None = None
) -> dict[str, object]:
    """Return the JSON object after these telegrams of a meter."""
    tracker, sums = QuarterTracker(250_000, newest), RunningSums(ZONE, reference, newest)
    for one in samples:
        for event in tracker.add(one):
            if isinstance(event, Boundary):
                sums.add(event)
    found = running_quarter(samples[-1] if samples else None, tracker, ZONE, reference, sums)
    return {} if found is None else found.as_object()


def sums_after(*boundaries: Boundary, reference: ReferencePower | None = SEVEN) -> RunningSums:
    sums = RunningSums(ZONE, reference)
    for one in boundaries:
        sums.add(one)
    return sums


def hours(begin: int, quarters: int, watt_hours: int, first: int = 0) -> Iterable[Boundary]:
    """Return the boundaries of quarter hours that import the same."""
    return [boundary(begin + n * QUARTER, first + n * watt_hours) for n in range(quarters + 1)]


def test_a_meter_without_a_telegram_has_no_running_quarter() -> None:
    assert shown() == {}


def test_energy_is_the_growth_of_the_register_since_the_quarter_began() -> None:
    found = shown(sample(START, 5000), sample(START + 300, 5600, power_import=3600), reference=SEVEN)
    assert found == {
        "start": "2026-11-24T18:15:00+01:00",
        "import": 0.6,
        "mean_power": 7.2,
        "forecast_power": 4.8,  # 0.6 kWh, and 3.6 kW for ten minutes
        "allowed_power": 6.9,  # 1.15 kWh in ten minutes
        "reference_power": 7.0,
        "excess": 0.0,
        "excess_day": 0.0,
        "excess_month": 0.0,
        "excess_year": 0.0,
        "import_day": 0.6,
        "export_day": 0.0,
        "covered_day": 0.0,
        "will_exceed": False,
    }


@pytest.mark.parametrize(("seconds", "is_known"), [(0, False), (9, False), (10, True)])
def test_the_mean_power_is_known_after_ten_seconds(seconds: int, *, is_known: bool) -> None:
    assert ("mean_power" in shown(sample(START, 5000), sample(START + seconds, 5001))) is is_known


def test_a_feed_in_never_lowers_the_forecast() -> None:
    found = shown(sample(START, 5000), sample(START + 450, 5600, power_import=-3000))
    assert found["forecast_power"] == 2.4


def test_the_forecast_is_absent_where_the_present_power_is_not_sent() -> None:
    found = shown(sample(START, 5000), sample(START + 450, 5600), reference=SEVEN)
    assert "forecast_power" not in found
    assert "will_exceed" not in found
    assert found["allowed_power"] == 9.2


def test_what_is_allowed_in_the_last_minute_is_spread_over_a_minute() -> None:
    samples = [sample(START, 5000), *(sample(START + n, 5000) for n in (60, 840, 890))]
    allowed = [shown(*samples[:n], reference=SEVEN)["allowed_power"] for n in (3, 4)]
    assert allowed == [105.0, 105.0]


def test_nothing_is_allowed_once_the_quarter_has_its_share() -> None:
    found = shown(sample(START, 5000), sample(START + 600, 7000, power_import=0), reference=SEVEN)
    assert (found["allowed_power"], found["excess"], found["will_exceed"]) == (0.0, 0.25, True)


def test_without_its_beginning_the_meters_own_mean_says_what_the_quarter_has_drawn() -> None:
    found = shown(sample(START + 300, 5000, demand=2400, power_import=1200))
    assert (found["import"], found["mean_power"], found["forecast_power"]) == (0.6, 7.2, 3.2)


def test_without_its_beginning_and_that_mean_only_its_start_is_known() -> None:
    found = shown(sample(START + 300, 5000, power_import=1200), reference=SEVEN)
    assert not found.keys() & {"import", "mean_power", "forecast_power", "allowed_power", "excess"}
    assert found["start"] == "2026-11-24T18:15:00+01:00"


@pytest.mark.parametrize(("peak", "allowed"), [(2000, 3.75), (4000, 6.0)])
def test_a_flemish_meter_may_draw_the_months_peak_but_at_least_two_and_a_half_kilowatts(
    peak: int, allowed: float
) -> None:
    peaks = (MeterPeak(202610, 9000, START), MeterPeak(202611, peak, at("2026-11-03T08:00:00")))
    found = shown(sample(START, 5000), sample(START + 300, 5000, peaks=peaks))
    assert found["allowed_power"] == allowed
    assert found["peak_month"] == peak / 1000
    assert found["peak_month_time"] == "2026-11-03T07:45:00+01:00"


def test_a_flemish_month_without_a_peak_begins_with_the_minimum() -> None:
    peaks = (MeterPeak(202610, 9000, START),)
    found = shown(sample(START, 5000), sample(START + 300, 5000, peaks=peaks))
    assert found["allowed_power"] == 3.75
    assert "peak_month" not in found


def test_without_a_reference_power_and_the_meters_peak_there_is_no_limit() -> None:
    found = shown(sample(START, 5000), sample(START + 300, 5600, power_import=9000))
    assert not found.keys() & {"allowed_power", "reference_power", "excess", "excess_day", "will_exceed"}


def test_before_it_is_known_what_is_stored_the_meters_own_values_are_shown() -> None:
    one = sample(START + 300, 5000, demand=2400, power_import=1200)
    found = running_quarter(one, None, ZONE, SEVEN, None)
    assert found is not None
    assert {"start", "reference_power", "import", "forecast_power"} <= found.as_object().keys()


def test_a_time_that_does_not_count_yet_leaves_the_sums_alone() -> None:
    stored = boundary(START, 5000)
    behind = shown(sample(START - 86_400, 6000), newest=stored)
    assert behind == {"start": "2026-11-23T18:15:00+01:00"}
    tracker, sums = QuarterTracker(250_000, stored), RunningSums(ZONE, SEVEN, stored)
    running_quarter(sample(START + 86_400, 6000), tracker, ZONE, SEVEN, sums)
    assert sums.at(sample(START + 60, 5010), 1).import_day == 10


def test_a_telegram_that_does_not_count_changes_nothing() -> None:
    counted = [sample(START, 5000), sample(START + 10, 5001)]
    assert shown(*counted, sample(START + 20, 9_000_000)) == shown(*counted)


def test_excess_counts_over_complete_quarters_and_import_up_to_the_newest_telegram() -> None:
    midnight = at("2026-11-24T00:00:00")
    sums = sums_after(*hours(midnight, 4, 2000), boundary(midnight + 6 * QUARTER, 12_000))
    found = sums.at(sample(midnight + 6 * QUARTER + 60, 12_100), 1)
    assert found.excess_day == found.excess_month == found.excess_year == 4 * 250
    assert (found.import_day, found.export_day) == (12_100, 0)
    assert found.covered_day == 4 / 6


def test_the_sums_of_a_day_begin_with_its_first_known_boundary() -> None:
    noon = at("2026-11-24T12:00:00")
    sums = sums_after(boundary(noon - 86_400, 1000), boundary(noon, 50_000), boundary(noon + QUARTER, 51_000))
    found = sums.at(sample(noon + QUARTER, 51_000), 1)
    assert (found.import_day, found.covered_day) == (1000, 1 / 49)


def test_a_day_in_which_no_boundary_is_known_has_no_import() -> None:
    sums = sums_after(boundary(at("2026-11-23T23:00:00"), 1000))
    found = sums.at(sample(at("2026-11-24T00:10:00"), 1500), 1)
    assert (found.import_day, found.excess_day, found.covered_day) == (None, None, 1.0)
    assert found.excess_month == 0


@pytest.mark.parametrize(
    ("midnight", "kept"),
    [
        ("2026-11-25T00:00:00", (False, True, True)),
        ("2026-12-01T00:00:00", (False, False, True)),
        ("2027-01-01T00:00:00", (False, False, False)),
        ("2026-10-26T00:00:00", (False, True, True)),  # after a day of 25 hours
    ],
)
def test_a_new_day_month_and_year_begin_at_local_midnight(midnight: str, kept: tuple[bool, ...]) -> None:
    end = at(midnight)
    sums = sums_after(*hours(end - 2 * QUARTER, 2, 2000))
    before = sums.at(sample(end - 1, 3999), 1)
    assert before[:3] == (500.0, 500.0, 500.0)
    found = sums.at(sample(end, 4000), 1)
    assert found[:3] == tuple(500.0 if stays else 0.0 for stays in kept)
    assert found.import_day == 0
    assert (found.peak is not None) is kept[1]


def test_a_reference_power_counts_from_its_date_on() -> None:
    midnight = at("2026-11-25T00:00:00")
    reference = ReferencePower(((None, 7000), (date(2026, 11, 25), 3000)))
    sums = sums_after(*hours(midnight - 2 * QUARTER, 4, 2000), reference=reference)
    found = sums.at(sample(midnight + 2 * QUARTER, 8000), 1)
    assert (found.excess_day, found.excess_month) == (2 * 1250, 2 * 250 + 2 * 1250)


def test_growth_between_two_series_is_not_known_and_not_counted() -> None:
    noon = at("2026-11-24T12:00:00")
    sums = sums_after(*hours(noon, 2, 1000), boundary(noon + 3 * QUARTER, 77_000, series=2))
    assert sums.at(sample(noon + 3 * QUARTER + 60, 77_010), 2).import_day == 2010
    assert sums.at(sample(noon + 3 * QUARTER + 60, 5), 3).import_day == 2000


def test_the_months_peak_is_its_highest_complete_quarter() -> None:
    noon = at("2026-11-24T12:00:00")
    sums = sums_after(
        *hours(noon, 1, 500),
        boundary(noon + 2 * QUARTER, 2000),
        boundary(noon + 3 * QUARTER, 3500),
        boundary(noon + 5 * QUARTER, 9000),
    )
    peak = sums.at(sample(noon + 5 * QUARTER, 9000), 1).peak
    assert peak is not None
    assert (peak.month, peak.start, peak.power, peak.is_of_meter) == (202611, noon + QUARTER, 6000, False)


def test_a_boundary_that_comes_again_with_newer_devices_counts_once() -> None:
    noon = at("2026-11-24T12:00:00")
    once = hours(noon, 2, 2000)
    sums = sums_after(*[one for one in once for _ in range(2)])
    assert sums.at(sample(noon + 2 * QUARTER, 4000), 1).excess_day == 500
