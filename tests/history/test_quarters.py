"""The quarter hour, from samples to boundaries."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smarty_gateway.history.boundary import Boundary, Notice, SetBack
from smarty_gateway.history.quarters import QuarterTracker
from smarty_gateway.history.sample import (
    EXPORT_TOTAL,
    IMPORT_TOTAL,
    QUARTER,
    REGISTERS,
    DeviceValue,
    MeterPeak,
    Registers,
    Sample,
    export_of,
    import_of,
)

#: A boundary, some hours before the clocks are set back in autumn.
NOON = 1_792_800_000 - 1_792_800_000 % QUARTER
PLAUSIBLE = 250_000


def registers(import_: int | None = None, export: int | None = None, *tariffs: int) -> Registers:
    """Return registers in Wh; `tariffs` of import."""
    found: list[int | None] = [None] * len(REGISTERS)
    found[IMPORT_TOTAL], found[EXPORT_TOTAL] = import_, export
    for number, value in enumerate(tariffs, 1):
        found[number] = value
    return tuple(found)


def sample(time: int, import_: int, export: int | None = 0, meter_id: str = "SAG1") -> Sample:
    return Sample(meter_id, time, registers(import_, export))


class Kept:
    """What a store would hold after the events of a tracker."""

    def __init__(self) -> None:
        self.boundaries: dict[int, Boundary] = {}
        self.notices: list[str] = []

    def take(self, events: Iterable[Boundary | SetBack | Notice]) -> None:
        """Keep events."""
        for event in events:
            if isinstance(event, Boundary):
                assert event.end % QUARTER == 0
                self.boundaries[event.end] = event
            elif isinstance(event, SetBack):
                self.boundaries = {e: b for e, b in self.boundaries.items() if e <= event.after}
            else:
                self.notices.append(event.text)

    @property
    def newest(self) -> Boundary | None:
        """The newest boundary."""
        return self.boundaries[max(self.boundaries)] if self.boundaries else None

    @property
    def imports(self) -> dict[int, int | None]:
        """The registers of import by minutes from noon."""
        return {(end - NOON) // 60: import_of(b.registers) for end, b in sorted(self.boundaries.items())}

    @property
    def series(self) -> list[int]:
        """The series of each boundary."""
        return [boundary.series for _, boundary in sorted(self.boundaries.items())]


def kept_of(samples: Iterable[Sample], tracker: QuarterTracker | None = None) -> Kept:
    tracker = tracker or QuarterTracker(PLAUSIBLE)
    kept = Kept()
    for one in samples:
        kept.take(tracker.add(one))
    kept.take(tracker.finish())
    return kept


def steady(begin: int, end: int, start: int = 0, *, period: int = 10, watts: int = 3600) -> list[Sample]:
    """Return the telegrams of a meter whose power is steady; `begin` and `end` in seconds from noon."""
    return [sample(NOON + at, start + (at - begin) * watts // 3600) for at in range(begin, end + 1, period)]


# Boundaries


def test_a_telegram_that_is_stamped_with_the_boundary_is_the_register_there() -> None:
    assert kept_of([sample(NOON, 5)]).imports == {0: 5}


def test_between_two_telegrams_the_register_is_interpolated_and_rounded() -> None:
    assert kept_of([sample(NOON - 3, 100), sample(NOON + 7, 105)]).imports == {0: 102}  # 101.5


def test_a_boundary_between_telegrams_more_than_a_minute_apart_is_not_known() -> None:
    assert kept_of([sample(NOON - 30, 100), sample(NOON + 30, 105)]).imports == {0: 103}
    assert kept_of([sample(NOON - 30, 100), sample(NOON + 31, 105)]).imports == {}


def test_import_is_the_sum_of_the_tariffs_after_interpolation() -> None:
    before = Sample("SAG1", NOON - 5, registers(None, None, 10, 20))
    after = Sample("SAG1", NOON + 5, registers(None, None, 13, 20))
    (boundary,) = kept_of([before, after]).boundaries.values()
    assert boundary.registers[1:3] == (12, 20)
    assert import_of(boundary.registers) == 32
    assert export_of(boundary.registers) is None


def test_a_quarter_counts_its_telegrams_and_knows_its_highest_and_lowest_power() -> None:
    powers = {-10: 50, 0: 100, 10: 900, 450: -300, 900: 500, 910: 9000}
    samples = [replace(sample(NOON + at, 5), net_power=power) for at, power in powers.items()]
    first, second = kept_of(samples).boundaries.values()
    assert (first.telegrams, first.max_power, first.min_power) == (2, None, None)
    assert (second.telegrams, second.max_power, second.min_power) == (3, 900, -300)


def test_a_quarter_that_began_before_the_process_has_no_highest_power() -> None:
    newest = Boundary(NOON, "SAG1", 1, registers(0, 0))
    tracker = QuarterTracker(PLAUSIBLE, newest)
    kept = kept_of([replace(s, net_power=7) for s in steady(300, 1800)], tracker)
    assert kept.boundaries[NOON + 900].max_power is None
    assert kept.boundaries[NOON + 1800].max_power == 7


@dataclass
class World:
    """A meter that is read with gaps, by a process that starts again at times."""

    period: int
    times: list[int]
    powers: list[int]
    restarts: set[int]
    is_by_tariffs: bool

    def register(self, time: int) -> int:
        """Return the exact register in Wh: the power changes every 100 s."""
        whole, rest = divmod(time - NOON, 100)
        total = sum(self.powers[slot % len(self.powers)] for slot in range(whole)) * 100
        return (total + self.powers[whole % len(self.powers)] * rest) // 3600

    def sample(self, time: int) -> Sample:
        """Return the telegram of a time."""
        value = self.register(time)
        if not self.is_by_tariffs:
            return sample(time, value, value // 3)
        night = min(value, 2000)  # the tariff switches in the middle
        return Sample("SAG1", time, registers(None, None, night, value - night))


@st.composite
def worlds(draw: st.DrawFn) -> World:
    period = draw(st.sampled_from((1, 10, 60)))
    parts = draw(
        st.lists(
            st.tuples(st.integers(1, 4000), st.sampled_from((0, 0, 5, 55, 60, 61, 900, 5000))),
            min_size=1,
            max_size=3,
        )
    )
    times: list[int] = []
    now = NOON + draw(st.integers(0, 1000))
    for long, gap in parts:
        times += range(now, now + long, period)
        now = times[-1] + period + gap
    restarts = set(draw(st.lists(st.integers(0, len(times)), max_size=3)))
    powers = draw(st.lists(st.integers(0, 12_000), min_size=1, max_size=6))
    return World(period, times, powers, restarts, draw(st.booleans()))


def read(world: World) -> Kept:
    kept = Kept()
    tracker = QuarterTracker(PLAUSIBLE)
    for number, time in enumerate(world.times):
        if number in world.restarts:
            newest = kept.newest
            tracker = QuarterTracker(PLAUSIBLE, newest, () if newest is None else newest.devices)
        kept.take(tracker.add(world.sample(time)))
    return kept


def expected(world: World) -> dict[int, int]:
    """Return what is known at the boundaries, from the definition alone."""
    found = {time: world.register(time) for time in world.times if time % QUARTER == 0}
    for number, (before, after) in enumerate(zip(world.times, world.times[1:], strict=False), 1):
        end = after - after % QUARTER
        if number not in world.restarts and before < end < after <= before + 60:
            first, last = world.register(before), world.register(after)
            found[end] = round(first + (last - first) * (end - before) / (after - before))
    return found


@given(worlds())
def test_boundaries_are_those_of_the_definition_whatever_gaps_and_restarts_there_are(world: World) -> None:
    kept = read(world)
    known = {end: import_of(boundary.registers) for end, boundary in kept.boundaries.items()}
    wanted = expected(world)
    assert known.keys() == wanted.keys()
    # Two tariffs are rounded each for itself.
    assert all(abs((known[end] or 0) - wanted[end]) <= 1 for end in wanted)
    assert set(kept.series) <= {1}


@given(worlds())
def test_a_quarter_differs_from_the_exact_one_by_less_than_the_power_steps_allow(world: World) -> None:
    kept = read(world)
    step = max(world.powers) - min(world.powers)
    allowed = 2 + step * max(world.period, 60 if len(world.times) > 1 else 0) / 4 / 3600
    if world.period <= 10 and not any(b - a > 10 for a, b in zip(world.times, world.times[1:], strict=False)):
        allowed = 2 + step * 10 / 4 / 3600
    for end, boundary in kept.boundaries.items():
        assert abs((import_of(boundary.registers) or 0) - world.register(end)) <= allowed


@given(worlds(), worlds())
def test_meters_do_not_mind_each_other(one: World, other: World) -> None:
    trackers, both = (QuarterTracker(PLAUSIBLE), QuarterTracker(PLAUSIBLE)), (Kept(), Kept())
    arrivals = [(time, which) for which, world in enumerate((one, other)) for time in world.times[:500]]
    for time, which in sorted(arrivals):
        both[which].take(trackers[which].add((one, other)[which].sample(time)))
    for kept, world in zip(both, (one, other), strict=True):
        assert kept.imports == read(replace(world, times=world.times[:500], restarts=set())).imports


# The clock of the meter


def test_a_repeated_time_and_a_small_step_back_change_no_boundary() -> None:
    kept = kept_of([*steady(-60, 20), *steady(-35, 30, 90), sample(NOON + 30, 5000)])
    assert kept.imports == {0: 60}
    assert kept.series == [1]


def test_one_telegram_from_the_past_is_dropped() -> None:
    samples = [*steady(-60, 600), sample(NOON - 3000, 660), *steady(610, 1000, 670)]
    assert kept_of(samples).imports == {0: 60, 15: 960}


def test_a_clock_that_is_set_back_takes_its_boundaries_along_after_five_minutes() -> None:
    samples = steady(-60, 4000)
    back = [replace(s, time=s.time - 3600) for s in steady(4010, 4010 + 280, 4070)]
    kept = kept_of(samples)
    tracker = QuarterTracker(PLAUSIBLE, kept.newest)
    for one in back:
        kept.take(tracker.add(one))
    assert max(kept.imports) == 60  # not believed yet
    for one in [replace(s, time=s.time - 3600) for s in steady(4300, 5500, 4360)]:
        kept.take(tracker.add(one))
    assert kept.imports == {0: 60, 15: 4560, 30: 5460}
    assert kept.series == [1, 1, 1]


def test_boundaries_within_the_five_minutes_are_not_lost() -> None:
    samples = [*steady(-60, 3600 + 50), *(replace(s, time=s.time - 3660) for s in steady(3660, 7400, 3720))]
    kept = kept_of(samples)
    assert kept.imports == {0: 60, 15: 4620, 30: 5520, 45: 6420, 60: 7320}


def test_after_a_start_the_newest_stored_boundary_is_what_a_step_back_is_measured_from() -> None:
    newest = Boundary(NOON + 3600, "SAG1", 3, registers(100, 0))
    kept = kept_of(steady(0, 290, 200), QuarterTracker(PLAUSIBLE, newest))
    assert kept.imports == {}
    events = [event for s in steady(0, 1000, 200) for event in QuarterTracker(PLAUSIBLE, newest).add(s)]
    assert events == []  # each in a run of its own
    tracker = QuarterTracker(PLAUSIBLE, newest)
    events = [event for s in steady(10, 1000, 200) for event in tracker.add(s)]
    assert events[0] == SetBack(NOON + 10)
    assert [event.end for event in events if isinstance(event, Boundary)] == [NOON + 900]


def test_old_telegrams_that_somebody_sends_again_remove_nothing() -> None:
    samples = steady(-60, 4000)
    again = samples[:100]
    kept = kept_of([*samples, *again, *steady(4010, 4600, 4070)])
    assert kept.imports == {0: 60, 15: 960, 30: 1860, 45: 2760, 60: 3660, 75: 4560}
    assert len(kept.notices) == 1


def test_a_clock_that_was_ahead_for_a_while_leaves_nothing_behind() -> None:
    ahead = [replace(s, time=s.time + 7200) for s in steady(300, 1500, 360)]
    kept = kept_of([*steady(-60, 290), *ahead, *steady(1510, 3000, 1570)])
    assert kept.imports == {0: 60, 30: 1860, 45: 2760}


@given(steps=st.lists(st.integers(-4000, 4000), min_size=1, max_size=200), is_slow=st.booleans())
def test_no_clock_makes_a_boundary_whose_register_is_out_of_order(steps: list[int], *, is_slow: bool) -> None:
    time, value, tracker, kept = NOON, 0, QuarterTracker(PLAUSIBLE), Kept()
    for step in steps:
        time += step // 40 if is_slow else step
        value += 5
        kept.take(tracker.add(sample(time, value)))
        rows = [import_of(boundary.registers) or 0 for _, boundary in sorted(kept.boundaries.items())]
        assert rows == sorted(rows)


# Series


def test_another_meter_id_begins_a_new_series() -> None:
    new = [replace(s, meter_id="SAG2") for s in steady(910, 1900)]
    kept = kept_of([*steady(-10, 900), *new])
    assert kept.series == [1, 1, 2]
    assert kept.imports == {0: 10, 15: 910, 30: 890}


def test_a_register_that_falls_for_one_telegram_is_ignored() -> None:
    kept = kept_of([*steady(-10, 880), sample(NOON + 890, 1), *steady(900, 1000, 910)])
    assert (kept.imports, kept.series, kept.notices) == ({0: 10, 15: 910}, [1, 1], [])


def test_a_register_that_falls_and_stays_begins_a_new_series() -> None:
    kept = kept_of([*steady(-10, 880), *steady(890, 1800)])
    assert (kept.imports, kept.series) == ({0: 10, 15: 10, 30: 910}, [1, 2, 2])
    assert kept.notices == ["energy_import fell from 0.890 to 0.010 kWh; a new series begins"]


def test_a_register_that_grows_too_fast_begins_a_new_series_if_it_stays() -> None:
    kept = kept_of([*steady(-10, 880), *steady(890, 1800, 5000)])
    assert kept.series == [1, 2, 2]
    once = kept_of([*steady(-10, 880), sample(NOON + 890, 5000), *steady(900, 1000, 910)])
    assert (once.series, once.imports) == ([1, 1], {0: 10, 15: 910})


def test_a_register_with_whole_kilowatt_hours_may_take_a_whole_step_at_once() -> None:
    samples = [sample(NOON + at, 1000 * ((at + 500) // 600)) for at in range(-10, 4000, 10)]
    assert set(kept_of(samples).series) == {1}


def test_what_grew_while_nobody_looked_is_believed() -> None:
    newest = Boundary(NOON, "SAG1", 1, registers(0, 0))
    kept = kept_of(steady(86_390, 86_410, 500_000), QuarterTracker(PLAUSIBLE, newest))
    assert kept.series == [1]


def test_after_a_start_a_register_below_the_stored_one_begins_a_new_series() -> None:
    newest = Boundary(NOON, "SAG1", 2, registers(5000, 0))
    assert kept_of(steady(800, 900), QuarterTracker(PLAUSIBLE, newest, series=7)).series == [8]


def test_telegrams_without_a_register_of_the_series_do_not_count() -> None:
    poor = [sample(NOON + at, 100, None) for at in range(0, 1800, 10)]
    kept = kept_of([*steady(-100, -10), *poor, *steady(1800, 2700, 1900)])
    assert kept.imports == {30: 1900, 45: 2800}
    assert kept.series == [1, 1]


def test_after_an_hour_without_a_register_a_new_series_begins() -> None:
    poor = [sample(NOON + at, at, None) for at in range(0, 5000, 10)]
    kept = kept_of([*steady(-100, -10), *poor])
    assert (kept.imports, kept.series) == ({60: 3600, 75: 4500}, [1 + 1, 2])


def test_export_that_comes_in_addition_begins_no_new_series() -> None:
    old = [sample(NOON + at, 5000, None) for at in range(0, 1000, 10)]
    new = [sample(NOON + at, 5000, 70) for at in range(1000, 6400, 10)]
    kept = kept_of([*old, *new])
    assert (set(kept.series), kept.notices) == ({1}, [])
    assert [export_of(b.registers) for b in kept.boundaries.values()] == [None] * 6 + [70] * 2
    again = QuarterTracker(PLAUSIBLE, kept.newest)
    assert kept_of([replace(s, time=s.time + 5400) for s in new], again).series == [1] * 6


def test_a_total_that_comes_later_does_not_take_the_place_of_the_tariffs() -> None:
    old = [Sample("SAG1", NOON + at, registers(None, None, at, 50)) for at in range(0, 1000, 10)]
    new = [Sample("SAG1", NOON + at, registers(9999, None, at, 50)) for at in range(1000, 9100, 10)]
    kept = kept_of([*old, *new])
    assert kept.imports[15] == 950
    assert kept.imports[150] == 9050
    assert set(kept.series) == {1}


# M-Bus devices


def gas(value: int, dated: int, device: str = "G1") -> DeviceValue:
    return DeviceValue(device, "gas", "m³", value, NOON + dated)


def with_gas(samples: Sequence[Sample], *values: DeviceValue) -> list[Sample]:
    return [replace(s, devices=values) for s in samples]


def gas_of(kept: Kept) -> dict[int, list[tuple[int, int]]]:
    """Return value and date of each device, by minutes from noon."""
    return {
        (end - NOON) // 60: [(value.value, value.dated - NOON) for value in boundary.devices]
        for end, boundary in sorted(kept.boundaries.items())
    }


def test_a_value_that_comes_some_minutes_after_the_boundary_counts_there_by_its_date() -> None:
    samples = with_gas(steady(-10, 300), gas(5, -3600)) + with_gas(steady(310, 900, 320), gas(9, 0))
    assert gas_of(kept_of(samples)) == {0: [(9, 0)], 15: [(9, 0)]}


def test_a_value_that_comes_after_the_next_boundary_does_not_count_any_more() -> None:
    samples = with_gas(steady(-10, 900), gas(5, -3600)) + with_gas(steady(910, 1800, 920), gas(9, 0))
    assert gas_of(kept_of(samples)) == {0: [(5, -3600)], 15: [(9, 0)], 30: [(9, 0)]}


def test_a_value_that_is_dated_behind_the_boundary_counts_from_the_next_one() -> None:
    samples = with_gas(steady(-10, 0), gas(5, -300)) + with_gas(steady(10, 900, 20), gas(9, 3))
    assert gas_of(kept_of(samples)) == {0: [(5, -300)], 15: [(9, 3)]}


def test_a_value_counts_for_25_hours() -> None:
    old = with_gas([sample(NOON, 0)], gas(5, -25 * 3600))
    assert gas_of(kept_of(old)) == {0: [(5, -25 * 3600)]}
    older = with_gas([sample(NOON, 0)], gas(5, -25 * 3600 - 1))
    assert gas_of(kept_of(older)) == {0: []}


def test_a_device_that_is_missing_for_a_while_keeps_its_value() -> None:
    samples = with_gas(steady(-10, 0), gas(5, -300)) + steady(10, 900, 20)
    assert gas_of(kept_of(samples)) == {0: [(5, -300)], 15: [(5, -300)]}


def test_after_a_start_the_stored_values_go_on() -> None:
    newest = Boundary(NOON, "SAG1", 1, registers(0, 0), devices=(gas(5, -300),))
    tracker = QuarterTracker(PLAUSIBLE, newest, [gas(5, -300)])
    kept = kept_of([*steady(100, 200), *with_gas(steady(210, 900, 120), gas(7, 0))], tracker)
    assert gas_of(kept) == {0: [(7, 0)], 15: [(7, 0)]}


@given(
    st.lists(st.tuples(st.integers(0, 3600), st.integers(-90_000, 5000)), max_size=40),
    st.integers(0, 50),
)
def test_a_value_at_a_boundary_is_the_newest_that_came_before_the_next_one(
    arrivals: list[tuple[int, int]], start: int
) -> None:
    values = {at - at % 10: gas(start + number, dated) for number, (at, dated) in enumerate(arrivals)}
    samples = [
        replace(s, devices=(values[s.time - NOON],) if s.time - NOON in values else ())
        for s in steady(0, 3900)
    ]
    for end, found in gas_of(kept_of(samples)).items():
        came = [v for at, v in values.items() if at < end * 60 + 900 and v.dated - NOON <= at + 3600]
        dates = {v.dated for v in came if NOON + end * 60 - 25 * 3600 <= v.dated <= NOON + end * 60}
        assert [dated + NOON for _, dated in found] == ([max(dates)] if dates else [])


# Peaks


def test_a_peak_of_the_meter_comes_with_the_next_boundary_and_only_if_it_has_changed() -> None:
    peak = MeterPeak(202610, 5000, NOON - 900)
    kept = kept_of(replace(s, peaks=(peak,)) for s in steady(10, 2700))
    assert [b.peaks for b in kept.boundaries.values()] == [(peak,), (), ()]


def test_a_peak_that_goes_with_a_clock_that_is_set_back_comes_again() -> None:
    peak = MeterPeak(202610, 5000, NOON + 2700)
    back = [replace(s, time=s.time - 3600) for s in steady(3710, 5500, 3710)]
    tracker, held = QuarterTracker(PLAUSIBLE), None
    for one in [*steady(10, 3700), *back]:
        for event in tracker.add(replace(one, peaks=(peak,))):
            if isinstance(event, Boundary) and event.peaks:
                held = event.peaks
            elif isinstance(event, SetBack):
                held = None
    assert held == (peak,)


# What is running


def test_the_running_quarter_begins_with_the_registers_of_its_boundary() -> None:
    tracker = QuarterTracker(PLAUSIBLE)
    for one in steady(-10, 300):
        tracker.add(one)
    assert tracker.running == registers(10, 0)
    assert tracker.sample is not None
    assert tracker.sample.time == NOON + 300


@pytest.mark.parametrize("newest", [None, Boundary(NOON - 900, "SAG1", 1, registers(0, 0))])
def test_a_quarter_whose_beginning_was_not_seen_is_not_known(newest: Boundary | None) -> None:
    tracker = QuarterTracker(PLAUSIBLE, newest)
    tracker.add(sample(NOON + 100, 5))
    assert tracker.running is None


def test_after_a_start_the_quarter_goes_on_from_the_stored_boundary() -> None:
    tracker = QuarterTracker(PLAUSIBLE, Boundary(NOON, "SAG1", 1, registers(3, 0)))
    tracker.add(sample(NOON + 100, 5))
    assert tracker.running == registers(3, 0)
