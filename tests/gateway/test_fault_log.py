"""A fault is logged when it starts and when it clears, a rejection also once an hour, and nothing twice."""

import pytest

from smarty_gateway.fault_log import Backoff, Condition, RejectionLog
from smarty_gateway.protocol.rejection import Hint, Reason, Rejection

HOUR = 3600.0
MINUTE = 60.0

REPLAY = Rejection(Reason.REPLAY, 7, 100, "seen before")
CHECKSUM = Rejection(Reason.CHECKSUM, 9, 100, "the CRC is wrong")
CORRUPT = Rejection(Reason.AUTHENTICATION, 11, 100, "the tag does not verify", Hint.CORRUPT)


@pytest.fixture
def logged() -> list[str]:
    """Return the lines that were logged."""
    return []


@pytest.fixture
def condition(logged: list[str]) -> Condition:
    """Return a condition that is not on."""
    return Condition(logged.append)


@pytest.fixture
def log(logged: list[str]) -> RejectionLog:
    """Return a log without entries."""
    return RejectionLog(logged.append)


def test_a_condition_is_logged_when_it_begins_and_when_it_is_over(
    condition: Condition, logged: list[str]
) -> None:
    condition.begin("lost")
    condition.end("back")
    assert logged == ["lost", "back"]


def test_a_condition_that_lasts_is_not_logged_again(condition: Condition, logged: list[str]) -> None:
    for _ in range(100):
        condition.begin("lost")
    assert logged == ["lost"]


def test_the_end_of_what_never_began_is_not_logged(condition: Condition, logged: list[str]) -> None:
    condition.end("back")
    assert logged == []


def test_a_condition_that_begins_anew_is_logged_anew(condition: Condition, logged: list[str]) -> None:
    for _ in range(2):
        condition.begin("lost")
        condition.end("back")
    assert logged == ["lost", "back"] * 2


def test_a_condition_is_on_from_its_beginning_to_its_end(condition: Condition) -> None:
    before = condition.is_on
    condition.begin("lost")
    during = condition.is_on
    condition.end("back")
    assert (before, during, condition.is_on) == (False, True, False)


def test_another_kind_is_logged_when_it_lasts(condition: Condition, logged: list[str]) -> None:
    condition.begin("in use", "busy")
    condition.begin("not there", "missing")
    condition.begin("not there", "missing")
    condition.begin("not there", "missing")
    assert logged == ["in use", "not there"]


def test_kinds_that_alternate_are_not_logged_each_time(condition: Condition, logged: list[str]) -> None:
    for _ in range(50):
        condition.begin("refused", "refused")
        condition.begin("closed", "closed")
    assert logged == ["refused"]


def test_another_kind_that_came_once_before_the_end_does_not_count_after_it(
    condition: Condition, logged: list[str]
) -> None:
    condition.begin("in use", "busy")
    condition.begin("not there", "missing")
    condition.end("back")
    condition.begin("in use", "busy")
    condition.begin("not there", "missing")
    assert logged == ["in use", "back", "in use"]


def test_the_first_rejection_is_logged_with_its_meter_and_its_advice(
    log: RejectionLog, logged: list[str]
) -> None:
    log.note("house", CORRUPT, 0.0, "; look at the cable")
    assert logged == [
        "house: rejected authentication offset=11 the tag does not verify hint=corrupt; look at the cable"
    ]


def test_a_meter_that_is_named_by_its_serial_number_is_named_once(
    log: RejectionLog, logged: list[str]
) -> None:
    message = "meter 5341476770003039 (serial SAG1030700012345): frame counter 5 is not above 5"
    log.note("SAG1030700012345", Rejection(Reason.REPLAY, 7, 100, message), 0.0)
    assert logged[0].count("SAG1030700012345") == 1
    log.note("house", Rejection(Reason.REPLAY, 7, 100, message), 0.0)
    assert logged[1].count("SAG1030700012345") == 1


def test_more_of_the_same_reason_are_not_logged_within_the_hour(log: RejectionLog, logged: list[str]) -> None:
    for second in range(int(HOUR)):
        log.note("house", REPLAY, float(second))
        log.tick(float(second))
    assert len(logged) == 1


def test_they_are_counted_once_an_hour(log: RejectionLog, logged: list[str]) -> None:
    for second in range(0, int(3 * HOUR) + 1, 10):
        log.note("house", REPLAY, float(second))
        log.tick(float(second))
    assert logged[1:] == ["house: rejected replay 360 more times in the last hour"] * 3


def test_the_hourly_counts_add_up_to_all_that_were_noted(log: RejectionLog, logged: list[str]) -> None:
    noted = 0
    for second in range(0, int(5 * HOUR), 7):
        log.note("house", REPLAY, float(second))
        noted += 1
        log.tick(second + 3.5)
    log.tick(6 * HOUR)
    counts = [int(word) for line in logged[1:] for word in line.split() if word.isdigit() and word != "5"]
    assert 1 + sum(counts) == noted


def test_a_reason_is_over_when_it_has_not_occurred_for_five_minutes(
    log: RejectionLog, logged: list[str]
) -> None:
    log.note("house", REPLAY, 0.0)
    log.tick(5 * MINUTE - 1)
    assert len(logged) == 1
    log.tick(5 * MINUTE)
    assert logged[1:] == ["house: no frames rejected (replay) for 5 minutes"]


def test_its_end_tells_how_many_were_not_logged(log: RejectionLog, logged: list[str]) -> None:
    for second in range(4):
        log.note("house", REPLAY, float(second))
    log.tick(10 * MINUTE)
    assert logged[1:] == ["house: no frames rejected (replay) for 5 minutes, after 3 more"]


def test_what_is_over_is_over_once(log: RejectionLog, logged: list[str]) -> None:
    log.note("house", REPLAY, 0.0)
    for minute in range(5, 180):
        log.tick(minute * MINUTE)
    assert len(logged) == 2


def test_a_reason_that_returns_is_logged_as_if_for_the_first_time(
    log: RejectionLog, logged: list[str]
) -> None:
    log.note("house", REPLAY, 0.0)
    log.tick(HOUR)
    log.note("house", REPLAY, HOUR)
    assert logged[0] == logged[2] == "house: rejected replay offset=7 seen before"


def test_reasons_and_meters_are_counted_apart(log: RejectionLog, logged: list[str]) -> None:
    log.note("house", REPLAY, 0.0)
    log.note("house", CHECKSUM, 0.0)
    log.note("barn", REPLAY, 0.0)
    log.note("barn", REPLAY, 4 * MINUTE)
    log.tick(5 * MINUTE)
    assert logged[3:] == [
        "house: no frames rejected (replay) for 5 minutes",
        "house: no frames rejected (checksum) for 5 minutes",
    ]


def test_a_rejection_tells_whether_it_was_logged(log: RejectionLog) -> None:
    assert [log.note("house", REPLAY, float(second)) for second in range(3)] == [True, False, False]


def test_what_comes_and_goes_without_end_logs_a_few_lines_an_hour_and_counts_the_rest() -> None:
    logged: list[str] = []
    now = [0.0]
    flapping = Condition(logged.append, lambda: now[0])
    for second in range(3600):
        now[0] = float(second)
        flapping.begin("lost")
        flapping.end("back")
    assert len(logged) == 40
    now[0] = 3620.0
    flapping.begin("lost")
    assert logged[-1] == "lost (and 7160 changes before that were not logged)"


def test_the_delays_of_a_backoff_grow_to_the_last_one() -> None:
    backoff = Backoff(1.0, 4.0, 16.0)
    delays = [backoff.next_delay() for _ in range(5)]
    for delay, middle in zip(delays, (1.0, 4.0, 16.0, 16.0, 16.0), strict=True):
        assert 0.75 * middle <= delay <= 1.25 * middle


def test_the_delays_of_two_backoffs_differ() -> None:
    assert len({Backoff(1.0).next_delay() for _ in range(10)}) > 1


def test_a_backoff_that_is_reset_starts_with_its_first_delay() -> None:
    backoff = Backoff(1.0, 100.0)
    backoff.next_delay()
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1.25


def test_the_end_of_a_fault_can_go_elsewhere_than_its_beginning(logged: list[str]) -> None:
    cleared: list[str] = []
    fault = Condition(logged.append, cleared=cleared.append)
    fault.begin("broken")
    fault.end("works again")
    assert (logged, cleared) == (["broken"], ["works again"])


def test_that_rejections_have_ended_is_no_warning(logged: list[str]) -> None:
    cleared: list[str] = []
    log = RejectionLog(logged.append, cleared=cleared.append)
    log.note("house", REPLAY, 0.0)
    log.tick(6 * MINUTE)
    assert (len(logged), len(cleared)) == (1, 1)
