"""A consumer that is away gets one line, one when it is back, and attempts with growing pauses."""

import pytest

from smarty_gateway.outputs.attempts import Attempts


def test_an_attempt_is_due_at_once_and_after_each_failure_later() -> None:
    attempts = Attempts("it works again", 1.0, 10.0, 100.0)
    assert attempts.seconds_left(50.0) == 0
    assert not attempts.is_away
    pauses = []
    for _ in range(4):
        attempts.note_failure("away", 50.0)
        pauses.append(attempts.seconds_left(50.0))
    assert attempts.is_away
    for pause, delay in zip(pauses, (1, 10, 100, 100), strict=True):
        assert 0.7 * delay < pause < 1.3 * delay  # with jitter
    assert attempts.seconds_left(50.0 + 130.0) == 0


def test_after_a_success_the_pauses_start_again() -> None:
    attempts = Attempts("it works again", 1.0, 100.0)
    for _ in range(3):
        attempts.note_failure("away", 0.0)
    attempts.note_success()
    assert not attempts.is_away
    assert attempts.seconds_left(0.0) == 0
    attempts.note_failure("away", 0.0)
    assert attempts.seconds_left(0.0) < 2


def test_an_outage_of_many_attempts_is_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts("it works again")
    for second in range(1000):
        attempts.note_failure("it refuses connections", second)
    attempts.note_success()
    attempts.note_success()
    assert caplog.messages == ["it refuses connections; trying again until it works", "it works again"]


def test_that_it_is_back_is_information_with_the_number_of_dropped_readings_of_this_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = Attempts("it works again")
    for dropped in (3, 0):
        attempts.note_failure("away", 0.0)
        attempts.note_dropped(dropped)
        attempts.note_success()
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "away; trying again until it works"),
        ("INFO", "it works again; dropped readings: 3"),
        ("ERROR", "away; trying again until it works"),
        ("INFO", "it works again"),
    ]


def test_a_consumer_that_fails_in_another_way_says_so_and_one_that_alternates_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = Attempts("it works again")
    for why in ("away", "away", "full", "full", "away", "full", "away", "full"):
        attempts.note_failure(why, 0.0)
    assert [message.partition(";")[0] for message in caplog.messages] == ["away", "full"]


def test_a_consumer_that_is_back_after_a_long_outage_is_found_within_half_a_minute() -> None:
    attempts = Attempts("it works again")
    for _ in range(100):
        attempts.note_failure("away", 0.0)
        assert attempts.seconds_left(0.0) <= 30
