"""A live meter goes on from its simulated history: one series, and one day that fits together."""

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from smarty_gateway.history.boundary import Boundary
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.registers import sample_of
from smarty_gateway.history.sample import QUARTER, Sample, export_of, import_of
from smarty_gateway.protocol.key_ring import KeyRing
from smarty_gateway.protocol.meter import MeterStream
from smarty_gateway.protocol.meter_telegram import MeterTelegram
from smarty_gateway.simulator.continued import ContinuedMeter, continued_meter
from smarty_gateway.simulator.meters import MeterKind

ZONE = ZoneInfo("Europe/Luxembourg")
KINDS = pytest.mark.parametrize("kind", [MeterKind.LUXEMBOURG, MeterKind.BELGIUM])
#: In summer, on a day on which the clock is changed, and in the first hour of a month and year.
TIMES = pytest.mark.parametrize("newest", ["2026-07-14T22:00", "2026-03-29T05:15", "2026-12-31T23:30"])


def second_of(text: str) -> int:
    return int(datetime.fromisoformat(f"{text}+00:00").timestamp())


def live_sample(meter: ContinuedMeter, time: int) -> Sample:
    """Return what the history gets of the telegram of a second."""
    at = datetime.fromtimestamp(time, UTC)
    stream = MeterStream(KeyRing())
    stream.receive_data(meter.meter.telegram(at))
    stream.receive_data(b"")
    telegram = stream.next_event()
    assert isinstance(telegram, MeterTelegram)
    sample = sample_of(telegram, at, ZONE)
    assert sample is not None
    return sample


@KINDS
@TIMES
def test_the_last_boundary_has_the_registers_of_the_live_meter(kind: MeterKind, newest: str) -> None:
    meter = continued_meter(kind, 3, second_of(newest), ZONE)
    *_, last = meter.history(3)
    assert last.end == second_of(newest)
    assert last.registers == live_sample(meter, last.end).registers
    # A volume is that of the last full hour, which a meter tells some seconds later.
    hour = last.end - last.end % 3600
    told = {device.device: device.value for device in live_sample(meter, hour + 10).devices}
    assert {device.device: device.value for device in last.devices} == told


@KINDS
@TIMES
def test_the_live_meter_shows_the_day_of_its_history(kind: MeterKind, newest: str) -> None:
    meter = continued_meter(kind, 1, second_of(newest), ZONE)
    midnight = meter.newest - (meter.newest + 3600) % 86_400  # of the meter, in winter time
    today = [boundary for boundary in meter.history(2) if boundary.end >= midnight]
    for boundary in today:
        live = live_sample(meter, boundary.end).registers
        for way in (import_of, export_of):
            shown, kept = way(live), way(boundary.registers)
            assert shown is not None
            assert kept is not None
            assert abs(shown - kept) <= 2


@KINDS
def test_the_meter_goes_on_in_the_series_of_its_history(kind: MeterKind) -> None:
    meter = continued_meter(kind, 2, second_of("2026-11-22T06:45"), ZONE)
    *_, last = meter.history(1)
    tracker = QuarterTracker(250_000, last, last.devices, 1)
    times = range(last.end + 100, last.end + 2 * QUARTER + 20, 10)
    found = [event for time in times for event in tracker.add(live_sample(meter, time))]
    assert [(event.end, event.series) for event in found if isinstance(event, Boundary)][-1] == (
        last.end + 2 * QUARTER,
        1,
    )
    assert all(isinstance(event, Boundary) for event in found)


@KINDS
def test_no_register_begins_below_zero_where_most_is_fed_in(kind: MeterKind) -> None:
    first = next(continued_meter(kind, 3, second_of("2026-07-14T22:00"), ZONE).history(400))
    assert all(register >= 0 for register in first.registers if register is not None)
    assert all(device.value >= 0 for device in first.devices)


def peaks_told(meter: ContinuedMeter, time: int) -> dict[int, tuple[int, int]]:
    return {peak.month: (peak.power, peak.ended) for peak in live_sample(meter, time).peaks}


@TIMES
def test_the_meter_tells_the_peaks_of_its_history(newest: str) -> None:
    meter = continued_meter(MeterKind.BELGIUM, 3, second_of(newest), ZONE)
    kept = {peak.month: (peak.power, peak.ended) for each in meter.history(100) for peak in each.peaks}
    told = peaks_told(meter, meter.newest + 1)
    assert len(told) == 3
    assert {month: kept[month] for month in told if month in kept} | told == told


def peaks_from(meter: ContinuedMeter, hours: int) -> Iterator[dict[int, tuple[int, int]]]:
    return (peaks_told(meter, meter.newest + hour * 3600 + 1800) for hour in range(hours))


def test_a_peak_of_a_month_never_falls_while_the_meter_goes_on() -> None:
    meter = continued_meter(MeterKind.BELGIUM, 3, second_of("2026-11-30T10:00"), ZONE)
    told = list(peaks_from(meter, 48))
    november = [peaks[202611][0] for peaks in told]
    december = [peaks[202612][0] for peaks in told if 202612 in peaks]
    assert november == sorted(november)
    assert december == sorted(december)
    assert december
