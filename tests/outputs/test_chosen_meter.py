"""A place that serves one meter never mixes two, though no entry names any."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from smarty_gateway.outputs.chosen_meter import readings_of_one
from smarty_gateway.outputs.output import Reading
from smarty_gateway.protocol.meter_telegram import Security
from tests.support.served_telegrams import reading_of

START = datetime(2026, 6, 21, tzinfo=UTC)


def reading(meter: str, second: int, security: Security = Security.PLAINTEXT) -> Reading:
    at = START + timedelta(seconds=second)
    plain = reading_of(second, meter=meter, is_configured=False)
    return replace(plain, received=at, telegram=replace(plain.telegram, security=security))


def test_of_two_plaintext_meters_the_first_is_served_until_it_is_silent_for_an_hour() -> None:
    belongs = readings_of_one()
    served = [belongs(reading(*each)) for each in (("a", 0), ("b", 1), ("a", 2), ("b", 3602), ("b", 3603))]
    assert served == [True, False, True, False, True]
    assert not belongs(reading("a", 3604))


def test_a_meter_whose_frames_verify_takes_the_place_of_plaintext_and_never_loses_it_to_it() -> None:
    belongs = readings_of_one()
    assert belongs(reading("forged", 0))
    assert belongs(reading("SAG", 1, Security.AUTHENTICATED))
    assert not belongs(reading("forged", 2))
    assert not belongs(reading("forged", 100_000))
    assert belongs(reading("new", 200_000, Security.AUTHENTICATED))
