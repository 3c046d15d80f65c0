"""What the memory of the power keeps, with clocks that a test moves."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smarty_gateway.web.power_memory import METERS_MAX, STEP, PowerMemory

#: 48 hours.
MEANS = 17_280
UTC = 1_795_000_000
#: Seconds.
PATIENCE = 30.0


class Clocks:
    """The clock that nobody sets, and the one that somebody may."""

    def __init__(self) -> None:
        self.steady = 1000.0
        self.ahead = UTC - 1000.0

    def utc(self) -> float:
        """Return UTC seconds."""
        return self.steady + self.ahead

    def memory(self, *reserved: str) -> PowerMemory:
        """Return an empty memory."""
        return PowerMemory(reserved, lambda: self.steady, self.utc)


def filled(clocks: Clocks, *watts: int, every: float = STEP) -> PowerMemory:
    """Return the memory of a meter that sends at an interval."""
    memory = clocks.memory("house")
    for number, power in enumerate(watts):
        clocks.steady += every * bool(number)
        memory.add("house", power, PATIENCE)
    return memory


def test_a_mean_is_that_of_the_telegrams_of_ten_seconds() -> None:
    curve = filled(Clocks(), *[100] * 10, *[200] * 5, *[-400] * 5, every=1).curve("house")
    assert (curve.first, curve.step, list(curve.watts)) == (UTC, STEP, [100, -100])


def test_the_mean_of_the_running_ten_seconds_is_that_so_far() -> None:
    assert list(filled(Clocks(), 100, 100, 400, every=1).curve("house").watts) == [200]


def test_a_step_that_a_meter_skips_by_jitter_has_the_mean_before_it() -> None:
    assert list(filled(Clocks(), 100, 200, every=20).curve("house").watts) == [100, 100, 200]


def test_a_gap_stays_unknown() -> None:
    clocks = Clocks()
    memory = filled(clocks, 100)
    clocks.steady += 40
    memory.add("house", 300, PATIENCE)
    assert list(memory.curve("house").watts) == [100, None, None, None, 300]


def test_what_is_older_than_48_hours_is_gone() -> None:
    clocks = Clocks()
    curve = filled(clocks, *range(MEANS + 5)).curve("house")
    assert curve.first == UTC + 5 * STEP
    assert list(curve.watts) == list(range(5, MEANS + 5))


def test_a_meter_that_fell_silent_leaves_its_curve_where_it_was() -> None:
    clocks = Clocks()
    memory = filled(clocks, 100, 200, 300)
    clocks.steady += 47 * 3600
    assert memory.curve("house").first == UTC
    clocks.steady += 3600 - 10
    assert list(memory.curve("house").watts) == [300]
    clocks.steady += 3600
    assert list(memory.curve("house").watts) == []


def test_after_days_of_silence_only_the_new_power_is_there() -> None:
    clocks = Clocks()
    memory = filled(clocks, *[100] * 50)
    clocks.steady += 7 * 24 * 3600
    memory.add("house", 300, PATIENCE)
    known = [power for power in memory.curve("house").watts if power is not None]
    assert known == [300]


def test_a_clock_that_is_set_moves_the_whole_curve_and_changes_nothing_in_it() -> None:
    clocks = Clocks()
    clocks.ahead = 0  # a machine without a clock begins in 1970
    memory = filled(clocks, 100, 200)
    clocks.ahead = UTC - 1000
    clocks.steady += STEP
    memory.add("house", 300, PATIENCE)
    curve = memory.curve("house")
    assert (curve.first, list(curve.watts)) == (UTC, [100, 200, 300])


def test_a_power_that_no_meter_can_measure_is_not_believed() -> None:
    memory = filled(Clocks(), 100, 10**13, -(10**13))
    assert list(memory.curve("house").watts) == [100]


def test_a_meter_that_is_not_known_has_an_empty_curve() -> None:
    assert list(Clocks().memory().curve("barn").watts) == []


def test_the_meters_of_the_configuration_have_a_place_whoever_comes_first() -> None:
    memory = Clocks().memory("house", "barn")
    for number in range(METERS_MAX):
        memory.add(f"other-{number}", 1, PATIENCE)
    memory.add("barn", 2, PATIENCE)
    kept = [name for number in range(METERS_MAX) if memory.curve(name := f"other-{number}").watts]
    assert len(kept) == METERS_MAX - 2
    assert list(memory.curve("barn").watts) == [2]


def test_of_too_many_meters_in_the_configuration_the_first_are_remembered() -> None:
    names = [f"meter-{number}" for number in range(METERS_MAX + 1)]
    memory = Clocks().memory(*names)
    for name in reversed(names):
        memory.add(name, 1, PATIENCE)
    assert [name for name in names if not memory.curve(name).watts] == names[METERS_MAX:]


def test_a_meter_that_is_gone_makes_room() -> None:
    memory = Clocks().memory()
    for number in range(METERS_MAX):
        memory.add(f"other-{number}", 1, PATIENCE)
    memory.forget("other-7")
    memory.add("new", 5, PATIENCE)
    assert list(memory.curve("other-7").watts) == []
    assert list(memory.curve("new").watts) == [5]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 300_000), st.integers(-(10**6), 10**6), st.integers(0, 3600)), max_size=40
    )
)
def test_every_mean_stands_at_its_time(arrivals: list[tuple[int, int, int]]) -> None:
    clocks = Clocks()
    memory = clocks.memory("house")
    newest: dict[int, list[int]] = {}
    for seconds, power, patience in arrivals:
        clocks.steady += seconds
        memory.add("house", power, patience)
        newest.setdefault(int(clocks.steady // STEP), []).append(power)
    curve = memory.curve("house")
    first = (curve.first - round(clocks.ahead)) // STEP
    for step, powers in newest.items():
        if step > int(clocks.steady // STEP) - MEANS:
            assert curve.watts[step - first] == round(sum(powers) / len(powers))
